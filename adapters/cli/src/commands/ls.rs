//! `camlane ls`: the lanes of this machine.

use std::process::ExitCode;

use camlane::LaneStatus;
use clap::Args;

use crate::describe::{LaneFacts, UsableFacts};
use crate::output::{self, Output, Table};

/// List the lanes: who publishes, who reads, how much memory
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  camlane ls
  camlane ls --json | jq -r '.[] | select(.health == \"stale\") | .lane'

A stale lane was left by a producer that died: the next producer of that name replaces it, `camlane rm` removes it.")]
pub(crate) struct Ls {}

impl Ls {
    pub(crate) fn run(self, output: Output) -> anyhow::Result<ExitCode> {
        let lanes: Vec<LaneFacts> = LaneStatus::all().iter().map(LaneFacts::new).collect();
        if output.json {
            output.value(&lanes)?;
        } else if lanes.is_empty() {
            output.note("no lanes; start one, for example with: camlane publish front-door --from pattern");
        } else {
            table(&lanes).print(output)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn table(lanes: &[LaneFacts]) -> Table {
    let titles = [
        "LANE", "STATE", "FORMAT", " SIZE", " RATE", " FRAMES", " DROPPED", " READERS", " MEMORY", "PRODUCER",
    ];
    let mut table = Table::new(&titles);
    for lane in lanes {
        let mut row = vec![lane.lane.clone(), lane.health.to_owned()];
        match &lane.usable {
            Some(usable) => row.extend(cells(usable)),
            None => row.push(lane.problem.clone().unwrap_or_default()),
        }
        table.row(row);
    }
    table
}

fn cells(lane: &UsableFacts) -> Vec<String> {
    let is_stream = lane.kind == "bytes";
    let readers =
        lane.consumers.as_ref().map_or_else(|| "?".to_owned(), |all| format!("{}/{}", all.len(), lane.seats));
    let size = match (lane.width, lane.height) {
        (0, _) | (_, 0) => "-".to_owned(),
        (width, height) => format!("{width}x{height}"),
    };
    vec![
        if is_stream { "bytes".to_owned() } else { lane.format.clone() },
        size,
        if is_stream { "-".to_owned() } else { output::rate(lane.rate.into()) },
        if is_stream { "-".to_owned() } else { lane.published.to_string() },
        lane.dropped.to_string(),
        readers,
        output::bytes(lane.memory_bytes),
        lane.producer.short(),
    ]
}

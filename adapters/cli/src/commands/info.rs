//! `camlane info`: all that one lane says of itself.

use std::process::ExitCode;

use camlane::{Address, Flags, LaneStatus, Observed, Observer};
use camlane_v4l2::MemoryPath;
use clap::Args;
use serde::Serialize;

use crate::commands;
use crate::describe::{FrameFacts, LaneFacts, UsableFacts};
use crate::output::{self, Output, Table};

/// Show one lane: its shape, its producer, its readers, its newest frame
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  camlane info front-door
  camlane info front-door --json | jq .newest_frame.planes

Exit status: 3 if there is no such lane.")]
pub(crate) struct Info {
    /// Name of the lane
    #[arg(value_parser = commands::address)]
    lane: Address,
}

/// The lane and its newest frame.
#[derive(Debug, Serialize)]
struct Facts {
    #[serde(flatten)]
    lane: LaneFacts,
    newest_frame: Option<FrameFacts>,
}

impl Info {
    pub(crate) fn run(self, output: Output) -> anyhow::Result<ExitCode> {
        let lane = LaneFacts::new(&LaneStatus::of(&self.lane.to_string())?);
        let newest = self.newest(&lane);
        if output.json {
            let newest_frame = newest.map(|frame| FrameFacts::new(frame.number, &frame.meta));
            output.value(&Facts { lane, newest_frame })?;
            return Ok(ExitCode::SUCCESS);
        }
        let mut table = Rows(Vec::new());
        table.add("lane", &lane.lane);
        if let Some(socket) = &lane.socket {
            table.add("sealed", format!("joined at {}", socket.display()));
        }
        table.add("state", lane.health);
        if let Some(pause) = lane.usable.as_ref().and_then(|usable| usable.pause.as_ref()) {
            table.add("no frames", &pause.text);
        }
        if let Some(problem) = &lane.problem {
            table.add("problem", problem);
        }
        if let Some(usable) = &lane.usable {
            table.add_lane(usable, lane.health == "running");
        }
        if let Some(frame) = &newest {
            table.add_frame(frame);
        }
        table.print(output)?;
        if let Some(consumers) = lane.usable.as_ref().and_then(|usable| usable.consumers.as_ref()) {
            let mut table = Table::new(&[" SEAT", " HOLDS", " BEHIND", "STATE", "CONSUMER"]);
            for consumer in consumers {
                table.row(vec![
                    consumer.seat.to_string(),
                    consumer.holds.to_string(),
                    consumer.behind.map_or_else(|| "-".to_owned(), |behind| behind.to_string()),
                    if consumer.sleeps { "asleep" } else { "awake" }.to_owned(),
                    consumer.process.short(),
                ]);
            }
            if !consumers.is_empty() {
                output.line("")?;
                table.print(output)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Looks at the newest frame, if the lane carries frames and lets itself be looked at.
    fn newest(&self, lane: &LaneFacts) -> Option<Observed> {
        lane.usable.as_ref().filter(|usable| usable.kind == "frames")?;
        let observer = Observer::open(&self.lane.to_string()).ok()?;
        observer.peek().inspect_err(|error| log::warn!("the newest frame: {error}")).ok().flatten()
    }
}

/// Names and values.
struct Rows(Vec<(&'static str, String)>);

impl Rows {
    fn add(&mut self, name: &'static str, value: impl ToString) {
        self.0.push((name, value.to_string()));
    }

    fn add_lane(&mut self, lane: &UsableFacts, is_running: bool) {
        self.add("producer", lane.producer.short());
        if let Some(seconds) = lane.made_seconds_ago {
            self.add("made", format!("{seconds:.0} s ago"));
        }
        self.add("incarnation", &lane.incarnation);
        if lane.kind == "bytes" {
            self.add(
                "carries",
                format!("a stream of bytes, room for {}", output::bytes(lane.slot_bytes.into())),
            );
        } else {
            self.add("carries", format!("{} {}x{}", lane.format, lane.width, lane.height));
            self.add("stated rate", output::rate(lane.rate.into()));
            if let Some(seconds) = lane.made_seconds_ago.filter(|seconds| is_running && *seconds >= 1.0) {
                self.add(
                    "mean rate",
                    format!("{:.2}/s since it was made", f64::from(lane.published) / seconds),
                );
            }
            self.add("frames", format!("{} published, {} dropped", lane.published, lane.dropped));
            self.add("slots", format!("{} of {}", lane.slots, output::bytes(lane.slot_bytes.into())));
            self.add("history", format!("{} frames", lane.history));
        }
        let taken = lane.consumers.as_ref().map_or_else(|| "?".to_owned(), |all| all.len().to_string());
        self.add("seats", format!("{taken} of {} taken, {} frames each", lane.seats, lane.pins));
        self.add("memory", output::bytes(lane.memory_bytes));
        for (name, text) in [("frame id", &lane.frame_id), ("calibration", &lane.calibration)] {
            if !text.is_empty() {
                self.add(name, text);
            }
        }
    }

    fn add_frame(&mut self, frame: &Observed) {
        let meta = &frame.meta;
        let layout = &meta.layout;
        self.add(
            "newest frame",
            format!(
                "{}: {} {}x{}, {} bytes",
                frame.number, layout.format, layout.width, layout.height, layout.bytes
            ),
        );
        for plane in layout.planes() {
            self.add(
                "  plane",
                format!("{} bytes at {}, {} rows of {}", plane.bytes, plane.offset, plane.rows, plane.stride),
            );
        }
        let age =
            camlane::clock::monotonic_ns().checked_sub(meta.publish_ns).filter(|_| meta.publish_ns != 0);
        if let Some(age) = age {
            self.add("  published", format!("{} ago", output::nanos(age)));
        }
        self.add(
            "  captured",
            format!("{} ns, clock {}, {}", meta.capture_ns, meta.clock.name(), meta.reference.name()),
        );
        self.add("  sequence", meta.source_sequence);
        self.add("  flags", format!("{:?}", meta.flags));
        if let Some(path) = MemoryPath::of(meta.flags) {
            self.add("  memory path", path);
        }
        self.add(
            "  copies",
            match meta.flags.contains(Flags::COPIED) {
                true => "1 on the way into the slot",
                false => "0: it was made in the slot, or the driver wrote it there",
            },
        );
    }

    fn print(&self, output: Output) -> std::io::Result<()> {
        self.0.iter().try_for_each(|(name, value)| output.line(format_args!("{name:<13} {value}")))
    }
}

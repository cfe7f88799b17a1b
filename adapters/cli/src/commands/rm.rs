//! `camlane rm`: what dead producers left.

use std::process::ExitCode;

use camlane::{Address, Health, LaneStatus};
use clap::Args;
use serde::Serialize;

use crate::commands;
use crate::output::{self, Output};

/// Remove lanes that dead producers left behind
///
/// A lane whose producer lives is refused, unless --force is given: its readers keep what they have and then wait, its
/// producer goes on unseen. The lock file of a name, 0 bytes, always stays: somebody may be about to lock it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  camlane rm front-door
  camlane rm --stale
  camlane rm --force front-door back-door

Exit status: 3 if there is no such lane, 1 if its producer lives.")]
pub(crate) struct Rm {
    /// Names of the lanes
    #[arg(value_parser = commands::address, required_unless_present = "stale")]
    lanes: Vec<Address>,
    /// Remove even a lane whose producer lives
    #[arg(long)]
    force: bool,
    /// Remove all lanes whose producers died
    #[arg(long)]
    stale: bool,
}

#[derive(Debug, Serialize)]
struct Removed {
    removed: Vec<String>,
}

impl Rm {
    pub(crate) fn run(self, output: Output) -> anyhow::Result<ExitCode> {
        let mut lanes: Vec<String> = self.lanes.iter().map(ToString::to_string).collect();
        if self.stale {
            let stale = LaneStatus::all().into_iter().filter(|lane| lane.health == Health::Stale);
            lanes.extend(stale.map(|lane| lane.address.to_string()));
        }
        let (mut removed, mut failed) = (Vec::new(), None);
        for lane in lanes {
            match camlane::remove(&lane, self.force) {
                Ok(()) => removed.push(lane),
                Err(error) => {
                    let error = anyhow::Error::from(error);
                    output::error(&error);
                    failed = failed.or(Some(commands::exit_code(&error)));
                }
            }
        }
        if output.json {
            output.value(&Removed { removed })?;
        } else {
            removed.iter().try_for_each(|lane| output.line(format_args!("removed {lane}")))?;
        }
        Ok(failed.unwrap_or(ExitCode::SUCCESS))
    }
}

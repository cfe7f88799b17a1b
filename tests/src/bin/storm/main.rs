//! The kill storm: a producer at full speed and up to 64 consumers, and chance that kills, stops and replaces them.
//!
//! ```text
//! conductor ---- orders, signals ----> producer        publishes in bursts, as fast as it can
//!     ^                                readers         pin or copy; every byte of every frame is checked
//!     +------- lines of JSON --------- both            what they counted; silence of one that is awake is a failure
//! ```
//! A run is a row of rounds, named and sealed lanes in turns, each with another geometry. At the end of each the
//! conductor proves that nothing was lost: every seat can be taken, every slot lent, every reader's account closes at
//! the number of the last frame, and no process, descriptor or object is left over.

mod conductor;
mod producer;
mod reader;
mod report;
mod world;

use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, Parser, Subcommand};

/// Kill, stop and replace the ends of lanes at random, and prove that nothing tears, leaks or is miscounted
#[derive(Debug, Parser)]
#[command(
    name = "storm",
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  storm                       one minute, as in CI
  storm --minutes 30          the long run
  storm --seed 7 --kind sealed --readers 8

Exit status: 0 all proved, 1 something broke (the report says what), 2 wrong usage. Ctrl-C ends the run early and in
good order: what was done until then is proved and reported. The seed repeats the decisions, not the machine's timing."
)]
struct Storm {
    #[command(flatten)]
    plan: Plan,
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Clone, Debug, Args)]
struct Plan {
    /// How long, in minutes
    #[arg(long, default_value_t = 1.0, conflicts_with = "seconds")]
    minutes: f64,
    /// How long, in seconds
    #[arg(long)]
    seconds: Option<f64>,
    /// Readers at once, at most
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=64))]
    readers: u32,
    /// Lanes of this kind only
    #[arg(long)]
    kind: Option<Kind>,
    /// Repeats the decisions of a run
    #[arg(long)]
    seed: Option<u64>,
    /// Write the result as JSON to standard output
    #[arg(long)]
    json: bool,
    /// Show no progress
    #[arg(short, long)]
    quiet: bool,
}

/// The kinds of lane that processes share.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum Kind {
    Named,
    Sealed,
}

/// What this program is to the conductor that started it.
#[derive(Debug, Subcommand)]
enum Part {
    #[command(hide = true)]
    Produce(producer::Produce),
    #[command(hide = true)]
    Read(reader::Reading),
    #[command(hide = true)]
    Look(reader::Looking),
}

impl Plan {
    fn length(&self) -> Duration {
        Duration::from_secs_f64(self.seconds.unwrap_or(self.minutes * 60.0).max(1.0))
    }

    fn seed(&self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.seed.unwrap_or(now.as_micros() as u64)
    }
}

fn main() -> ExitCode {
    let Storm { plan, part } = Storm::parse();
    let done = match part {
        None => return conductor::run(&plan),
        Some(part) => world::die_with_parent().and_then(|()| match part {
            Part::Produce(produce) => produce.run(),
            Part::Read(reading) => reading.run(),
            Part::Look(looking) => looking.run(),
        }),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::say(&report::Said::Broken { what: format!("{error:#}") });
            ExitCode::FAILURE
        }
    }
}

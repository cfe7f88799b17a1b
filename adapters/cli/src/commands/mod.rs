//! The commands, one per file, and what they share: options, exit status, names of lanes.

mod demo;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::output::Output;

/// Hand camera frames to other processes: one camera, many readers, zero copies, no daemon.
#[derive(Debug, Parser)]
#[command(name = "camlane", version, propagate_version = true, max_term_width = 110, after_help = EXAMPLES)]
pub(crate) struct Program {
    #[command(subcommand)]
    command: Command,
    /// Write JSON to standard output instead of text
    #[arg(long, global = true, help_heading = "Output")]
    json: bool,
    /// Show no progress and no remarks on standard error
    #[arg(short, long, global = true, help_heading = "Output")]
    quiet: bool,
    /// Log more to standard error; twice or thrice for still more
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = "Output")]
    verbose: u8,
}

const EXAMPLES: &str = "\
Examples:
  camlane demo                                       see it work: four processes, a crash, a table
  camlane publish front-door --from pattern          publish a test picture (or a file, a folder, a video)
  camlane watch front-door                           watch it from another terminal
  camlane snap front-door -o now.png                 save the newest frame
  camlane ls                                         see who publishes and who reads

Exit status: 0 done, 1 failed, 2 wrong usage, 3 no such lane, 4 no frame in time";

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Demo),
    #[command(hide = true)]
    DemoWorker(demo::Worker),
}

impl Program {
    /// How much to log: 0 is warnings.
    pub(crate) fn verbosity(&self) -> i8 {
        i8::try_from(self.verbose).unwrap_or(i8::MAX) - i8::from(self.quiet)
    }

    /// Runs the command.
    ///
    /// # Errors
    /// What the command could not do; [`exit_code`] gives its status.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let output = Output { json: self.json, quiet: self.quiet };
        match self.command {
            Command::Demo(demo) => demo.run(output),
            Command::DemoWorker(worker) => worker.run(),
        }
    }
}

/// No frame came in time.
#[derive(Debug, thiserror::Error)]
#[error("no frame came within {0} s: look with `camlane info LANE` whether its producer publishes, or raise --timeout")]
pub(crate) struct TimedOut(pub(crate) f64);

/// Arguments that only turned out to be wrong when they met each other.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// The exit status that an error asks for.
pub(crate) fn exit_code(error: &anyhow::Error) -> ExitCode {
    for cause in error.chain() {
        if cause.is::<TimedOut>() {
            return ExitCode::from(4);
        } else if cause.is::<Usage>() {
            return ExitCode::from(2);
        } else if let Some(error) = cause.downcast_ref::<camlane::Error>() {
            return ExitCode::from(error.exit_code());
        } else if let Some(camlane::WaitError::Other(error)) = cause.downcast_ref() {
            return ExitCode::from(error.exit_code());
        }
    }
    ExitCode::FAILURE
}

fn size(text: &str) -> Result<(u32, u32), String> {
    crate::source::parse_size(text).ok_or_else(|| "give width and height in pixels, as in 1280x720".to_owned())
}

fn rate(text: &str) -> Result<(u32, u32), String> {
    crate::source::parse_rate(text).ok_or_else(|| "give frames per second, as in 30 or 30000/1001".to_owned())
}

fn format(text: &str) -> Result<camlane::PixelFormat, String> {
    camlane::PixelFormat::from_name(text).ok_or_else(|| {
        let names: Vec<_> = camlane::PixelFormat::ALL.iter().map(|info| info.name).collect();
        format!("no such format; there are {}", names.join(", "))
    })
}

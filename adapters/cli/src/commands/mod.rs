//! The commands, one per file, and what they share: options, exit status, names of lanes.

mod admission;
mod bench;
mod bridge;
mod cameras;
mod completions;
mod demo;
mod doctor;
mod header24;
mod info;
mod ls;
mod publish;
mod rm;
mod snap;
mod text;
mod watch;

use core::time::Duration;
use std::process::ExitCode;

use camlane::{Address, Consumer, ConsumerOptions};
use clap::{Parser, Subcommand};

use crate::output::Output;
use crate::stop;

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
    Publish(publish::Publish),
    Watch(watch::Watch),
    Snap(snap::Snap),
    Ls(ls::Ls),
    Info(info::Info),
    Rm(rm::Rm),
    Bridge(bridge::Bridge),
    Cameras(cameras::Cameras),
    Text(text::TextArgs),
    Doctor(doctor::Doctor),
    Bench(bench::Bench),
    Completions(completions::Completions),
    #[command(hide = true)]
    DemoWorker(demo::Worker),
    #[command(hide = true)]
    BenchWorker(bench::Worker),
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
            Command::Publish(publish) => publish.run(output),
            Command::Watch(watch) => watch.run(output),
            Command::Snap(snap) => snap.run(output),
            Command::Ls(ls) => ls.run(output),
            Command::Info(info) => info.run(output),
            Command::Rm(rm) => rm.run(output),
            Command::Bridge(bridge) => bridge.run(output),
            Command::Cameras(cameras) => cameras.run(output),
            Command::Text(text) => text.run(output),
            Command::Doctor(doctor) => doctor.run(output),
            Command::Bench(bench) => bench.run(output),
            Command::Completions(completions) => completions.run(output),
            Command::DemoWorker(worker) => worker.run(),
            Command::BenchWorker(worker) => worker.run(),
        }
    }
}

/// No frame came in time.
#[derive(Debug, thiserror::Error)]
#[error(
    "no frame came within {0} s: look with `camlane info LANE` whether its producer publishes, or raise --timeout"
)]
pub(crate) struct TimedOut(f64);

impl TimedOut {
    fn after(timeout: Duration) -> Self {
        Self(timeout.as_secs_f64())
    }
}

/// Arguments that only turned out to be wrong when they met each other.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// There is no such object of an old program.
#[derive(Debug, thiserror::Error)]
#[error("start the program that makes it, or give --timeout to wait for it")]
struct NoObject;

/// The exit status that an error asks for.
pub(crate) fn exit_code(error: &anyhow::Error) -> ExitCode {
    for cause in error.chain() {
        if cause.is::<TimedOut>() {
            return ExitCode::from(4);
        } else if cause.is::<Usage>() {
            return ExitCode::from(2);
        } else if cause.is::<NoObject>()
            || cause.downcast_ref().is_some_and(camlane::legacy::Error::is_not_found)
        {
            return ExitCode::from(3);
        } else if let Some(error) = cause.downcast_ref::<camlane::Error>() {
            return ExitCode::from(error.exit_code());
        } else if let Some(camlane::WaitError::Other(error)) = cause.downcast_ref() {
            return ExitCode::from(error.exit_code());
        }
    }
    ExitCode::FAILURE
}

/// When frame `index` of a steady source is due, after its first.
fn moment(index: u64, (frames, seconds): (u32, u32)) -> Duration {
    let nanos = u128::from(index) * u128::from(seconds) * 1_000_000_000 / u128::from(frames.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// Opens a lane; with patience, waits for a living producer. `None`: the end was asked for first.
fn open(
    lane: &Address,
    options: &ConsumerOptions,
    patience: Option<Duration>,
) -> Result<Option<Consumer>, camlane::Error> {
    let options = options.clone().patience(patience.unwrap_or_default());
    let opened = options.open_while(&lane.to_string(), || !stop::requested());
    if stop::requested() { Ok(None) } else { opened.map(Some) }
}

fn address(text: &str) -> Result<Address, String> {
    text.parse().map_err(|error: camlane::Error| error.to_string())
}

/// Reads the name of an old program's object.
fn object(text: &str) -> Result<camlane::legacy::ObjectName, String> {
    text.parse().map_err(|error: camlane::legacy::Error| error.to_string())
}

/// Reads permissions in octal, `644`.
fn mode(text: &str) -> Result<u32, String> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777);
    mode.ok_or_else(|| "give permissions in octal, as in 600 or 644".to_owned())
}

/// Reads seconds, `5` or `0.5`.
fn seconds(text: &str) -> Result<Duration, String> {
    let wrong = || "give seconds, as in 5 or 0.5".to_owned();
    Duration::try_from_secs_f64(text.parse().map_err(|_| wrong())?).map_err(|_| wrong())
}

fn power_of_two(text: &str) -> Result<u32, String> {
    text.parse()
        .ok()
        .filter(|number: &u32| number.is_power_of_two())
        .ok_or_else(|| "give a power of two".to_owned())
}

fn size(text: &str) -> Result<(u32, u32), String> {
    crate::source::parse_size(text)
        .ok_or_else(|| "give width and height in pixels, as in 1280x720".to_owned())
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

//! `camlane watch`: what comes, how late, what was missed; and the frames themselves, for pipes.

mod sync;
mod view;

use core::time::Duration;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, bail};
use camlane::legacy::ObjectName;
use camlane::{Address, Consumer, ConsumerOptions, Read, Wait, WaitError};
use clap::Args;

use self::sync::InStep;
use self::view::{Event, View};
use crate::commands::admission::Trust;
use crate::commands::header24::{self, Target, Watching};
use crate::commands::{self, TimedOut};
use crate::output::{self, Output};
use crate::stop;

/// Watch a lane: rate, losses and age of its frames, a line a second
///
/// AGE is the time from publish to frame in hand. MISSED are frames that were published and that this reader skipped
/// or was too slow for; DROPPED are frames that the producer could not take. A producer that ends or dies is waited for.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  camlane watch front-door
  camlane watch front-door --every --frames 300 --check
  camlane watch front-door --json --frames 1 | jq .capture_ns
  camlane watch --sync left,right --tolerance 0.005
  camlane watch front-door --every --raw --until-end | ffplay -f rawvideo -pixel_format yuyv422 -video_size 1280x720 -

Exit status: 4 if no frame came for as long as --timeout says, 3 if there is no such lane.")]
pub(crate) struct Watch {
    /// Name of the lane, or header24:NAME for an old program's object
    #[arg(value_parser = header24::target, required_unless_present = "sync")]
    lane: Option<Target>,
    /// Watch several lanes in step: sets of frames that were captured at the same time, and what found no partner
    #[arg(
        long, value_name = "LANE,LANE", value_delimiter = ',', value_parser = commands::address,
        conflicts_with_all = ["lane", "every", "adaptive", "spin", "check", "save", "raw"]
    )]
    sync: Vec<Address>,
    /// With --sync: the longest time between the captures of a set; less than half of a frame's period
    #[arg(long, value_name = "SECONDS", value_parser = commands::seconds, default_value = "0.005", requires = "sync")]
    tolerance: Duration,
    /// Read every frame in order, instead of the newest each time
    #[arg(long)]
    every: bool,
    /// Sleep, but be awake shortly before a frame is due: least latency for little processor time
    #[arg(long, conflicts_with = "spin")]
    adaptive: bool,
    /// Never sleep: least latency, one processor fully used
    #[arg(long)]
    spin: bool,
    /// End after so many frames
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    frames: Option<u64>,
    /// Give up when no frame came for so long; also wait that long for a lane with a living producer
    #[arg(long, value_name = "SECONDS", value_parser = commands::seconds)]
    timeout: Option<Duration>,
    /// End when the producer ends the stream, instead of waiting for another
    #[arg(long)]
    until_end: bool,
    /// Compare every byte with the test picture that `--from pattern` publishes; fail if one differs
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    trust: Trust,
    /// Save every frame that is read into this folder, as PNG
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    save: Option<PathBuf>,
    /// Write the pixels to standard output: rows without padding, plane after plane
    #[arg(long, conflicts_with = "json")]
    raw: bool,
    /// With --raw: write the bytes as they lie in memory, padding included
    #[arg(long, requires = "raw")]
    padded: bool,
}

impl Watch {
    pub(crate) fn run(self, output: Output) -> anyhow::Result<ExitCode> {
        let lane = match &self.lane {
            Some(Target::Lane(lane)) => lane,
            Some(Target::Header24(name)) => return self.header24(name).run(output),
            None => {
                stop::on_signals()?;
                return InStep::new(&self, output).run(&self.sync, self.tolerance);
            }
        };
        stop::on_signals()?;
        if let Some(dir) = &self.save {
            std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        }
        let options = ConsumerOptions::new().read(if self.every { Read::Every } else { Read::Latest }).wait(
            match (self.adaptive, self.spin) {
                (true, _) => Wait::Adaptive,
                (_, true) => Wait::Spin,
                _ => Wait::Sleep,
            },
        );
        let Some(mut consumer) = commands::open(lane, &self.trust.of(options), self.timeout)? else {
            return Ok(ExitCode::SUCCESS);
        };
        let mut view = View::new(&self, lane, output);
        let watched = self.watch(&mut consumer, &mut view);
        let end = *watched.as_ref().unwrap_or(&"failed");
        let totals = consumer.totals();
        drop(consumer);
        match &watched {
            Err(error) if output::nobody_reads(error) => {} // not even the summary
            _ => view.finish(totals, end)?,
        }
        match watched? {
            "timeout" => Err(TimedOut::after(self.timeout.unwrap_or_default()).into()),
            _ if view.torn > 0 => {
                bail!("{} of {} frames are not the test picture: {}", view.torn, view.frames, view.first_torn)
            }
            _ => Ok(ExitCode::SUCCESS),
        }
    }

    fn header24<'w>(&'w self, name: &'w ObjectName) -> Watching<'w> {
        let Self { frames, timeout, check, raw, .. } = *self;
        Watching { name, frames, timeout, check, save: self.save.as_deref(), raw }
    }

    /// Reads until something ends it, and says what.
    fn watch(&self, consumer: &mut Consumer, view: &mut View<'_>) -> anyhow::Result<&'static str> {
        let mut last = Instant::now();
        loop {
            if stop::requested() {
                return Ok("stopped");
            }
            let look = self.timeout.map_or(stop::LOOK, |timeout| stop::LOOK.min(timeout));
            match consumer.next(look) {
                Ok(frame) => {
                    last = Instant::now();
                    view.show(&frame)?;
                    if self.frames.is_some_and(|frames| view.frames >= frames) {
                        return Ok("frames");
                    }
                }
                Err(WaitError::TimedOut) => view.pause(consumer.pause())?,
                Err(WaitError::Closed) => {
                    view.news(&Event::Closed, "the producer ended the stream")?;
                    if self.until_end {
                        return Ok("closed");
                    }
                }
                Err(WaitError::ProducerGone) => view.news(&Event::Gone, "the producer died")?,
                Err(WaitError::Other(error)) => return Err(error.into()),
                Err(error) => return Err(error.into()),
            }
            if self.timeout.is_some_and(|timeout| last.elapsed() >= timeout) {
                return Ok("timeout");
            }
            view.tick(consumer.totals())?;
        }
    }
}

//! `camlane snap`: the newest frame as a file.

use core::time::Duration;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use camlane::{Address, ConsumerOptions, FrameMeta, ObserveError, Observer, Read, WaitError};
use clap::Args;
use serde::Serialize;

use crate::commands::admission::Trust;
use crate::commands::header24::{self, Target};
use crate::commands::{self, TimedOut};
use crate::describe::FrameFacts;
use crate::output::Output;
use crate::snapshot::{Kind, Shot};
use crate::{pattern, stop};

/// Save the newest frame: as a picture, as bytes, or only its description
///
/// The file's name says what is written: .png a picture (any raw format, JPEG, PNG), .jpg a JPEG frame as it is, .raw
/// the bytes without row padding, .json the description. It appears when it is complete.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  camlane snap front-door -o now.png
  camlane snap front-door -o now.raw --observe
  camlane snap front-door -o - | display

Exit status: 4 if no frame came in time, 3 if there is no such lane.")]
pub(crate) struct Snap {
    /// Name of the lane, or header24:NAME for an old program's object
    #[arg(value_parser = header24::target)]
    lane: Target,
    /// The file to write; - for a PNG on standard output
    #[arg(short, long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    output: PathBuf,
    /// How long to wait for a frame; if given, also for a lane with a living producer [default: 5]
    #[arg(long, value_name = "SECONDS", value_parser = commands::seconds)]
    timeout: Option<Duration>,
    /// Copy the frame out without taking a seat: needs no permission to write, and trusts nobody
    #[arg(long)]
    observe: bool,
    #[command(flatten)]
    trust: Trust,
}

/// What was saved.
#[derive(Debug, Serialize)]
struct Saved {
    lane: String,
    file: String,
    frame: FrameFacts,
    /// If the picture is the test pattern: its number and its time, read from the pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pattern: Option<[u64; 2]>,
}

impl Snap {
    pub(crate) fn run(self, output: Output) -> anyhow::Result<ExitCode> {
        let lane = match &self.lane {
            Target::Lane(lane) => lane,
            Target::Header24(name) => return header24::snap(name, &self.output, self.timeout, output),
        };
        let kind = Kind::of(&self.output)?;
        stop::on_signals()?;
        let saved = if self.observe { self.observe(kind)? } else { self.consume(lane, kind)? };
        let Some(saved) = saved else { return Ok(ExitCode::FAILURE) }; // Ctrl-C: nothing was written
        if self.output.as_os_str() == "-" {
            return Ok(ExitCode::SUCCESS);
        }
        if output.json {
            output.value(&saved)?;
        } else {
            output.line(format_args!("{}: frame {}", saved.file, saved.frame.number))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.patience()
    }

    fn patience(&self) -> Duration {
        self.timeout.unwrap_or(Duration::from_secs(5))
    }

    fn consume(&self, lane: &Address, kind: Kind) -> anyhow::Result<Option<Saved>> {
        let deadline = self.deadline();
        let options = self.trust.of(ConsumerOptions::new().read(Read::Latest));
        let Some(mut consumer) = commands::open(lane, &options, self.timeout)? else { return Ok(None) };
        while !stop::requested() {
            let left = deadline.saturating_duration_since(Instant::now());
            match consumer.next(left.min(stop::LOOK)) {
                Ok(frame) => return self.save(frame.number(), &frame.meta(), &frame, kind).map(Some),
                Err(WaitError::Other(error)) => return Err(error.into()),
                Err(_) if left.is_zero() => return Err(TimedOut::after(self.patience()).into()),
                Err(_) => {}
            }
        }
        Ok(None)
    }

    fn observe(&self, kind: Kind) -> anyhow::Result<Option<Saved>> {
        let deadline = self.deadline();
        loop {
            // Opened each time: the producer may have made the lane anew.
            match Observer::open(&self.lane.to_string()) {
                Ok(observer) => match observer.copy_newest() {
                    Ok(Some(copied)) => {
                        let observed = &copied.observed;
                        return self.save(observed.number, &observed.meta, &copied.pixels, kind).map(Some);
                    }
                    Ok(None) | Err(ObserveError::Contended) => {}
                    Err(error) => return Err(error.into()),
                },
                Err(camlane::Error::NoSuchLane { .. })
                    if self.timeout.is_some() && Instant::now() < deadline => {}
                Err(error) => return Err(error.into()),
            }
            if Instant::now() >= deadline {
                return Err(TimedOut::after(self.patience()).into());
            }
            if stop::sleep_until(Instant::now() + Duration::from_millis(5)) {
                return Ok(None);
            }
        }
    }

    fn save(&self, number: u64, meta: &FrameMeta, payload: &[u8], kind: Kind) -> anyhow::Result<Saved> {
        Shot { number, meta, payload }.save(&self.output, kind)?;
        let stamp = pattern::read_stamp(&meta.layout, payload);
        Ok(Saved {
            lane: self.lane.to_string(),
            file: self.output.display().to_string(),
            frame: FrameFacts::new(number, meta),
            pattern: stamp.map(|stamp| [stamp.number, stamp.time_ns]),
        })
    }
}

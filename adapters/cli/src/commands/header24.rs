//! `publish`, `watch` and `snap` on the 24-byte-header object of an old program, instead of a lane.

use core::fmt;
use core::time::Duration;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, bail};
use camlane::legacy::{Frame24, Header24Options, Header24Reader, ObjectName, Stall, Writing};
use camlane::{Address, PixelFormat};
use serde::Serialize;

use crate::commands::{self, TimedOut};
use crate::describe::FrameFacts;
use crate::output::{Output, Status};
use crate::snapshot::{Kind, Shot};
use crate::source::{self, SourceError, SourceOptions};
use crate::{pattern, stop};

/// What starts the name of such an object on the command line.
pub(crate) const PREFIX: &str = "header24:";
/// How long a frame may stand still before that is worth a word.
const STILL: Duration = Duration::from_secs(1);

/// What a command works on.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    Lane(Address),
    Header24(ObjectName),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lane(address) => address.fmt(f),
            Self::Header24(name) => write!(f, "{PREFIX}{name}"),
        }
    }
}

/// Reads a lane's address or `header24:NAME`.
pub(crate) fn target(text: &str) -> Result<Target, String> {
    match text.strip_prefix(PREFIX) {
        Some(name) => commands::object(name).map(Target::Header24),
        None => commands::address(text).map(Target::Lane),
    }
}

/// How to publish.
pub(crate) struct Publishing<'p> {
    pub(crate) name: &'p ObjectName,
    pub(crate) from: &'p str,
    pub(crate) source: SourceOptions,
    pub(crate) frames: Option<u64>,
    pub(crate) mode: u32,
}

#[derive(Debug, Serialize)]
struct Published<'p> {
    object: String,
    source: &'p str,
    frames: u64,
    seconds: f64,
    end: &'static str,
}

impl Publishing<'_> {
    pub(crate) fn run(mut self, output: Output) -> anyhow::Result<ExitCode> {
        stop::on_signals()?;
        self.source.format.get_or_insert(PixelFormat::BGR8);
        let mut source = source::open(self.from, &self.source)?;
        let stream = source.stream().clone();
        let options = Header24Options::new().mode(self.mode);
        let mut writer = options.create(self.name, &stream.layout)?;
        output.note(format_args!(
            "{PREFIX}{}: {} {}x{} from {}, mode {:o}; Ctrl-C ends it",
            self.name,
            stream.layout.format,
            stream.layout.width,
            stream.layout.height,
            stream.name,
            self.mode
        ));
        let (start, mut frames) = (Instant::now(), 0u64);
        let mut buffer = vec![0; stream.largest as usize];
        let rate = stream.rate.filter(|_| !stream.live);
        let end = loop {
            if self.frames.is_some_and(|most| frames >= most) {
                break "frames";
            }
            let late = rate.is_some_and(|rate| stop::sleep_until(start + commands::moment(frames, rate)));
            if late || stop::requested() {
                break "stopped";
            }
            match source.fill(&mut buffer) {
                Ok(Some(filled)) => {
                    let pixels =
                        buffer.get(..filled.bytes as usize).context("a source that fills too much")?;
                    writer.publish(&filled.layout, pixels)?;
                    frames += 1;
                }
                Ok(None) => break if stop::requested() { "stopped" } else { "source" },
                Err(SourceError::SlotTooSmall { needed, room }) if needed > room => buffer.resize(needed, 0),
                Err(error) => return Err(error.into()),
            }
        };
        drop(writer); // takes the frame back before anybody reads about it
        let seconds = start.elapsed().as_secs_f64();
        let done = Published { object: self.name.to_string(), source: &stream.name, frames, seconds, end };
        if output.json {
            output.value(&done)?;
        } else {
            output.line(format_args!("{frames} frames in {seconds:.1} s"))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// How to watch.
pub(crate) struct Watching<'w> {
    pub(crate) name: &'w ObjectName,
    pub(crate) frames: Option<u64>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) check: bool,
    pub(crate) save: Option<&'w Path>,
    pub(crate) raw: bool,
}

/// What happened, for programs: one object a line.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum Event {
    Frame {
        #[serde(flatten)]
        facts: Box<FrameFacts>,
        timestamp_ms: i64,
        age_ms: u128,
        replaced: bool,
        discarded: u32,
    },
    Stall {
        kind: &'static str,
        text: String,
    },
    Summary {
        object: String,
        frames: u64,
        discarded: u64,
        replaced: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        torn: Option<u64>,
        seconds: f64,
        end: &'static str,
    },
}

#[derive(Debug, Default)]
struct Counts {
    frames: u64,
    discarded: u64,
    replaced: u64,
    torn: u64,
}

impl Watching<'_> {
    pub(crate) fn run(&self, output: Output) -> anyhow::Result<ExitCode> {
        stop::on_signals()?;
        if let Some(dir) = self.save {
            std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        }
        let mut counts = Counts::default();
        let begun = Instant::now();
        let watched = self.watch(output, &mut counts);
        let end = *watched.as_ref().unwrap_or(&"failed");
        let Counts { frames, discarded, replaced, torn } = counts;
        let seconds = begun.elapsed().as_secs_f64();
        if output.json {
            let (object, torn) = (self.name.to_string(), self.check.then_some(torn));
            output.value(&Event::Summary { object, frames, discarded, replaced, torn, seconds, end })?;
        } else {
            let checked = if self.check { format!(", {torn} torn") } else { String::new() };
            let text = format!(
                "{frames} frames in {seconds:.1} s, {discarded} copies discarded, {replaced} restarts{checked}"
            );
            self.say(output, &text)?;
        }
        match watched? {
            "timeout" => Err(TimedOut::after(self.timeout.unwrap_or_default()).into()),
            _ if torn > 0 => bail!("{torn} of {frames} frames are not the test picture"),
            _ => Ok(ExitCode::SUCCESS),
        }
    }

    fn watch(&self, output: Output, counts: &mut Counts) -> anyhow::Result<&'static str> {
        let mut reader = Header24Reader::new(self.name);
        let (mut last, mut told, mut shown) = (Instant::now(), "", (Instant::now(), 0));
        loop {
            let look = self.timeout.map_or(stop::LOOK, |timeout| stop::LOOK.min(timeout));
            match reader.next(look) {
                Ok(frame) => {
                    (last, told) = (Instant::now(), "");
                    self.show(output, counts, &frame)?;
                }
                // Without patience an object that is not there is an error, as a lane is.
                Err(stall @ Stall::Absent { .. }) if self.timeout.is_none() => return Err(absent(&stall)),
                Err(stall) => {
                    let kind = kind(&stall);
                    if kind != told && lasts(&stall) {
                        told = kind;
                        let text = stall.to_string();
                        match output.json {
                            true => output.value(&Event::Stall { kind, text })?,
                            false => self.say(output, &format!("-- {text}"))?,
                        }
                    }
                }
            }
            if self.frames.is_some_and(|frames| counts.frames >= frames) {
                return Ok("frames");
            }
            if stop::requested() {
                return Ok("stopped");
            }
            if self.timeout.is_some_and(|timeout| last.elapsed() >= timeout) {
                return Ok("timeout");
            }
            let passed = shown.0.elapsed();
            if passed >= Duration::from_secs(1) && !output.json {
                let rate = (counts.frames - shown.1) as f64 / passed.as_secs_f64();
                self.say(
                    output,
                    &format!("{} frames  {rate:.1}/s  {} copies discarded", counts.frames, counts.discarded),
                )?;
                shown = (Instant::now(), counts.frames);
            }
        }
    }

    fn show(&self, output: Output, counts: &mut Counts, frame: &Frame24) -> anyhow::Result<()> {
        counts.frames += 1;
        counts.discarded += u64::from(frame.discarded);
        counts.replaced += u64::from(frame.replaced);
        let (number, meta) = (counts.frames, frame.meta());
        if self.check && pattern::check(&meta.layout, &frame.pixels).is_err() {
            counts.torn += 1;
        }
        if let Some(dir) = self.save {
            let file = dir.join(format!("header24-{number:08}.png"));
            Shot { number, meta: &meta, payload: &frame.pixels }.save(&file, Kind::Png)?;
        }
        if self.raw {
            io::stdout().lock().write_all(&frame.pixels)?;
        }
        if output.json {
            output.value(&Event::Frame {
                facts: Box::new(FrameFacts::new(number, &meta)),
                timestamp_ms: frame.header.timestamp_ms,
                age_ms: frame.age().as_millis(),
                replaced: frame.replaced,
                discarded: frame.discarded,
            })?;
        }
        Ok(())
    }

    /// A line for people, which must not get between the pixels.
    fn say(&self, output: Output, text: &str) -> io::Result<()> {
        if self.raw {
            output.note(text);
            return Ok(());
        }
        output.line(text)
    }
}

/// Saves the frame that is there, or the next one.
pub(crate) fn snap(
    name: &ObjectName,
    path: &Path,
    timeout: Option<Duration>,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let kind = Kind::of(path)?;
    stop::on_signals()?;
    let patience = timeout.unwrap_or(Duration::from_secs(5));
    let (mut reader, deadline) = (Header24Reader::new(name), Instant::now() + patience);
    let frame = loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match reader.next(left.min(stop::LOOK)) {
            Ok(frame) => break frame,
            _ if stop::requested() => return Ok(ExitCode::FAILURE),
            Err(stall @ Stall::Absent { .. }) if timeout.is_none() || left.is_zero() => {
                return Err(absent(&stall));
            }
            Err(stall) if left.is_zero() => {
                return Err(anyhow::Error::new(TimedOut::after(patience)).context(stall.to_string()));
            }
            Err(_) => {}
        }
    };
    let meta = frame.meta();
    Shot { number: 1, meta: &meta, payload: &frame.pixels }.save(path, kind)?;
    if path.as_os_str() != "-" {
        let age = frame.age();
        match output.json {
            true => output.value(&Event::Frame {
                facts: Box::new(FrameFacts::new(1, &meta)),
                timestamp_ms: frame.header.timestamp_ms,
                age_ms: age.as_millis(),
                replaced: false,
                discarded: frame.discarded,
            })?,
            false => output.line(format_args!("{}: a frame of {age:?} ago", path.display()))?,
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// There is no such object: the exit status is that of a lane that is not there.
fn absent(stall: &Stall) -> anyhow::Error {
    anyhow::Error::new(commands::NoObject).context(stall.to_string())
}

/// The word for programs.
pub(crate) const fn kind(stall: &Stall) -> &'static str {
    match stall {
        Stall::Absent { .. } => "absent",
        Stall::Gone { .. } => "gone",
        Stall::HalfFrame { .. } => "half-frame",
        Stall::Stale { .. } => "stale",
        Stall::Overwritten { .. } => "overwritten",
        Stall::Ahead { .. } => "ahead",
        _ => "unusable",
    }
}

/// Tells whether a stall is more than a pause between two frames.
pub(crate) fn lasts(stall: &Stall) -> bool {
    match stall {
        Stall::HalfFrame { age, writing, .. } | Stall::Stale { age, writing, .. } => {
            *writing == Writing::Impossible || *age >= STILL
        }
        _ => true,
    }
}

/// Shows news of a stall once, however often it is looked at.
#[derive(Debug)]
pub(crate) struct News {
    status: Status,
    told: &'static str,
}

impl News {
    pub(crate) fn new(output: Output) -> Self {
        Self { status: Status::new(output), told: "" }
    }

    /// Says `text` if it is about something else than the last time.
    pub(crate) fn say(&mut self, kind: &'static str, text: impl fmt::Display) {
        if kind != self.told {
            self.told = kind;
            self.status.say(text);
        }
    }

    /// Frames or bytes come again.
    pub(crate) fn clear(&mut self) {
        self.told = "";
    }
}

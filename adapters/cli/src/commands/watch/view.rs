//! What `camlane watch` shows, and what it counts for that.

use core::time::Duration;
use std::io::{self, Write as _};
use std::time::Instant;

use camlane::{Address, Frame, Pause};
use camlane_measure::{Summary as Percentiles, Times};
use camlane_v4l2::MemoryPath;
use serde::Serialize;

use super::Watch;
use crate::describe::{FrameFacts, PauseFacts};
use crate::output::{self, Output};
use crate::pattern;
use crate::snapshot::{Kind, Shot, write_packed};

/// What happened, for programs: one object a line.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(super) enum Event<'e> {
    Frame {
        #[serde(flatten)]
        facts: Box<FrameFacts>,
        age_ns: Option<u64>,
        missed: u64,
        dropped: u32,
        restarted: bool,
    },
    /// The producer says why no frames come.
    Pause(PauseFacts),
    /// The producer ended the stream.
    Closed,
    /// The producer died.
    Gone,
    Summary(&'e Summary),
}

/// What came of it.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    lane: String,
    frames: u64,
    missed: u64,
    dropped: u64,
    restarts: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    torn: Option<u64>,
    seconds: f64,
    rate: f64,
    age_ns: Percentiles,
    end: &'static str,
}

/// Everything that is shown, and what was counted for it.
pub(super) struct View<'w> {
    watch: &'w Watch,
    lane: &'w Address,
    output: Output,
    pub(super) frames: u64,
    pub(super) torn: u64,
    pub(super) first_torn: String,
    ages: Times,
    recent: Times,
    newest: String,
    paused: Option<Pause>,
    begun: Instant,
    first: Option<Instant>,
    shown: Instant,
    shown_frames: u64,
}

impl<'w> View<'w> {
    pub(super) fn new(watch: &'w Watch, lane: &'w Address, output: Output) -> Self {
        let now = Instant::now();
        Self {
            watch,
            lane,
            output,
            frames: 0,
            torn: 0,
            first_torn: String::new(),
            ages: Times::new(),
            recent: Times::new(),
            newest: String::new(),
            paused: None,
            begun: now,
            first: None,
            shown: now,
            shown_frames: 0,
        }
    }

    /// Tells whether standard output is for people.
    const fn is_text(&self) -> bool {
        !self.output.json && !self.watch.raw
    }

    pub(super) fn show(&mut self, frame: &Frame) -> anyhow::Result<()> {
        let age = frame.age().map(|age| age.as_nanos() as u64); // first of all: the rest takes time
        if let Some(age) = age {
            self.ages.record(age);
            self.recent.record(age);
        }
        self.frames += 1;
        self.paused = None;
        self.first.get_or_insert_with(Instant::now);
        let (number, meta) = (frame.number(), frame.meta());
        let layout = &meta.layout;
        let change = frame.change();
        if self.is_text() && change.any() {
            let what = if change.restarted {
                "another producer: frames are counted anew"
            } else {
                "the picture changed"
            };
            self.output
                .line(format_args!("-- {what}, {} {}x{}", layout.format, layout.width, layout.height))?;
        }
        let by = MemoryPath::of(meta.flags)
            .map_or_else(String::new, |path| format!(", {path} with {} copies", path.copies()));
        self.newest = format!("{number}  {} {}x{}{by}", layout.format, layout.width, layout.height);
        if self.watch.check {
            self.check(frame);
        }
        if let Some(dir) = &self.watch.save {
            let file = dir.join(format!("{}-{number:08}.png", self.lane.name()));
            Shot { number, meta: &meta, payload: frame }.save(&file, Kind::Png)?;
        }
        if self.watch.raw {
            let mut out = io::stdout().lock();
            if self.watch.padded { out.write_all(frame)? } else { write_packed(&mut out, &meta, frame)? }
        }
        if self.output.json {
            self.output.value(&Event::Frame {
                facts: Box::new(FrameFacts::new(number, &meta)),
                age_ns: age,
                missed: frame.missed(),
                dropped: frame.dropped(),
                restarted: change.restarted,
            })?;
        }
        Ok(())
    }

    fn check(&mut self, frame: &Frame) {
        let meta = frame.meta();
        let wrong = match pattern::check(&meta.layout, frame) {
            Ok(stamp) if stamp.number as u32 == meta.source_sequence => return,
            Ok(stamp) => format!("picture {} came as number {}", stamp.number, meta.source_sequence),
            Err(torn) => format!(
                "byte {} (plane {}, row {}) is {} and should be {}",
                torn.offset, torn.plane, torn.row, torn.found, torn.expected
            ),
        };
        self.torn += 1;
        if self.first_torn.is_empty() {
            self.first_torn = format!("frame {}: {wrong}", frame.number());
        }
    }

    pub(super) fn news(&self, event: &Event<'_>, text: &str) -> io::Result<()> {
        match self.output.json {
            true => self.output.value(event),
            false if self.watch.raw => {
                self.output.note(text);
                Ok(())
            }
            false => self.output.line(format_args!("-- {text}")),
        }
    }

    /// Tells why no frames come, when that is news.
    pub(super) fn pause(&mut self, told: Option<Pause>) -> io::Result<()> {
        let why = |pause: &Option<Pause>| pause.map(|pause| (pause.reason, pause.errno));
        let is_news = why(&told) != why(&self.paused);
        self.paused = told;
        match told.filter(|_| is_news) {
            Some(pause) => self.news(&Event::Pause(pause.into()), &pause.to_string()),
            None => Ok(()),
        }
    }

    /// Writes the line of a second.
    pub(super) fn tick(&mut self, totals: camlane::Totals) -> io::Result<()> {
        let passed = self.shown.elapsed();
        if passed < Duration::from_secs(1) {
            return Ok(());
        }
        let rate = (self.frames - self.shown_frames) as f64 / passed.as_secs_f64();
        let at = |share| self.recent.at(share).map_or_else(|| "-".to_owned(), output::nanos);
        let line = match self.frames - self.shown_frames {
            0 => match self.paused {
                Some(pause) => format!("no frame: {pause}"),
                None => "no frame".to_owned(),
            },
            _ => format!(
                "frame {}  {rate:.1}/s  missed {}  dropped {}  age p50 {} p99 {}",
                self.newest,
                totals.missed,
                totals.dropped,
                at(0.5),
                at(0.99)
            ),
        };
        (self.shown, self.shown_frames) = (Instant::now(), self.frames);
        self.recent.clear();
        if self.is_text() {
            return self.output.line(line);
        }
        if !self.output.json {
            self.output.note(line);
        }
        Ok(())
    }

    pub(super) fn finish(&self, totals: camlane::Totals, end: &'static str) -> io::Result<()> {
        let seconds = self.first.unwrap_or(self.begun).elapsed().as_secs_f64();
        let summary = Summary {
            lane: self.lane.to_string(),
            frames: self.frames,
            missed: totals.missed,
            dropped: totals.dropped,
            restarts: totals.restarts,
            torn: self.watch.check.then_some(self.torn),
            seconds,
            // The first frame begins the time, so it does not count.
            rate: self.frames.saturating_sub(1) as f64 / seconds.max(1e-9),
            age_ns: self.ages.summary(),
            end,
        };
        if self.output.json {
            return self.output.value(&Event::Summary(&summary));
        }
        let checked = if self.watch.check { format!(", {} torn", self.torn) } else { String::new() };
        let text = format!(
            "{} frames in {seconds:.1} s, {:.1}/s, {} missed, {} dropped, {} restarts{checked}, age p50 {} p99 {}",
            summary.frames,
            summary.rate,
            summary.missed,
            summary.dropped,
            summary.restarts,
            output::nanos(summary.age_ns.p50),
            output::nanos(summary.age_ns.p99),
        );
        if self.watch.raw {
            self.output.note(text);
            return Ok(());
        }
        self.output.line(text)
    }
}

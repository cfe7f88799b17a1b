//! `camlane watch --sync`: lanes in step.

use core::time::Duration;
use std::io;
use std::process::ExitCode;
use std::time::Instant;

use camlane::{
    Address, Consumer, ConsumerOptions, Frameset, FramesetError, PauseReason, Read, SyncTotals, Synchronizer,
    WaitError,
};
use camlane_measure::{Summary as Percentiles, Times};
use serde::Serialize;

use super::Watch;
use crate::commands::{self, TimedOut};
use crate::output::{self, Output};
use crate::stop;

/// What happened, for programs: one object a line.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum Event<'e> {
    Frameset {
        capture_ns: u64,
        spread_ns: u64,
        frames: Vec<Member>,
    },
    /// A lane's producer ended the stream or died, or says why no frames come, or its frames cannot be compared.
    News {
        text: String,
    },
    Summary {
        framesets: u64,
        seconds: f64,
        spread_ns: Percentiles,
        lanes: &'e [Lane],
        end: &'static str,
    },
}

#[derive(Debug, Serialize)]
struct Member {
    number: u64,
    capture_ns: u64,
    missed: u64,
    dropped: u32,
}

/// What became of a lane's frames.
#[derive(Debug, Serialize)]
struct Lane {
    lane: String,
    delivered: u64,
    paired: u64,
    unpaired: u64,
    waiting: u64,
    missed: u64,
    dropped: u64,
    restarts: u64,
}

impl Lane {
    fn new(lane: &Consumer, totals: SyncTotals) -> Self {
        let SyncTotals { reader, paired, unpaired, waiting, .. } = totals;
        let lane = lane.address().to_string();
        let camlane::Totals { delivered, missed, dropped, restarts } = reader;
        Self { lane, delivered, paired, unpaired, waiting, missed, dropped, restarts }
    }
}

/// Watches several lanes in step.
pub(super) struct InStep<'w> {
    watch: &'w Watch,
    output: Output,
    framesets: u64,
    /// Why each lane has no frames.
    paused: Vec<Option<PauseReason>>,
    spreads: Times,
    began: Instant,
    shown: (Instant, u64),
}

impl<'w> InStep<'w> {
    pub(super) fn new(watch: &'w Watch, output: Output) -> Self {
        let now = Instant::now();
        let (spreads, paused) = (Times::new(), Vec::new());
        Self { watch, output, framesets: 0, paused, spreads, began: now, shown: (now, 0) }
    }

    pub(super) fn run(mut self, lanes: &[Address], tolerance: Duration) -> anyhow::Result<ExitCode> {
        let options = ConsumerOptions::new().read(Read::Every);
        let mut consumers = Vec::new();
        for lane in lanes {
            match commands::open(lane, &options, self.watch.timeout)? {
                Some(consumer) => consumers.push(consumer),
                None => return Ok(ExitCode::SUCCESS),
            }
        }
        let mut lanes = Synchronizer::of(consumers, tolerance)?;
        let end = self.follow(&mut lanes)?;
        self.finish(&lanes, end)?;
        match end {
            "timeout" => Err(TimedOut::after(self.watch.timeout.unwrap_or_default()).into()),
            _ => Ok(ExitCode::SUCCESS),
        }
    }

    /// Reads until something ends it, and says what.
    fn follow(&mut self, lanes: &mut Synchronizer) -> anyhow::Result<&'static str> {
        let mut last = Instant::now();
        loop {
            if stop::requested() {
                return Ok("stopped");
            }
            match lanes.next(self.watch.timeout.map_or(stop::LOOK, |timeout| stop::LOOK.min(timeout))) {
                Ok(set) => {
                    last = Instant::now();
                    self.show(&set)?;
                    if self.watch.frames.is_some_and(|frames| self.framesets >= frames) {
                        return Ok("frames");
                    }
                }
                Err(FramesetError::TimedOut) => self.pauses(lanes)?,
                Err(FramesetError::Lane { source: WaitError::Other(error), .. }) => return Err(error.into()),
                Err(news) => {
                    self.news(news.to_string())?;
                    let closed = matches!(news, FramesetError::Lane { source: WaitError::Closed, .. });
                    if closed && self.watch.until_end {
                        return Ok("closed");
                    }
                }
            }
            self.tick(lanes)?;
            if self.watch.timeout.is_some_and(|timeout| last.elapsed() >= timeout) {
                return Ok("timeout");
            }
        }
    }

    fn show(&mut self, set: &Frameset) -> io::Result<()> {
        let spread_ns = set.spread().as_nanos() as u64;
        self.framesets += 1;
        self.spreads.record(spread_ns);
        if !self.output.json {
            return Ok(());
        }
        let frames = set.frames().iter();
        let frames = frames.map(|frame| Member {
            number: frame.number(),
            capture_ns: frame.meta().capture_ns,
            missed: frame.missed(),
            dropped: frame.dropped(),
        });
        self.output.value(&Event::Frameset {
            capture_ns: set.capture_ns(),
            spread_ns,
            frames: frames.collect(),
        })
    }

    /// Tells of lanes without frames why, when that is news.
    fn pauses(&mut self, lanes: &Synchronizer) -> io::Result<()> {
        self.paused.resize(lanes.lanes().len(), None);
        for (index, lane) in lanes.lanes().iter().enumerate() {
            let told = lane.pause();
            let reason = told.map(|told| told.reason);
            let before = std::mem::replace(&mut self.paused[index], reason);
            if let Some(pause) = told.filter(|_| reason != before) {
                self.news(format!("lane '{}': {pause}", lane.address()))?;
            }
        }
        Ok(())
    }

    fn news(&self, text: String) -> io::Result<()> {
        if self.output.json {
            self.output.value(&Event::News { text })
        } else {
            self.output.line(format_args!("-- {text}"))
        }
    }

    /// Writes the line of a second.
    fn tick(&mut self, lanes: &Synchronizer) -> io::Result<()> {
        let (shown, before) = self.shown;
        let passed = shown.elapsed();
        if self.output.json || passed < Duration::from_secs(1) {
            return Ok(());
        }
        self.shown = (Instant::now(), self.framesets);
        let rate = (self.framesets - before) as f64 / passed.as_secs_f64();
        let facts = table(lanes).iter().map(account).collect::<Vec<_>>().join("; ");
        self.output.line(format_args!("{rate:.1} framesets/s  {facts}"))
    }

    fn finish(&self, lanes: &Synchronizer, end: &'static str) -> io::Result<()> {
        let (lanes, seconds) = (table(lanes), self.began.elapsed().as_secs_f64());
        let spread_ns = self.spreads.summary();
        if self.output.json {
            let framesets = self.framesets;
            return self.output.value(&Event::Summary { framesets, seconds, spread_ns, lanes: &lanes, end });
        }
        let (p50, p99) = (output::nanos(spread_ns.p50), output::nanos(spread_ns.p99));
        self.output.line(format_args!(
            "{} framesets in {seconds:.1} s, spread p50 {p50} p99 {p99}",
            self.framesets
        ))?;
        lanes.iter().try_for_each(|lane| self.output.line(account(lane)))
    }
}

fn table(lanes: &Synchronizer) -> Vec<Lane> {
    let lanes = lanes.lanes().iter().enumerate().map(|(index, lane)| (lane, lanes.totals(index)));
    lanes.map(|(lane, totals)| Lane::new(lane, totals.unwrap_or_default())).collect()
}

fn account(lane: &Lane) -> String {
    let Lane { lane, paired, unpaired, missed, dropped, .. } = lane;
    format!("{lane}: {paired} paired, {unpaired} unpaired, {missed} missed, {dropped} dropped")
}

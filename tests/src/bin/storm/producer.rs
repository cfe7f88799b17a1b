//! The producer: bursts of frames as fast as they can be made, with pauses so short that readers just fall asleep.

use std::hint::spin_loop;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use camlane::{Error, FrameMeta, LaneOptions};
use camlane_tests::orders::Orders;
use camlane_tests::pattern::Source;
use camlane_tests::random::Random;
use camlane_tests::wait::PATIENCE;
use clap::Args;
use hdrhistogram::Histogram;
use nix::sys::resource::{UsageWho, getrusage};
use nix::time::{ClockId, clock_gettime};

use crate::report::{Proof, Said, Shift, say, times};
use crate::world::descriptors;

/// How often it says what it did.
const REPORT: Duration = Duration::from_millis(100);

/// Publishes until the next order.
#[derive(Debug, Args)]
pub(crate) struct Produce {
    #[arg(long)]
    lane: String,
    #[arg(long)]
    bytes: u32,
    #[arg(long)]
    seats: u32,
    #[arg(long)]
    pins: u32,
    #[arg(long)]
    history: u32,
    #[arg(long)]
    seed: u64,
}

/// Loans that may be out at once.
const LOANS: u32 = 2;

impl Produce {
    pub(crate) fn run(self) -> Result<()> {
        let options = LaneOptions::for_bytes(self.bytes)
            .seats(self.seats)
            .pins(self.pins)
            .history(self.history)
            .loans(LOANS);
        let source = Source::create(&self.lane, FrameMeta::bytes(self.bytes).layout, &options)?;
        say(&Said::Born { descriptors: descriptors() });
        let mut work =
            Work { source, random: Random::new(self.seed), wall: times(), cpu: times(), slept: 0, told: 0 };
        let mut orders = Orders::default();
        let mut reported = Instant::now();
        while !orders.waiting() {
            work.burst()?;
            if reported.elapsed() >= REPORT {
                reported = Instant::now();
                work.report();
            }
        }
        work.report();
        while let Some(order) = orders.next().filter(|order| order != "quit") {
            match order.strip_prefix("prove ") {
                None => say(&Said::Rests { published: work.source.producer.published() }),
                Some(due) => say(&Said::Proof(work.proof(due.parse()?)?)),
            }
        }
        Ok(())
    }
}

struct Work {
    source: Source,
    random: Random,
    wall: Histogram<u64>,
    cpu: Histogram<u64>,
    slept: u64,
    /// Frames published until the last report.
    told: u64,
}

impl Work {
    fn burst(&mut self) -> Result<()> {
        let switches = voluntary_switches()?;
        for _ in 0..=self.random.below(512) {
            self.shoot()?;
        }
        self.slept += voluntary_switches()? - switches;
        match self.random.below(4) {
            0 => thread::sleep(Duration::from_micros(self.random.below(2000))),
            1 => (0..self.random.below(20_000)).for_each(|_| spin_loop()),
            _ => {}
        }
        Ok(())
    }

    /// One frame, timed; now and then beside a loan that comes to nothing.
    fn shoot(&mut self) -> Result<()> {
        let producer = &self.source.producer;
        let spare = if self.random.below(16) == 0 { Some(producer.loan()?) } else { None };
        let lending = Lap::begin();
        let mut loan = producer.loan().context("a lane with room for everybody has no slot to lend")?;
        let lent = lending.end();
        let meta = self.source.painter().paint(&mut loan, producer.published() + 1);
        let publishing = Lap::begin();
        producer.publish(loan, &meta)?;
        let published = publishing.end();
        drop(spare);
        self.wall += lent.wall + published.wall;
        self.cpu += lent.cpu + published.cpu;
        Ok(())
    }

    fn report(&mut self) {
        let published = self.source.producer.published();
        let pairs = |times: &mut Histogram<u64>| {
            let pairs =
                times.iter_recorded().map(|step| (step.value_iterated_to(), step.count_at_value())).collect();
            times.clear();
            pairs
        };
        say(&Said::Shift(Shift {
            published: published - std::mem::replace(&mut self.told, published),
            wall: pairs(&mut self.wall),
            cpu: pairs(&mut self.cpu),
            slept: std::mem::take(&mut self.slept),
        }));
    }

    /// Counts what can be had once everybody has left, and that has been noticed.
    fn proof(&self, descriptors_due: usize) -> Result<Proof> {
        let producer = &self.source.producer;
        let began = Instant::now();
        let is_settled = || producer.consumers().is_empty() && descriptors() == descriptors_due;
        while !is_settled() && began.elapsed() < PATIENCE / 2 {
            producer.reclaim();
            thread::sleep(Duration::from_millis(1));
        }
        let dropped = producer.dropped();
        let mut loans = Vec::new();
        loop {
            match producer.loan() {
                Ok(loan) => loans.push(loan),
                Err(Error::Loan(_)) => break,
                Err(error) => return Err(error.into()),
            }
        }
        let shape = producer.shape();
        let kept = producer.published().min(shape.history().into());
        Ok(Proof {
            published: producer.published(),
            dropped,
            seats_taken: producer.consumers().len(),
            loans: loans.len() as u64,
            loans_due: u64::from(shape.slots()) - kept,
            descriptors: descriptors(),
        })
    }
}

/// The time between two moments of this thread, by two clocks.
struct Lap {
    wall: u64,
    cpu: u64,
}

impl Lap {
    fn begin() -> Self {
        // In this order at the start and the other at the end: the one that costs a system call is inside.
        let wall = nanos(ClockId::CLOCK_MONOTONIC);
        Self { wall, cpu: nanos(ClockId::CLOCK_THREAD_CPUTIME_ID) }
    }

    fn end(self) -> Self {
        let cpu = nanos(ClockId::CLOCK_THREAD_CPUTIME_ID) - self.cpu;
        Self { wall: nanos(ClockId::CLOCK_MONOTONIC) - self.wall, cpu }
    }
}

fn nanos(clock: ClockId) -> u64 {
    clock_gettime(clock).map_or(0, |time| Duration::from(time).as_nanos() as u64)
}

fn voluntary_switches() -> Result<u64> {
    Ok(getrusage(UsageWho::RUSAGE_THREAD)?.voluntary_context_switches() as u64)
}

//! The readers: one that pins and holds frames, one that copies. Both look at every byte.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use camlane::core::ReadError;
use camlane::{
    Consumer, ConsumerOptions, Error, Frame, LaneState, ObserveError, Observer, Read, Wait, WaitError,
};
use camlane_tests::orders::Orders;
use camlane_tests::pattern;
use camlane_tests::wait::PATIENCE;
use clap::Args;

use crate::report::{Looks, Run, Said, Tally, say};
use crate::world::{descriptors, mappings};

/// How often a reader says what it has counted.
const REPORT: Duration = Duration::from_millis(100);

/// Pins frames, holds some, and looks at each twice.
#[derive(Debug, Args)]
pub(crate) struct Reading {
    #[arg(long)]
    lane: String,
    /// Frames held.
    #[arg(long)]
    hold: usize,
    #[arg(long)]
    every: bool,
    #[arg(long)]
    adaptive: bool,
}

impl Reading {
    pub(crate) fn run(self) -> Result<()> {
        let mut orders = Orders::default();
        let before = (descriptors(), mappings());
        let Some(mut consumer) = self.open(&orders)? else { return Ok(()) };
        let mut account = Account::default();
        let mut held = VecDeque::new();
        let mut reported = Instant::now();
        while !orders.waiting() {
            let news = self.turn(&mut consumer, &mut account, &mut held)?;
            if news || reported.elapsed() >= REPORT {
                reported = Instant::now();
                say(&Said::Tally(account.tally));
            }
        }
        if let Some(goal) = orders.next().and_then(|order| Goal::parse(&order)) {
            goal.reach(|| {
                self.turn(&mut consumer, &mut account, &mut held)
                    .map(|_| (consumer.incarnation(), account.tally.last))
            })?;
        }
        held.iter().try_for_each(insist)?;
        drop((held, consumer));
        ensure!(
            before == (descriptors(), mappings()),
            "{before:?} descriptors and mappings before, {:?} after",
            (descriptors(), mappings())
        );
        say(&Said::Left(account.tally));
        Ok(())
    }

    /// Opens the lane as soon as there is one with a free seat; `None` if told to leave before.
    fn open(&self, orders: &Orders) -> Result<Option<Consumer>> {
        let options = ConsumerOptions::new()
            .read(if self.every { Read::Every } else { Read::Latest })
            .wait(if self.adaptive { Wait::Adaptive } else { Wait::Sleep });
        while !orders.waiting() {
            match options.open(&self.lane) {
                Ok(consumer) => return Ok(Some(consumer)),
                Err(Error::NoSuchLane { .. } | Error::SeatsTaken { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(None)
    }

    /// One wait; true if there is news besides frames.
    fn turn(
        &self,
        consumer: &mut Consumer,
        account: &mut Account,
        held: &mut VecDeque<Frame>,
    ) -> Result<bool> {
        match consumer.next(Duration::from_millis(50)) {
            Ok(frame) => {
                insist(&frame)?;
                let restarted = account.note(&frame)?;
                held.push_back(frame);
                if held.len() > self.hold {
                    held.pop_front().iter().try_for_each(insist)?;
                }
                return Ok(restarted);
            }
            Err(WaitError::TimedOut) => {}
            Err(WaitError::Closed | WaitError::ProducerGone) => {
                account.told(consumer.incarnation());
                return Ok(true);
            }
            Err(WaitError::Other(Error::Read(ReadError::Contended))) => account.tally.contended += 1,
            Err(error) => bail!("a wait for a frame: {error}"),
        }
        Ok(false)
    }
}

/// The last frame there will be: whoever is told to drain has to get it.
struct Goal {
    number: u64,
    run: Run,
}

impl Goal {
    fn parse(order: &str) -> Option<Self> {
        let mut words = order.strip_prefix("drain ")?.split(' ');
        let number = words.next()?.parse().ok()?;
        let words: Vec<u32> = words.map_while(|word| word.parse().ok()).collect();
        Some(Self { number, run: words.try_into().ok()? })
    }

    fn reach(&self, mut turn: impl FnMut() -> Result<(Run, u64)>) -> Result<()> {
        let began = Instant::now();
        loop {
            let (run, last) = turn()?;
            // Of a producer that published nothing there is no last frame, and what was read is another's.
            if run == self.run && (last == self.number || self.number == 0) {
                return Ok(());
            }
            ensure!(
                began.elapsed() < PATIENCE,
                "frame {} of run {:?} did not come, the last was {last} of {run:?}",
                self.number,
                self.run
            );
        }
    }
}

/// What a consumer has counted.
#[derive(Debug, Default)]
struct Account {
    tally: Tally,
}

impl Account {
    /// Enters a frame; true if it is the first of its run.
    fn note(&mut self, frame: &Frame) -> Result<bool> {
        let tally = &mut self.tally;
        let (number, missed) = (frame.number(), frame.missed());
        tally.checked += 1;
        tally.bytes += frame.len() as u64;
        let first = frame.incarnation() != tally.run || tally.delivered == 0;
        if first {
            let followed = frame.change().restarted;
            tally.restarts += u64::from(followed);
            // Who follows a restart misses what the new producer published before; a newcomer begins where it comes in.
            let base = if followed { 0 } else { number - missed - 1 };
            (tally.run, tally.base, tally.last) = (frame.incarnation(), base, base);
            (tally.delivered, tally.missed, tally.told) = (0, 0, false);
        }
        ensure!(
            number > tally.last && number - tally.last - 1 == missed,
            "frame {number} says that {missed} were missed after frame {}",
            tally.last
        );
        tally.last = number;
        tally.delivered += 1;
        tally.missed += missed;
        tally.skipped += missed;
        Ok(first)
    }

    /// Enters that a producer is gone.
    fn told(&mut self, run: [u32; 4]) {
        let tally = &mut self.tally;
        tally.ends += 1;
        tally.told = tally.run == run && tally.delivered > 0;
    }
}

fn insist(frame: &Frame) -> Result<()> {
    pattern::check(frame).map_err(|torn| anyhow::anyhow!("{torn}"))
}

/// Copies frames.
#[derive(Debug, Args)]
pub(crate) struct Looking {
    #[arg(long)]
    lane: String,
}

impl Looking {
    pub(crate) fn run(self) -> Result<()> {
        let orders = Orders::default();
        let before = (descriptors(), mappings());
        let mut looks = Looks::default();
        let mut reported = Instant::now();
        while !orders.waiting() {
            match Observer::open(&self.lane) {
                Ok(observer) => {
                    looks.opened += 1;
                    self.watch(&observer, &orders, &mut looks, &mut reported)?;
                }
                Err(Error::NoSuchLane { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        ensure!(
            before == (descriptors(), mappings()),
            "{before:?} descriptors and mappings before, {:?} after",
            (descriptors(), mappings())
        );
        say(&Said::Looks(looks));
        Ok(())
    }

    /// Copies until the next order, or until nothing new comes: then there may be another producer.
    fn watch(
        &self,
        observer: &Observer,
        orders: &Orders,
        looks: &mut Looks,
        reported: &mut Instant,
    ) -> Result<()> {
        let (mut last, mut fresh) = (0, Instant::now());
        while !orders.waiting()
            && observer.state() == LaneState::Live
            && fresh.elapsed() < Duration::from_millis(200)
        {
            match observer.copy_newest() {
                Ok(Some(copy)) => {
                    let number = copy.observed.number;
                    pattern::check_copy(&copy, observer.incarnation())
                        .map_err(|torn| anyhow::anyhow!("a copy: {torn}"))?;
                    ensure!(number >= last, "frame {number} was the newest after frame {last}");
                    looks.copies += u64::from(number > last);
                    looks.bytes += copy.pixels.len() as u64;
                    if number > last {
                        (last, fresh) = (number, Instant::now());
                    }
                }
                Ok(None) => {}
                Err(ObserveError::Contended) => looks.contended += 1,
                Err(error) => bail!("a copy: {error}"),
            }
            if reported.elapsed() >= REPORT {
                *reported = Instant::now();
                say(&Said::Looks(*looks));
            }
            observer.wait(Duration::from_millis(5));
        }
        Ok(())
    }
}

//! The producer's side of each job.

use std::time::Duration;

use anyhow::{Result, bail};
use camlane_measure::{Times, cpu_time};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, ClockNanosleepFlags, clock_gettime, clock_nanosleep};

use crate::board::{Board, Rest};
use crate::frame::{mark, mark_end};
use crate::outcome::Outcome;
use crate::peer::{Peer, Produce};
use crate::spec::{Job, Readers, Spec};

/// Fewest frames of a measurement, however long they take.
const FEWEST: u64 = 8;
/// Pause between a frame that was seen by all and the next, so that nothing queues.
const PAUSE: Duration = Duration::from_micros(10);
/// The same where consumers shall fall asleep.
const NAP: Duration = Duration::from_micros(300);
/// Pause between two frames that nobody waits for.
const BREATH: Duration = Duration::from_micros(2);
/// A frame that was not seen by then is lost.
const PATIENCE: Duration = Duration::from_millis(200);
/// Frames that may be on their way at the highest rate.
const WINDOW: u64 = 2;

/// Frames before those that count: every slot has been used on both sides, the adaptive wait knows the rhythm.
pub(crate) fn warm_up(spec: &Spec, copies: bool) -> u64 {
    match spec.place.job {
        Job::Stream => 15,
        Job::Rate => 20,
        _ if copies => 6,
        _ => 100,
    }
}

pub(crate) fn run<P: Peer>(spec: &Spec, board: &Board, producer: &mut P::Producer) -> Result<Outcome> {
    let copies = P::describe().copies;
    let mut side = Side { spec, board, producer, warm_up: warm_up(spec, copies), copies, number: 0 };
    match spec.place.job {
        Job::Polling => side.latency(Rest::Spin, PAUSE),
        Job::Asleep => side.latency(Rest::Sleep(NAP), Duration::ZERO),
        Job::Stream => side.stream(),
        Job::Readers => side.readers(),
        Job::Rate => side.rate(),
        Job::Attach => side.attach(),
        Job::Python => bail!("only Python programs do this"),
    }
}

struct Side<'a, P> {
    spec: &'a Spec,
    board: &'a Board,
    producer: &'a mut P,
    warm_up: u64,
    copies: bool,
    number: u64,
}

impl<P: Produce> Side<'_, P> {
    /// Publishes the next frame, stamped when everything but the publishing is done; records what it cost.
    fn publish(&mut self, costs: &mut Times) -> Result<()> {
        self.number += 1;
        let (timer, number) = (&self.spec.timer, self.number);
        let start = timer.ticks();
        self.producer.publish(|frame| mark(frame, timer.ticks(), number))?;
        let cost = timer.since(start);
        if number > self.warm_up {
            costs.record(cost);
        }
        Ok(())
    }

    /// Tells when enough was measured.
    fn clock(&self) -> impl Fn(u64) -> bool + use<P> {
        let (timer, time, warm_up) = (self.spec.timer.clone(), self.spec.time, self.warm_up);
        let end = timer.ticks() + timer.ticks_of(time);
        move |number| number >= warm_up + FEWEST && timer.ticks() >= end
    }

    fn latency(&mut self, rest: Rest, pause: Duration) -> Result<Outcome> {
        let mut outcome = Outcome::default();
        let is_over = self.clock();
        while !is_over(self.number) {
            self.publish(&mut outcome.publish)?;
            let in_time = self.board.await_seen(self.spec.place.readers, self.number, PATIENCE, rest);
            outcome.lost += u64::from(!in_time && self.number > self.warm_up);
            self.pause(pause);
        }
        Ok(outcome)
    }

    fn stream(&mut self) -> Result<Outcome> {
        let mut outcome = Outcome::default();
        let period = Duration::from_secs(1) / self.spec.rate;
        let frames = (self.spec.time.as_nanos() / period.as_nanos()) as u64;
        let mut due = Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC)?);
        let mut before = Duration::ZERO;
        while self.number < self.warm_up + frames {
            due += period;
            // Cut short by a signal, it is only a frame that comes early.
            let _ = clock_nanosleep(
                ClockId::CLOCK_MONOTONIC,
                ClockNanosleepFlags::TIMER_ABSTIME,
                &TimeSpec::from(due),
            );
            if self.number == self.warm_up {
                before = cpu_time();
            }
            self.publish(&mut outcome.publish)?;
        }
        // The last frame's share of other threads' work is done by then.
        std::thread::sleep(period);
        let spent = cpu_time().saturating_sub(before);
        outcome.cpu_us = Some(spent.as_secs_f64() * 1e6 / frames as f64);
        Ok(outcome)
    }

    fn readers(&mut self) -> Result<Outcome> {
        let mut outcome = Outcome::default();
        let turning = self.spec.doing == Readers::Turning && self.spec.place.readers > 0;
        let is_over = self.clock();
        while !is_over(self.number) {
            self.number += 1;
            let number = self.number;
            let start = self.spec.timer.ticks();
            self.producer.publish(|frame| mark(frame, 0, number))?;
            let cost = self.spec.timer.since(start);
            if number > self.warm_up {
                outcome.publish.record(cost);
            }
            if turning && !self.board.await_seen(1, number, PATIENCE, Rest::Spin) {
                outcome.lost += 1;
            }
            self.pause(BREATH);
        }
        Ok(outcome)
    }

    fn rate(&mut self) -> Result<Outcome> {
        let mut outcome = Outcome::default();
        // Not all the same: a kernel that merges equal pages, or a processor that compresses, shall gain nothing.
        let source: Vec<u8> = (0..self.spec.place.bytes()).map(|index| (index * 7 / 3) as u8).collect();
        let is_over = self.clock();
        while !is_over(self.number) {
            self.number += 1;
            let number = self.number;
            let (readers, oldest) = (self.spec.place.readers, number.saturating_sub(WINDOW));
            outcome.lost += u64::from(!self.board.await_seen(readers, oldest, PATIENCE, Rest::Spin));
            let marks = |frame: &mut [u8]| {
                mark(frame, 0, number);
                mark_end(frame, number);
            };
            if self.copies {
                self.producer.publish(marks)?;
            } else {
                self.producer.publish_copy(&source, self.spec.place.way, marks)?;
            }
        }
        Ok(outcome)
    }

    fn attach(&mut self) -> Result<Outcome> {
        let mut costs = Times::new();
        let is_over = self.clock();
        while !is_over(self.number) {
            self.producer.admit()?;
            self.publish(&mut costs)?;
            std::thread::sleep(Duration::from_micros(50));
        }
        Ok(Outcome::default())
    }

    fn pause(&self, time: Duration) {
        if !time.is_zero() {
            self.spec.timer.spin_until(self.spec.timer.ticks() + self.spec.timer.ticks_of(time));
        }
    }
}

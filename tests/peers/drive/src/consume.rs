//! The consumer's side of each job.

use std::time::Duration;

use anyhow::{Result, bail};
use camlane_measure::cpu_time;
use camlane_measure::limits::copy::read_lines;

use crate::board::Board;
use crate::frame::{number, number_at_end, stamp};
use crate::outcome::Outcome;
use crate::peer::{Consume, Peer};
use crate::produce::warm_up;
use crate::spec::{Job, Readers, Spec};

/// Longest sleep without a look at the board.
const LIMIT: Duration = Duration::from_millis(60);

pub(crate) fn run<P: Peer>(
    spec: &Spec,
    board: &Board,
    ready: impl FnOnce() -> Result<()>,
) -> Result<Outcome> {
    let warm_up = warm_up(spec, P::describe().copies);
    let open = || P::consumer(&spec.place);
    match spec.place.job {
        Job::Polling => {
            latency(spec, board, warm_up, opened(open, ready)?, |consumer, look| consumer.poll(look))
        }
        Job::Asleep => {
            latency(spec, board, warm_up, opened(open, ready)?, |consumer, look| consumer.wait(LIMIT, look))
        }
        Job::Stream => stream(spec, board, warm_up, opened(open, ready)?),
        Job::Rate => rate(spec, board, warm_up, opened(open, ready)?),
        Job::Readers => {
            let consumers = (0..spec.place.readers).map(|_| open()).collect::<Result<Vec<_>>>()?;
            ready()?;
            readers(spec, board, consumers)
        }
        Job::Attach => {
            ready()?;
            attach(spec, board, open)
        }
        Job::Python => bail!("only Python programs do this"),
    }
}

fn opened<C>(open: impl FnOnce() -> Result<C>, ready: impl FnOnce() -> Result<()>) -> Result<C> {
    let consumer = open()?;
    ready()?;
    Ok(consumer)
}

/// When a frame was held, when its first word had been read, and what that was.
struct Look {
    held: u64,
    stamp: u64,
    touched: u64,
    number: u64,
}

fn latency<C: Consume>(
    spec: &Spec,
    board: &Board,
    warm_up: u64,
    mut consumer: C,
    mut take: impl FnMut(&mut C, &mut dyn FnMut(&[u8]) -> Look) -> Result<Option<Look>>,
) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let timer = &spec.timer;
    let mut last = 0;
    while !board.has_stopped() {
        let look = take(&mut consumer, &mut |frame| {
            let held = timer.ticks();
            let stamp = std::hint::black_box(stamp(frame));
            let touched = timer.ticks(); // behind the load: the counter is read after what stands before it
            Look { held, stamp, touched, number: number(frame) }
        })?;
        let Some(look) = look.filter(|look| look.number > last) else { continue };
        last = look.number;
        board.saw(spec.index, last);
        if last > warm_up {
            outcome.held.record(timer.between(look.stamp, look.held));
            outcome.touched.record(timer.between(look.stamp, look.touched));
        }
    }
    Ok(outcome)
}

fn stream<C: Consume>(spec: &Spec, board: &Board, warm_up: u64, mut consumer: C) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let timer = &spec.timer;
    let (mut last, mut first) = (0, None);
    let mut end = Duration::ZERO;
    while !board.has_stopped() {
        let look = consumer.wait(LIMIT, |frame| {
            let held = timer.ticks();
            let stamp = std::hint::black_box(stamp(frame));
            Look { held, stamp, touched: timer.ticks(), number: number(frame) }
        })?;
        let Some(look) = look.filter(|look| look.number > last) else { continue };
        last = look.number;
        if last > warm_up {
            outcome.held.record(timer.between(look.stamp, look.held));
            outcome.touched.record(timer.between(look.stamp, look.touched));
        }
        if last >= warm_up {
            end = cpu_time();
            first.get_or_insert((last, end));
        }
    }
    if let Some((first, begin)) = first.filter(|(first, _)| last > *first) {
        outcome.cpu_us = Some(end.saturating_sub(begin).as_secs_f64() * 1e6 / (last - first) as f64);
        outcome.lost = (last - first).saturating_sub(outcome.touched.len());
    }
    Ok(outcome)
}

fn readers<C: Consume>(spec: &Spec, board: &Board, mut consumers: Vec<C>) -> Result<Outcome> {
    match spec.doing {
        Readers::Silent => {
            while !board.has_stopped() {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        Readers::Turning => {
            // A frame may be lost when a process is not given its processor for long: all go on from the oldest they have.
            let mut last = vec![0; consumers.len()];
            while let Some(oldest) = last.iter().copied().min() {
                board.saw(0, oldest);
                for (consumer, last) in consumers.iter_mut().zip(&mut last) {
                    while *last <= oldest {
                        if board.has_stopped() {
                            return Ok(Outcome::default());
                        }
                        *last = consumer.poll(number)?.unwrap_or(*last);
                    }
                }
            }
        }
        Readers::Polling => {
            while !board.has_stopped() {
                for consumer in &mut consumers {
                    consumer.poll(number)?;
                }
            }
        }
    }
    Ok(Outcome::default())
}

fn rate<C: Consume>(spec: &Spec, board: &Board, warm_up: u64, mut consumer: C) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let (mut last, mut frames) = (0, 0_u64);
    let (mut begin, mut end) = (0, 0);
    while !board.has_stopped() {
        let newest = last;
        let look = consumer.poll(|frame| {
            let number = number(frame);
            if number <= newest {
                return None; // a mailbox that still has the last one
            }
            std::hint::black_box(read_lines(frame));
            Some((number, number_at_end(frame) == number))
        })?;
        let Some((number, whole)) = look.flatten() else { continue };
        last = number;
        board.saw(spec.index, number);
        if number >= warm_up {
            end = spec.timer.ticks();
            if begin == 0 {
                begin = end;
            } else {
                frames += 1;
                outcome.torn += u64::from(!whole);
            }
        }
    }
    let seconds = spec.timer.between(begin, end) as f64 / 1e9;
    outcome.rate = (frames > 0).then(|| frames as f64 / seconds);
    Ok(outcome)
}

fn attach<C: Consume>(spec: &Spec, board: &Board, open: impl Fn() -> Result<C>) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    while !board.has_started() {
        std::thread::sleep(Duration::from_millis(1));
    }
    while !board.has_stopped() {
        let start = spec.timer.ticks();
        let mut consumer = open()?;
        let touched = loop {
            let touched = consumer.wait(LIMIT, |frame| {
                std::hint::black_box(stamp(frame));
                spec.timer.ticks()
            })?;
            match touched {
                Some(touched) => break touched,
                None if board.has_stopped() => return Ok(outcome),
                None => {}
            }
        };
        outcome.attach.record(spec.timer.between(start, touched));
    }
    Ok(outcome)
}

//! The ends that receive.

use core::hint::black_box;
use core::time::Duration;
use std::time::Instant;

use anyhow::{Context as _, bail};
use camlane::{Consumer, ConsumerOptions, Frame, Read, Wait, WaitError};
use camlane_measure::limits::copy::read_lines;
use camlane_measure::{Ring, Taken, cpu_time};

use super::job::{Job, Pace, Report, Said, Task, Waiting, Way};
use super::produce::RING_SLOTS;
use super::worker::{Desk, LOOK, Patience, settle};
use crate::children::say;
use crate::stop;

/// What frames come from.
enum Inlet {
    Line { ring: Ring, last: u64, count: u64 },
    Ring(Ring),
    Lane(Box<Consumer>),
}

/// A frame in hand.
#[allow(clippy::large_enum_variant, reason = "a box would be an allocation within the time that is measured")]
enum Got {
    Line(u64),
    Ring(Taken),
    Lane(Frame),
}

/// Receives the frames of a job until the last.
pub(super) fn run(task: &Task, desk: &Desk, index: u32) -> anyhow::Result<Report> {
    let (job, timer) = (&task.job, &task.timer);
    let mut inlet = Inlet::open(task)?;
    settle(task)?;
    say(&Said::Ready(String::new()))?;
    let mut report = Report::default();
    let (mut begun, mut cpu, mut at) = (Instant::now(), Duration::ZERO, 0);
    let warm_up = u64::from(job.warm_up);
    let mut patience = Patience::default();
    while at < job.last() {
        let Some(got) = inlet.next(job)? else {
            if !patience.spin() {
                bail!("interrupted");
            }
            continue;
        };
        // Reading the clock once more would show in the shortest times: every second frame is for the one, the other for the
        // other.
        let apart = job.wait.is_awake();
        let held = (!apart || at % 2 == 0).then(|| timer.ticks());
        let stamp = inlet.stamp(&got);
        let touched = (!apart || at % 2 == 1).then(|| timer.ticks());
        let (number, missed) = inlet.number(&got);
        if job.read {
            inlet.read(&got, job);
        }
        drop(got);
        if number > warm_up {
            report.frames += 1;
            // What was missed before the first frame that counts does not count either.
            report.missed += missed.min(number - warm_up - 1);
            if let Some(held) = held {
                report.held.record(timer.between(stamp, held));
            }
            if let Some(touched) = touched {
                report.touched.record(timer.between(stamp, touched));
            }
        }
        desk.finish(index, number);
        if at < warm_up && number >= warm_up {
            (begun, cpu) = (Instant::now(), cpu_time());
        }
        at = number;
    }
    report.seconds = begun.elapsed().as_secs_f64();
    report.cpu_ns = cpu_time().saturating_sub(cpu).as_nanos() as u64;
    Ok(report)
}

/// Many consumers in one process. If frames are sent in a closed loop, each takes every frame and holds it until the next,
/// so that all their pins change between two loans. Else they only sit there.
pub(super) fn crowd(task: &Task, desk: &Desk) -> anyhow::Result<Report> {
    let (job, timer) = (&task.job, &task.timer);
    let open = |_| ConsumerOptions::new().read(Read::Latest).open(&task.lane);
    let mut consumers: Vec<Consumer> = (0..job.readers).map(open).collect::<Result<_, _>>()?;
    settle(task)?;
    say(&Said::Ready(String::new()))?;
    let mut report = Report::default();
    if !job.is_closed_loop() {
        while !stop::requested() {
            stop::sleep_until(Instant::now() + LOOK); // until the bench has heard enough and ends this process
        }
        return Ok(report);
    }
    let mut held: Vec<Option<Frame>> = consumers.iter().map(|_| None).collect();
    let mut patience = Patience::default();
    let mut at = 0;
    while at < job.last() {
        for (index, (consumer, slot)) in consumers.iter_mut().zip(&mut held).enumerate() {
            loop {
                let start = timer.ticks();
                if let Some(frame) = consumer.try_next()? {
                    let number = frame.number();
                    *slot = Some(frame);
                    let nanos = timer.since(start);
                    if index == 0 {
                        report.missed += number - at - 1;
                        at = number;
                        if number > u64::from(job.warm_up) {
                            report.borrow.record(nanos);
                            report.frames += 1;
                        }
                    }
                    break;
                }
                if !patience.spin() {
                    bail!("interrupted");
                }
            }
        }
        for reader in 0..job.readers {
            desk.finish(reader, at);
        }
    }
    Ok(report)
}

/// Opens a lane that has a frame, again and again.
pub(super) fn attach(task: &Task, desk: &Desk, times: u32, populate: bool) -> anyhow::Result<Report> {
    let timer = &task.timer;
    let options = ConsumerOptions::new();
    let options = if populate { options.populate() } else { options };
    settle(task)?;
    say(&Said::Ready(String::new()))?;
    let mut report = Report::default();
    for time in 0..=times {
        if stop::requested() {
            bail!("interrupted");
        }
        let start = timer.ticks();
        let mut consumer = options.open(&task.lane)?;
        let frame = consumer.next(Duration::from_secs(10)).context("the lane has no frame")?;
        black_box(frame.first());
        let nanos = timer.since(start);
        if time > 0 {
            report.attach.record(nanos); // the first loads code and symbols
            report.frames += 1;
        }
    }
    desk.finish(0, task.job.last());
    Ok(report)
}

/// Whether several frames may wait for a reader, which then reads each.
const fn in_order(job: &Job) -> bool {
    matches!(job.pace, Pace::Window { .. })
}

impl Inlet {
    fn open(task: &Task) -> anyhow::Result<Self> {
        let job = &task.job;
        let ring =
            || Ring::open(&task.ring, RING_SLOTS, job.size.bytes() as usize).context("cannot open the ring");
        Ok(match job.way {
            Way::Line => Self::Line { ring: ring()?, last: 0, count: 0 },
            Way::Ring => Self::Ring(ring()?),
            Way::Lane => {
                let wait = match job.wait {
                    Waiting::Poll | Waiting::Spin => Wait::Spin,
                    Waiting::Sleep => Wait::Sleep,
                    Waiting::Adaptive => Wait::Adaptive,
                };
                let read = if in_order(job) { Read::Every } else { Read::Latest };
                let options = ConsumerOptions::new().read(read).wait(wait).populate();
                Self::Lane(Box::new(options.open(&task.lane)?))
            }
        })
    }

    /// Waits a while for the next frame.
    #[inline]
    fn next(&mut self, job: &Job) -> anyhow::Result<Option<Got>> {
        Ok(match self {
            Self::Line { ring, last, count } => {
                let stamp = ring.line();
                (stamp != *last).then(|| {
                    (*last, *count) = (stamp, *count + 1);
                    Got::Line(stamp)
                })
            }
            Self::Ring(ring) if in_order(job) => ring.take_next().map(Got::Ring),
            Self::Ring(ring) => {
                let taken = ring.take();
                if taken.is_none() && !job.wait.is_awake() {
                    ring.sleep(LOOK);
                    return Ok(ring.take().map(Got::Ring));
                }
                taken.map(Got::Ring)
            }
            Self::Lane(consumer) if job.wait == Waiting::Poll => consumer.try_next()?.map(Got::Lane),
            Self::Lane(consumer) => match consumer.next(LOOK) {
                Ok(frame) => Some(Got::Lane(frame)),
                Err(WaitError::TimedOut) => None,
                Err(error) => return Err(error.into()),
            },
        })
    }

    /// The first bytes of a frame.
    #[inline]
    fn stamp(&self, got: &Got) -> u64 {
        black_box(match (got, self) {
            (Got::Line(stamp), _) => *stamp,
            (Got::Ring(taken), Self::Ring(ring)) => ring.stamp(*taken),
            (Got::Lane(frame), _) => frame.first_chunk().map_or(0, |bytes| u64::from_ne_bytes(*bytes)),
            (Got::Ring(_), _) => 0,
        })
    }

    /// Its number, counted from 1, and how many before it were missed.
    fn number(&self, got: &Got) -> (u64, u64) {
        match (got, self) {
            (Got::Lane(frame), _) => (frame.number(), frame.missed()),
            (Got::Ring(taken), _) => (taken.number.into(), taken.missed.into()),
            (Got::Line(_), Self::Line { count, .. }) => (*count, 0),
            (Got::Line(_), _) => (0, 0),
        }
    }

    fn read(&self, got: &Got, job: &Job) {
        black_box(match (got, self) {
            (Got::Lane(frame), _) => read_lines(frame),
            (Got::Ring(taken), Self::Ring(ring)) => ring.read_lines(*taken, job.size.bytes() as usize),
            _ => 0,
        });
    }
}

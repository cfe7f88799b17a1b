//! The end that sends.

use core::time::Duration;
use std::time::Instant;

use anyhow::{Context as _, bail};
use camlane::{CopyKind, FrameMeta, LaneOptions, Producer};
use camlane_measure::limits::CopyKind as RawCopy;
use camlane_measure::{Ring, cpu_time};

use super::job::{Fill, Job, Pace, Report, Said, Task, Way};
use super::worker::{Desk, may_begin, settle};
use crate::children::{self, say};
use crate::stop;

/// Frames that are timed together at a free pace.
const BATCH: u32 = 64;
/// As many slots as a lane with one seat has.
pub(super) const RING_SLOTS: usize = 8;

/// What frames are sent through.
enum Outlet {
    Line(Ring),
    Ring { ring: Ring, wakes: bool },
    Lane { producer: Producer, meta: Box<FrameMeta> },
}

/// Sends the frames of a job.
pub(super) fn run(task: &Task, desk: &Desk) -> anyhow::Result<Report> {
    let job = &task.job;
    let outlet = Outlet::open(task);
    let sent = outlet.and_then(|mut outlet| {
        // Two pictures, so that no frame is equal to the one before.
        let pictures = [1, 2].map(|seed: u8| vec![seed; job.size.bytes() as usize]);
        settle(task)?;
        let place = match &outlet {
            Outlet::Line(ring) | Outlet::Ring { ring, .. } => ring.path(),
            Outlet::Lane { .. } => String::new(),
        };
        say(&Said::Ready(place))?;
        if !may_begin() {
            bail!("the bench is gone");
        }
        if job.pace == Pace::Free {
            send_freely(task, &outlet)
        } else {
            send(task, desk, &mut outlet, &pictures)
        }
        // The lane is closed here: readers end when they have read the last frame.
    });
    if job.way == Way::Lane {
        children::forget_lane(&task.lane);
    }
    sent
}

fn send(task: &Task, desk: &Desk, outlet: &mut Outlet, pictures: &[Vec<u8>; 2]) -> anyhow::Result<Report> {
    let (job, timer) = (&task.job, &task.timer);
    let mut report = Report::default();
    let (mut begun, mut cpu) = (Instant::now(), Duration::ZERO);
    let started = Instant::now();
    for number in 1..=job.last() {
        let go_on = match job.pace {
            Pace::Free => !stop::requested(),
            Pace::Window { frames } => desk.until(job.readers, number.saturating_sub(frames.into())),
            Pace::After { micros } => {
                let go_on = desk.until(job.readers, number - 1);
                timer.spin_until(timer.ticks() + timer.ticks_of(Duration::from_micros(micros.into())));
                go_on
            }
            Pace::Rate { fps } => !stop::sleep_until(started + crate::commands::moment(number - 1, (fps, 1))),
        };
        if !go_on {
            bail!("interrupted");
        }
        let counts = number > u64::from(job.warm_up);
        if number == u64::from(job.warm_up) + 1 {
            (begun, cpu) = (Instant::now(), cpu_time());
        }
        let nanos = outlet.send(task, &pictures[number as usize % 2])?;
        if counts {
            report.publish.record(nanos);
            report.frames += 1;
        }
    }
    if job.is_closed_loop() && !desk.until(job.readers, job.last()) {
        bail!("interrupted");
    }
    report.seconds = begun.elapsed().as_secs_f64();
    report.cpu_ns = cpu_time().saturating_sub(cpu).as_nanos() as u64;
    if let Outlet::Lane { producer, .. } = outlet {
        report.dropped = producer.dropped().into();
    }
    Ok(report)
}

/// Lends and publishes as fast as it goes, and times batches: what one frame costs on average, without a clock's own cost.
fn send_freely(task: &Task, outlet: &Outlet) -> anyhow::Result<Report> {
    let (job, timer) = (&task.job, &task.timer);
    let Outlet::Lane { producer, meta } = outlet else { bail!("only a lane is sent to freely") };
    let mut report = Report::default();
    let (warm_up, batches) = (job.warm_up.div_ceil(BATCH), job.frames.div_ceil(BATCH));
    for batch in 0..warm_up + batches {
        if stop::requested() {
            bail!("interrupted");
        }
        let start = timer.ticks();
        for _ in 0..BATCH {
            producer.publish(producer.loan()?, meta)?;
        }
        let nanos = timer.since(start) / u64::from(BATCH);
        if batch >= warm_up {
            report.publish.record(nanos);
            report.frames += u64::from(BATCH);
        }
    }
    report.dropped = producer.dropped().into();
    Ok(report)
}

impl Outlet {
    fn open(task: &Task) -> anyhow::Result<Self> {
        let job = &task.job;
        let bytes = job.size.bytes();
        let ring = || Ring::create(RING_SLOTS, bytes as usize).context("cannot make a ring");
        Ok(match job.way {
            Way::Line => Self::Line(ring()?),
            Way::Ring => Self::Ring { ring: ring()?, wakes: !job.wait.is_awake() },
            Way::Lane => {
                let options = LaneOptions::for_bytes(bytes).seats(job.seats);
                let options = if job.crowd { options.pins(2).history(2) } else { options };
                let producer = Producer::create(&task.lane, &options)?;
                let mut meta = Box::new(FrameMeta::bytes(bytes));
                meta.publish_ns = job.time_given.into();
                Self::Lane { producer, meta }
            }
        })
    }

    /// Sends one frame; what publishing it took.
    #[inline]
    fn send(&mut self, task: &Task, picture: &[u8]) -> anyhow::Result<u64> {
        let (job, timer) = (&task.job, &task.timer);
        match self {
            Self::Line(ring) => {
                let start = timer.ticks();
                ring.stamp_line(start);
                Ok(timer.since(start))
            }
            Self::Ring { ring, wakes } => {
                if let Some(kind) = raw_copy(job) {
                    ring.fill(picture, kind);
                }
                let start = timer.ticks();
                ring.publish(start);
                if *wakes {
                    ring.wake();
                }
                Ok(timer.since(start))
            }
            Self::Lane { producer, meta } => {
                let before = timer.ticks();
                let mut loan = producer.loan()?;
                match job.fill {
                    Fill::Nothing => {}
                    Fill::Cached => loan.copy_from_as(picture, CopyKind::Cached)?,
                    Fill::Streaming => loan.copy_from_as(picture, CopyKind::Streaming)?,
                    Fill::Chosen => loan.copy_from(picture)?,
                }
                let start = if job.from_loan { before } else { timer.ticks() };
                loan[..8].copy_from_slice(&start.to_ne_bytes());
                producer.publish(loan, meta)?;
                Ok(timer.since(start))
            }
        }
    }
}

fn raw_copy(job: &Job) -> Option<RawCopy> {
    match job.fill {
        Fill::Nothing => None,
        Fill::Cached | Fill::Chosen => Some(RawCopy::Libc),
        Fill::Streaming => Some(RawCopy::Streaming),
    }
}

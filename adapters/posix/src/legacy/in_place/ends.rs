//! The two ends of a lane in place.
#![allow(unsafe_code)] // drops the consumer by hand

use std::mem::ManuallyDrop;
use std::time::{Duration, Instant};

use camlane_core::{self as core, FrameMeta, LaneState, Shape};

use super::Bytes;
use crate::error::WaitError;
use crate::fork::Owner;
use crate::lock::{self, LockFile};
use crate::{clock, futex};

/// Slots that a producer keeps books for.
const MAX_BOOKED: usize = 1024;
pub(super) type CoreProducer = core::Producer<'static, MAX_BOOKED>;

/// Longest sleep without a look whether the producer lives.
const LOOK_AROUND: Duration = Duration::from_millis(250);

/// The end of a lane in place that writes. Dropping it ends the stream; the memory stays.
///
/// **Crash safety:** killed at any moment, it leaves frames and pins good, and the next producer goes on.
#[derive(Debug)]
pub struct InPlaceProducer {
    pub(super) core: Box<CoreProducer>,
    pub(super) owner: Owner,
    pub(super) lock: LockFile,
    // After `core`, which points into it.
    pub(super) _bytes: Bytes,
}

impl InPlaceProducer {
    /// The lane's shape.
    pub fn shape(&self) -> &Shape {
        self.core.region().shape()
    }

    /// Frames published so far, by all producers of this memory.
    pub fn published(&self) -> u64 {
        self.core.published()
    }

    /// Lends a slot to fill.
    ///
    /// # Errors
    /// As [`Producer::loan`](crate::Producer::loan).
    pub fn loan(&self) -> Result<core::Loan<'_>, crate::Error> {
        if !self.owner.is_here() {
            return Err(crate::Error::Forked);
        }
        match self.core.loan() {
            Err(_) if self.reclaim() > 0 => Ok(self.core.loan()?),
            loan => Ok(loan?),
        }
    }

    /// Publishes a filled slot as the next frame, wakes whoever sleeps, and returns the frame's number.
    ///
    /// # Errors
    /// As [`Producer::publish`](crate::Producer::publish).
    pub fn publish(&self, loan: core::Loan<'_>, meta: &FrameMeta) -> Result<u64, crate::Error> {
        if !self.owner.is_here() {
            return Err(crate::Error::Forked);
        }
        let mut meta = *meta;
        if meta.publish_ns == 0 {
            meta.publish_ns = clock::monotonic_ns();
        }
        let published = self.core.publish(loan, &meta)?;
        if published.asleep {
            futex::wake_all(self.core.region().bell());
        }
        Ok(published.number)
    }

    /// Gives the seats of dead consumers back, and returns how many there were.
    pub fn reclaim(&self) -> u32 {
        if self.owner.is_here() { crate::producer::reclaim(self.core.seats(), &self.lock) } else { 0 }
    }
}

impl Drop for InPlaceProducer {
    fn drop(&mut self) {
        if self.owner.is_here() {
            self.core.close();
            futex::wake_all(self.core.region().bell());
            self.lock.unlock(lock::PRODUCER);
        }
    }
}

/// The end of a lane in place that reads, where the frames lie.
///
/// **Trust:** whoever can write the memory must be a camlane end: frames are `&[u8]` into it, and all ends can write all
/// of it. A file that is cut under it ends it with SIGBUS; segments cannot be cut.
#[derive(Debug)]
pub struct InPlaceConsumer {
    // Dropped by hand and first, except in a forked child, where its words are the parent's.
    pub(super) core: ManuallyDrop<core::Consumer<'static>>,
    pub(super) seat: u32,
    pub(super) owner: Owner,
    pub(super) lock: LockFile,
    // After `core`, which points into it.
    pub(super) _bytes: Bytes,
}

impl InPlaceConsumer {
    /// The lane's shape.
    pub fn shape(&self) -> &Shape {
        self.core.region().shape()
    }

    /// Waits for the newest frame that was not read yet, at most `timeout`.
    ///
    /// # Errors
    /// As [`Consumer::next`](crate::Consumer::next); a producer that comes later is followed by itself.
    pub fn next(&self, timeout: Duration) -> Result<core::Frame<'_>, WaitError> {
        if !self.owner.is_here() {
            return Err(crate::Error::Forked.into());
        }
        let until = Instant::now() + timeout;
        loop {
            let bell = self.core.bell(); // before the look, so that what comes after the look changes it
            if let Some(frame) = self.core.latest()? {
                return Ok(frame);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(match self.core.state() {
                    LaneState::Closed => WaitError::Closed,
                    _ if self.lock.is_held(lock::PRODUCER) => WaitError::TimedOut,
                    _ => WaitError::ProducerGone,
                });
            }
            if let Some(asleep) = self.core.fall_asleep(bell) {
                futex::wait(asleep.word(), asleep.expected(), left.min(LOOK_AROUND));
            }
        }
    }
}

impl Drop for InPlaceConsumer {
    fn drop(&mut self) {
        if self.owner.is_here() {
            // SAFETY: dropped once, here, before the memory.
            unsafe { ManuallyDrop::drop(&mut self.core) };
            self.lock.unlock(lock::seat(self.seat));
        }
    }
}

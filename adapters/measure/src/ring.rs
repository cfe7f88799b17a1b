//! The shortest hand-over of frames that there is: slots in shared memory, the newest one's number, and no safety at all.

use std::io;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::Duration;

use crate::futex;
use crate::limits::copy::{CopyKind, copy_raw, read_lines_raw};
use crate::shared::Shared;

/// The number of the newest frame, which is also the futex word.
const LATEST: usize = 0;
/// A line of its own that carries a stamp and nothing else.
const LINE: usize = 256;
const SLOTS: usize = 4096;

/// A ring of slots without any safety: a slow reader sees bytes change. What a safe hand-over costs is what it takes more
/// than this.
#[derive(Debug)]
pub struct Ring {
    shared: Shared,
    slots: usize,
    stride: usize,
    number: u32,
}

/// A frame as a reader finds it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Taken {
    /// Counted from 1.
    pub number: u32,
    /// Frames since the last one taken that were not seen.
    pub missed: u32,
}

impl Ring {
    /// Makes a ring of `slots` slots for frames of `size` bytes.
    ///
    /// # Errors
    /// The system's.
    pub fn create(slots: usize, size: usize) -> io::Result<Self> {
        let stride = size.max(8).next_multiple_of(4096);
        let shared = Shared::create(SLOTS + slots * stride)?;
        Ok(Self { shared, slots, stride, number: 0 })
    }

    /// Opens another process's ring by its [`path`](Self::path), with the same numbers as it was made with.
    ///
    /// # Errors
    /// The system's, or `InvalidData` if it has another length.
    pub fn open(path: &str, slots: usize, size: usize) -> io::Result<Self> {
        let stride = size.max(8).next_multiple_of(4096);
        let shared = Shared::open(path)?;
        if shared.len() != SLOTS + slots * stride {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the ring was made with other sizes"));
        }
        let number = shared.word(LATEST).load(Acquire);
        Ok(Self { shared, slots, stride, number })
    }

    /// As [`Shared::path`].
    pub fn path(&self) -> String {
        self.shared.path()
    }

    fn slot(&self, number: u32) -> usize {
        SLOTS + number as usize % self.slots * self.stride
    }

    /// Writer: copies a frame into the next slot.
    ///
    /// # Panics
    /// If it is longer than a slot.
    pub fn fill(&mut self, frame: &[u8], kind: CopyKind) {
        let slot = self.shared.at(self.slot(self.number.wrapping_add(1)), frame.len());
        assert!(frame.len() <= self.stride, "the frame is longer than a slot");
        copy_raw(slot, frame, kind);
    }

    /// Writer: puts a stamp into the first 8 bytes of the next slot and publishes it, without waking anybody.
    #[inline]
    pub fn publish(&mut self, stamp: u64) {
        self.number = self.number.wrapping_add(1);
        self.shared.wide(self.slot(self.number)).store(stamp, Relaxed);
        self.shared.word(LATEST).store(self.number, Release);
    }

    /// Writer: wakes whoever sleeps.
    #[inline]
    pub fn wake(&self) {
        futex::wake(self.shared.word(LATEST));
    }

    /// Reader: the newest frame, if it is not the one taken last.
    #[inline]
    pub fn take(&mut self) -> Option<Taken> {
        let number = self.shared.word(LATEST).load(Acquire);
        let missed = number.wrapping_sub(self.number);
        if missed == 0 {
            return None;
        }
        self.number = number;
        Some(Taken { number, missed: missed - 1 })
    }

    /// Reader: the frame after the one taken last, if there is one. For a writer that waits for its readers: one that gets
    /// further ahead than there are slots overwrites what this finds.
    #[inline]
    pub fn take_next(&mut self) -> Option<Taken> {
        let latest = self.shared.word(LATEST).load(Acquire);
        (latest != self.number).then(|| {
            self.number = self.number.wrapping_add(1);
            Taken { number: self.number, missed: 0 }
        })
    }

    /// Reader: sleeps until there is a newer frame than the one taken last, or somebody wakes it, or `timeout` is over.
    pub fn sleep(&self, timeout: Duration) {
        futex::wait(self.shared.word(LATEST), self.number, timeout);
    }

    /// Reader: the first 8 bytes of a frame.
    #[inline]
    pub fn stamp(&self, taken: Taken) -> u64 {
        self.shared.wide(self.slot(taken.number)).load(Relaxed)
    }

    /// Reader: reads a word of every cache line of the first `len` bytes of a frame, and returns their sum.
    ///
    /// # Panics
    /// If a slot is shorter.
    pub fn read_lines(&self, taken: Taken, len: usize) -> u64 {
        assert!(len <= self.stride, "a slot has {} bytes", self.stride);
        read_lines_raw(self.shared.at(self.slot(taken.number), len), len)
    }

    /// The limit of the limit: stores a stamp in a line that carries nothing else.
    #[inline]
    pub fn stamp_line(&self, stamp: u64) {
        self.shared.wide(LINE).store(stamp, Release);
    }

    /// The stamp of that line.
    #[inline]
    pub fn line(&self) -> u64 {
        self.shared.wide(LINE).load(Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_arrive_with_their_stamps_and_misses_are_counted() {
        let mut writer = Ring::create(4, 100).unwrap();
        let mut reader = Ring::open(&writer.path(), 4, 100).unwrap();
        assert_eq!(reader.take(), None);
        writer.publish(11);
        let taken = reader.take().unwrap();
        assert_eq!((taken, reader.stamp(taken)), (Taken { number: 1, missed: 0 }, 11));
        (12..=14).for_each(|stamp| writer.publish(stamp));
        let taken = reader.take().unwrap();
        assert_eq!((taken, reader.stamp(taken)), (Taken { number: 4, missed: 2 }, 14));
        assert_eq!(reader.take(), None);
        (15..=16).for_each(|stamp| writer.publish(stamp));
        let in_order = [(); 3].map(|()| reader.take_next().map(|taken| (taken, reader.stamp(taken))));
        let expected = |number, stamp| Some((Taken { number, missed: 0 }, stamp));
        assert_eq!(in_order, [expected(5, 15), expected(6, 16), None]);
    }

    #[test]
    fn a_sleeper_wakes_for_a_frame_and_does_not_sleep_over_one() {
        let mut writer = Ring::create(2, 8).unwrap();
        let mut reader = Ring::open(&writer.path(), 2, 8).unwrap();
        writer.publish(1);
        reader.sleep(Duration::from_secs(3600));
        assert!(reader.take().is_some());
        std::thread::scope(|scope| {
            let woken = scope.spawn(move || {
                while reader.take().is_none() {
                    reader.sleep(Duration::from_secs(3600));
                }
            });
            writer.publish(2);
            writer.wake();
            woken.join().unwrap();
        });
    }

    #[test]
    fn a_frame_is_copied_whole() {
        let mut writer = Ring::create(2, 5000).unwrap();
        let mut reader = Ring::open(&writer.path(), 2, 5000).unwrap();
        let frame: Vec<u8> = (0..5000_u32).map(|index| (index / 64) as u8).collect();
        writer.fill(&frame, CopyKind::Libc);
        writer.publish(0);
        let taken = reader.take().unwrap();
        // Each line is full of its own number; the stamp of 0 is in the first, whose number is 0 too.
        let expected = (0..79).map(|line| u64::from_ne_bytes([line as u8; 8])).fold(0, u64::wrapping_add);
        assert_eq!(reader.read_lines(taken, 5000), expected);
    }

    #[test]
    fn a_ring_of_other_sizes_is_refused() {
        let ring = Ring::create(2, 5000).unwrap();
        assert_eq!(Ring::open(&ring.path(), 3, 5000).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}

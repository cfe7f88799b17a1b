//! A ring of slots and the newest one's number, which is a futex too. No safety: what safety costs is what others take more.
//! Reaches the slots' bytes.
#![allow(unsafe_code)]

use std::sync::atomic::Ordering::{Acquire, Release};
use std::time::{Duration, Instant};

use anyhow::Result;
use camlane_measure::Shared;
use peers_drive::{Consume, Description, Job, Peer, Place, Produce, Way};
use rustix::thread::futex;

/// Frames that the ring holds.
const SLOTS: usize = 8;
/// Where the newest frame's number stands.
const LATEST: usize = 0;
/// Where the slots begin.
const START: usize = 4096;

pub(crate) struct Ring;

pub(crate) struct End {
    shared: Shared,
    bytes: usize,
    number: u32,
    /// Consumers sleep, and are woken.
    wakes: bool,
}

impl End {
    fn new(shared: Shared, place: &Place) -> Self {
        let wakes = matches!(place.job, Job::Asleep | Job::Stream) && place.way != Way::Spinning;
        Self { shared, bytes: place.bytes(), number: 0, wakes }
    }

    fn slot(&self, number: u32) -> *mut u8 {
        let slot = START + number as usize % SLOTS * self.bytes.next_multiple_of(4096);
        self.shared.at(slot, self.bytes).as_ptr()
    }
}

impl Peer for Ring {
    type Producer = End;
    type Consumer = End;

    fn describe() -> Description {
        Description {
            name: "raw ring, bare futex (no safety)".into(),
            version: String::new(),
            limit: true,
            copies: false,
            readers: 64,
            setup: "8 slots, newest number; FUTEX_WAKE at every publish where consumers sleep".into(),
            jobs: vec![
                (Job::Polling, vec![Way::Default]),
                (Job::Asleep, vec![Way::Default]),
                (Job::Stream, vec![Way::Default, Way::Spinning]),
                (Job::Readers, vec![Way::Default]),
                (Job::Rate, vec![Way::Default, Way::Streaming]),
            ],
        }
    }

    fn producer(place: &Place) -> Result<End> {
        let shared = Shared::create(START + SLOTS * place.bytes().next_multiple_of(4096))?;
        std::fs::write(place.path("ring"), shared.path())?;
        Ok(End::new(shared, place))
    }

    fn consumer(place: &Place) -> Result<End> {
        Ok(End::new(Shared::open(&std::fs::read_to_string(place.path("ring"))?)?, place))
    }
}

impl Produce for End {
    fn publish(&mut self, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        self.number = self.number.wrapping_add(1);
        // SAFETY: mapped; consumers are at most two frames behind, by how the jobs are paced, not by this ring.
        fill(unsafe { std::slice::from_raw_parts_mut(self.slot(self.number), self.bytes) });
        let latest = self.shared.word(LATEST);
        latest.store(self.number, Release);
        if self.wakes {
            futex::wake(latest, futex::Flags::empty(), i32::MAX as u32)?;
        }
        Ok(())
    }
}

impl Consume for End {
    fn poll<T>(&mut self, look: impl FnOnce(&[u8]) -> T) -> Result<Option<T>> {
        let latest = self.shared.word(LATEST).load(Acquire);
        if latest == self.number {
            return Ok(None);
        }
        // The next one: at the highest rate every frame is read.
        self.number = self.number.wrapping_add(1);
        // SAFETY: as in `publish`.
        Ok(Some(look(unsafe { std::slice::from_raw_parts(self.slot(self.number), self.bytes) })))
    }

    fn wait<T>(&mut self, limit: Duration, look: impl FnOnce(&[u8]) -> T) -> Result<Option<T>> {
        let latest = self.shared.word(LATEST);
        if !self.wakes {
            let end = Instant::now() + limit;
            while latest.load(Acquire) == self.number && Instant::now() < end {}
        } else if latest.load(Acquire) == self.number {
            // Woken, changed meanwhile or over: the look tells.
            let _ = futex::wait(latest, futex::Flags::empty(), self.number, Some(&limit.try_into()?));
        }
        self.poll(look)
    }
}

//! One cache line that carries a stamp: no program can be faster. Reaches the line's bytes.
#![allow(unsafe_code)]

use std::sync::atomic::Ordering::{Acquire, Release};
use std::time::Duration;

use anyhow::Result;
use camlane_measure::Shared;
use peers_drive::{Consume, Description, Job, Peer, Place, Produce, Way};

/// Bytes of the line that stand for the frame.
const FRAME: usize = 16;
/// Where in the same line its number stands.
const NUMBER: usize = 48;

pub(crate) struct Line;

pub(crate) struct End {
    shared: Shared,
    number: u64,
}

impl End {
    fn frame(&self) -> *mut u8 {
        self.shared.at(0, FRAME).as_ptr()
    }
}

impl Peer for Line {
    type Producer = End;
    type Consumer = End;

    fn describe() -> Description {
        Description {
            name: "one cache line (limit)".into(),
            version: String::new(),
            limit: true,
            copies: false,
            readers: 1,
            setup: "stamp and number in one line, no frame".into(),
            jobs: vec![(Job::Polling, vec![Way::Default])],
        }
    }

    fn producer(place: &Place) -> Result<End> {
        let shared = Shared::create(4096)?;
        std::fs::write(place.path("line"), shared.path())?;
        Ok(End { shared, number: 0 })
    }

    fn consumer(place: &Place) -> Result<End> {
        Ok(End { shared: Shared::open(&std::fs::read_to_string(place.path("line"))?)?, number: 0 })
    }
}

impl Produce for End {
    fn publish(&mut self, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        self.number += 1;
        // SAFETY: mapped, and the consumer looks when the number has changed, which is when all of this is done: a limit
        // needs no more safety than that the next frame comes after this one was seen.
        fill(unsafe { std::slice::from_raw_parts_mut(self.frame(), FRAME) });
        self.shared.wide(NUMBER).store(self.number, Release);
        Ok(())
    }
}

impl Consume for End {
    fn poll<T>(&mut self, look: impl FnOnce(&[u8]) -> T) -> Result<Option<T>> {
        let number = self.shared.wide(NUMBER).load(Acquire);
        if number == self.number {
            return Ok(None);
        }
        self.number = number;
        // SAFETY: as in `publish`.
        Ok(Some(look(unsafe { std::slice::from_raw_parts(self.frame(), FRAME) })))
    }

    fn wait<T>(&mut self, _limit: Duration, look: impl FnOnce(&[u8]) -> T) -> Result<Option<T>> {
        self.poll(look)
    }
}

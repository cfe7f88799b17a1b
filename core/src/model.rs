//! What the loom model needs of this crate: lanes whose words are loom's, and numbers as short as a case wants them.
//!
//! The state machine itself runs unchanged. Only bytes are missing: a model keeps what it calls pixels in cells of its
//! own, one for each slot, and touches them where a program would touch the pixels of a loan or a frame.

use core::cell::Cell;
use core::ptr::NonNull;
use std::vec::Vec;

use crate::error::ObserveError;
use crate::geometry::{Geometry, GeometryError, Shape};
use crate::layout::{Descriptor, Live, Seat};
use crate::observer::Observer;
use crate::region::{ProducerRole, Region, SeatRole, Seats};
use crate::sync::{Relaxed, Word};
use crate::word::{Short, SlotWord};

std::thread_local! {
    static NUMBER_BITS: Cell<u32> = const { Cell::new(30) };
}

/// Sets how many bits of a number the words carry, 1 to 30, for everything that runs on this thread of the system.
pub fn set_number_bits(bits: u32) {
    assert!((1..=30).contains(&bits));
    NUMBER_BITS.set(bits);
}

pub(crate) fn number_bits() -> u32 {
    NUMBER_BITS.get()
}

/// The words of a lane, and nothing else.
#[derive(Debug)]
pub struct ModelLane {
    shape: Shape,
    live: Live,
    ring: Vec<Word>,
    descriptors: Vec<Descriptor>,
    seats: Vec<Seat>,
}

impl ModelLane {
    /// An empty lane: nothing was published, nobody sits.
    ///
    /// # Errors
    /// As [`Geometry::shape`].
    pub fn new(geometry: Geometry) -> Result<Self, GeometryError> {
        let shape = geometry.shape()?;
        Ok(Self {
            shape,
            live: Live::default(),
            ring: (0..shape.ring_len).map(|_| Word::default()).collect(),
            descriptors: (0..shape.slots).map(|_| Descriptor::default()).collect(),
            seats: (0..shape.seats).map(|_| Seat::default()).collect(),
        })
    }

    /// Puts frame `number` into slot 0, as a producer that died leaves it: for `Producer::take_over`, which goes on
    /// from there, so that a wrap lies inside a short run.
    pub fn leave_frame(&self, number: u64) {
        let descriptor = &self.descriptors[0];
        descriptor.number[0].store(number as u32, Relaxed);
        descriptor.number[1].store((number >> 32) as u32, Relaxed);
        descriptor.word.store(SlotWord::ready(Short::of(number)).bits(), Relaxed);
    }

    /// Puts both ends of an empty byte stream at `position`.
    pub fn leave_position(&self, position: u32) {
        self.live.latest.store(position, Relaxed);
        self.seats[0].cells[0].store(position, Relaxed);
    }

    fn region(&self) -> Region<'_> {
        Region::for_model(self.shape, &self.live, &self.ring, &self.descriptors, NonNull::dangling())
    }

    /// The producer's role. The model sees to it that one producer acts at a time.
    pub fn producer(&self) -> ProducerRole<'_> {
        ProducerRole { region: self.region(), seats: Seats::for_model(&self.seats) }
    }

    /// The role of the consumer in seat `index`. The model sees to it that one acts in a seat at a time.
    pub fn seat(&self, index: usize) -> SeatRole<'_> {
        SeatRole { region: self.region(), seat: &self.seats[index] }
    }

    /// An observer, whose copies the model makes itself: [`Observer::copy_with`].
    pub fn observer(&self) -> Observer<'_> {
        Observer::new(self.region())
    }
}

impl Observer<'_> {
    /// Runs `copy(slot)` between the two looks at the slot, as `copy_newest` does. Gives the frame's number and what
    /// the last `copy` returned. `None`: no frame.
    ///
    /// # Errors
    /// As [`copy_newest`](Self::copy_newest).
    pub fn copy_with<T>(&self, mut copy: impl FnMut(usize) -> T) -> Result<Option<(u64, T)>, ObserveError> {
        let mut copied = None;
        let observed = self.validated(|slot, _, _| {
            copied = Some(copy(slot));
            Ok(())
        })?;
        Ok(observed.zip(copied).map(|(observed, copied)| (observed.number, copied)))
    }
}

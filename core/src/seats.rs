//! The seats as the producer's side sees them: who sits where, and clearing up after the dead.

use core::fmt;

use crate::region::Seats;
use crate::sync::{Relaxed, Release};
use crate::word::PinWord;

impl Seats<'_> {
    /// Does what [`reclaim`](Self::reclaim) says, and leaves its promises to the caller.
    pub(crate) fn clear_the_dead(&self, mut is_alive: impl FnMut(u32) -> bool) -> u32 {
        let mut cleared = 0;
        for (index, seat) in self.iter().enumerate() {
            let used = seat.pid.load(Relaxed) != 0
                || seat.sleeping.load(Relaxed) != 0
                || seat.cells.iter().any(|cell| cell.load(Relaxed) != PinWord::NONE);
            if used && !is_alive(index as u32) {
                // Release, as the owner's own (h): a scan that sees the clear comes after all that the dead one read
                seat.cells.iter().for_each(|cell| cell.store(PinWord::NONE, Release));
                seat.sleeping.store(0, Relaxed);
                seat.cursor.store(0, Relaxed);
                seat.pid.store(0, Relaxed);
                cleared += 1;
            }
        }
        cleared
    }

    /// How many sleep. Without a branch for each, the loads overlap.
    pub(crate) fn asleep(&self) -> u32 {
        self.iter().map(|seat| u32::from(seat.sleeping.load(Relaxed) != 0)).sum()
    }

    /// What the seats in use say of themselves.
    pub fn in_use(&self) -> impl Iterator<Item = SeatUse> {
        self.iter().enumerate().filter_map(|(index, seat)| {
            let pid = seat.pid.load(Relaxed);
            let pins = seat.cells.iter().filter(|cell| cell.load(Relaxed) != PinWord::NONE).count() as u32;
            (pid != 0 || pins != 0).then(|| SeatUse {
                seat: index as u32,
                pid,
                cursor: seat.cursor.load(Relaxed),
                pins,
                sleeping: seat.sleeping.load(Relaxed) != 0,
            })
        })
    }
}

/// A seat in use, for people; nothing here is proof of anything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SeatUse {
    /// Which seat.
    pub seat: u32,
    /// The consumer's process, as it wrote it itself.
    pub pid: u32,
    /// Low 32 bits of the number of the frame it took last.
    pub cursor: u32,
    /// Frames that it holds.
    pub pins: u32,
    /// It sleeps, or is about to.
    pub sleeping: bool,
}

impl fmt::Display for SeatUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seat {}: process {}, holds {}", self.seat, self.pid, self.pins)
    }
}

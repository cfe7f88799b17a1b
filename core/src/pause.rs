//! Why no frames come, in the producer's words.

use crate::layout::Live;
use crate::sync::{Acquire, Relaxed, Release, fence};

/// A pause in the frames, as the producer tells it, which lives. FORMAT.md section 3 has the numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Pause {
    /// Why; not 0 together with `errno`. An open set: a number that is not known is a reason all the same.
    pub reason: u16,
    /// The system's error behind it; 0: none.
    pub errno: u16,
    /// Since when: milliseconds of CLOCK_BOOTTIME, modulo 2^32.
    pub since_ms: u32,
}

impl Pause {
    pub(crate) fn load(live: &Live) -> Option<Self> {
        let word = live.pause.load(Relaxed);
        fence(Acquire); // partner: the Release in `store`
        let since_ms = live.paused_at.load(Relaxed);
        (word != 0).then_some(Self { reason: word as u16, errno: (word >> 16) as u16, since_ms })
    }

    pub(crate) fn store(self, live: &Live) {
        live.paused_at.store(self.since_ms, Relaxed);
        let word = u32::from(self.errno) << 16 | u32::from(self.reason);
        live.pause.store(word, Release); // partner: the Acquire in `load`; the time belongs to the reason
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_read_as_it_was_told() {
        let live = Live::default();
        assert_eq!(Pause::load(&live), None);
        let pause = Pause { reason: 1, errno: 19, since_ms: u32::MAX };
        pause.store(&live);
        assert_eq!(Pause::load(&live), Some(pause));
    }
}

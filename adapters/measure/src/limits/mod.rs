//! What the machine itself can do: no hand-over between processes is faster.

pub mod copy;
mod futex;
mod line;
mod pages;

use std::io;

use serde::{Deserialize, Serialize};

use crate::timer::Timer;

pub use copy::{Bandwidth, CopyKind, bandwidth};
pub use futex::{Futex, futex};
pub use line::{Fence, fence, line};
pub use pages::{PageTouch, page_touch};

use crate::times::Summary;

/// All limits of a machine, times in nanoseconds.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Limits {
    /// One way of a cache line between two processors: half of a ping-pong.
    pub line: Summary,
    /// What an ordering of all memory accesses costs a processor that has nothing else to do.
    pub fence: Fence,
    /// Sleeping and waking.
    pub futex: Futex,
    /// Copies of one processor into a ring of slots.
    pub copies: Vec<Bandwidth>,
    /// What the first touch of shared memory costs.
    pub pages: Vec<PageTouch>,
}

/// How long to measure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Effort {
    /// Round trips of a cache line.
    pub trips: u32,
    /// Times that a sleeper is woken.
    pub wakes: u32,
    /// Bytes to copy for each kind and size.
    pub copy_bytes: u64,
    /// Bytes to touch for the first time.
    pub touch_bytes: usize,
}

impl Effort {
    /// About two seconds.
    pub const QUICK: Self = Self { trips: 20_000, wakes: 500, copy_bytes: 512 << 20, touch_bytes: 32 << 20 };
    /// About ten seconds.
    pub const FULL: Self = Self { trips: 200_000, wakes: 3_000, copy_bytes: 2 << 30, touch_bytes: 128 << 20 };
}

/// Measures all limits, with copies of frames of `sizes` bytes. Threads stand for processes here: what is shared is a shared
/// mapping, and the futex is one between processes.
///
/// # Errors
/// The system's: no memory.
pub fn all(timer: &Timer, sizes: &[usize], effort: Effort) -> io::Result<Limits> {
    let mut copies = Vec::new();
    for &size in sizes {
        for kind in CopyKind::supported() {
            copies.push(bandwidth(timer, kind, size, effort.copy_bytes)?);
        }
    }
    Ok(Limits {
        line: line(timer, effort.trips)?.summary(),
        fence: fence(timer),
        futex: futex(timer, effort.wakes)?,
        copies,
        pages: page_touch(timer, effort.touch_bytes)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_of_this_machine_is_measured() {
        let timer = Timer::new();
        let effort = Effort { trips: 200, wakes: 5, copy_bytes: 1 << 20, touch_bytes: 1 << 20 };
        let limits = all(&timer, &[65_536, 100_001], effort).unwrap();
        assert_eq!(limits.line.samples, 200);
        assert_eq!((limits.futex.one_way.samples, limits.futex.wake_one.samples), (5, 5));
        assert_eq!(limits.copies.len(), 2 * CopyKind::supported().count());
        assert!(limits.copies.iter().all(|copy| copy.gb_per_s > 0.0), "{:?}", limits.copies);
        assert_eq!(limits.pages.len(), 2);
        assert!(limits.pages.iter().all(|touch| touch.pages == 256), "{:?}", limits.pages);
        assert!(limits.fence.full_ns >= 0.0);
    }
}

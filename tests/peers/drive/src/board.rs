//! Where the processes of one measurement meet: go, stop, and who has seen which frame. Not on the frames' way.

use std::io;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::time::{Duration, Instant};

use camlane_measure::Shared;

/// Consumers that can be told apart.
const CONSUMERS: u32 = 64;
// Two lines apart each: processors fetch neighbours in pairs.
const GO: usize = 0;
const STOP: usize = 128;
const SEEN: usize = 256;
const STEP: usize = 128;

/// Words that all processes of a measurement see.
#[derive(Debug)]
pub struct Board(Shared);

impl Board {
    /// Makes one, for the process that starts the others.
    ///
    /// # Errors
    /// The system's.
    pub fn create() -> io::Result<Self> {
        Shared::create(SEEN + CONSUMERS as usize * STEP).map(Self)
    }

    /// Opens one by its [`path`](Self::path).
    ///
    /// # Errors
    /// The system's.
    pub fn open(path: &str) -> io::Result<Self> {
        Shared::open(path).map(Self)
    }

    /// Where it is, as long as its maker lives.
    pub fn path(&self) -> String {
        self.0.path()
    }

    /// Lets the producer begin.
    pub fn start(&self) {
        self.0.wide(GO).store(1, Release);
    }

    pub(crate) fn has_started(&self) -> bool {
        self.0.wide(GO).load(Acquire) != 0
    }

    /// Ends the measurement.
    pub fn stop(&self) {
        self.0.wide(STOP).store(1, Release);
    }

    pub(crate) fn has_stopped(&self) -> bool {
        self.0.wide(STOP).load(Acquire) != 0
    }

    /// A consumer is done with a frame.
    #[inline]
    pub(crate) fn saw(&self, consumer: u32, number: u64) {
        self.0.wide(SEEN + consumer as usize * STEP).store(number, Release);
    }

    /// The frame that all of the first `consumers` are done with.
    #[inline]
    pub(crate) fn seen(&self, consumers: u32) -> u64 {
        let numbers = (0..consumers).map(|index| self.0.wide(SEEN + index as usize * STEP).load(Acquire));
        numbers.min().unwrap_or(u64::MAX)
    }

    /// Waits until all have seen a frame; tells whether they did in time. `rest` is what to do meanwhile.
    pub(crate) fn await_seen(&self, consumers: u32, number: u64, patience: Duration, rest: Rest) -> bool {
        let began = Instant::now();
        for turn in 1_u32.. {
            if self.seen(consumers) >= number {
                return true;
            }
            match rest {
                Rest::Spin => std::hint::spin_loop(),
                Rest::Sleep(time) => std::thread::sleep(time),
            }
            let look = rest != Rest::Spin || turn % 1024 == 0;
            if look && (self.has_stopped() || began.elapsed() > patience) {
                break;
            }
        }
        false
    }
}

/// How a producer waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Rest {
    /// Keeps its processor.
    Spin,
    /// Leaves it to others, such as a peer's own threads.
    Sleep(Duration),
}

//! What sleeping and waking costs.

use std::io;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::futex::{wait, wake};
use crate::place;
use crate::shared::Shared;
use crate::timer::Timer;
use crate::times::{Summary, Times};

/// Times of a futex between processes, in nanoseconds.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Futex {
    /// From the stamp, taken before the word changes, until the woken one runs and has read it.
    pub one_way: Summary,
    /// What `FUTEX_WAKE` costs the caller when one sleeps.
    pub wake_one: Summary,
    /// What it costs when nobody does.
    pub wake_nobody: Summary,
}

const WORD: usize = 0;
const STAMP: usize = 256;
const SEEN: usize = 512;
/// Long enough for the other to fall asleep, and for its processor to be idle.
const PAUSE: Duration = Duration::from_micros(300);

/// Wakes a sleeper on another processor `wakes` times.
///
/// # Errors
/// The system's: no memory.
pub fn futex(timer: &Timer, wakes: u32) -> io::Result<Futex> {
    let shared = Shared::create(4096)?;
    let cpus = place::cpus();
    let (here, there) = (cpus[0], cpus[cpus.len() - 1]);
    let (word, stamp, seen) = (shared.word(WORD), shared.wide(STAMP), shared.word(SEEN));
    let (one_way, wake_one) = std::thread::scope(|scope| {
        let sleeper = scope.spawn(move || {
            let _ = place::pin(there);
            let mut times = Times::new();
            for turn in 1..=wakes {
                while word.load(Acquire) != turn {
                    wait(word, turn - 1, Duration::from_secs(1));
                }
                times.record(timer.since(stamp.load(Acquire)));
                seen.store(turn, Release);
            }
            times
        });
        let waker = scope.spawn(move || {
            let _ = place::pin(here);
            let mut times = Times::new();
            for turn in 1..=wakes {
                while seen.load(Acquire) != turn - 1 {
                    std::thread::yield_now();
                }
                timer.spin_until(timer.ticks() + timer.ticks_of(PAUSE));
                stamp.store(timer.ticks(), Release);
                word.store(turn, Release);
                let start = timer.ticks();
                wake(word);
                times.record(timer.since(start));
            }
            times
        });
        (sleeper.join().unwrap_or_default(), waker.join().unwrap_or_default())
    });
    let mut wake_nobody = Times::new();
    for _ in 0..wakes {
        let start = timer.ticks();
        wake(word);
        wake_nobody.record(timer.since(start));
    }
    Ok(Futex { one_way: one_way.summary(), wake_one: wake_one.summary(), wake_nobody: wake_nobody.summary() })
}

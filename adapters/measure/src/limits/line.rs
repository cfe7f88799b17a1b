//! How fast a cache line travels, and what a full fence costs.

use std::io;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicU32, fence as full_fence};

use serde::{Deserialize, Serialize};

use crate::place;
use crate::shared::Shared;
use crate::timer::Timer;
use crate::times::Times;

/// Looks at a word before the processor is offered to others, who may be what is waited for.
const PATIENCE: u32 = 1 << 14;

/// One way of a cache line from one processor to another: half of a round trip, so that the processors' counters need not
/// agree.
///
/// # Errors
/// The system's: no memory.
pub fn line(timer: &Timer, trips: u32) -> io::Result<Times> {
    let shared = Shared::create(4096)?;
    let (ping, pong) = (shared.word(0), shared.word(256));
    let cpus = place::cpus();
    let (here, there) = (cpus[0], cpus[cpus.len() - 1]);
    let warm_up = trips / 10;
    Ok(std::thread::scope(|scope| {
        scope.spawn(move || {
            let _ = place::pin(there);
            for trip in 1..=warm_up + trips {
                await_word(ping, trip);
                pong.store(trip, Release);
            }
        });
        let lead = scope.spawn(move || {
            let _ = place::pin(here);
            let mut times = Times::new();
            for trip in 1..=warm_up + trips {
                let start = timer.ticks();
                ping.store(trip, Release);
                await_word(pong, trip);
                if trip > warm_up {
                    times.record(timer.since(start) / 2);
                }
            }
            times
        });
        lead.join().unwrap_or_default()
    }))
}

fn await_word(word: &AtomicU32, value: u32) {
    let mut looks = 0_u32;
    while word.load(Acquire) != value {
        looks += 1;
        std::hint::spin_loop();
        if looks.is_multiple_of(PATIENCE) {
            std::thread::yield_now();
        }
    }
}

/// What ordering costs, in nanoseconds a time, of a loop of many.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Fence {
    /// A sequentially consistent fence.
    pub full_ns: f64,
    /// A store with release and a load with acquire: what a hand-over cannot do without.
    pub store_load_ns: f64,
}

/// Measures fences on the present processor.
pub fn fence(timer: &Timer) -> Fence {
    const TIMES: u32 = 10_000;
    let word = AtomicU32::new(0);
    let each = |one: &dyn Fn(u32)| {
        let rounds = (0..9).map(|_| {
            let start = timer.ticks();
            (0..TIMES).for_each(one);
            timer.since(start)
        });
        rounds.min().unwrap_or(0) as f64 / f64::from(TIMES)
    };
    Fence {
        full_ns: each(&|turn| {
            word.store(turn, Relaxed);
            full_fence(SeqCst);
        }),
        store_load_ns: each(&|turn| {
            word.store(turn, Release);
            std::hint::black_box(word.load(Acquire));
        }),
    }
}

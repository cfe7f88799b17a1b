//! Which kind of copy is faster here and now, found out by trying.
//!
//! A slot that stays in the third-level cache is filled and read there in half the time; one that does not is filled faster past
//! all caches. How much of that cache there is depends on what else runs on the machine, or on its host, so no rule of sizes
//! knows it.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use crate::copy::CopyKind;

/// Copies from one trial to the next. The first comes soon.
const PERIOD: u32 = 256;
/// Copies that a trial takes, in one row: the first half brings the slots into the cache or out of it, the second is timed.
const TRIAL: u32 = 8;

/// What copies cost of late, of one producer.
#[derive(Debug, Default)]
pub(crate) struct Trial {
    turn: AtomicU32,
    /// 1: the kind that is used is [`CopyKind::Cached`].
    cached: AtomicU32,
    /// Nanoseconds for 64 KiB, a running mean for each kind; 0: not known.
    costs: [AtomicU32; 2],
}

impl Trial {
    /// The kind for the next copy, and whether [`note`](Self::note) shall hear how long it took.
    pub(crate) fn next(&self) -> (CopyKind, bool) {
        let turn = self.turn.fetch_add(1, Relaxed) % PERIOD;
        if turn == 2 * TRIAL {
            let [cached, streaming] = self.costs.each_ref().map(|cost| cost.load(Relaxed));
            self.cached.store(u32::from(cached != 0 && cached < streaming), Relaxed);
        }
        let trial = (TRIAL..2 * TRIAL).contains(&turn);
        let kind =
            if (self.cached.load(Relaxed) != 0) == trial { CopyKind::Streaming } else { CopyKind::Cached };
        (kind, turn % TRIAL >= TRIAL / 2)
    }

    /// A copy of that kind took so long.
    pub(crate) fn note(&self, kind: CopyKind, bytes: usize, time: Duration) {
        let cost = time.as_nanos().saturating_mul(65_536) / (bytes as u128).max(1);
        let cost = u32::try_from(cost).unwrap_or(u32::MAX).max(1);
        let [cached, streaming] = &self.costs;
        let mean = if kind == CopyKind::Cached { cached } else { streaming };
        let before = mean.load(Relaxed);
        mean.store(if before == 0 { cost } else { before - before / 4 + cost / 4 }, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Copies so often where each kind takes a time of its own; counts those into the cache.
    fn copies(trial: &Trial, count: u32, cached: u64, streaming: u64) -> u32 {
        (0..count)
            .map(|_| {
                let (kind, timed) = trial.next();
                let micros = if kind == CopyKind::Cached { cached } else { streaming };
                if timed {
                    trial.note(kind, 6_220_800, Duration::from_micros(micros));
                }
                u32::from(kind == CopyKind::Cached)
            })
            .sum()
    }

    #[test]
    fn the_faster_kind_is_used_and_the_other_tried_again() {
        let trial = Trial::default();
        assert_eq!(copies(&trial, TRIAL, 100, 200), 0, "streaming until more is known");
        assert_eq!(copies(&trial, PERIOD - TRIAL, 100, 200), PERIOD - TRIAL);
        assert_eq!(copies(&trial, PERIOD, 100, 200), PERIOD - TRIAL);
        // Somebody takes the cache away.
        copies(&trial, 2 * PERIOD, 300, 200);
        assert_eq!(copies(&trial, PERIOD, 300, 200), TRIAL);
    }
}

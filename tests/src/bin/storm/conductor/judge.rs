//! What is counted, and whether it adds up.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use hdrhistogram::Histogram;

use crate::report::{Looks, Percentiles, Run, Shift, Summary, Tally, times};

/// The books of a run of the storm.
#[derive(Debug)]
pub(super) struct Judge {
    pub(super) published: u64,
    pub(super) seats: u64,
    pub(super) slots: u64,
    wall: Histogram<u64>,
    cpu: Histogram<u64>,
    slept: u64,
    /// The last number of each run that is over.
    ended: HashMap<Run, u64>,
    /// Sums over readers that are gone.
    readers: Tally,
    observers: Looks,
    accounts: u64,
}

impl Default for Judge {
    fn default() -> Self {
        Self {
            published: 0,
            seats: 0,
            slots: 0,
            wall: times(),
            cpu: times(),
            slept: 0,
            ended: HashMap::new(),
            readers: Tally::default(),
            observers: Looks::default(),
            accounts: 0,
        }
    }
}

impl Judge {
    pub(super) fn shift(&mut self, shift: &Shift) {
        let Shift { published, wall, cpu, slept } = shift;
        self.published += published;
        self.slept += slept;
        for (times, pairs) in [(&mut self.wall, wall), (&mut self.cpu, cpu)] {
            for &(value, count) in pairs {
                let _ = times.record_n(value, count); // refused only beyond 2^63 ns
            }
        }
    }

    pub(super) fn run_is_over(&mut self, run: Run, published: u64) {
        self.ended.insert(run, published);
    }

    /// Whether an account adds up, by itself and with its producer's.
    pub(super) fn audit(&self, tally: &Tally) -> Result<()> {
        let Tally { run, base, last, delivered, missed, told, .. } = *tally;
        ensure!(delivered + missed == last - base, "a count that does not add up: {tally:?}");
        if let Some(&published) = self.ended.get(&run) {
            ensure!(last <= published, "frame {last} of a producer that published {published}: {tally:?}");
            ensure!(
                !told || last == published,
                "told of the end after frame {last} of {published}: {tally:?}"
            );
        }
        Ok(())
    }

    /// Closes a consumer's account.
    pub(super) fn close(&mut self, tally: &Tally) -> Result<()> {
        self.audit(tally)?;
        let all = &mut self.readers;
        all.checked += tally.checked;
        all.skipped += tally.skipped;
        all.bytes += tally.bytes;
        all.restarts += tally.restarts;
        all.ends += tally.ends;
        all.contended += tally.contended;
        self.accounts += 1;
        Ok(())
    }

    /// Closes an observer's.
    pub(super) fn close_looks(&mut self, looks: &Looks) {
        self.observers.copies += looks.copies;
        self.observers.bytes += looks.bytes;
        self.observers.contended += looks.contended;
    }

    pub(super) fn longest_publish(&self) -> Duration {
        Duration::from_nanos(self.cpu.max())
    }

    pub(super) fn checked(&self) -> u64 {
        self.readers.checked
    }

    pub(super) fn copies(&self) -> u64 {
        self.observers.copies
    }

    pub(super) fn summary(&self) -> Summary {
        Summary {
            frames_published: self.published,
            frames_checked: self.readers.checked,
            copies_checked: self.observers.copies,
            bytes_checked: self.readers.bytes + self.observers.bytes,
            frames_missed: self.readers.skipped,
            contended: self.readers.contended + self.observers.contended,
            accounts_closed: self.accounts,
            restarts_followed: self.readers.restarts,
            ends_told: self.readers.ends,
            seats_proved_free: self.seats,
            slots_proved_free: self.slots,
            producer_slept: self.slept,
            publish_wall: Percentiles::of(&self.wall),
            publish_cpu: Percentiles::of(&self.cpu),
            ..Summary::default()
        }
    }
}

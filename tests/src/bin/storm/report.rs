//! What the parts tell the conductor, as lines of JSON, and what becomes of it.

use std::io::Write as _;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// An incarnation of a producer.
pub(crate) type Run = [u32; 4];

/// A line from a part.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "said", rename_all = "kebab-case")]
pub(crate) enum Said {
    /// The producer has its lane, and so many descriptors.
    Born { descriptors: usize },
    /// What the producer did since its last line.
    Shift(Shift),
    /// It publishes no more.
    Rests { published: u64 },
    /// What it finds to be left.
    Proof(Proof),
    /// A consumer's account.
    Tally(Tally),
    /// A consumer has left in good order.
    Left(Tally),
    /// An observer's account.
    Looks(Looks),
    /// A guarantee does not hold.
    Broken { what: String },
}

/// Some milliseconds of a producer's life.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Shift {
    pub(crate) published: u64,
    /// Nanoseconds of loan and publish together, and how often.
    pub(crate) wall: Vec<(u64, u64)>,
    /// The same by the clock of the thread, which stands while others run.
    pub(crate) cpu: Vec<(u64, u64)>,
    /// Times that the thread gave the processor away by itself during bursts (getrusage(2), `ru_nvcsw`); a SIGSTOP counts.
    pub(crate) slept: u64,
}

/// What a producer finds after its readers have left.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Proof {
    pub(crate) published: u64,
    pub(crate) dropped: u32,
    /// Seats that somebody seems to be in.
    pub(crate) seats_taken: usize,
    /// Loans that can be had at once, and how many there should be.
    pub(crate) loans: u64,
    pub(crate) loans_due: u64,
    pub(crate) descriptors: usize,
}

/// A consumer's account of one run of the producer.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Tally {
    pub(crate) run: Run,
    /// The number after which this reader began.
    pub(crate) base: u64,
    /// The number of its last frame; 0: none yet.
    pub(crate) last: u64,
    pub(crate) delivered: u64,
    pub(crate) missed: u64,
    /// It was told that the producer died or ended, and had read up to `last` by then.
    pub(crate) told: bool,
    /// Over all runs: frames checked and missed, their bytes, runs followed, ends told, tries that the producer was faster at.
    pub(crate) checked: u64,
    pub(crate) skipped: u64,
    pub(crate) bytes: u64,
    pub(crate) restarts: u64,
    pub(crate) ends: u64,
    pub(crate) contended: u64,
}

/// An observer's account.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Looks {
    pub(crate) copies: u64,
    pub(crate) bytes: u64,
    pub(crate) contended: u64,
    pub(crate) opened: u64,
}

/// Tells the conductor. One that is gone takes this process along, see [`crate::world::die_with_parent`].
pub(crate) fn say(said: &Said) {
    if let Ok(line) = serde_json::to_string(said) {
        let _ = writeln!(std::io::stdout().lock(), "{line}");
    }
}

/// Times in nanoseconds, to two digits.
pub(crate) fn times() -> Histogram<u64> {
    Histogram::new(2).unwrap_or_else(|_| unreachable!("2 digits are supported"))
}

/// How it stands, or what came of it.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Summary {
    pub(crate) ok: bool,
    pub(crate) broken: Option<String>,
    pub(crate) seed: u64,
    pub(crate) seconds: f64,
    pub(crate) rounds: u32,
    pub(crate) readers: u32,
    /// `/dev/shm` was the storm's alone, so its size could be compared.
    pub(crate) private_shm: bool,
    pub(crate) events: Events,
    pub(crate) frames_published: u64,
    pub(crate) frames_checked: u64,
    pub(crate) copies_checked: u64,
    pub(crate) bytes_checked: u64,
    pub(crate) frames_missed: u64,
    /// Times that a reader tried again because the producer was faster.
    pub(crate) contended: u64,
    pub(crate) accounts_closed: u64,
    pub(crate) restarts_followed: u64,
    pub(crate) ends_told: u64,
    pub(crate) seats_proved_free: u64,
    pub(crate) slots_proved_free: u64,
    /// Voluntary switches of the producer's thread during its bursts.
    pub(crate) producer_slept: u64,
    pub(crate) publish_wall: Percentiles,
    pub(crate) publish_cpu: Percentiles,
}

/// What chance did.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Events {
    pub(crate) readers_killed: u64,
    pub(crate) readers_stopped: u64,
    pub(crate) readers_resumed: u64,
    pub(crate) readers_restarted: u64,
    pub(crate) producers_killed: u64,
    pub(crate) producers_stopped: u64,
    pub(crate) producers_restarted: u64,
    pub(crate) intruders_refused: u64,
}

impl Events {
    pub(crate) const fn sum(&self) -> u64 {
        self.readers_killed
            + self.readers_stopped
            + self.readers_resumed
            + self.readers_restarted
            + self.producers_killed
            + self.producers_stopped
            + self.producers_restarted
            + self.intruders_refused
    }
}

/// Nanoseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Percentiles {
    pub(crate) samples: u64,
    pub(crate) p50: u64,
    pub(crate) p99: u64,
    pub(crate) p999: u64,
    pub(crate) max: u64,
}

impl Percentiles {
    pub(crate) fn of(times: &Histogram<u64>) -> Self {
        let at = |share| times.value_at_quantile(share);
        Self { samples: times.len(), p50: at(0.5), p99: at(0.99), p999: at(0.999), max: times.max() }
    }
}

impl Summary {
    /// The table for people.
    pub(crate) fn print(&self) {
        let Events {
            readers_killed,
            readers_stopped,
            readers_resumed,
            readers_restarted,
            producers_killed,
            producers_stopped,
            producers_restarted,
            intruders_refused,
        } = self.events;
        let row = |name: &str, value: String| println!("{name:<24} {value}");
        row("seed", self.seed.to_string());
        row(
            "time",
            format!("{:.0} s, {} rounds, up to {} readers at once", self.seconds, self.rounds, self.readers),
        );
        row(
            "readers",
            format!(
                "{readers_killed} killed, {readers_stopped} stopped, {readers_resumed} resumed, {readers_restarted} left and replaced"
            ),
        );
        row(
            "producers",
            format!(
                "{producers_killed} killed, {producers_stopped} stopped, {producers_restarted} left and replaced, {intruders_refused} intruders refused"
            ),
        );
        row("frames published", self.frames_published.to_string());
        row(
            "frames checked",
            format!(
                "{} pinned, {} copied, {:.1} GB, every byte",
                self.frames_checked,
                self.copies_checked,
                self.bytes_checked as f64 / 1e9
            ),
        );
        row(
            "accounts",
            format!(
                "{} closed: delivered + missed = distance; {} frames missed, {} restarts followed, {} ends told",
                self.accounts_closed, self.frames_missed, self.restarts_followed, self.ends_told
            ),
        );
        row(
            "leaks",
            format!(
                "{} seats and {} slots proved free; descriptors{} as before, in {} rounds",
                self.seats_proved_free,
                self.slots_proved_free,
                if self.private_shm { ", objects and bytes of /dev/shm" } else { " and objects" },
                self.rounds
            ),
        );
        for (name, times) in
            [("loan + publish, wall", self.publish_wall), ("loan + publish, CPU", self.publish_cpu)]
        {
            let us = |nanos: u64| nanos as f64 / 1e3;
            row(
                name,
                format!(
                    "p50 {:.2} us, p99 {:.2} us, p99.9 {:.2} us, longest {:.0} us, of {}",
                    us(times.p50),
                    us(times.p99),
                    us(times.p999),
                    us(times.max),
                    times.samples
                ),
            );
        }
        row(
            "the producer slept",
            format!("{} times in loan or publish; a SIGSTOP counts", self.producer_slept),
        );
        row("result", self.broken.clone().unwrap_or_else(|| "all proved".to_owned()));
    }
}

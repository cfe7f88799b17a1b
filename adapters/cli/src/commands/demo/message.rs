//! What the demo and its workers tell each other: orders as words, reports as lines of JSON.

use core::time::Duration;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::stop;

/// What a worker is told to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Order {
    /// Consumer: take a frame and keep it.
    Hold,
    /// Producer: publish no more, but stay.
    Pause,
    /// Producer: look whether all slots came back.
    Audit,
    /// Leave in good order.
    Leave,
}

impl Order {
    const ALL: [(Self, &str); 4] =
        [(Self::Hold, "hold"), (Self::Pause, "pause"), (Self::Audit, "audit"), (Self::Leave, "leave")];

    /// The line that gives this order.
    pub(super) fn word(self) -> &'static str {
        Self::ALL.iter().find(|(order, _)| *order == self).map_or("leave", |(_, word)| word)
    }

    fn parse(line: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, word)| *word == line.trim()).map(|(order, _)| *order)
    }
}

/// A worker's ear. When standard input ends, whoever gave the orders is gone: that means leave.
#[derive(Debug)]
pub(super) struct Orders(Receiver<Order>);

impl Orders {
    /// Starts to listen.
    pub(super) fn listen() -> Self {
        let (sender, orders) = channel();
        std::thread::spawn(move || {
            let heard = io::stdin().lines().map_while(Result::ok).filter_map(|line| Order::parse(&line));
            for order in heard {
                if sender.send(order).is_err() {
                    return;
                }
            }
        });
        Self(orders)
    }

    /// Waits for the next order until `deadline`.
    pub(super) fn until(&self, deadline: Instant) -> Option<Order> {
        loop {
            if stop::requested() {
                return Some(Order::Leave);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.0.recv_timeout(left.min(stop::LOOK)) {
                Ok(order) => return Some(order),
                Err(RecvTimeoutError::Disconnected) => return Some(Order::Leave),
                Err(RecvTimeoutError::Timeout) if left <= stop::LOOK => return None,
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// An order that is there now.
    pub(super) fn now(&self) -> Option<Order> {
        self.until(Instant::now())
    }
}

/// What a worker says.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "said", rename_all = "kebab-case")]
pub(super) enum Said {
    /// The lane is made, or the seat taken.
    Ready,
    /// How it stands, some times a second. `run` counts the producers seen, from 1.
    Progress { frames: u64, frames_of_run: u64, run: usize },
    /// It holds this frame and waits for its end.
    Holding { number: u64, seen: Seen },
    /// All that the producer will publish is published.
    Paused { published: u64 },
    /// What became of the slots when all consumers had left.
    Audited { expected: u32, lent: u32, pins: u32 },
    /// A producer's last words.
    Published(Published),
    /// A consumer's last words.
    Seen(Seen),
    /// It could not go on.
    Failed { error: String },
}

/// What a producer counted.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Published {
    pub(super) frames: u64,
    pub(super) dropped: u32,
    /// Slots that were not inside the mapped object.
    pub(super) copies: u64,
    /// Open files when the lane was made, and at the end.
    pub(super) descriptors: (usize, usize),
}

/// What a consumer saw.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Seen {
    /// Frames whose every byte was compared.
    pub(super) frames: u64,
    pub(super) bytes: u64,
    /// Frames with a wrong byte, or whose description belongs to other pixels.
    pub(super) torn: u64,
    pub(super) first_torn: Option<String>,
    /// Frames whose bytes did not lie in the lane's own object.
    pub(super) copies: u64,
    /// One for each producer.
    pub(super) runs: Vec<Run>,
    /// Times from publish to frame in hand: nanoseconds, and how often.
    pub(super) latency: Vec<(u64, u64)>,
    /// From the first frame to the last.
    pub(super) nanos: u64,
    /// Open files after the first frame and at the end.
    pub(super) descriptors: (usize, usize),
}

/// What a consumer saw of one producer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(super) struct Run {
    /// Number of the first frame in hand.
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) frames: u64,
    /// Reported as missed between the first and the last.
    pub(super) missed: u64,
    /// Reported as missed with the first.
    pub(super) missed_before: u64,
    /// Reported as dropped by the producer.
    pub(super) dropped: u64,
}

impl Run {
    /// Tells whether frames in hand and frames missed account for every number.
    pub(super) const fn is_complete(&self) -> bool {
        self.first + self.frames + self.missed == self.last + 1
    }
}

/// Open files of this process; the same mistake each time, as listing them opens one.
pub(super) fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

/// Tells when it is time to say something again.
#[derive(Debug)]
pub(super) struct Beat(Instant);

impl Beat {
    const PERIOD: Duration = Duration::from_millis(100);

    /// The first time is now.
    pub(super) fn new() -> Self {
        Self(Instant::now())
    }

    /// Whether it is time.
    pub(super) fn is_due(&mut self) -> bool {
        let now = Instant::now();
        let due = now >= self.0;
        if due {
            self.0 = now + Self::PERIOD;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(Order::Hold)]
    #[case(Order::Pause)]
    #[case(Order::Audit)]
    #[case(Order::Leave)]
    fn an_order_is_understood(#[case] order: Order) {
        assert_eq!(Order::parse(&format!("{}\n", order.word())), Some(order));
    }

    #[rstest]
    #[case::all_in_hand(Run { first: 3, last: 7, frames: 5, ..Run::default() }, true)]
    #[case::some_missed(Run { first: 3, last: 7, frames: 2, missed: 3, ..Run::default() }, true)]
    #[case::one_unexplained(Run { first: 3, last: 7, frames: 2, missed: 2, ..Run::default() }, false)]
    #[case::one_too_many(Run { first: 3, last: 7, frames: 5, missed: 1, ..Run::default() }, false)]
    fn every_number_is_accounted_for(#[case] run: Run, #[case] complete: bool) {
        assert_eq!(run.is_complete(), complete);
    }
}

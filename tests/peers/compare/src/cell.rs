//! One square of the tables: an entry, a job, and how.

use std::fmt;
use std::time::Duration;

use peers_drive::{Job, Readers, Size, Way};

/// A measurement to be made once a round.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    /// Which program has the entry.
    pub(crate) command: Vec<String>,
    pub(crate) entry: String,
    pub(crate) job: Job,
    pub(crate) way: Way,
    pub(crate) size: Size,
    pub(crate) readers: u32,
    pub(crate) doing: Readers,
    pub(crate) rate: u32,
    pub(crate) time: Duration,
}

impl Cell {
    /// The row it belongs to.
    pub(crate) fn subject(&self) -> String {
        subject(&self.entry, self.way)
    }

    /// What is measured, without by whom.
    pub(crate) fn measure(&self) -> String {
        match self.job {
            Job::Polling | Job::Rate => format!("{:?} {}", self.job, self.size).to_lowercase(),
            Job::Asleep => format!("asleep {}", self.readers),
            Job::Stream => format!("stream {}", self.rate),
            Job::Readers => readers(self.doing, self.readers),
            Job::Attach | Job::Python => format!("{:?}", self.job).to_lowercase(),
        }
    }

    /// Consumers' processes.
    pub(crate) fn processes(&self) -> u32 {
        match self.job {
            Job::Readers => self.readers.min(1),
            Job::Python => 0,
            _ => self.readers,
        }
    }

    /// How long it will take, processes and all, on a machine like the one that the README's figures are from.
    pub(crate) fn estimate(&self) -> Duration {
        let start = Duration::from_millis(150 + 20 * u64::from(self.readers));
        let warm_up =
            if self.job == Job::Stream { Duration::from_secs(16) / self.rate } else { Duration::ZERO };
        let pages = Duration::from_micros(self.size.bytes() as u64 / 200);
        start + warm_up + pages + self.time
    }
}

/// A row's name.
pub(crate) fn subject(entry: &str, way: Way) -> String {
    if way == Way::Default { entry.to_owned() } else { format!("{entry}, {way}") }
}

/// The measure of a publish with so many readers.
pub(crate) fn readers(doing: Readers, readers: u32) -> String {
    format!("readers {doing:?} {readers}").to_lowercase()
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.measure(), self.subject())
    }
}

//! What a process found.

use camlane_measure::Times;
use serde::{Deserialize, Serialize};

/// What one process measured in one measurement; what does not apply stays empty.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Outcome {
    /// Stamp before publish until the consumer holds the frame, ns.
    pub held: Times,
    /// Stamp before publish until the consumer has read the first bytes, ns.
    pub touched: Times,
    /// Getting room and publishing, without the fill, ns.
    pub publish: Times,
    /// Opening until the first frame is in hand, ns.
    pub attach: Times,
    /// Borrowing, making an array and releasing in Python, ns.
    pub borrow: Times,
    /// Processor time per frame, us: all threads, user and system.
    pub cpu_us: Option<f64>,
    /// Frames per second.
    pub rate: Option<f64>,
    /// Frames that did not arrive, or not in time.
    pub lost: u64,
    /// Frames whose end was of another frame than their beginning.
    pub torn: u64,
}

/// What a process writes to its standard output, one a line.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Report {
    /// Its end is open.
    Ready,
    /// It is done.
    Done(Box<Outcome>),
}

//! What one measurement is: who sends what to whom, how often, and how it is waited for. Travels to the workers as JSON.

use camlane_measure::{Timer, Times};
use serde::{Deserialize, Serialize};

/// How frames get from one process to the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum Way {
    /// One cache line that carries the stamp: the limit.
    Line,
    /// A ring of slots without any safety, woken by a bare futex.
    Ring,
    /// A named lane of camlane.
    Lane,
}

/// A frame's size.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum Size {
    /// One page, for measurements in which nobody looks at pixels.
    Page,
    Vga,
    Fhd,
    Uhd,
}

impl Size {
    pub(super) const PICTURES: [Self; 3] = [Self::Vga, Self::Fhd, Self::Uhd];

    /// Bytes of a frame, three for each pixel.
    pub(super) const fn bytes(self) -> u32 {
        match self {
            Self::Page => 4096,
            Self::Vga => 640 * 480 * 3,
            Self::Fhd => 1920 * 1080 * 3,
            Self::Uhd => 3840 * 2160 * 3,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Page => "4 KiB",
            Self::Vga => "VGA",
            Self::Fhd => "FHD",
            Self::Uhd => "UHD",
        }
    }
}

/// How a reader waits for the next frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum Waiting {
    /// Asks again and again.
    Poll,
    /// Lets the library spin.
    Spin,
    Sleep,
    Adaptive,
}

impl Waiting {
    /// So fast that reading the clock once more would show.
    pub(super) const fn is_awake(self) -> bool {
        matches!(self, Self::Poll | Self::Spin)
    }
}

/// When the next frame is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum Pace {
    /// At once, whatever readers do. Only the average of many frames is timed, without a look at the clock between them.
    Free,
    /// When at most so many frames are with readers that have not finished them: nothing is lost, nothing queues longer.
    Window { frames: u32 },
    /// When all readers have finished the last one, and this time has passed since.
    After { micros: u32 },
    /// At so many frames per second.
    Rate { fps: u32 },
}

/// How the producer fills a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum Fill {
    /// Not at all but for the stamp: as a camera that writes into the slot itself.
    Nothing,
    /// A copy through the cache.
    Cached,
    /// A copy past the cache.
    Streaming,
    /// The copy that camlane chooses.
    Chosen,
}

/// One measurement.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Job {
    pub(super) way: Way,
    pub(super) size: Size,
    /// Processes that read. With `crowd`, consumers in one process.
    pub(super) readers: u32,
    /// One process for all readers, which take each frame one after the other and hold it until the next.
    pub(super) crowd: bool,
    /// Seats of the lane.
    pub(super) seats: u32,
    pub(super) wait: Waiting,
    pub(super) pace: Pace,
    pub(super) fill: Fill,
    /// Readers read every cache line of each frame.
    pub(super) read: bool,
    /// The time of publishing counts from before the loan instead of from the stamp.
    pub(super) from_loan: bool,
    /// The publish time is given, so that the library need not read a clock.
    pub(super) time_given: bool,
    /// Frames that count, after `warm_up` that do not.
    pub(super) frames: u32,
    pub(super) warm_up: u32,
}

impl Job {
    /// One reader of one picture by polling, nothing filled, nothing read but the stamp.
    pub(super) const fn new(way: Way, size: Size, frames: u32) -> Self {
        Self {
            way,
            size,
            readers: 1,
            crowd: false,
            seats: 1,
            wait: Waiting::Poll,
            pace: Pace::After { micros: 10 },
            fill: Fill::Nothing,
            read: false,
            from_loan: false,
            time_given: false,
            frames,
            warm_up: frames.div_ceil(10),
        }
    }

    /// The number of the last frame, counted from 1.
    pub(super) const fn last(&self) -> u64 {
        (self.warm_up + self.frames) as u64
    }

    /// Whether a frame is sent only when the readers have finished an earlier one.
    pub(super) const fn is_closed_loop(&self) -> bool {
        matches!(self.pace, Pace::After { .. } | Pace::Window { .. })
    }
}

/// A worker's part.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum Part {
    Produce,
    /// Which of the readers it is, from 0.
    Consume(u32),
    Crowd,
    /// Opens the lane so often, with all page faults taken at once or not.
    Attach {
        times: u32,
        populate: bool,
    },
}

/// All that a worker must know.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Task {
    pub(super) part: Part,
    pub(super) job: Job,
    pub(super) lane: String,
    /// Where the ring is; empty for the producer, who makes it.
    pub(super) ring: String,
    /// Where readers say what they have finished.
    pub(super) desk: String,
    pub(super) timer: Timer,
    pub(super) cpu: Option<usize>,
    pub(super) real_time: bool,
}

/// What a worker says, a line of JSON each.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Said {
    /// It waits for the word to begin (the producer) or for frames; with where its ring is.
    Ready(String),
    Done(Box<Report>),
    Failed(String),
}

/// What a worker measured. Times are nanoseconds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Report {
    /// From the stamp until the reader held the frame.
    pub(super) held: Times,
    /// From the stamp until it had read the first bytes.
    pub(super) touched: Times,
    /// What publishing took.
    pub(super) publish: Times,
    /// What it took to take a frame and give the one before back.
    pub(super) borrow: Times,
    /// From before opening until the first frame's first bytes were read.
    pub(super) attach: Times,
    /// Frames that count which were sent or received.
    pub(super) frames: u64,
    /// Frames that a reader did not get.
    pub(super) missed: u64,
    /// Frames that could not be lent.
    pub(super) dropped: u64,
    /// Processor time for the frames that count.
    pub(super) cpu_ns: u64,
    /// Time for the frames that count.
    pub(super) seconds: f64,
}

impl Report {
    /// Adds another reader's.
    pub(super) fn merge(&mut self, other: &Self) {
        self.held.merge(&other.held);
        self.touched.merge(&other.touched);
        self.publish.merge(&other.publish);
        self.borrow.merge(&other.borrow);
        self.attach.merge(&other.attach);
        self.frames += other.frames;
        self.missed += other.missed;
        self.dropped += other.dropped;
        self.cpu_ns += other.cpu_ns;
        self.seconds = self.seconds.max(other.seconds);
    }
}

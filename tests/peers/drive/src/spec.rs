//! What is to be measured.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use camlane_measure::Timer;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::peer::Place;

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Job {
    /// Latency to a consumer that never sleeps.
    Polling,
    /// Latency to consumers that sleep.
    Asleep,
    /// Latency and processor time of a stream at camera rate.
    Stream,
    /// What a publish costs against the number of readers.
    Readers,
    /// Most frames per second, copied in whole and read whole.
    Rate,
    /// From opening to the first frame.
    Attach,
    /// What one frame costs a Python program.
    Python,
}

/// How it is done, where a peer knows more than one way.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// As the documentation's first example, with its advice for speed.
    #[default]
    Default,
    /// The producer fills frames as the C library's memcpy does, where the default is something else.
    Memcpy,
    /// The producer fills frames with non-temporal stores.
    Streaming,
    /// The consumer sleeps most of a period, then spins.
    Adaptive,
    /// The consumer never sleeps.
    Spinning,
    /// The consumer's pages are mapped while it attaches.
    Populated,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Default => "",
            Self::Memcpy => "memcpy",
            Self::Streaming => "streaming stores",
            Self::Adaptive => "adaptive wait",
            Self::Spinning => "never asleep",
            Self::Populated => "populated",
        })
    }
}

/// Frame sizes: three bytes a pixel.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Size {
    /// 640 x 480, 0.92 MB.
    Vga,
    /// 1920 x 1080, 6.2 MB.
    Fhd,
    /// 3840 x 2160, 24.9 MB.
    Uhd,
}

impl Size {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Vga, Self::Fhd, Self::Uhd];

    /// Width and height in pixels.
    pub const fn pixels(self) -> (u32, u32) {
        match self {
            Self::Vga => (640, 480),
            Self::Fhd => (1920, 1080),
            Self::Uhd => (3840, 2160),
        }
    }

    /// Bytes of a frame.
    pub const fn bytes(self) -> usize {
        let (width, height) = self.pixels();
        width as usize * height as usize * 3
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Vga => "VGA",
            Self::Fhd => "FHD",
            Self::Uhd => "UHD",
        })
    }
}

/// What registered readers do while a publish is timed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Readers {
    /// Nothing at all: they are there.
    #[default]
    Silent,
    /// Each takes and releases every frame, between two publishes.
    Turning,
    /// One after the other polls without a pause.
    Polling,
}

/// One measurement: a job, done once by one peer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Spec {
    /// Which of the program's entries.
    pub entry: String,
    /// Where and what.
    pub place: Place,
    /// For [`Job::Readers`].
    pub doing: Readers,
    /// Frames per second of a stream.
    pub rate: u32,
    /// How long to measure; copying peers may take longer for a few frames.
    pub time: Duration,
    /// The board's file.
    pub board: PathBuf,
    /// The clock that both sides use.
    pub timer: Timer,
    /// The processor to run on.
    pub cpu: usize,
    /// Which consumer this is, from 0; the producer ignores it.
    pub index: u32,
}

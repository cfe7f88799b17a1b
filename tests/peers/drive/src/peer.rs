//! What a peer implements.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::copy::fill;
use crate::spec::{Job, Size, Way};

/// What a peer says about itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Description {
    /// The row's heading.
    pub name: String,
    /// The version that is linked.
    pub version: String,
    /// Not a peer but what the machine can do: nothing is safe there.
    pub limit: bool,
    /// Frames are copied in or out on their way, so that a publish costs what a copy costs.
    pub copies: bool,
    /// Consumers it can have at once.
    pub readers: u32,
    /// How it was set up, in a sentence.
    pub setup: String,
    /// What it can do, each in the ways that differ.
    pub jobs: Vec<(Job, Vec<Way>)>,
}

/// Where the two ends meet, and what for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Place {
    /// A name that no other measurement uses; letters, digits and `-`.
    pub name: String,
    /// A folder of this measurement's own, in memory, for sockets and files.
    pub folder: PathBuf,
    /// What frames look like.
    pub size: Size,
    /// Consumers that will come.
    pub readers: u32,
    /// How the job shall be done.
    pub way: Way,
    /// What for.
    pub job: Job,
}

impl Place {
    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Bytes of a frame.
    pub const fn bytes(&self) -> usize {
        self.size.bytes()
    }
}

/// A way to hand frames to other processes.
pub trait Peer {
    /// The end that publishes.
    type Producer: Produce;
    /// An end that reads.
    type Consumer: Consume;

    /// Name, version, jobs.
    fn describe() -> Description;

    /// Opens the end that publishes; always before the consumers.
    ///
    /// # Errors
    /// The peer's own.
    fn producer(place: &Place) -> Result<Self::Producer>;

    /// Opens an end that reads.
    ///
    /// # Errors
    /// The peer's own.
    fn consumer(place: &Place) -> Result<Self::Consumer>;
}

/// The end that publishes.
pub trait Produce {
    /// Takes in consumers that have come. Called until the job starts, and between frames while consumers come and go.
    ///
    /// # Errors
    /// The peer's own.
    fn admit(&mut self) -> Result<()> {
        Ok(())
    }

    /// Gets room for a frame, has it filled, and publishes it. A peer that copies has a buffer of its own filled and copies
    /// that, whole.
    ///
    /// # Errors
    /// The peer's own.
    fn publish(&mut self, fill: impl FnOnce(&mut [u8])) -> Result<()>;

    /// Publishes a frame that lies elsewhere in this process, as the way says; `mark` is called before the publish. A peer
    /// that copies anyhow sends its own buffer.
    ///
    /// # Errors
    /// The peer's own.
    fn publish_copy(&mut self, frame: &[u8], way: Way, mark: impl FnOnce(&mut [u8])) -> Result<()> {
        self.publish(|slot| {
            fill(slot, frame, way);
            mark(slot);
        })
    }
}

/// An end that reads.
pub trait Consume {
    /// Shows the next frame if there is one, gives it back afterwards, and returns what was made of it.
    ///
    /// # Errors
    /// The peer's own.
    fn poll<T>(&mut self, look: impl FnOnce(&[u8]) -> T) -> Result<Option<T>>;

    /// As `poll`, but sleeps until there is one, as the way says, at most `limit`.
    ///
    /// # Errors
    /// The peer's own.
    fn wait<T>(&mut self, limit: Duration, look: impl FnOnce(&[u8]) -> T) -> Result<Option<T>>;
}

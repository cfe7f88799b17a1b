//! Cloudflare's mmap-sync: the newest value of one writer, in files of a memory file system.
#![allow(unsafe_code)] // reading is unsafe: the writer waits for readers for a time, not for ever

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, anyhow};
use mmap_sync::synchronizer::{Synchronizer, SynchronizerError};
use peers_drive::{Consume, Description, Job, Peer, Place, Produce, Way, entry};

fn main() -> ExitCode {
    peers_drive::main(&[entry::<MmapSync>()])
}

struct MmapSync;

struct Writer {
    synchronizer: Synchronizer,
    frame: Vec<u8>,
}

struct Reader {
    synchronizer: Synchronizer,
    last: [u8; 8],
}

/// How long the writer waits for readers.
const GRACE: Duration = Duration::from_secs(1);
/// Where a frame's number stands: a mailbox shows the last frame until the next.
const NUMBER: std::ops::Range<usize> = 8..16;
/// Between two looks, in place of the sleep that there is no support for.
const POLL: Duration = Duration::from_millis(1);

fn open(place: &Place) -> Synchronizer {
    let path: &Path = &place.path("frames");
    Synchronizer::new(path.as_os_str())
}

/// What rkyv makes of a vector: its bytes, then where they are and how many, seen from there.
fn archived(bytes: usize) -> Vec<u8> {
    let mut archived = vec![0; bytes.next_multiple_of(4) + 8];
    let root = bytes.next_multiple_of(4);
    archived[root..root + 4].copy_from_slice(&(-(root as i32)).to_le_bytes());
    archived[root + 4..].copy_from_slice(&(bytes as u32).to_le_bytes());
    archived
}

impl Peer for MmapSync {
    type Producer = Writer;
    type Consumer = Reader;

    fn describe() -> Description {
        Description {
            name: "mmap-sync".into(),
            version: "2.0.4".into(),
            limit: false,
            copies: true,
            readers: 64,
            setup: "files in a tmpfs, write_raw of an archived vector, read without check_bytes; no wake-up: polled every \
                    millisecond where others sleep"
                .into(),
            jobs: vec![
                (Job::Polling, vec![Way::Default]),
                (Job::Stream, vec![Way::Default]),
                (Job::Rate, vec![Way::Default]),
            ],
        }
    }

    fn producer(place: &Place) -> Result<Writer> {
        Ok(Writer { synchronizer: open(place), frame: archived(place.bytes()) })
    }

    fn consumer(place: &Place) -> Result<Reader> {
        Ok(Reader { synchronizer: open(place), last: [0; 8] })
    }
}

impl Produce for Writer {
    fn publish(&mut self, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        let bytes = self.frame.len() - 8;
        fill(&mut self.frame[..bytes]);
        self.synchronizer.write_raw::<Vec<u8>>(&self.frame, GRACE).map_err(|error| anyhow!(error))?;
        Ok(())
    }
}

impl Consume for Reader {
    fn poll<T>(&mut self, look: impl FnOnce(&[u8]) -> T) -> Result<Option<T>> {
        // SAFETY: looked at and dropped within the writer's grace time; the writer writes archived vectors.
        let result = match unsafe { self.synchronizer.read::<Vec<u8>>(false) } {
            Ok(result) => result,
            Err(SynchronizerError::UninitializedState | SynchronizerError::FailedStateRead(_)) => {
                return Ok(None);
            }
            Err(error) => return Err(anyhow!(error)),
        };
        let frame: &[u8] = &result;
        if frame[NUMBER] == self.last {
            return Ok(None);
        }
        self.last.copy_from_slice(&frame[NUMBER]);
        Ok(Some(look(frame)))
    }

    fn wait<T>(&mut self, _limit: Duration, look: impl FnOnce(&[u8]) -> T) -> Result<Option<T>> {
        let seen = self.poll(look)?;
        if seen.is_none() {
            std::thread::sleep(POLL);
        }
        Ok(seen)
    }
}

//! One picture behind a 24-byte header: written in place, latest frame only, no wake-up, no acknowledgement.
//!
//! All bytes go through `pread` and `pwrite`: they are the same bytes that others have mapped, and an object that is cut
//! gives an error where a mapping gives SIGBUS. It costs about a fifth of a millisecond per megabyte.
//!
//! # Why a frame that the reader returns is whole
//! A writer clears `frame_valid`, reads the clock, stores the time, then the pixels, then `frame_valid = 1`. The reader
//! reads the header, waits until the clock has left that millisecond, reads the header again, copies, and reads it a
//! third time. A frame begun after the second look has a later time, so the third look tells: nothing between the two
//! looks wrote a pixel. Without the wait two frames of one millisecond could not be told apart. A camlane writer, known by
//! its lock, never gives two frames the same time, and is not waited for.
//!
//! This asks two things of an old writer: that it stores in the order above, which x86-64 keeps and aarch64 without
//! barriers does not; and that its clock is this system's. A clock that is set back during a copy discards the copy.

mod reader;
mod writer;

pub use reader::{Frame24, Header24Reader, Stall, Writing};
pub use writer::{Header24Options, Header24Writer};

use std::time::{SystemTime, UNIX_EPOCH};

/// CLOCK_REALTIME in whole milliseconds, as such writers stamp their frames.
fn wall_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

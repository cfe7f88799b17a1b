//! The end that reads: copies out, looks again, and tells the ways of standing still apart.

use std::fmt;
use std::ops::DerefMut;
use std::sync::atomic::{Ordering, fence};
use std::time::{Duration, Instant};

use camlane_core::legacy::header24::{Header24, LEN};
use camlane_core::{Clock, Flags, FrameLayout, FrameMeta};

use super::wall_ms;
use crate::clock;
use crate::legacy::lease::{self, Others};
use crate::legacy::object::byte;
use crate::legacy::{Access, Error, Identity, Object, ObjectName};
use crate::lock::LockFile;

/// How often the header is looked at. Nobody wakes a reader of this layout.
const LOOK: Duration = Duration::from_millis(1);

/// Whether anybody can still write a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Writing {
    /// A program has the object open for writing.
    Possible,
    /// Nobody has: the writer ended or died.
    Impossible,
    /// The system does not say: the object is another user's.
    Unknown,
}

impl fmt::Display for Writing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Possible => "a program has the object open for writing",
            Self::Impossible => "its writer is gone",
            Self::Unknown => "whether its writer lives cannot be seen: the object is another user's",
        })
    }
}

/// Why no frame came in time.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Stall {
    /// No object has had the name since the reader was made.
    #[error("there is no object {object} yet")]
    Absent {
        /// The name.
        object: String,
    },
    /// The object that was read has lost its name, and no other has it.
    #[error("{object} is gone: its name was removed")]
    Gone {
        /// The name.
        object: String,
    },
    /// `frame_valid` is 0, and nothing moves.
    #[error("{object} has had half a frame for {age:?}; {writing}")]
    HalfFrame {
        /// The name.
        object: String,
        /// How long it has been so.
        age: Duration,
        /// Whether it may still be finished.
        writing: Writing,
    },
    /// The frame that was delivered last is still there.
    #[error("{object} has had the same frame for {age:?}; {writing}")]
    Stale {
        /// The name.
        object: String,
        /// How long it has been so.
        age: Duration,
        /// Whether another may come.
        writing: Writing,
    },
    /// Frames came, and none stayed for as long as a copy that can be checked takes.
    #[error(
        "{object}: no frame stayed long enough to be copied whole, {copies} copies were overwritten: slow its writer down, or \
         move to a lane"
    )]
    Overwritten {
        /// The name.
        object: String,
        /// Copies that were discarded.
        copies: u32,
    },
    /// The header's time is in the future, so that nobody can tell whether the frame is whole.
    #[error(
        "{object}: its frames are stamped {ahead_ms} ms ahead of this system's clock, and can not be checked"
    )]
    Ahead {
        /// The name.
        object: String,
        /// By how much.
        ahead_ms: i64,
    },
    /// The object was cut, its header makes no sense, or the system refused.
    #[error(transparent)]
    Other(#[from] Error),
}

/// The end of a 24-byte-header buffer that reads. Read permission is enough.
///
/// It follows the name: a writer that made a new object is found by itself ([`Frame24::replaced`]). `Send`.
#[derive(Debug)]
pub struct Header24Reader {
    name: ObjectName,
    open: Option<Opened>,
    replaced: bool,
    delivered: Option<(Identity, i64)>,
    seen: Option<(Identity, Header24)>,
    since: Instant,
}

#[derive(Debug)]
struct Opened {
    object: Object,
    identity: Identity,
    locks: LockFile,
}

/// A frame, copied out and proved whole.
#[derive(Clone, Debug)]
pub struct Frame24<B = Vec<u8>> {
    /// What its header says.
    pub header: Header24,
    /// The picture that the header describes: packed rows.
    pub layout: FrameLayout,
    /// The rows, in the first `layout.bytes` of the buffer.
    pub pixels: B,
    /// It is from another object than the frame before: the writer was restarted.
    pub replaced: bool,
    /// Copies that were overwritten before this one was whole.
    pub discarded: u32,
}

impl<B> Frame24<B> {
    /// Time since the writer began the frame, by its stamp.
    pub fn age(&self) -> Duration {
        Duration::from_millis(u64::try_from(wall_ms().saturating_sub(self.header.timestamp_ms)).unwrap_or(0))
    }

    /// The frame's description as a lane has it.
    pub fn meta(&self) -> FrameMeta {
        let mut meta = FrameMeta::new(self.layout);
        meta.capture_ns = u64::try_from(self.header.timestamp_ms).unwrap_or(0).saturating_mul(1_000_000);
        meta.clock = Clock::REALTIME;
        meta.flags = Flags::COPIED;
        if self.replaced {
            meta.flags |= Flags::DISCONTINUITY;
        }
        meta
    }
}

/// What one look found.
enum Look {
    /// Nothing new.
    Nothing,
    /// A new frame, but it can be checked only after so long.
    Later(Duration),
    /// A new frame; `stepped` is the difference of the clocks, to see one that is set.
    New { header: Header24, layout: FrameLayout, stepped: i128 },
}

impl Header24Reader {
    /// Names an object to read; it need not be there yet.
    pub fn new(name: &ObjectName) -> Self {
        Self {
            name: name.clone(),
            open: None,
            replaced: false,
            delivered: None,
            seen: None,
            since: Instant::now(),
        }
    }

    /// The object's name.
    pub const fn name(&self) -> &ObjectName {
        &self.name
    }

    /// Waits for the next frame, at most `timeout`, and copies it out.
    ///
    /// # Errors
    /// [`Stall`] says in which way nothing came.
    pub fn next(&mut self, timeout: Duration) -> Result<Frame24, Stall> {
        self.next_into(timeout, |layout| Ok(vec![0; layout.bytes as usize]))
    }

    /// As [`next`](Self::next), into a buffer that `lend` gives: a lane's [`Loan`](crate::Loan), for example. A copy
    /// that was overwritten is tried again in the same buffer, or in another if the picture's size changed.
    ///
    /// # Errors
    /// [`Stall`]; what `lend` says; [`crate::Error::Size`] if it lends too little.
    pub fn next_into<B>(
        &mut self,
        timeout: Duration,
        mut lend: impl FnMut(&FrameLayout) -> Result<B, Error>,
    ) -> Result<Frame24<B>, Stall>
    where
        B: DerefMut<Target = [u8]>,
    {
        let until = Instant::now().checked_add(timeout);
        let (mut discarded, mut buffer) = (0, None::<(usize, B)>);
        loop {
            let mut problem = None;
            let mut pause = LOOK;
            match self.look() {
                Ok(Look::Nothing) => {}
                Ok(Look::Later(wait)) => pause = wait.min(LOOK),
                Ok(Look::New { header, layout, stepped }) => {
                    let bytes = layout.bytes as usize;
                    let (_, mut room) = match buffer.take() {
                        Some((len, room)) if len == bytes => (len, room),
                        _ => (bytes, lend(&layout)?),
                    };
                    let found = room.len();
                    let Some(into) = room.get_mut(..bytes) else {
                        let what = "the buffer for a frame";
                        return Err(Error::Lane(crate::Error::Size { what, needed: bytes, found }).into());
                    };
                    if self.copy(&header, stepped, into)? {
                        let replaced = std::mem::take(&mut self.replaced);
                        return Ok(Frame24 { header, layout, pixels: room, replaced, discarded });
                    }
                    (discarded, buffer, pause) = (discarded + 1, Some((bytes, room)), Duration::ZERO);
                }
                // A cut object, a header without sense: the writer may be about to mend it.
                Err(error) => problem = Some(error),
            }
            let left = until.map_or(LOOK, |until| until.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return Err(problem.map_or_else(|| self.stall(discarded), Stall::Other));
            }
            if !pause.is_zero() {
                std::thread::sleep(pause.min(left));
            }
        }
    }

    /// Finds the object that has the name now.
    fn follow(&mut self) -> Result<(), Error> {
        let Some(now) = self.name.identity() else { return Ok(()) };
        if self.open.as_ref().is_some_and(|open| open.identity == now) {
            return Ok(());
        }
        let object = match Object::open(&self.name, Access::Read) {
            Ok(object) => object,
            Err(error) if error.is_not_found() => return Ok(()), // it went as we came
            Err(error) => return Err(error),
        };
        self.replaced |= self.delivered.is_some();
        self.open = Some(Opened { identity: object.identity()?, locks: object.locks()?, object });
        Ok(())
    }

    fn look(&mut self) -> Result<Look, Error> {
        self.follow()?;
        let Some(open) = &self.open else { return Ok(Look::Nothing) };
        let identity = open.identity;
        let header = header_of(&open.object)?;
        if self.seen.replace((identity, header)) != Some((identity, header)) {
            self.since = Instant::now();
        }
        if !header.is_valid() || self.delivered == Some((identity, header.timestamp_ms)) {
            return Ok(Look::Nothing);
        }
        let refuse = |source| Error::Header24 { object: self.name.to_string(), source };
        let layout = header.layout().map_err(refuse)?;
        open.object.check_len(LEN as u64 + u64::from(layout.bytes))?; // before a buffer of that size is made
        // In this order: once the millisecond is over, whoever begins a frame gives it another.
        let (now, stepped) = (wall_ms(), step());
        if now <= header.timestamp_ms && !open.locks.is_held(byte::WRITER) {
            let left = header.timestamp_ms - now + 1;
            return Ok(Look::Later(Duration::from_millis(left.unsigned_abs())));
        }
        fence(Ordering::Acquire); // the second look comes after the clock
        if header_of(&open.object)? != header {
            return Ok(Look::Nothing); // the next look finds what came instead
        }
        Ok(Look::New { header, layout, stepped })
    }

    /// Copies the frame that a look found; `false`: it was overwritten meanwhile.
    fn copy(&mut self, header: &Header24, stepped: i128, into: &mut [u8]) -> Result<bool, Error> {
        let Some(open) = &self.open else { return Ok(false) };
        fence(Ordering::Acquire); // the pixels are read after the second look ...
        open.object.read_exact_at(LEN as u64, into)?;
        fence(Ordering::Acquire); // ... and before the third
        let same = header_of(&open.object)? == *header;
        // A clock that was set back may have given a new frame the old time.
        let steady = step() - stepped > -1_000_000;
        if same && steady {
            self.delivered = Some((open.identity, header.timestamp_ms));
        }
        Ok(same && steady)
    }

    /// Says in which way nothing came.
    fn stall(&self, copies: u32) -> Stall {
        let object = self.name.to_string();
        let Some(open) = &self.open else {
            return Stall::Absent { object };
        };
        if copies > 0 {
            return Stall::Overwritten { object, copies };
        }
        if self.name.identity().is_none() {
            return Stall::Gone { object };
        }
        let age = self.since.elapsed();
        let header = self.seen.map(|(_, header)| header).unwrap_or_default();
        let ahead_ms = header.timestamp_ms.saturating_sub(wall_ms());
        if header.is_valid() && self.delivered != Some((open.identity, header.timestamp_ms)) {
            return if ahead_ms > 0 {
                Stall::Ahead { object, ahead_ms }
            } else {
                Stall::Overwritten { object, copies }
            };
        }
        let writing = match lease::writers(open.object.file()) {
            Others::Some => Writing::Possible,
            Others::None => Writing::Impossible,
            Others::Unknown => Writing::Unknown,
        };
        if header.is_valid() {
            Stall::Stale { object, age, writing }
        } else {
            Stall::HalfFrame { object, age, writing }
        }
    }
}

fn header_of(object: &Object) -> Result<Header24, Error> {
    let mut bytes = [0; LEN];
    object.read_exact_at(0, &mut bytes)?;
    Ok(Header24::from_bytes(bytes))
}

/// How far CLOCK_REALTIME is from CLOCK_MONOTONIC, in nanoseconds: it jumps when the clock is set.
fn step() -> i128 {
    i128::from(clock::offsets().realtime_minus_monotonic)
}

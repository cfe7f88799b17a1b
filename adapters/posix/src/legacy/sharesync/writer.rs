//! The end that appends.

use std::sync::atomic::Ordering::{Relaxed, Release};
use std::time::{Duration, Instant};

use camlane_core::legacy::sharesync::{self, ATTR, CAPACITY, KIND, KIND_SHARED, LEN, MARK, MAX_CAPACITY};
use camlane_core::legacy::{Mark, Side};
use nix::fcntl::RenameFlags;

use super::{LOOK, Stream};
use crate::legacy::lease::{self, Others};
use crate::legacy::object::{Staged, byte};
use crate::legacy::{Access, Error, Object, ObjectName};

/// How long a program that came first may take to size the object, and its mutex's holder to let go.
const PATIENCE: Duration = Duration::from_secs(1);
/// So that a writer that is restarted before its first byte is known to stand there.
const AT_THE_START: Mark = Mark { side: Side::Writer, position: 0, moving: false };

/// How to make a mutex-protected stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "finish with `create`"]
pub struct SyncOptions {
    capacity: u32,
    mode: u32,
    replace: bool,
}

impl Default for SyncOptions {
    fn default() -> Self {
        Self { capacity: CAPACITY, mode: 0o600, replace: false }
    }
}

impl SyncOptions {
    /// 10 MiB, as the old programs have it, for the owner alone.
    pub fn new() -> Self {
        Self::default()
    }

    /// Room for that many bytes in all: the stream never wraps. At most 512 MiB.
    pub const fn capacity(mut self, bytes: u32) -> Self {
        self.capacity = if bytes < MAX_CAPACITY { bytes } else { MAX_CAPACITY };
        self
    }

    /// Permissions, exactly; the umask changes nothing.
    pub const fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// Starts a new stream under the name, whoever has the old one open: readers there have to be started again.
    pub const fn replace(mut self) -> Self {
        self.replace = true;
        self
    }

    /// Makes the stream, or goes on where a camlane writer stopped.
    ///
    /// An object that a reader made because it came first is initialised in place, so that the reader gets what is written.
    ///
    /// # Errors
    /// [`Error::Taken`] by another camlane writer; [`Error::PositionUnknown`] if others have a stream open in which only old
    /// programs have written; [`Error::Held`], [`Error::HolderGone`]; [`Error::UnknownAbi`]; [`Error::System`],
    /// [`Error::NoSpace`].
    pub fn create(self, name: &ObjectName) -> Result<SyncWriter, Error> {
        if !sharesync::is_native() {
            return Err(Error::UnknownAbi);
        }
        let until = Instant::now() + PATIENCE;
        loop {
            let made = match Object::open(name, Access::Write) {
                Ok(old) => self.take(old),
                Err(error) if error.is_not_found() => {
                    self.make(name, RenameFlags::RENAME_NOREPLACE).map(|stream| Some((stream, 0)))
                }
                Err(error) => Err(error),
            };
            match made {
                Ok(Some((stream, head))) => return Ok(SyncWriter { stream, head }),
                Ok(None) => {}
                // Another was faster; or the one who made it has not sized it yet; or a writer is just ending.
                Err(error) if error.name() == Some("EEXIST") => {}
                Err(Error::TooShort { .. } | Error::Taken { .. }) if Instant::now() < until => {
                    std::thread::sleep(LOOK);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Goes on in an object that exists. `None`: it lost its name meanwhile.
    fn take(self, old: Object) -> Result<Option<(Stream, u32)>, Error> {
        let name = old.name().clone();
        if !old.locks()?.try_lock(byte::WRITER)? && !self.replace {
            return Err(Error::Taken {
                object: name.to_string(),
                holder: "another camlane writer".to_owned(),
            });
        }
        if !old.is_current() {
            return Ok(None);
        }
        let anew = || Ok(Some((self.make(&name, RenameFlags::empty())?, 0)));
        if self.replace {
            return anew();
        }
        let mut stream = Stream::map(old)?;
        match stream.kind()? {
            0 => {
                stream.object.grow(LEN as u64 + u64::from(stream.capacity))?; // its maker only sized it
                initialise(&stream)?;
                Ok(Some((stream, 0)))
            }
            KIND_SHARED => match stream.position(Side::Writer, PATIENCE) {
                Ok(Some(head)) => Ok(Some((stream, head))),
                // Nobody is there who could be left behind.
                Ok(None) | Err(Error::PositionUnknown { .. })
                    if lease::anybody(stream.object.file()) == Others::None =>
                {
                    anew()
                }
                Ok(None) => Err(Error::PositionUnknown { object: name.to_string() }),
                Err(error) => Err(error),
            },
            kind => Err(Error::Uninitialised { object: name.to_string(), kind }),
        }
    }

    /// Makes an object whose mutex is initialised before it has the name.
    fn make(self, name: &ObjectName, flags: RenameFlags) -> Result<Stream, Error> {
        let staged = Staged::make(name, LEN as u64 + u64::from(self.capacity), self.mode)?;
        staged.write_at(0, &sharesync::fresh())?;
        staged.write_at(MARK as u64, &AT_THE_START.bits().to_le_bytes())?;
        staged.locks()?.try_lock(byte::WRITER)?;
        Stream::map(staged.publish(flags)?)
    }
}

/// Makes the all-zero mutex of an object that a reader made a shared one. The kind goes last: it is what others look at.
fn initialise(stream: &Stream) -> Result<(), Error> {
    let fresh = sharesync::fresh();
    let value = |at: usize| u32::from_le_bytes([fresh[at], fresh[at + 1], fresh[at + 2], fresh[at + 3]]);
    let steps = [(MARK, AT_THE_START.bits()), (ATTR, value(ATTR)), (KIND, value(KIND))];
    for (at, value) in steps {
        stream.head.word(at).ok_or(Error::UnknownAbi)?.store(value, Release);
    }
    Ok(())
}

/// The end of a mutex-protected stream that appends. The object stays when it is dropped, with what was not read.
///
/// **Crash safety:** killed while it holds the mutex, which is for a few stores, it leaves an old reader waiting until
/// another camlane end comes and breaks the lock; killed at any other moment, it leaves a sound stream.
#[derive(Debug)]
pub struct SyncWriter {
    stream: Stream,
    head: u32,
}

impl SyncWriter {
    /// Appends all of `bytes`, waiting for the mutex at most `timeout`.
    ///
    /// # Errors
    /// Nothing was appended: [`Error::Full`] if they would run past the object's end; [`Error::Held`],
    /// [`Error::HolderGone`]; [`Error::Corrupt`]; [`Error::TooShort`] if the object was cut.
    pub fn write(&mut self, bytes: &[u8], timeout: Duration) -> Result<(), Error> {
        if !self.stream.owner.is_here() {
            return Err(crate::Error::Forked.into());
        }
        let room = self.stream.capacity - self.head;
        let Some(len) = u32::try_from(bytes.len()).ok().filter(|&len| len <= room) else {
            let object = self.stream.object.name().to_string();
            return Err(Error::Full { object, bytes: bytes.len(), room });
        };
        // Nobody reads there before `writed` says so.
        self.stream.object.write_at(LEN as u64 + u64::from(self.head), bytes)?;
        let (from, to) = (self.head, self.head + len);
        self.stream.locked(timeout, |words| {
            let writed = words.writed.load(Relaxed);
            if writed > from {
                return Err("its count of unread bytes");
            }
            words.step(Side::Writer, from, to, writed + len);
            Ok(())
        })?;
        self.head = to;
        Ok(())
    }

    /// Bytes that were appended and not consumed yet.
    ///
    /// # Errors
    /// [`Error::TooShort`] if the object was cut.
    pub fn backlog(&self) -> Result<u32, Error> {
        Ok(self.stream.words()?.writed.load(Relaxed))
    }

    /// Bytes that can still be appended to this stream.
    pub const fn room(&self) -> u32 {
        self.stream.capacity - self.head
    }

    /// The object.
    pub const fn object(&self) -> &Object {
        &self.stream.object
    }

    /// Locks that were taken from dead holders.
    pub const fn recovered(&self) -> u32 {
        self.stream.recovered
    }

    /// Frees the mutex in place of a thread that does not run here, as after [`Error::HolderGone`]. Only you can know that
    /// it does not run in another container either. `false`: there was nothing to break.
    ///
    /// # Errors
    /// [`Error::TooShort`] if the object was cut.
    pub fn break_lock(&mut self) -> Result<bool, Error> {
        self.stream.break_lock()
    }
}

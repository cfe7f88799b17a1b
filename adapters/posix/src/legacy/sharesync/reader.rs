//! The end that consumes.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use camlane_core::legacy::Side;
use camlane_core::legacy::sharesync::{self, LEN};

use super::{LOOK, Stream};
use crate::legacy::object::byte;
use crate::legacy::{Access, Error, Object, ObjectName};

/// The end of a mutex-protected stream that consumes. It never makes the object.
///
/// It goes on where a camlane reader stopped, and from the start where none was: old readers leave no trace. When a writer
/// puts a new stream under the name, it reads the old one to its end and moves.
#[derive(Debug)]
pub struct SyncReader {
    stream: Stream,
    tail: u32,
    restarts: u32,
}

impl SyncReader {
    /// Opens the stream, waiting at most `patience` until there is one with an initialised mutex.
    ///
    /// # Errors
    /// [`Error::System`] `ENOENT`, [`Error::TooShort`] or [`Error::Uninitialised`] if there is none by then;
    /// [`Error::Taken`] by another camlane reader: two would get half of it each; [`Error::PositionUnknown`] if a reader
    /// died in the middle of a step; [`Error::Held`], [`Error::HolderGone`]; [`Error::UnknownAbi`].
    pub fn open(name: &ObjectName, patience: Duration) -> Result<Self, Error> {
        if !sharesync::is_native() {
            return Err(Error::UnknownAbi);
        }
        let until = Instant::now() + patience;
        loop {
            match Self::attach(name, until.saturating_duration_since(Instant::now())) {
                Ok((stream, tail)) => return Ok(Self { stream, tail, restarts: 0 }),
                Err(error) if Instant::now() < until && is_early(&error) => std::thread::sleep(LOOK),
                Err(error) => return Err(error),
            }
        }
    }

    fn attach(name: &ObjectName, timeout: Duration) -> Result<(Stream, u32), Error> {
        let object = Object::open(name, Access::Write)?;
        if !object.locks()?.try_lock(byte::READER)? {
            return Err(Error::Taken {
                object: name.to_string(),
                holder: "another camlane reader".to_owned(),
            });
        }
        let mut stream = Stream::map(object)?;
        let tail = stream.position(Side::Reader, timeout)?;
        Ok((stream, tail.unwrap_or(0)))
    }

    /// Consumes what is there, up to the length of `into`, and waits for it at most `timeout`. Returns how many bytes.
    ///
    /// # Errors
    /// Nothing was consumed: [`Error::TimedOut`]; [`Error::Held`], [`Error::HolderGone`]; [`Error::Corrupt`];
    /// [`Error::TooShort`] if the object was cut.
    pub fn read(&mut self, into: &mut [u8], timeout: Duration) -> Result<usize, Error> {
        if !self.stream.owner.is_here() {
            return Err(crate::Error::Forked.into());
        }
        let began = Instant::now();
        loop {
            let left = timeout.saturating_sub(began.elapsed());
            let count = self.take(into, left)?;
            if count > 0 || into.is_empty() {
                return Ok(count);
            }
            if self.follow(left)? {
                continue;
            }
            if left.is_zero() {
                return Err(Error::TimedOut { after: timeout });
            }
            std::thread::sleep(left.min(LOOK));
        }
    }

    fn take(&mut self, into: &mut [u8], timeout: Duration) -> Result<usize, Error> {
        if self.backlog()? == 0 {
            return Ok(0); // no need for the mutex
        }
        let most = self.stream.capacity - self.tail;
        let ready = |writed: u32| if writed > most { Err("its count of unread bytes") } else { Ok(writed) };
        let writed = self.stream.locked(timeout, |words| ready(words.writed.load(Relaxed)))?;
        let len = writed.min(u32::try_from(into.len()).unwrap_or(u32::MAX));
        // These bytes are appended and never written again: they can be copied without the mutex.
        let from = self.tail;
        self.stream.object.read_exact_at(LEN as u64 + u64::from(from), &mut into[..len as usize])?;
        self.stream.locked(timeout, |words| {
            let left = ready(words.writed.load(Relaxed))?.checked_sub(len);
            let left = left.ok_or("its count of unread bytes, which another reader made less")?;
            words.step(Side::Reader, from, from + len, left);
            Ok(())
        })?;
        self.tail += len;
        Ok(len as usize)
    }

    /// Moves to the stream that has the name now, if it is another one and can be read.
    fn follow(&mut self, timeout: Duration) -> Result<bool, Error> {
        let name = self.stream.object.name().clone();
        if name.identity().is_none() || self.stream.object.is_current() {
            return Ok(false);
        }
        match Self::attach(&name, timeout) {
            Ok((stream, tail)) => {
                let recovered = self.stream.recovered;
                (self.stream, self.tail, self.restarts) = (stream, tail, self.restarts + 1);
                self.stream.recovered += recovered;
                Ok(true)
            }
            Err(error) if is_early(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Bytes that were appended and not consumed yet.
    ///
    /// # Errors
    /// [`Error::TooShort`] if the object was cut.
    pub fn backlog(&self) -> Result<u32, Error> {
        Ok(self.stream.words()?.writed.load(Relaxed))
    }

    /// The object.
    pub const fn object(&self) -> &Object {
        &self.stream.object
    }

    /// Streams that took the place of another while this reader was there.
    pub const fn restarts(&self) -> u32 {
        self.restarts
    }

    /// Locks that were taken from dead holders.
    pub const fn recovered(&self) -> u32 {
        self.stream.recovered
    }

    /// As [`SyncWriter::break_lock`](crate::legacy::SyncWriter::break_lock).
    ///
    /// # Errors
    /// [`Error::TooShort`] if the object was cut.
    pub fn break_lock(&mut self) -> Result<bool, Error> {
        self.stream.break_lock()
    }
}

/// Tells whether a stream may still become ours: it is not there, not sized, not initialised, or another's.
fn is_early(error: &Error) -> bool {
    error.is_not_found()
        || matches!(error, Error::TooShort { .. } | Error::Uninitialised { .. } | Error::Taken { .. })
}

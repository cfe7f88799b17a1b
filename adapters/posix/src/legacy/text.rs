//! A message in an object: bytes up to a NUL, written in place, in an object that outlives its writer.

use std::time::{Duration, Instant};

use crate::legacy::object::byte;
use crate::legacy::{Access, Error, Object, ObjectName, Opened};
use crate::lock::LockFile;

/// How long another end may take with its message.
const PATIENCE: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(1);

/// An object with a NUL-terminated message at its start.
///
/// Two camlane ends never see each other's message half written. An old program has nothing to tell that it writes; so a
/// message counts only when two looks find the same. An old *reader* finds the old message, an empty one, or the new one,
/// unless it began to read before.
#[derive(Debug)]
pub struct Text {
    object: Object,
    locks: LockFile,
}

impl Text {
    /// Bytes of an object that [`open_or_create`](Self::open_or_create) makes.
    pub const ROOM: u64 = 1024;

    /// Opens the object, or makes one of [`ROOM`](Self::ROOM) bytes with an empty message. One that exists keeps size and message.
    ///
    /// # Errors
    /// [`Error::System`], [`Error::NoSpace`]
    pub fn open_or_create(name: &ObjectName, mode: u32) -> Result<(Self, Opened), Error> {
        let (object, opened) = Object::open_or_create(name, Self::ROOM, mode)?;
        Ok((Self::new(object)?, opened))
    }

    /// Opens an object that exists, to read it: read permission is enough.
    ///
    /// # Errors
    /// [`Error::System`]: `ENOENT` if nobody made it yet.
    pub fn open(name: &ObjectName) -> Result<Self, Error> {
        Self::new(Object::open(name, Access::Read)?)
    }

    fn new(object: Object) -> Result<Self, Error> {
        let locks = object.locks()?;
        Ok(Self { object, locks })
    }

    /// Writes a message and its NUL; what stood behind them stays.
    ///
    /// # Errors
    /// [`Error::Message`] if it does not fit or has a NUL inside: nothing was written. [`Error::TooShort`] if the object
    /// has no bytes yet. [`Error::Restless`] if another writer keeps it locked.
    pub fn set(&self, message: &[u8]) -> Result<(), Error> {
        let (bytes, room) = (message.len() + 1, self.room()?);
        if bytes as u64 > room || message.contains(&0) {
            return Err(Error::Message { object: self.object.name().to_string(), bytes, room });
        }
        self.lock(LockFile::try_lock)?;
        let written = self.replace(message);
        self.locks.unlock(byte::MESSAGE);
        written
    }

    /// The first byte goes last: a reader that comes meanwhile finds an empty message.
    fn replace(&self, message: &[u8]) -> Result<(), Error> {
        self.object.write_at(0, &[0])?;
        let ended = [message, &[0]].concat();
        self.object.write_at(1, &ended[1..])?;
        self.object.write_at(0, &ended[..1])
    }

    /// Reads the message: the bytes before the first NUL, or all if there is none.
    ///
    /// # Errors
    /// [`Error::TooShort`] if the object has no bytes yet; [`Error::Restless`] if it changed at every look.
    pub fn get(&self) -> Result<Vec<u8>, Error> {
        self.room()?;
        self.lock(LockFile::try_lock_shared)?;
        let read = self.read_twice();
        self.locks.unlock(byte::MESSAGE);
        read
    }

    fn read_twice(&self) -> Result<Vec<u8>, Error> {
        let until = Instant::now() + PATIENCE;
        let mut before = self.look()?;
        loop {
            let now = self.look()?;
            if now == before {
                return Ok(now);
            }
            before = now;
            if Instant::now() >= until {
                return Err(Error::Restless { object: self.object.name().to_string(), after: PATIENCE });
            }
        }
    }

    fn look(&self) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; self.room()?.min(1 << 20) as usize]; // a message, not a file
        let found = self.object.read_at(0, &mut bytes)?;
        let end = bytes[..found].iter().position(|&byte| byte == 0).unwrap_or(found);
        bytes.truncate(end);
        Ok(bytes)
    }

    /// Tells whether the name still leads to this object. If another program removed it, or made it anew, messages in this
    /// one reach nobody who opens the name from now on: open it again.
    pub fn is_current(&self) -> bool {
        self.object.is_current()
    }

    /// The object's length. One without bytes is one that its creator has not sized yet.
    fn room(&self) -> Result<u64, Error> {
        self.object.check_len(1)?;
        self.object.len()
    }

    fn lock(&self, take: impl Fn(&LockFile, u32) -> Result<bool, crate::Error>) -> Result<(), Error> {
        let until = Instant::now() + PATIENCE;
        while !take(&self.locks, byte::MESSAGE)? {
            if Instant::now() >= until {
                return Err(Error::Restless { object: self.object.name().to_string(), after: PATIENCE });
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }
}

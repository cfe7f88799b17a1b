//! A lane in one piece of memory that is never replaced: a regular file, or a System V segment.
//!
//! Header, seats and pixels lie together. A producer that comes after one that ended or died goes on in the same memory,
//! frame numbers included. The same core, bytes and protocol as a named lane; see FORMAT.md on memory in place.
#![allow(unsafe_code)] // makes the seats of a lane, or finds them

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use camlane_core::layout::{Header, MAGIC};
use camlane_core::{AttachError, Seats, Shape};
use nix::fcntl::RenameFlags;
use nix::sys::stat::Mode;

use crate::attachment::Data;
use crate::error::Error;
use crate::legacy::object::Staged;
use crate::legacy::{self, Key, Object, ObjectName, Segment};
use crate::lock::{self, LockFile};
use crate::mapping::{Access, Mapping};
use crate::options::LaneOptions;
use crate::shm::{self, Inode};

/// How long a producer that is just ending may take: a child that is made for another program shares its descriptors for
/// a moment.
const ENDING: Duration = Duration::from_millis(200);
/// How long a segment's creator may take to write the header.
const PATIENCE: Duration = Duration::from_secs(1);
const MOMENT: Duration = Duration::from_millis(1);

/// Where a lane in place is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum InPlace {
    /// A file, which need not be on a disk.
    File(PathBuf),
    /// A System V segment.
    Segment(Key),
}

impl fmt::Display for InPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Segment(key) => write!(f, "sysv:{key}"),
        }
    }
}

/// A lane's memory, with the producer's byte of its lock held.
pub(crate) struct Claimed {
    pub(crate) memory: Mapping,
    pub(crate) lock: LockFile,
    /// Nobody has seen a lane there.
    pub(crate) fresh: bool,
}

/// A lane's memory as a consumer has it: pixels through a mapping that cannot write.
pub(crate) struct Opened {
    pub(crate) data: Data,
    pub(crate) seats: Mapping,
    /// Where in `seats` they begin.
    pub(crate) at: usize,
    pub(crate) lock: LockFile,
}

impl InPlace {
    /// Makes the memory, or takes it from a producer that is gone.
    ///
    /// # Errors
    /// [`Error::Taken`], [`Error::Unusable`], [`Error::NoSpace`], [`Error::Permission`], [`Error::System`]
    pub(crate) fn claim(&self, options: &LaneOptions, shape: &Shape) -> Result<Claimed, Error> {
        let until = Instant::now() + ENDING;
        loop {
            let claimed = match self {
                Self::File(path) => self.claim_file(&ObjectName::of_file(path), options, shape),
                Self::Segment(key) => self.claim_segment(*key, options, shape),
            };
            match claimed {
                Err(Error::Taken { .. }) if Instant::now() < until => std::thread::sleep(MOMENT),
                claimed => return claimed,
            }
        }
    }

    fn claim_file(&self, name: &ObjectName, options: &LaneOptions, shape: &Shape) -> Result<Claimed, Error> {
        let mode = options.sharing.seats_mode().bits(); // seats and pixels lie together
        loop {
            let (object, fresh) = match Object::open(name, legacy::Access::Write) {
                Ok(object) => (object, false),
                Err(error) if error.is_not_found() => {
                    let staged = Staged::make(name, shape.footprint(), mode).map_err(|e| self.error(e))?;
                    staged.locks().map_err(|e| self.error(e))?.try_lock(lock::PRODUCER)?;
                    match staged.publish(RenameFlags::RENAME_NOREPLACE) {
                        Ok(object) => (object, true),
                        Err(error) if error.name() == Some("EEXIST") => continue, // another was faster
                        Err(error) => return Err(self.error(error)),
                    }
                }
                Err(error) => return Err(self.error(error)),
            };
            let lock = object.locks().map_err(|e| self.error(e))?;
            if !lock.try_lock(lock::PRODUCER)? {
                return Err(self.taken());
            }
            if !object.is_current() {
                continue;
            }
            let mut start = [0xff; START];
            object.read_at(0, &mut start).map_err(|e| self.error(e))?;
            let len = object.len().map_err(|e| self.error(e))?;
            if len < START as u64 {
                let source = AttachError::TooShort { needed: START as u64, found: len };
                return Err(self.unusable(source));
            }
            let memory = Mapping::new(&object, &self.to_string(), 0, len, Access::Write, fresh)?;
            return Ok(Claimed { memory, lock, fresh: fresh || is_unborn(&start) });
        }
    }

    fn claim_segment(&self, key: Key, options: &LaneOptions, shape: &Shape) -> Result<Claimed, Error> {
        let mode = options.sharing.seats_mode();
        let lock = LockFile::open(&lock_object(key), Some(mode))?.ok_or_else(|| self.taken())?;
        if !lock.try_lock(lock::PRODUCER)? {
            return Err(self.taken());
        }
        let segment = match Segment::open(key, legacy::Access::Write) {
            Ok(segment) => segment,
            Err(error) if error.is_not_found() => {
                let len = usize::try_from(shape.footprint()).unwrap_or(usize::MAX);
                Segment::create_new(key, len, Mode::bits(&mode)).map_err(|e| self.error(e))?
            }
            Err(error) => return Err(self.error(error)),
        };
        let mut start = [0xff; START];
        segment.read_at(0, &mut start);
        Ok(Claimed { memory: Mapping::of_segment(segment), lock, fresh: is_unborn(&start) })
    }

    /// Another handle of the lock that the producer holds: locks of one handle do not keep the same handle out.
    pub(crate) fn lock_again(&self) -> Option<LockFile> {
        match self {
            Self::File(path) => {
                Object::open(&ObjectName::of_file(path), legacy::Access::Write).ok()?.locks().ok()
            }
            Self::Segment(key) => LockFile::open(&lock_object(*key), None).ok().flatten(),
        }
    }

    /// Opens the lane for a consumer. `None`: there is none.
    ///
    /// # Errors
    /// [`Error::Unusable`], [`Error::Permission`], [`Error::System`]
    pub(crate) fn open(&self, populate: bool) -> Result<Option<Opened>, Error> {
        let until = Instant::now() + PATIENCE;
        let (data, seats, lock) = loop {
            let opened = match self {
                Self::File(path) => self.open_file(&ObjectName::of_file(path), populate),
                Self::Segment(key) => self.open_segment(*key),
            };
            match opened {
                Ok(Some(opened)) => break opened,
                Ok(None) => return Ok(None),
                // A segment has its key before it has a header.
                Err(Error::Unusable { .. }) if matches!(self, Self::Segment(_)) && Instant::now() < until => {
                    std::thread::sleep(MOMENT);
                }
                Err(error) => return Err(error),
            }
        };
        match data.region.shape().seats_offset() {
            Some(at) => Ok(Some(Opened { data, seats, at: at as usize, lock })),
            None => Err(self.unusable(AttachError::Corrupt { what: "place of its seats" })),
        }
    }

    fn open_file(
        &self,
        name: &ObjectName,
        populate: bool,
    ) -> Result<Option<(Data, Mapping, LockFile)>, Error> {
        let object = match Object::open(name, legacy::Access::Write) {
            Err(error) if error.is_not_found() => return Ok(None),
            opened => opened.map_err(|e| self.error(e))?,
        };
        let text = self.to_string();
        let data = Data::map(&object, &text, populate)?;
        let len = object.len().map_err(|e| self.error(e))?;
        let seats = Mapping::new(&object, &text, 0, len, Access::Write, false)?;
        Ok(Some((data, seats, object.locks().map_err(|e| self.error(e))?)))
    }

    fn open_segment(&self, key: Key) -> Result<Option<(Data, Mapping, LockFile)>, Error> {
        let open = |access| match Segment::open(key, access) {
            Err(error) if error.is_not_found() => Ok(None),
            opened => opened.map(Some).map_err(|e| self.error(e)),
        };
        let (Some(pixels), Some(seats)) = (open(legacy::Access::Read)?, open(legacy::Access::Write)?) else {
            return Ok(None);
        };
        let Some(lock) = LockFile::open(&lock_object(key), None)? else { return Ok(None) };
        let inode = Inode::of_segment(pixels.id());
        let data = Data::of(Mapping::of_segment(pixels), inode, &self.to_string())?;
        Ok(Some((data, Mapping::of_segment(seats), lock)))
    }

    /// Opens the lane to look at. `None`: there is none.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub(crate) fn look(&self) -> Result<Option<Data>, Error> {
        match self {
            Self::File(path) => match Object::open(&ObjectName::of_file(path), legacy::Access::Read) {
                Err(error) if error.is_not_found() => Ok(None),
                Err(error) => Err(self.error(error)),
                Ok(object) => Data::map(&object, &self.to_string(), false).map(Some),
            },
            Self::Segment(key) => match Segment::open(*key, legacy::Access::Read) {
                Err(error) if error.is_not_found() => Ok(None),
                Err(error) => Err(self.error(error)),
                Ok(segment) => {
                    let inode = Inode::of_segment(segment.id());
                    Data::of(Mapping::of_segment(segment), inode, &self.to_string()).map(Some)
                }
            },
        }
    }

    /// Removes the memory's name. Whoever has it mapped keeps it.
    ///
    /// # Errors
    /// [`Error::Permission`], [`Error::System`]
    pub(crate) fn remove(&self) -> Result<(), Error> {
        let removed = match self {
            Self::File(path) => Object::remove(&ObjectName::of_file(path)),
            Self::Segment(key) => Segment::remove(*key), // its lock stays: somebody may be about to lock it
        };
        removed.map_err(|error| self.error(error))
    }

    /// What has the name now.
    pub(crate) fn inode(&self) -> Option<Inode> {
        match self {
            Self::File(path) => shm::inode_of_path(path),
            Self::Segment(key) => Segment::find(*key).map(Inode::of_segment),
        }
    }

    /// The seats of a lane that is mapped, to look at.
    pub(crate) fn seats<'a>(data: &'a Data) -> Option<Seats<'a>> {
        let at = data.region.shape().seats_offset()?;
        // SAFETY: the result borrows `data`, which has the mapping; nothing is created or written there.
        let memory = unsafe { data.mapping.memory_from(at as usize) };
        Seats::attach(&memory, &data.region).ok()
    }

    fn unusable(&self, source: AttachError) -> Error {
        Error::Unusable { object: self.to_string(), source }
    }

    fn taken(&self) -> Error {
        Error::Taken { lane: self.to_string(), holder: "it holds the lock".to_owned() }
    }

    /// An object's error as a lane's.
    fn error(&self, error: legacy::Error) -> Error {
        match error {
            legacy::Error::Lane(error) => error,
            legacy::Error::System { operation, source, .. } => match source.raw_os_error() {
                Some(errno) => Error::system(operation, &self.to_string(), nix::Error::from_raw(errno)),
                None => Error::System { operation, object: self.to_string(), source },
            },
            legacy::Error::NoSpace { needed, free, .. } => {
                Error::NoSpace { object: self.to_string(), needed, free, total: free, fits: None }
            }
            legacy::Error::TooShort { needed, found, .. } => {
                self.unusable(AttachError::TooShort { needed, found })
            }
            other => Error::System {
                operation: "use",
                object: self.to_string(),
                source: std::io::Error::other(other.to_string()),
            },
        }
    }
}

/// Bytes up to the end of the state, which follows the bell (FORMAT.md section 3).
const START: usize = size_of::<Header>() + 12;

/// Tells whether memory is all zeros as far as it matters, or holds a lane whose creator was killed before anybody could
/// attach: its state is still INIT.
fn is_unborn(start: &[u8; START]) -> bool {
    let (magic, state) = (&start[..MAGIC.len()], &start[START - 4..]);
    state == [0; 4] && (magic == MAGIC || magic == [0; MAGIC.len()])
}

/// Segments are no files: their ends lock an object beside them.
fn lock_object(key: Key) -> String {
    format!("/camlane.sysv-{key}.lock")
}

/// Reads what follows `file:` in an address.
pub(crate) fn file(path: &str) -> Option<InPlace> {
    let path = Path::new(path);
    (path.file_name().is_some() && !path.as_os_str().as_encoded_bytes().contains(&0))
        .then(|| InPlace::File(path.to_owned()))
}

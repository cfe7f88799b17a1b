//! A lane in one piece of memory of any kind: a regular file, an object of any name, a System V segment.
//!
//! Header, seats and pixels lie in one piece that is never replaced: a producer that comes after one that died goes on in
//! it, frame numbers included. The same core, bytes and protocol as a named lane; see FORMAT.md on memory in place.
#![allow(unsafe_code)] // becomes the one producer of a region, and the one consumer in a seat

mod ends;

pub use ends::{InPlaceConsumer, InPlaceProducer};

use std::fmt;
use std::mem::ManuallyDrop;
use std::str::FromStr;
use std::time::{Duration, Instant};

use camlane_core::layout::{Header, MAGIC};
use camlane_core::{self as core, AttachError, LaneSpec, Region, Seats, Shape};
use nix::fcntl::RenameFlags;
use nix::sys::stat::Mode;

use self::ends::CoreProducer;
use crate::fork::Owner;
use crate::legacy::object::Staged;
use crate::legacy::{Access, Error, Key, Map, MapKind, Object, ObjectName, Segment};
use crate::lock::{self, LockFile};
use crate::name::LaneName;
use crate::options::LaneOptions;
use crate::{clock, process};

/// How long a producer that is just ending may take: a child that is made for another program shares its descriptors for
/// a moment.
const ENDING: Duration = Duration::from_millis(200);
/// How long a segment's creator may take to write the header.
const PATIENCE: Duration = Duration::from_secs(1);

/// Where a lane in place is: `sysv:0x1234` is a System V segment, anything else an [`ObjectName`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum InPlace {
    /// A shared-memory object or a regular file.
    Object(ObjectName),
    /// A System V segment.
    Segment(Key),
}

impl FromStr for InPlace {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text.strip_prefix("sysv:") {
            Some(key) => Ok(Self::Segment(key.parse()?)),
            None => Ok(Self::Object(text.parse()?)),
        }
    }
}

impl fmt::Display for InPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object(name) => name.fmt(f),
            Self::Segment(key) => write!(f, "sysv:{key}"),
        }
    }
}

impl InPlace {
    /// Makes the lane, or takes it over from a producer that is gone.
    ///
    /// # Errors
    /// [`Error::Taken`] by a living producer; [`Error::Corrupt`] if something else is there, or a lane of another shape;
    /// [`Error::NoSpace`], [`Error::System`]; [`crate::Error::Geometry`].
    pub fn produce(&self, options: &LaneOptions) -> Result<InPlaceProducer, Error> {
        let shape = options.in_place_shape()?;
        let until = Instant::now() + ENDING;
        let (bytes, lock, fresh) = loop {
            let claimed = match self {
                Self::Object(name) => self.claim_object(name, options, &shape),
                Self::Segment(key) => self.claim_segment(*key, options, &shape),
            };
            match claimed {
                Err(Error::Taken { .. }) if Instant::now() < until => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                claimed => break claimed?,
            }
        };
        let seats_at = shape.seats_offset().unwrap_or(0) as usize;
        // SAFETY: `InPlaceProducer` drops core's producer before `bytes`, and nothing else reads or writes them there.
        let memory = unsafe { bytes.memory(0) };
        let region = if fresh { self.write(memory, &shape, options)? } else { self.attach(memory)? };
        if *region.shape() != shape {
            return Err(self.corrupt("its lane has another shape, which"));
        }
        // SAFETY: as above; the seats lie behind the data, see `Shape::seats_offset`.
        let memory = unsafe { bytes.memory(seats_at) };
        let seats = if fresh {
            Seats::create(memory, &shape, region.incarnation()).map_err(crate::Error::from)?
        } else {
            Seats::attach(&memory, &region).map_err(|source| self.unusable(source))?
        };
        // SAFETY: 1. mapped for writing; 2. the lock on byte 0 keeps other producers out; 3. they lie in the same memory.
        let role = unsafe { region.producer_role(seats) };
        // A lane without frames can be taken over as well as one with them.
        let core = Box::new(CoreProducer::take_over(role).map_err(|_| self.corrupt("its slots' state"))?);
        let producer = InPlaceProducer { core, owner: Owner::current(), lock, _bytes: bytes };
        producer.reclaim();
        Ok(producer)
    }

    /// Takes a seat of the lane.
    ///
    /// # Errors
    /// [`Error::System`] `ENOENT`; [`crate::Error::Unusable`]; [`crate::Error::SeatsTaken`].
    pub fn consume(&self) -> Result<InPlaceConsumer, Error> {
        let until = Instant::now() + PATIENCE;
        let (bytes, lock, region) = loop {
            let (bytes, lock) = self.open()?;
            // SAFETY: `InPlaceConsumer` drops core's consumer before `bytes`.
            match self.attach(unsafe { bytes.memory(0) }) {
                Ok(region) => break (bytes, lock, region),
                // A segment has its key before it has a header.
                Err(_) if matches!(self, Self::Segment(_)) && Instant::now() < until => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err(error) => return Err(error),
            }
        };
        let shape = *region.shape();
        let Some(seats_at) = shape.seats_offset() else {
            return Err(self.corrupt("its lane keeps its seats elsewhere, which"));
        };
        for index in 0..shape.seats() {
            if !lock.try_lock(lock::seat(index))? {
                continue;
            }
            let at = seats_at as usize + index as usize * shape.seat_stride() as usize;
            // SAFETY: as above.
            let memory = unsafe { bytes.memory(at) };
            let seat = Seats::attach_one(&memory, &region, index).map_err(|source| self.unusable(source))?;
            // SAFETY: 1. the documentation of `InPlaceConsumer` asks for a producer to trust; 2. the byte of this seat is held.
            let role = unsafe { region.seat_role(seat) };
            let core = ManuallyDrop::new(core::Consumer::new(role, std::process::id()));
            return Ok(InPlaceConsumer { core, seat: index, owner: Owner::current(), lock, _bytes: bytes });
        }
        let (lane, holders) = (self.to_string(), "by whom cannot be seen".to_owned());
        Err(crate::Error::SeatsTaken { lane, seats: shape.seats(), holders }.into())
    }

    fn open(&self) -> Result<(Bytes, LockFile), Error> {
        match self {
            Self::Object(name) => {
                let object = Object::open(name, Access::Write)?;
                let len = usize::try_from(object.len()?).unwrap_or(usize::MAX);
                let map = object.map(0, len, MapKind::Shared)?;
                Ok((Bytes::Map(map), object.locks()?))
            }
            Self::Segment(key) => {
                let segment = Segment::open(*key, Access::Write)?;
                let lock = LockFile::open(&lock_object(*key), None)?;
                Ok((
                    Bytes::Segment(segment),
                    lock.ok_or_else(|| self.corrupt("a segment without its lock file"))?,
                ))
            }
        }
    }

    fn claim_object(
        &self,
        name: &ObjectName,
        options: &LaneOptions,
        shape: &Shape,
    ) -> Result<(Bytes, LockFile, bool), Error> {
        let mode = options.sharing.seats_mode().bits(); // seats and pixels lie together
        loop {
            let (object, fresh) = match Object::open(name, Access::Write) {
                Ok(object) => (object, false),
                Err(error) if error.is_not_found() => {
                    let staged = Staged::make(name, shape.footprint(), mode)?;
                    staged.locks()?.try_lock(lock::PRODUCER)?;
                    match staged.publish(RenameFlags::RENAME_NOREPLACE) {
                        Ok(object) => (object, true),
                        Err(error) if error.name() == Some("EEXIST") => continue, // another was faster
                        Err(error) => return Err(error),
                    }
                }
                Err(error) => return Err(error),
            };
            let lock = object.locks()?;
            if !lock.try_lock(lock::PRODUCER)? {
                return Err(self.taken());
            }
            if !object.is_current() {
                continue;
            }
            let mut start = [0xff; START];
            object.read_at(0, &mut start)?;
            let len = usize::try_from(object.len()?).unwrap_or(usize::MAX);
            return Ok((Bytes::Map(object.map(0, len, MapKind::Shared)?), lock, fresh || is_unborn(&start)));
        }
    }

    fn claim_segment(
        &self,
        key: Key,
        options: &LaneOptions,
        shape: &Shape,
    ) -> Result<(Bytes, LockFile, bool), Error> {
        let mode = options.sharing.seats_mode();
        let lock = LockFile::open(&lock_object(key), Some(mode))?.ok_or_else(|| self.taken())?;
        if !lock.try_lock(lock::PRODUCER)? {
            return Err(self.taken());
        }
        let segment = match Segment::open(key, Access::Write) {
            Ok(segment) => segment,
            Err(error) if error.is_not_found() => {
                let len = usize::try_from(shape.footprint()).unwrap_or(usize::MAX);
                Segment::create_new(key, len, Mode::bits(&mode))?
            }
            Err(error) => return Err(error),
        };
        let mut start = [0xff; START];
        segment.read_at(0, &mut start);
        Ok((Bytes::Segment(segment), lock, is_unborn(&start)))
    }

    fn write(
        &self,
        memory: core::Memory<'static>,
        shape: &Shape,
        options: &LaneOptions,
    ) -> Result<Region<'static>, Error> {
        let name = LaneName::new("in-place").map_err(Error::from)?;
        let spec = LaneSpec {
            shape: *shape,
            incarnation: crate::producer::random_incarnation()?,
            created_ns: clock::boottime_ns(),
            info: options.info(&name, process::boot_id(), clock::offsets()),
        };
        Ok(Region::create(memory, &spec).map_err(crate::Error::from)?)
    }

    fn attach(&self, memory: core::Memory<'static>) -> Result<Region<'static>, Error> {
        Region::attach(&memory).map_err(|source| self.unusable(source))
    }

    fn unusable(&self, source: AttachError) -> Error {
        crate::Error::Unusable { object: self.to_string(), source }.into()
    }

    fn corrupt(&self, what: &'static str) -> Error {
        Error::Corrupt { object: self.to_string(), what }
    }

    fn taken(&self) -> Error {
        Error::Taken { object: self.to_string(), holder: "a living producer".to_owned() }
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

/// The memory of a lane in place.
#[derive(Debug)]
enum Bytes {
    Map(Map),
    Segment(Segment),
}

impl Bytes {
    /// # Safety
    /// As [`Map::memory`] and [`Segment::memory`].
    unsafe fn memory(&self, at: usize) -> core::Memory<'static> {
        match self {
            // SAFETY: the caller's promise.
            Self::Map(map) => unsafe { map.memory(at) },
            // SAFETY: the caller's promise.
            Self::Segment(segment) => unsafe { segment.memory(at) },
        }
    }
}

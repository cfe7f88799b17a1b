//! A named byte stream: one writer, one reader, for what is not a frame.
//!
//! The same three objects as a lane of frames has, with a ring of bytes where the slots would be; FORMAT.md section 8.
#![allow(unsafe_code)] // becomes the one writer of a region, and the one reader in its seat

use std::time::{Duration, Instant};

use camlane_core::stream as core;
use camlane_core::{AttachError, Geometry, LaneSpec, LaneState, Region, Seats, Shape, StreamError};

use crate::attachment::Data;
use crate::clock;
use crate::error::{Error, WaitError};
use crate::fork::Owner;
use crate::futex;
use crate::lock::{self, LockFile};
use crate::mapping::{Access, Mapping};
use crate::name::{LaneName, Part};
use crate::object::Object;
use crate::options::{LaneOptions, Sharing, page_size};
use crate::producer::{Old, claim, random_incarnation};
use crate::{process, shm};

/// Longest sleep without a look at what a futex cannot tell: that the other side died.
const LOOK_AROUND: Duration = Duration::from_millis(250);
/// How often a reader that waits for a stream to appear looks.
const LOOK_FOR_STREAM: Duration = Duration::from_millis(20);

/// A byte stream's capacity and who can reach it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "pass it to `StreamWriter::create`"]
pub struct StreamOptions {
    capacity: u32,
    sharing: Sharing,
}

impl StreamOptions {
    /// Room for `capacity` bytes that were written and not read, a power of two up to 2^31; for the owner alone.
    pub const fn new(capacity: u32) -> Self {
        Self { capacity, sharing: Sharing::Owner }
    }

    /// Decides who can reach the stream.
    pub const fn sharing(mut self, sharing: Sharing) -> Self {
        self.sharing = sharing;
        self
    }

    /// The shape that follows; [`Shape::footprint`] is the memory it takes.
    ///
    /// # Errors
    /// [`Error::Geometry`] if the capacity is out of its range.
    pub fn shape(&self) -> Result<Shape, Error> {
        Ok(Geometry::stream(self.capacity).paged(page_size()).shape()?)
    }
}

/// The end of a named byte stream that writes.
///
/// `Send`, not `Clone`. Dropping it ends the stream and removes its name; a reader that is there still gets what was
/// written.
///
/// **Crash safety:** killed at any moment, it leaves what it wrote readable; the reader is told
/// [`ProducerGone`](WaitError::ProducerGone) after that, and the next writer of the name starts a new, empty stream.
#[derive(Debug)]
pub struct StreamWriter {
    name: LaneName,
    core: core::StreamWriter<'static>,
    // After `core`, which points into them.
    _maps: [Mapping; 2],
    _objects: [Object; 2],
    owner: Owner,
    // Last: until it falls no other writer comes.
    _lock: LockFile,
}

impl StreamWriter {
    /// Makes a stream, or takes over the name of one whose writer is gone.
    ///
    /// # Errors
    /// As [`Producer::create`](crate::Producer::create).
    pub fn create(name: &str, options: &StreamOptions) -> Result<Self, Error> {
        let name = LaneName::new(name)?;
        let shape = options.shape()?;
        let lock = claim(&name, options.sharing.seats_mode())?;
        let old = Old::find(&name)?;
        let (seats_name, data_name) = (name.object(Part::Seats), name.object(Part::Data));
        let mut seats = Object::stage(&seats_name, shape.seats_len(), options.sharing.seats_mode(), false)?;
        let mut data = Object::stage(&data_name, shape.data_len(), options.sharing.data_mode(), false)?;
        let seats_map = Mapping::new(&seats.fd, seats.name(), 0, shape.seats_len(), Access::Write, true)?;
        let data_map = Mapping::new(&data.fd, data.name(), 0, shape.data_len(), Access::Write, true)?;
        let incarnation = random_incarnation()?;
        // SAFETY: `core` stands before the mappings in `Self` and goes first; the object is new, nothing is in use there.
        let core_seats = Seats::create(unsafe { seats_map.memory() }, &shape, incarnation)?;
        let described = LaneOptions::for_bytes(options.capacity);
        let spec = LaneSpec {
            shape,
            incarnation,
            created_ns: clock::boottime_ns(),
            info: described.info(&name, process::boot_id(), clock::offsets()),
        };
        // SAFETY: as for the seats.
        let region = Region::create(unsafe { data_map.memory() }, &spec)?;
        // SAFETY: 1. mapped for writing; 2. the lock on byte 0 keeps other writers out, and the object is new; 3. the seats
        // were made for this region.
        let role = unsafe { region.producer_role(core_seats) };
        let core = core::StreamWriter::new(role)?;
        seats.publish(&seats_name)?; // seats first: data carries the incarnation that seats must match
        data.publish(&data_name)?;
        if let Some(old) = old {
            old.supersede();
        }
        let owner = Owner::current();
        Ok(Self { name, core, _maps: [data_map, seats_map], _objects: [data, seats], owner, _lock: lock })
    }

    /// The stream's name.
    pub const fn name(&self) -> &LaneName {
        &self.name
    }

    /// Bytes that fit between writer and reader.
    pub const fn capacity(&self) -> u32 {
        self.core.region().shape().slot_size()
    }

    /// Writes bytes, waiting for room at most `timeout`; also without a reader, whose bytes wait in the ring. Returns how
    /// many were written: all, unless the time was over before.
    ///
    /// # Errors
    /// - [`WaitError::TimedOut`]: not one byte found room in time.
    /// - [`WaitError::Other`]: [`Error::Forked`] in a forked child; [`Error::Stream`] if the reader's words make no sense.
    pub fn write(&mut self, bytes: &[u8], timeout: Duration) -> Result<usize, WaitError> {
        if !self.owner.is_here() {
            return Err(Error::Forked.into());
        }
        let deadline = Instant::now().checked_add(timeout);
        let mut written = 0;
        while written < bytes.len() {
            let bell = self.core.bell(); // before the look, so that room made after the look changes it
            let done = self.core.write(&bytes[written..]).map_err(Error::from)?;
            written += done.bytes as usize;
            if done.asleep {
                futex::wake_all(self.core.region().bell());
            }
            if done.bytes != 0 {
                continue;
            }
            let left = left_until(deadline);
            if left.is_zero() {
                return if written == 0 { Err(WaitError::TimedOut) } else { Ok(written) };
            }
            if let Some(asleep) = self.core.fall_asleep(bell) {
                futex::wait(asleep.word(), asleep.expected(), left.min(LOOK_AROUND));
            }
        }
        Ok(written)
    }
}

impl Drop for StreamWriter {
    fn drop(&mut self) {
        if !self.owner.is_here() {
            return; // stream and names are the parent's
        }
        self.core.close();
        futex::wake_all(self.core.region().bell());
    }
}

/// The end of a named byte stream that reads.
///
/// `Send`, not `Clone`. A reader that comes after another goes on where that one stopped, also if it was killed. It does
/// not follow a writer that restarts: its stream ended, and the new one starts somewhere else.
#[derive(Debug)]
pub struct StreamReader {
    name: LaneName,
    core: core::StreamReader<'static>,
    // After `core`, which points into them.
    _data: Data,
    _seat: Mapping,
    owner: Owner,
    /// When it was last seen that the writer lives.
    looked: Instant,
    // Last: until it falls no other reader comes.
    lock: LockFile,
}

impl StreamReader {
    /// Opens a stream, waiting for it to appear at most `patience`.
    ///
    /// # Errors
    /// As [`Consumer::open`](crate::Consumer::open), and [`Error::Stream`] if the name is that of a lane of frames.
    pub fn open(name: &str, patience: Duration) -> Result<Self, Error> {
        let name = LaneName::new(name)?;
        let deadline = Instant::now().checked_add(patience);
        loop {
            match Self::sit_down(&name) {
                // There is none, or it was replaced between its two objects.
                Err(
                    Error::NoSuchLane { .. }
                    | Error::Unusable { source: AttachError::OtherIncarnation | AttachError::NotReady, .. },
                ) if !left_until(deadline).is_zero() => {
                    std::thread::sleep(LOOK_FOR_STREAM.min(left_until(deadline)));
                }
                other => return other,
            }
        }
    }

    fn sit_down(name: &LaneName) -> Result<Self, Error> {
        let gone = || Error::NoSuchLane { lane: name.to_string(), running: crate::list::names() };
        let data = Data::open(name, false)?;
        let shape = *data.region.shape();
        if !shape.is_stream() {
            return Err(StreamError::NotAStream.into());
        }
        let object = name.object(Part::Seats);
        let unusable = |source| Error::Unusable { object: object.clone(), source };
        let seats = shm::open(&object, true)?.ok_or_else(gone)?;
        let found = shm::len(&seats).map_err(|errno| Error::system("look at", &object, errno))?;
        if found < shape.seats_len() {
            return Err(unusable(AttachError::TooShort { needed: shape.seats_len(), found }));
        }
        let lock = LockFile::open(&name.object(Part::Lock), None)?.ok_or_else(gone)?;
        if !lock.try_lock(lock::seat(0))? {
            let holders = crate::list::seat_holders(name, &data.region);
            return Err(Error::SeatsTaken { lane: name.to_string(), seats: 1, holders });
        }
        let page = Mapping::new(&seats, &object, 0, shape.seat_stride().into(), Access::Write, true)?;
        // SAFETY: `core` stands before the mapping in `Self` and goes first; nothing is created in it.
        let seat = Seats::attach_one(&unsafe { page.memory() }, &data.region, 0).map_err(unusable)?;
        // SAFETY: 1. the crate's documentation, "Why opening a lane is safe"; 2. byte 1 is held, and the seat
        // belongs to this incarnation.
        let role = unsafe { data.region.seat_role(seat) };
        let core = core::StreamReader::new(role, std::process::id())?;
        let (owner, looked) = (Owner::current(), Instant::now());
        Ok(Self { name: name.clone(), core, _data: data, _seat: page, owner, looked, lock })
    }

    /// The stream's name.
    pub const fn name(&self) -> &LaneName {
        &self.name
    }

    /// Bytes that fit between writer and reader.
    pub const fn capacity(&self) -> u32 {
        self.core.region().shape().slot_size()
    }

    /// Copies the oldest bytes out, waiting for the first at most `timeout`. Returns how many there were, at least one
    /// unless `into` is empty.
    ///
    /// # Errors
    /// - [`WaitError::TimedOut`]: none came, the writer lives.
    /// - [`WaitError::Closed`], [`WaitError::ProducerGone`]: the writer ended the stream, or died, and all of it was read.
    /// - [`WaitError::Other`]: [`Error::Forked`] in a forked child; [`Error::Stream`] if the writer's words make no sense.
    pub fn read(&mut self, into: &mut [u8], timeout: Duration) -> Result<usize, WaitError> {
        if !self.owner.is_here() {
            return Err(Error::Forked.into());
        }
        let deadline = Instant::now().checked_add(timeout);
        loop {
            let bell = self.core.bell(); // before the look, so that what comes after the look changes it
            let ended = self.ended(left_until(deadline).is_zero()); // before the look too: its last bytes come first
            let read = self.take(into)?;
            if read > 0 || into.is_empty() {
                return Ok(read);
            }
            if let Some(end) = ended {
                return Err(end);
            }
            let left = left_until(deadline);
            if left.is_zero() {
                return Err(WaitError::TimedOut);
            }
            if let Some(asleep) = self.core.fall_asleep(bell) {
                futex::wait(asleep.word(), asleep.expected(), left.min(LOOK_AROUND));
            }
        }
    }

    fn take(&mut self, into: &mut [u8]) -> Result<usize, Error> {
        let grant = self.core.read()?;
        let (first, second) = grant.slices();
        let len = (first.len() + second.len()).min(into.len());
        let split = first.len().min(len);
        into[..split].copy_from_slice(&first[..split]);
        into[split..len].copy_from_slice(&second[..len - split]);
        if grant.release(len as u32)?.asleep {
            futex::wake_all(self.core.room_bell());
        }
        Ok(len)
    }

    /// How the stream ended, if it did. Whether the writer lives costs a system call, so it is asked now and then only.
    fn ended(&mut self, at_once: bool) -> Option<WaitError> {
        match self.core.state() {
            LaneState::Closed => return Some(WaitError::Closed),
            LaneState::Superseded => return Some(WaitError::ProducerGone),
            _ => {}
        }
        if !at_once && self.looked.elapsed() < LOOK_AROUND {
            return None;
        }
        if self.lock.is_held(lock::PRODUCER) {
            self.looked = Instant::now();
            return None;
        }
        // It may have ended the stream between the two looks.
        Some(if self.core.state() == LaneState::Closed { WaitError::Closed } else { WaitError::ProducerGone })
    }
}

fn left_until(deadline: Option<Instant>) -> Duration {
    deadline.map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(Instant::now()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::ZERO;
    const LONG: Duration = Duration::from_secs(60);

    fn name(test: &str) -> String {
        format!("stream-{test}-{}", std::process::id())
    }

    #[test]
    fn bytes_come_out_in_order_through_a_ring_smaller_than_they_are() {
        let name = name("order");
        let mut writer = StreamWriter::create(&name, &StreamOptions::new(256)).unwrap();
        let mut reader = StreamReader::open(&name, NOW).unwrap();
        let sent: Vec<u8> = (0..10_000u32).map(|n| (n * 7 / 8) as u8).collect();
        let mut received = Vec::new();
        std::thread::scope(|scope| {
            let all = sent.clone();
            scope.spawn(move || {
                assert_eq!(writer.write(&all, LONG).unwrap(), all.len());
            });
            let mut buffer = [0; 100];
            loop {
                match reader.read(&mut buffer, LONG) {
                    Ok(len) => received.extend_from_slice(&buffer[..len]),
                    Err(WaitError::Closed) => break,
                    Err(error) => panic!("{error}"),
                }
            }
        });
        assert!(received == sent, "{} of {} bytes", received.len(), sent.len());
    }

    #[test]
    fn a_full_ring_and_an_empty_one_time_out() {
        let name = name("full");
        let mut writer = StreamWriter::create(&name, &StreamOptions::new(64)).unwrap();
        let mut reader = StreamReader::open(&name, NOW).unwrap();
        assert!(matches!(reader.read(&mut [0; 8], NOW), Err(WaitError::TimedOut)));
        assert_eq!(writer.write(&[1; 100], NOW).unwrap(), 64);
        assert!(matches!(writer.write(&[1], NOW), Err(WaitError::TimedOut)));
        assert_eq!(reader.read(&mut [0; 100], NOW).unwrap(), 64);
    }

    #[test]
    fn a_reader_goes_on_where_the_last_one_stopped_and_only_one_sits() {
        let name = name("successor");
        let mut writer = StreamWriter::create(&name, &StreamOptions::new(64)).unwrap();
        writer.write(b"first second", NOW).unwrap();
        let mut buffer = [0; 6];
        let mut reader = StreamReader::open(&name, NOW).unwrap();
        assert!(matches!(StreamReader::open(&name, NOW), Err(Error::SeatsTaken { .. })));
        reader.read(&mut buffer, NOW).unwrap();
        assert_eq!(&buffer, b"first ");
        drop(reader);
        StreamReader::open(&name, NOW).unwrap().read(&mut buffer, NOW).unwrap();
        assert_eq!(&buffer, b"second");
    }

    #[test]
    fn a_stream_that_ended_is_read_to_its_end() {
        let name = name("end");
        let mut writer = StreamWriter::create(&name, &StreamOptions::new(64)).unwrap();
        let mut reader = StreamReader::open(&name, NOW).unwrap();
        writer.write(b"bye", NOW).unwrap();
        drop(writer);
        let mut buffer = [0; 8];
        assert_eq!(reader.read(&mut buffer, LONG).unwrap(), 3);
        assert!(matches!(reader.read(&mut buffer, LONG), Err(WaitError::Closed)));
        assert!(matches!(StreamReader::open(&name, NOW), Err(Error::NoSuchLane { .. })));
    }

    #[test]
    fn a_lane_of_frames_is_no_stream_and_a_living_writer_keeps_its_name() {
        let name = name("kind");
        let frames = crate::Producer::create(&name, &LaneOptions::for_bytes(64)).unwrap();
        assert!(matches!(StreamReader::open(&name, NOW), Err(Error::Stream(StreamError::NotAStream))));
        let taken = StreamWriter::create(&name, &StreamOptions::new(64));
        assert!(matches!(taken, Err(Error::Taken { .. })));
        drop(frames);
    }
}

//! A byte stream for what is not a frame: one writer, one reader, a ring that wraps, split grants.
//!
//! Positions run freely modulo 2^32 and the capacity is a power of two up to 2^31, so full and empty never look alike.
//! Bytes that were not committed never existed; bytes that were read and not released come again to a successor.

use core::marker::PhantomData;

use crate::bell::Bell;
use crate::error::StreamError;
use crate::layout::Seat;
use crate::region::{LaneState, ProducerRole, Region, SeatRole};
use crate::sync::{Acquire, Relaxed, Release, SeqCst, Word, fence};

/// The witness of bytes that belong to one side.
///
/// # Invariants
/// Lies inside the buffer; the positions at the time gave these bytes to its side. Made by `parts` alone.
#[derive(Debug)]
pub(crate) struct Span<'s> {
    start: usize,
    len: usize,
    side: PhantomData<&'s ()>,
}

impl Span<'_> {
    pub(crate) const fn start(&self) -> usize {
        self.start
    }
    pub(crate) const fn len(&self) -> usize {
        self.len
    }
}

/// Splits `len` bytes from `position` on into the part before the end of the buffer and the part from its start.
fn parts<'s>(position: u32, len: u32, capacity: u32) -> (Span<'s>, Span<'s>) {
    let start = (position & (capacity - 1)) as usize;
    let first = (len as usize).min(capacity as usize - start);
    let side = PhantomData;
    (Span { start, len: first, side }, Span { start: 0, len: len as usize - first, side })
}

/// Bytes between the positions, if there can be so many.
fn used(head: u32, tail: u32, capacity: u32) -> Result<u32, StreamError> {
    let used = head.wrapping_sub(tail);
    if used > capacity { Err(StreamError::Corrupt) } else { Ok(used) }
}

/// The end of a stream that writes.
#[derive(Debug)]
pub struct StreamWriter<'a> {
    region: Region<'a>,
    seat: &'a Seat,
    head: u32,
    bell: u32,
}

impl<'a> StreamWriter<'a> {
    /// Goes on where the stream stands: a new one, or a dead writer's.
    ///
    /// # Errors
    /// [`StreamError::NotAStream`]
    pub fn new(role: ProducerRole<'a>) -> Result<Self, StreamError> {
        let seat = role.seats.iter().next().filter(|_| role.region.shape().is_stream());
        let Some(seat) = seat else { return Err(StreamError::NotAStream) };
        let live = role.region.live();
        let (head, bell) = (live.latest.load(Relaxed), live.bell.load(Relaxed));
        live.writer_sleeping.store(0, Relaxed);
        Ok(Self { region: role.region, seat, head, bell })
    }

    /// The region that this writer writes.
    pub const fn region(&self) -> &Region<'a> {
        &self.region
    }

    /// Lends room for up to `most` bytes, in two slices because the ring wraps. Empty if the ring is full.
    ///
    /// # Errors
    /// [`StreamError::Corrupt`] if the reader's position makes no sense.
    pub fn grant(&mut self, most: u32) -> Result<WriteGrant<'_, 'a>, StreamError> {
        let tail = self.seat.cells[0].load(Relaxed);
        fence(Acquire); // partner: the Release of `ReadGrant::release`; the reader is done with this room
        let capacity = self.region.shape().slot_size();
        let room = (capacity - used(self.head, tail, capacity)?).min(most);
        let (first, second) = parts(self.head, room, capacity);
        Ok(WriteGrant { writer: self, room, first, second })
    }

    /// Copies as much of `bytes` as there is room for and commits it.
    ///
    /// # Errors
    /// [`StreamError::Corrupt`] if the reader's position makes no sense.
    pub fn write(&mut self, bytes: &[u8]) -> Result<Written, StreamError> {
        let mut grant = self.grant(bytes.len().min(u32::MAX as usize) as u32)?;
        let room = grant.room;
        let (first, second) = grant.slices();
        let (head, tail) = bytes[..room as usize].split_at(first.len());
        first.copy_from_slice(head);
        second.copy_from_slice(tail);
        grant.commit(room)
    }

    /// Ends the stream: the reader gets what is left and is then told.
    pub fn close(&mut self) {
        self.region.live().state.store(LaneState::Closed as u32, Release);
        self.ring_the_bell();
    }

    fn ring_the_bell(&mut self) -> bool {
        self.bell = self.bell.wrapping_add(1);
        self.region.live().bell.store(self.bell, Release);
        fence(SeqCst); // partner: the fence in `StreamReader::fall_asleep`
        self.region.shape().always_wake() || self.seat.sleeping.load(Relaxed) != 0
    }

    /// The reader's bell, which changes when room was made.
    pub fn bell(&self) -> u32 {
        let bell = self.seat.bell.load(Relaxed);
        fence(Acquire);
        bell
    }

    /// Says that the writer is about to sleep until there is room. `None` if room was made since: look again.
    pub fn fall_asleep(&self, bell: u32) -> Option<StreamAsleep<'_>> {
        StreamAsleep::new(&self.region.live().writer_sleeping, &self.seat.bell, bell)
    }
}

/// Room in the ring that is the writer's until it is committed or dropped.
///
/// Nobody writes to it after it was committed:
/// ```compile_fail,E0505
/// fn too_late(mut grant: camlane_core::stream::WriteGrant<'_, '_>) {
///     let (room, _) = grant.slices();
///     let written = grant.commit(1).unwrap();
///     room[0] = 1;
/// }
/// ```
#[derive(Debug)]
#[must_use = "commit what you wrote"]
pub struct WriteGrant<'w, 'a> {
    writer: &'w mut StreamWriter<'a>,
    room: u32,
    first: Span<'w>,
    second: Span<'w>,
}

impl WriteGrant<'_, '_> {
    /// Bytes granted.
    pub const fn len(&self) -> u32 {
        self.room
    }

    /// Tells that there was no room.
    pub const fn is_empty(&self) -> bool {
        self.room == 0
    }

    /// The room, in the order in which it will be read.
    pub fn slices(&mut self) -> (&mut [u8], &mut [u8]) {
        let region = &self.writer.region;
        (region.span_mut(&mut self.first), region.span_mut(&mut self.second))
    }

    /// Hands the first `bytes` of the room to the reader.
    ///
    /// # Errors
    /// [`StreamError::BeyondGrant`]: nothing was committed.
    pub fn commit(self, bytes: u32) -> Result<Written, StreamError> {
        if bytes > self.room {
            return Err(StreamError::BeyondGrant { bytes, granted: self.room });
        }
        let writer = self.writer;
        writer.head = writer.head.wrapping_add(bytes);
        // Release, partner: the Acquire fence of `StreamReader::read`; the bytes come with the position
        writer.region.live().latest.store(writer.head, Release);
        Ok(Written { bytes, asleep: bytes > 0 && writer.ring_the_bell() })
    }
}

/// What a commit or a release did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use = "if the other side sleeps, wake it"]
pub struct Written {
    /// Bytes handed over.
    pub bytes: u32,
    /// The other side sleeps: call the system's wake.
    pub asleep: bool,
}

/// The end of a stream that reads.
#[derive(Debug)]
pub struct StreamReader<'a> {
    region: Region<'a>,
    seat: &'a Seat,
    tail: u32,
    bell: u32,
}

impl<'a> StreamReader<'a> {
    /// Goes on where the last reader released.
    ///
    /// # Errors
    /// [`StreamError::NotAStream`]
    pub fn new(role: SeatRole<'a>, pid: u32) -> Result<Self, StreamError> {
        let SeatRole { region, seat } = role;
        if !region.shape().is_stream() {
            return Err(StreamError::NotAStream);
        }
        seat.sleeping.store(0, Relaxed);
        seat.pid.store(pid, Relaxed);
        Ok(Self { region, seat, tail: seat.cells[0].load(Relaxed), bell: seat.bell.load(Relaxed) })
    }

    /// The region that this reader reads.
    pub const fn region(&self) -> &Region<'a> {
        &self.region
    }

    /// All bytes that are there, in two slices because the ring wraps.
    ///
    /// # Errors
    /// [`StreamError::Corrupt`] if the writer's position makes no sense.
    pub fn read(&mut self) -> Result<ReadGrant<'_, 'a>, StreamError> {
        let head = self.region.live().latest.load(Relaxed);
        fence(Acquire); // partner: the Release of `WriteGrant::commit`
        let capacity = self.region.shape().slot_size();
        let available = used(head, self.tail, capacity)?;
        let (first, second) = parts(self.tail, available, capacity);
        Ok(ReadGrant { reader: self, available, first, second })
    }

    /// What the writer says of the stream. Read what is left before you believe an end.
    pub fn state(&self) -> LaneState {
        self.region.state()
    }

    /// The writer's bell, which changes when bytes were committed.
    pub fn bell(&self) -> u32 {
        let bell = self.region.live().bell.load(Relaxed);
        fence(Acquire);
        bell
    }

    /// The word that the writer sleeps on, to wake it after a release that says so.
    pub const fn room_bell(&self) -> Bell<'a> {
        Bell::new(&self.seat.bell)
    }

    /// Says that the reader is about to sleep until there are bytes. `None` if some came since: look again.
    pub fn fall_asleep(&self, bell: u32) -> Option<StreamAsleep<'_>> {
        StreamAsleep::new(&self.seat.sleeping, &self.region.live().bell, bell)
    }
}

/// Bytes in the ring that are the reader's until they are released or the grant is dropped.
///
/// They cannot be kept after the release:
/// ```compile_fail,E0505
/// fn keep(grant: camlane_core::stream::ReadGrant<'_, '_>) {
///     let (bytes, _) = grant.slices();
///     let released = grant.release(1).unwrap();
///     println!("{}", bytes[0]);
/// }
/// ```
#[derive(Debug)]
#[must_use = "release what you have read, or it comes again"]
pub struct ReadGrant<'r, 'a> {
    reader: &'r mut StreamReader<'a>,
    available: u32,
    first: Span<'r>,
    second: Span<'r>,
}

impl ReadGrant<'_, '_> {
    /// Bytes that are there.
    pub const fn len(&self) -> u32 {
        self.available
    }

    /// Tells that nothing is there.
    pub const fn is_empty(&self) -> bool {
        self.available == 0
    }

    /// The bytes, oldest first.
    pub fn slices(&self) -> (&[u8], &[u8]) {
        (self.reader.region.span(&self.first), self.reader.region.span(&self.second))
    }

    /// Gives the room of the first `bytes` back to the writer.
    ///
    /// # Errors
    /// [`StreamError::BeyondGrant`]: nothing was released.
    pub fn release(self, bytes: u32) -> Result<Written, StreamError> {
        if bytes > self.available {
            return Err(StreamError::BeyondGrant { bytes, granted: self.available });
        }
        let reader = self.reader;
        reader.tail = reader.tail.wrapping_add(bytes);
        // Release, partner: the Acquire fence of `StreamWriter::grant`; our reads come before the next write
        reader.seat.cells[0].store(reader.tail, Release);
        if bytes == 0 {
            return Ok(Written { bytes, asleep: false });
        }
        reader.bell = reader.bell.wrapping_add(1);
        reader.seat.bell.store(reader.bell, Release);
        fence(SeqCst); // partner: the fence in `StreamWriter::fall_asleep`
        Ok(Written { bytes, asleep: reader.region.live().writer_sleeping.load(Relaxed) != 0 })
    }
}

/// While it lives, the other side knows that this one sleeps.
#[derive(Debug)]
#[must_use = "the other side wakes sleepers only while this lives"]
pub struct StreamAsleep<'s> {
    flag: &'s Word,
    word: &'s Word,
    expected: u32,
}

impl<'s> StreamAsleep<'s> {
    fn new(flag: &'s Word, word: &'s Word, expected: u32) -> Option<Self> {
        let asleep = Self { flag, word, expected };
        flag.store(1, Relaxed);
        fence(SeqCst); // partner: the fence after the other side's bell
        (word.load(Relaxed) == expected).then_some(asleep)
    }

    /// The word to sleep on, shared between processes.
    pub const fn word(&self) -> Bell<'s> {
        Bell::new(self.word)
    }

    /// The value at which to sleep.
    pub const fn expected(&self) -> u32 {
        self.expected
    }
}

impl Drop for StreamAsleep<'_> {
    fn drop(&mut self) {
        self.flag.store(0, Relaxed);
    }
}

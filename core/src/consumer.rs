//! A consumer: pins frames in place and writes nothing but its own seat.
//!
//! Letters in parentheses name the steps of FORMAT.md section 5.

use core::cell::Cell;
use core::ops::Deref;

use crate::bell::Bell;
use crate::error::ReadError;
use crate::format::PixelFormat;
use crate::layout::{Descriptor, MAX_PINS, Seat};
use crate::meta::FrameMeta;
use crate::producer::number_of;
use crate::region::{LaneState, Region, SeatRole};
use crate::sync::{Acquire, AtomicBool, MetaWord, Relaxed, Release, SeqCst, Word, fence};
use crate::word::{PinWord, Short, SlotWord};

/// How often a read starts again when the producer laps it, before it says [`ReadError::Contended`]. The model tries once:
/// a second try can do no more than a second read does.
const TRIES: u32 = if cfg!(loom) { 1 } else { 64 };

/// The end of a lane that reads in place. `Send`, not `Sync`, not `Clone`: one value, used by one thread.
///
/// It can be sent to another thread, and its frames can be dropped anywhere. Dropping it gives the seat's words back;
/// a consumer that dies instead is cleared by the producer once its death is proved.
///
/// No two sit in one seat:
/// ```compile_fail,E0382
/// fn sit_twice(role: camlane_core::SeatRole<'_>) {
///     let one = camlane_core::Consumer::new(role, 0);
///     let other = camlane_core::Consumer::new(role, 0);
/// }
/// ```
#[derive(Debug)]
pub struct Consumer<'a> {
    region: Region<'a>,
    seat: &'a Seat,
    /// Which of the seat's cells hold a frame; a frame's `Drop` clears its own, on whatever thread.
    held: [AtomicBool; MAX_PINS],
    /// The number of the newest frame delivered, 64 bits.
    cursor: Cell<u64>,
    drops_seen: Cell<u32>,
    started: Cell<bool>,
    delivered: Cell<u64>,
    missed: Cell<u64>,
}

impl<'a> Consumer<'a> {
    /// Sits down. The first frame read is the newest at that moment, or number 1 if nothing was published yet.
    ///
    /// Clears the seat first: its words may be a dead owner's. `pid` is for people who list the lane's consumers.
    pub fn new(role: SeatRole<'a>, pid: u32) -> Self {
        let empty = role.region.live().latest.load(Relaxed) == 0;
        Self::start(role, pid, empty)
    }

    /// Sits down as one who was there from the beginning: the first frame that [`next`](Self::next) gives is the oldest
    /// that is left, and those before it count as missed.
    pub fn from_the_first(role: SeatRole<'a>, pid: u32) -> Self {
        Self::start(role, pid, true)
    }

    fn start(role: SeatRole<'a>, pid: u32, started: bool) -> Self {
        let SeatRole { region, seat } = role;
        if !region.shape().is_stream() {
            clear(seat); // a stream keeps its reader's position there, and gives no frames in any case
        }
        seat.pid.store(pid, Relaxed);
        Self {
            region,
            seat,
            held: core::array::from_fn(|_| AtomicBool::new(false)),
            cursor: Cell::new(0),
            drops_seen: Cell::new(region.dropped()),
            started: Cell::new(started),
            delivered: Cell::new(0),
            missed: Cell::new(0),
        }
    }

    /// Stands up and gives the seat back for another. Frames must be gone by then: they borrow the consumer.
    pub fn leave(self) -> SeatRole<'a> {
        SeatRole { region: self.region, seat: self.seat }
    }

    /// The region that this consumer reads.
    pub const fn region(&self) -> &Region<'a> {
        &self.region
    }

    /// What the producer says of the lane. Read what is left before you believe an end.
    pub fn state(&self) -> LaneState {
        self.region.state()
    }

    /// Frames delivered so far.
    pub fn delivered(&self) -> u64 {
        self.delivered.get()
    }

    /// Frames that were published and that this reader skipped or was too slow for. Exact:
    /// `delivered + missed` is the distance from the first frame to the last.
    pub fn missed(&self) -> u64 {
        self.missed.get()
    }

    /// The number of the newest frame delivered; 0 before the first.
    pub fn position(&self) -> u64 {
        self.cursor.get()
    }

    /// Frames of this consumer that are alive now.
    pub fn held(&self) -> u32 {
        self.held.iter().map(|held| u32::from(held.load(Relaxed))).sum()
    }

    /// The newest frame that was not delivered yet; frames between count as missed. `None`: nothing new.
    ///
    /// # Errors
    /// [`ReadError`]
    pub fn latest(&self) -> Result<Option<Frame<'_>>, ReadError> {
        for _ in 0..TRIES {
            let Some(latest) = self.find_latest() else { return Ok(None) };
            if self.behind(latest.number) == 0 {
                return Ok(None);
            }
            if let Some(pinned) = self.pin_latest(latest)? {
                return Ok(self.deliver(pinned));
            }
        }
        Err(ReadError::Contended)
    }

    /// The next frame in order. `None`: nothing new. `Frame::missed` counts what was overwritten in between.
    ///
    /// # Errors
    /// [`ReadError`]
    pub fn next(&self) -> Result<Option<Frame<'_>>, ReadError> {
        if !self.started.get() {
            return self.latest();
        }
        let history = self.region.shape().history();
        for _ in 0..TRIES {
            let Some(latest) = self.find_latest() else { return Ok(None) };
            let behind = self.behind(latest.number);
            if behind == 0 {
                return Ok(None);
            }
            for back in (1..behind.min(history)).rev() {
                if let Some(pinned) = self.try_pin(self.find(latest.number.minus(back)))? {
                    return Ok(self.deliver(pinned));
                }
            }
            if let Some(pinned) = self.pin_latest(latest)? {
                return Ok(self.deliver(pinned));
            }
        }
        Err(ReadError::Contended)
    }

    /// Tells whether a frame was published that this reader has not had; pins nothing.
    pub fn is_behind(&self) -> bool {
        self.find_latest().is_some_and(|latest| self.behind(latest.number) != 0)
    }

    /// The newest frame, whether or not it was delivered before; moves and counts nothing. `None`: no frame yet.
    ///
    /// # Errors
    /// [`ReadError`]
    pub fn newest(&self) -> Result<Option<Frame<'_>>, ReadError> {
        for _ in 0..TRIES {
            let Some(latest) = self.find_latest() else { return Ok(None) };
            if let Some(pinned) = self.pin_latest(latest)? {
                return Ok(Some(Frame { region: &self.region, pinned, missed: 0, dropped: 0 }));
            }
        }
        Err(ReadError::Contended)
    }

    /// How many numbers `latest` lies ahead of the frame delivered last; before the first, everything is new.
    ///
    /// Differences run forward only. "Half the range is the past" would starve a reader that slept for longer.
    fn behind(&self, latest: Short) -> u32 {
        match self.cursor.get() {
            0 => u32::MAX,
            cursor => latest.since(Short::of(cursor)),
        }
    }

    /// Where the newest frame should be. Both words lie in one cache line: together they cost one miss.
    fn find_latest(&self) -> Option<Place> {
        let live = self.region.live();
        let latest = live.latest.load(Relaxed);
        fence(Acquire); // (i) partner (c)
        let slot = live.latest_slot.load(Relaxed);
        (latest != 0).then(|| Place { number: SlotWord::from_bits(latest).number(), slot })
    }

    /// Where the frame of a number should be.
    fn find(&self, number: Short) -> Place {
        let entry = self.region.ring(number.ring_index(self.region.shape().ring_len));
        Place { number, slot: entry.map_or(u32::MAX, |entry| entry.load(Relaxed)) }
    }

    /// Accounts for a pinned frame, or lets go of one that lies a whole lap of numbers behind what was delivered.
    #[inline(always)]
    fn deliver<'c>(&'c self, pinned: Pinned<'c>) -> Option<Frame<'c>> {
        let (number, cursor) = (pinned.number, self.cursor.get());
        if self.started.get() && number <= cursor {
            return None;
        }
        let missed = if self.started.get() { number - cursor - 1 } else { 0 };
        let dropped = pinned.drops_before.wrapping_sub(self.drops_seen.get());
        // A drop that was counted between the read of `dropped` at attach and this frame's publish runs the other way.
        let dropped = if dropped > u32::MAX / 2 { 0 } else { dropped };
        self.drops_seen.set(pinned.drops_before);
        self.started.set(true);
        self.cursor.set(number);
        self.seat.cursor.store(number as u32, Relaxed);
        self.delivered.set(self.delivered.get() + 1);
        self.missed.set(self.missed.get() + missed);
        Some(Frame { region: &self.region, pinned, missed, dropped })
    }

    /// Pins the newest frame. `latest_slot` runs ahead of `latest` for a moment, which lasts if the producer is stopped or
    /// killed then; the ring does not.
    #[inline(always)]
    fn pin_latest(&self, latest: Place) -> Result<Option<Pinned<'_>>, ReadError> {
        if latest.slot < self.region.shape().slots()
            && let Some(pinned) = self.try_pin(latest)?
        {
            return Ok(Some(pinned));
        }
        self.try_pin(self.find(latest.number))
    }

    /// Pins a frame, if it is still there.
    #[inline(always)]
    fn try_pin(&self, Place { number, slot }: Place) -> Result<Option<Pinned<'_>>, ReadError> {
        let shape = self.region.shape();
        let pins = shape.pins() as usize;
        let Some(descriptor) = self.region.descriptor(slot as usize) else { return Err(ReadError::Corrupt) };
        // The cache lines of the frame come from the producer's processor while the fence below waits.
        self.region.prefetch(slot as usize);
        let own = self.held.iter().zip(&self.seat.cells).take(pins);
        // Acquire: pairs with the Release in `Pinned::drop`, whose cell store comes before this one then.
        let Some((held, cell)) = own.into_iter().find(|(held, _)| !held.load(Acquire)) else {
            return Err(ReadError::AllPinned { pins: shape.pins() });
        };
        // (f) Release, partner (a): a Relaxed store would end the release sequence that the previous (h) began
        cell.store(PinWord::pack(number, slot as usize), Release);
        fence(SeqCst); // (C) partner (A): either the scan sees this pin, or the word below is seen retired
        held.store(true, Relaxed);
        let mut pinned = Pinned { cell, held, slot, len: 0, number: 0, drops_before: 0 };
        if descriptor.word.load(Relaxed) != SlotWord::ready(number).bits() {
            return Ok(None);
        }
        fence(Acquire); // (g) partner (b): the word may be a later lap's than `latest` showed
        pinned.number = number_of(descriptor);
        pinned.len = descriptor.len.load(Relaxed);
        pinned.drops_before = descriptor.drops_before.load(Relaxed);
        if Short::of(pinned.number) != number || pinned.len > shape.slot_size() {
            return Err(ReadError::Corrupt);
        }
        Ok(Some(pinned))
    }

    /// Reads the bell. Look for frames after this; then [`fall_asleep`](Self::fall_asleep) with what it returned.
    pub fn bell(&self) -> u32 {
        let bell = self.region.live().bell.load(Relaxed);
        fence(Acquire); // a bell read early can only cause an extra look
        bell
    }

    /// Says that this consumer is about to sleep. `None` if the bell changed since: look again.
    ///
    /// While the guard lives, every publish reports a sleeper. Sleep on [`Asleep::word`] only while it still has the
    /// value [`Asleep::expected`], as the kernel's futex does, and for a bounded time.
    pub fn fall_asleep(&self, bell: u32) -> Option<Asleep<'_>> {
        let asleep = Asleep { seat: self.seat, word: &self.region.live().bell, expected: bell };
        self.seat.sleeping.store(1, Relaxed);
        fence(SeqCst); // partner (e): either the producer sees the flag, or the bell below is seen changed
        (asleep.word.load(Relaxed) == bell).then_some(asleep)
    }
}

impl Drop for Consumer<'_> {
    fn drop(&mut self) {
        self.seat.sleeping.store(0, Relaxed);
        self.seat.cursor.store(0, Relaxed);
        self.seat.pid.store(0, Relaxed);
    }
}

fn clear(seat: &Seat) {
    seat.cells.iter().for_each(|cell| cell.store(PinWord::NONE, Release));
    seat.sleeping.store(0, Relaxed);
    seat.cursor.store(0, Relaxed);
}

/// Where a frame should be. Nothing rests on it: the slot's own word decides.
#[derive(Clone, Copy)]
struct Place {
    number: Short,
    slot: u32,
}

/// While it lives, the producer knows that this consumer sleeps.
#[derive(Debug)]
#[must_use = "the producer wakes sleepers only while this lives"]
pub struct Asleep<'c> {
    seat: &'c Seat,
    word: &'c Word,
    expected: u32,
}

impl<'c> Asleep<'c> {
    /// The word to sleep on, shared between processes.
    pub const fn word(&self) -> Bell<'c> {
        Bell::new(self.word)
    }

    /// The value at which to sleep.
    pub const fn expected(&self) -> u32 {
        self.expected
    }
}

impl Drop for Asleep<'_> {
    fn drop(&mut self) {
        self.seat.sleeping.store(0, Relaxed);
    }
}

/// The witness of a pin: while it lives, a conforming producer leaves the slot alone. Its drop lets go.
///
/// # Invariants
/// The slot was seen READY after the cell was stored and fenced; made by [`Consumer::try_pin`] alone. (Until it has
/// validated, `len` is 0.)
#[derive(Debug)]
pub(crate) struct Pinned<'c> {
    cell: &'c Word,
    held: &'c AtomicBool,
    slot: u32,
    len: u32,
    number: u64,
    drops_before: u32,
}

impl Pinned<'_> {
    pub(crate) const fn slot(&self) -> usize {
        self.slot as usize
    }

    pub(crate) const fn len(&self) -> u32 {
        self.len
    }
}

impl Drop for Pinned<'_> {
    fn drop(&mut self) {
        self.cell.store(PinWord::NONE, Release); // (h) partner (a): our reads are over
        self.held.store(false, Release); // pairs with the Acquire in `try_pin`
    }
}

/// A frame, read in place: its bytes do not change until it is dropped, whatever anybody does.
///
/// `Send` and `Sync`. It counts against the seat's pins while it lives.
///
/// A frame cannot outlive its consumer:
/// ```compile_fail,E0597
/// fn keep(role: camlane_core::SeatRole<'_>) {
///     let frame = {
///         let consumer = camlane_core::Consumer::new(role, 0);
///         consumer.latest().unwrap().unwrap()
///     };
///     println!("{}", frame.len());
/// }
/// ```
/// Nobody writes to it:
/// ```compile_fail,E0594
/// fn write(frame: &mut camlane_core::Frame<'_>) {
///     frame[0] = 1;
/// }
/// ```
/// Its bytes cannot be kept longer than the frame itself:
/// ```compile_fail,E0505
/// fn keep(frame: camlane_core::Frame<'_>) {
///     let pixels: &[u8] = &frame;
///     drop(frame);
///     println!("{}", pixels[0]);
/// }
/// ```
#[derive(Debug)]
#[must_use = "dropping it releases the frame"]
pub struct Frame<'c> {
    region: &'c Region<'c>,
    pinned: Pinned<'c>,
    missed: u64,
    dropped: u32,
}

impl Frame<'_> {
    /// Position in the producer's incarnation, counted from 1, dense.
    pub const fn number(&self) -> u64 {
        self.pinned.number
    }

    /// Frames published since this reader's previous frame that it did not get.
    pub const fn missed(&self) -> u64 {
        self.missed
    }

    /// Frames that the producer could not take since this reader's previous frame (no free slot, a driver's error).
    pub const fn dropped(&self) -> u32 {
        self.dropped
    }

    /// Which slot it lies in, counted from 0.
    pub const fn slot(&self) -> u32 {
        self.pinned.slot
    }

    /// What the frame says about itself. Planes are inside the payload, or the count is 0.
    pub fn meta(&self) -> FrameMeta {
        let Some(descriptor) = self.region.descriptor(self.pinned.slot()) else { return FrameMeta::bytes(0) };
        let mut meta = FrameMeta::load(descriptor);
        meta.layout.bytes = self.pinned.len;
        bound(&mut meta, self.region.shape().user_bytes());
        meta
    }

    /// The pixel format, as in [`meta`](Self::meta), without reading the rest.
    pub fn format(&self) -> PixelFormat {
        PixelFormat(self.word(|descriptor| &descriptor.format))
    }

    /// Width and height in pixels, as in [`meta`](Self::meta), without reading the rest.
    pub fn size(&self) -> (u32, u32) {
        (self.word(|descriptor| &descriptor.width), self.word(|descriptor| &descriptor.height))
    }

    /// When it was published, as in [`meta`](Self::meta), without reading the rest.
    pub fn publish_ns(&self) -> u64 {
        let [low, high] = [0, 1].map(|half| self.word(|descriptor| &descriptor.publish_ns[half]));
        u64::from(high) << 32 | u64::from(low)
    }

    fn word(&self, which: impl FnOnce(&Descriptor) -> &MetaWord) -> u32 {
        self.region.descriptor(self.pinned.slot()).map_or(0, |descriptor| which(descriptor).load(Relaxed))
    }

    /// The bytes of plane `index`, rows `stride` apart; `None` if the frame has no such plane.
    pub fn plane(&self, index: usize) -> Option<&[u8]> {
        let plane = *self.meta().layout.planes().get(index)?;
        let start = plane.offset as usize;
        self.get(start..start.checked_add(plane.bytes as usize)?)
    }

    /// The user's own metadata.
    pub fn user(&self) -> &[u8] {
        let room = self.region.shape().user_bytes();
        self.region.user(&self.pinned, self.word(|descriptor| &descriptor.user_len).min(room))
    }
}

impl Deref for Frame<'_> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.region.pixels(&self.pinned)
    }
}

/// Cuts what a frame claims to what is there, so that nobody after this needs to check a plane again.
pub(crate) fn bound(meta: &mut FrameMeta, user_bytes: u32) {
    let len = meta.layout.bytes;
    let inside =
        |plane: &crate::format::Plane| plane.offset.checked_add(plane.bytes).is_some_and(|end| end <= len);
    if !meta.layout.planes().iter().all(inside) {
        meta.layout.count = 0;
    }
    meta.user_len = meta.user_len.min(user_bytes);
}

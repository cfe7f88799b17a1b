//! The producer: loans slots, publishes them, and never waits for anybody.
//!
//! Letters in parentheses name the steps of FORMAT.md section 5, where each ordering's partner is written down.

use core::cell::Cell;
use core::ops::{Deref, DerefMut};

use heapless::Vec;

use crate::books::{Book, Chain, book};
use crate::error::{LoanError, PublishError, TakeOverError};
use crate::layout::Descriptor;
use crate::meta::FrameMeta;
use crate::pause::Pause;
use crate::region::{LaneState, ProducerRole, Region, Seats};
use crate::sync::{Acquire, Relaxed, Release, SeqCst, Word, fence};
use crate::word::{PinWord, Short, SlotState, SlotWord};

/// Slots that a [`Producer`] keeps books for unless told otherwise.
pub const DEFAULT_SLOTS: usize = 64;

/// Bytes of a slot from which on the slot that was released last is lent first; below, slots go round the ring.
///
/// A slot released last is the likeliest to be in a cache still, and a few slots in turn need fewer page tables than all:
/// at 6 and at 25 MB that is worth up to twice the frames per second. It costs a look at every seat for every loan, a thousandth
/// of the time in which such a slot can be filled; and an observer's copy is overtaken sooner. Below, all slots have room in a
/// cache, going round is as fast or faster, and one look serves many loans.
const NEWEST_FIRST: u32 = if cfg!(loom) { 64 } else { 2 << 20 };

/// The one end of a lane that writes. `Send`, not `Sync`, not `Clone`; at most `SLOTS` slots.
///
/// Dropping it leaves the lane as a crash would: call [`close`](Self::close) to end the stream.
///
/// Two threads cannot loan from it at once:
/// ```compile_fail,E0277
/// fn share<T: Sync>(_: T) {}
/// fn two_threads(producer: camlane_core::Producer<'_>) {
///     share(producer);
/// }
/// ```
#[derive(Debug)]
pub struct Producer<'a, const SLOTS: usize = DEFAULT_SLOTS> {
    region: Region<'a>,
    seats: Seats<'a>,
    number: Cell<u64>,
    dropped: Cell<u32>,
    bell: Cell<u32>,
    /// The newest H frames, oldest first.
    ready: Chain,
    /// Lent, or retired and not seen unpinned since. At first all are here, as if given back.
    away: Chain,
    /// Seen unpinned after they were retired, so nobody can pin them any more: one scan serves all of them. Those retired
    /// last are at the end.
    clean: Chain,
    books: Vec<Book, SLOTS>,
}

impl<'a, const SLOTS: usize> Producer<'a, SLOTS> {
    /// Starts with the first frame of a region that nobody has published to.
    ///
    /// # Errors
    /// [`TakeOverError`] if the lane has more slots than `SLOTS`, carries no frames, or has some already: consumers may
    /// hold those.
    pub fn new(role: ProducerRole<'a>) -> Result<Self, TakeOverError> {
        let this = Self::blank(role)?;
        let holds_a_frame = |descriptor: &Descriptor| {
            let word = SlotWord::from_bits(descriptor.word.load(Relaxed));
            matches!(word.state(), SlotState::Ready | SlotState::Retired)
        };
        if this.region.descriptors().any(holds_a_frame) { Err(TakeOverError::NotNew) } else { Ok(this) }
    }

    /// Goes on where a dead producer stopped, in memory that is never replaced.
    ///
    /// Slots that it was writing are free again and their numbers are used anew; a frame that was complete but not yet
    /// announced is announced. Pins of consumers stay in force.
    ///
    /// **Crash safety:** can be killed at any instruction and be repeated.
    ///
    /// # Errors
    /// [`TakeOverError`] if the lane has more slots than `SLOTS`, or its words contradict each other.
    pub fn take_over(role: ProducerRole<'a>) -> Result<Self, TakeOverError> {
        let this = Self::blank(role)?;
        let history = u64::from(this.region.shape().history());
        let mut found: Vec<(u64, u16, SlotState), SLOTS> = Vec::new();
        for (slot, descriptor) in this.region.descriptors().enumerate() {
            let word = SlotWord::from_bits(descriptor.word.load(Relaxed));
            match word.state() {
                SlotState::Free => {}
                SlotState::Writing => descriptor.word.store(SlotWord::FREE.bits(), Release),
                SlotState::Ready | SlotState::Retired => {
                    let number = number_of(descriptor);
                    // No lane lives for 2^63 frames; beyond, sums of numbers could overflow.
                    if number == 0 || number >> 63 != 0 || Short::of(number) != word.number() {
                        return Err(TakeOverError::Corrupt { slot: slot as u32 });
                    }
                    let _ = found.push((number, slot as u16, word.state()));
                }
            }
        }
        // Short numbers cannot be ordered after a wrap; the 64-bit ones can, and each occurs once.
        found.sort_unstable_by_key(|&(number, ..)| number);
        let newest = found.last().map_or(0, |&(number, ..)| number);
        let mut before: Option<u64> = None;
        for &(number, slot, state) in &found {
            let Some(descriptor) = this.region.descriptor(slot.into()) else { continue };
            let is_recent = |number: u64| number + history > newest;
            let recent = is_recent(number);
            // `publish` counts the recent ones from their chain: they must be dense.
            let follows = before
                .is_none_or(|before| if is_recent(before) { number == before + 1 } else { number > before });
            before = Some(number);
            if !follows || recent && state != SlotState::Ready {
                return Err(TakeOverError::Corrupt { slot: slot.into() });
            }
            let _ = this.away.take(&this.books, slot);
            if recent {
                this.put(&this.ready, slot, book::READY);
            } else {
                descriptor.word.store(SlotWord::retired(Short::of(number)).bits(), Release);
                this.put(&this.away, slot, book::RETIRED);
            }
        }
        this.number.set(newest);
        let live = this.region.live();
        this.dropped.set(live.dropped.load(Relaxed));
        this.bell.set(live.bell.load(Relaxed));
        if let Some(&(_, slot, _)) = found.last() {
            this.announce(slot, Short::of(newest));
        }
        this.resume(); // what the dead one waited for is not this one's
        live.state.store(LaneState::Live as u32, Release);
        this.ring_the_bell();
        Ok(this)
    }

    fn blank(role: ProducerRole<'a>) -> Result<Self, TakeOverError> {
        let ProducerRole { region, seats } = role;
        let slots = region.shape().slots();
        if region.shape().is_stream() {
            return Err(TakeOverError::IsAStream);
        }
        let mut books = Vec::new();
        for _ in 0..slots {
            let full = TakeOverError::TooManySlots { slots, room: SLOTS as u32 };
            books.push(Book::new()).map_err(|_| full)?;
        }
        let (number, dropped, bell) = (Cell::new(0), Cell::new(0), Cell::new(0));
        let [ready, away, clean] = [const { Chain::new() }; 3];
        (0..slots as u16).for_each(|slot| away.push(&books, slot));
        Ok(Self { region, seats, number, dropped, bell, ready, away, clean, books })
    }

    /// The region that this producer writes.
    pub const fn region(&self) -> &Region<'a> {
        &self.region
    }

    /// Frames published so far in this incarnation.
    pub fn published(&self) -> u64 {
        self.number.get()
    }

    /// Frames that could not be taken so far, wrapping.
    pub fn dropped(&self) -> u32 {
        self.dropped.get()
    }

    /// Counts a frame that was lost before it reached a loan: a driver's error, a full queue.
    pub fn count_dropped(&self, frames: u32) {
        self.dropped.set(self.dropped.get().wrapping_add(frames));
        self.region.live().dropped.store(self.dropped.get(), Relaxed);
    }

    /// Tells readers why no frames come, until [`resume`](Self::resume).
    pub fn pause(&self, pause: Pause) {
        pause.store(self.region.live());
    }

    /// Takes back what [`pause`](Self::pause) told.
    pub fn resume(&self) {
        self.region.live().pause.store(0, Relaxed);
    }

    /// Lends a slot to fill. Wait-free; several can be out at once.
    ///
    /// **Crash safety:** an unpublished loan is lost with the producer, and nothing else.
    ///
    /// # Errors
    /// [`LoanError`] if consumers hold every slot that is not in the history: cannot happen while
    /// [`Shape::never_starves`](crate::Shape::never_starves) and no more than `loans` are out. The frame is counted as
    /// dropped.
    pub fn loan(&self) -> Result<Loan<'_>, LoanError> {
        let newest_first = self.region.shape().slot_size() >= NEWEST_FIRST;
        if self.clean.len.get() == 0 || newest_first {
            self.sweep();
        }
        let end = if newest_first { &self.clean.last } else { &self.clean.first };
        let Some(slot) = self.clean.take(&self.books, end.get()) else {
            self.count_dropped(1);
            return Err(LoanError { slots: self.region.shape().slots() });
        };
        self.put(&self.away, slot, book::WRITING);
        let (Some(descriptor), Some(state)) = (self.region.descriptor(slot.into()), self.state(slot)) else {
            return Err(LoanError { slots: 0 });
        };
        descriptor.word.store(SlotWord::WRITING.bits(), Relaxed);
        self.region.prefetch_live();
        fence(Release); // (B) an observer that sees a byte written from here on sees WRITING or later
        Ok(Loan { region: &self.region, writing: Writing { slot, word: &descriptor.word, state } })
    }

    /// Looks once which retired slots nobody holds.
    ///
    /// A consumer that this scan misses fences (C) after (A), so it finds its slot retired and lets go. Therefore a
    /// slot found unpinned stays so, and one scan serves many loans: the cost per frame does not grow with the seats.
    fn sweep(&self) {
        let slots = self.region.shape().slots();
        let pins = self.region.shape().pins() as usize;
        fence(SeqCst); // (A) partner (C): after every retire store, before the first look at a pin
        for seat in self.seats.iter() {
            for cell in seat.cells.iter().take(pins) {
                // (a) Acquire, partners (f) and (h): all reads of a finished borrow come before the next write
                let pinned = PinWord::slot(cell.load(Acquire), slots).and_then(|slot| self.books.get(slot));
                if let Some(pinned) = pinned.filter(|pinned| pinned.state.load(Relaxed) == book::RETIRED) {
                    pinned.state.store(book::HELD, Relaxed);
                }
            }
        }
        for _ in 0..self.away.len.get() {
            let Some(slot) = self.away.take_first(&self.books) else { break };
            // Acquire: pairs with the Release in a loan's `Drop`, which may have run on another thread.
            match self.state(slot).map(|state| state.load(Acquire)) {
                Some(book::FREE | book::RETIRED) => self.put(&self.clean, slot, book::CLEAN),
                Some(book::HELD) => self.put(&self.away, slot, book::RETIRED),
                _ => self.away.push(&self.books, slot), // still out
            }
        }
    }

    /// Publishes a filled slot as the next frame. Wait-free; nothing here depends on what consumers do.
    ///
    /// **Crash safety:** after the slot word is stored the frame is whole and survives; before, it never existed.
    ///
    /// # Errors
    /// [`PublishError`] if `meta` claims bytes outside the slot or the loan is another producer's; the slot is free
    /// again and nothing was published.
    pub fn publish(&self, loan: Loan<'_>, meta: &FrameMeta) -> Result<Published, PublishError> {
        self.publish_at(loan, meta, meta.publish_ns)
    }

    /// As [`publish`](Self::publish), with another `publish_ns` than that of `meta`, which need not be copied to set it.
    ///
    /// # Errors
    /// As `publish`.
    pub fn publish_at(
        &self,
        loan: Loan<'_>,
        meta: &FrameMeta,
        publish_ns: u64,
    ) -> Result<Published, PublishError> {
        let shape = self.region.shape();
        let slot = loan.writing.slot;
        let ours = self.state(slot).is_some_and(|state| core::ptr::eq(state, loan.writing.state));
        let Some(descriptor) = self.region.descriptor(slot.into()).filter(|_| ours) else {
            return Err(PublishError::ForeignLoan);
        };
        check_meta(meta, shape.slot_size(), shape.user_bytes())?;
        core::mem::forget(loan); // the slot is ours again: nothing to give back

        let number = self.number.get() + 1;
        let short = Short::of(number);
        descriptor.number[0].store(number as u32, Relaxed);
        descriptor.number[1].store((number >> 32) as u32, Relaxed);
        meta.store(descriptor, publish_ns, self.dropped.get());
        self.number.set(number);
        descriptor.word.store(SlotWord::ready(short).bits(), Release); // (b) partner (g): the frame's bytes
        self.announce(slot, short);
        let asleep = self.ring_the_bell();

        let _ = self.away.take(&self.books, slot);
        self.put(&self.ready, slot, book::READY);
        if self.ready.len.get() > shape.history()
            && let Some(oldest) = self.ready.take_first(&self.books)
            && let Some(descriptor) = self.region.descriptor(oldest.into())
        {
            let retired = SlotWord::retired(Short::of(number - u64::from(shape.history())));
            descriptor.word.store(retired.bits(), Release); // (d) partner (A), later in this thread, and (j)
            self.put(&self.away, oldest, book::RETIRED);
        }
        Ok(Published { number, asleep })
    }

    /// Tells where the newest frame is. Only `latest` counts; the other two save a search.
    fn announce(&self, slot: u16, short: Short) {
        let live = self.region.live();
        if let Some(entry) = self.region.ring(short.ring_index(self.region.shape().ring_len)) {
            entry.store(slot.into(), Relaxed);
        }
        live.latest_slot.store(slot.into(), Relaxed);
        live.latest.store(SlotWord::ready(short).bits(), Release); // (c) partner (i): a published frame is not missed
    }

    /// Changes the bell and looks how many sleep on it; `u32::MAX` if the lane wakes always.
    ///
    /// In a publish it comes right after `latest`, in whose cache line the bell lies: readers that poll take that line
    /// away at once, and what is stored there later has to fetch it back.
    fn ring_the_bell(&self) -> u32 {
        self.bell.set(self.bell.get().wrapping_add(1));
        self.region.live().bell.store(self.bell.get(), Release);
        fence(SeqCst); // (e) partner: the fence in `Consumer::fall_asleep`; without it a wake-up is lost
        let asleep = self.seats.asleep();
        if self.region.shape().always_wake() { u32::MAX } else { asleep }
    }

    /// The seats, to reclaim those of the dead and to list the living; also from another thread.
    pub const fn seats(&self) -> Seats<'a> {
        self.seats
    }

    /// Ends the stream: consumers read what is left and are then told. Wake everybody after it.
    pub fn close(&self) {
        self.end(LaneState::Closed);
    }

    /// Tells consumers that another object took this one's place. Wake everybody after it.
    pub fn supersede(&self) {
        self.end(LaneState::Superseded);
    }

    fn end(&self, state: LaneState) {
        self.region.live().state.store(state as u32, Release);
        self.ring_the_bell();
    }

    fn state(&self, slot: u16) -> Option<&Word> {
        self.books.get(usize::from(slot)).map(|book| &book.state)
    }

    /// Gives a slot that is in no chain a new state, and its place.
    fn put(&self, chain: &Chain, slot: u16, state: u32) {
        if let Some(entry) = self.state(slot) {
            entry.store(state, Relaxed);
        }
        chain.push(&self.books, slot);
    }
}

pub(crate) fn number_of(descriptor: &Descriptor) -> u64 {
    let [low, high] = descriptor.number.each_ref().map(|half| half.load(Relaxed));
    u64::from(high) << 32 | u64::from(low)
}

fn check_meta(meta: &FrameMeta, slot_size: u32, user_bytes: u32) -> Result<(), PublishError> {
    if meta.layout.bytes > slot_size {
        return Err(PublishError::TooLong { bytes: meta.layout.bytes, slot_size });
    }
    if meta.user_len > user_bytes {
        return Err(PublishError::UserTooLong { bytes: meta.user_len, room: user_bytes });
    }
    let bytes = meta.layout.bytes;
    let inside = |end: Option<u32>| end.is_some_and(|end| end <= bytes);
    match meta.layout.planes().iter().position(|plane| !inside(plane.offset.checked_add(plane.bytes))) {
        Some(plane) => Err(PublishError::PlaneOutside { plane: plane as u32, bytes }),
        None => Ok(()),
    }
}

/// What a publish did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use = "if somebody sleeps, wake them"]
pub struct Published {
    /// The frame's number in this incarnation, counted from 1.
    pub number: u64,
    /// Consumers that sleep on the bell; `u32::MAX` if the lane was made to wake always. Not 0: call the system's wake.
    pub asleep: u32,
}

/// The witness of a slot in state WRITING; its drop frees the slot.
///
/// # Invariants
/// At most one exists per slot; made by [`Producer::loan`] alone.
#[derive(Debug)]
pub(crate) struct Writing<'p> {
    slot: u16,
    word: &'p Word,
    state: &'p Word,
}

impl Writing<'_> {
    pub(crate) const fn slot(&self) -> usize {
        self.slot as usize
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.word.store(SlotWord::FREE.bits(), Release);
        self.state.store(book::FREE, Release); // pairs with the Acquire in `sweep`
    }
}

/// A slot to fill: the bytes are the caller's alone until it is published or dropped.
///
/// `Send`: it may be filled on another thread, or by a device, and is published where the producer is. What an earlier
/// frame left in the slot is still there.
///
/// Nobody writes to it after it was published:
/// ```compile_fail,E0382
/// use camlane_core::{FrameMeta, Producer};
/// fn too_late(producer: &Producer<'_>) {
///     let mut loan = producer.loan().unwrap();
///     let published = producer.publish(loan, &FrameMeta::bytes(1)).unwrap();
///     loan[0] = 1;
/// }
/// ```
/// Nor through a slice that was taken before:
/// ```compile_fail,E0505
/// use camlane_core::{FrameMeta, Producer};
/// fn too_late(producer: &Producer<'_>) {
///     let mut loan = producer.loan().unwrap();
///     let pixels: &mut [u8] = &mut loan;
///     let published = producer.publish(loan, &FrameMeta::bytes(1)).unwrap();
///     pixels[0] = 1;
/// }
/// ```
#[derive(Debug)]
#[must_use = "publish it, or the frame is lost"]
pub struct Loan<'p> {
    region: &'p Region<'p>,
    writing: Writing<'p>,
}

impl Loan<'_> {
    /// Which slot this is, counted from 0.
    pub const fn slot(&self) -> u32 {
        self.writing.slot as u32
    }

    /// The bytes for the user's own metadata.
    pub fn user_mut(&mut self) -> &mut [u8] {
        self.region.user_mut(&mut self.writing)
    }
}

impl Deref for Loan<'_> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.region.pixels_of_loan(&self.writing)
    }
}

impl DerefMut for Loan<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.region.pixels_mut(&mut self.writing)
    }
}

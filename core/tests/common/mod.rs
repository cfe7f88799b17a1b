//! What the tests of this crate share: a lane in memory whose every word a test can also reach behind the protocol's back,
//! and a pattern that tells which frame each byte belongs to.
#![allow(dead_code, reason = "each test program uses its own part")]
#![allow(
    unsafe_code,
    reason = "roles in memory that a test creates, and kills its owners, are the test's promise"
)]

pub(crate) mod hostile;
pub(crate) mod world;

use core::ptr::NonNull;
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicBool, AtomicU32};
use core::time::Duration;
use std::cell::Cell;
use std::thread;
use std::time::Instant;

use camlane_core::layout::Seat;
use camlane_core::{
    Consumer, FrameMeta, Geometry, LaneSpec, Loan, Memory, Observer, Producer, ProducerRole, Region,
    SeatRole, Seats, Shape, TakeOverError,
};

/// Offsets in DATA that never move.
pub(crate) mod at {
    pub(crate) const RING_OFF: usize = 0x48;
    pub(crate) const DESC_OFF: usize = 0x4c;
    pub(crate) const DESC_STRIDE: usize = 0x50;
    pub(crate) const LATEST: usize = 0x80;
    pub(crate) const BELL: usize = 0x84;
    pub(crate) const STATE: usize = 0x88;
    pub(crate) const DROPPED: usize = 0x8c;
    pub(crate) const LATEST_SLOT: usize = 0x94;
    /// In a descriptor.
    pub(crate) const NUMBER: usize = 0x04;
    pub(crate) const LEN: usize = 0x0c;
    pub(crate) const KINDS: usize = 0x38;
    pub(crate) const PLANES: usize = 0x40;
    /// In a seat.
    pub(crate) const SLEEPING: usize = 0x20;
    pub(crate) const CELLS: usize = 0x80;
    pub(crate) const CURSOR: usize = 0xa0;
    pub(crate) const PID: usize = 0xa4;
}

/// The states of a slot word.
pub(crate) const FREE: u32 = 0;
pub(crate) const READY: u32 = 1;
pub(crate) const RETIRED: u32 = 2;
pub(crate) const WRITING: u32 = 3;

/// A slot word.
pub(crate) fn word(number: u64, state: u32) -> u32 {
    (number as u32) << 2 | state
}

/// Memory made of atomic words: whatever the lane does with it, a test may look at and change any word at any time.
#[derive(Debug)]
pub(crate) struct Words(Box<[AtomicU32]>);

impl Words {
    /// `bytes` bytes, rounded up to a word, full of what was there before.
    pub(crate) fn new(bytes: u64) -> Self {
        Self((0..bytes.div_ceil(4)).map(|_| AtomicU32::new(0xa5a5_a5a5)).collect())
    }

    pub(crate) fn len(&self) -> usize {
        4 * self.0.len()
    }

    pub(crate) fn base(&self) -> *const u8 {
        self.0.as_ptr().cast()
    }

    pub(crate) fn memory(&self) -> Memory<'_> {
        self.memory_of(0, self.len())
    }

    pub(crate) fn memory_of(&self, offset: usize, len: usize) -> Memory<'_> {
        assert!(offset + len <= self.len());
        let start = NonNull::from(&*self.0).cast::<u8>();
        // SAFETY: asserted to be inside.
        let start = unsafe { start.add(offset) };
        // SAFETY: alive as long as `self`; writable behind a shared reference, because it consists of atomics.
        unsafe { Memory::from_raw(start, len) }
    }

    pub(crate) fn peek(&self, offset: usize) -> u32 {
        assert!(offset.is_multiple_of(4));
        self.0[offset / 4].load(Relaxed)
    }

    pub(crate) fn poke(&self, offset: usize, value: u32) {
        assert!(offset.is_multiple_of(4));
        self.0[offset / 4].store(value, Relaxed);
    }

    pub(crate) fn atomics(&self, offset: usize, len: usize) -> &[AtomicU32] {
        assert!(offset.is_multiple_of(4));
        &self.0[offset / 4..(offset + len) / 4]
    }

    pub(crate) fn bytes(&self, offset: usize, len: usize) -> Vec<u8> {
        let words = offset / 4..(offset + len).div_ceil(4);
        let bytes = self.0[words].iter().flat_map(|word| word.load(Relaxed).to_le_bytes());
        bytes.skip(offset % 4).take(len).collect()
    }

    pub(crate) fn image(&self) -> Vec<u32> {
        self.0.iter().map(|word| word.load(Relaxed)).collect()
    }

    pub(crate) fn restore(&self, image: &[u32]) {
        self.0.iter().zip(image).for_each(|(word, value)| word.store(*value, Relaxed));
    }
}

/// A lane: DATA and seats in memory of their own, as named lanes have them.
///
/// The test promises what the roles ask for: one producer acts at a time, and one consumer in each seat.
#[derive(Debug)]
pub(crate) struct TestLane {
    pub(crate) shape: Shape,
    pub(crate) data: Words,
    pub(crate) seats: Words,
}

impl TestLane {
    pub(crate) fn new(geometry: Geometry) -> Self {
        let shape = geometry.shape().unwrap();
        let lane = Self { shape, data: Words::new(shape.data_len()), seats: Words::new(shape.seats_len()) };
        let spec = LaneSpec { incarnation: [1, 2, 3, 4], ..LaneSpec::anonymous(shape) };
        Seats::create(lane.seats.memory(), &shape, spec.incarnation).unwrap();
        Region::create(lane.data.memory(), &spec).unwrap();
        lane
    }

    pub(crate) fn region(&self) -> Region<'_> {
        Region::attach(&self.data.memory()).unwrap()
    }

    pub(crate) fn all_seats(&self) -> Seats<'_> {
        Seats::attach(&self.seats.memory(), &self.region()).unwrap()
    }

    pub(crate) fn producer_role(&self) -> ProducerRole<'_> {
        // SAFETY: writable; the test lets no two producers act; the seats were created with this region.
        unsafe { self.region().producer_role(self.all_seats()) }
    }

    pub(crate) fn producer(&self) -> Producer<'_> {
        Producer::new(self.producer_role()).unwrap()
    }

    pub(crate) fn heir(&self) -> Result<Producer<'_>, TakeOverError> {
        Producer::take_over(self.producer_role())
    }

    pub(crate) fn seat(&self, index: u32) -> &Seat {
        let stride = self.shape.seat_stride() as usize;
        let memory = self.seats.memory_of(index as usize * stride, stride);
        Seats::attach_one(&memory, &self.region(), index).unwrap()
    }

    pub(crate) fn seat_role(&self, index: u32) -> SeatRole<'_> {
        // SAFETY: the producers of these tests conform; the test lets no two consumers act in one seat.
        unsafe { self.region().seat_role(self.seat(index)) }
    }

    pub(crate) fn consumer(&self, seat: u32) -> Consumer<'_> {
        Consumer::new(self.seat_role(seat), 1000 + seat)
    }

    /// An observer, for a thread in which no loan is being filled.
    pub(crate) fn observer(&self) -> Observer<'_> {
        // SAFETY: the tests that observe have no `&mut [u8]` into the lane meanwhile.
        unsafe { self.region().observer() }
    }

    pub(crate) fn live(&self, offset: usize) -> u32 {
        self.data.peek(offset)
    }

    fn descriptor(&self, slot: u32) -> usize {
        self.data.peek(at::DESC_OFF) as usize + slot as usize * self.data.peek(at::DESC_STRIDE) as usize
    }

    pub(crate) fn word_at(&self, slot: u32) -> usize {
        self.descriptor(slot)
    }

    pub(crate) fn words(&self) -> Vec<u32> {
        (0..self.shape.slots()).map(|slot| self.data.peek(self.word_at(slot))).collect()
    }

    pub(crate) fn number(&self, slot: u32) -> u64 {
        let at = self.descriptor(slot) + at::NUMBER;
        u64::from(self.data.peek(at + 4)) << 32 | u64::from(self.data.peek(at))
    }

    pub(crate) fn set_number(&self, slot: u32, number: u64) {
        let at = self.descriptor(slot) + at::NUMBER;
        self.data.poke(at, number as u32);
        self.data.poke(at + 4, (number >> 32) as u32);
    }

    pub(crate) fn set_len(&self, slot: u32, len: u32) {
        self.data.poke(self.descriptor(slot) + at::LEN, len);
    }

    pub(crate) fn ring_at(&self, number: u64) -> usize {
        let ring_len = u64::from(self.shape.slots().next_power_of_two());
        self.data.peek(at::RING_OFF) as usize + 4 * (number % ring_len) as usize
    }

    pub(crate) fn payload_at(&self, slot: u32) -> usize {
        self.shape.payload_offset() as usize + (slot * self.shape.slot_stride()) as usize
    }

    pub(crate) fn payload(&self, slot: u32, len: usize) -> Vec<u8> {
        self.data.bytes(self.payload_at(slot), len)
    }

    pub(crate) fn seat_at(&self, seat: u32) -> usize {
        (seat * self.shape.seat_stride() + self.shape.seat_offset(seat)) as usize
    }

    pub(crate) fn cell_at(&self, seat: u32, cell: u32) -> usize {
        self.seat_at(seat) + at::CELLS + 4 * cell as usize
    }

    /// Slots that the cells of all seats name.
    pub(crate) fn pins(&self) -> Vec<u32> {
        let cells = (0..self.shape.seats()).flat_map(|seat| (0..8).map(move |cell| (seat, cell)));
        let named = cells.map(|(seat, cell)| self.seats.peek(self.cell_at(seat, cell)) & 0xffff);
        named.filter(|&one_more| one_more != 0).map(|one_more| one_more - 1).collect()
    }

    /// Makes the lane look as if its producer had died after frame `newest`: the newest H frames lie in the first slots.
    pub(crate) fn pretend_published(&self, newest: u64) {
        for back in 0..u64::from(self.shape.history()).min(newest) {
            let (slot, number) = (back as u32, newest - back);
            let len = self.shape.slot_size();
            self.set_number(slot, number);
            self.set_len(slot, len);
            // One plane of opaque bytes, as `FrameMeta::bytes` describes it.
            let plane = self.descriptor(slot) + at::PLANES;
            for (field, value) in [0, 0, 1, len].into_iter().enumerate() {
                self.data.poke(plane + 4 * field, value);
            }
            self.data.poke(self.descriptor(slot) + at::KINDS, 1 << 16);
            self.data.poke(self.word_at(slot), word(number, READY));
            self.data.poke(self.ring_at(number), slot);
            for (index, chunk) in pattern(number, len as usize).chunks(4).enumerate() {
                let mut word = [0; 4];
                word[..chunk.len()].copy_from_slice(chunk);
                self.data.poke(self.payload_at(slot) + 4 * index, u32::from_le_bytes(word));
            }
        }
        self.data.poke(at::LATEST_SLOT, 0);
        self.data.poke(at::LATEST, word(newest, READY));
    }
}

/// Clears the seats for which `is_alive` says no.
pub(crate) fn reclaim(seats: Seats<'_>, is_alive: impl FnMut(u32) -> bool) -> u32 {
    // SAFETY: a test names those consumers dead that it forgot together with their frames.
    unsafe { seats.reclaim(is_alive) }
}

/// All that one can be in a region, one after another in one thread, whatever its words say.
pub(crate) fn roles<'a>(
    region: Region<'a>,
    seats: Seats<'a>,
    seat: &'a Seat,
) -> (Observer<'a>, SeatRole<'a>, ProducerRole<'a>) {
    // SAFETY: one thread, so that nobody writes while somebody reads.
    let observer = unsafe { region.observer() };
    // SAFETY: nobody writes while it reads; the test passes a seat of this region, in which nobody else sits.
    let role = unsafe { region.seat_role(seat) };
    // SAFETY: writable; no other producer acts; the test passes the seats of this region.
    let producer = unsafe { region.producer_role(seats) };
    (observer, role, producer)
}

/// The bytes of frame `number`: no two numbers give the same first eight bytes, and each byte depends on the number.
pub(crate) fn pattern(number: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    fill(&mut bytes, number);
    bytes
}

/// Writes the bytes of frame `number`.
pub(crate) fn fill(bytes: &mut [u8], number: u64) {
    for (index, chunk) in bytes.chunks_mut(8).enumerate() {
        let word = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(index as u32 % 61)
            ^ index as u64;
        chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
    }
}

/// Fills a loan with the pattern of the frame that it becomes, publishes it, and returns its number.
pub(crate) fn publish_in(producer: &Producer<'_>, mut loan: Loan<'_>) -> u64 {
    let number = producer.published() + 1;
    let len = loan.len() as u32;
    fill(&mut loan, number);
    let published = producer.publish(loan, &FrameMeta::bytes(len)).unwrap();
    assert_eq!(published.number, number);
    number
}

/// Loans, fills and publishes the next frame, and returns its number.
pub(crate) fn publish(producer: &Producer<'_>) -> u64 {
    publish_in(producer, producer.loan().unwrap())
}

/// Publishes `frames` frames.
pub(crate) fn publish_many(producer: &Producer<'_>, frames: u64) {
    for _ in 0..frames {
        publish(producer);
    }
}

/// Tells whether a frame holds, from its first to its last byte, what was written for its number.
pub(crate) fn is_whole(frame: &camlane_core::Frame<'_>) -> bool {
    **frame == pattern(frame.number(), frame.len())
}

/// Raises a flag when it is dropped, so that threads which wait for it end also when the test fails.
pub(crate) struct RaisedAtTheEnd<'f>(pub(crate) &'f AtomicBool);

impl Drop for RaisedAtTheEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Gives other threads a turn, and ends a test that waits for what will never come: nothing for a minute. A whole test may
/// take longer, on a machine where a turn is long in coming.
pub(crate) struct Patience(Cell<(u64, Instant)>);

impl Patience {
    pub(crate) fn new() -> Self {
        Self(Cell::new((0, Instant::now())))
    }

    /// `progress` is any number that changes when something has come.
    pub(crate) fn wait(&self, progress: u64) {
        let (before, since) = self.0.get();
        if progress != before {
            self.0.set((progress, Instant::now()));
        } else {
            assert!(since.elapsed() < Duration::from_secs(60), "what is awaited does not come");
        }
        thread::yield_now();
    }
}

/// A source of numbers that look random and are the same in every run (Marsaglia's xorshift64).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// A value that is likely to be at the edge of something, or near `old`.
    pub(crate) fn value(&mut self, old: u32) -> u32 {
        const EDGES: [u32; 22] = [
            0,
            1,
            2,
            3,
            4,
            8,
            63,
            64,
            191,
            192,
            255,
            256,
            0x240,
            4096,
            65_533,
            65_534,
            65_535,
            65_536,
            1 << 30,
            1 << 31,
            u32::MAX - 3,
            u32::MAX,
        ];
        match self.below(6) {
            0 => self.next() as u32,
            1 => old.wrapping_add(self.below(9) as u32).wrapping_sub(4),
            2 => old ^ 1 << self.below(32),
            3 => self.below(16) as u32,
            _ => EDGES[self.below(EDGES.len())],
        }
    }
}

//! The one file with unsafe code: it turns raw bytes into shared words, and witnesses into pixels.
//!
//! Three rules keep the rest of the crate safe:
//! - **Shape is parsed once.** [`Shape`] is checked before a pointer is made from it and is never read again from the
//!   region, so every offset below lies inside the memory that the caller vouched for.
//! - **Shared words are atomics**, reached by `&`; nobody holds a plain reference to them.
//! - **Pixels need a witness.** `&mut [u8]` exists only behind a [`Writing`], `&[u8]` only behind a [`Pinned`]; each has
//!   one constructor, in the protocol code that proves it.
#![allow(unsafe_code)]

use core::marker::PhantomData;
use core::ptr::NonNull;

use zerocopy::{FromBytes, IntoBytes};

use crate::bell::Bell;
use crate::consumer::Pinned;
use crate::error::{AttachError, CreateError};
use crate::geometry::Shape;
use crate::info::{LaneInfo, LaneSpec};
use crate::layout::{
    DESCRIPTOR_LEN, Descriptor, HEADER_LEN, Header, Info, LAYOUT, Live, MAGIC, SEAT_LEN, SEAT_MAGIC, Seat,
    crc32,
};
use crate::observer::Observer;
use crate::pause::Pause;
use crate::producer::{Loan, Writing};
use crate::stream::Span;
use crate::sync::{Acquire, MetaWord, Relaxed, Release, Word, fence};

/// Memory that holds, or shall hold, one object of a lane.
///
/// Holding one means: `len` bytes from `base` are mapped for `'a`, and whoever else reaches them keeps to the protocol.
#[derive(Debug)]
pub struct Memory<'a> {
    base: NonNull<u8>,
    len: usize,
    lifetime: PhantomData<&'a mut [u8]>,
}

impl<'a> Memory<'a> {
    /// Takes bytes that nobody else can reach while the lane lives.
    pub fn from_mut(bytes: &'a mut [u8]) -> Self {
        let len = bytes.len();
        Self { base: NonNull::from(bytes).cast(), len, lifetime: PhantomData }
    }

    /// Takes mapped memory that other processes may reach too.
    ///
    /// # Safety
    /// 1. `base` is valid for reads of `len` bytes for `'a`, and for writes too if the memory is used to create an
    ///    object or to become its producer.
    /// 2. During `'a` this program touches those bytes through camlane only, and creates no object in them while
    ///    another is in use there.
    pub const unsafe fn from_raw(base: NonNull<u8>, len: usize) -> Self {
        Self { base, len, lifetime: PhantomData }
    }

    fn check(&self, needed: u64) -> Result<(), CreateError> {
        if !self.base.addr().get().is_multiple_of(align_of::<Live>()) {
            return Err(CreateError::Misaligned);
        }
        if (self.len as u64) < needed {
            return Err(CreateError::TooSmall { needed, found: self.len as u64 });
        }
        Ok(())
    }

    /// As `check`, for an object that should be there already.
    #[cfg(not(loom))]
    fn check_found(&self, needed: u64) -> Result<(), AttachError> {
        self.check(needed).map_err(|error| match error {
            CreateError::TooSmall { needed, found } => AttachError::TooShort { needed, found },
            _ => AttachError::Misaligned,
        })
    }

    /// Words of the memory that lie whole inside it. Tears nothing: each is one atomic load or store.
    fn words(&self, offset: usize, bytes: usize) -> &'a [MetaWord] {
        assert!(offset.is_multiple_of(4) && offset.checked_add(bytes).is_some_and(|end| end <= self.len));
        // SAFETY: `offset + bytes <= len` was asserted, so the pointer stays inside the memory.
        let first = unsafe { self.base.add(offset) }.cast::<MetaWord>();
        // SAFETY: in bounds as above; the base is 4-byte aligned (`check`, `Region::attach`) and so is `offset`; atomics
        // may be shared; the memory lives for 'a by the contract of the constructors.
        unsafe { core::slice::from_raw_parts(first.as_ptr(), bytes / 4) }
    }

    fn write(&self, offset: usize, bytes: &[u8]) {
        for (word, value) in self.words(offset, bytes.len()).iter().zip(bytes.as_chunks().0) {
            word.store(u32::from_le_bytes(*value), Relaxed);
        }
    }

    fn read(&self, offset: usize, into: &mut [u8]) {
        for (word, value) in self.words(offset, into.len()).iter().zip(into.as_chunks_mut().0) {
            *value = word.load(Relaxed).to_le_bytes();
        }
    }
}

/// A row of equal structures in shared memory.
///
/// # Invariants
/// `len` structures, `stride` bytes apart, are mapped and aligned for `'a`. Made only in this file.
#[derive(Debug)]
pub(crate) struct Table<'a, T> {
    base: NonNull<u8>,
    stride: usize,
    /// One less than the places that entries take in turn inside their stride, `SEAT_LEN` apart; 0: all at its start.
    place_mask: usize,
    len: usize,
    lifetime: PhantomData<&'a T>,
}

impl<T> Clone for Table<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Table<'_, T> {}

// SAFETY: a table only hands out `&T`, and stands for no more than a `&[T]`.
unsafe impl<T: Sync> Send for Table<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Table<'_, T> {}

impl<'a, T> Table<'a, T> {
    pub(crate) fn get(&self, index: usize) -> Option<&'a T> {
        (index < self.len).then(|| self.at(index))
    }

    fn at(&self, index: usize) -> &'a T {
        assert!(index < self.len);
        let place = index & self.place_mask;
        // SAFETY: `index < len`, so the structure lies inside the table.
        let at = unsafe { self.base.add(index * self.stride + place * SEAT_LEN) }.cast::<T>();
        // SAFETY: mapped, aligned and alive for 'a by the invariant; T consists of atomics.
        unsafe { at.as_ref() }
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = &'a T> {
        (0..self.len).map(move |index| self.at(index))
    }

    #[cfg(loom)]
    pub(crate) fn from_slice(slice: &'a [T]) -> Self {
        let base = NonNull::from(slice).cast();
        Self { base, stride: size_of::<T>(), place_mask: 0, len: slice.len(), lifetime: PhantomData }
    }
}

/// A lane's DATA object, attached: its shape is checked, its words can be reached.
///
/// Holding one tells that the header was whole and that its offsets fit the memory. It tells nothing about frames: a
/// producer that does not conform can write anything there.
#[derive(Clone, Copy, Debug)]
pub struct Region<'a> {
    shape: Shape,
    incarnation: [u32; 4],
    created_ns: u64,
    live: &'a Live,
    ring: Table<'a, Word>,
    descriptors: Table<'a, Descriptor>,
    payload: NonNull<u8>,
}

// SAFETY: a region hands out references to atomics; bytes only for witnesses, which carry their own thread rules.
unsafe impl Send for Region<'_> {}
// SAFETY: as above.
unsafe impl Sync for Region<'_> {}

impl<'a> Region<'a> {
    /// Writes a new DATA object: header, empty words, and last the state LIVE.
    ///
    /// **Crash safety:** until the last store the state is INIT and nobody attaches.
    ///
    /// # Errors
    /// [`CreateError`] if the memory is too small or misaligned, or a name is too long.
    #[cfg(not(loom))]
    pub fn create(memory: Memory<'a>, spec: &LaneSpec<'_>) -> Result<Self, CreateError> {
        let shape = spec.shape;
        memory.check(shape.data_len)?;
        let mut header = Header {
            magic: MAGIC,
            layout: LAYOUT,
            header_len: HEADER_LEN as u32,
            incarnation: spec.incarnation,
            total_len: shape.data_len.into(),
            slots: shape.slots,
            ring_len: shape.ring_len,
            history: shape.history,
            loans: shape.loans,
            seats: shape.seats,
            pins: shape.pins,
            slot_size: shape.slot_size,
            slot_stride: shape.slot_stride,
            ring_off: shape.ring_off,
            desc_off: shape.desc_off,
            desc_stride: shape.desc_stride,
            page: shape.page,
            payload_off: shape.payload_off.into(),
            seats_off: shape.seats_off.into(),
            seat_stride: shape.seat_stride,
            flags: shape.flags,
            created_ns: spec.created_ns.into(),
            seat_places: shape.seat_places,
            crc: 0,
        };
        header.crc = crc32(&header.as_bytes()[..size_of::<Header>() - 4]);
        let mut info = spec.info.to_bytes()?;
        info.crc = crc32(&info.as_bytes()[..size_of::<Info>() - 4]);
        // What is not a header yet must not look like one while it is written.
        let tables = size_of::<Header>()
            ..(shape.desc_off as usize + shape.slots as usize * shape.desc_stride as usize);
        memory.words(0, tables.start).iter().for_each(|word| word.store(0, Relaxed));
        memory.words(tables.start, tables.len()).iter().for_each(|word| word.store(0, Relaxed));
        memory.write(size_of::<Header>() + size_of::<Live>(), info.as_bytes());
        memory.write(0, header.as_bytes());
        let region = Self::reach(&memory, shape, &header);
        region.live.state.store(LaneState::Live as u32, Release);
        Ok(region)
    }

    /// Checks a DATA object and makes it reachable.
    ///
    /// # Errors
    /// [`AttachError`] says what is wrong with it; no input makes this panic.
    #[cfg(not(loom))]
    pub fn attach(memory: &Memory<'a>) -> Result<Self, AttachError> {
        memory.check_found(HEADER_LEN as u64)?;
        let state =
            memory.words(size_of::<Header>() + core::mem::offset_of!(Live, state), 4)[0].load(Relaxed);
        fence(Acquire); // pairs with the Release of `create`: a LIVE object's header is whole
        let mut bytes = [0; size_of::<Header>()];
        memory.read(0, &mut bytes);
        let (shape, header) = parse_header(&bytes, memory.len as u64)?;
        match LaneState::from_bits(state) {
            Some(LaneState::Init) => Err(AttachError::NotReady),
            Some(_) => Ok(Self::reach(memory, shape, &header)),
            None => Err(AttachError::Corrupt { what: "state" }),
        }
    }

    #[cfg(not(loom))]
    fn reach(memory: &Memory<'a>, shape: Shape, header: &Header) -> Self {
        debug_assert!(shape.data_len <= memory.len as u64);
        let at = |offset: usize| {
            // SAFETY: every offset below is at most `data_len`, which both callers compared with `len`.
            unsafe { memory.base.add(offset) }
        };
        let live = at(size_of::<Header>()).cast::<Live>();
        Self {
            shape,
            incarnation: header.incarnation,
            created_ns: header.created_ns.into(),
            // SAFETY: HEADER_LEN <= data_len bytes are mapped for 'a; aligned to 4 as the base is; all fields are atomics.
            live: unsafe { live.as_ref() },
            ring: Table {
                base: at(shape.ring_off as usize),
                stride: size_of::<Word>(),
                place_mask: 0,
                len: shape.ring_len as usize,
                lifetime: PhantomData,
            },
            descriptors: Table {
                base: at(shape.desc_off as usize),
                stride: shape.desc_stride as usize,
                place_mask: 0,
                len: shape.slots as usize,
                lifetime: PhantomData,
            },
            payload: at(shape.payload_off as usize),
        }
    }

    /// The lane's shape.
    pub const fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Names this run of the producer; random.
    pub const fn incarnation(&self) -> [u32; 4] {
        self.incarnation
    }

    /// When the object was made, in nanoseconds of CLOCK_BOOTTIME; 0: unknown.
    pub const fn created_ns(&self) -> u64 {
        self.created_ns
    }

    /// What the lane says about itself before the first frame.
    ///
    /// # Errors
    /// [`AttachError::Checksum`] if the record was damaged.
    #[cfg(not(loom))]
    pub fn info(&self) -> Result<LaneInfo, AttachError> {
        // From the payload, whose pointer may reach all of DATA: one made from the reference to the words before this record
        // may reach those alone.
        let back = self.shape.payload_off as usize - (HEADER_LEN - size_of::<Info>());
        // SAFETY: Info lies in every region, before the payload, and HEADER_LEN bytes are mapped.
        let base = unsafe { self.payload.sub(back) };
        // SAFETY: as above; the record is immutable by protocol and is read by atomic loads in any case.
        let memory = unsafe { Memory::from_raw(base, size_of::<Info>()) };
        let mut bytes = [0; size_of::<Info>()];
        memory.read(0, &mut bytes);
        parse_info(&bytes)
    }

    /// What the producer says of the lane. `Live` does not mean that the producer still runs.
    pub fn state(&self) -> LaneState {
        let state = self.live.state.load(Relaxed);
        fence(Acquire); // pairs with the Release of the store: what came before an end is visible after it
        LaneState::from_bits(state).unwrap_or(LaneState::Closed)
    }

    /// The word to sleep on: it changes at every publish and at every change of state.
    pub const fn bell(&self) -> Bell<'a> {
        Bell::new(&self.live.bell)
    }

    /// Frames that the producer could not take so far, wrapping.
    pub fn dropped(&self) -> u32 {
        self.live.dropped.load(Relaxed)
    }

    /// Why no frames come, if the producer says so. Ask when none came: frames do not end what it says.
    pub fn pause(&self) -> Option<Pause> {
        Pause::load(self.live)
    }

    /// Frames published so far, modulo 2^30; a hint for people.
    pub fn published_hint(&self) -> u32 {
        self.live.latest.load(Relaxed) >> 2
    }

    pub(crate) const fn live(&self) -> &'a Live {
        self.live
    }

    pub(crate) fn ring(&self, index: usize) -> Option<&'a Word> {
        self.ring.get(index)
    }

    pub(crate) fn descriptor(&self, slot: usize) -> Option<&'a Descriptor> {
        self.descriptors.get(slot)
    }

    pub(crate) fn descriptors(&self) -> impl Iterator<Item = &'a Descriptor> {
        self.descriptors.iter()
    }

    /// Asks for the cache lines that a reader of a slot looks at first. Changes nothing but when they arrive.
    pub(crate) fn prefetch(&self, slot: usize) {
        if let Some(descriptor) = self.descriptor(slot) {
            let words = core::ptr::from_ref(descriptor).cast::<u8>();
            prefetch_line(words);
            prefetch_line(words.wrapping_add(64));
            prefetch_line(self.payload.as_ptr().wrapping_add(slot * self.shape.slot_stride as usize));
        }
    }

    /// Asks for the words that move, which a camera may have lost from its caches since its last publish. To read: readers
    /// that poll would fetch their line back at once.
    pub(crate) fn prefetch_live(&self) {
        prefetch_line(core::ptr::from_ref(self.live).cast());
    }

    /// The pixels of a pinned frame.
    pub(crate) fn pixels(&self, pin: &Pinned<'_>) -> &[u8] {
        let (start, len) = self.payload_of(pin.slot(), pin.len());
        // SAFETY: in bounds by `payload_of`. Nobody writes: `Pinned` is made only after its cell was stored, fenced and
        // the slot seen READY, and clears the cell when it is dropped; a conforming producer leaves such a slot alone.
        unsafe { core::slice::from_raw_parts(start.as_ptr(), len) }
    }

    /// The user's metadata of a pinned frame.
    pub(crate) fn user(&self, pin: &Pinned<'_>, len: u32) -> &[u8] {
        let (start, len) = self.user_of(pin.slot(), len);
        // SAFETY: as for `pixels`: in bounds, and written only while the slot is WRITING.
        unsafe { core::slice::from_raw_parts(start.as_ptr(), len) }
    }

    /// The pixels of a slot that is being written.
    pub(crate) fn pixels_mut<'w>(&self, loan: &'w mut Writing<'_>) -> &'w mut [u8] {
        let (start, len) = self.payload_of(loan.slot(), self.shape.slot_size);
        // SAFETY: in bounds by `payload_of`, writable by the producer's role. Exclusive: `Writing` is made only for a
        // slot that a scan after the fence found unpinned, one at a time per slot, and consumers refuse its word.
        unsafe { core::slice::from_raw_parts_mut(start.as_ptr(), len) }
    }

    /// The pixels of a slot that is being written, to look at.
    pub(crate) fn pixels_of_loan<'w>(&self, loan: &'w Writing<'_>) -> &'w [u8] {
        let (start, len) = self.payload_of(loan.slot(), self.shape.slot_size);
        // SAFETY: in bounds by `payload_of`; while `loan` is borrowed nobody can have the `&mut` of `pixels_mut`.
        unsafe { core::slice::from_raw_parts(start.as_ptr(), len) }
    }

    /// The user's metadata of a slot that is being written.
    pub(crate) fn user_mut<'w>(&self, loan: &'w mut Writing<'_>) -> &'w mut [u8] {
        let (start, len) = self.user_of(loan.slot(), u32::MAX);
        // SAFETY: as for `pixels_mut`.
        unsafe { core::slice::from_raw_parts_mut(start.as_ptr(), len) }
    }

    /// Where a slot's payload begins, in bytes from the start of DATA.
    pub const fn payload_offset(&self, slot: u32) -> u64 {
        self.shape.payload_off + slot as u64 * self.shape.slot_stride as u64
    }

    pub(crate) const fn user_offset(&self, slot: u32) -> u64 {
        let before = slot as u64 * self.shape.desc_stride as u64 + DESCRIPTOR_LEN as u64;
        self.shape.desc_off as u64 + before
    }

    /// Copies bytes that a producer may be overwriting: word by word, each load atomic, so the copy is defined, if
    /// meaningless until it is validated.
    pub(crate) fn copy_racing(&self, slot: usize, into: &mut [u8]) {
        let (start, len) = self.payload_of(slot, into.len() as u32);
        copy_words(start, &mut into[..len]);
    }

    pub(crate) fn copy_user_racing(&self, slot: usize, into: &mut [u8]) {
        let (start, len) = self.user_of(slot, into.len() as u32);
        copy_words(start, &mut into[..len]);
    }

    fn payload_of(&self, slot: usize, len: u32) -> (NonNull<u8>, usize) {
        assert!(slot < self.shape.slots as usize);
        // SAFETY: slot < slots, and all payloads lie inside data_len (`Shape::checked`).
        let start = unsafe { self.payload.add(slot * self.shape.slot_stride as usize) };
        (start, len.min(self.shape.slot_size) as usize)
    }

    fn user_of(&self, slot: usize, len: u32) -> (NonNull<u8>, usize) {
        let table = self.descriptors;
        assert!(slot < table.len);
        // SAFETY: slot < len, and a descriptor's user bytes follow it inside its stride.
        let start = unsafe { table.base.add(slot * table.stride + DESCRIPTOR_LEN) };
        (start, (len as usize).min(table.stride - DESCRIPTOR_LEN))
    }

    /// The bytes of a stream that its reader may read.
    pub(crate) fn span(&self, span: &Span<'_>) -> &[u8] {
        let (start, len) = self.buffer_part(span);
        // SAFETY: in bounds by `buffer_part`; `Span` is made only from positions that give these bytes to this side.
        unsafe { core::slice::from_raw_parts(start.as_ptr(), len) }
    }

    /// The bytes of a stream that its writer may write.
    pub(crate) fn span_mut<'w>(&self, span: &'w mut Span<'_>) -> &'w mut [u8] {
        let (start, len) = self.buffer_part(span);
        // SAFETY: in bounds by `buffer_part`; `Span` is made only from positions that give these bytes to this side
        // alone, and two spans of one grant do not overlap.
        unsafe { core::slice::from_raw_parts_mut(start.as_ptr(), len) }
    }

    fn buffer_part(&self, span: &Span<'_>) -> (NonNull<u8>, usize) {
        let (start, len) = (span.start(), span.len());
        assert!(start.checked_add(len).is_some_and(|end| end <= self.shape.slot_size as usize));
        // SAFETY: asserted to lie inside the buffer of slot_size bytes.
        (unsafe { self.payload.add(start) }, len)
    }

    /// Becomes the producer of this region.
    ///
    /// # Safety
    /// 1. The memory is writable.
    /// 2. No other producer, in any process, acts on this region while the role lives, and nobody creates another object
    ///    in its memory.
    /// 3. `seats` belong to this region.
    pub unsafe fn producer_role(self, seats: Seats<'a>) -> ProducerRole<'a> {
        ProducerRole { region: self, seats }
    }

    /// Tells the consumers of a dead producer's region that another took its place. Wake everybody after it.
    ///
    /// # Safety
    /// As 1 and 2 of [`producer_role`](Self::producer_role), at this moment.
    pub unsafe fn supersede(&self) {
        self.live.state.store(LaneState::Superseded as u32, Release);
        self.live.bell.store(self.live.bell.load(Relaxed).wrapping_add(1), Release);
    }

    /// Becomes the consumer in a seat.
    ///
    /// # Safety
    /// 1. Whoever can write DATA is a conforming producer: `&[u8]` into its pixels are handed out.
    /// 2. `seat` is a seat of this region, writable, and nobody else acts in it while the role lives, except a
    ///    producer that clears it once its owner is proved dead.
    pub unsafe fn seat_role(self, seat: &'a Seat) -> SeatRole<'a> {
        SeatRole { region: self, seat }
    }

    /// Becomes an observer, which reads, copies and writes nothing anywhere.
    ///
    /// # Safety
    /// The producer runs in another process: within one program its `&mut [u8]` would race with the copy. Or frames are
    /// copied by [`Observer::copy_newest_by`] alone, by something that is no part of the program, as a system call is.
    pub const unsafe fn observer(self) -> Observer<'a> {
        Observer::new(self)
    }

    #[cfg(loom)]
    pub(crate) fn for_model(
        shape: Shape,
        live: &'a Live,
        ring: &'a [Word],
        descriptors: &'a [Descriptor],
        payload: NonNull<u8>,
    ) -> Self {
        let (ring, descriptors) = (Table::from_slice(ring), Table::from_slice(descriptors));
        Self { shape, incarnation: [0; 4], created_ns: 0, live, ring, descriptors, payload }
    }
}

#[cfg(all(target_arch = "x86_64", not(any(loom, miri))))]
fn prefetch_line(at: *const u8) {
    use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: a hint: it reads nothing, and faults at no address.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) };
}

#[cfg(all(target_arch = "aarch64", not(any(loom, miri))))]
fn prefetch_line(at: *const u8) {
    // SAFETY: a hint: it reads nothing, and faults at no address.
    unsafe {
        core::arch::asm!("prfm pldl1keep, [{at}]", at = in(reg) at, options(nostack, preserves_flags, readonly))
    };
}

#[cfg(any(loom, miri, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
const fn prefetch_line(_at: *const u8) {}

fn copy_words(start: NonNull<u8>, into: &mut [u8]) {
    let load = |index: usize| {
        // SAFETY: `start` is 4-byte aligned and strides are multiples of 4, so the word that holds the last byte lies
        // inside its slot.
        let word = unsafe { start.cast::<MetaWord>().add(index) };
        // SAFETY: mapped and aligned, as above; the load is atomic, so it may race with another process.
        unsafe { word.as_ref() }.load(Relaxed).to_le_bytes()
    };
    let (whole, rest) = into.as_chunks_mut::<4>();
    let words = whole.len();
    for (index, bytes) in whole.iter_mut().enumerate() {
        *bytes = load(index);
    }
    if !rest.is_empty() {
        let last = load(words);
        let some = rest.len();
        rest.copy_from_slice(&last[..some]);
    }
}

/// Checks the bytes of a header. `object_len` is what the system says of the object's length.
///
/// # Errors
/// [`AttachError`]; no input makes this panic.
pub fn parse_header(
    bytes: &[u8; size_of::<Header>()],
    object_len: u64,
) -> Result<(Shape, Header), AttachError> {
    let Ok(header) = Header::read_from_bytes(bytes) else { return Err(AttachError::Foreign) };
    if header.magic != MAGIC {
        return Err(AttachError::Foreign);
    }
    if header.layout >> 16 != LAYOUT >> 16 {
        return Err(AttachError::Version { found: header.layout, supported: LAYOUT });
    }
    if header.crc != crc32(&bytes[..size_of::<Header>() - 4]) {
        return Err(AttachError::Checksum { what: "header" });
    }
    let Some(shape) = Shape::from_header(&header) else {
        return Err(AttachError::Corrupt { what: "geometry" });
    };
    let needed = shape.data_len;
    if needed > object_len {
        return Err(AttachError::TooShort { needed, found: object_len });
    }
    Ok((shape, header))
}

/// Checks the bytes of an info record.
fn parse_info(bytes: &[u8; size_of::<Info>()]) -> Result<LaneInfo, AttachError> {
    match Info::read_from_bytes(bytes) {
        Ok(info) if info.crc == crc32(&bytes[..size_of::<Info>() - 4]) => Ok(LaneInfo::from_bytes(&info)),
        _ => Err(AttachError::Checksum { what: "info record" }),
    }
}

/// What the producer says of its lane.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum LaneState {
    /// Not complete yet.
    Init = 0,
    /// Frames come.
    Live = 1,
    /// The producer ended the stream for good.
    Closed = 2,
    /// Another object under the same name took its place.
    Superseded = 3,
}

impl LaneState {
    const fn from_bits(bits: u32) -> Option<Self> {
        Some(match bits {
            0 => Self::Init,
            1 => Self::Live,
            2 => Self::Closed,
            3 => Self::Superseded,
            _ => return None,
        })
    }
}

/// All seats of a lane, as its producer sees them.
#[derive(Clone, Copy, Debug)]
pub struct Seats<'a>(Table<'a, Seat>);

impl<'a> Seats<'a> {
    /// Writes empty seats for `shape` at the start of `memory`.
    ///
    /// # Errors
    /// [`CreateError`] if the memory is too small or misaligned.
    #[cfg(not(loom))]
    pub fn create(memory: Memory<'a>, shape: &Shape, incarnation: [u32; 4]) -> Result<Self, CreateError> {
        memory.check(shape.seats_len())?;
        for index in 0..shape.seats {
            let stride = index as usize * shape.seat_stride as usize;
            write_seat(&memory, stride, shape, index, incarnation);
        }
        Ok(Self::reach(&memory, shape))
    }

    /// Writes the empty seat `index` into memory of one `seat_stride` that holds this seat alone.
    ///
    /// # Errors
    /// [`CreateError`] if the memory is too small or misaligned.
    #[cfg(not(loom))]
    pub fn create_one(
        memory: Memory<'_>,
        shape: &Shape,
        index: u32,
        incarnation: [u32; 4],
    ) -> Result<(), CreateError> {
        memory.check(shape.seat_stride.into())?;
        write_seat(&memory, 0, shape, index, incarnation);
        Ok(())
    }

    /// Reaches seats that lie `seat_stride` apart and are written one by one, when somebody comes to sit there.
    ///
    /// # Errors
    /// [`CreateError`] if the memory is too small or misaligned.
    #[cfg(not(loom))]
    pub fn reserve(memory: Memory<'a>, shape: &Shape) -> Result<Self, CreateError> {
        memory.check(shape.seats_len())?;
        Ok(Self::reach(&memory, shape))
    }

    /// Makes the seats of an existing lane reachable.
    ///
    /// # Errors
    /// [`AttachError`] if the memory is too small, or the seats belong to another incarnation.
    #[cfg(not(loom))]
    pub fn attach(memory: &Memory<'a>, region: &Region<'_>) -> Result<Self, AttachError> {
        let shape = region.shape();
        memory.check_found(shape.seats_len())?;
        let seats = Self::reach(memory, shape);
        for index in 0..shape.seats {
            seats.identified(index, region)?;
        }
        Ok(seats)
    }

    /// Reaches seat `index` in memory of one `seat_stride` that holds this seat alone.
    ///
    /// # Errors
    /// [`AttachError`] if it is not that seat of this region's incarnation.
    #[cfg(not(loom))]
    pub fn attach_one(memory: &Memory<'a>, region: &Region<'_>, index: u32) -> Result<&'a Seat, AttachError> {
        let shape = region.shape();
        memory.check_found(shape.seat_stride.into())?;
        // SAFETY: places lie inside the stride (`Shape::checked`), whose length was just checked.
        let base = unsafe { memory.base.add(shape.seat_offset(index) as usize) };
        let one = Table { base, stride: SEAT_LEN, place_mask: 0, len: 1, lifetime: PhantomData };
        one.get(0).filter(|seat| belongs(seat, region, index)).ok_or(AttachError::OtherIncarnation)
    }

    fn identified(&self, index: u32, region: &Region<'_>) -> Result<&'a Seat, AttachError> {
        let seat = self.0.get(index as usize);
        seat.filter(|seat| belongs(seat, region, index)).ok_or(AttachError::OtherIncarnation)
    }

    #[cfg(not(loom))]
    fn reach(memory: &Memory<'a>, shape: &Shape) -> Self {
        let (stride, len) = (shape.seat_stride as usize, shape.seats as usize);
        let place_mask = shape.seat_places as usize - 1;
        Self(Table { base: memory.base, stride, place_mask, len, lifetime: PhantomData })
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &'a Seat> + use<'a> {
        self.0.iter()
    }

    /// Clears the seats of consumers that are gone and returns how many there were.
    ///
    /// `is_alive` is asked for each seat that shows a trace of use.
    ///
    /// **Crash safety:** can be killed at any instruction and be repeated.
    ///
    /// # Safety
    /// 1. `is_alive` answers `false` only while the caller holds the proof that nobody acts in that seat or reads a frame
    ///    pinned there (a lock that only a living consumer holds), and the caller keeps it until this returns. A cleared
    ///    pin protects nothing any more: the producer writes where a living reader has a `&[u8]`.
    /// 2. The seats are writable, and those of a lane of frames: a stream keeps its reader's position there.
    ///
    /// ```compile_fail,E0133
    /// fn give_up_waiting(producer: &camlane_core::Producer<'_>) -> u32 {
    ///     producer.seats().reclaim(|_| false) // a time-out is no proof
    /// }
    /// ```
    pub unsafe fn reclaim(&self, is_alive: impl FnMut(u32) -> bool) -> u32 {
        self.clear_the_dead(is_alive)
    }

    #[cfg(loom)]
    pub(crate) fn for_model(seats: &'a [Seat]) -> Self {
        Self(Table::from_slice(seats))
    }
}

#[cfg(not(loom))]
fn write_seat(memory: &Memory<'_>, stride: usize, shape: &Shape, index: u32, incarnation: [u32; 4]) {
    let words = memory.words(stride + shape.seat_offset(index) as usize, SEAT_LEN);
    words.iter().for_each(|word| word.store(0, Relaxed));
    let [a, b, c, d] = incarnation;
    let identity = [SEAT_MAGIC, LAYOUT, index, shape.pins, a, b, c, d];
    words.iter().zip(identity).for_each(|(word, value)| word.store(value, Relaxed));
}

fn belongs(seat: &Seat, region: &Region<'_>, index: u32) -> bool {
    let incarnation = seat.incarnation.each_ref().map(|word| word.load(Relaxed));
    seat.magic.load(Relaxed) == SEAT_MAGIC
        && seat.layout.load(Relaxed) >> 16 == LAYOUT >> 16
        && seat.index.load(Relaxed) == index
        && index < region.shape.seats // the producer looks no further: a pin there would protect nothing
        && incarnation == region.incarnation
}

/// Bytes that a device may fill by itself while the program only holds the value that owns them: a camera's driver, a DMA
/// engine. A driver takes the value when it is told to fill the bytes, and gives it back when they are filled.
///
/// # Safety
/// 1. The bytes behind `DerefMut` are the same ones, at the same address, wherever the value is moved, until it is dropped;
///    if it is forgotten, they stay for as long as the type's lifetimes say.
/// 2. Nobody else writes them meanwhile, nor reads them believing that they keep still.
/// 3. [`handle`](Self::handle) names the same bytes.
pub unsafe trait DmaTarget: core::ops::DerefMut<Target = [u8]> {
    /// The system's own handle of the buffer that begins at byte `offset` and goes to the next such buffer, or the end:
    /// on Linux the number of a dma-buf's descriptor, open while the value lives. `None`: there is none.
    fn handle(&self, offset: usize) -> Option<i32> {
        let _ = offset;
        None
    }
}

// SAFETY: 1. a slot lies in the region, which outlives the loan's lifetime; 2. its `Writing` is the only witness, consumers
// pin no slot in that state, and observers check after they copied; 3. it names none.
unsafe impl DmaTarget for Loan<'_> {}

/// The right to be a region's one producer.
#[derive(Debug)]
#[must_use = "pass it to `Producer::new`"]
pub struct ProducerRole<'a> {
    pub(crate) region: Region<'a>,
    pub(crate) seats: Seats<'a>,
}

/// The right to be the one consumer in a seat.
#[derive(Debug)]
#[must_use = "pass it to `Consumer::new`"]
pub struct SeatRole<'a> {
    pub(crate) region: Region<'a>,
    pub(crate) seat: &'a Seat,
}

/// A whole lane in one slice: its producer's role, and a role for each seat.
///
/// Nobody else touches the slice meanwhile:
/// ```compile_fail,E0506
/// use camlane_core::{Lane, LaneSpec};
/// fn scribble(bytes: &mut [u8], spec: &LaneSpec<'_>) {
///     let lane = Lane::create_in(bytes, spec).unwrap();
///     bytes[0] = 1;
///     drop(lane);
/// }
/// ```
#[derive(Debug)]
pub struct Lane<'a> {
    /// The region, for what anybody may ask.
    pub region: Region<'a>,
    /// The producer's role.
    pub producer: ProducerRole<'a>,
    /// One role per seat.
    pub seats: SeatRoles<'a>,
}

/// The seats' roles, each handed out once.
#[derive(Debug)]
pub struct SeatRoles<'a> {
    region: Region<'a>,
    rest: Seats<'a>,
    next: usize,
}

impl<'a> Iterator for SeatRoles<'a> {
    type Item = SeatRole<'a>;

    fn next(&mut self) -> Option<SeatRole<'a>> {
        let seat = self.rest.0.get(self.next)?;
        self.next += 1;
        Some(SeatRole { region: self.region, seat })
    }
}

impl<'a> Lane<'a> {
    /// Makes a lane in bytes that this program alone can reach: a unit test, an example, one firmware image.
    ///
    /// # Errors
    /// [`CreateError`] if the bytes are too few or not 4-byte aligned, or the shape keeps its seats elsewhere.
    #[cfg(not(loom))]
    pub fn create_in(bytes: &'a mut [u8], spec: &LaneSpec<'_>) -> Result<Self, CreateError> {
        let memory = Memory::from_mut(bytes);
        let Some(seats_off) = spec.shape.seats_offset() else { return Err(CreateError::SeatsElsewhere) };
        memory.check(spec.shape.footprint())?;
        // SAFETY: `check` compared the whole footprint, whose end is that of the seats, with the length.
        let base = unsafe { memory.base.add(seats_off as usize) };
        // SAFETY: the tail of the same exclusive bytes, which the lane alone uses for 'a.
        let tail = unsafe { Memory::from_raw(base, memory.len - seats_off as usize) };
        let seats = Seats::create(tail, &spec.shape, spec.incarnation)?;
        let region = Region::create(memory, spec)?;
        Ok(Self {
            region,
            producer: ProducerRole { region, seats },
            seats: SeatRoles { region, rest: seats, next: 0 },
        })
    }
}

//! Geometry: how many slots of which size, and from that every offset, before a byte is allocated.

use core::fmt;

use crate::layout::{
    DESCRIPTOR_LEN, FLAG_ALWAYS_WAKE, FLAG_IN_PLACE, FLAG_STREAM, FLAGS_KNOWN, HEADER_LEN, Header, MAX_PINS,
    SEAT_LEN,
};

/// Most slots of a lane: a pin has 16 bits for the slot's index plus one.
pub const MAX_SLOTS: u32 = 65_534;
/// Most seats of a lane.
pub const MAX_SEATS: u32 = 4_096;
/// Places in their pages that seats take in turn; a power of two.
const SEAT_PLACES: u32 = 16;
/// The alignment of everything in a lane that lives in one slice: a cache line.
pub const LINE: u32 = 64;

/// The choices from which a lane's shape follows.
///
/// ```
/// use camlane_core::Geometry;
/// let shape = Geometry::new(1280 * 720 * 2).seats(8).pins(1).history(2).shape()?;
/// assert_eq!(shape.slots(), 8 * 1 + 2 + 1); // one loan of the producer's can always succeed
/// assert_eq!(shape.footprint(), shape.data_len() + shape.seats_len());
/// # Ok::<(), camlane_core::GeometryError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use = "a geometry is a description: call `shape` to check it"]
pub struct Geometry {
    slot_size: u32,
    slots: u32,
    history: u32,
    loans: u32,
    seats: u32,
    pins: u32,
    user_bytes: u32,
    page: u32,
    slot_align: u32,
    flags: u32,
}

impl Geometry {
    /// Frames of at most `slot_size` bytes; 4 seats with 2 pins each, a history of 2, one loan at a time, all in one
    /// slice with cache-line alignment.
    pub const fn new(slot_size: u32) -> Self {
        Self {
            slot_size,
            slots: 0,
            history: 2,
            loans: 1,
            seats: 4,
            pins: 2,
            user_bytes: 0,
            page: LINE,
            slot_align: 0,
            flags: 0,
        }
    }

    /// A byte stream with room for `capacity` bytes, a power of two up to 2^31; one writer, one reader.
    pub const fn stream(capacity: u32) -> Self {
        let mut this = Self::new(capacity);
        this.flags = FLAG_STREAM;
        this.seats = 1;
        this.pins = 1;
        this
    }

    /// Consumers that can be attached at once, 1 to [`MAX_SEATS`].
    pub const fn seats(mut self, seats: u32) -> Self {
        self.seats = seats;
        self
    }

    /// Frames that each consumer can hold at once, 1 to 8.
    pub const fn pins(mut self, pins: u32) -> Self {
        self.pins = pins;
        self
    }

    /// Newest frames that stay readable, so how far a reader of every frame may fall behind without a loss.
    pub const fn history(mut self, history: u32) -> Self {
        self.history = history;
        self
    }

    /// Loans that the producer can have out at once: buffers queued to a DMA engine.
    pub const fn loans(mut self, loans: u32) -> Self {
        self.loans = loans;
        self
    }

    /// Fixes the number of slots instead of deriving it. Below `seats * pins + history + loans`, a loan can fail while
    /// consumers hold all they may; the frame is then dropped and counted.
    pub const fn slots(mut self, slots: u32) -> Self {
        self.slots = slots;
        self
    }

    /// Bytes per frame for the user's own metadata, rounded up to a cache line.
    pub const fn user_bytes(mut self, bytes: u32) -> Self {
        self.user_bytes = bytes;
        self
    }

    /// Gives every seat and the payload pages of their own, for memory that is mapped: `page` is the system's page size.
    pub const fn paged(mut self, page: u32) -> Self {
        self.page = page;
        self
    }

    /// Aligns each slot to `bytes` (a power of two, at least the page): 2 MiB lets huge pages back a slot.
    pub const fn slot_align(mut self, bytes: u32) -> Self {
        self.slot_align = bytes;
        self
    }

    /// Makes the producer wake sleepers at every publish, for observers, who cannot say that they sleep.
    pub const fn always_wake(mut self) -> Self {
        self.flags |= FLAG_ALWAYS_WAKE;
        self
    }

    /// Marks memory that is never replaced: a new producer takes the lane over in place.
    pub const fn in_place(mut self) -> Self {
        self.flags |= FLAG_IN_PLACE;
        self
    }

    /// Checks the choices and computes every size and offset.
    ///
    /// # Errors
    /// The first choice that is out of its range, with the range.
    pub const fn shape(self) -> Result<Shape, GeometryError> {
        macro_rules! range {
            ($what:literal, $value:expr, $low:expr, $high:expr) => {
                if $value < $low || $value > $high {
                    return Err(GeometryError::OutOfRange {
                        what: $what,
                        value: $value,
                        low: $low,
                        high: $high,
                    });
                }
            };
        }
        let stream = self.flags & FLAG_STREAM != 0;
        range!("slot_size", self.slot_size, 1, if stream { 1 << 31 } else { u32::MAX - LINE });
        range!("seats", self.seats, 1, if stream { 1 } else { MAX_SEATS });
        range!("pins", self.pins, 1, MAX_PINS as u32);
        range!("history", self.history, 1, MAX_SLOTS);
        range!("loans", self.loans, 1, MAX_SLOTS);
        if self.user_bytes > 1 << 20 {
            let (what, value) = ("user_bytes", self.user_bytes);
            return Err(GeometryError::OutOfRange { what, value, low: 0, high: 1 << 20 });
        }
        if stream && !self.slot_size.is_power_of_two() {
            return Err(GeometryError::NotAPowerOfTwo { what: "stream capacity", value: self.slot_size });
        }
        if !self.page.is_power_of_two() || self.page < LINE || self.page > 1 << 20 {
            return Err(GeometryError::NotAPowerOfTwo { what: "page", value: self.page });
        }
        let slot_align = if self.slot_align > self.page { self.slot_align } else { self.page };
        if !slot_align.is_power_of_two() {
            return Err(GeometryError::NotAPowerOfTwo { what: "slot_align", value: slot_align });
        }
        let sure = self.seats * self.pins + self.history + self.loans;
        let slots = if stream {
            0
        } else if self.slots == 0 {
            sure
        } else {
            self.slots
        };
        if !stream {
            range!("slots", slots, self.history + self.loans, MAX_SLOTS);
        }
        let ring_len = if stream { 0 } else { slots.next_power_of_two() };
        let desc_stride = DESCRIPTOR_LEN as u64 + align_up(self.user_bytes as u64, LINE as u64);
        let ring_off = HEADER_LEN as u64;
        let desc_off = align_up(ring_off + 4 * ring_len as u64, LINE as u64);
        let payload_off = align_up(desc_off + slots as u64 * desc_stride, slot_align as u64);
        let slot_stride = align_up(self.slot_size as u64, slot_align as u64);
        if slot_stride > u32::MAX as u64 || desc_off > u32::MAX as u64 {
            return Err(GeometryError::TooLarge);
        }
        let payloads = if stream { 1 } else { slots as u64 };
        let data_len = payload_off + payloads * slot_stride;
        let apart = self.page > LINE;
        let seat_stride = if apart { align_up(SEAT_LEN as u64, self.page as u64) } else { SEAT_LEN as u64 };
        let seats_len = seat_stride * self.seats as u64;
        if data_len.saturating_add(seats_len) > isize::MAX as u64 {
            return Err(GeometryError::TooLarge);
        }
        Ok(Shape {
            slots,
            ring_len,
            history: self.history,
            loans: self.loans,
            seats: self.seats,
            pins: self.pins,
            slot_size: self.slot_size,
            slot_stride: slot_stride as u32,
            ring_off: ring_off as u32,
            desc_off: desc_off as u32,
            desc_stride: desc_stride as u32,
            page: self.page,
            payload_off,
            seats_off: if apart { 0 } else { data_len },
            seat_stride: seat_stride as u32,
            seat_places: if self.page >= SEAT_PLACES * SEAT_LEN as u32 { SEAT_PLACES } else { 1 },
            flags: self.flags,
            data_len,
        })
    }
}

/// A lane's shape, checked: every offset lies in order inside the lengths, so nothing after this can fail on shape.
///
/// # Invariants
/// Fields satisfy `Shape::checked`; made only by [`Geometry::shape`] and `Shape::from_header`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Shape {
    pub(crate) slots: u32,
    pub(crate) ring_len: u32,
    pub(crate) history: u32,
    pub(crate) loans: u32,
    pub(crate) seats: u32,
    pub(crate) pins: u32,
    pub(crate) slot_size: u32,
    pub(crate) slot_stride: u32,
    pub(crate) ring_off: u32,
    pub(crate) desc_off: u32,
    pub(crate) desc_stride: u32,
    pub(crate) page: u32,
    pub(crate) payload_off: u64,
    pub(crate) seats_off: u64,
    pub(crate) seat_stride: u32,
    pub(crate) seat_places: u32,
    pub(crate) flags: u32,
    pub(crate) data_len: u64,
}

impl Shape {
    /// Slots of the lane; 0 for a byte stream.
    pub const fn slots(&self) -> u32 {
        self.slots
    }
    /// Newest frames that stay readable.
    pub const fn history(&self) -> u32 {
        self.history
    }
    /// Loans that the producer can have out at once.
    pub const fn loans(&self) -> u32 {
        self.loans
    }
    /// Consumers that can be attached at once.
    pub const fn seats(&self) -> u32 {
        self.seats
    }
    /// Frames that each consumer can hold at once.
    pub const fn pins(&self) -> u32 {
        self.pins
    }
    /// Bytes of the largest frame; the capacity of a byte stream.
    pub const fn slot_size(&self) -> u32 {
        self.slot_size
    }
    /// Bytes from one payload to the next.
    pub const fn slot_stride(&self) -> u32 {
        self.slot_stride
    }
    /// Bytes per frame for the user's own metadata.
    pub const fn user_bytes(&self) -> u32 {
        self.desc_stride - DESCRIPTOR_LEN as u32
    }
    /// Bytes from the start of DATA to the first payload.
    pub const fn payload_offset(&self) -> u64 {
        self.payload_off
    }
    /// Length of DATA in bytes.
    pub const fn data_len(&self) -> u64 {
        self.data_len
    }
    /// Bytes from one seat to the next.
    pub const fn seat_stride(&self) -> u32 {
        self.seat_stride
    }
    /// Bytes from the start of a seat's stride to its row. Seats in pages would otherwise all fall into the same few sets
    /// of the producer's cache, which reads one line of each at every publish.
    pub const fn seat_offset(&self, index: u32) -> u32 {
        index % self.seat_places * SEAT_LEN as u32
    }
    /// Length of all seats in bytes.
    pub const fn seats_len(&self) -> u64 {
        self.seat_stride as u64 * self.seats as u64
    }
    /// Where the seats begin if they lie behind DATA in one slice; `None` if they are an object of their own.
    pub const fn seats_offset(&self) -> Option<u64> {
        if self.seats_off == 0 { None } else { Some(self.seats_off) }
    }
    /// All memory that the lane takes, in bytes.
    pub const fn footprint(&self) -> u64 {
        // A header may leave room between DATA and the seats that follow in the same slice.
        let before = if self.seats_off == 0 { self.data_len } else { self.seats_off };
        before + self.seats_len()
    }
    /// Tells whether the producer wakes sleepers at every publish.
    pub const fn always_wake(&self) -> bool {
        self.flags & FLAG_ALWAYS_WAKE != 0
    }
    /// Tells whether a new producer takes the lane over in place.
    pub const fn in_place(&self) -> bool {
        self.flags & FLAG_IN_PLACE != 0
    }
    /// Tells whether the region carries a byte stream instead of frames.
    pub const fn is_stream(&self) -> bool {
        self.flags & FLAG_STREAM != 0
    }
    /// Tells whether a loan can always succeed while no more than `loans` are out.
    pub const fn never_starves(&self) -> bool {
        self.slots >= self.seats * self.pins + self.history + self.loans
    }

    /// Takes the shape that a header states, if it is one that this code could have made or a later minor version may.
    pub(crate) fn from_header(header: &Header) -> Option<Self> {
        let shape = Self {
            slots: header.slots,
            ring_len: header.ring_len,
            history: header.history,
            loans: header.loans,
            seats: header.seats,
            pins: header.pins,
            slot_size: header.slot_size,
            slot_stride: header.slot_stride,
            ring_off: header.ring_off,
            desc_off: header.desc_off,
            desc_stride: header.desc_stride,
            page: header.page,
            payload_off: header.payload_off.into(),
            seats_off: header.seats_off.into(),
            seat_stride: header.seat_stride,
            seat_places: header.seat_places.max(1),
            flags: header.flags & FLAGS_KNOWN,
            data_len: header.total_len.into(),
        };
        shape.checked(header.header_len).then_some(shape)
    }

    fn checked(&self, header_len: u32) -> bool {
        let stream = self.is_stream();
        let counts = if stream {
            self.slots == 0 && self.ring_len == 0 && self.seats == 1 && self.slot_size <= 1 << 31
        } else {
            (1..=MAX_SLOTS).contains(&self.slots)
                && self.ring_len >= self.slots
                && self.ring_len <= 65_536
                && self.ring_len.is_power_of_two()
                && self.history.checked_add(self.loans).is_some_and(|busy| busy <= self.slots)
        };
        let sizes = (1..=MAX_SLOTS).contains(&self.history)
            && (1..=MAX_SLOTS).contains(&self.loans)
            && (1..=MAX_SEATS).contains(&self.seats)
            && (1..=MAX_PINS as u32).contains(&self.pins)
            && self.slot_size >= 1
            && self.slot_stride >= self.slot_size
            && self.slot_stride.is_multiple_of(4)
            && (!stream || self.slot_size.is_power_of_two())
            && self.seat_stride as usize >= SEAT_LEN
            && self.seat_stride.is_multiple_of(4)
            && self.seat_places.is_power_of_two()
            && u64::from(self.seat_places) * SEAT_LEN as u64 <= u64::from(self.seat_stride)
            && self.desc_stride as usize >= DESCRIPTOR_LEN
            && self.desc_stride.is_multiple_of(4)
            && self.page.is_power_of_two();
        let payloads = if stream { 1 } else { u64::from(self.slots) };
        let ring_end = u64::from(self.ring_off) + 4 * u64::from(self.ring_len);
        let desc_end = u64::from(self.desc_off) + u64::from(self.slots) * u64::from(self.desc_stride);
        let payload_end = self.payload_off.checked_add(payloads * u64::from(self.slot_stride));
        let order = header_len as usize >= HEADER_LEN
            && self.ring_off >= header_len
            && self.ring_off.is_multiple_of(4)
            && u64::from(self.desc_off) >= ring_end
            && self.desc_off.is_multiple_of(4)
            && self.payload_off >= desc_end
            && self.payload_off.is_multiple_of(4)
            && payload_end.is_some_and(|end| end <= self.data_len)
            && (self.seats_off == 0 || self.seats_off >= self.data_len && self.seats_off.is_multiple_of(4))
            && self.seats_off.checked_add(self.seats_len()).is_some_and(|end| end <= isize::MAX as u64)
            && self.data_len <= isize::MAX as u64;
        counts && sizes && order
    }
}

const fn align_up(value: u64, to: u64) -> u64 {
    value.div_ceil(to) * to
}

/// A choice of geometry that cannot be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum GeometryError {
    /// A number lies outside its range.
    OutOfRange {
        /// Which number.
        what: &'static str,
        /// What it was.
        value: u32,
        /// The least that works.
        low: u32,
        /// The most that works.
        high: u32,
    },
    /// A number must be a power of two (a page: 64 bytes to 1 MiB).
    NotAPowerOfTwo {
        /// Which number.
        what: &'static str,
        /// What it was.
        value: u32,
    },
    /// The lane would not fit the address space, or a slot 4 GiB.
    TooLarge,
}

impl fmt::Display for GeometryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfRange { what, value, low, high } => {
                write!(f, "{what} is {value}, it must be between {low} and {high}")
            }
            Self::NotAPowerOfTwo { what, value } => {
                write!(f, "{what} is {value}, it must be a power of two (a page: 64 to 1048576)")
            }
            Self::TooLarge => {
                f.write_str("the lane would be larger than the address space, or a slot than 4 GiB")
            }
        }
    }
}

impl core::error::Error for GeometryError {}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::one_of_everything(Geometry::new(96 * 96).seats(1).pins(1).history(1), 3, 29_248)]
    #[case::vga_yuyv(Geometry::new(640 * 480 * 2).seats(4).pins(2).history(2), 11, 6_762_624)]
    fn the_footprint_in_one_slice_is_known_beforehand(
        #[case] geometry: Geometry,
        #[case] slots: u32,
        #[case] footprint: u64,
    ) {
        let shape = geometry.shape().unwrap();
        assert_eq!((shape.slots(), shape.footprint()), (slots, footprint));
        assert!(shape.never_starves());
    }

    #[test]
    fn pages_keep_each_seat_and_each_slot_apart() {
        let shape = Geometry::new(1280 * 720 * 2).seats(8).pins(1).paged(4096).shape().unwrap();
        assert_eq!(shape.payload_offset() % 4096, 0);
        assert_eq!(shape.slot_stride(), 1_843_200);
        assert_eq!((shape.seat_stride(), shape.seats_offset()), (4096, None));
        let small = Geometry::new(1).seats(2).paged(128).shape().unwrap();
        assert_eq!(small.seat_stride(), 256, "a seat takes whole pages");
    }

    #[rstest]
    #[case::no_seat(Geometry::new(1).seats(0))]
    #[case::too_many_pins(Geometry::new(1).pins(9))]
    #[case::no_history(Geometry::new(1).history(0))]
    #[case::empty_slots(Geometry::new(0))]
    #[case::too_many_slots(Geometry::new(1).seats(4096).pins(8).history(60_000))]
    #[case::too_few_slots(Geometry::new(1).slots(2))]
    #[case::odd_page(Geometry::new(1).paged(4095))]
    #[case::odd_stream(Geometry::stream(1000))]
    #[case::a_stream_for_two(Geometry::stream(1024).seats(2))]
    #[case::four_gigabytes(Geometry::new(u32::MAX - 64).paged(4096))]
    fn what_cannot_be_is_refused(#[case] geometry: Geometry) {
        assert!(geometry.shape().is_err());
    }
}

//! The bytes: every structure that lies in shared memory, and nothing else. FORMAT.md says the same for other languages.
//!
//! ```text
//! DATA  | Header 128 | Live 128 | Info 320 | ring R x 4 | N x (Descriptor 256 + user bytes) | pad | N payloads |
//! SEAT  | identity 32, sleeping, bell .. 128 | cells, cursor, pid .. 192 |
//! ```
//! Little-endian; fixed-width integers only. Deriving zerocopy's `IntoBytes` is the proof that no structure hides
//! padding (made wherever zerocopy knows the atomics: not on targets without compare-and-swap); the assertions below pin
//! every offset.

use core::mem::{offset_of, size_of};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::sync::{MetaWord, Word};

/// The first eight bytes of DATA.
pub const MAGIC: [u8; 8] = *b"camlane\0";
/// The first four bytes of a seat, `"seat"`.
pub const SEAT_MAGIC: u32 = u32::from_le_bytes(*b"seat");
/// Layout version: major in the high half, minor in the low. Another major is refused, a higher minor is read.
pub const LAYOUT: u32 = 1 << 16;
/// Bytes from the start of DATA to the ring.
pub const HEADER_LEN: usize = size_of::<Header>() + size_of::<Live>() + size_of::<Info>();
/// Cells in every seat row; a lane uses the first K of them.
pub const MAX_PINS: usize = 8;
/// Bytes of a lane's name or a frame id, at most.
pub const NAME_LEN: usize = 64;
/// Bytes of a seat row.
pub const SEAT_LEN: usize = 192;
/// Bytes of a descriptor before the user bytes.
pub const DESCRIPTOR_LEN: usize = 256;

/// A 64-bit value in an immutable structure: two halves, low first, so that 4-byte alignment is enough everywhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Wide {
    /// Low 32 bits.
    pub lo: u32,
    /// High 32 bits.
    pub hi: u32,
}

impl From<u64> for Wide {
    fn from(value: u64) -> Self {
        Self { lo: value as u32, hi: (value >> 32) as u32 }
    }
}

impl From<Wide> for u64 {
    fn from(value: Wide) -> Self {
        u64::from(value.hi) << 32 | u64::from(value.lo)
    }
}

/// The lane's shape. Immutable from the moment that `state` leaves INIT.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
#[allow(missing_docs, reason = "FORMAT.md section 2 describes the fields, in this order")]
pub struct Header {
    pub magic: [u8; 8],
    pub layout: u32,
    pub header_len: u32,
    pub incarnation: [u32; 4],
    pub total_len: Wide,
    pub slots: u32,
    pub ring_len: u32,
    pub history: u32,
    pub loans: u32,
    pub seats: u32,
    pub pins: u32,
    pub slot_size: u32,
    pub slot_stride: u32,
    pub ring_off: u32,
    pub desc_off: u32,
    pub desc_stride: u32,
    pub page: u32,
    pub payload_off: Wide,
    pub seats_off: Wide,
    pub seat_stride: u32,
    pub flags: u32,
    pub created_ns: Wide,
    pub seat_places: u32,
    pub crc: u32,
}

/// The words that move: written by the producer alone, two cache lines of their own.
#[derive(Debug, Default)]
#[cfg_attr(all(not(loom), target_has_atomic = "32"), derive(FromBytes, IntoBytes, KnownLayout))]
#[repr(C)]
#[allow(missing_docs, reason = "FORMAT.md section 3 describes the words, in this order")]
pub struct Live {
    pub(crate) latest: Word,
    pub(crate) bell: Word,
    pub(crate) state: Word,
    pub(crate) dropped: Word,
    pub(crate) writer_sleeping: Word,
    pub(crate) latest_slot: Word,
    pub(crate) pause: MetaWord,
    pub(crate) paused_at: MetaWord,
    pub(crate) _reserved: [MetaWord; 24],
}

/// What a person or a viewer wants to know before the first frame. Immutable like the header.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
#[allow(missing_docs, reason = "FORMAT.md section 4 describes the fields, in this order")]
pub struct Info {
    pub name: [u8; NAME_LEN],
    pub frame_id: [u8; NAME_LEN],
    pub calibration: [u8; NAME_LEN],
    pub format: u32,
    pub width: u32,
    pub height: u32,
    pub rate_numerator: u32,
    pub rate_denominator: u32,
    pub creator_pid: u32,
    pub creator_started: Wide,
    pub boot_id: [u8; 16],
    pub boottime_minus_monotonic: Wide,
    pub realtime_minus_monotonic: Wide,
    pub tai_minus_realtime: Wide,
    pub clocks_sampled_at: Wide,
    pub _reserved: [u32; 11],
    pub crc: u32,
}

/// One slot's words: protocol first, then what the frame says about itself, then the details few readers ask for.
#[derive(Debug, Default)]
#[cfg_attr(all(not(loom), target_has_atomic = "32"), derive(FromBytes, IntoBytes, KnownLayout))]
#[repr(C)]
#[allow(missing_docs, reason = "FORMAT.md section 6 describes the words, in this order")]
pub struct Descriptor {
    pub(crate) word: Word,
    pub(crate) number: [Word; 2],
    pub(crate) len: MetaWord,
    pub(crate) capture_ns: [MetaWord; 2],
    pub(crate) publish_ns: [MetaWord; 2],
    pub(crate) source_sequence: MetaWord,
    pub(crate) drops_before: MetaWord,
    pub(crate) flags: MetaWord,
    pub(crate) format: MetaWord,
    pub(crate) width: MetaWord,
    pub(crate) height: MetaWord,
    pub(crate) kinds: MetaWord,
    pub(crate) user_len: MetaWord,
    pub(crate) planes: [[MetaWord; 4]; 4],
    pub(crate) details: [MetaWord; 32],
}

/// One consumer's row. The first two cache lines are read at every publish, the third only when a scan is due, so a
/// reader that polls and pins costs the producer no cache miss per frame.
#[derive(Debug, Default)]
#[cfg_attr(all(not(loom), target_has_atomic = "32"), derive(FromBytes, IntoBytes, KnownLayout))]
#[repr(C)]
#[allow(missing_docs, reason = "FORMAT.md section 7 describes the words, in this order")]
pub struct Seat {
    pub(crate) magic: MetaWord,
    pub(crate) layout: MetaWord,
    pub(crate) index: MetaWord,
    pub(crate) pins: MetaWord,
    pub(crate) incarnation: [MetaWord; 4],
    pub(crate) sleeping: Word,
    pub(crate) bell: Word,
    pub(crate) _reserved: [MetaWord; 22],
    pub(crate) cells: [Word; MAX_PINS],
    pub(crate) cursor: MetaWord,
    pub(crate) pid: MetaWord,
    pub(crate) _reserved2: [MetaWord; 6],
}

/// `Header::flags`: wake at every publish, whoever sleeps (a lane for observers, who cannot say that they sleep).
pub const FLAG_ALWAYS_WAKE: u32 = 1;
/// `Header::flags`: the lane lives in memory that is never replaced; a new producer takes over in place.
pub const FLAG_IN_PLACE: u32 = 2;
/// `Header::flags`: a byte stream instead of frames.
pub const FLAG_STREAM: u32 = 4;
/// All flags that this layout knows.
pub const FLAGS_KNOWN: u32 = FLAG_ALWAYS_WAKE | FLAG_IN_PLACE | FLAG_STREAM;

const _: () = {
    assert!(size_of::<Header>() == 128 && size_of::<Info>() == 320);
    assert!(offset_of!(Header, incarnation) == 0x10 && offset_of!(Header, total_len) == 0x20);
    assert!(offset_of!(Header, slots) == 0x28 && offset_of!(Header, history) == 0x30);
    assert!(offset_of!(Header, seats) == 0x38 && offset_of!(Header, slot_size) == 0x40);
    assert!(offset_of!(Header, ring_off) == 0x48 && offset_of!(Header, payload_off) == 0x58);
    assert!(offset_of!(Header, seats_off) == 0x60 && offset_of!(Header, seat_stride) == 0x68);
    assert!(offset_of!(Header, created_ns) == 0x70 && offset_of!(Header, seat_places) == 0x78);
    assert!(offset_of!(Header, crc) == 0x7c);
    assert!(offset_of!(Info, format) == 0xc0 && offset_of!(Info, boot_id) == 0xe0);
    assert!(offset_of!(Info, boottime_minus_monotonic) == 0xf0 && offset_of!(Info, crc) == 0x13c);
};
// Loom's words are larger than 32 bits.
#[cfg(not(loom))]
const _: () = {
    assert!(HEADER_LEN == 0x240);
    assert!(size_of::<Live>() == 128 && align_of::<Live>() == 4);
    assert!(offset_of!(Live, latest) == 0x00 && offset_of!(Live, bell) == 0x04);
    assert!(offset_of!(Live, state) == 0x08 && offset_of!(Live, dropped) == 0x0c);
    assert!(offset_of!(Live, writer_sleeping) == 0x10 && offset_of!(Live, latest_slot) == 0x14);
    assert!(offset_of!(Live, pause) == 0x18 && offset_of!(Live, paused_at) == 0x1c);
    assert!(size_of::<Descriptor>() == DESCRIPTOR_LEN && align_of::<Descriptor>() == 4);
    assert!(offset_of!(Descriptor, number) == 0x04 && offset_of!(Descriptor, len) == 0x0c);
    assert!(offset_of!(Descriptor, capture_ns) == 0x10 && offset_of!(Descriptor, publish_ns) == 0x18);
    assert!(offset_of!(Descriptor, source_sequence) == 0x20 && offset_of!(Descriptor, drops_before) == 0x24);
    assert!(offset_of!(Descriptor, flags) == 0x28 && offset_of!(Descriptor, format) == 0x2c);
    assert!(offset_of!(Descriptor, width) == 0x30 && offset_of!(Descriptor, kinds) == 0x38);
    assert!(offset_of!(Descriptor, user_len) == 0x3c && offset_of!(Descriptor, planes) == 0x40);
    assert!(offset_of!(Descriptor, details) == 0x80);
    assert!(size_of::<Seat>() == SEAT_LEN && align_of::<Seat>() == 4);
    assert!(offset_of!(Seat, incarnation) == 0x10 && offset_of!(Seat, sleeping) == 0x20);
    assert!(offset_of!(Seat, bell) == 0x24 && offset_of!(Seat, cells) == 0x80);
    assert!(offset_of!(Seat, cursor) == 0xa0 && offset_of!(Seat, pid) == 0xa4);
};

#[cfg(target_endian = "big")]
compile_error!(
    "camlane's shared bytes are little-endian and are used in place: big-endian targets are not supported"
);

/// CRC-32 (ISO-HDLC, the one of Ethernet and PNG), bit by bit: it runs twice in a lane's life and should cost no table.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = !0u32;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = crc >> 1 ^ (0xedb8_8320 & 0u32.wrapping_sub(crc & 1));
        }
    }
    !crc
}

#[cfg(all(test, not(loom)))]
mod tests {
    #[test]
    fn the_checksum_is_the_common_crc_32() {
        // The check value of the CRC catalogue for CRC-32/ISO-HDLC.
        assert_eq!(super::crc32(b"123456789"), 0xcbf4_3926);
    }
}

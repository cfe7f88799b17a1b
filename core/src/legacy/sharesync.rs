//! The mutex-protected byte stream: a struct with a process-shared mutex, and behind it bytes that are only appended.
//!
//! ```text
//! 0        8     12      16      20      24     28        48     52     56
//! | writed | lock | count | owner | users | kind | rest ... | attr | mark | bytes, in order, never wrapping ...
//!          '---------- pthread_mutex_t, 40 bytes ---------'
//! ```
//! `writed` counts the bytes that were appended and not consumed yet; both sides keep their positions to themselves. The
//! struct is the compiler's, so this is its layout with glibc on x86-64 and no other.
//!
//! `mark` is padding to the old programs. camlane keeps one side's position there, from which the other's follows: so
//! its ends can be restarted, which theirs cannot.

/// Bytes appended and not consumed yet; an `int`.
pub const WRITED: usize = 0;
/// The mutex: 0 free, 1 held, 2 held and slept on.
pub const LOCK: usize = 8;
/// The thread that holds the mutex.
pub const OWNER: usize = 16;
/// Threads that use the mutex.
pub const USERS: usize = 20;
/// The mutex's kind.
pub const KIND: usize = 24;
/// The attributes, used while the mutex is initialised.
pub const ATTR: usize = 48;
/// A side's position, in padding.
pub const MARK: usize = 52;
/// Bytes of the struct; the stream follows at once.
pub const LEN: usize = 56;
/// `KIND` of a plain process-shared mutex.
pub const KIND_SHARED: u32 = 0x80;
/// `ATTR` of a process-shared attribute.
const ATTR_SHARED: u32 = 0x8000_0000;
/// Room for bytes in the first such program's object.
pub const CAPACITY: u32 = 10 << 20;

/// Tells whether programs built for this processor and C library have this layout.
pub const fn is_native() -> bool {
    cfg!(all(target_arch = "x86_64", target_pointer_width = "64", target_env = "gnu"))
}

/// The struct as an initialising program leaves it: nothing appended, nobody holds the mutex.
pub const fn fresh() -> [u8; LEN] {
    let mut bytes = [0; LEN];
    let (kind, attr) = (KIND_SHARED.to_le_bytes(), ATTR_SHARED.to_le_bytes());
    let mut at = 0;
    while at < 4 {
        bytes[KIND + at] = kind[at];
        bytes[ATTR + at] = attr[at];
        at += 1;
    }
    bytes
}

/// A side of the stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Side {
    /// Appends.
    Writer,
    /// Consumes.
    Reader,
}

/// One side's position, as `mark` keeps it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Mark {
    /// Whose position.
    pub side: Side,
    /// Bytes from the start of the stream.
    pub position: u32,
    /// `writed` is about to change: who dies now leaves positions that nobody can tell.
    pub moving: bool,
}

const SET: u32 = 1 << 31;
const READER: u32 = 1 << 30;
const MOVING: u32 = 1 << 29;
/// Positions that a mark can say, and so the largest stream: 512 MiB.
pub const MAX_CAPACITY: u32 = MOVING - 1;

impl Mark {
    /// Reads the word. `None`: only old programs were here.
    pub const fn from_bits(bits: u32) -> Option<Self> {
        if bits & SET == 0 {
            return None;
        }
        let side = if bits & READER == 0 { Side::Writer } else { Side::Reader };
        Some(Self { side, position: bits & MAX_CAPACITY, moving: bits & MOVING != 0 })
    }

    /// The word.
    pub const fn bits(self) -> u32 {
        let side = match self.side {
            Side::Writer => 0,
            Side::Reader => READER,
        };
        let moving = if self.moving { MOVING } else { 0 };
        SET | side | moving | self.position & MAX_CAPACITY
    }

    /// Where `side` stands if `writed` bytes lie between the two. `None`: such a `writed` contradicts the mark.
    pub const fn position_of(self, side: Side, writed: u32) -> Option<u32> {
        match (self.side, side) {
            (Side::Writer, Side::Reader) => self.position.checked_sub(writed),
            (Side::Reader, Side::Writer) => self.position.checked_add(writed),
            _ => Some(self.position),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use rstest::rstest;

    #[test]
    fn a_fresh_struct_is_what_glibc_makes() {
        // Read from a program that called pthread_mutex_init with PTHREAD_PROCESS_SHARED: glibc 2.36, x86-64.
        let mut by_glibc = [0; LEN];
        (by_glibc[24], by_glibc[51]) = (0x80, 0x80);
        assert_eq!(fresh(), by_glibc);
    }

    #[rstest]
    #[case::writer(Side::Writer, 0, false)]
    #[case::reader(Side::Reader, CAPACITY, true)]
    #[case::far(Side::Reader, MAX_CAPACITY, false)]
    fn a_mark_survives_its_word(#[case] side: Side, #[case] position: u32, #[case] moving: bool) {
        let mark = Mark { side, position, moving };
        assert_eq!(Mark::from_bits(mark.bits()), Some(mark));
    }

    #[test]
    fn one_position_and_the_bytes_between_give_the_other() {
        let reader = Mark { side: Side::Reader, position: 40, moving: false };
        assert_eq!(reader.position_of(Side::Writer, 15), Some(55));
        assert_eq!(reader.position_of(Side::Reader, 15), Some(40));
        let writer = Mark { side: Side::Writer, position: 55, moving: false };
        assert_eq!(writer.position_of(Side::Reader, 15), Some(40));
        assert_eq!(writer.position_of(Side::Reader, 56), None);
        assert_eq!(Mark::from_bits(0), None);
    }
}

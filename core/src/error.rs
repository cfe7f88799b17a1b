//! What can go wrong, one small type per operation, with the numbers that matter.

use core::fmt;

macro_rules! errors {
    ($($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident $({ $($(#[$fdoc:meta])* $field:ident: $ty:ty),* })? => $text:literal),* $(,)? })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[cfg_attr(feature = "defmt", derive(defmt::Format))]
        #[non_exhaustive]
        pub enum $name { $($(#[$vdoc])* $variant $({ $($(#[$fdoc])* $field: $ty),* })?),* }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self { $(Self::$variant $({ $($field),* })? => write!(f, $text)),* }
            }
        }
        impl core::error::Error for $name {}
    )*};
}

errors! {
    /// Why an object could not be made.
    CreateError {
        /// The memory does not start at a multiple of four.
        Misaligned => "the memory does not start at a multiple of 4 bytes",
        /// The memory is too small.
        TooSmall {
            /// Bytes needed.
            needed: u64,
            /// Bytes given.
            found: u64
        } => "the lane needs {needed} bytes, the memory has {found}",
        /// A name, frame id or calibration reference is longer than 64 bytes.
        TextTooLong {
            /// Its bytes.
            len: usize
        } => "a name of {len} bytes does not fit the 64 bytes of its field",
        /// The shape keeps its seats in another object, so it does not fit one slice.
        SeatsElsewhere => "this geometry keeps its seats in pages of their own: leave out `paged` for one slice",
    }

    /// Why bytes are not a region that this code can use.
    AttachError {
        /// The memory does not start at a multiple of four.
        Misaligned => "the memory does not start at a multiple of 4 bytes",
        /// The object is shorter than a header, or than its header says.
        TooShort {
            /// Bytes that the header asks for.
            needed: u64,
            /// Bytes that there are.
            found: u64
        } => "the object has {found} bytes and should have {needed}: it was cut, or is still being made",
        /// No camlane object.
        Foreign => "this is not a camlane object",
        /// A layout that this version cannot read.
        Version {
            /// Layout found, major in the high half.
            found: u32,
            /// Layout supported.
            supported: u32
        } => "its layout is {found:#x}, this version of camlane reads {supported:#x}: use the same major version on both sides",
        /// Its producer is still making it.
        NotReady => "its producer is still making it: try again",
        /// A checksum does not match.
        Checksum {
            /// Which record.
            what: &'static str
        } => "the checksum of its {what} is wrong: something else has written there",
        /// A field contradicts another.
        Corrupt {
            /// Which field.
            what: &'static str
        } => "its {what} makes no sense",
        /// These seats belong to another incarnation of the lane.
        OtherIncarnation => "the seats belong to another run of the producer: open the lane again",
    }

    /// Why a region cannot be taken over.
    TakeOverError {
        /// The lane has more slots than this producer keeps books for.
        TooManySlots {
            /// Slots of the lane.
            slots: u32,
            /// Slots of the producer's books.
            room: u32
        } => "the lane has {slots} slots and this `Producer` has room for {room}: raise its SLOTS",
        /// A slot's words contradict each other.
        Corrupt {
            /// Which slot.
            slot: u32
        } => "the words of slot {slot} contradict each other: create the lane anew",
        /// Frames were published here, and consumers may hold them.
        NotNew => "frames were published in this lane: go on with `Producer::take_over`",
        /// The region carries a byte stream.
        IsAStream => "this lane carries a byte stream, not frames: use `StreamWriter`",
    }

    /// Why a frame was not published.
    PublishError {
        /// The frame claims more bytes than a slot has.
        TooLong {
            /// Bytes claimed.
            bytes: u32,
            /// Bytes of a slot.
            slot_size: u32
        } => "a frame of {bytes} bytes does not fit a slot of {slot_size}: create the lane with larger slots",
        /// The user's metadata claims more bytes than there is room for.
        UserTooLong {
            /// Bytes claimed.
            bytes: u32,
            /// Bytes of room.
            room: u32
        } => "{bytes} bytes of user metadata do not fit the {room} that the lane has: create it with more `user_bytes`",
        /// A plane ends beyond the frame; readers would see no planes at all.
        PlaneOutside {
            /// Which plane.
            plane: u32,
            /// Bytes of the frame.
            bytes: u32
        } => "plane {plane} ends beyond the {bytes} bytes of the frame: correct `layout.planes` or `layout.bytes`",
        /// The loan came from another producer.
        ForeignLoan => "this loan belongs to another producer",
    }

    /// Why a frame could not be read.
    ReadError {
        /// This consumer holds all the frames that it may.
        AllPinned {
            /// Pins of the seat.
            pins: u32
        } => "this consumer holds all {pins} frames that its seat allows: drop one first, or create the lane with more pins",
        /// The producer was faster at every try.
        Contended => "the producer overwrote each frame before it could be pinned: read sooner, or create the lane with more history",
        /// The region's words contradict each other.
        Corrupt => "the lane's words contradict each other: its producer does not keep to the protocol",
    }

    /// Why a frame could not be copied.
    ObserveError {
        /// The buffer is smaller than the frame.
        TooSmall {
            /// Bytes needed.
            needed: usize,
            /// Bytes of the buffer.
            room: usize
        } => "the frame has {needed} bytes, the buffer {room}",
        /// The producer overwrote the frame during every copy.
        Contended => "the producer overwrote the frame during every copy: create the lane with more history, or take a seat",
        /// The region's words contradict each other.
        Corrupt => "the lane's words contradict each other: its producer does not keep to the protocol",
    }

    /// Why a byte stream could not go on.
    StreamError {
        /// The region carries frames.
        NotAStream => "this lane carries frames, not a byte stream",
        /// The other side's position makes no sense.
        Corrupt => "the other side's position makes no sense: it does not keep to the protocol",
        /// More bytes were committed or released than were granted.
        BeyondGrant {
            /// Bytes named.
            bytes: u32,
            /// Bytes granted.
            granted: u32
        } => "{bytes} bytes were named and only {granted} granted",
    }
}

/// No slot is free: consumers hold more than the lane was made for. The frame was counted as dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct LoanError {
    /// Slots of the lane.
    pub slots: u32,
}

impl fmt::Display for LoanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "none of the {} slots is free: create the lane with seats * pins + history + loans slots",
            self.slots
        )
    }
}

impl core::error::Error for LoanError {}

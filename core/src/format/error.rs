//! Why a frame cannot be laid out.

use core::fmt;

use super::PixelFormat;

/// Says why a frame cannot be laid out, or why its layout cannot be believed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum LayoutError {
    /// The table has no such number, so its rows cannot be computed.
    UnknownFormat(PixelFormat),
    /// The format is compressed or opaque, and its size does not follow from width and height.
    NeedsSize(PixelFormat),
    /// The format has rows, and was given only a size.
    HasRows(PixelFormat),
    /// Width, height or the size of a blob is 0.
    Empty,
    /// The frame would have 4 GiB or more.
    TooLarge,
    /// The row alignment is not a power of two.
    BadAlignment(u32),
    /// The number of planes or of strides is not that of the format.
    PlaneCount {
        /// Planes or strides that were given.
        given: usize,
        /// Planes of the format; 4 stands for "at most 4" where the format is unknown.
        need: u8,
    },
    /// The rows of a plane would overlap.
    StrideTooSmall {
        /// Index of the plane.
        plane: u8,
        /// Its stride in bytes.
        stride: u32,
        /// The least stride that holds the width.
        need: u32,
    },
    /// A compressed or opaque frame was given a stride.
    UnwantedStride(u32),
    /// A plane has more or fewer rows than its format and height give.
    WrongRows {
        /// Index of the plane.
        plane: u8,
        /// Its rows.
        rows: u32,
        /// The right number.
        need: u32,
    },
    /// The bytes of a plane are not its stride times its rows.
    WrongBytes {
        /// Index of the plane.
        plane: u8,
        /// Its bytes.
        bytes: u32,
        /// Stride times rows.
        need: u64,
    },
    /// Two planes share bytes.
    Overlap {
        /// Index of one plane.
        first: u8,
        /// Index of the other.
        second: u8,
    },
    /// A plane ends behind the end of the frame.
    OutOfFrame {
        /// Index of the plane.
        plane: u8,
        /// Its offset plus its bytes.
        end: u64,
        /// Bytes of the frame.
        bytes: u32,
    },
    /// The frame is larger than its slot.
    OutOfSlot {
        /// Bytes of the frame.
        bytes: u32,
        /// Bytes of the slot.
        slot: u32,
    },
}

impl fmt::Display for LayoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::UnknownFormat(format) => {
                write!(
                    f,
                    "pixel format {format} is unknown to this build: update it, or pass the frame on as a blob"
                )
            }
            Self::NeedsSize(format) => {
                write!(f, "{format} frames have no fixed size: state the most bytes that one may take")
            }
            Self::HasRows(format) => {
                write!(
                    f,
                    "{format} is not compressed: give width, height and row alignment instead of a size"
                )
            }
            Self::Empty => write!(f, "the frame is empty: width, height and size must be at least 1"),
            Self::TooLarge => {
                write!(f, "the frame would have 4 GiB or more: make width, height or stride smaller")
            }
            Self::BadAlignment(align) => {
                write!(f, "a row alignment of {align} bytes is not possible: use 1 (packed), 2, 4, 8, 16 ...")
            }
            Self::PlaneCount { given, need } => {
                write!(
                    f,
                    "{given} planes or strides were given, the format has {need}: give one for each plane"
                )
            }
            Self::StrideTooSmall { plane, stride, need } => {
                write!(f, "plane {plane} has a stride of {stride} bytes, but its rows need at least {need}")
            }
            Self::UnwantedStride(stride) => {
                write!(f, "a compressed or opaque frame has no rows: write its stride as 0, not {stride}")
            }
            Self::WrongRows { plane, rows, need } => {
                write!(f, "plane {plane} has {rows} rows, but format and height give {need}")
            }
            Self::WrongBytes { plane, bytes, need } => {
                write!(f, "plane {plane} has {bytes} bytes, but its stride times its rows are {need}")
            }
            Self::Overlap { first, second } => {
                write!(f, "planes {first} and {second} share bytes: move one of them behind the other")
            }
            Self::OutOfFrame { plane, end, bytes } => {
                write!(f, "plane {plane} ends at byte {end} of a frame of {bytes} bytes: do not read it")
            }
            Self::OutOfSlot { bytes, slot } => {
                write!(
                    f,
                    "the frame has {bytes} bytes, its slot {slot}: make slots larger or the frame smaller"
                )
            }
        }
    }
}

impl core::error::Error for LayoutError {}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::names_the_format(
        LayoutError::NeedsSize(PixelFormat::JPEG),
        "JPEG frames have no fixed size: state the most bytes"
    )]
    #[case::numbers_the_unknown(
        LayoutError::UnknownFormat(PixelFormat(0x999)),
        "pixel format 0x00000999 is unknown"
    )]
    #[case::gives_both_sizes(LayoutError::OutOfSlot { bytes: 96, slot: 64 }, "the frame has 96 bytes, its slot 64: make")]
    #[case::gives_the_least_stride(
        LayoutError::StrideTooSmall { plane: 1, stride: 7, need: 8 },
        "plane 1 has a stride of 7 bytes, but its rows need at least 8"
    )]
    fn a_message_has_the_numbers_and_what_to_do(#[case] error: LayoutError, #[case] beginning: &str) {
        let text = error.to_string();
        assert!(text.starts_with(beginning), "{text}");
    }
}

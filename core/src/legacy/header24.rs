//! The 24-byte frame header: one picture in one buffer, written in place, `frame_valid` as the only synchronisation.
//!
//! ```text
//! 0      4       8         12             20           24
//! | width | height | channels | timestamp_ms | frame_valid | rows, without padding ...
//! ```
//! C programs declare it `__attribute__((packed))`, Python programs read it with `'<iiiqi'`. Eight-bit samples; three
//! channels are B, G, R, as OpenCV loads them.

use core::fmt;
use core::mem::{offset_of, size_of};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::format::{FrameLayout, LayoutError, PixelFormat};
use crate::layout::Wide;

/// Bytes of the header; the pixels follow at once.
pub const LEN: usize = size_of::<Raw>();
/// Where `frame_valid` lies.
pub const VALID_AT: usize = offset_of!(Raw, valid);

/// As it lies in memory. The time is two words: 12 is no multiple of 8.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
struct Raw {
    width: i32,
    height: i32,
    channels: i32,
    timestamp_ms: Wide,
    valid: i32,
}

const _: () = {
    assert!(LEN == 24 && VALID_AT == 20 && offset_of!(Raw, timestamp_ms) == 12);
};

/// What such a header says. Holding one tells nothing about the pixels, nor that its numbers make sense.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Header24 {
    /// Pixels in a row.
    pub width: i32,
    /// Rows.
    pub height: i32,
    /// Bytes of a pixel.
    pub channels: i32,
    /// When the writer began this frame, in milliseconds of CLOCK_REALTIME.
    pub timestamp_ms: i64,
    /// 1: the picture is complete. 0: it is being written, or there is none yet.
    pub frame_valid: i32,
}

impl Header24 {
    /// Reads a header; any bytes are one.
    pub fn from_bytes(bytes: [u8; LEN]) -> Self {
        let Raw { width, height, channels, timestamp_ms, valid } = zerocopy::transmute!(bytes);
        Self {
            width,
            height,
            channels,
            timestamp_ms: u64::from(timestamp_ms).cast_signed(),
            frame_valid: valid,
        }
    }

    /// Writes the header.
    pub fn to_bytes(self) -> [u8; LEN] {
        let Self { width, height, channels, timestamp_ms, frame_valid } = self;
        zerocopy::transmute!(Raw {
            width,
            height,
            channels,
            timestamp_ms: timestamp_ms.cast_unsigned().into(),
            valid: frame_valid,
        })
    }

    /// A header for frames that look like `layout`, without a time and not valid.
    ///
    /// # Errors
    /// [`Header24Error::Format`] unless they are GRAY8, BGR8 or BGRA8.
    pub const fn for_layout(layout: &FrameLayout) -> Result<Self, Header24Error> {
        let channels = match layout.format {
            PixelFormat::GRAY8 => 1,
            PixelFormat::BGR8 => 3,
            PixelFormat::BGRA8 => 4,
            format => return Err(Header24Error::Format { format }),
        };
        let (width, height) = (layout.width.cast_signed(), layout.height.cast_signed());
        Ok(Self { width, height, channels, timestamp_ms: 0, frame_valid: 0 })
    }

    /// The picture that the numbers describe: packed rows of GRAY8, BGR8 or BGRA8.
    ///
    /// # Errors
    /// [`Header24Error`] if they describe none.
    pub fn layout(&self) -> Result<FrameLayout, Header24Error> {
        let Self { width, height, channels, .. } = *self;
        let (Ok(wide), Ok(high)) = (u32::try_from(width), u32::try_from(height)) else {
            return Err(Header24Error::Empty { width, height });
        };
        let format = match channels {
            _ if wide == 0 || high == 0 => return Err(Header24Error::Empty { width, height }),
            1 => PixelFormat::GRAY8,
            3 => PixelFormat::BGR8,
            4 => PixelFormat::BGRA8,
            _ => return Err(Header24Error::Channels { channels }),
        };
        format.layout(wide, high, 1).map_err(Header24Error::Layout)
    }

    /// Tells whether the picture is complete.
    pub const fn is_valid(&self) -> bool {
        self.frame_valid == 1
    }
}

/// Why a header describes no picture, or a picture has no such header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Header24Error {
    /// Width or height is not positive.
    Empty {
        /// Width as found.
        width: i32,
        /// Height as found.
        height: i32,
    },
    /// No known pixel has so many bytes.
    Channels {
        /// Channels as found.
        channels: i32,
    },
    /// The picture would be larger than a frame can be.
    Layout(LayoutError),
    /// The header has no way to say this format.
    Format {
        /// The format.
        format: PixelFormat,
    },
}

impl fmt::Display for Header24Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty { width, height } => {
                write!(f, "its header says {width}x{height} pixels: its writer has no picture")
            }
            Self::Channels { channels } => {
                write!(f, "its header says {channels} channels: 1, 3 (B, G, R) and 4 (with alpha) are known")
            }
            Self::Layout(error) => write!(f, "its header describes no possible picture: {error}"),
            Self::Format { format } => {
                write!(f, "the 24-byte header cannot say {format}: convert to GRAY8, BGR8 or BGRA8 first")
            }
        }
    }
}

impl core::error::Error for Header24Error {}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use rstest::rstest;

    // `python3 -c "import struct; print(struct.pack('<iiiqi', 640, 404, 3, 1700000000123, 1).hex(' '))"`
    const BY_PYTHON: [u8; LEN] = [
        0x80, 0x02, 0, 0, 0x94, 0x01, 0, 0, 3, 0, 0, 0, 0x7b, 0x68, 0xe5, 0xcf, 0x8b, 0x01, 0, 0, 1, 0, 0, 0,
    ];

    #[test]
    fn a_header_is_the_bytes_that_python_packs() {
        let header = Header24 {
            width: 640,
            height: 404,
            channels: 3,
            timestamp_ms: 1_700_000_000_123,
            frame_valid: 1,
        };
        assert_eq!(header.to_bytes(), BY_PYTHON);
        assert_eq!(Header24::from_bytes(BY_PYTHON), header);
        assert_eq!(header.layout().unwrap().bytes as usize + LEN, 775_704); // the size that the first such program had
    }

    #[rstest]
    #[case::grey(PixelFormat::GRAY8)]
    #[case::colour(PixelFormat::BGR8)]
    #[case::alpha(PixelFormat::BGRA8)]
    fn a_layout_and_its_header_lead_to_each_other(#[case] format: PixelFormat) {
        let layout = format.layout(7, 5, 1).unwrap();
        assert_eq!(Header24::for_layout(&layout).unwrap().layout(), Ok(layout));
    }

    #[rstest]
    #[case::nothing_loaded(0, 0, 3)]
    #[case::negative(-640, 404, 3)]
    #[case::two_channels(640, 404, 2)]
    #[case::beyond_an_int(26_755, 26_755 * 4, 3)]
    #[case::as_large_as_can_be(i32::MAX, i32::MAX, 4)]
    fn numbers_that_describe_no_picture_are_refused(
        #[case] width: i32,
        #[case] height: i32,
        #[case] channels: i32,
    ) {
        let header = Header24 { width, height, channels, ..Header24::default() };
        assert!(header.layout().is_err());
    }

    #[test]
    fn other_formats_have_no_such_header() {
        let layout = PixelFormat::RGB8.layout(4, 4, 1).unwrap();
        assert_eq!(Header24::for_layout(&layout), Err(Header24Error::Format { format: PixelFormat::RGB8 }));
    }
}

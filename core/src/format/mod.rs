//! Pixel formats and the geometry of their planes: the one place that knows how many bytes a row has.
//!
//! ```
//! use camlane_core::format::PixelFormat;
//!
//! let packed = PixelFormat::NV12.layout(1280, 720, 1)?;
//! assert_eq!((packed.count, packed.bytes), (2, 1280 * 720 * 3 / 2));
//! # Ok::<(), camlane_core::format::LayoutError>(())
//! ```
//!
//! A format has a number of our own, because no other list can serve: V4L2 and DRM share four-character
//! codes that mean different pixels, and neither names everything that the other does. The numbers are an
//! open set. A frame with an unknown number can be passed on, stored and measured, but not converted.

mod error;
mod fourcc;
mod plane;
mod table;

use core::fmt;

pub use error::LayoutError;
pub use fourcc::FourCc;
pub use plane::{FrameLayout, Plane};

/// Names how pixels are stored. The second byte is the family: 1 grey and depth, 2 RGB, 3 interleaved
/// YCbCr, 4 luma plane and chroma plane, 5 three planes, 6 Bayer, 7 packed Bayer, 0x0F compressed.
///
/// Having a value does not tell that this build knows the number; [`info`](Self::info) does.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct PixelFormat(pub u32);

/// States how many bytes a run of pixels takes in a row: `bytes` for every `pixels`, and a run that has
/// begun is stored whole. So 5/4 is `{ pixels: 4, bytes: 5 }`, exactly. `{ 0, 0 }` means: no rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Group {
    /// Pixels (in a chroma plane: chroma columns) in one run.
    pub pixels: u8,
    /// Bytes that the run takes.
    pub bytes: u8,
}

/// Describes one format: a row of the table [`PixelFormat::ALL`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct FormatInfo {
    /// The number.
    pub format: PixelFormat,
    /// camlane's name, as the constant is spelt: `NV12`.
    pub name: &'static str,
    /// The code in `linux/videodev2.h`.
    pub v4l2: Option<FourCc>,
    /// A second V4L2 code for the same bytes: the variant with a buffer for each plane (`NM12`), or `JPEG`
    /// beside `MJPG`.
    pub v4l2_also: Option<FourCc>,
    /// The code in the kernel's `drm_fourcc.h`, for a linear buffer. Codes that only libcamera's copy of that
    /// header has (all of Bayer) are absent: `BA12` is BGRA4444 in the kernel's own.
    pub drm: Option<FourCc>,
    /// The name in `ffmpeg -pix_fmts`; for a compressed format, in `ffmpeg -codecs`.
    pub ffmpeg: Option<&'static str>,
    /// The `format` in `video/x-raw` caps, in `video/x-bayer` caps for Bayer; a compressed
    /// format's media type.
    pub gstreamer: Option<&'static str>,
    /// The `encoding` of `sensor_msgs/Image`; for a compressed format the `format` of `CompressedImage`.
    pub ros: Option<&'static str>,
    /// Number of planes, 1 to 4.
    pub planes: u8,
    /// Pixels for each chroma sample, across and down. (1, 1) where chroma is whole or absent.
    pub chroma: (u8, u8),
    /// Bytes in the rows of each plane. The first plane counts pixels, the others chroma columns.
    pub groups: [Group; 4],
    /// Bits of a sample that carry the picture, of the widest sample if they differ. 0: the payload says.
    pub significant_bits: u8,
    /// OpenCV's type of each plane without `CV_`, separated by commas: `8UC1,8UC2`. `None`: unpack or
    /// decode first.
    pub opencv: Option<&'static str>,
    /// numpy's dtype of a sample: `u1`, `<u2` or `<f4`.
    pub numpy: &'static str,
}

impl FormatInfo {
    /// Tells whether a frame is made of rows of known length, which compressed and opaque frames are not.
    pub const fn has_rows(&self) -> bool {
        self.groups[0].bytes != 0
    }
}

impl PixelFormat {
    /// Looks the format up in the table; `None` for a number that this build does not know.
    pub const fn info(self) -> Option<&'static FormatInfo> {
        // A binary search by hand: the library's is not const. The tests hold the table in order.
        let (mut low, mut high) = (0, Self::ALL.len());
        while low < high {
            let middle = low + (high - low) / 2;
            let number = Self::ALL[middle].format.0;
            if number == self.0 {
                return Some(&Self::ALL[middle]);
            } else if number < self.0 {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        None
    }

    /// Gives camlane's name, `NV12`, or `unknown`. `Display` also shows an unknown number.
    pub fn name(self) -> &'static str {
        self.info().map_or("unknown", |info| info.name)
    }

    /// Finds a format by camlane's or ffmpeg's name, in capitals or not: `NV12`, `yuyv422`, `rgb24`.
    pub fn from_name(name: &str) -> Option<Self> {
        let is = |own: &str| own.eq_ignore_ascii_case(name);
        Self::find(|info| is(info.name) || info.ffmpeg.is_some_and(is))
    }

    /// Finds the format of a V4L2 code. The multi-planar codes (`NM12`) give the same format: in a slot,
    /// planes are offsets. `RGB4` and `BGR4` are refused, as drivers disagree about their alpha.
    pub fn from_v4l2(fourcc: FourCc) -> Option<Self> {
        Self::find(|info| info.v4l2 == Some(fourcc) || info.v4l2_also == Some(fourcc))
    }

    /// Finds the format of a DRM code, for a linear buffer: with a modifier the same code may mean other bytes.
    /// Not for libcamera's codes, where `BA12` and `RGB6` are Bayer.
    pub fn from_drm(fourcc: FourCc) -> Option<Self> {
        Self::find(|info| info.drm == Some(fourcc))
    }

    /// Tells whether a decoder must come first. An unknown number of the compressed family counts as compressed.
    pub const fn is_compressed(self) -> bool {
        self.0 >> 8 == 0x0f
    }

    fn find(wanted: impl Fn(&FormatInfo) -> bool) -> Option<Self> {
        Self::ALL.iter().find(|info| wanted(info)).map(|info| info.format)
    }
}

/// Writes the name, or the number of an unknown format: `NV12`, `0x00000999`.
impl fmt::Display for PixelFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.info() {
            Some(info) => f.pad(info.name),
            None => write!(f, "{:#010x}", self.0),
        }
    }
}

impl fmt::Debug for PixelFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[test]
    fn numbers_rise_through_the_table_and_each_finds_its_row() {
        assert!(PixelFormat::ALL.is_sorted_by(|a, b| a.format.0 < b.format.0));
        for info in PixelFormat::ALL {
            assert_eq!(info.format.info(), Some(info));
        }
    }

    #[test]
    fn names_are_unique_and_lead_back_whatever_their_case() {
        for info in PixelFormat::ALL {
            for name in [Some(info.name), info.ffmpeg].into_iter().flatten() {
                // A name that two formats shared would lead back to the first of them only.
                assert_eq!(PixelFormat::from_name(name), Some(info.format), "{name}");
                assert_eq!(PixelFormat::from_name(&name.to_lowercase()), Some(info.format), "{name}");
            }
        }
        assert_eq!(PixelFormat::from_name(""), None);
        assert_eq!(PixelFormat::from_name("nv"), None);
    }

    #[test]
    fn every_v4l2_and_drm_code_leads_back_to_its_one_format() {
        for info in PixelFormat::ALL {
            for code in [info.v4l2, info.v4l2_also].into_iter().flatten() {
                assert_eq!(PixelFormat::from_v4l2(code), Some(info.format), "V4L2 {code}");
            }
            if let Some(code) = info.drm {
                assert_eq!(PixelFormat::from_drm(code), Some(info.format), "DRM {code}");
            }
        }
    }

    #[test]
    fn rows_and_facts_of_the_table_agree() {
        for info in PixelFormat::ALL {
            let name = info.name;
            assert!((1..=4).contains(&info.planes), "{name}");
            assert!(matches!(info.chroma, (1, 1) | (2, 1) | (2, 2)), "{name}");
            for (plane, group) in info.groups.iter().enumerate() {
                let used = info.has_rows() && plane < usize::from(info.planes);
                assert_eq!((group.pixels > 0, group.bytes > 0), (used, used), "{name}");
            }
            assert_eq!(info.significant_bits == 0, !info.has_rows(), "{name}");
            if let Some(types) = info.opencv {
                assert_eq!(types.split(',').count(), usize::from(info.planes), "{name}");
            }
            let is_blob = info.format == PixelFormat::OPAQUE || info.format.is_compressed();
            assert_eq!(info.has_rows(), !is_blob, "{name}");
        }
    }

    #[rstest]
    #[case::rg16(b"RG16", Some(PixelFormat::BAYER16_RGGB), Some(PixelFormat::RGB565))]
    #[case::ba12(b"BA12", Some(PixelFormat::BAYER12_GRBG), None)]
    #[case::rgb6(b"RGB6", Some(PixelFormat::RGB16), None)]
    #[case::rg24(b"RG24", None, Some(PixelFormat::BGR8))]
    #[case::rgb3(b"RGB3", Some(PixelFormat::RGB8), None)]
    #[case::ar24(b"AR24", Some(PixelFormat::BGRA8), Some(PixelFormat::BGRA8))]
    #[case::ba24(b"BA24", Some(PixelFormat::ARGB8), Some(PixelFormat::ARGB8))]
    #[case::ayuv(b"AYUV", None, None)]
    #[case::rgb4(b"RGB4", None, None)]
    fn one_code_may_mean_different_pixels_to_v4l2_and_drm(
        #[case] code: &[u8; 4],
        #[case] v4l2: Option<PixelFormat>,
        #[case] drm: Option<PixelFormat>,
    ) {
        assert_eq!(PixelFormat::from_v4l2(FourCc::new(code)), v4l2);
        assert_eq!(PixelFormat::from_drm(FourCc::new(code)), drm);
    }

    #[rstest]
    #[case::nv12(b"NM12", PixelFormat::NV12)]
    #[case::nv61(b"NM61", PixelFormat::NV61)]
    #[case::i420(b"YM12", PixelFormat::I420)]
    #[case::yv12(b"YM21", PixelFormat::YV12)]
    #[case::i422(b"YM16", PixelFormat::I422)]
    #[case::i444(b"YM24", PixelFormat::I444)]
    #[case::jpeg(b"JPEG", PixelFormat::JPEG)]
    fn a_second_v4l2_code_gives_the_same_format(#[case] code: &[u8; 4], #[case] format: PixelFormat) {
        assert_eq!(PixelFormat::from_v4l2(FourCc::new(code)), Some(format));
    }

    #[test]
    fn the_bayer_order_is_in_the_low_two_bits() {
        for family in [0x600, 0x610, 0x620, 0x630, 0x640, 0x710, 0x720, 0x730] {
            for (order, letters) in ["RGGB", "GRBG", "GBRG", "BGGR"].into_iter().enumerate() {
                let name = PixelFormat(family + order as u32).name();
                assert_eq!(name.split_once('_').map(|(_, end)| end), Some(letters), "{name}");
            }
        }
    }

    #[test]
    fn an_unknown_number_is_shown_and_not_mistaken_for_a_format() {
        let unknown = PixelFormat(0x0999);
        assert_eq!((unknown.info(), unknown.name()), (None, "unknown"));
        assert_eq!(unknown.to_string(), "0x00000999");
        assert_eq!(format!("{:?} {:>5}", PixelFormat::NV12, PixelFormat::NV12), "NV12  NV12");
        assert!(PixelFormat(0x0fff).is_compressed() && !PixelFormat(0x1_0f01).is_compressed());
    }
}

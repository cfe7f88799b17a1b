//! The four characters by which V4L2 and DRM name a format.

use core::fmt;

/// Holds four characters, the first in the low byte. It does not say whose code it is: V4L2 and DRM
/// give the same four characters to different pixels (`RG16` is Bayer in one and RGB565 in the other).
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct FourCc(pub u32);

/// `v4l2_fourcc_be` and `DRM_FORMAT_BIG_ENDIAN` set the highest bit for words with the high byte first.
const BIG_ENDIAN: u32 = 1 << 31;

impl FourCc {
    /// Makes the code of four characters, as `v4l2_fourcc` and `fourcc_code` do: `FourCc::new(b"YUYV")`.
    pub const fn new(code: &[u8; 4]) -> Self {
        Self(u32::from_le_bytes(*code))
    }

    /// Gives the four characters back, in reading order.
    pub const fn to_bytes(self) -> [u8; 4] {
        self.0.to_le_bytes()
    }
}

/// Writes all four characters (`GREY`, `Y16 `), then `-BE` where the big-endian bit is set. A code with
/// anything unprintable in it is written as a number.
impl fmt::Display for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d] = FourCc(self.0 & !BIG_ENDIAN).to_bytes();
        let text = [a, b, c, d, b'-', b'B', b'E'];
        let len = if self.0 & BIG_ENDIAN == 0 { 4 } else { 7 };
        match core::str::from_utf8(&text[..len]) {
            Ok(text) if text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) => f.pad(text),
            _ => write!(f, "{:#010x}", self.0),
        }
    }
}

impl fmt::Debug for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FourCc({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::letters(FourCc::new(b"YUYV"), "YUYV")]
    #[case::spaces_are_kept(FourCc::new(b"Y16 "), "Y16 ")]
    #[case::big_endian(FourCc(FourCc::new(b"Y16 ").0 | 1 << 31), "Y16 -BE")]
    #[case::zero(FourCc(0), "0x00000000")]
    #[case::control_characters(FourCc(0x0a0a_0a0a), "0x0a0a0a0a")]
    #[case::not_ascii(FourCc(u32::MAX), "0xffffffff")]
    fn a_code_is_written_as_people_know_it(#[case] code: FourCc, #[case] text: &str) {
        assert_eq!(code.to_string(), text);
    }

    #[test]
    fn the_number_is_the_one_in_the_kernel_header() {
        // V4L2_PIX_FMT_YUYV in linux/videodev2.h, as printed by the C macro.
        assert_eq!(FourCc::new(b"YUYV"), FourCc(0x5659_5559));
        assert_eq!(FourCc(0x5659_5559).to_bytes(), *b"YUYV");
    }
}

//! Where the samples of each raw format sit in its bytes.

use camlane_core::format::PixelFormat;

/// Says how to find a pixel's samples. One table serves the test pattern, which writes, and the conversion,
/// which reads, so that the two cannot disagree without a test of known colours noticing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// One sample per pixel: grey, depth, or a colour filter when `bayer` says where its first red pixel is
    /// (`x & 1 | (y & 1) << 1`).
    Mono {
        /// How the sample is stored.
        sample: Sample,
        /// Where the colour filter begins, if there is one.
        bayer: Option<u8>,
    },
    /// Red, green and blue.
    Rgb([Channel; 3]),
    /// Luma and two chroma differences: Y, Cb, Cr.
    Yuv([Channel; 3]),
    /// 5, 6 and 5 bits in a little-endian word, blue lowest.
    Rgb565,
}

/// Says how one sample of a [`Shape::Mono`] is stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sample {
    /// One byte.
    Byte,
    /// The low `bits` of a little-endian 16-bit word.
    Word {
        /// Bits in use.
        bits: u8,
    },
    /// MIPI CSI-2 packing: the high bytes of a group of pixels, then all their low bits, lowest pixel first.
    Mipi {
        /// 10, 12 or 14.
        bits: u8,
    },
    /// A little-endian 32-bit float.
    Float,
}

/// Locates the byte of one channel: `first + step * (x / dx)` in row `y / dy` of a plane. A 16-bit channel is
/// located by its high byte, for everything that is shown has eight bits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Channel {
    /// Index of the plane.
    pub plane: u8,
    /// The byte of column 0.
    pub first: u8,
    /// Bytes from one sample of the channel to the next.
    pub step: u8,
    /// Pixels across that share a sample.
    pub dx: u8,
    /// Pixels down that share a sample.
    pub dy: u8,
}

impl Channel {
    const fn new(plane: u8, first: u8, step: u8, dx: u8, dy: u8) -> Self {
        Self { plane, first, step, dx, dy }
    }

    /// Returns the index of the byte for column `x` in its row.
    pub fn index(self, x: usize) -> usize {
        usize::from(self.first) + usize::from(self.step) * (x / usize::from(self.dx))
    }
}

impl Sample {
    /// Returns how many bits a sample has when nobody says less.
    pub fn bits(self) -> u8 {
        match self {
            Self::Byte => 8,
            Self::Word { bits } | Self::Mipi { bits } => bits,
            Self::Float => 32,
        }
    }

    /// Returns how many pixels share how many bytes.
    pub fn group(self) -> (usize, usize) {
        match self {
            Self::Byte => (1, 1),
            Self::Word { .. } => (1, 2),
            Self::Mipi { bits: 10 } => (4, 5),
            Self::Mipi { bits: 12 } => (2, 3),
            Self::Mipi { .. } => (4, 7),
            Self::Float => (1, 4),
        }
    }

    /// Returns the bytes of a row of `width` pixels, the last group whole.
    pub fn row_bytes(self, width: usize) -> usize {
        let (pixels, bytes) = self.group();
        width.div_ceil(pixels) * bytes
    }

    /// Reads the integer sample of column `x`; a float reads as 0. `row` holds at least `row_bytes(x + 1)`.
    pub fn get(self, row: &[u8], x: usize) -> u16 {
        match self {
            Self::Byte => u16::from(row[x]),
            Self::Word { .. } => u16::from_le_bytes([row[2 * x], row[2 * x + 1]]),
            Self::Mipi { bits } => {
                let (pixels, bytes) = self.group();
                let group = &row[x / pixels * bytes..][..bytes];
                let low = group[pixels..].iter().rev().fold(0u32, |all, &byte| all << 8 | u32::from(byte));
                let low_bits = u32::from(bits - 8);
                let low = low >> (low_bits * (x % pixels) as u32) & ((1 << low_bits) - 1);
                u16::from(group[x % pixels]) << low_bits | low as u16
            }
            Self::Float => 0,
        }
    }
}

/// Returns the shape of `format`; `None` if it is compressed, opaque or unknown.
///
/// The names follow V4L2's meaning of the bytes; the Bayer orders are the low two bits of the format's number.
pub fn shape(format: PixelFormat) -> Option<Shape> {
    let order = Some(format.0 as u8 & 3);
    let mono = |sample, bayer| Shape::Mono { sample, bayer };
    let rgb = |step: u8, at: [u8; 3]| Shape::Rgb(at.map(|first| Channel::new(0, first, step, 1, 1)));
    let pairs = |y: u8, u: u8, v: u8| {
        Shape::Yuv([Channel::new(0, y, 2, 1, 1), Channel::new(0, u, 4, 2, 1), Channel::new(0, v, 4, 2, 1)])
    };
    let semi = |u: u8, v: u8, dx: u8, dy: u8| {
        Shape::Yuv([
            Channel::new(0, 0, 1, 1, 1),
            Channel::new(1, u, 2, dx, dy),
            Channel::new(1, v, 2, dx, dy),
        ])
    };
    let planar = |u: u8, v: u8, dx: u8, dy: u8| {
        Shape::Yuv([
            Channel::new(0, 0, 1, 1, 1),
            Channel::new(u, 0, 1, dx, dy),
            Channel::new(v, 0, 1, dx, dy),
        ])
    };
    Some(match format {
        PixelFormat::GRAY8 => mono(Sample::Byte, None),
        PixelFormat::GRAY10 => mono(Sample::Word { bits: 10 }, None),
        PixelFormat::GRAY12 => mono(Sample::Word { bits: 12 }, None),
        PixelFormat::GRAY14 => mono(Sample::Word { bits: 14 }, None),
        PixelFormat::GRAY16 | PixelFormat::DEPTH16 => mono(Sample::Word { bits: 16 }, None),
        PixelFormat::GRAY10P => mono(Sample::Mipi { bits: 10 }, None),
        PixelFormat::GRAY12P => mono(Sample::Mipi { bits: 12 }, None),
        PixelFormat::FLOAT32 => mono(Sample::Float, None),
        PixelFormat::RGB8 => rgb(3, [0, 1, 2]),
        PixelFormat::BGR8 => rgb(3, [2, 1, 0]),
        PixelFormat::RGBA8 | PixelFormat::RGBX8 => rgb(4, [0, 1, 2]),
        PixelFormat::BGRA8 | PixelFormat::BGRX8 => rgb(4, [2, 1, 0]),
        PixelFormat::ARGB8 => rgb(4, [1, 2, 3]),
        PixelFormat::ABGR8 => rgb(4, [3, 2, 1]),
        PixelFormat::RGB565 => Shape::Rgb565,
        PixelFormat::RGB16 => rgb(6, [1, 3, 5]),
        PixelFormat::BGR16 => rgb(6, [5, 3, 1]),
        PixelFormat::RGBA16 => rgb(8, [1, 3, 5]),
        PixelFormat::YUYV => pairs(0, 1, 3),
        PixelFormat::UYVY => pairs(1, 0, 2),
        PixelFormat::YVYU => pairs(0, 3, 1),
        PixelFormat::VYUY => pairs(1, 2, 0),
        PixelFormat::NV12 => semi(0, 1, 2, 2),
        PixelFormat::NV21 => semi(1, 0, 2, 2),
        PixelFormat::NV16 => semi(0, 1, 2, 1),
        PixelFormat::NV61 => semi(1, 0, 2, 1),
        PixelFormat::NV24 => semi(0, 1, 1, 1),
        PixelFormat::NV42 => semi(1, 0, 1, 1),
        PixelFormat::P010 | PixelFormat::P016 => Shape::Yuv([
            Channel::new(0, 1, 2, 1, 1),
            Channel::new(1, 1, 4, 2, 2),
            Channel::new(1, 3, 4, 2, 2),
        ]),
        PixelFormat::I420 => planar(1, 2, 2, 2),
        PixelFormat::YV12 => planar(2, 1, 2, 2),
        PixelFormat::I422 => planar(1, 2, 2, 1),
        PixelFormat::I444 => planar(1, 2, 1, 1),
        PixelFormat(0x0600..=0x0603) => mono(Sample::Byte, order),
        PixelFormat(0x0610..=0x0613) => mono(Sample::Word { bits: 10 }, order),
        PixelFormat(0x0620..=0x0623) => mono(Sample::Word { bits: 12 }, order),
        PixelFormat(0x0630..=0x0633) => mono(Sample::Word { bits: 14 }, order),
        PixelFormat(0x0640..=0x0643) => mono(Sample::Word { bits: 16 }, order),
        PixelFormat(0x0710..=0x0713) => mono(Sample::Mipi { bits: 10 }, order),
        PixelFormat(0x0720..=0x0723) => mono(Sample::Mipi { bits: 12 }, order),
        PixelFormat(0x0730..=0x0733) => mono(Sample::Mipi { bits: 14 }, order),
        _ => return None,
    })
}

/// Returns the colour that a Bayer site sees: 0 red, 1 green, 2 blue. `order` is where the first red pixel is.
pub fn site(order: u8, x: usize, y: usize) -> usize {
    // Two steps of one: red and blue differ in both coordinates, green in one.
    (x ^ usize::from(order)) % 2 + (y ^ usize::from(order >> 1)) % 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[test]
    fn every_raw_format_of_the_table_has_a_shape() {
        for number in 1..0x1000 {
            let format = PixelFormat(number);
            let raw = format.info().is_some() && !format.is_compressed();
            assert_eq!(shape(format).is_some(), raw, "{number:#06x}");
        }
    }

    #[rstest]
    #[case::ten_bits(10, &[0x80, 0x40, 0x20, 0xFF, 0b1110_0100], &[0x200, 0x101, 0x082, 0x3FF])]
    #[case::twelve_bits(12, &[0x80, 0xFF, 0xC1], &[0x801, 0xFFC])]
    #[case::fourteen_bits(14, &[0x80, 0x40, 0x20, 0xFF, 0x41, 0x80, 0xFC], &[0x2001, 0x1001, 0x0808, 0x3FFF])]
    fn mipi_groups_unpack_low_bits_first(#[case] bits: u8, #[case] group: &[u8], #[case] expected: &[u16]) {
        let sample = Sample::Mipi { bits };
        assert_eq!(sample.row_bytes(expected.len()), group.len());
        let found: Vec<u16> = (0..expected.len()).map(|x| sample.get(group, x)).collect();
        assert_eq!(found, expected);
    }

    #[rstest]
    #[case::rggb(0, [0, 1, 1, 2])]
    #[case::grbg(1, [1, 0, 2, 1])]
    #[case::gbrg(2, [1, 2, 0, 1])]
    #[case::bggr(3, [2, 1, 1, 0])]
    fn the_order_says_where_the_first_red_pixel_is(#[case] order: u8, #[case] expected: [usize; 4]) {
        assert_eq!([site(order, 0, 0), site(order, 1, 0), site(order, 0, 1), site(order, 1, 1)], expected);
    }
}

//! Turns a frame of any raw format, a JPEG or a PNG into a picture: RGB, BGR or grey, without padding.
//!
//! It reads descriptors that may come from a peer: a layout that contradicts itself is an error, never a panic.

mod bayer;
pub mod image;
mod mono;
#[cfg(test)]
mod reference;
mod rows;
pub mod shape;
mod yuv;

use camlane_core::format::{FrameLayout, LayoutError, PixelFormat};
use core::fmt;
use rows::{Grey, Luma, Reorder, Thrice, fastest};
use shape::{Channel, Sample, Shape};
use yuv::Matrix;

/// Carries what a frame's descriptor says about its colour, in the descriptor's own numbers.
#[derive(Clone, Copy, Debug)]
pub struct Colour {
    /// Matrix coefficients after ITU-T H.273; BT.601 for 2 (unspecified) and every unknown number.
    pub matrix: u8,
    /// 1 full, 2 limited; 0 (unspecified) counts as limited.
    pub range: u8,
    /// Bits of each sample that carry light; 0 says as many as the format has.
    pub significant_bits: u8,
}

impl Default for Colour {
    fn default() -> Self {
        Self { matrix: 2, range: 0, significant_bits: 0 }
    }
}

/// Holds a picture without padding, rows from the top.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// The pixels.
    pub pixels: Pixels,
}

/// Holds the pixels of a [`Picture`]: `width * height` of them.
#[derive(Clone, Debug, PartialEq)]
pub enum Pixels {
    /// One byte for each pixel.
    Gray8(Vec<u8>),
    /// One word for each pixel.
    Gray16(Vec<u16>),
    /// Three bytes for each pixel: red, green, blue; blue first if [`bgr8`] made it.
    Rgb8(Vec<u8>),
}

impl Pixels {
    /// Returns one byte for each pixel; colours become their BT.601 luma.
    pub fn into_gray8(self) -> Vec<u8> {
        match self {
            Self::Gray8(greys) => greys,
            Self::Gray16(greys) => greys.into_iter().map(|grey| (grey >> 8) as u8).collect(),
            Self::Rgb8(bytes) => fastest(Luma(&bytes)),
        }
    }

    /// Returns packed RGB, three bytes for each pixel; grey becomes three equal bytes.
    pub fn into_rgb8(self) -> Vec<u8> {
        match self {
            Self::Rgb8(bytes) => bytes,
            greys => fastest(Thrice(&greys.into_gray8())),
        }
    }
}

/// Says why a frame is not a picture.
#[derive(Clone, Debug, PartialEq)]
pub enum ConvertError {
    /// The format has no pixels that anything here knows.
    NoPixels(PixelFormat),
    /// The layout contradicts itself, or reaches beyond the payload.
    Layout(LayoutError),
    /// The compressed payload is damaged.
    Damaged(PixelFormat, String),
}

impl fmt::Display for ConvertError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPixels(format) => {
                let name = format.name();
                write!(
                    f,
                    "cannot make a picture of format {name}: save the payload and decode it with ffmpeg"
                )
            }
            Self::Layout(reason) => write!(f, "the producer described its frame wrongly: {reason}"),
            Self::Damaged(format, reason) => write!(f, "the {} payload is damaged: {reason}", format.name()),
        }
    }
}

impl core::error::Error for ConvertError {}

/// Order of the three bytes of a pixel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Order {
    Rgb,
    Bgr,
}

impl Order {
    fn arrange(self, [red, green, blue]: [u8; 3]) -> [u8; 3] {
        match self {
            Self::Rgb => [red, green, blue],
            Self::Bgr => [blue, green, red],
        }
    }
}

/// Converts a frame to packed RGB, `width * height * 3` bytes.
///
/// # Errors
/// As [`picture`].
pub fn rgb8(layout: &FrameLayout, payload: &[u8], colour: Colour) -> Result<Picture, ConvertError> {
    colours(layout, payload, colour, Order::Rgb)
}

/// Converts a frame to packed BGR, the order of OpenCV, `width * height * 3` bytes.
///
/// # Errors
/// As [`picture`].
pub fn bgr8(layout: &FrameLayout, payload: &[u8], colour: Colour) -> Result<Picture, ConvertError> {
    colours(layout, payload, colour, Order::Bgr)
}

/// Converts a frame to grey, `width * height` bytes: the luma of a YCbCr frame stretched to the full range, the BT.601
/// luma of an RGB or Bayer frame, the high byte of a deeper grey one.
///
/// # Errors
/// As [`picture`].
pub fn gray8(layout: &FrameLayout, payload: &[u8], colour: Colour) -> Result<Picture, ConvertError> {
    let mut picture = match shape::shape(layout.format) {
        Some(Shape::Yuv([luma, ..])) => {
            let frame = Frame::new(layout, payload)?;
            let matrix = Matrix::new(colour);
            frame.picture(Pixels::Gray8(fastest(yuv::ToGrey { frame: &frame, luma, matrix })))
        }
        Some(Shape::Rgb(channels)) => {
            let frame = Frame::new(layout, payload)?;
            frame.picture(Pixels::Gray8(fastest(Grey { frame: &frame, channels })))
        }
        _ => picture(layout, payload, colour)?,
    };
    picture.pixels = Pixels::Gray8(picture.pixels.into_gray8());
    Ok(picture)
}

fn colours(
    layout: &FrameLayout,
    payload: &[u8],
    colour: Colour,
    order: Order,
) -> Result<Picture, ConvertError> {
    let Picture { width, height, pixels } = convert(layout, payload, colour, order)?;
    let pixels = match pixels {
        Pixels::Gray8(_) | Pixels::Gray16(_) => Pixels::Rgb8(pixels.into_rgb8()),
        colours => colours,
    };
    Ok(Picture { width, height, pixels })
}

/// Converts a frame to the plainest picture that loses nothing a person could see: grey stays grey, deeper
/// grey is scaled to 16 bits, depth keeps its numbers, a float plane is stretched from its least to its
/// greatest finite value, all else becomes RGB.
///
/// # Errors
/// [`ConvertError`]: a format without pixels, a layout that is wrong, a damaged JPEG or PNG.
pub fn picture(layout: &FrameLayout, payload: &[u8], colour: Colour) -> Result<Picture, ConvertError> {
    convert(layout, payload, colour, Order::Rgb)
}

fn convert(
    layout: &FrameLayout,
    payload: &[u8],
    colour: Colour,
    order: Order,
) -> Result<Picture, ConvertError> {
    let frame = Frame::new(layout, payload)?;
    match (layout.format, shape::shape(layout.format)) {
        (format @ (PixelFormat::JPEG | PixelFormat::PNG), _) => {
            let mut picture =
                image::decode(payload).map_err(|error| ConvertError::Damaged(format, error.to_string()))?;
            if let (Pixels::Rgb8(bytes), Order::Bgr) = (&mut picture.pixels, order) {
                bytes.chunks_exact_mut(3).for_each(|pixel| pixel.swap(0, 2));
            }
            Ok(picture)
        }
        (format, None) => Err(ConvertError::NoPixels(format)),
        (_, Some(Shape::Mono { sample, bayer })) => {
            Ok(frame.picture(frame.mono(sample, bayer, colour.significant_bits, order)))
        }
        (PixelFormat::RGB8, _) if order == Order::Rgb => Ok(frame.rows(3 * frame.size().0)),
        (PixelFormat::BGR8, _) if order == Order::Bgr => Ok(frame.rows(3 * frame.size().0)),
        (_, Some(Shape::Rgb([red, green, blue]))) => {
            let channels = match order {
                Order::Rgb => [red, green, blue],
                Order::Bgr => [blue, green, red],
            };
            Ok(frame.picture(Pixels::Rgb8(fastest(Reorder { frame: &frame, channels }))))
        }
        (_, Some(Shape::Yuv(channels))) => {
            let matrix = Matrix::new(colour);
            let work = yuv::ToColours { frame: &frame, channels, matrix, order };
            Ok(frame.picture(Pixels::Rgb8(fastest(work))))
        }
        (_, Some(Shape::Rgb565)) => Ok(frame.rgb565(order)),
    }
}

/// Borrows a frame.
///
/// # Invariants
/// `layout.check(payload.len())` was `Ok`, so every row of the format is in the payload.
struct Frame<'a> {
    layout: &'a FrameLayout,
    payload: &'a [u8],
}

impl<'a> Frame<'a> {
    fn new(layout: &'a FrameLayout, payload: &'a [u8]) -> Result<Self, ConvertError> {
        layout.check(payload.len().try_into().unwrap_or(u32::MAX)).map_err(ConvertError::Layout)?;
        Ok(Self { layout, payload })
    }

    fn size(&self) -> (usize, usize) {
        (self.layout.width as usize, self.layout.height as usize)
    }

    fn picture(&self, pixels: Pixels) -> Picture {
        Picture { width: self.layout.width, height: self.layout.height, pixels }
    }

    /// Returns the first `bytes` bytes of a row.
    fn row(&self, plane: usize, row: usize, bytes: usize) -> &[u8] {
        let at = self.layout.planes[plane];
        &self.payload[at.offset as usize + row * at.stride as usize..][..bytes]
    }

    /// Returns the bytes of a row with all samples of a channel, each with its neighbours of other channels.
    #[inline(always)]
    fn channel(&self, channel: Channel, y: usize) -> &[u8] {
        let samples = self.size().0.div_ceil(channel.dx.into());
        self.row(channel.plane.into(), y / usize::from(channel.dy), samples * usize::from(channel.step))
    }

    /// Returns the rows of a format that is laid out as the picture shall be.
    fn rows(&self, bytes: usize) -> Picture {
        let rows: Vec<_> = (0..self.size().1).map(|y| self.row(0, y, bytes)).collect();
        self.picture(Pixels::Rgb8(rows.concat()))
    }

    fn rgb565(&self, order: Order) -> Picture {
        let (width, height) = self.size();
        let mut out = vec![0; width * height * 3];
        for (y, into) in out.chunks_exact_mut(width * 3).enumerate() {
            let row = self.row(0, y, 2 * width).chunks_exact(2);
            for (into, pixel) in into.chunks_exact_mut(3).zip(row) {
                let word = u16::from_le_bytes([pixel[0], pixel[1]]);
                let five = |shift: u32| ((word >> shift & 31) * 255 / 31) as u8;
                into.copy_from_slice(&order.arrange([
                    five(11),
                    ((word >> 5 & 63) * 255 / 63) as u8,
                    five(0),
                ]));
            }
        }
        self.picture(Pixels::Rgb8(out))
    }

    fn mono(&self, sample: Sample, bayer: Option<u8>, significant: u8, order: Order) -> Pixels {
        let (width, height) = self.size();
        let rows =
            || (0..height).map(|y| self.row(0, y, sample.row_bytes(width))).collect::<Vec<_>>().concat();
        let bits = significant_bits(sample, significant);
        match (bayer, sample) {
            (Some(first_red), _) => {
                Pixels::Rgb8(fastest(bayer::ToColours { frame: self, sample, first_red, bits, order }))
            }
            (None, Sample::Byte) => Pixels::Gray8(rows()),
            (None, Sample::Float) => Pixels::Gray16(stretch(&rows())),
            // Depth has a unit: scaled, it would lie.
            _ if self.layout.format == PixelFormat::DEPTH16 => {
                Pixels::Gray16(fastest(mono::ToGrey16 { frame: self, sample, bits: 16 }))
            }
            _ => Pixels::Gray16(fastest(mono::ToGrey16 { frame: self, sample, bits })),
        }
    }
}

/// Returns how many bits of a sample carry light: as many as it has, unless somebody said fewer.
fn significant_bits(sample: Sample, said: u8) -> u8 {
    if (1..=sample.bits()).contains(&said) { said } else { sample.bits() }
}

/// Stretches floats between their least and greatest finite value; what is not finite becomes black.
fn stretch(bytes: &[u8]) -> Vec<u16> {
    let values = || bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    let finite = || values().filter(|value| value.is_finite());
    let (least, greatest) = (finite().fold(f32::MAX, f32::min), finite().fold(f32::MIN, f32::max));
    // A cast saturates, and turns a flat picture's 0/0 into 0.
    let grey = |value: f32| ((value - least) / (greatest - least) * 65535.0) as u16;
    values().map(|value| if value.is_finite() { grey(value) } else { 0 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::site;
    use rstest::rstest;

    fn pixels(picture: Picture) -> Vec<u8> {
        match picture.pixels {
            Pixels::Gray8(bytes) | Pixels::Rgb8(bytes) => bytes,
            Pixels::Gray16(words) => panic!("{words:?} are not bytes"),
        }
    }

    fn convert(format: PixelFormat, width: u32, height: u32, payload: &[u8]) -> Vec<u8> {
        let layout = format.layout(width, height, 1).unwrap();
        pixels(rgb8(&layout, payload, Colour::default()).unwrap())
    }

    /// BT.601 limited red, as every colour-bar generator writes it.
    const RED: [u8; 3] = [254, 0, 0];

    #[rstest]
    #[case::rgb(PixelFormat::RGB8, &[1, 2, 3])]
    #[case::bgr(PixelFormat::BGR8, &[3, 2, 1])]
    #[case::rgba(PixelFormat::RGBA8, &[1, 2, 3, 9])]
    #[case::bgrx(PixelFormat::BGRX8, &[3, 2, 1, 9])]
    #[case::argb(PixelFormat::ARGB8, &[9, 1, 2, 3])]
    #[case::abgr(PixelFormat::ABGR8, &[9, 3, 2, 1])]
    #[case::rgb16(PixelFormat::RGB16, &[9, 1, 9, 2, 9, 3])]
    #[case::bgr16(PixelFormat::BGR16, &[9, 3, 9, 2, 9, 1])]
    #[case::rgba16(PixelFormat::RGBA16, &[9, 1, 9, 2, 9, 3, 9, 9])]
    fn rgb_formats_differ_only_in_order(#[case] format: PixelFormat, #[case] pixel: &[u8]) {
        assert_eq!(convert(format, 1, 1, pixel), [1, 2, 3]);
    }

    #[rstest]
    #[case::red(0xF800, [255, 0, 0])]
    #[case::green(0x07E0, [0, 255, 0])]
    #[case::blue(0x001F, [0, 0, 255])]
    fn rgb565_keeps_blue_lowest(#[case] word: u16, #[case] expected: [u8; 3]) {
        assert_eq!(convert(PixelFormat::RGB565, 1, 1, &word.to_le_bytes()), expected);
    }

    // Y 81, Cb 90, Cr 240 is red.
    #[rstest]
    #[case::yuyv(PixelFormat::YUYV, &[81, 90, 81, 240])]
    #[case::uyvy(PixelFormat::UYVY, &[90, 81, 240, 81])]
    #[case::yvyu(PixelFormat::YVYU, &[81, 240, 81, 90])]
    #[case::vyuy(PixelFormat::VYUY, &[240, 81, 90, 81])]
    #[case::nv12(PixelFormat::NV12, &[81, 81, 90, 240])]
    #[case::nv21(PixelFormat::NV21, &[81, 81, 240, 90])]
    #[case::nv16(PixelFormat::NV16, &[81, 81, 90, 240])]
    #[case::nv61(PixelFormat::NV61, &[81, 81, 240, 90])]
    #[case::nv24(PixelFormat::NV24, &[81, 81, 90, 240, 90, 240])]
    #[case::nv42(PixelFormat::NV42, &[81, 81, 240, 90, 240, 90])]
    #[case::p010(PixelFormat::P010, &[0, 81, 0, 81, 0, 90, 0, 240])]
    #[case::p016(PixelFormat::P016, &[9, 81, 9, 81, 9, 90, 9, 240])]
    #[case::i420(PixelFormat::I420, &[81, 81, 90, 240])]
    #[case::yv12(PixelFormat::YV12, &[81, 81, 240, 90])]
    #[case::i422(PixelFormat::I422, &[81, 81, 90, 240])]
    #[case::i444(PixelFormat::I444, &[81, 81, 90, 90, 240, 240])]
    fn two_red_pixels_are_red_in_every_yuv_format(#[case] format: PixelFormat, #[case] payload: &[u8]) {
        assert_eq!(convert(format, 2, 1, payload), [RED, RED].concat());
    }

    #[test]
    fn an_odd_picture_takes_its_last_chroma_from_half_a_pair() {
        let mut payload = [16; 9 + 4 + 4];
        payload[9..].fill(128);
        payload[8] = 81;
        payload[12] = 90;
        payload[16] = 240;
        let rgb = convert(PixelFormat::I420, 3, 3, &payload);
        assert_eq!(rgb[24..], RED);
        assert!(rgb[..15].iter().all(|&byte| byte == 0));
    }

    #[rstest]
    #[case::unspecified_is_601_limited(2, 0, [180, 100, 180], [255, 160, 134])]
    #[case::full_601(6, 1, [180, 100, 180], [253, 153, 130])]
    #[case::limited_709(1, 2, [180, 100, 180], [255, 169, 132])]
    #[case::limited_2020(9, 2, [180, 100, 180], [255, 162, 131])]
    fn matrix_and_range_are_the_descriptors(
        #[case] matrix: u8,
        #[case] range: u8,
        #[case] yuv: [u8; 3],
        #[case] expected: [u8; 3],
    ) {
        let layout = PixelFormat::I444.layout(1, 1, 1).unwrap();
        let colour = Colour { matrix, range, significant_bits: 0 };
        assert_eq!(pixels(rgb8(&layout, &yuv, colour).unwrap()), expected);
    }

    #[rstest]
    #[case::black(16, 0)]
    #[case::white(235, 255)]
    #[case::below_black(0, 0)]
    #[case::above_white(255, 255)]
    fn limited_range_ends_at_16_and_235(#[case] luma: u8, #[case] expected: u8) {
        assert_eq!(convert(PixelFormat::I444, 1, 1, &[luma, 128, 128]), [expected; 3]);
    }

    #[rstest]
    #[case::ten(PixelFormat::GRAY10, 0, 0x3FF, 0xFFFF)]
    #[case::half_of_twelve(PixelFormat::GRAY12, 0, 0x800, 0x8007)]
    #[case::twelve_in_sixteen(PixelFormat::GRAY16, 12, 0xFFF, 0xFFFF)]
    #[case::saturated(PixelFormat::GRAY16, 10, 0x8000, 0xFFFF)]
    #[case::absurd_bits_are_ignored(PixelFormat::GRAY10, 16, 0x3FF, 0xFFFF)]
    #[case::depth_keeps_its_unit(PixelFormat::DEPTH16, 12, 1234, 1234)]
    fn deep_grey_is_scaled_by_its_significant_bits(
        #[case] format: PixelFormat,
        #[case] significant_bits: u8,
        #[case] value: u16,
        #[case] expected: u16,
    ) {
        let layout = format.layout(1, 1, 1).unwrap();
        let colour = Colour { significant_bits, ..Colour::default() };
        let picture = picture(&layout, &value.to_le_bytes(), colour).unwrap();
        assert_eq!(picture.pixels, Pixels::Gray16(vec![expected]));
    }

    #[test]
    fn floats_stretch_between_their_finite_extremes() {
        let layout = PixelFormat::FLOAT32.layout(5, 1, 1).unwrap();
        let payload = [2.0f32, f32::NAN, 4.0, f32::INFINITY, 3.0].map(f32::to_le_bytes).concat();
        let picture = picture(&layout, &payload, Colour::default()).unwrap();
        assert_eq!(picture.pixels, Pixels::Gray16(vec![0, 0, 65535, 0, 32767]));
    }

    #[test]
    fn padding_never_shows() {
        let layout = PixelFormat::GRAY8.layout(3, 2, 8).unwrap();
        let payload = [1, 2, 3, 99, 99, 99, 99, 99, 4, 5, 6, 99, 99, 99, 99, 99];
        let picture = picture(&layout, &payload, Colour::default()).unwrap();
        assert_eq!(picture.pixels, Pixels::Gray8(vec![1, 2, 3, 4, 5, 6]));
    }

    #[rstest]
    fn a_flat_colour_survives_every_bayer_order(
        #[values(0x0600, 0x0610, 0x0620, 0x0630, 0x0640, 0x0710, 0x0720, 0x0730)] family: u32,
        #[values(0, 1, 2, 3)] order: u32,
    ) {
        let format = PixelFormat(family + order);
        let layout = format.layout(5, 4, 1).unwrap();
        let Some(Shape::Mono { sample, .. }) = shape::shape(format) else { panic!("{format:?}") };
        let colour = [0xC0u16, 0x80, 0x40];
        let mut payload = vec![0; layout.bytes as usize];
        let stride = layout.planes()[0].stride as usize;
        for (y, row) in payload.chunks_exact_mut(stride).enumerate() {
            for x in 0..5 {
                let value = colour[site(order as u8, x, y)];
                let (pixels, bytes) = sample.group();
                match sample {
                    Sample::Word { bits } => {
                        row[2 * x..2 * x + 2].copy_from_slice(&(value << (bits - 8)).to_le_bytes());
                    }
                    _ => row[x / pixels * bytes + x % pixels] = value as u8,
                }
            }
        }
        for pixel in pixels(rgb8(&layout, &payload, Colour::default()).unwrap()).chunks_exact(3) {
            for (found, expected) in pixel.iter().zip(colour) {
                assert!(found.abs_diff(expected as u8) <= 1, "{found} for {expected}");
            }
        }
    }

    #[test]
    fn the_demosaic_averages_the_neighbours() {
        // RGGB; the blue site at (1, 1) sees four reds and four greens.
        let rgb = convert(PixelFormat::BAYER8_RGGB, 3, 3, &[10, 20, 30, 40, 50, 60, 70, 80, 90]);
        assert_eq!(rgb[12..15], [50, 50, 50]);
        assert_eq!(rgb[..3], [10, 30, 50]);
    }

    #[test]
    fn a_layout_beyond_the_payload_is_an_error_and_not_a_panic() {
        let layout = PixelFormat::NV12.layout(4, 4, 1).unwrap();
        let wrong = |layout, payload: &[u8]| {
            matches!(rgb8(layout, payload, Colour::default()), Err(ConvertError::Layout(_)))
        };
        assert!(wrong(&layout, &[0; 23]));
        let mut overlapping = layout;
        overlapping.planes[0].stride = 3;
        assert!(wrong(&overlapping, &[0; 24]));
        assert!(!wrong(&layout, &[0; 24]));
    }

    // Colours whose red and blue differ, in one format of each shape.
    #[rstest]
    #[case::rgb(PixelFormat::RGB8, &[200, 100, 50])]
    #[case::yuv(PixelFormat::I444, &[81, 90, 240])]
    #[case::rgb565(PixelFormat::RGB565, &[0x1F, 0xF8])]
    #[case::bayer(PixelFormat::BAYER8_RGGB, &[200])]
    fn bgr_is_rgb_backwards(#[case] format: PixelFormat, #[case] payload: &[u8]) {
        let layout = format.layout(1, 1, 1).unwrap();
        let mut rgb = pixels(rgb8(&layout, payload, Colour::default()).unwrap());
        rgb.reverse();
        assert_eq!(pixels(bgr8(&layout, payload, Colour::default()).unwrap()), rgb);
    }

    #[rstest]
    #[case::rgb(PixelFormat::RGB8, &[255, 0, 0], 76)]
    #[case::grey(PixelFormat::GRAY8, &[77], 77)]
    #[case::deep_grey(PixelFormat::GRAY10, &[0xFF, 0x03], 255)]
    #[case::limited_white(PixelFormat::YUYV, &[235, 90, 16, 240], 255)]
    fn grey_is_the_full_range_luma(
        #[case] format: PixelFormat,
        #[case] payload: &[u8],
        #[case] expected: u8,
    ) {
        let layout = format.layout(1, 1, 1).unwrap();
        assert_eq!(pixels(gray8(&layout, payload, Colour::default()).unwrap()), [expected]);
    }

    #[test]
    fn a_compressed_video_frame_names_its_format() {
        let layout = PixelFormat::H264.blob(64, 64, 10).unwrap();
        let error = rgb8(&layout, &[0; 10], Colour::default()).unwrap_err();
        assert!(error.to_string().contains("H264"), "{error}");
    }
}

//! A moving test picture that proves itself: every byte follows from a frame number and a time.
//!
//! ```text
//! +--+----------------------------+--+
//! |t |# ##  #   number, low word  |  |   five rows of 32 blocks, white = 1:
//! |t |        number, high word   |  |   number (2), time in ns (2), CRC-32 of both
//! |t | ...                        |  |
//! |t +----------------------------+  |
//! |t  colour bars moving left, ####  |   t: the tag, the number's low 16 bits
//! |t  and a white box     ########   |      in the first bytes of every row
//! |t  ramp moving left               |      of every plane
//! +----------------------------------+
//! ```
//!
//! A reader takes number and time from the blocks, makes the same picture again and compares. So it finds any
//! wrong byte, row padding included; and because the tag makes every row of a frame differ from the same row
//! of the 65,535 frames before and after, it finds any mixture of two of them.

use camlane::format::{FrameLayout, PixelFormat};
use camlane_convert::shape::{Sample, Shape, shape, site};

/// Identifies one frame of the pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) number: u64,
    pub(crate) time_ns: u64,
}

/// Locates the first byte that does not belong to the frame that the stamp in the picture names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Torn {
    /// Bytes from the start of the payload.
    pub(crate) offset: usize,
    pub(crate) plane: usize,
    pub(crate) row: u32,
    pub(crate) expected: u8,
    pub(crate) found: u8,
}

/// The least width: 32 blocks of one pixel, and 4 pixels on either side, where the tag is.
pub(crate) const MIN_WIDTH: u32 = 40;
/// The least height: five rows of blocks, and some picture.
pub(crate) const MIN_HEIGHT: u32 = 8;

/// Tells whether frames of this layout can carry the pattern: a raw format that this program knows, and at
/// least [`MIN_WIDTH`] x [`MIN_HEIGHT`] pixels.
pub(crate) fn supports(layout: &FrameLayout) -> bool {
    shape(layout.format).is_some()
        && layout.width >= MIN_WIDTH
        && layout.height >= MIN_HEIGHT
        && layout.check(u32::MAX).is_ok()
}

/// Draws frame `number` into a slot: every byte of every row of every plane, padding included.
///
/// # Panics
/// If the layout is not supported or the slot is shorter than it: both are the caller's to know.
pub(crate) fn fill(layout: &FrameLayout, number: u64, time_ns: u64, slot: &mut [u8]) {
    assert!(supports(layout), "no pattern for {layout:?}");
    let mut picture = Picture::new(layout, Stamp { number, time_ns });
    for plane in 0..layout.planes().len() {
        let at = layout.planes[plane];
        let rows = slot[at.offset as usize..][..at.bytes as usize].chunks_exact_mut(at.stride as usize);
        for (row, bytes) in rows.enumerate() {
            bytes.copy_from_slice(picture.row(plane, row));
        }
    }
}

/// Compares every byte of a frame with the one that its stamp names, and returns the stamp.
///
/// A payload that is shorter than its layout, and a layout that [`supports`] refuses, hold no pattern: they
/// are torn at byte 0.
///
/// # Errors
/// [`Torn`]: the first byte that is wrong.
pub(crate) fn check(layout: &FrameLayout, slot: &[u8]) -> Result<Stamp, Torn> {
    if !supports(layout) || slot.len() < layout.bytes as usize {
        let found = slot.first().copied().unwrap_or(0);
        return Err(Torn { offset: 0, plane: 0, row: 0, expected: !found, found });
    }
    // A stamp that was misread needs no case of its own: the CRC that is drawn for it is not the one in the
    // frame, so some block differs.
    let (stamp, _) = blocks(layout, slot);
    let mut picture = Picture::new(layout, stamp);
    for plane in 0..layout.planes().len() {
        let at = layout.planes[plane];
        let rows = slot[at.offset as usize..][..at.bytes as usize].chunks_exact(at.stride as usize);
        for (row, found) in rows.enumerate() {
            let expected = picture.row(plane, row);
            if found != expected {
                let column = found.iter().zip(expected).position(|(a, b)| a != b).unwrap_or(0);
                return Err(Torn {
                    offset: at.offset as usize + row * at.stride as usize + column,
                    plane,
                    row: row as u32,
                    expected: expected[column],
                    found: found[column],
                });
            }
        }
    }
    Ok(stamp)
}

/// Reads the stamp from the picture alone, so that it also works after a conversion or a mild compression;
/// `None` if its CRC is wrong or the layout cannot carry one.
pub(crate) fn read_stamp(layout: &FrameLayout, slot: &[u8]) -> Option<Stamp> {
    if !supports(layout) || slot.len() < layout.bytes as usize {
        return None;
    }
    let (stamp, crc) = blocks(layout, slot);
    (words(stamp)[4] == crc).then_some(stamp)
}

/// Returns the five words of a stamp, in the order of their rows.
fn words(stamp: Stamp) -> [u32; 5] {
    let Stamp { number, time_ns } = stamp;
    let crc = crc32(&[number.to_le_bytes(), time_ns.to_le_bytes()].concat());
    [number as u32, (number >> 32) as u32, time_ns as u32, (time_ns >> 32) as u32, crc]
}

/// Computes the CRC-32 of ISO 3309, which PNG and Ethernet use.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| crc >> 1 ^ if crc & 1 == 1 { 0xEDB8_8320 } else { 0 })
    })
}

/// Reads the blocks: the stamp, and the CRC that should belong to it.
fn blocks(layout: &FrameLayout, slot: &[u8]) -> (Stamp, u32) {
    let strip = Strip::new(layout);
    let word = |word: usize| {
        (0..32).fold(0u32, |all, bit| {
            // Nine places in each block: a lossy codec blurs edges, not middles.
            let quarters = |start: usize, size: usize| [1, 2, 3].map(|part| start + part * size / 4);
            let rows = quarters(word * strip.height, strip.height);
            let columns = quarters(strip.left + bit * strip.width, strip.width);
            let light = rows.iter().flat_map(|&y| columns.map(|x| u32::from(luma(layout, slot, x, y))));
            all << 1 | u32::from(light.sum::<u32>() >= 9 * 128)
        })
    };
    let long = |low: usize| u64::from(word(low)) | u64::from(word(low + 1)) << 32;
    (Stamp { number: long(0), time_ns: long(2) }, word(4))
}

/// Returns the brightness of one pixel, 0 to 255.
fn luma(layout: &FrameLayout, slot: &[u8], x: usize, y: usize) -> u8 {
    let start = |plane: u8, y: usize| {
        let at = layout.planes[usize::from(plane)];
        at.offset as usize + y * at.stride as usize
    };
    match shape(layout.format) {
        Some(Shape::Rgb([_, green, _])) => slot[start(0, y) + green.index(x)],
        Some(Shape::Yuv([luma, ..])) => slot[start(luma.plane, y) + luma.index(x)],
        Some(Shape::Rgb565) => slot[start(0, y) + 2 * x + 1] << 5 | slot[start(0, y) + 2 * x] >> 3,
        Some(Shape::Mono { sample: Sample::Float, .. }) => {
            let at = start(0, y) + 4 * x;
            (f32::from_le_bytes([0, 1, 2, 3].map(|i| slot[at + i])) * 255.0) as u8
        }
        Some(Shape::Mono { sample, .. }) => {
            (sample.get(&slot[start(0, y)..], x) >> (sample.bits() - 8)).min(255) as u8
        }
        None => 0,
    }
}

/// Places the blocks of the stamp: a property of width and height only, so that it survives conversions.
struct Strip {
    left: usize,
    /// Width and height of one block.
    width: usize,
    height: usize,
}

impl Strip {
    fn new(layout: &FrameLayout) -> Self {
        let width = (layout.width as usize - 8) / 32;
        let left = (layout.width as usize - 32 * width) / 2;
        Self { left, width, height: (layout.height as usize / 30).max(1) }
    }
}

/// Names what a row of pixels shows. Rows that show the same are the same bytes.
#[derive(Clone, Copy, PartialEq)]
enum Band {
    Word(usize),
    Bars { boxed: bool },
    Ramp { boxed: bool },
}

/// Holds a row's bytes, and what they show of which plane.
#[derive(Default)]
struct Drawn {
    what: Option<(usize, Band)>,
    bytes: Vec<u8>,
}

/// Draws the rows of one frame. Each is drawn when it first differs from the one before, so a frame costs a
/// dozen drawn rows and a memory copy.
struct Picture<'a> {
    layout: &'a FrameLayout,
    shape: Option<Shape>,
    stamp: Stamp,
    words: [u32; 5],
    strip: Strip,
    /// Shape of the moving box: left, top, width, height.
    moving: [usize; 4],
    /// The row drawn last, one for even and one for odd rows: Bayer has two kinds.
    drawn: [Drawn; 2],
    colours: Vec<[u8; 3]>,
}

/// White, yellow, cyan, green, magenta, red, blue, black: the order of the classic bars.
const BARS: [[u8; 3]; 8] = [
    [255, 255, 255],
    [255, 255, 0],
    [0, 255, 255],
    [0, 255, 0],
    [255, 0, 255],
    [255, 0, 0],
    [0, 0, 255],
    [0, 0, 0],
];

impl<'a> Picture<'a> {
    fn new(layout: &'a FrameLayout, stamp: Stamp) -> Self {
        let strip = Strip::new(layout);
        let (width, height) = (layout.width as usize, layout.height as usize);
        let (box_width, box_height) = (width / 8, height / 8);
        let top = 5 * strip.height;
        let left = bounce(stamp.number, 5, width - box_width);
        let moving = [left, top + bounce(stamp.number, 3, height - top - box_height), box_width, box_height];
        let (shape, words) = (shape(layout.format), words(stamp));
        Self { layout, shape, stamp, words, strip, moving, drawn: Default::default(), colours: Vec::new() }
    }

    /// Returns all bytes of a row, `stride` of them.
    fn row(&mut self, plane: usize, row: usize) -> &[u8] {
        let chroma = self.layout.format.info().map_or(1, |info| usize::from(info.chroma.1));
        let band = self.band(if plane == 0 { row } else { row * chroma });
        let what = Some((plane, band));
        if self.drawn[row % 2].what != what {
            let mut bytes = core::mem::take(&mut self.drawn[row % 2].bytes);
            self.paint(band);
            self.pack(plane, row, &mut bytes);
            self.drawn[row % 2] = Drawn { what, bytes };
        }
        &self.drawn[row % 2].bytes
    }

    fn band(&self, y: usize) -> Band {
        let [_, top, _, height] = self.moving;
        let boxed = (top..top + height).contains(&y);
        let body = self.layout.height as usize - 5 * self.strip.height;
        match y / self.strip.height {
            word @ 0..5 => Band::Word(word),
            _ if y < 5 * self.strip.height + body * 3 / 4 => Band::Bars { boxed },
            _ => Band::Ramp { boxed },
        }
    }

    /// Chooses the colours of a row: RGB, or limited-range BT.601 where the format is YCbCr.
    fn paint(&mut self, band: Band) {
        let width = self.layout.width as usize;
        let shift = (self.stamp.number % width as u64 * 4) as usize;
        let [left, _, box_width, _] = self.moving;
        self.colours.clear();
        self.colours.extend((0..width).map(|x| {
            let moved = (x + shift) % width;
            match band {
                Band::Word(word) => {
                    let block = x.checked_sub(self.strip.left).map(|x| x / self.strip.width);
                    let lit = block.is_some_and(|bit| bit < 32 && self.words[word] << bit >> 31 == 1);
                    [if lit { 255 } else { 0 }; 3]
                }
                Band::Bars { boxed: true } if (left..left + box_width).contains(&x) => [255; 3],
                Band::Ramp { boxed: true } if (left..left + box_width).contains(&x) => [255; 3],
                Band::Bars { .. } => BARS[moved * 8 / width],
                Band::Ramp { .. } => [(moved * 255 / width) as u8; 3],
            }
        }));
        if let Some(Shape::Yuv(_)) = self.shape {
            self.colours.iter_mut().for_each(|colour| *colour = yuv(*colour));
        }
    }

    /// Stores the painted colours as the format wants them, then tag and padding.
    fn pack(&self, plane: usize, row: usize, bytes: &mut Vec<u8>) {
        let opaque = if let Some(Shape::Rgb(_)) = self.shape { 0xFF } else { 0 };
        let row_bytes = self.layout.row_bytes(plane) as usize;
        bytes.clear();
        bytes.resize(row_bytes, opaque);
        match self.shape {
            Some(Shape::Rgb(channels) | Shape::Yuv(channels)) => {
                for (number, channel) in channels.into_iter().enumerate() {
                    if usize::from(channel.plane) != plane {
                        continue;
                    }
                    let to = bytes[channel.first.into()..].iter_mut().step_by(channel.step.into());
                    let from = self.colours.iter().step_by(channel.dx.into());
                    to.zip(from).for_each(|(byte, colour)| *byte = colour[number]);
                }
            }
            Some(Shape::Rgb565) => {
                for (pixel, &[r, g, b]) in bytes.chunks_exact_mut(2).zip(&self.colours) {
                    let word = u16::from(r >> 3) << 11 | u16::from(g >> 2) << 5 | u16::from(b >> 3);
                    pixel.copy_from_slice(&word.to_le_bytes());
                }
            }
            Some(Shape::Mono { sample, bayer }) => {
                let grey = |x: usize| match (bayer, self.colours[x]) {
                    (Some(order), colour) => colour[site(order, x, row)],
                    (None, colour) => yuv_luma(colour),
                };
                let (pixels, group) = sample.group();
                for (start, bytes) in
                    (0..self.colours.len()).step_by(pixels).zip(bytes.chunks_exact_mut(group))
                {
                    match sample {
                        Sample::Word { bits } => {
                            bytes.copy_from_slice(&(u16::from(grey(start)) << (bits - 8)).to_le_bytes());
                        }
                        Sample::Float => {
                            bytes.copy_from_slice(&(f32::from(grey(start)) / 255.0).to_le_bytes());
                        }
                        // The low bits of packed pixels stay 0.
                        Sample::Byte | Sample::Mipi { .. } => {
                            let last = (start + pixels).min(self.colours.len());
                            bytes.iter_mut().zip(start..last).for_each(|(byte, x)| *byte = grey(x));
                        }
                    }
                }
            }
            None => {}
        }
        let [low, high] = (self.stamp.number as u16).to_le_bytes();
        let [first, second] = self.tag();
        (bytes[first], bytes[second]) = (low, high);
        bytes.resize(self.layout.planes[plane].stride as usize, low);
    }

    /// Returns where the tag's two bytes are in a row. Where a word has unused bits, they stay unused.
    fn tag(&self) -> [usize; 2] {
        match (self.layout.format, self.shape) {
            (PixelFormat::P010, _) => [1, 3],
            (_, Some(Shape::Mono { sample: Sample::Word { bits: 9..16 }, .. })) => [0, 2],
            _ => [0, 1],
        }
    }
}

/// Moves from 0 to `room` and back, `step` for each frame.
fn bounce(number: u64, step: u64, room: usize) -> usize {
    let period = 2 * room.max(1) as u64;
    let at = (number % period * step % period) as usize;
    at.min(period as usize - at)
}

/// Converts full-range RGB to limited-range BT.601, with 8-bit coefficients.
fn yuv([r, g, b]: [u8; 3]) -> [u8; 3] {
    let sum = |[kr, kg, kb]: [i32; 3], zero: i32| {
        let sum = kr * i32::from(r) + kg * i32::from(g) + kb * i32::from(b);
        (((sum + 128) >> 8) + zero) as u8
    };
    [sum([66, 129, 25], 16), sum([-38, -74, 112], 128), sum([112, -94, -18], 128)]
}

/// Converts full-range RGB to full-range grey.
fn yuv_luma([r, g, b]: [u8; 3]) -> u8 {
    ((77 * u32::from(r) + 150 * u32::from(g) + 29 * u32::from(b)) >> 8) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use camlane_convert::{Colour, rgb8};
    use rstest::rstest;

    fn raw_formats() -> impl Iterator<Item = PixelFormat> {
        let formats = PixelFormat::ALL.iter().map(|info| info.format);
        formats.filter(|format| !format.is_compressed() && *format != PixelFormat::OPAQUE)
    }

    fn drawn(layout: &FrameLayout, number: u64, time_ns: u64) -> Vec<u8> {
        let mut slot = vec![0xC3; layout.bytes as usize];
        fill(layout, number, time_ns, &mut slot);
        slot
    }

    #[rstest]
    fn every_raw_format_returns_its_stamp(
        #[values((40, 8), (41, 9), (67, 35), (320, 240))] size: (u32, u32),
        #[values(1, 64)] row_align: u32,
        #[values(0, 1, 0x1_0000, u64::MAX - 3)] number: u64,
    ) {
        for format in raw_formats() {
            let layout = format.layout(size.0, size.1, row_align).unwrap();
            let slot = drawn(&layout, number, !number / 3);
            let stamp = Stamp { number, time_ns: !number / 3 };
            assert_eq!(check(&layout, &slot), Ok(stamp), "{layout:?}");
            assert_eq!(read_stamp(&layout, &slot), Some(stamp), "{layout:?}");
        }
    }

    #[test]
    fn fill_leaves_no_byte_as_it_was() {
        for format in raw_formats() {
            let layout = format.layout(41, 9, 32).unwrap();
            let (mut one, mut other) = (vec![0; layout.bytes as usize], vec![0xFF; layout.bytes as usize]);
            fill(&layout, 7, 8, &mut one);
            fill(&layout, 7, 8, &mut other);
            assert_eq!(one, other, "{format}");
        }
    }

    /// Turns every `step`-th bit over, alone, and expects each to be found.
    fn flip(format: PixelFormat, step: usize) {
        let layout = format.layout(41, 8, 16).unwrap();
        let mut slot = drawn(&layout, 0x1234_5678_9ABC, 987_654_321);
        for at in (0..slot.len() * 8).step_by(step) {
            slot[at / 8] ^= 1 << (at % 8);
            assert!(check(&layout, &slot).is_err(), "{format} byte {} bit {}", at / 8, at % 8);
            slot[at / 8] ^= 1 << (at % 8);
        }
        assert!(check(&layout, &slot).is_ok(), "{format}");
    }

    #[test]
    fn any_wrong_bit_of_a_small_frame_is_found() {
        flip(PixelFormat::NV12, 1);
    }

    #[test]
    fn wrong_bits_are_found_in_every_format() {
        // A prime, so that every bit of a byte and every column has its turn.
        raw_formats().for_each(|format| flip(format, 101));
    }

    #[test]
    fn a_wrong_byte_outside_the_blocks_is_located() {
        let layout = PixelFormat::YUYV.layout(1280, 720, 64).unwrap();
        let mut slot = drawn(&layout, 99, 1);
        for at in (2560 * 200..slot.len()).step_by(997) {
            let expected = slot[at];
            slot[at] = !expected;
            let row = (at / 2560) as u32;
            let torn = Torn { offset: at, plane: 0, row, expected, found: !expected };
            assert_eq!(check(&layout, &slot), Err(torn));
            slot[at] = expected;
        }
    }

    #[rstest]
    fn two_frames_mixed_at_any_row_are_torn(
        #[values(1, 2, 255, 256, 0x8000, 0xFFFF)] apart: u64,
        #[values(0, 0xFFFF, 0xFFFF_FFFF)] number: u64,
    ) {
        for format in raw_formats() {
            let layout = format.layout(44, 10, 1).unwrap();
            let (old, new) = (drawn(&layout, number, 5), drawn(&layout, number + apart, 6));
            for at in layout.planes() {
                for row in 0..at.rows {
                    let cut = (at.offset + row * at.stride) as usize;
                    let mixed = |head: &[u8], tail: &[u8]| [&head[..cut], &tail[cut..]].concat();
                    if cut > 0 {
                        assert!(check(&layout, &mixed(&old, &new)).is_err(), "{format} cut at {cut}");
                        assert!(check(&layout, &mixed(&new, &old)).is_err(), "{format} cut at {cut}");
                    }
                }
            }
        }
    }

    #[test]
    fn every_row_of_neighbouring_frames_differs() {
        for format in raw_formats() {
            let layout = format.layout(44, 10, 1).unwrap();
            let frames = [7, 8, 7 + 0xFFFF].map(|number| drawn(&layout, number, 0));
            for at in layout.planes() {
                let rows = |frame: usize| {
                    frames[frame][at.offset as usize..][..at.bytes as usize].chunks(at.stride as usize)
                };
                assert!(rows(0).zip(rows(1)).all(|(a, b)| a != b), "{format}");
                assert!(rows(0).zip(rows(2)).all(|(a, b)| a != b), "{format}");
            }
        }
    }

    #[test]
    fn the_stamp_is_read_after_a_conversion_to_rgb() {
        for format in raw_formats().filter(|format| *format != PixelFormat::FLOAT32) {
            let layout = format.layout(160, 120, 1).unwrap();
            let rgb = rgb8(&layout, &drawn(&layout, 31, 41), Colour::default()).unwrap().pixels.into_rgb8();
            let layout = PixelFormat::RGB8.layout(160, 120, 1).unwrap();
            assert_eq!(read_stamp(&layout, &rgb), Some(Stamp { number: 31, time_ns: 41 }), "{format}");
        }
    }

    #[test]
    fn the_stamp_is_read_through_noise_and_not_through_a_grey_picture() {
        let layout = PixelFormat::I420.layout(320, 240, 1).unwrap();
        let mut slot = drawn(&layout, 31, 41);
        for (at, byte) in slot.iter_mut().enumerate() {
            *byte = byte.saturating_add((at * 37 % 61) as u8).saturating_sub(30);
        }
        assert_eq!(read_stamp(&layout, &slot), Some(Stamp { number: 31, time_ns: 41 }));
        slot.fill(128);
        assert_eq!(read_stamp(&layout, &slot), None);
    }

    #[rstest]
    #[case::narrow(39, 8)]
    #[case::low(40, 7)]
    fn a_frame_without_room_for_the_stamp_is_torn_and_no_panic(#[case] width: u32, #[case] height: u32) {
        let layout = PixelFormat::GRAY8.layout(width, height, 1).unwrap();
        assert!(!supports(&layout));
        assert!(check(&layout, &vec![0; layout.bytes as usize]).is_err());
        assert_eq!(read_stamp(&layout, &vec![0; layout.bytes as usize]), None);
    }

    #[test]
    fn what_holds_no_pattern_is_torn_and_no_panic() {
        let layout = PixelFormat::NV12.layout(64, 64, 1).unwrap();
        assert!(check(&layout, &[0; 100]).is_err());
        assert!(check(&layout, &vec![0; layout.bytes as usize]).is_err());
        let jpeg = PixelFormat::JPEG.blob(64, 64, 100).unwrap();
        assert!(check(&jpeg, &[0; 100]).is_err());
        let mut lying = layout;
        lying.planes[1].offset = 10_000;
        assert!(check(&lying, &vec![0; 6144]).is_err());
    }

    #[test]
    fn the_crc_is_that_of_png() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }
}

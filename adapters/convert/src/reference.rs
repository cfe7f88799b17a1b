//! The conversions as formulas, one pixel at a time, for comparison with the fast ones.

use crate::shape::{Sample, Shape, shape, site};
use crate::yuv::Weights;
use crate::{
    Colour, Frame, Order, Pixels, bayer, bgr8, gray8, mono, picture, rgb8, rows, significant_bits, yuv,
};
use camlane_core::format::{FrameLayout, PixelFormat};
use rstest::rstest;

/// Red, green and blue of column `x` in row `y`.
fn pixel(frame: &Frame<'_>, colour: Colour, x: usize, y: usize) -> [u8; 3] {
    let (width, height) = frame.size();
    let sample = |channel: crate::shape::Channel| frame.channel(channel, y)[channel.index(x)];
    match shape(frame.layout.format).unwrap() {
        Shape::Rgb(channels) => channels.map(sample),
        Shape::Yuv(channels) => {
            let [y, u, v] = channels.map(|channel| f64::from(sample(channel)));
            let weights = Weights::new(colour);
            let (y, u, v) = ((y - f64::from(weights.black)) * weights.luma, u - 128.0, v - 128.0);
            [y + weights.red_v * v, y + weights.green_u * u + weights.green_v * v, y + weights.blue_u * u]
                .map(|value| value.round().clamp(0.0, 255.0) as u8)
        }
        Shape::Rgb565 => {
            let row = frame.row(0, y, 2 * width);
            let word = u32::from(u16::from_le_bytes([row[2 * x], row[2 * x + 1]]));
            [(word >> 11) * 255 / 31, (word >> 5 & 63) * 255 / 63, (word & 31) * 255 / 31]
                .map(|value| value as u8)
        }
        Shape::Mono { sample, bayer: Some(first_red) } => {
            let (mut sum, mut count) = ([0; 3], [0; 3]);
            for near_y in y.saturating_sub(1)..(y + 2).min(height) {
                for near_x in x.saturating_sub(1)..(x + 2).min(width) {
                    let colour_there = site(first_red, near_x, near_y);
                    sum[colour_there] += u32::from(deep(frame, sample, colour, near_x, near_y));
                    count[colour_there] += 1;
                }
            }
            let own = site(first_red, x, y);
            (sum[own], count[own]) = (deep(frame, sample, colour, x, y).into(), 1);
            [0, 1, 2].map(|colour| ((sum[colour] / count[colour].max(1)) >> 8) as u8)
        }
        Shape::Mono { sample, .. } => [(deep(frame, sample, colour, x, y) >> 8) as u8; 3],
    }
}

/// A sample as 16 bits.
fn deep(frame: &Frame<'_>, sample: Sample, colour: Colour, x: usize, y: usize) -> u16 {
    let value = u32::from(sample.get(frame.row(0, y, sample.row_bytes(frame.size().0)), x));
    if frame.layout.format == PixelFormat::DEPTH16 {
        return value as u16;
    }
    let greatest = (1u32 << significant_bits(sample, colour.significant_bits)) - 1;
    (value.min(greatest) * 65535 / greatest) as u16
}

fn grey(frame: &Frame<'_>, colour: Colour, x: usize, y: usize) -> u8 {
    match shape(frame.layout.format).unwrap() {
        Shape::Yuv([luma, ..]) => {
            let weights = Weights::new(colour);
            let light = f64::from(frame.channel(luma, y)[luma.index(x)]) - f64::from(weights.black);
            (light * weights.luma).round().clamp(0.0, 255.0) as u8
        }
        Shape::Mono { bayer: None, .. } => pixel(frame, colour, x, y)[0],
        _ => {
            let [red, green, blue] = pixel(frame, colour, x, y).map(f64::from);
            (0.299 * red + 0.587 * green + 0.114 * blue).round() as u8
        }
    }
}

fn random(bytes: u32, seed: u64) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15 ^ seed;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..bytes).map(|_| next()).collect()
}

fn bytes(pixels: Pixels) -> Vec<u8> {
    match pixels {
        Pixels::Gray8(bytes) | Pixels::Rgb8(bytes) => bytes,
        Pixels::Gray16(_) => panic!("16 bits where 8 were asked for"),
    }
}

/// Raw formats whose pixels are numbers that a person sees; floats are stretched as a whole.
fn formats() -> impl Iterator<Item = PixelFormat> {
    PixelFormat::ALL
        .iter()
        .map(|info| info.format)
        .filter(|format| shape(*format).is_some() && *format != PixelFormat::FLOAT32)
}

const SIZES: [(u32, u32); 9] =
    [(1, 1), (2, 1), (1, 4), (3, 3), (63, 2), (64, 3), (65, 5), (130, 4), (193, 2)];

const COLOURS: [Colour; 5] = [
    Colour { matrix: 2, range: 0, significant_bits: 0 },
    Colour { matrix: 6, range: 1, significant_bits: 8 },
    Colour { matrix: 1, range: 2, significant_bits: 9 },
    Colour { matrix: 9, range: 2, significant_bits: 0 },
    Colour { matrix: 7, range: 1, significant_bits: 12 },
];

/// Every format, whole frames of noise, odd sizes, padded rows: no byte is further off than one, few are off at all.
#[rstest]
fn a_fast_conversion_is_within_one_of_the_formula(
    #[values(1, 64)] row_align: u32,
    #[values(0, 1, 2, 3, 4)] colour: usize,
) {
    let colour = COLOURS[colour];
    let (mut compared, mut off) = (0u64, 0u64);
    for format in formats() {
        for (number, (width, height)) in SIZES.into_iter().enumerate() {
            let layout = format.layout(width, height, row_align).unwrap();
            let payload = random(layout.bytes, u64::from(format.0) << 8 | number as u64);
            let frame = Frame::new(&layout, &payload).unwrap();
            let found =
                [rgb8, bgr8, gray8].map(|convert| bytes(convert(&layout, &payload, colour).unwrap().pixels));
            for at in 0..(width * height) as usize {
                let (x, y) = (at % width as usize, at / width as usize);
                let [red, green, blue] = pixel(&frame, colour, x, y);
                let expected = [red, green, blue, blue, green, red, grey(&frame, colour, x, y)];
                let found: Vec<u8> =
                    [&found[0][3 * at..3 * at + 3], &found[1][3 * at..3 * at + 3], &found[2][at..=at]]
                        .concat();
                for (found, expected) in found.iter().zip(expected) {
                    assert!(
                        found.abs_diff(expected) <= 1,
                        "{} {width}x{height} by {row_align} at {x},{y}: {found:?}, not {expected}",
                        format.name()
                    );
                    compared += 1;
                    off += u64::from(*found != expected);
                }
            }
        }
    }
    assert!(compared > 500_000 && off * 100 < compared, "{off} of {compared} are off by one");
}

/// What saturates is what rounding errors must not wrap: all combinations of extreme samples, and all lumas.
#[rstest]
fn no_sample_makes_a_sum_wrap(#[values(0, 1, 2, 3, 4)] colour: usize) {
    let colour = COLOURS[colour];
    let layout = PixelFormat::I444.layout(256, 1, 1).unwrap();
    for (u, v) in [0, 1, 127, 128, 254, 255].into_iter().flat_map(|u| [0, 1, 128, 255].map(|v| (u, v))) {
        let mut payload: Vec<u8> = (0..=255).collect();
        payload.extend([[u; 256], [v; 256]].concat());
        let frame = Frame::new(&layout, &payload).unwrap();
        let rgb = bytes(rgb8(&layout, &payload, colour).unwrap().pixels);
        for (x, found) in rgb.chunks_exact(3).enumerate() {
            let expected = pixel(&frame, colour, x, 0);
            assert!(found.iter().zip(expected).all(|(found, expected)| found.abs_diff(expected) <= 1));
        }
        let grey_row = bytes(gray8(&layout, &payload, colour).unwrap().pixels);
        assert!((0..256).all(|x| grey_row[x] == grey(&frame, colour, x, 0)), "grey is exact");
    }
}

/// Bytes that only change their places keep their values.
#[rstest]
fn another_order_of_the_colours_is_exact(#[values(1, 64)] row_align: u32) {
    for format in formats().filter(|format| matches!(shape(*format), Some(Shape::Rgb(_)))) {
        for (width, height) in SIZES {
            let layout = format.layout(width, height, row_align).unwrap();
            let payload = random(layout.bytes, format.0.into());
            let frame = Frame::new(&layout, &payload).unwrap();
            let places = (0..height as usize).flat_map(|y| (0..width as usize).map(move |x| (x, y)));
            let expected: Vec<_> = places.map(|(x, y)| pixel(&frame, Colour::default(), x, y)).collect();
            for (convert, order) in [(rgb8 as fn(_, _, _) -> _, Order::Rgb), (bgr8, Order::Bgr)] {
                let found = bytes(convert(&layout, &payload, Colour::default()).unwrap().pixels);
                let expected =
                    expected.iter().map(|colours| order.arrange(*colours)).collect::<Vec<_>>().concat();
                assert_eq!(found, expected, "{} {width}x{height} by {row_align}", format.name());
            }
        }
    }
}

/// Deep grey keeps its sixteen bits exactly.
#[rstest]
fn deep_grey_is_exact(#[values(0, 1, 2, 3, 4)] colour: usize) {
    let colour = COLOURS[colour];
    let deep_grey = |format: &PixelFormat| matches!(shape(*format), Some(Shape::Mono { bayer: None, sample }) if sample != Sample::Byte);
    for format in formats().filter(deep_grey) {
        let layout = format.layout(257, 3, 16).unwrap();
        let payload = random(layout.bytes, format.0.into());
        let frame = Frame::new(&layout, &payload).unwrap();
        let Some(Shape::Mono { sample, .. }) = shape(format) else { panic!("{format:?}") };
        let expected = (0..3).flat_map(|y| (0..257).map(move |x| (x, y)));
        let expected: Vec<u16> = expected.map(|(x, y)| deep(&frame, sample, colour, x, y)).collect();
        assert_eq!(
            picture(&layout, &payload, colour).unwrap().pixels,
            Pixels::Gray16(expected),
            "{format:?}"
        );
    }
}

/// A processor with better instructions gets the same bytes sooner.
#[rstest]
fn every_processor_gets_the_same_bytes(#[values(5, 64, 131)] width: u32) {
    fn same<W: rows::Work>(work: impl Fn() -> W)
    where
        W::Result: PartialEq + std::fmt::Debug,
    {
        assert_eq!(rows::fastest(work()), work().run());
    }
    let layouts = formats().map(|format| format.layout(width, 3, 16).unwrap());
    for layout in layouts.collect::<Vec<FrameLayout>>() {
        let payload = random(layout.bytes, width.into());
        let frame = &Frame::new(&layout, &payload).unwrap();
        let matrix = || yuv::Matrix::new(Colour::default());
        match shape(layout.format).unwrap() {
            Shape::Yuv(channels) => {
                same(|| yuv::ToColours { frame, channels, matrix: matrix(), order: Order::Bgr });
                same(|| yuv::ToGrey { frame, luma: channels[0], matrix: matrix() });
            }
            Shape::Rgb(channels) => {
                same(|| rows::Reorder { frame, channels });
                same(|| rows::Grey { frame, channels });
            }
            Shape::Mono { sample, bayer: Some(first_red) } => {
                let (bits, order) = (sample.bits(), Order::Rgb);
                same(|| bayer::ToColours { frame, sample, first_red, bits, order });
            }
            Shape::Mono { sample, .. } => same(|| mono::ToGrey16 { frame, sample, bits: sample.bits() }),
            Shape::Rgb565 => {}
        }
        same(|| rows::Luma(&payload));
        same(|| rows::Thrice(&payload));
    }
}

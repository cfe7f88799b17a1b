//! Luma and chroma to RGB and grey, in 16-bit fixed point.

use crate::rows::{BLOCK, Bytes, Line, Work, append};
use crate::shape::Channel;
use crate::{Colour, Frame, Order};

/// Bits after the point of what is added up.
const POINT: u32 = 5;

/// Holds the conversion from YCbCr to RGB. Factors are scaled so that the high 16 bits of their product with a sample
/// that fills 16 bits have [`POINT`] bits after the point: 14 bits for luma, which is below 2, 13 for chroma, which is below 4.
pub(crate) struct Matrix {
    black: i16,
    luma: i16,
    red_v: i16,
    green_u: i16,
    green_v: i16,
    blue_u: i16,
}

impl Matrix {
    pub(crate) fn new(colour: Colour) -> Self {
        let Weights { black, luma, red_v, green_u, green_v, blue_u } = Weights::new(colour);
        let fixed = |value: f64, bits: u32| (value * f64::from(1 << bits)).round() as i16;
        Self {
            black,
            luma: fixed(luma, 9 + POINT),
            red_v: fixed(red_v, 8 + POINT),
            green_u: fixed(green_u, 8 + POINT),
            green_v: fixed(green_v, 8 + POINT),
            blue_u: fixed(blue_u, 8 + POINT),
        }
    }

    /// Returns luma without its offset, stretched. `rounding` goes in here, once for each sum.
    #[inline(always)]
    fn light(&self, y: u8, rounding: i16) -> i16 {
        high((i16::from(y) - self.black) << 7, self.luma) + rounding
    }

    #[inline(always)]
    fn rgb(&self, y: &Bytes, u: &Bytes, v: &Bytes) -> [Bytes; 3] {
        let [mut red, mut green, mut blue] = [[0; BLOCK]; 3];
        for at in 0..BLOCK {
            // What is cut off is half a unit on average, in each of two terms; three for green, whose third is too small
            // to be seen.
            let light = self.light(y[at], HALF + 1);
            let (u, v) = ((i16::from(u[at]) - 128) << 8, (i16::from(v[at]) - 128) << 8);
            red[at] = byte(light + high(v, self.red_v));
            green[at] = byte(light + high(u, self.green_u) + high(v, self.green_v));
            blue[at] = byte(light + high(u, self.blue_u));
        }
        [red, green, blue]
    }
}

/// A half, which turns cutting off into rounding.
const HALF: i16 = 1 << (POINT - 1);

#[inline(always)]
fn high(sample: i16, factor: i16) -> i16 {
    ((i32::from(sample) * i32::from(factor)) >> 16) as i16
}

#[inline(always)]
fn byte(sum: i16) -> u8 {
    (sum >> POINT).clamp(0, 255) as u8
}

/// The conversion as real numbers.
pub(crate) struct Weights {
    pub(crate) black: i16,
    pub(crate) luma: f64,
    pub(crate) red_v: f64,
    pub(crate) green_u: f64,
    pub(crate) green_v: f64,
    pub(crate) blue_u: f64,
}

impl Weights {
    pub(crate) fn new(colour: Colour) -> Self {
        // Kr and Kb after ITU-T H.273, table 4.
        let (kr, kb) = match colour.matrix {
            1 => (0.2126, 0.0722),
            4 => (0.30, 0.11),
            7 => (0.212, 0.087),
            9 | 10 => (0.2627, 0.0593),
            _ => (0.299, 0.114),
        };
        let (black, luma, chroma) = match colour.range {
            1 => (0, 1.0, 1.0),
            _ => (16, 255.0 / 219.0, 255.0 / 224.0),
        };
        let kg = 1.0 - kr - kb;
        let (red, blue) = (2.0 * (1.0 - kr) * chroma, 2.0 * (1.0 - kb) * chroma);
        Self { black, luma, red_v: red, green_u: -blue * kb / kg, green_v: -red * kr / kg, blue_u: blue }
    }
}

/// Makes RGB or BGR of three channels.
pub(crate) struct ToColours<'a> {
    pub(crate) frame: &'a Frame<'a>,
    pub(crate) channels: [Channel; 3],
    pub(crate) matrix: Matrix,
    pub(crate) order: Order,
}

impl Work for ToColours<'_> {
    type Result = Vec<u8>;

    #[inline(always)]
    fn run(self) -> Vec<u8> {
        let Self { frame, channels, matrix, order } = self;
        let (width, height) = frame.size();
        let mut out = Vec::with_capacity(width * height * 3);
        let mut lines = [(); 3].map(|()| Line::new(width));
        for row in 0..height {
            for (line, channel) in lines.iter_mut().zip(channels) {
                line.take(frame, channel, row);
            }
            let [y, u, v] = &lines;
            for (block, ((y, u), v)) in y.blocks().zip(u.blocks()).zip(v.blocks()).enumerate() {
                let [red, green, blue] = matrix.rgb(y, u, v);
                match order {
                    Order::Rgb => append(&mut out, width - block * BLOCK, &red, &green, &blue),
                    Order::Bgr => append(&mut out, width - block * BLOCK, &blue, &green, &red),
                }
            }
        }
        out
    }
}

/// Makes grey of luma: stretched to the full range.
pub(crate) struct ToGrey<'a> {
    pub(crate) frame: &'a Frame<'a>,
    pub(crate) luma: Channel,
    pub(crate) matrix: Matrix,
}

impl Work for ToGrey<'_> {
    type Result = Vec<u8>;

    #[inline(always)]
    fn run(self) -> Vec<u8> {
        let Self { frame, luma, matrix } = self;
        let (width, height) = frame.size();
        if luma.step == 1 {
            let mut out = vec![0; width * height];
            for (row, into) in out.chunks_exact_mut(width).enumerate() {
                for (grey, &y) in into.iter_mut().zip(frame.channel(luma, row)) {
                    *grey = byte(matrix.light(y, HALF));
                }
            }
            return out;
        }
        let mut out = Vec::with_capacity(width * height);
        let mut line = Line::new(width);
        for row in 0..height {
            line.take(frame, luma, row);
            for (block, y) in line.blocks().enumerate() {
                let grey = y.map(|y| byte(matrix.light(y, HALF)));
                out.extend_from_slice(&grey[..BLOCK.min(width - block * BLOCK)]);
            }
        }
        out
    }
}

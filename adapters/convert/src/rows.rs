//! Rows of pixels, worked on in loops that the compiler makes vector instructions of.
//!
//! They are compiled twice for x86: as the whole program is, which shuffles bytes one by one, and with AVX2, which does
//! not. The results are the same.
#![allow(unsafe_code)] // calls what is compiled for AVX2 where the processor has it

use crate::Frame;
use crate::shape::Channel;

/// Pixels that are worked on at once.
pub(crate) const BLOCK: usize = 64;

/// One byte for each pixel of a block.
pub(crate) type Bytes = [u8; BLOCK];

/// Work that is compiled for more than one processor. `run` and all that it calls are `inline(always)`: a function of its
/// own would be compiled once, for the poorest.
pub(crate) trait Work {
    type Result;
    fn run(self) -> Self::Result;
}

/// Does the work with the best instructions that the processor has.
pub(crate) fn fastest<W: Work>(work: W) -> W::Result {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the function is safe but for the instructions that it needs, and the processor was just found to have
        // them.
        return unsafe { with_avx2(work) };
    }
    work.run()
}

#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
#[target_feature(enable = "avx2")]
fn with_avx2<W: Work>(work: W) -> W::Result {
    work.run()
}

/// The samples of one channel of one row: `width` rounded up to whole blocks of them, the last ones of no meaning.
pub(crate) struct Line {
    samples: Vec<u8>,
    /// Those that several pixels share.
    shared: Vec<u8>,
}

impl Line {
    pub(crate) fn new(width: usize) -> Self {
        let samples = vec![0; width.next_multiple_of(BLOCK)];
        Self { shared: samples.clone(), samples }
    }

    /// Takes a channel of a row, one sample for each pixel. Rows come in turn, from the first on.
    #[inline(always)]
    pub(crate) fn take(&mut self, frame: &Frame<'_>, channel: Channel, y: usize) {
        if !y.is_multiple_of(channel.dy.into()) {
            return; // has it from the row before
        }
        let row = frame.channel(channel, y);
        if channel.dx == 1 {
            return pick(row, channel, &mut self.samples);
        }
        pick(row, channel, &mut self.shared);
        for (pair, &sample) in self.samples.as_chunks_mut::<2>().0.iter_mut().zip(&self.shared) {
            *pair = (u16::from(sample) * 0x101).to_le_bytes();
        }
    }

    #[inline(always)]
    pub(crate) fn blocks(&self) -> impl Iterator<Item = &Bytes> {
        self.samples.as_chunks::<BLOCK>().0.iter()
    }
}

/// Picks the samples of a channel out of their row.
#[inline(always)]
fn pick(row: &[u8], channel: Channel, into: &mut [u8]) {
    match channel.step {
        1 => into[..row.len()].copy_from_slice(row),
        2 => pick_each::<2>(row, channel, into),
        3 => pick_each::<3>(row, channel, into),
        4 => {
            for (into, group) in into.iter_mut().zip(row.as_chunks::<4>().0) {
                *into = (u32::from_le_bytes(*group) >> ((8 * channel.first) & 31)) as u8;
            }
        }
        6 => pick_each::<6>(row, channel, into),
        _ => pick_each::<8>(row, channel, into),
    }
}

#[inline(always)]
fn pick_each<const STEP: usize>(row: &[u8], channel: Channel, into: &mut [u8]) {
    let first = usize::from(channel.first).min(STEP - 1);
    for (into, group) in into.iter_mut().zip(row.as_chunks::<STEP>().0) {
        *into = group[first];
    }
}

/// Appends the first `count` pixels of three colours, one after the other.
#[inline(always)]
pub(crate) fn append(out: &mut Vec<u8>, count: usize, first: &Bytes, second: &Bytes, third: &Bytes) {
    let mut pixels = [0; 3 * BLOCK];
    for (((pixel, &first), &second), &third) in
        pixels.as_chunks_mut::<3>().0.iter_mut().zip(first).zip(second).zip(third)
    {
        *pixel = [first, second, third];
    }
    out.extend_from_slice(&pixels[..3 * count.min(BLOCK)]);
}

/// Calls a function with the places of three colours in a pixel of 3 or 4 bytes as constants: then the compiler moves them
/// by shuffles of whole vectors.
macro_rules! by_place {
    ($channels:expr, $pixels:ident($($argument:expr),*), $others:expr) => {
        match ($channels[0].step, $channels.map(|channel| channel.first)) {
            (3, [0, 1, 2]) => $pixels::<3, 0, 1, 2>($($argument),*),
            (3, [2, 1, 0]) => $pixels::<3, 2, 1, 0>($($argument),*),
            (4, [0, 1, 2]) => $pixels::<4, 0, 1, 2>($($argument),*),
            (4, [2, 1, 0]) => $pixels::<4, 2, 1, 0>($($argument),*),
            (4, [1, 2, 3]) => $pixels::<4, 1, 2, 3>($($argument),*),
            (4, [3, 2, 1]) => $pixels::<4, 3, 2, 1>($($argument),*),
            _ => $others,
        }
    };
}

/// Makes RGB or BGR of three channels in any other order.
pub(crate) struct Reorder<'a> {
    pub(crate) frame: &'a Frame<'a>,
    pub(crate) channels: [Channel; 3],
}

impl Work for Reorder<'_> {
    type Result = Vec<u8>;

    #[inline(always)]
    fn run(self) -> Vec<u8> {
        let Self { frame, channels } = self;
        by_place!(channels, reorder(frame, channels[0]), self.by_lines())
    }
}

impl Reorder<'_> {
    #[inline(always)]
    fn by_lines(self) -> Vec<u8> {
        let Self { frame, channels } = self;
        let (width, height) = frame.size();
        let mut out = Vec::with_capacity(width * height * 3);
        let mut lines = [(); 3].map(|()| Line::new(width));
        for y in 0..height {
            for (line, channel) in lines.iter_mut().zip(channels) {
                line.take(frame, channel, y);
            }
            let [first, second, third] = &lines;
            for (block, ((first, second), third)) in
                first.blocks().zip(second.blocks()).zip(third.blocks()).enumerate()
            {
                append(&mut out, width - block * BLOCK, first, second, third);
            }
        }
        out
    }
}

#[inline(always)]
fn reorder<const STEP: usize, const A: usize, const B: usize, const C: usize>(
    frame: &Frame<'_>,
    channel: Channel,
) -> Vec<u8> {
    let (width, height) = frame.size();
    let mut out = vec![0; width * height * 3];
    for (y, into) in out.chunks_exact_mut(3 * width).enumerate() {
        let row = frame.channel(channel, y).as_chunks::<STEP>().0;
        for (into, pixel) in into.as_chunks_mut::<3>().0.iter_mut().zip(row) {
            *into = [pixel[A], pixel[B], pixel[C]];
        }
    }
    out
}

/// Makes grey of red, green and blue that lie in any order.
pub(crate) struct Grey<'a> {
    pub(crate) frame: &'a Frame<'a>,
    pub(crate) channels: [Channel; 3],
}

impl Work for Grey<'_> {
    type Result = Vec<u8>;

    #[inline(always)]
    fn run(self) -> Vec<u8> {
        let Self { frame, channels } = self;
        by_place!(channels, grey(frame, channels[0]), Luma(&Reorder { frame, channels }.by_lines()).run())
    }
}

#[inline(always)]
fn grey<const STEP: usize, const A: usize, const B: usize, const C: usize>(
    frame: &Frame<'_>,
    channel: Channel,
) -> Vec<u8> {
    let (width, height) = frame.size();
    let mut out = vec![0; width * height];
    for (y, into) in out.chunks_exact_mut(width).enumerate() {
        for (grey, pixel) in into.iter_mut().zip(frame.channel(channel, y).as_chunks::<STEP>().0) {
            *grey = luma([pixel[A], pixel[B], pixel[C]]);
        }
    }
    out
}

/// Weighs red, green and blue as BT.601 does.
#[inline(always)]
fn luma([red, green, blue]: [u8; 3]) -> u8 {
    // 16 bits after the point of a weight, 8 of a product; a half for rounding, and what three products lose.
    let weigh = |colour: u8, weight: u32| (((u32::from(colour) << 8) * weight) >> 16) as u16;
    let sum = weigh(red, 19_595) + weigh(green, 38_470) + weigh(blue, 7_471);
    ((sum + 129) >> 8) as u8
}

/// Makes grey of packed RGB.
pub(crate) struct Luma<'a>(pub(crate) &'a [u8]);

impl Work for Luma<'_> {
    type Result = Vec<u8>;

    #[inline(always)]
    fn run(self) -> Vec<u8> {
        self.0.as_chunks::<3>().0.iter().map(|&colours| luma(colours)).collect()
    }
}

/// Makes RGB of grey.
pub(crate) struct Thrice<'a>(pub(crate) &'a [u8]);

impl Work for Thrice<'_> {
    type Result = Vec<u8>;

    #[inline(always)]
    fn run(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(3 * self.0.len());
        let (blocks, rest) = self.0.as_chunks();
        blocks.iter().for_each(|greys| append(&mut out, BLOCK, greys, greys, greys));
        out.extend(rest.iter().flat_map(|&grey| [grey; 3]));
        out
    }
}

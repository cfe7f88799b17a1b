//! Rows of one sample for each pixel: packed ones unpacked, deep grey scaled to 16 bits.

use crate::Frame;
use crate::rows::Work;
use crate::shape::Sample;

/// Unpacks the integer samples of a row, one for each of `into`.
#[inline(always)]
pub(crate) fn unpack(sample: Sample, row: &[u8], into: &mut [u16]) {
    match sample {
        Sample::Byte => into.iter_mut().zip(row).for_each(|(into, &byte)| *into = byte.into()),
        Sample::Word { .. } => {
            for (into, word) in into.iter_mut().zip(row.as_chunks::<2>().0) {
                *into = u16::from_le_bytes(*word);
            }
        }
        Sample::Mipi { bits: 10 } => groups::<4, 5>(row, into),
        Sample::Mipi { bits: 12 } => groups::<2, 3>(row, into),
        Sample::Mipi { .. } => groups::<4, 7>(row, into),
        Sample::Float => into.fill(0),
    }
}

/// MIPI's packing: the high bytes of `PIXELS` pixels, then their low bits in `BYTES - PIXELS` bytes, lowest pixel first.
#[inline(always)]
fn groups<const PIXELS: usize, const BYTES: usize>(row: &[u8], into: &mut [u16]) {
    let low_bits = 8 * (BYTES - PIXELS) / PIXELS;
    for (into, group) in into.chunks_mut(PIXELS).zip(row.as_chunks::<BYTES>().0) {
        let (highs, lows) = group.split_at(PIXELS);
        let lows = lows.iter().rev().fold(0u32, |all, &byte| all << 8 | u32::from(byte));
        for (at, (into, &high)) in into.iter_mut().zip(highs).enumerate() {
            let low = lows >> (low_bits * at) & ((1 << low_bits) - 1);
            *into = u16::from(high) << low_bits | low as u16;
        }
    }
}

/// Makes grey of 16 bits of deep grey; what is beyond the significant bits saturates.
pub(crate) struct ToGrey16<'a> {
    pub(crate) frame: &'a Frame<'a>,
    pub(crate) sample: Sample,
    /// Bits of each sample that carry light.
    pub(crate) bits: u8,
}

impl Work for ToGrey16<'_> {
    type Result = Vec<u16>;

    #[inline(always)]
    fn run(self) -> Vec<u16> {
        let Self { frame, sample, bits } = self;
        let (width, height) = frame.size();
        let greatest = u16::MAX >> (16 - bits);
        // Rounded up by less than what a quotient is away from the next number: exact.
        let factor = (u64::from(u16::MAX) << 32).div_ceil(greatest.into());
        let mut out = Vec::with_capacity(width * height);
        let mut line = vec![0; width];
        for y in 0..height {
            unpack(sample, frame.row(0, y, sample.row_bytes(width)), &mut line);
            if greatest < u16::MAX {
                let scale = |value: u16| ((u64::from(value.min(greatest)) * factor) >> 32) as u16;
                line.iter_mut().for_each(|value| *value = scale(*value));
            }
            out.extend_from_slice(&line);
        }
        out
    }
}

//! Colour filter arrays to RGB: the two missing colours of each site are the mean of its neighbours in the 3x3 square.

use crate::mono::unpack;
use crate::rows::{BLOCK, Bytes, Work, append};
use crate::shape::{Sample, site};
use crate::{Frame, Order};

/// Bits of a site while it is worked on: four of them add up to 16.
const BITS: u32 = 14;
const GREATEST: u32 = (1 << BITS) - 1;

/// Makes RGB or BGR of a colour filter array.
pub(crate) struct ToColours<'a> {
    pub(crate) frame: &'a Frame<'a>,
    pub(crate) sample: Sample,
    /// Where the first red pixel is.
    pub(crate) first_red: u8,
    /// Bits of each sample that carry light.
    pub(crate) bits: u8,
    pub(crate) order: Order,
}

impl Work for ToColours<'_> {
    type Result = Vec<u8>;

    #[inline(always)]
    fn run(self) -> Vec<u8> {
        let (width, height) = self.frame.size();
        let mut out = Vec::with_capacity(width * height * 3);
        // The row above, the row itself, the row below: site x at x + 1, and whole blocks.
        let mut lines = [(); 3].map(|()| vec![0; width.next_multiple_of(BLOCK) + 2]);
        self.unpack(0, &mut lines[1]);
        for y in 0..height {
            if y + 1 < height {
                self.unpack(y + 1, &mut lines[2]);
            }
            let lines_here = [&lines[0][..], &lines[1], &lines[2]];
            let begin = out.len();
            self.inner(y, lines_here, &mut out);
            if y == 0 || y + 1 == height {
                (0..width).for_each(|x| self.edge(x, y, lines_here, &mut out[begin + 3 * x..]));
            } else {
                self.edge(0, y, lines_here, &mut out[begin..]);
                self.edge(width - 1, y, lines_here, &mut out[begin + 3 * (width - 1)..]);
            }
            lines.rotate_left(1);
        }
        out
    }
}

impl ToColours<'_> {
    /// Brings the samples of a row to [`BITS`]; what is beyond the significant bits saturates.
    #[inline(always)]
    fn unpack(&self, y: usize, line: &mut [u16]) {
        let width = self.frame.size().0;
        let row = self.frame.row(0, y, self.sample.row_bytes(width));
        let greatest = (1u32 << self.bits) - 1;
        let factor = (GREATEST << 16) / greatest + 1; // rounded up: the greatest becomes the greatest
        let scale = |value: u16| ((u32::from(value).min(greatest) * factor) >> 16) as u16;
        let line = &mut line[1..=width];
        unpack(self.sample, row, line);
        line.iter_mut().for_each(|site| *site = scale(*site));
    }

    /// Appends a row as if all its sites had neighbours on all sides.
    #[inline(always)]
    fn inner(&self, y: usize, lines: [&[u16]; 3], out: &mut Vec<u8>) {
        let width = self.frame.size().0;
        // A row has green sites and sites of one other colour, in turn.
        let is_green = |x| site(self.first_red, x, y) == 1;
        let is_red = site(self.first_red, usize::from(is_green(0)), y) == 0;
        let green_sites: Bytes = core::array::from_fn(|x| if is_green(x) { 0xFF } else { 0 });
        let [mut here, mut green, mut away] = [[0; BLOCK]; 3];
        for x in (0..width).step_by(BLOCK) {
            let [above, own, below] = lines.map(|line| &line[x..x + BLOCK + 2]);
            for at in 0..BLOCK {
                let (left, right, up, down) = (own[at], own[at + 2], above[at + 1], below[at + 1]);
                let same = (own[at + 1] >> (BITS - 8)) as u8;
                let across = ((left + right) >> (BITS - 7)) as u8;
                let upright = ((up + down) >> (BITS - 7)) as u8;
                let cross = ((left + right + up + down) >> (BITS - 6)) as u8;
                let corners = ((above[at] + above[at + 2] + below[at] + below[at + 2]) >> (BITS - 6)) as u8;
                let choose =
                    |at_green: u8, at_other: u8| at_green & green_sites[at] | at_other & !green_sites[at];
                here[at] = choose(across, same);
                green[at] = choose(same, cross);
                away[at] = choose(upright, corners);
            }
            match is_red == (self.order == Order::Rgb) {
                true => append(out, width - x, &here, &green, &away),
                false => append(out, width - x, &away, &green, &here),
            }
        }
    }

    /// Puts one pixel that may have neighbours on some sides only.
    fn edge(&self, x: usize, y: usize, lines: [&[u16]; 3], into: &mut [u8]) {
        let (width, height) = self.frame.size();
        let (mut sum, mut count) = ([0u32; 3], [0u32; 3]);
        for near_y in y.saturating_sub(1)..(y + 2).min(height) {
            for near_x in x.saturating_sub(1)..(x + 2).min(width) {
                let colour = site(self.first_red, near_x, near_y);
                sum[colour] += u32::from(lines[near_y + 1 - y][near_x + 1]);
                count[colour] += 1;
            }
        }
        let own = site(self.first_red, x, y);
        (sum[own], count[own]) = (lines[1][x + 1].into(), 1);
        // A picture of one row or column sees no site of some colour: black.
        let mean = |colour: usize| ((sum[colour] / count[colour].max(1)) >> (BITS - 8)) as u8;
        into[..3].copy_from_slice(&self.order.arrange([mean(0), mean(1), mean(2)]));
    }
}

//! Frames that prove themselves: every byte follows from the frame's number and the run of its producer.
//!
//! ```text
//! row 0  | number 8 | salt 8     | 240 bytes that follow from number and salt |
//! row 1  | number 8 | salt ^ 1   | the same                                   |
//! row r  | number 8 | salt ^ r   | the same, cut where the frame ends         |
//! ```
//! So a mixture of two frames, of two producers, or of two rows is found at its first byte.

use std::fmt;

use camlane::{Copied, Frame, FrameLayout, FrameMeta, LaneOptions, Loan, PixelFormat, Producer};

const ROW: usize = 256;
/// Shortest frame that can say who it is.
pub const SHORTEST: u32 = 16;

/// A producer of such frames.
#[derive(Debug)]
pub struct Source {
    /// The end that it publishes at.
    pub producer: Producer,
    painter: Painter,
}

/// Draws the frames of one producer, on whatever thread.
#[derive(Clone, Copy, Debug)]
pub struct Painter {
    layout: FrameLayout,
    salt: u64,
}

impl Source {
    /// Makes a lane for frames of `layout`.
    ///
    /// # Errors
    /// As [`Producer::create`].
    pub fn create(lane: &str, layout: FrameLayout, options: &LaneOptions) -> Result<Self, camlane::Error> {
        let producer = Producer::create(lane, options)?;
        let painter = Painter { layout, salt: salt(producer.incarnation()) };
        Ok(Self { producer, painter })
    }

    /// What draws its frames.
    #[must_use]
    pub const fn painter(&self) -> Painter {
        self.painter
    }

    /// Publishes the next frame and returns its number.
    ///
    /// # Errors
    /// As [`Producer::loan`] and [`Producer::publish`].
    pub fn shoot(&self) -> Result<u64, camlane::Error> {
        self.publish(self.producer.loan()?)
    }

    /// Publishes `count` frames in a lane where no loan may fail.
    ///
    /// # Panics
    /// If one fails.
    #[track_caller]
    pub fn shoot_all(&self, count: u64) {
        for _ in 0..count {
            if let Err(error) = self.shoot() {
                panic!("{error}");
            }
        }
    }

    /// Fills a loan and publishes it.
    ///
    /// # Errors
    /// As [`Producer::publish`].
    pub fn publish(&self, mut loan: Loan) -> Result<u64, camlane::Error> {
        let meta = self.painter.paint(&mut loan, self.producer.published() + 1);
        self.producer.publish(loan, &meta)
    }
}

impl Painter {
    /// Draws frame `number`. Opaque frames differ in length from one to the next.
    pub fn paint(self, loan: &mut Loan, number: u64) -> FrameMeta {
        let mut meta = FrameMeta::new(self.layout);
        if self.layout.format == PixelFormat::OPAQUE {
            let shorter = (number % 61) as u32;
            meta = FrameMeta::bytes(self.layout.bytes.saturating_sub(shorter).max(SHORTEST));
        }
        fill(&mut loan[..meta.layout.bytes as usize], number, self.salt);
        let user = number.to_le_bytes();
        if let Some(room) = loan.user_mut().get_mut(..user.len()) {
            room.copy_from_slice(&user);
            meta.user_len = user.len() as u32;
        }
        meta.source_sequence = number as u32;
        meta
    }
}

/// Where a frame is not what it says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Torn {
    /// The frame's number.
    pub number: u64,
    /// The first byte, or row, or other fact that is wrong.
    pub at: &'static str,
    /// Which one.
    pub index: usize,
}

impl fmt::Display for Torn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "torn: frame {}, {} {}", self.number, self.at, self.index)
    }
}

/// Looks at every byte of a frame, and at what it says about itself.
///
/// # Errors
/// The first contradiction.
pub fn check(frame: &Frame) -> Result<(), Torn> {
    check_parts(frame, frame.user(), frame.number(), &frame.meta(), salt(frame.incarnation()))
}

/// Looks at every byte of a copy that an observer made of a lane of this incarnation.
///
/// # Errors
/// The first contradiction.
pub fn check_copy(copy: &Copied, incarnation: [u32; 4]) -> Result<(), Torn> {
    check_parts(&copy.pixels, &copy.user, copy.observed.number, &copy.observed.meta, salt(incarnation))
}

fn check_parts(pixels: &[u8], user: &[u8], number: u64, meta: &FrameMeta, salt: u64) -> Result<(), Torn> {
    let torn = |at, index| Err(Torn { number, at, index });
    if meta.source_sequence != number as u32 {
        return torn("sequence", meta.source_sequence as usize);
    }
    if !user.is_empty() && user != number.to_le_bytes() {
        return torn("user metadata of bytes", user.len());
    }
    if pixels.len() != meta.layout.bytes as usize || pixels.len() < SHORTEST as usize {
        return torn("length", pixels.len());
    }
    let mut row = template(number, salt);
    for (index, found) in pixels.chunks(ROW).enumerate() {
        mark(&mut row, salt, index);
        if found != &row[..found.len()] {
            return torn("row", index);
        }
    }
    Ok(())
}

fn fill(pixels: &mut [u8], number: u64, salt: u64) {
    let mut row = template(number, salt);
    for (index, into) in pixels.chunks_mut(ROW).enumerate() {
        mark(&mut row, salt, index);
        into.copy_from_slice(&row[..into.len()]);
    }
}

fn template(number: u64, salt: u64) -> [u8; ROW] {
    let mut row = [0; ROW];
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ salt | 1;
    for word in row.chunks_exact_mut(8) {
        // Marsaglia's xorshift64: any generator that spreads the bits would do.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        word.copy_from_slice(&state.to_le_bytes());
    }
    row[..8].copy_from_slice(&number.to_le_bytes());
    row
}

fn mark(row: &mut [u8; ROW], salt: u64, index: usize) {
    row[8..16].copy_from_slice(&(salt ^ index as u64).to_le_bytes());
}

fn salt([a, b, ..]: [u32; 4]) -> u64 {
    u64::from(a) << 32 | u64::from(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(number: u64, bytes: u32) -> FrameMeta {
        FrameMeta { source_sequence: number as u32, ..FrameMeta::bytes(bytes) }
    }

    #[test]
    fn a_whole_frame_is_accepted_and_any_changed_byte_is_found() {
        let mut pixels = [0; 1000];
        fill(&mut pixels, 7, 9);
        assert_eq!(check_parts(&pixels, &[], 7, &meta(7, 1000), 9), Ok(()));
        for index in 0..pixels.len() {
            pixels[index] ^= 0x10;
            assert!(check_parts(&pixels, &[], 7, &meta(7, 1000), 9).is_err(), "byte {index}");
            pixels[index] ^= 0x10;
        }
    }

    #[test]
    fn a_frame_of_another_number_or_producer_is_not_this_one() {
        let mut pixels = [0; 1000];
        fill(&mut pixels, 7, 9);
        assert!(check_parts(&pixels, &[], 8, &meta(8, 1000), 9).is_err());
        assert!(check_parts(&pixels, &[], 7, &meta(7, 1000), 8).is_err());
        assert!(check_parts(&pixels, &8u64.to_le_bytes(), 7, &meta(7, 1000), 9).is_err());
    }
}

//! What stands in a frame: stamp and number at its beginning, the number at its end too.

/// Bytes at the beginning that are the measurement's own.
pub(crate) const HEAD: usize = 16;

/// Writes a frame's beginning.
#[inline]
pub(crate) fn mark(frame: &mut [u8], stamp: u64, number: u64) {
    frame[..8].copy_from_slice(&stamp.to_ne_bytes());
    frame[8..HEAD].copy_from_slice(&number.to_ne_bytes());
}

/// Writes the number at a frame's end.
pub(crate) fn mark_end(frame: &mut [u8], number: u64) {
    let end = frame.len() - 8;
    frame[end..].copy_from_slice(&number.to_ne_bytes());
}

/// The first word: reading it is what "touched" means.
#[inline]
pub(crate) fn stamp(frame: &[u8]) -> u64 {
    word(frame, 0)
}

/// The frame's number.
#[inline]
pub(crate) fn number(frame: &[u8]) -> u64 {
    word(frame, 8)
}

/// The number at its end.
pub(crate) fn number_at_end(frame: &[u8]) -> u64 {
    word(frame, frame.len() - 8)
}

#[inline]
fn word(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 8].try_into().map_or(0, u64::from_ne_bytes)
}

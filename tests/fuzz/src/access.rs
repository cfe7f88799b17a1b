//! How a stranger changes the words of a lane: at a place and to a value that the input names.

use arbitrary::{Result, Unstructured};

use crate::common::{TestLane, Words, at};

/// Values at the edge of something.
const EDGES: [u32; 16] = [
    0,
    1,
    2,
    3,
    8,
    192,
    256,
    0x240,
    4096,
    0xfffe,
    0xffff,
    0x1_0000,
    1 << 30,
    1 << 31,
    u32::MAX - 3,
    u32::MAX,
];

/// A value that has something to do with what stood there.
pub(crate) fn value(input: &mut Unstructured<'_>, old: u32) -> Result<u32> {
    Ok(match input.int_in_range(0..=5)? {
        0 => input.arbitrary()?,
        1 => old.wrapping_add(u32::from(input.arbitrary::<u8>()?)),
        2 => old.wrapping_sub(u32::from(input.arbitrary::<u8>()?)),
        3 => old ^ 1 << input.int_in_range(0..=31)?,
        4 => input.arbitrary::<u8>()?.into(),
        _ => *input.choose(&EDGES)?,
    })
}

/// Changes one word between two offsets.
pub(crate) fn change(
    input: &mut Unstructured<'_>,
    words: &Words,
    range: core::ops::Range<usize>,
) -> Result<()> {
    if range.is_empty() {
        return Ok(());
    }
    let offset = 4 * input.int_in_range(range.start / 4..=range.end / 4 - 1)?;
    words.poke(offset, value(input, words.peek(offset))?);
    Ok(())
}

/// Changes a word of DATA that moves in a lane's life: the live words, the ring, the descriptors. Not the pixels: of them
/// somebody may hold a slice.
pub(crate) fn change_moving(input: &mut Unstructured<'_>, lane: &TestLane) -> Result<()> {
    let live = at::LATEST..at::LATEST_SLOT + 4;
    let tables = lane.data.peek(at::RING_OFF) as usize..lane.shape.payload_offset() as usize;
    let range = if input.arbitrary()? || lane.shape.is_stream() { live } else { tables };
    change(input, &lane.data, range)
}

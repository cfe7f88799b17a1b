//! Frames of every format with layouts of every kind, turned into pictures.

use arbitrary::{Result, Unstructured};
use camlane_convert::{Colour, Pixels, bgr8, gray8, picture, rgb8};

/// Pixels across and down, at most.
const MOST: u32 = 64;

pub(crate) fn run(bytes: &[u8]) {
    crate::with(bytes, body);
}

fn body(input: &mut Unstructured<'_>) -> Result<()> {
    let layout = crate::meta::layout(input, MOST)?;
    let [matrix, range, significant_bits] = input.arbitrary()?;
    let colour = Colour { matrix, range, significant_bits };
    let room =
        if input.ratio(7, 8)? { layout.bytes.min(1 << 16) as usize } else { input.arbitrary_len::<u8>()? };
    // What the input does not say repeats what it says.
    let said = input.bytes(input.len().min(room))?;
    let payload: Vec<u8> =
        said.iter().copied().cycle().take(if said.is_empty() { 0 } else { room }).collect();
    for convert in [picture, rgb8, bgr8, gray8] {
        let Ok(made) = convert(&layout, &payload, colour) else { continue };
        let pixels = made.width as usize * made.height as usize;
        let found = match &made.pixels {
            Pixels::Gray8(greys) => greys.len(),
            Pixels::Gray16(greys) => greys.len(),
            Pixels::Rgb8(bytes) => bytes.len() / 3,
        };
        assert_eq!(found, pixels, "{layout:?}");
    }
    Ok(())
}

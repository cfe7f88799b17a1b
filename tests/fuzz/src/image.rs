//! Encoded images: measured, laid out and decoded into a slot of the right size.

use std::io::Cursor;

use camlane_convert::image::{Image, decode};

/// Bytes of a decoded picture, at most: a header may promise more than a machine has.
const LARGEST: u32 = 1 << 20;

/// The first byte says how rows are aligned, the others are the file.
pub(crate) fn run(bytes: &[u8]) {
    let Some((align, file)) = bytes.split_first() else { return };
    let Ok(image) = Image::open(Cursor::new(file)) else { return };
    let _ = (image.format(), image.size());
    let Ok(layout) = image.layout(1 << (align % 13)) else { return };
    assert_eq!(layout.check(layout.bytes), Ok(()));
    if layout.bytes > LARGEST {
        return;
    }
    let mut slot = vec![0x55; layout.bytes as usize + 8];
    let (room, behind) = slot.split_at_mut(layout.bytes as usize);
    let _ = image.decode_into(&layout, room);
    assert_eq!(behind, [0x55; 8]);
    if let Ok(picture) = decode(file) {
        assert_eq!((picture.width, picture.height), (layout.width, layout.height));
    }
}

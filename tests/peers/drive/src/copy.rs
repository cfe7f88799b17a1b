//! How a producer's fill stores a frame.

use camlane_measure::limits::copy::{CopyKind, copy};

use crate::spec::Way;

/// Copies a frame into its slot, as the way says: with the C library's memcpy, or with non-temporal stores.
pub fn fill(slot: &mut [u8], frame: &[u8], way: Way) {
    let kind = if way == Way::Streaming { CopyKind::Streaming } else { CopyKind::Libc };
    copy(&mut slot[..frame.len()], frame, kind);
}

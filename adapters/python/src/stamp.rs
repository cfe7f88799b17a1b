//! What a producer says about a frame.

use camlane::{Clock, Flags, FrameLayout, FrameMeta, Reference};
use pyo3::prelude::*;

use crate::details;
use crate::error::invalid;

/// What a producer says about a frame besides its pixels.
pub(crate) struct Stamp<'py> {
    pub(crate) capture_time_ns: Option<u64>,
    pub(crate) clock: &'py str,
    pub(crate) reference: &'py str,
    pub(crate) source_sequence: u32,
    pub(crate) flags: u32,
    pub(crate) details: Option<Bound<'py, PyAny>>,
}

impl Stamp<'_> {
    pub(crate) fn meta(&self, layout: FrameLayout) -> PyResult<FrameMeta> {
        let mut meta = FrameMeta::new(layout);
        if let Some(time) = self.capture_time_ns {
            meta.capture_ns = time;
            meta.clock = number_named(self.clock, "clock", |number| Clock(number).name()).map(Clock)?;
            meta.reference = number_named(self.reference, "reference", |number| Reference(number).name())
                .map(Reference)?;
        }
        meta.source_sequence = self.source_sequence;
        meta.flags = Flags(self.flags);
        meta.details = self.details.as_ref().map(details::from_python).transpose()?;
        Ok(meta)
    }
}

/// Finds the number that has a name; 0 is "unknown" in every such list, and so is what lies behind its end.
fn number_named(name: &str, what: &str, name_of: impl Fn(u8) -> &'static str) -> PyResult<u8> {
    (0..16).find(|&number| name_of(number) == name).ok_or_else(|| {
        let known: Vec<_> = (1..16).map(name_of).filter(|known| *known != "unknown").collect();
        invalid(format!("{what}={name:?}: choose one of {}, unknown", known.join(", ")))
    })
}

/// Shortens a compressed frame's layout to the bytes that it has.
pub(crate) fn with_bytes(mut layout: FrameLayout, bytes: u32) -> FrameLayout {
    if bytes != layout.bytes {
        layout.bytes = bytes;
        layout.planes[0].bytes = bytes;
    }
    layout
}

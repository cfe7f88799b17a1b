//! The parsers of this program, for `tests/fuzz`: they take anything and must come back.

use camlane::PixelFormat;
use clap::Parser as _;

use crate::commands::Program;
use crate::source::{self, SourceOptions};

/// Bytes of the largest slot that is filled; frames that a header makes larger are only laid out.
const LARGEST_SLOT: u32 = 1 << 16;
/// Frames read from one source, at most.
const MOST_FRAMES: usize = 8;

/// Parses a command line, one argument in each line: sizes, rates, formats, names and addresses among them.
pub fn arguments(text: &str) {
    let _ = Program::try_parse_from(["camlane"].into_iter().chain(text.lines()));
}

/// Opens what `--from` names and reads it. Files that only ffmpeg can open start it.
///
/// # Panics
/// If a frame is longer than its layout, or its layout is not one.
pub fn source(spec: &str, row_align: u32, repeat: bool, format: Option<PixelFormat>) {
    let options = SourceOptions { row_align, repeat, format, ..SourceOptions::default() };
    let Ok(mut source) = source::open(spec, &options) else { return };
    let stream = source.stream().clone();
    assert!(stream.layout.bytes <= stream.largest, "{stream:?}");
    if stream.largest > LARGEST_SLOT {
        return;
    }
    let mut slot = vec![0; stream.largest as usize];
    for _ in 0..MOST_FRAMES {
        let Ok(Some(filled)) = source.fill(&mut slot) else { return };
        assert!(filled.bytes <= stream.largest, "{filled:?} of {stream:?}");
        assert_eq!(filled.layout.check(filled.bytes), Ok(()), "{filled:?} of {stream:?}");
    }
}

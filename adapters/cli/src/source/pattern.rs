//! The moving test picture as a source.

use super::{Filled, Source, SourceError, SourceOptions, Stream, parse_rate, parse_size};
use crate::pattern;
use camlane::format::PixelFormat;
use core::sync::atomic::{AtomicBool, Ordering};
use nix::time::{ClockId, clock_gettime};

/// Draws the pattern for ever.
#[derive(Debug)]
pub(crate) struct Pattern {
    stream: Stream,
    number: u64,
    stop: &'static AtomicBool,
}

impl Pattern {
    /// Reads `pattern` or `pattern:` and up to three words in any order: size, format, rate. The words win
    /// over the options; without either it is 1280x720 YUYV at 30 frames per second.
    pub(super) fn open(spec: &str, options: &SourceOptions) -> Result<Self, SourceError> {
        let (mut size, mut format, mut rate) = (options.size, options.format, options.rate);
        let words = spec.split_once(':').map_or("", |(_, words)| words);
        for word in words.split(',').filter(|word| !word.is_empty()) {
            if let Some(found) = parse_size(word) {
                size = Some(found);
            } else if let Some(found) = PixelFormat::from_name(word) {
                format = Some(found);
            } else if let Some(found) = parse_rate(word) {
                rate = Some(found);
            } else {
                return Err(SourceError::PatternWord(word.into()));
            }
        }
        let ((width, height), format) = (size.unwrap_or((1280, 720)), format.unwrap_or(PixelFormat::YUYV));
        let refused = SourceError::NoPattern(format, width, height);
        if format.is_compressed() {
            return Err(refused);
        }
        let layout = format.layout(width, height, options.row_align)?;
        if !pattern::supports(&layout) {
            return Err(refused);
        }
        let rate = Some(rate.unwrap_or((30, 1)));
        let stream = Stream { layout, largest: layout.bytes, rate, name: "test pattern".into(), live: false };
        Ok(Self { stream, number: 0, stop: options.stop })
    }
}

impl Source for Pattern {
    fn stream(&self) -> &Stream {
        &self.stream
    }

    fn fill(&mut self, slot: &mut [u8]) -> Result<Option<Filled>, SourceError> {
        if self.stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let layout = self.stream.layout;
        let (needed, room) = (layout.bytes as usize, slot.len());
        let slot = slot.get_mut(..needed).ok_or(SourceError::SlotTooSmall { needed, room })?;
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC)
            .map_err(|error| SourceError::Io { name: "the clock".into(), error: error.into() })?;
        let time_ns = now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64;
        pattern::fill(&layout, self.number, time_ns, slot);
        let filled = Filled { captured_ns: Some(time_ns), ..Filled::new(layout, self.number as u32) };
        self.number += 1;
        Ok(Some(filled))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::alone("pattern", (1280, 720), PixelFormat::YUYV, (30, 1))]
    #[case::all("pattern:1920x1080,NV12,60", (1920, 1080), PixelFormat::NV12, (60, 1))]
    #[case::any_order("pattern:30000/1001,rgb24", (1280, 720), PixelFormat::RGB8, (30000, 1001))]
    fn the_words_say_size_format_and_rate(
        #[case] spec: &str,
        #[case] size: (u32, u32),
        #[case] format: PixelFormat,
        #[case] rate: (u32, u32),
    ) {
        let source = Pattern::open(spec, &SourceOptions::default()).unwrap();
        let Stream { layout, rate: found, .. } = source.stream();
        assert_eq!(((layout.width, layout.height), layout.format, *found), (size, format, Some(rate)));
    }

    #[rstest]
    #[case::a_word("pattern:fast", "\"fast\" is neither")]
    #[case::compressed("pattern:JPEG", "no pattern in JPEG")]
    #[case::tiny("pattern:16x16", "at least 40x8")]
    fn what_cannot_be_drawn_is_refused(#[case] spec: &str, #[case] expected: &str) {
        let error = Pattern::open(spec, &SourceOptions::default()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn frames_are_numbered_and_carry_their_own_time() {
        let mut source = Pattern::open("pattern:64x64,GRAY8", &SourceOptions::default()).unwrap();
        let mut slot = vec![0; 64 * 64];
        for number in 0..3 {
            let filled = source.fill(&mut slot).unwrap().unwrap();
            let stamp = pattern::check(&filled.layout, &slot).unwrap();
            assert_eq!((stamp.number, Some(stamp.time_ns)), (number, filled.captured_ns));
            assert_eq!(u64::from(filled.sequence), number);
        }
    }

    #[test]
    fn a_small_slot_is_refused_with_both_sizes() {
        let mut source = Pattern::open("pattern:64x64,GRAY8", &SourceOptions::default()).unwrap();
        let error = source.fill(&mut [0; 100]).unwrap_err();
        assert!(matches!(error, SourceError::SlotTooSmall { needed: 4096, room: 100 }), "{error}");
    }
}

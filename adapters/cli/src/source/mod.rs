//! Where frames come from: the test pattern, files, standard input, and whatever ffmpeg can open.
//!
//! A source writes a frame straight into the slot that it is given. It never waits for the next frame's time:
//! whoever publishes sets the pace, unless the input is live and sets its own.

pub(crate) mod camera;
mod decoder;
mod images;
mod input;
mod pattern;
mod piped;
mod y4m;

use camlane::format::{FrameLayout, LayoutError, PixelFormat};
use camlane_convert::image::ImageError;
use core::sync::atomic::AtomicBool;
use std::io;
use std::path::{Path, PathBuf};

pub(crate) use y4m::Y4mError;

/// Produces frames, one call at a time.
pub(crate) trait Source {
    /// Returns what all frames have in common; known before the first.
    fn stream(&self) -> &Stream;

    /// Writes the next frame to the start of `slot`. `None` is the end of the input, or says that the stop flag
    /// was raised; a frame that was half read is then forgotten.
    ///
    /// # Errors
    /// [`SourceError`]; the slot then holds part of a frame, and a further call is not expected to succeed, except
    /// after [`SourceError::SlotTooSmall`], with a larger slot.
    fn fill(&mut self, slot: &mut [u8]) -> Result<Option<Filled>, SourceError>;
}

/// Describes what a source is going to produce.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    /// The usual frame. Single images of a folder may differ; their own layout comes with them.
    pub(crate) layout: FrameLayout,
    /// Bytes of the largest frame: the least room that a slot must have.
    pub(crate) largest: u32,
    /// Frames per second as a fraction; `None` if the input does not say.
    pub(crate) rate: Option<(u32, u32)>,
    /// The source in words for people.
    pub(crate) name: String,
    /// True if the input sets its own pace, so that pacing it again would only add delay.
    pub(crate) live: bool,
}

/// Describes the frame that was just written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Filled {
    pub(crate) layout: FrameLayout,
    /// Bytes used, from the start of the slot.
    pub(crate) bytes: u32,
    /// The number that the source gives the frame, from 0; wraps.
    pub(crate) sequence: u32,
    /// True if the pixels were made elsewhere and copied into the slot.
    pub(crate) copied: bool,
    /// CLOCK_MONOTONIC in nanoseconds when the frame was made, if the source knows: the pattern draws it.
    pub(crate) captured_ns: Option<u64>,
}

impl Filled {
    fn new(layout: FrameLayout, sequence: u32) -> Self {
        Self { layout, bytes: layout.bytes, sequence, copied: false, captured_ns: None }
    }
}

/// Carries what the user asked for beside the source's name.
#[derive(Clone, Debug)]
pub(crate) struct SourceOptions {
    /// Width and height in pixels.
    pub(crate) size: Option<(u32, u32)>,
    /// Frames per second as a fraction; overrides what the input says, without dropping or repeating frames.
    pub(crate) rate: Option<(u32, u32)>,
    pub(crate) format: Option<PixelFormat>,
    /// Every row begins at a multiple of so many bytes; a power of two.
    pub(crate) row_align: u32,
    /// Begin again at the end of the input.
    pub(crate) repeat: bool,
    /// Ends a read that waits for input, within 100 ms.
    pub(crate) stop: &'static AtomicBool,
}

impl Default for SourceOptions {
    fn default() -> Self {
        static NEVER: AtomicBool = AtomicBool::new(false);
        Self { size: None, rate: None, format: None, row_align: 1, repeat: false, stop: &NEVER }
    }
}

/// Says why there is no frame.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    #[error("no file {0:?}: give a file, a folder of images, a URL, `pattern`, or `-` for standard input")]
    NotFound(PathBuf),
    #[error("{0:?} has no PNG or JPEG files: give --format BMP for such files as they are, or convert them")]
    NoImages(PathBuf),
    #[error("cannot read {name}: {error}")]
    Io { name: String, error: io::Error },
    #[error("{path:?}: {error}")]
    Image { path: PathBuf, error: ImageError },
    #[error("{name}: {error}")]
    Y4m { name: String, error: Y4mError },
    #[error("standard input carries no header: give {0}, as in --size 1280x720 --format NV12")]
    Unstated(&'static str),
    #[error("{name} ends inside frame {frame}: {missing} of its {bytes} bytes are missing")]
    Partial { name: String, frame: u32, missing: u64, bytes: u64 },
    #[error("no pattern in {0} at {1}x{2}: it needs a raw format and at least 40x8 pixels")]
    NoPattern(PixelFormat, u32, u32),
    #[error("{0:?} is neither a size (1280x720), a format (NV12), nor a rate (30, 30000/1001)")]
    PatternWord(String),
    #[error("{name} cannot be published as {format}: {reason}")]
    Format { name: String, format: PixelFormat, reason: &'static str },
    #[error(
        "{0} needs the program `{1}`, which is not installed: install it (Debian, Ubuntu: apt install ffmpeg; \
         Fedora: dnf install ffmpeg-free; Arch: pacman -S ffmpeg), or give a .y4m, PNG or JPEG file"
    )]
    NoDecoder(String, String),
    #[error("ffmpeg cannot decode {name} ({status}): {said}")]
    Decoder { name: String, status: std::process::ExitStatus, said: String },
    #[error("a frame of {needed} bytes does not fit a slot of {room}: make the lane's slots larger")]
    SlotTooSmall { needed: usize, room: usize },
    #[error("{0}")]
    Layout(#[from] LayoutError),
    #[error("{0}")]
    Camera(#[from] camlane_v4l2::Error),
    #[error("standard input cannot be read again: --repeat needs a file")]
    NoRepeat,
}

/// Opens a source by its name: `pattern`, `pattern:1920x1080,NV12,60`, `-`, a camera, an image, a folder of images, a
/// Y4M file, or any other file, device or URL, which ffmpeg then decodes.
///
/// # Errors
/// [`SourceError`]: it does not exist, is damaged, or cannot be had in the wanted format.
pub(crate) fn open(spec: &str, options: &SourceOptions) -> Result<Box<dyn Source + Send>, SourceError> {
    if spec == "-" {
        return Ok(Box::new(piped::Piped::stdin(options)?));
    }
    if spec == "pattern" || spec.starts_with("pattern:") {
        return Ok(Box::new(pattern::Pattern::open(spec, options)?));
    }
    if let Some(name) = camera::meant(spec) {
        return Ok(Box::new(camera::Camera::open(name, options)?));
    }
    let path = Path::new(spec);
    if !path.exists() && !spec.contains("://") {
        return Err(SourceError::NotFound(path.into()));
    }
    let extension = path.extension().map(|end| end.to_ascii_lowercase());
    let is = |ends: &[&str]| extension.as_ref().is_some_and(|own| ends.iter().any(|end| own == end));
    if path.is_dir() || is(&["png", "jpg", "jpeg", "bmp"]) {
        if let Some(images) = images::Images::open(path, options)? {
            return Ok(Box::new(images));
        }
    } else if is(&["y4m"]) {
        let file = piped::Piped::y4m_file(path, options)?;
        if fits(&file.stream().layout, options) {
            return Ok(Box::new(file));
        }
    }
    Ok(Box::new(decoder::open(&["ffmpeg"], spec, options)?))
}

/// Tells whether frames of this layout are what the user asked for.
fn fits(layout: &FrameLayout, options: &SourceOptions) -> bool {
    options.format.is_none_or(|format| format == layout.format)
        && options.size.is_none_or(|size| size == (layout.width, layout.height))
}

/// Reads a size such as `1280x720`.
pub(crate) fn parse_size(text: &str) -> Option<(u32, u32)> {
    let (width, height) = text.split_once('x')?;
    Some((width.parse().ok()?, height.parse().ok()?)).filter(|&(width, height)| width > 0 && height > 0)
}

/// Reads a rate such as `30` or `30000/1001`, in frames per second.
pub(crate) fn parse_rate(text: &str) -> Option<(u32, u32)> {
    let (frames, seconds) = text.split_once('/').unwrap_or((text, "1"));
    Some((frames.parse().ok()?, seconds.parse().ok()?)).filter(|&(frames, seconds)| frames > 0 && seconds > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::plain("30", Some((30, 1)))]
    #[case::ntsc("30000/1001", Some((30000, 1001)))]
    #[case::zero("0", None)]
    #[case::endless("30/0", None)]
    #[case::decimal("29.97", None)]
    fn a_rate_is_a_fraction(#[case] text: &str, #[case] expected: Option<(u32, u32)>) {
        assert_eq!(parse_rate(text), expected);
    }

    #[rstest]
    #[case::plain("1280x720", Some((1280, 720)))]
    #[case::empty("0x720", None)]
    #[case::half("1280x", None)]
    #[case::signed("-1x3", None)]
    fn a_size_is_two_numbers_above_zero(#[case] text: &str, #[case] expected: Option<(u32, u32)>) {
        assert_eq!(parse_size(text), expected);
    }

    #[test]
    fn a_missing_file_is_named_with_the_alternatives() {
        let error = open("no/such/file.mp4", &SourceOptions::default()).err().unwrap().to_string();
        assert!(error.contains("no/such/file.mp4") && error.contains("`pattern`"), "{error}");
    }
}

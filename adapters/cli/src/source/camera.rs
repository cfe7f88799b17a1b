//! A camera as a source: found, set as the user wants it, and, where no lane is filled, copied from.

use core::time::Duration;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use camlane::PauseReason;
use camlane_v4l2::{Device, Error, Event, MemoryPath, Pages, Picture, Plan, Streaming, Wish};
use nix::errno::Errno;

use super::{Filled, Source, SourceError, SourceOptions, Stream};
use crate::stop;

/// What may stand before a camera's name.
const PREFIX: &str = "camera:";

/// Buffers of the driver's own, where pictures are copied.
const BUFFERS: u32 = 4;

/// Tells which camera a source's name means: `camera:NAME`, a device node, or a link to one.
pub(crate) fn meant(spec: &str) -> Option<&str> {
    if let Some(name) = spec.strip_prefix(PREFIX) {
        return Some(name);
    }
    let node = std::fs::canonicalize(spec).unwrap_or_else(|_| PathBuf::from(spec));
    let is_video = node.parent() == Some(Path::new("/dev"))
        && node.file_name().is_some_and(|name| name.to_string_lossy().starts_with("video"));
    // A node that is not there is a camera that is not plugged in, not a file that ffmpeg might know.
    let is_there = std::fs::metadata(&node).map_or(true, |found| found.file_type().is_char_device());
    (is_video && is_there).then_some(spec)
}

/// What the user asks a camera for.
pub(crate) fn wish(options: &SourceOptions) -> Wish {
    Wish {
        formats: options.format.into_iter().collect(),
        size: options.size,
        rate: options.rate,
        row_align: options.row_align,
        ..Wish::default()
    }
}

/// What a camera is going to produce.
pub(crate) fn stream(device: &Device, picture: &Picture) -> Stream {
    Stream {
        layout: picture.layout,
        largest: picture.slot_bytes,
        rate: picture.rate,
        name: format!("{} ({})", device.identity().name, device.path().display()),
        live: true,
    }
}

/// A camera whose pictures are copied out of the driver's buffers, for whoever is no lane.
#[derive(Debug)]
pub(crate) struct Camera {
    stream: Stream,
    camera: Streaming<Pages>,
    options: SourceOptions,
}

impl Camera {
    pub(super) fn open(name: &str, options: &SourceOptions) -> Result<Self, SourceError> {
        let mut device = Device::open(camlane_v4l2::find(name)?)?;
        let picture = device.configure(&wish(options))?;
        let stream = stream(&device, &picture);
        let plan = Plan { memory: vec![MemoryPath::Mmap], mmap_buffers: BUFFERS, ..Plan::default() };
        let camera = device.stream(picture, &plan, vec![room(&picture)?]).map_err(|failed| failed.error)?;
        Ok(Self { stream, camera, options: options.clone() })
    }
}

fn room(picture: &Picture) -> Result<Pages, SourceError> {
    Pages::new(picture.slot_bytes as usize)
        .map_err(|error| SourceError::Io { name: "memory for a picture".into(), error })
}

impl Source for Camera {
    fn stream(&self) -> &Stream {
        &self.stream
    }

    fn fill(&mut self, slot: &mut [u8]) -> Result<Option<Filled>, SourceError> {
        let (needed, room) = (self.stream.largest as usize, slot.len());
        if room < needed {
            return Err(SourceError::SlotTooSmall { needed, room });
        }
        loop {
            if self.options.stop.load(core::sync::atomic::Ordering::Relaxed) {
                return Ok(None);
            }
            match self.camera.dequeue(stop::LOOK)? {
                Event::Frame(frame) => {
                    let meta = frame.meta;
                    slot[..meta.layout.bytes as usize]
                        .copy_from_slice(&frame.loan[..meta.layout.bytes as usize]);
                    self.camera.queue(frame.loan).map_err(|refused| refused.error)?;
                    return Ok(Some(Filled {
                        copied: true,
                        captured_ns: None,
                        ..Filled::new(meta.layout, meta.source_sequence)
                    }));
                }
                Event::EndOfStream => return Ok(None),
                _ => {}
            }
        }
    }
}

/// Whether a camera that failed may come back, and how.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Remedy {
    /// Wait until it is plugged in again.
    Wait,
    /// Stop and start it.
    Restart,
    /// None.
    GiveUp,
}

impl Remedy {
    /// What helps against an error after the camera has worked.
    pub(crate) const fn against(error: &Error) -> Self {
        match error {
            error if error.is_gone() => Self::Wait,
            // udev gives a new node its group only after the kernel made it.
            Error::Permission { .. } | Error::NotACamera { .. } => Self::Wait,
            // It worked before, so others have taken it, or the room on its bus, in between.
            Error::Busy { .. } | Error::NoBandwidth { .. } => Self::Wait,
            error if error.is_broken_stream() => Self::Restart,
            Error::NoSignal { .. } => Self::Restart,
            _ => Self::GiveUp,
        }
    }

    /// What readers are told about an error, and the system's own number for it.
    pub(crate) fn reason(error: &Error) -> (PauseReason, Option<i32>) {
        let (reason, errno) = match error {
            Error::Busy { .. } => (PauseReason::BUSY, Errno::EBUSY),
            Error::NoBandwidth { .. } => (PauseReason::FAILED, Errno::ENOSPC),
            Error::StreamBroken { .. } => (PauseReason::FAILED, Errno::EIO),
            Error::NoSignal { source, .. } => return (PauseReason::NO_SIGNAL, source.raw_os_error()),
            Error::System { source, .. } => return (PauseReason::FAILED, source.raw_os_error()),
            _ => (PauseReason::UNPLUGGED, Errno::ENODEV),
        };
        (reason, Some(errno as i32))
    }

    /// How long to sleep before the next attempt, at least.
    pub(crate) const LEAST: Duration = Duration::from_millis(100);
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::by_name("camera:HD Webcam", Some("HD Webcam"))]
    #[case::a_node_that_is_not_there("/dev/video99", Some("/dev/video99"))]
    #[case::another_device("/dev/null", None)]
    #[case::a_file("video.mp4", None)]
    #[case::a_url("http://localhost/video0", None)]
    #[case::the_pattern("pattern", None)]
    fn a_camera_is_told_from_other_sources(#[case] spec: &str, #[case] expected: Option<&str>) {
        assert_eq!(meant(spec), expected);
    }

    #[test]
    fn a_camera_that_is_gone_or_taken_meanwhile_is_waited_for_and_a_broken_stream_starts_again() {
        let device = PathBuf::from("/dev/video0");
        let gone = Error::Disconnected { device: device.clone() };
        let broken = Error::StreamBroken { device: device.clone(), operation: "start" };
        let busy = Error::Busy { device: device.clone(), operation: "start", holders: Vec::new() };
        let lost = Error::NoMemoryPath { device, tried: Vec::new() };
        let errors = [gone, broken, busy, lost];
        let remedies = errors.each_ref().map(Remedy::against);
        assert_eq!(remedies, [Remedy::Wait, Remedy::Restart, Remedy::Wait, Remedy::GiveUp]);
        let reasons = errors.each_ref().map(|error| Remedy::reason(error).0.name());
        assert_eq!(reasons[..3], ["unplugged", "failed", "busy"]);
    }
}

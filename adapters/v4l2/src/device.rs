//! A camera's device node: what it is, what it offers, how it is set. No buffers yet.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use camlane_core::{FourCc, PixelFormat, Rect};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::{Mode as Permissions, SFlag, fstat};

use crate::error::{Error, OPEN};
use crate::modes::{self, Mode, Offer, Rates, Sizes, Wish};
use crate::path::MemoryPath;
use crate::picture::{Picture, Told};
use crate::sys;

/// Who a camera says that it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// Its name, `Integrated Camera`.
    pub name: String,
    /// Its driver, `uvcvideo`.
    pub driver: String,
    /// Where it is plugged in, `usb-0000:00:14.0-8`.
    pub bus: String,
}

/// An open camera that has no buffers: it can be asked and set.
///
/// [`allocate`](Self::allocate) or [`stream`](Self::stream) takes it by value, because with buffers the driver refuses
/// settings (EBUSY); stopping gives it back.
#[derive(Debug)]
pub struct Device {
    fd: OwnedFd,
    path: PathBuf,
    identity: Identity,
    /// The type of its queue: single- or multi-planar.
    pub(crate) kind: u32,
}

impl Device {
    /// Opens a camera by its device node.
    ///
    /// # Errors
    /// [`Error::NoSuchCamera`], [`Error::Permission`], [`Error::Busy`], [`Error::Disconnected`]; [`Error::NotACamera`] if the
    /// node gives no pictures: metadata and radio nodes look alike.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref().to_owned();
        let flags = OFlag::O_RDWR | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let fd = match open(&path, flags, Permissions::empty()) {
            Err(Errno::ENOENT) => {
                let cameras = crate::list::names();
                return Err(Error::NoSuchCamera { wanted: path.display().to_string(), cameras });
            }
            other => other.map_err(|errno| Error::of(errno, OPEN, &path))?,
        };
        let not = |reason| Error::NotACamera { device: path.clone(), reason };
        let mode = fstat(&fd).map_err(|errno| Error::of(errno, OPEN, &path))?.st_mode;
        if SFlag::from_bits_truncate(mode) & SFlag::S_IFMT != SFlag::S_IFCHR {
            return Err(not("it is no device"));
        }
        let mut found = sys::Capability::zeroed();
        sys::query_capability(fd.as_fd(), &mut found).map_err(|errno| match errno {
            Errno::ENOTTY | Errno::EINVAL => not("it does not speak Video4Linux2"),
            errno => Error::of(errno, "ask", &path),
        })?;
        let caps = if found.capabilities & sys::cap::DEVICE_CAPS != 0 {
            found.device_caps
        } else {
            found.capabilities
        };
        let kind = if caps & sys::cap::VIDEO_CAPTURE != 0 {
            sys::CAPTURE
        } else if caps & sys::cap::VIDEO_CAPTURE_MPLANE != 0 {
            sys::CAPTURE_MPLANE
        } else {
            return Err(not("the node gives no video: another node of the same device may"));
        };
        if caps & sys::cap::STREAMING == 0 {
            return Err(not("its driver can only be read like a file, which camlane does not do"));
        }
        let identity = Identity {
            name: sys::text(&found.card),
            driver: sys::text(&found.driver),
            bus: sys::text(&found.bus_info),
        };
        Ok(Self { fd, path, identity, kind })
    }

    /// The device node.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Who it says that it is.
    #[must_use]
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Tells whether it speaks the multi-planar interface.
    #[must_use]
    pub const fn is_multiplanar(&self) -> bool {
        self.kind == sys::CAPTURE_MPLANE
    }

    /// Tells whether there is still a device behind the node.
    pub(crate) fn is_there(&self) -> bool {
        sys::query_capability(self.as_fd(), &mut sys::Capability::zeroed()).is_ok()
    }

    pub(crate) fn error(&self, operation: &'static str) -> impl Fn(Errno) -> Error {
        move |errno| Error::of(errno, operation, &self.path)
    }

    /// Lists formats with their sizes and rates, as far as the driver tells.
    ///
    /// # Errors
    /// The driver's, other than "no more".
    pub fn offers(&self) -> Result<Vec<Offer>, Error> {
        const EMULATED: u32 = 2; // V4L2_FMT_FLAG_EMULATED
        let mut offers = Vec::new();
        for index in 0.. {
            let mut found =
                sys::FormatDescription { index, kind: self.kind, ..sys::FormatDescription::zeroed() };
            if !self.more(sys::enum_format(self.as_fd(), &mut found))? {
                break;
            }
            let fourcc = FourCc(found.code);
            offers.push(Offer {
                fourcc,
                format: PixelFormat::from_v4l2(fourcc),
                description: sys::text(&found.description),
                emulated: found.flags & EMULATED != 0,
                sizes: self.sizes(found.code)?,
            });
        }
        Ok(offers)
    }

    /// Tells apart "there is one", "no more", and failures. ENOTTY: the driver has no such list.
    fn more(&self, asked: Result<(), Errno>) -> Result<bool, Error> {
        match asked {
            Ok(()) => Ok(true),
            Err(Errno::EINVAL | Errno::ENOTTY | Errno::ENODATA) => Ok(false),
            Err(errno) => Err(self.error("ask for the formats of")(errno)),
        }
    }

    fn sizes(&self, code: u32) -> Result<Sizes, Error> {
        const DISCRETE: u32 = 1;
        let mut modes = Vec::new();
        for index in 0.. {
            let mut found = sys::FrameSize { index, code, ..sys::FrameSize::zeroed() };
            if !self.more(sys::enum_frame_size(self.as_fd(), &mut found))? {
                break;
            }
            let [a, b, c, d, e, f] = found.words;
            if found.kind != DISCRETE {
                let rates = self.rates(code, (b, e))?;
                return Ok(Sizes::Range { least: (a, d), most: (b, e), step: (c, f), rates });
            }
            modes.push(Mode { size: (a, b), rates: self.rates(code, (a, b))? });
        }
        Ok(if modes.is_empty() { Sizes::Unknown } else { Sizes::Discrete(modes) })
    }

    fn rates(&self, code: u32, (width, height): (u32, u32)) -> Result<Rates, Error> {
        const DISCRETE: u32 = 1;
        let mut rates = Vec::new();
        for index in 0.. {
            let mut found = sys::FrameInterval { index, code, width, height, ..sys::FrameInterval::zeroed() };
            if !self.more(sys::enum_frame_interval(self.as_fd(), &mut found))? {
                break;
            }
            // Intervals are seconds per frame: the longest is the slowest.
            let [a, b, c, d, ..] = found.words;
            if found.kind != DISCRETE {
                return Ok(Rates::Range { slowest: (d, c), fastest: (b, a) });
            }
            rates.push((b, a));
        }
        Ok(if rates.is_empty() { Rates::Unknown } else { Rates::Discrete(rates) })
    }

    /// Sets the camera to what comes nearest to the wish, and returns what was obtained. An input for HDMI and the like is
    /// set to the signal that is there, whose size is the nearest if none is wished for.
    ///
    /// # Errors
    /// [`Error::NoFormat`] if none of the formats is there; [`Error::Busy`] while another program streams;
    /// [`Error::NoSignal`].
    pub fn configure(&mut self, wish: &Wish) -> Result<Picture, Error> {
        let source = self.follow_source()?;
        let wish = &Wish { size: wish.size.or(source), ..wish.clone() };
        let mut offers = self.offers()?;
        // Where several of the driver's layouts are equally good (NV12 and NM12 are one format), the one that is set stays.
        let set = self.told()?.code;
        if let Some(at) = offers.iter().position(|offer| offer.fourcc.0 == set) {
            offers[..=at].rotate_right(1);
        }
        let refused = || Error::NoFormat {
            device: self.path.clone(),
            wanted: wish.formats.clone(),
            offered: offers.iter().map(|offer| name(offer.fourcc)).collect(),
        };
        let choice = modes::choose(&offers, wish).ok_or_else(refused)?;
        let mut format = sys::Format { kind: self.kind, ..sys::Format::zeroed() };
        const PROGRESSIVE: u32 = 1;
        const EXTENDED: u32 = 0xfeed_cafe; // V4L2_PIX_FMT_PRIV_MAGIC: colour is told in full
        format.words[..4].copy_from_slice(&[choice.size.0, choice.size.1, choice.fourcc.0, PROGRESSIVE]);
        if !self.is_multiplanar() {
            format.words[7] = EXTENDED;
        }
        sys::set_format(self.as_fd(), &mut format).map_err(self.error("set the format of"))?;
        if Told::read(&format).align_rows(&mut format, wish.row_align) {
            sys::set_format(self.as_fd(), &mut format).map_err(self.error("set the format of"))?;
        }
        let told = Told::read(&format);
        if told.code != choice.fourcc.0 {
            return Err(refused()); // the driver knows better: the format needs another input or size
        }
        let rate = self.set_rate(choice.rate)?;
        // The rate may change the format again (bandwidth), so what counts is what it says now.
        self.picture_at(rate)
    }

    /// Sets an input for HDMI and the like to the signal that is there, and returns its size; `None` for other cameras. The
    /// kernel leaves that to programs: when the source has changed, its input still has the old timings.
    fn follow_source(&self) -> Result<Option<(u32, u32)>, Error> {
        const TRIES: u32 = 4; // each needs another change of the source at that very moment
        let (mut found, mut set) = (sys::DvTimings::zeroed(), sys::DvTimings::zeroed());
        for _ in 0..TRIES {
            // What changed until now is asked for now. Drivers tell of what we set as of any change.
            let mut past = sys::Event::zeroed();
            while sys::dequeue_event(self.as_fd(), &mut past).is_ok() {}
            match sys::find_timings(self.as_fd(), &mut found) {
                Ok(()) => {}
                Err(errno @ (Errno::ENOLINK | Errno::ENOLCK | Errno::ERANGE)) => {
                    return Err(Error::NoSignal { device: self.path.clone(), source: errno.into() });
                }
                Err(_) => return Ok(None), // ENOTTY, ENODATA: there is no such input; others: the driver cannot tell
            }
            if sys::get_timings(self.as_fd(), &mut set).is_ok() && same_source(&found, &set) {
                break;
            }
            sys::set_timings(self.as_fd(), &mut found).map_err(self.error("set the timings of"))?;
        }
        Ok(Some((found.words[0], found.words[1])))
    }

    /// What the camera is set to now.
    ///
    /// # Errors
    /// The driver's; [`Error::Layout`] if it contradicts itself.
    pub fn picture(&self) -> Result<Picture, Error> {
        self.picture_at(self.rate()?)
    }

    fn picture_at(&self, rate: Option<(u32, u32)>) -> Result<Picture, Error> {
        self.told()?.picture(&self.path, rate)
    }

    /// The format that is set now.
    fn told(&self) -> Result<Told, Error> {
        let mut format = sys::Format { kind: self.kind, ..sys::Format::zeroed() };
        sys::get_format(self.as_fd(), &mut format).map_err(self.error("ask for the format of"))?;
        Ok(Told::read(&format))
    }

    /// Frames per second, if the driver tells.
    fn rate(&self) -> Result<Option<(u32, u32)>, Error> {
        let mut found = sys::StreamParameters { kind: self.kind, ..sys::StreamParameters::zeroed() };
        match sys::get_parameters(self.as_fd(), &mut found) {
            Ok(()) => Ok(rate_of(&found)),
            Err(Errno::ENOTTY | Errno::EINVAL) => Ok(None),
            Err(errno) => Err(self.error("ask for the rate of")(errno)),
        }
    }

    /// Asks for a rate and returns the one obtained; drivers without a choice say what they have, if anything.
    fn set_rate(&self, (frames, seconds): (u32, u32)) -> Result<Option<(u32, u32)>, Error> {
        let mut wanted = sys::StreamParameters { kind: self.kind, ..sys::StreamParameters::zeroed() };
        wanted.words[2..4].copy_from_slice(&[seconds, frames]);
        match sys::set_parameters(self.as_fd(), &mut wanted) {
            Ok(()) => Ok(rate_of(&wanted)),
            Err(Errno::ENOTTY | Errno::EINVAL) => self.rate(),
            Err(errno) => Err(self.error("set the rate of")(errno)),
        }
    }

    /// Tells which ways of sharing memory the driver says that it has; all where it does not say (before Linux 4.20).
    ///
    /// # Errors
    /// [`Error::Busy`] while another program streams.
    pub fn memory_paths(&self) -> Result<Vec<MemoryPath>, Error> {
        let mut asked = sys::RequestBuffers {
            kind: self.kind,
            memory: sys::memory::MMAP,
            ..sys::RequestBuffers::zeroed()
        };
        match sys::request_buffers(self.as_fd(), &mut asked) {
            Ok(()) | Err(Errno::EINVAL) => {} // a driver without MMAP may fill in the rest all the same
            Err(errno) => return Err(self.error("ask for the buffers of")(errno)),
        }
        let known = asked.capabilities;
        let says = |path: &MemoryPath| known == 0 || known & path.capability() != 0;
        Ok(MemoryPath::ALL.into_iter().filter(says).collect())
    }

    /// The part of the sensor that the picture shows; `None` if the driver does not tell.
    #[must_use]
    pub fn crop(&self) -> Option<Rect> {
        self.selection(sys::SEL_TGT_CROP)
    }

    /// The part of the sensor that the driver shows if nobody asks; `None` if it does not tell.
    #[must_use]
    pub fn default_crop(&self) -> Option<Rect> {
        self.selection(sys::SEL_TGT_CROP_DEFAULT)
    }

    /// The rectangle in which a crop must lie; `None` if the driver does not tell.
    #[must_use]
    pub fn crop_bounds(&self) -> Option<Rect> {
        self.selection(sys::SEL_TGT_CROP_BOUNDS)
    }

    fn selection(&self, target: u32) -> Option<Rect> {
        // The kernel wants the single-planar type for both interfaces, and takes both since 4.14.
        let mut found = sys::Selection { kind: sys::CAPTURE, target, ..sys::Selection::zeroed() };
        sys::get_selection(self.as_fd(), &mut found).ok()?;
        let [x, y, width, height] = found.rect.map(|value| u32::try_from(value).ok());
        Some(Rect { x: x?, y: y?, width: width?, height: height? })
    }

    /// Shows another part of the sensor, and returns the one obtained. The format may change with it: configure after it.
    ///
    /// # Errors
    /// [`Error::System`] if the driver has no crop, or cannot have this one.
    pub fn set_crop(&mut self, rect: Rect) -> Result<Rect, Error> {
        let wanted = [rect.x, rect.y, rect.width, rect.height].map(u32::cast_signed);
        let mut asked = sys::Selection { kind: sys::CAPTURE, rect: wanted, ..sys::Selection::zeroed() };
        sys::set_selection(self.as_fd(), &mut asked).map_err(self.error("crop the picture of"))?;
        self.crop().ok_or_else(|| self.error("crop the picture of")(Errno::ENOTTY))
    }
}

/// Tells whether timings are of one source: of one size, and of one pixel clock, which is measured with some error.
fn same_source(found: &sys::DvTimings, set: &sys::DvTimings) -> bool {
    let clock = |timings: &sys::DvTimings| u64::from(timings.words[4]) | u64::from(timings.words[5]) << 32;
    found.words[..3] == set.words[..3] && clock(found).abs_diff(clock(set)) <= clock(set) / 200
}

/// Frames per second in `v4l2_captureparm`.
fn rate_of(found: &sys::StreamParameters) -> Option<(u32, u32)> {
    let [capability, _, seconds, frames, ..] = found.words;
    (capability & sys::cap::TIME_PER_FRAME != 0 && seconds != 0 && frames != 0).then_some((frames, seconds))
}

/// camlane's name of a format, or its code.
fn name(fourcc: FourCc) -> String {
    PixelFormat::from_v4l2(fourcc).map_or_else(|| fourcc.to_string(), |format| format.name().to_owned())
}

impl AsFd for Device {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::a_file("/etc/passwd", "it is no device")]
    #[case::another_device("/dev/null", "does not speak Video4Linux2")]
    fn what_is_no_camera_is_refused_with_its_reason(#[case] path: &str, #[case] expected: &str) {
        let error = Device::open(path).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains(path), "{error}");
    }

    #[test]
    fn a_missing_device_is_named() {
        let error = Device::open("/dev/video-that-is-not-there").unwrap_err();
        assert!(error.is_gone() && error.to_string().contains("video-that-is-not-there"), "{error}");
    }

    #[rstest]
    #[case::the_same([1920, 1080, 0, 3, 148_500_000, 0], true)]
    #[case::measured([1920, 1080, 0, 0, 148_351_648, 0], true)]
    #[case::of_another_rate([1920, 1080, 0, 3, 74_250_000, 0], false)]
    #[case::of_another_size([1280, 720, 0, 3, 148_500_000, 0], false)]
    #[case::interlaced([1920, 1080, 1, 3, 148_500_000, 0], false)]
    #[case::far_beyond([1920, 1080, 0, 3, 148_500_000, 1], false)]
    fn a_source_is_the_same_if_its_size_is_and_nearly_its_clock(
        #[case] words: [u32; 6],
        #[case] expected: bool,
    ) {
        let timings = |words: [u32; 6]| {
            let mut timings = sys::DvTimings::zeroed();
            timings.words[..6].copy_from_slice(&words);
            timings
        };
        assert_eq!(same_source(&timings(words), &timings([1920, 1080, 0, 3, 148_500_000, 0])), expected);
    }

    #[rstest]
    #[case::told([0x1000, 0, 1, 30], Some((30, 1)))]
    #[case::not_told([0, 0, 1, 30], None)]
    #[case::nonsense([0x1000, 0, 0, 0], None)]
    fn a_rate_is_read_where_the_driver_has_one(
        #[case] words: [u32; 4],
        #[case] expected: Option<(u32, u32)>,
    ) {
        let mut found = sys::StreamParameters::zeroed();
        found.words[..4].copy_from_slice(&words);
        assert_eq!(rate_of(&found), expected);
    }
}

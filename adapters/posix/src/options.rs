//! What a producer chooses when it makes a lane.

use camlane_core::{ClockOffsets, FrameLayout, Geometry, InfoSpec, PixelFormat, Shape};
use nix::sys::stat::Mode;

use crate::error::Error;
use crate::name::LaneName;
use crate::sealed::Policy;

/// Who can reach a lane besides its owner.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Sharing {
    /// Nobody: all objects have mode 0600.
    #[default]
    Owner,
    /// The owner's group may consume: data 0640, seats and lock 0660.
    Group,
    /// The group may consume and everybody may observe: data 0644, seats and lock 0660.
    Everyone,
}

impl Sharing {
    pub(crate) const fn data_mode(self) -> Mode {
        match self {
            Self::Owner => Mode::from_bits_truncate(0o600),
            Self::Group => Mode::from_bits_truncate(0o640),
            Self::Everyone => Mode::from_bits_truncate(0o644),
        }
    }

    /// For seats and the lock file. Who may not write the lock must not read it either: a read lock through a
    /// read-only descriptor would keep its owner out.
    pub(crate) const fn seats_mode(self) -> Mode {
        match self {
            Self::Owner => Mode::from_bits_truncate(0o600),
            Self::Group | Self::Everyone => Mode::from_bits_truncate(0o660),
        }
    }
}

/// A lane's shape and what it says about itself.
///
/// ```
/// use camlane::{LaneOptions, PixelFormat};
/// let options = LaneOptions::for_frames(&PixelFormat::YUYV.layout(1280, 720, 64)?).seats(8).rate(30, 1);
/// println!("{} bytes of shared memory", options.shape()?.footprint());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "pass it to `Producer::create`"]
pub struct LaneOptions {
    geometry: Geometry,
    format: PixelFormat,
    size: (u32, u32),
    rate: (u32, u32),
    frame_id: String,
    calibration: String,
    pub(crate) sharing: Sharing,
    pub(crate) huge_pages: bool,
    pub(crate) policy: Option<Policy>,
    pub(crate) dma_offsets: Vec<u32>,
}

impl LaneOptions {
    /// Frames of at most `slot_size` bytes of anything; 8 seats with 2 pins each, a history of 4, 2 loans, 192 bytes of
    /// user metadata per frame.
    pub fn for_bytes(slot_size: u32) -> Self {
        Self {
            geometry: Geometry::new(slot_size).seats(8).pins(2).history(4).loans(2).user_bytes(192),
            format: PixelFormat::OPAQUE,
            size: (0, 0),
            rate: (0, 1),
            frame_id: String::new(),
            calibration: String::new(),
            sharing: Sharing::Owner,
            huge_pages: false,
            policy: None,
            dma_offsets: Vec::new(),
        }
    }

    /// Frames that look like `layout`; for compressed formats, its bytes are the largest frame.
    pub fn for_frames(layout: &FrameLayout) -> Self {
        let mut this = Self::for_bytes(layout.bytes);
        this.format = layout.format;
        this.size = (layout.width, layout.height);
        this
    }

    /// Consumers that can be attached at once.
    pub fn seats(mut self, seats: u32) -> Self {
        self.geometry = self.geometry.seats(seats);
        self
    }

    /// Frames that each consumer can hold at once, 1 to 8.
    pub fn pins(mut self, pins: u32) -> Self {
        self.geometry = self.geometry.pins(pins);
        self
    }

    /// Newest frames that stay readable: how far a reader of every frame may fall behind without a loss.
    pub fn history(mut self, history: u32) -> Self {
        self.geometry = self.geometry.history(history);
        self
    }

    /// Loans that the producer can have out at once: buffers queued to a camera.
    pub fn loans(mut self, loans: u32) -> Self {
        self.geometry = self.geometry.loans(loans);
        self
    }

    /// Fixes the number of slots, against the rule that makes every loan succeed.
    pub fn slots(mut self, slots: u32) -> Self {
        self.geometry = self.geometry.slots(slots);
        self
    }

    /// Bytes per frame for the user's own metadata.
    pub fn user_bytes(mut self, bytes: u32) -> Self {
        self.geometry = self.geometry.user_bytes(bytes);
        self
    }

    /// Wakes sleepers at every publish, for observers that wait; otherwise observers have to poll.
    pub fn always_wake(mut self) -> Self {
        self.geometry = self.geometry.always_wake();
        self
    }

    /// Frames per second as a fraction, for viewers. Nothing is paced by it.
    pub fn rate(mut self, numerator: u32, denominator: u32) -> Self {
        self.rate = (numerator, denominator);
        self
    }

    /// Names the camera's optical frame, at most 64 bytes.
    pub fn frame_id(mut self, id: &str) -> Self {
        id.clone_into(&mut self.frame_id);
        self
    }

    /// Says where the camera's calibration is, at most 64 bytes: a URI or a hash.
    pub fn calibration(mut self, reference: &str) -> Self {
        reference.clone_into(&mut self.calibration);
        self
    }

    /// Decides who can reach the lane.
    pub fn sharing(mut self, sharing: Sharing) -> Self {
        self.sharing = sharing;
        self
    }

    /// Asks for huge pages behind slots of 2 MiB and more. Takes effect where the system allows them: for sealed lanes
    /// where `/sys/kernel/mm/transparent_hugepage/shmem_enabled` says `advise`, for named ones where /dev/shm is mounted
    /// with `huge=advise`; from Linux 5.14 on.
    pub fn huge_pages(mut self) -> Self {
        self.huge_pages = true;
        self
    }

    /// Whom a sealed lane lets in; a named lane goes by [`sharing`](Self::sharing) instead.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = Some(policy);
        self
    }

    /// Lays dma-bufs over every slot of a sealed lane, for a camera's driver that imports them: one from each of `offsets`
    /// in the slot, whole pages, to the next or the end. Where the system cannot, the lane is made without
    /// ([`Producer::no_dma_bufs`](crate::Producer::no_dma_bufs) says why). Lanes with a name have none: only memory without
    /// one can be sealed, which the kernel asks for.
    pub fn dma_bufs(mut self, offsets: impl IntoIterator<Item = u32>) -> Self {
        self.dma_offsets = offsets.into_iter().collect();
        self
    }

    /// The shape that follows; [`Shape::footprint`] is the memory it takes.
    ///
    /// # Errors
    /// [`Error::Geometry`] names the number that is out of range.
    pub fn shape(&self) -> Result<Shape, Error> {
        let page = page_size();
        let geometry = self.geometry.paged(page);
        let huge = self.huge_pages && geometry.shape()?.slot_size() >= HUGE_PAGE;
        Ok(if huge { geometry.slot_align(HUGE_PAGE) } else { geometry }.shape()?)
    }

    /// Adds to an error about space the most seats with which every loan would still succeed in what is free: with as many
    /// pins each as were asked for, else with fewer.
    pub(crate) fn say_what_fits(&self, mut error: Error) -> Error {
        if let Error::NoSpace { free, fits, .. } = &mut error {
            *fits = self.what_fits(*free);
        }
        error
    }

    fn what_fits(&self, free: u64) -> Option<String> {
        let asked = self.shape().ok().filter(Shape::never_starves)?;
        let choices = (1..=asked.pins())
            .rev()
            .flat_map(|pins| (1..=asked.seats()).rev().map(move |seats| (seats, pins)));
        let fits = |&(seats, pins): &(u32, u32)| {
            let shape = self.clone().seats(seats).pins(pins).shape();
            shape.is_ok_and(|shape| shape.footprint() <= free)
        };
        let (seats, pins) = choices.into_iter().find(fits)?;
        let s = |count| if count == 1 { "" } else { "s" };
        Some(format!("{seats} seat{} with {pins} pin{} each", s(seats), s(pins)))
    }

    /// The shape of a lane in one piece of memory that is never replaced.
    pub(crate) fn in_place_shape(&self) -> Result<Shape, Error> {
        Ok(self.geometry.in_place().shape()?)
    }

    pub(crate) fn info<'s>(
        &'s self,
        name: &'s LaneName,
        boot_id: [u8; 16],
        clocks: ClockOffsets,
    ) -> InfoSpec<'s> {
        InfoSpec {
            name: name.as_str(),
            frame_id: &self.frame_id,
            calibration: &self.calibration,
            format: self.format,
            size: self.size,
            rate: self.rate,
            creator: (std::process::id(), crate::process::start_time(std::process::id()).unwrap_or(0)),
            boot_id,
            clocks,
        }
    }
}

const HUGE_PAGE: u32 = 2 << 20;

pub(crate) fn page_size() -> u32 {
    nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE)
        .ok()
        .flatten()
        .and_then(|size| u32::try_from(size).ok())
        .unwrap_or(4096)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::all_of_it(100 << 20, Some("8 seats with 2 pins each"))]
    #[case::a_container(64 << 20, Some("5 seats with 2 pins each"))]
    #[case::little(20 << 20, None)]
    fn the_error_of_a_full_memory_says_what_would_fit(#[case] free: u64, #[case] expected: Option<&str>) {
        let layout = PixelFormat::YUYV.layout(1920, 1080, 64).unwrap();
        let options = LaneOptions::for_frames(&layout);
        let error = Error::NoSpace { object: "/x".to_owned(), needed: 1, free, total: free, fits: None };
        let text = options.say_what_fits(error).to_string();
        match expected {
            Some(fits) => assert!(text.contains(&format!("seats ({fits} would fit), or")), "{text}"),
            None => assert!(!text.contains("would fit"), "{text}"),
        }
        // It is no empty promise.
        if expected.is_some_and(|fits| fits.starts_with('5')) {
            let shape = options.clone().seats(5).shape().unwrap();
            assert!(shape.never_starves() && shape.footprint() <= free);
            assert!(options.seats(6).shape().unwrap().footprint() > free, "and the most that fits");
        }
    }
}

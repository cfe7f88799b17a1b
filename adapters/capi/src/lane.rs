//! Which lanes there are, what they say about themselves, and how to remove one.

use std::ffi::{c_char, c_int};

use posix::core::Geometry;
use posix::{FrameLayout, Health, LaneStatus, LaneOptions as Options, Sharing};

use crate::boundary::{Given, Out, Place, Text, export, export_infallible, store};
use crate::error::Failure;
use crate::types::{Lane, LaneOptions, text};

/// The lanes that there were when it was opened.
#[derive(Debug)]
pub(crate) struct Lanes(Vec<LaneStatus>);

/// `camlane_health`.
pub(crate) const fn health_number(health: Health) -> u32 {
    match health {
        Health::Unknown => 0,
        Health::Running => 1,
        Health::Stale => 2,
        Health::Unusable => 3,
    }
}

impl From<&LaneStatus> for Lane {
    fn from(status: &LaneStatus) -> Self {
        let mut lane = Self::unknown(status.name.as_str(), health_number(status.health));
        lane.problem = text(status.problem.as_deref().unwrap_or_default());
        if let Some(details) = &status.lane {
            lane.describe(&details.shape, &details.info, details.incarnation);
            lane.seats_in_use = details.seats.as_ref().map_or(u32::MAX, |seats| seats.len() as u32);
            (lane.published, lane.dropped) = (details.published, details.dropped);
            lane.created_ns = details.created_ns;
        }
        lane
    }
}

/// `camlane_sharing`.
pub(crate) fn sharing(number: u32) -> Result<Sharing, Failure> {
    match number {
        0 => Ok(Sharing::Owner),
        1 => Ok(Sharing::Group),
        2 => Ok(Sharing::Everyone),
        _ => Err(Failure::invalid(format!("sharing is {number}: use one of CAMLANE_SHARING_*"))),
    }
}

/// `user_bytes` of a lane that shall have none, as 0 stands for the default.
const NO_USER_BYTES: u32 = u32::MAX;
const HUGE_PAGES: u32 = 1;
const ALWAYS_WAKE: u32 = 2;

impl LaneOptions<'_> {
    /// The options in Rust's words. A 0 leaves the default.
    pub(crate) fn checked(&self) -> Result<Options, Failure> {
        let mut layout = FrameLayout::try_from(&self.layout)?;
        layout.bytes = layout.bytes.max(self.slot_size);
        if layout.bytes == 0 {
            return Err(Failure::invalid("a lane's options need a layout, or a slot_size".to_owned()));
        }
        let set = |options: Options, value: u32, with: fn(Options, u32) -> Options| match value {
            0 => options,
            value => with(options, value),
        };
        let mut options = Options::for_frames(&layout).sharing(sharing(self.sharing)?);
        options = set(options, self.seats, Options::seats);
        options = set(options, self.pins, Options::pins);
        options = set(options, self.history, Options::history);
        options = set(options, self.loans, Options::loans);
        options = set(options, self.slots, Options::slots);
        options = match self.user_bytes {
            NO_USER_BYTES => options.user_bytes(0),
            bytes => set(options, bytes, Options::user_bytes),
        };
        if self.rate_denominator != 0 {
            options = options.rate(self.rate_numerator, self.rate_denominator);
        }
        if let Some(id) = self.frame_id.optional("frame_id")? {
            options = options.frame_id(id);
        }
        if let Some(reference) = self.calibration.optional("calibration")? {
            options = options.calibration(reference);
        }
        if self.flags & !(HUGE_PAGES | ALWAYS_WAKE) != 0 {
            return Err(Failure::invalid(format!("flags of the lane's options are {:#x}: only CAMLANE_LANE_*", self.flags)));
        }
        if self.flags & HUGE_PAGES != 0 {
            options = options.huge_pages();
        }
        if self.flags & ALWAYS_WAKE != 0 {
            options = options.always_wake();
        }
        Ok(options)
    }
}

export! {
    fn camlane_lanes_open(out: Out<'_, Box<Lanes>>) {
        store(out, Box::new(Lanes(LaneStatus::all())), "lanes")
    }

    fn camlane_lanes_get(lanes: Option<&Lanes>, index: usize, out: Place<'_, Lane>) {
        let lanes = lanes.ok_or_else(|| Failure::null("lanes"))?;
        let beyond = || Failure::invalid(format!("there is no lane {index}, only {}", lanes.0.len()));
        out.put(&lanes.0.get(index).ok_or_else(beyond)?.into(), "info")?;
        Ok(0)
    }

    fn camlane_lane_describe(name: Text<'_>, out: Place<'_, Lane>) {
        out.put(&(&LaneStatus::of(name.get("name")?)?).into(), "info")?;
        Ok(0)
    }

    fn camlane_lane_footprint(options: Given<'_, LaneOptions<'_>>, out: Out<'_, u64>) {
        store(out, options.get("options")?.checked()?.shape()?.footprint(), "bytes")
    }

    fn camlane_lane_remove(name: Text<'_>, force: c_int) {
        posix::remove(name.get("name")?, force != 0)?;
        Ok(0)
    }
}

export_infallible! {
    fn camlane_lanes_count(lanes: Option<&Lanes>) -> usize {
        lanes.map_or(0, |lanes| lanes.0.len())
    }

    fn camlane_lanes_close(lanes: Option<Box<Lanes>>) -> () {
        drop(lanes);
    }

    fn camlane_abi_version() -> u32 {
        ABI_VERSION
    }

    fn camlane_version() -> *const c_char {
        concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
    }

    fn camlane_now_ns() -> u64 {
        posix::clock::monotonic_ns()
    }
}

/// Rises with every function or field that is added; the soname changes when one goes or changes.
pub(crate) const ABI_VERSION: u32 = 1;

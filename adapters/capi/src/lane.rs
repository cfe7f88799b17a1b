//! Which lanes there are, what they say about themselves, and how to remove one.

use std::ffi::{c_char, c_int};

use posix::{FrameLayout, Health, LaneOptions as Options, LaneStatus, Policy, Sharing};

use crate::boundary::{Given, Out, Place, Slot, Text, empty, export, export_infallible, store};
use crate::error::Failure;
use crate::types::{Lane, LaneOptions, text};

/// The lanes that there were when it was opened.
#[derive(Debug)]
pub(crate) struct Lanes(Vec<LaneStatus>);

/// `CAMLANE_HEALTH_*`.
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
        lane.address = text(&status.address.to_string());
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

/// `CAMLANE_SHARING_*`.
pub(crate) const SHARING: [(u32, Sharing); 3] =
    [(0, Sharing::Owner), (1, Sharing::Group), (2, Sharing::Everyone)];

/// What a number from C chooses among the values of an option.
pub(crate) fn choose<T: Copy>(what: &str, number: u32, among: &[(u32, T)]) -> Result<T, Failure> {
    let found = among.iter().find(|(of, _)| *of == number);
    let unknown =
        || Failure::invalid(format!("{what} is {number}: use one of CAMLANE_{}_*", what.to_uppercase()));
    found.map(|(_, value)| *value).ok_or_else(unknown)
}

/// `user_bytes` of a lane that shall have none, as 0 stands for the default.
pub(crate) const NO_USER_BYTES: u32 = u32::MAX;
pub(crate) const HUGE_PAGES: u32 = 1;
pub(crate) const ALWAYS_WAKE: u32 = 2;
pub(crate) const ANYBODY: u32 = 4;
pub(crate) const OBSERVERS: u32 = 8;

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
        let mut options = Options::for_frames(&layout).sharing(choose("sharing", self.sharing, &SHARING)?);
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
        if self.flags & !(HUGE_PAGES | ALWAYS_WAKE | ANYBODY | OBSERVERS) != 0 {
            return Err(Failure::invalid(format!(
                "flags of the lane's options are {:#x}: only CAMLANE_LANE_*",
                self.flags
            )));
        }
        if self.flags & HUGE_PAGES != 0 {
            options = options.huge_pages();
        }
        if self.flags & ALWAYS_WAKE != 0 {
            options = options.always_wake();
        }
        Ok(options.policy(self.policy()?))
    }

    /// Whom a sealed lane lets in. A 0 leaves the default.
    fn policy(&self) -> Result<Policy, Failure> {
        let users = self.users.get(self.user_count as usize, "users")?;
        let groups = self.groups.get(self.group_count as usize, "groups")?;
        let mut policy = users.iter().fold(Policy::default(), |policy, &user| policy.user(user));
        policy = groups.iter().fold(policy, |policy, &group| policy.group(group));
        if self.flags & ANYBODY != 0 {
            policy = policy.anybody();
        }
        if self.flags & OBSERVERS != 0 {
            policy = policy.observers();
        }
        for (value, with) in [
            (self.seats_per_user, Policy::seats_per_user as fn(Policy, u32) -> Policy),
            (self.connections, Policy::connections),
            (self.connections_per_user, Policy::connections_per_user),
        ] {
            policy = if value == 0 { policy } else { with(policy, value) };
        }
        Ok(policy)
    }
}

export! {
    fn camlane_lanes_open(out: Slot<'_, Lanes>) {
        *empty(out, "lanes")? = Some(Box::new(Lanes(LaneStatus::all())));
        Ok(0)
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
pub(crate) const ABI_VERSION: u32 = 3;

//! Which lanes there are, who runs them, and what dead ones left behind.
#![allow(unsafe_code)] // maps seats to look at them

use std::fs;

use camlane_core::{LaneInfo, LaneState, Region, SeatUse, Seats, Shape};

use crate::attachment::Data;
use crate::error::Error;
use crate::lock::{self, LockFile};
use crate::mapping::{Access, Mapping};
use crate::name::{LaneName, Part};
use crate::{process, shm};

/// A lane as it stands in shared memory.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct LaneStatus {
    /// Its name.
    pub name: LaneName,
    /// Whether a producer lives, and what it says.
    pub health: Health,
    /// Its shape and what it says about itself; `None` if it cannot be used.
    pub lane: Option<Details>,
    /// Why it cannot be used.
    pub problem: Option<String>,
}

/// What a usable lane's objects tell.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Details {
    /// Sizes.
    pub shape: Shape,
    /// What it says about itself.
    pub info: LaneInfo,
    /// Names the run of its producer.
    pub incarnation: [u32; 4],
    /// Frames published, modulo 2^30.
    pub published: u32,
    /// Frames that its producer could not take.
    pub dropped: u32,
    /// Who sits there; `None` if that may not be seen.
    pub seats: Option<Vec<SeatUse>>,
    /// When it was made, in nanoseconds of CLOCK_BOOTTIME.
    pub created_ns: u64,
}

/// How a lane is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Health {
    /// A producer lives.
    Running,
    /// Its producer died and left the objects: the next producer of that name replaces them, `camlane rm` removes them.
    Stale,
    /// No object that this version can use.
    Unusable,
    /// The lock file may not be opened, so nobody can tell whether the producer lives.
    Unknown,
}

impl LaneStatus {
    /// Looks at one lane.
    ///
    /// # Errors
    /// [`Error::NoSuchLane`], [`Error::InvalidName`]
    pub fn of(name: &str) -> Result<Self, Error> {
        let name = LaneName::new(name)?;
        if shm::inode_of_name(&name.object(Part::Data)).is_none() {
            return Err(Error::NoSuchLane { lane: name.to_string(), running: names() });
        }
        Ok(Self::look(name))
    }

    /// Looks at all lanes, in the order of their names.
    pub fn all() -> Vec<Self> {
        let mut lanes: Vec<LaneName> = lane_names();
        lanes.sort();
        lanes.into_iter().map(Self::look).collect()
    }

    fn look(name: LaneName) -> Self {
        let data = match Data::open(&name, false) {
            Ok(data) => data,
            Err(error) => {
                return Self { name, health: Health::Unusable, lane: None, problem: Some(error.to_string()) };
            }
        };
        let health = match LockFile::open(&name.object(Part::Lock), None) {
            Ok(Some(lock)) if lock.is_held(lock::PRODUCER) && data.region.state() == LaneState::Live => Health::Running,
            Ok(_) => Health::Stale,
            Err(_) => Health::Unknown,
        };
        let info = match data.region.info() {
            Ok(info) => info,
            Err(error) => {
                return Self { name, health: Health::Unusable, lane: None, problem: Some(error.to_string()) };
            }
        };
        let details = Details {
            shape: *data.region.shape(),
            info,
            incarnation: data.region.incarnation(),
            published: data.region.published_hint(),
            dropped: data.region.dropped(),
            seats: seats_of(&name, &data.region),
            created_ns: data.region.created_ns(),
        };
        Self { name, health, lane: Some(details), problem: None }
    }
}

/// Removes the objects that a dead producer left, or, with `force`, those of anybody.
///
/// # Errors
/// [`Error::Taken`] if a producer lives and `force` is not given; [`Error::NoSuchLane`]; [`Error::Permission`].
pub fn remove(name: &str, force: bool) -> Result<(), Error> {
    let name = LaneName::new(name)?;
    let objects = [Part::Data, Part::Seats].map(|part| name.object(part));
    if objects.iter().all(|object| shm::inode_of_name(object).is_none()) {
        return Err(Error::NoSuchLane { lane: name.to_string(), running: names() });
    }
    let lock = LockFile::open(&name.object(Part::Lock), None)?;
    let ours = match &lock {
        Some(lock) => lock.try_lock(lock::PRODUCER)?,
        None => true,
    };
    if !ours && !force {
        return Err(Error::Taken { lane: name.to_string(), holder: holder_of(&name) });
    }
    for object in objects {
        shm::unlink(&object)?;
        shm::unlink(&format!("{object}.new"))?;
    }
    Ok(()) // the lock file stays: somebody may be about to lock it
}

/// Names of the lanes that have an object.
pub(crate) fn names() -> Vec<String> {
    let mut names: Vec<String> = lane_names().iter().map(ToString::to_string).collect();
    names.sort();
    names
}

fn lane_names() -> Vec<LaneName> {
    let Ok(entries) = fs::read_dir(shm::SHM_DIR) else { return Vec::new() };
    entries.flatten().filter_map(|entry| LaneName::of_data_file(entry.file_name().to_str()?)).collect()
}

/// Who runs a lane, as its header says.
pub(crate) fn holder_of(name: &LaneName) -> String {
    let info = Data::open(name, false).ok().and_then(|data| data.region.info().ok());
    info.map_or_else(|| "it is just starting".to_owned(), |info| process::describe(info.creator.0))
}

/// Who sits in a lane, as the seats say.
pub(crate) fn seat_holders(name: &LaneName, region: &Region<'_>) -> String {
    let holders: Vec<String> =
        seats_of(name, region).unwrap_or_default().iter().map(|seat| process::describe(seat.pid)).collect();
    if holders.is_empty() { "by whom cannot be seen".to_owned() } else { holders.join("; ") }
}

fn seats_of(name: &LaneName, region: &Region<'_>) -> Option<Vec<SeatUse>> {
    let object = name.object(Part::Seats);
    let fd = shm::open(&object, false).ok().flatten()?;
    let len = region.shape().seats_len();
    if shm::len(&fd).ok()? < len {
        return None;
    }
    let mapping = Mapping::new(&fd, &object, 0, len, Access::Read, false).ok()?;
    // SAFETY: the seats are gone before the mapping is; nothing is created or written there.
    let seats = Seats::attach(&unsafe { mapping.memory() }, region).ok()?;
    Some(seats.in_use().collect())
}

//! Which lanes there are, who runs them, and what dead ones left behind.
#![allow(unsafe_code)] // maps seats to look at them

use std::fs;
use std::path::Path;

use camlane_core::{LaneInfo, LaneState, Region, SeatUse, Seats, Shape};

use crate::address::{self, Address, Place};
use crate::attachment::Data;
use crate::error::Error;
use crate::in_place::InPlace;
use crate::lock::{self, LockFile};
use crate::mapping::{Access, Mapping};
use crate::name::{LaneName, Part};
use crate::object::staged;
use crate::pause::Pause;
use crate::sealed::{self, Claim, Role};
use crate::{process, shm};

/// A lane as it stands in shared memory.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct LaneStatus {
    /// Where it is.
    pub address: Address,
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
    /// Why no frames come, if the producer says so.
    pub pause: Option<Pause>,
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
    /// Its producer died and left the objects, or the lane is in place and nobody publishes there: the next producer of that
    /// name replaces them or goes on in them, `camlane rm` removes them.
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
    pub fn of(address: &str) -> Result<Self, Error> {
        let address: Address = address.parse()?;
        let exists = address.socket().map_or_else(|| address.inode().is_some(), Path::exists);
        if !exists {
            return Err(Error::NoSuchLane { lane: address.to_string(), running: names() });
        }
        Ok(Self::look(address))
    }

    /// Looks at all named lanes and at the sealed ones in this user's run-time directory, in the order of their names. Lanes
    /// in files and segments are not looked for.
    pub fn all() -> Vec<Self> {
        let mut lanes = addresses();
        lanes.sort();
        lanes.into_iter().map(Self::look).collect()
    }

    fn look(address: Address) -> Self {
        let name = address.name().clone();
        let (health, data) = match &address.place {
            Place::Shm => look_named(&name),
            Place::Socket(path) => look_sealed(&address, path),
            Place::InPlace(place) => look_in_place(&address, place),
        };
        let told = data.and_then(|data| {
            let unusable = |source| Error::Unusable { object: address.to_string(), source };
            let info = data.region.info().map_err(unusable)?;
            Ok(Details {
                shape: *data.region.shape(),
                info,
                incarnation: data.region.incarnation(),
                published: data.region.published_hint(),
                dropped: data.region.dropped(),
                pause: Pause::of(&data.region),
                seats: match &address.place {
                    Place::Shm => seats_of(&name, &data.region),
                    Place::Socket(_) => None,
                    Place::InPlace(_) => InPlace::seats(&data).map(|seats| seats.in_use().collect()),
                },
                created_ns: data.region.created_ns(),
            })
        });
        match told {
            Ok(details) => Self { address, name, health, lane: Some(details), problem: None },
            Err(error) => {
                let health = if health == Health::Running { Health::Unusable } else { health };
                Self { address, name, health, lane: None, problem: Some(error.to_string()) }
            }
        }
    }
}

fn look_named(name: &LaneName) -> (Health, Result<Data, Error>) {
    let data = match Data::open(name, false) {
        Ok(data) => data,
        Err(error) => return (Health::Unusable, Err(error)),
    };
    let health = match LockFile::open(&name.object(Part::Lock), None) {
        Ok(lock) => health(lock.as_ref(), &data),
        Err(_) => Health::Unknown,
    };
    (health, Ok(data))
}

fn health(lock: Option<&LockFile>, data: &Data) -> Health {
    let held = lock.is_some_and(|lock| lock.is_held(lock::PRODUCER));
    if held && data.region.state() == LaneState::Live { Health::Running } else { Health::Stale }
}

fn look_in_place(address: &Address, place: &InPlace) -> (Health, Result<Data, Error>) {
    let data = match place.look() {
        Ok(Some(data)) => data,
        Ok(None) => {
            let gone = Error::NoSuchLane { lane: address.to_string(), running: Vec::new() };
            return (Health::Stale, Err(gone));
        }
        Err(error) => return (Health::Unusable, Err(error)),
    };
    (health(place.lock_again().as_ref(), &data), Ok(data))
}

fn look_sealed(address: &Address, path: &Path) -> (Health, Result<Data, Error>) {
    match sealed::connect(path, Role::Observe, false, &[]) {
        Ok(Some(connection)) => (Health::Running, Data::map(&connection.data, &address.to_string(), false)),
        Ok(None) => {
            (Health::Stale, Err(Error::NoSuchLane { lane: address.to_string(), running: Vec::new() }))
        }
        Err(error) => (Health::Unknown, Err(error)),
    }
}

/// Removes the objects that a dead producer left, or, with `force`, those of anybody.
///
/// # Errors
/// [`Error::Taken`] if a producer lives and `force` is not given; [`Error::NoSuchLane`]; [`Error::Permission`].
pub fn remove(address: &str, force: bool) -> Result<(), Error> {
    let address: Address = address.parse()?;
    match &address.place {
        Place::Shm => remove_named(address.name(), force),
        Place::Socket(path) => remove_sealed(&address, path, force),
        Place::InPlace(place) => remove_in_place(&address, place, force),
    }
}

fn remove_in_place(address: &Address, place: &InPlace, force: bool) -> Result<(), Error> {
    if place.inode().is_none() {
        return Err(Error::NoSuchLane { lane: address.to_string(), running: names() });
    }
    if !force {
        place.look()?; // what is no lane is not ours to remove
    }
    let lock = place.lock_again();
    let ours = lock.as_ref().map_or(Ok(true), |lock| lock.try_lock(lock::PRODUCER))?;
    if !ours && !force {
        return Err(Error::Taken { lane: address.to_string(), holder: "it holds the lock".to_owned() });
    }
    place.remove()
}

fn remove_named(name: &LaneName, force: bool) -> Result<(), Error> {
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
        return Err(Error::Taken { lane: name.to_string(), holder: holder_of(name) });
    }
    for object in objects {
        shm::unlink(&object)?;
        shm::unlink(&staged(&object))?;
    }
    Ok(()) // the lock file stays: somebody may be about to lock it
}

fn remove_sealed(address: &Address, path: &Path, force: bool) -> Result<(), Error> {
    if !path.exists() {
        return Err(Error::NoSuchLane { lane: address.to_string(), running: names() });
    }
    let claim = Claim::take(path)?;
    if claim.is_none() && !force {
        let holder = "it answers at its socket".to_owned();
        return Err(Error::Taken { lane: address.to_string(), holder });
    }
    std::fs::remove_file(path).map_err(|source| Error::System {
        operation: "remove",
        object: path.display().to_string(),
        source,
    })
}

/// The lanes that there are, for messages.
pub(crate) fn names() -> Vec<String> {
    let mut lanes = addresses();
    lanes.sort();
    lanes.iter().map(ToString::to_string).collect()
}

fn addresses() -> Vec<Address> {
    let Ok(entries) = fs::read_dir(shm::SHM_DIR) else { return address::sealed_lanes() };
    let named = entries.flatten().filter_map(|entry| LaneName::of_data_file(entry.file_name().to_str()?));
    named.map(|name| Address { name, place: Place::Shm }).chain(address::sealed_lanes()).collect()
}

/// Who runs a lane, as its header says.
pub(crate) fn holder_of(name: &LaneName) -> String {
    let info = Data::open(name, false).ok().and_then(|data| data.region.info().ok());
    info.map_or_else(|| "it is just starting".to_owned(), |info| process::describe(info.creator.0))
}

/// Who sits in a lane, as the seats say.
pub(crate) fn seat_holders(name: &LaneName, region: &Region<'_>) -> String {
    describe(&seats_of(name, region).unwrap_or_default())
}

/// Who sits in these seats.
pub(crate) fn holders(seats: Option<Seats<'_>>) -> String {
    describe(&seats.map(|seats| seats.in_use().collect::<Vec<_>>()).unwrap_or_default())
}

fn describe(seats: &[SeatUse]) -> String {
    let holders: Vec<String> = seats.iter().map(|seat| process::describe(seat.pid)).collect();
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

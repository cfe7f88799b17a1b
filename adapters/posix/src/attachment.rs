//! One consumer's hold on one incarnation of a lane: its mappings, its seat and the lock that proves it alive.
#![allow(unsafe_code)] // becomes the one consumer in a seat; extends frames to the life of the mapping

use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use camlane_core::{self as core, AttachError, LaneState, ReadError, Region, Seats};

use crate::address::{Address, Place};
use crate::error::Error;
use crate::fork::Owner;
use crate::in_place::{InPlace, Opened};
use crate::lock::{self, LockFile};
use crate::mapping::{Access, Mapping};
use crate::name::{LaneName, Part};
use crate::sealed::{self, Connection, Role};
use crate::shm::{self, Inode};

/// How often opening starts again when something is on its way that takes a moment.
const TRIES: u32 = 16;
/// How long after each try.
const MOMENT: Duration = Duration::from_millis(1);

/// How to open a lane for reading.
#[derive(Clone, Debug, Default)]
pub(crate) struct Opening {
    /// Count frames that came before as missed.
    pub(crate) from_the_first: bool,
    /// Take all page faults now.
    pub(crate) populate: bool,
    /// Users besides this one and root that may serve a sealed lane.
    pub(crate) trusted: Vec<u32>,
    /// The seat of a named lane that this consumer has already, from the run of the producer before.
    pub(crate) seat: Option<Arc<SeatLock>>,
}

impl Opening {
    fn trusted(&self) -> Vec<u32> {
        [&self.trusted[..], &[0, nix::unistd::geteuid().as_raw()]].concat()
    }
}

/// A lane's DATA object, mapped read-only.
#[derive(Debug)]
pub(crate) struct Data {
    pub(crate) region: Region<'static>,
    pub(crate) inode: Inode,
    // After `region`, which points into it.
    pub(crate) mapping: Mapping,
}

impl Data {
    /// Opens the object that has the lane's name now.
    pub(crate) fn open(name: &LaneName, populate: bool) -> Result<Self, Error> {
        let object = name.object(Part::Data);
        let Some(fd) = shm::open(&object, false)? else {
            return Err(Error::NoSuchLane { lane: name.to_string(), running: crate::list::names() });
        };
        Self::map(&fd, &object, populate)
    }

    pub(crate) fn map(fd: impl AsFd, object: &str, populate: bool) -> Result<Self, Error> {
        let unusable = |source| Error::Unusable { object: object.to_owned(), source };
        let fail = |errno| Error::system("look at", object, errno);
        let (len, inode) = (shm::len(&fd).map_err(fail)?, shm::inode(&fd).map_err(fail)?);
        // A file shorter than its header says would answer with SIGBUS: refuse it before anything is touched.
        let least = core::layout::HEADER_LEN as u64;
        if len < least {
            return Err(unusable(AttachError::TooShort { needed: least, found: len }));
        }
        Self::of(Mapping::new(fd, object, 0, len, Access::Read, populate)?, inode, object)
    }

    /// The lane in a mapping.
    pub(crate) fn of(mapping: Mapping, inode: Inode, object: &str) -> Result<Self, Error> {
        let unusable = |source| Error::Unusable { object: object.to_owned(), source };
        // SAFETY: `region` stands before `mapping` in `Data` and goes first; nothing is created in it.
        let region = Region::attach(&unsafe { mapping.memory() }).map_err(unusable)?;
        Ok(Self { region, inode, mapping })
    }
}

/// A consumer in its seat. Frames keep it alive: a seat with a frame is not given away.
#[derive(Debug)]
pub(crate) struct Attachment {
    // Dropped by hand and first: it clears the seat's words, except in a forked child, where they are the parent's.
    consumer: ManuallyDrop<core::Consumer<'static>>,
    seat: u32,
    owner: Owner,
    pub(crate) data: Data,
    _page: Mapping,
    // Last: while it is there, the producer leaves the seat alone.
    proof: Proof,
}

/// A seat's byte of the lock of a lane that is named or in place, held until the last attachment in that seat is gone.
///
/// The lock file is one for all runs of the producer. A consumer that follows to the next run takes the byte along:
/// with all seats taken it could not get another, and a frame of the run before may still need this one.
#[derive(Debug)]
pub(crate) struct SeatLock {
    file: LockFile,
    seat: u32,
    owner: Owner,
}

impl Drop for SeatLock {
    fn drop(&mut self) {
        if self.owner.is_here() {
            self.file.unlock(lock::seat(self.seat));
        }
    }
}

/// What proves this consumer alive to its producer, and the producer to it.
#[derive(Debug)]
enum Proof {
    /// The seat's byte of a named lane's lock file.
    Lock(Arc<SeatLock>),
    /// The connection to a sealed lane's broker.
    Connection(OwnedFd),
}

// SAFETY: core's consumer is `Send` but not `Sync` because of its counters. Only the one `Consumer` that owns this
// incarnation, which is not `Sync`, calls what touches them; frames on other threads use their pin, which is atomic, and
// the notifier calls `bell` and `fall_asleep`, which use shared words alone.
unsafe impl Sync for Attachment {}

impl Attachment {
    /// Opens the lane and takes a free seat.
    pub(crate) fn open(address: &Address, opening: &Opening) -> Result<Arc<Self>, Error> {
        match &address.place {
            Place::Shm => Self::open_named(address.name(), opening),
            Place::Socket(path) => Self::open_sealed(address, path, opening),
            Place::InPlace(place) => Self::open_in_place(place, opening),
        }
    }

    fn open_in_place(place: &InPlace, opening: &Opening) -> Result<Arc<Self>, Error> {
        let mut tries = 1..TRIES;
        loop {
            let Some(opened) = place.open(opening.populate)? else {
                return Err(Error::NoSuchLane { lane: place.to_string(), running: crate::list::names() });
            };
            let Opened { data, seats, at, lock: file } = opened;
            let shape = *data.region.shape();
            let Some(seat) = Self::free_seat(&file, shape.seats())? else {
                // As in `open_named`: one that is just being cleared.
                if tries.next().is_some() {
                    std::thread::sleep(MOMENT);
                    continue;
                }
                let holders = crate::list::holders(InPlace::seats(&data));
                return Err(Error::SeatsTaken { lane: place.to_string(), seats: shape.seats(), holders });
            };
            let at = at + seat as usize * shape.seat_stride() as usize;
            let proof = Proof::Lock(Arc::new(SeatLock { file, seat, owner: Owner::current() }));
            let unusable = |source| Error::Unusable { object: place.to_string(), source };
            return Self::occupy(data, seat, (seats, at), proof, opening.from_the_first).map_err(unusable);
        }
    }

    fn open_sealed(address: &Address, path: &Path, opening: &Opening) -> Result<Arc<Self>, Error> {
        let object = address.to_string();
        let unusable = |source| Error::Unusable { object: object.clone(), source };
        let Some(connection) = sealed::connect(path, Role::Pin, false, &opening.trusted())? else {
            return Err(Error::NoSuchLane { lane: object, running: crate::list::names() });
        };
        let Connection { socket, data, seat: Some((seat, page)) } = connection else {
            return Err(unusable(AttachError::Corrupt { what: "welcome" }));
        };
        let data = Data::map(&data, &object, opening.populate)?;
        if seat >= data.region.shape().seats() {
            return Err(unusable(AttachError::Corrupt { what: "seat" }));
        }
        let needed = data.region.shape().seat_stride().into();
        let found = shm::len(&page).map_err(|errno| Error::system("look at", &object, errno))?;
        if found < needed {
            return Err(unusable(AttachError::TooShort { needed, found })); // touching it would be SIGBUS
        }
        let page = Mapping::new(&page, &object, 0, needed, Access::Write, true)?;
        Self::occupy(data, seat, (page, 0), Proof::Connection(socket), opening.from_the_first)
            .map_err(unusable)
    }

    fn open_named(name: &LaneName, opening: &Opening) -> Result<Arc<Self>, Error> {
        let mut tries = 1..TRIES;
        loop {
            let sat = Data::open(name, opening.populate).and_then(|data| Self::sit_down(name, data, opening));
            match sat {
                // A producer that clears a dead consumer's seat holds its lock for a moment.
                Err(Error::SeatsTaken { .. }) if tries.next().is_some() => {}
                // A producer is between giving the one object its name and the other: both again.
                Err(Error::Unusable { source: AttachError::OtherIncarnation, .. }) => {
                    if tries.next().is_none() {
                        // Or it died there, and there is no lane until the next one comes.
                        let others = crate::list::names().into_iter().filter(|other| other != name.as_str());
                        return Err(Error::NoSuchLane { lane: name.to_string(), running: others.collect() });
                    }
                }
                done => return done,
            }
            std::thread::sleep(MOMENT);
        }
    }

    fn sit_down(name: &LaneName, data: Data, opening: &Opening) -> Result<Arc<Self>, Error> {
        let gone = || Error::NoSuchLane { lane: name.to_string(), running: crate::list::names() };
        let shape = *data.region.shape();
        let seats_object = name.object(Part::Seats);
        let unusable = |source| Error::Unusable { object: seats_object.clone(), source };
        let seats = shm::open(&seats_object, true)?.ok_or_else(gone)?;
        let found = shm::len(&seats).map_err(|errno| Error::system("look at", &seats_object, errno))?;
        if found < shape.seats_len() {
            return Err(unusable(AttachError::OtherIncarnation)); // one with fewer seats
        }
        // A lock on a file that was removed proves nothing any more.
        let kept = opening.seat.clone().filter(|kept| kept.seat < shape.seats() && kept.file.is_linked());
        let lock = match kept {
            Some(kept) => kept,
            None => {
                let file = LockFile::open(&name.object(Part::Lock), None)?.ok_or_else(gone)?;
                match Self::free_seat(&file, shape.seats())? {
                    Some(seat) => Arc::new(SeatLock { file, seat, owner: Owner::current() }),
                    None => {
                        return Err(Error::SeatsTaken {
                            lane: name.to_string(),
                            seats: shape.seats(),
                            holders: crate::list::seat_holders(name, &data.region),
                        });
                    }
                }
            }
        };
        let (seat, stride) = (lock.seat, u64::from(shape.seat_stride()));
        let page =
            Mapping::new(&seats, &seats_object, u64::from(seat) * stride, stride, Access::Write, true)?;
        Self::occupy(data, seat, (page, 0), Proof::Lock(lock), opening.from_the_first).map_err(unusable)
    }

    /// Takes the byte of the first seat that nobody has.
    fn free_seat(file: &LockFile, seats: u32) -> Result<Option<u32>, Error> {
        for seat in 0..seats {
            if file.try_lock(lock::seat(seat))? {
                return Ok(Some(seat));
            }
        }
        Ok(None)
    }

    fn occupy(
        data: Data,
        seat: u32,
        (page, at): (Mapping, usize),
        proof: Proof,
        from_the_first: bool,
    ) -> Result<Arc<Self>, AttachError> {
        // SAFETY: `Attachment::drop` drops the consumer, the last user, before the fields; nothing is created in it.
        let words = Seats::attach_one(&unsafe { page.memory_from(at) }, &data.region, seat)?;
        // SAFETY: 1. the crate's documentation, "Why opening a lane is safe"; 2. `proof` keeps everybody else out of the seat,
        // which belongs to this incarnation.
        let role = unsafe { data.region.seat_role(words) };
        let pid = std::process::id();
        let consumer = if from_the_first {
            core::Consumer::from_the_first(role, pid)
        } else {
            core::Consumer::new(role, pid)
        };
        let consumer = ManuallyDrop::new(consumer);
        Ok(Arc::new(Self { consumer, seat, owner: Owner::current(), data, _page: page, proof }))
    }

    pub(crate) fn core(&self) -> &core::Consumer<'static> {
        &self.consumer
    }

    pub(crate) const fn seat(&self) -> u32 {
        self.seat
    }

    pub(crate) fn is_here(&self) -> bool {
        self.owner.is_here()
    }

    /// The seat, to be taken along to the next run of the producer.
    pub(crate) fn seat_lock(&self) -> Option<Arc<SeatLock>> {
        match &self.proof {
            Proof::Lock(lock) => Some(Arc::clone(lock)),
            Proof::Connection(_) => None,
        }
    }

    /// Tells whether the producer of this incarnation still lives. `true` in doubt.
    pub(crate) fn producer_lives(&self) -> bool {
        self.data.region.state() == LaneState::Live
            && match &self.proof {
                Proof::Lock(lock) => lock.file.is_held(lock::PRODUCER),
                Proof::Connection(socket) => Connection::is_served(socket),
            }
    }

    /// Tells whether a producer lives and this is its lane, not the one before that it is about to replace.
    pub(crate) fn is_served(&self, address: &Address) -> bool {
        self.producer_lives() && !address.is_being_made() && !self.may_be_replaced(address)
    }

    /// Tells whether another producer goes on in this memory, after its own was seen dead.
    pub(crate) fn is_continued(&self, address: &Address) -> bool {
        matches!(address.place, Place::InPlace(_)) && self.producer_lives()
    }

    /// Tells whether another object may have taken this one's place.
    pub(crate) fn may_be_replaced(&self, address: &Address) -> bool {
        match &self.proof {
            Proof::Lock(_) => address.inode().is_some_and(|inode| inode != self.data.inode),
            Proof::Connection(socket) => !Connection::is_served(socket),
        }
    }

    /// Reads one frame by `read` and lets it live as long as the attachment does.
    #[inline(always)]
    pub(crate) fn take(
        self: &Arc<Self>,
        read: impl for<'c> FnOnce(&'c core::Consumer<'static>) -> Result<Option<core::Frame<'c>>, ReadError>,
    ) -> Result<Option<PinnedFrame>, Error> {
        if !self.is_here() {
            return Err(Error::Forked);
        }
        let Some(frame) = read(&self.consumer)? else { return Ok(None) };
        // SAFETY: only the lifetime changes. What the frame refers to lies in this `Arc` (the consumer) and its mappings;
        // `PinnedFrame` keeps the `Arc` and drops the frame before it.
        let frame = unsafe { std::mem::transmute::<core::Frame<'_>, core::Frame<'static>>(frame) };
        Ok(Some(PinnedFrame { frame: ManuallyDrop::new(frame), attachment: Arc::clone(self) }))
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        if self.owner.is_here() {
            // SAFETY: dropped once, here, before the mappings.
            unsafe { ManuallyDrop::drop(&mut self.consumer) };
        }
    }
}

/// A pinned frame that keeps its incarnation alive.
#[derive(Debug)]
pub(crate) struct PinnedFrame {
    frame: ManuallyDrop<core::Frame<'static>>,
    attachment: Arc<Attachment>,
}

impl PinnedFrame {
    pub(crate) fn attachment(&self) -> &Arc<Attachment> {
        &self.attachment
    }
}

impl Deref for PinnedFrame {
    type Target = core::Frame<'static>;
    fn deref(&self) -> &core::Frame<'static> {
        &self.frame
    }
}

impl Drop for PinnedFrame {
    fn drop(&mut self) {
        if self.attachment.is_here() {
            // SAFETY: dropped once, here, while `attachment` is alive.
            unsafe { ManuallyDrop::drop(&mut self.frame) };
        }
    }
}

//! One consumer's hold on one incarnation of a lane: its mappings, its seat and the lock that proves it alive.
#![allow(unsafe_code)] // becomes the one consumer in a seat; extends frames to the life of the mapping

use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use camlane_core::{self as core, AttachError, LaneState, ReadError, Region, Seats};

use crate::address::Address;
use crate::error::Error;
use crate::fork::Owner;
use crate::lock::{self, LockFile};
use crate::mapping::{Access, Mapping};
use crate::name::{LaneName, Part};
use crate::sealed::{self, Connection, Role};
use crate::shm::{self, Inode};

/// How often opening starts again when the lane is replaced meanwhile.
const TRIES: u32 = 16;

/// How to open a lane for reading.
#[derive(Clone, Debug, Default)]
pub(crate) struct Opening {
    /// Count frames that came before as missed.
    pub(crate) from_the_first: bool,
    /// Take all page faults now.
    pub(crate) populate: bool,
    /// Users besides this one and root that may serve a sealed lane.
    pub(crate) trusted: Vec<u32>,
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

    pub(crate) fn map(fd: &OwnedFd, object: &str, populate: bool) -> Result<Self, Error> {
        let unusable = |source| Error::Unusable { object: object.to_owned(), source };
        let fail = |errno| Error::system("look at", object, errno);
        let (len, inode) = (shm::len(fd).map_err(fail)?, shm::inode(fd).map_err(fail)?);
        // A file shorter than its header says would answer with SIGBUS: refuse it before anything is touched.
        let least = core::layout::HEADER_LEN as u64;
        if len < least {
            return Err(unusable(AttachError::TooShort { needed: least, found: len }));
        }
        let mapping = Mapping::new(fd, object, 0, len, Access::Read, populate)?;
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

/// What proves this consumer alive to its producer, and the producer to it.
#[derive(Debug)]
enum Proof {
    /// The seat's byte of a named lane's lock file.
    Lock(LockFile),
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
        match address.socket() {
            None => Self::open_named(address.name(), opening),
            Some(path) => Self::open_sealed(address, path, opening),
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
        let page = Mapping::new(&page, &object, 0, data.region.shape().seat_stride().into(), Access::Write, true)?;
        Self::occupy(data, seat, page, Proof::Connection(socket), opening.from_the_first).map_err(unusable)
    }

    fn open_named(name: &LaneName, opening: &Opening) -> Result<Arc<Self>, Error> {
        let mut problem = None;
        for _ in 0..TRIES {
            let data = match Data::open(name, opening.populate) {
                Ok(data) => data,
                // A lane that is being made is complete before it has its name, so this is rare and short.
                Err(error @ Error::Unusable { source: AttachError::NotReady, .. }) => {
                    problem = Some(error);
                    std::thread::yield_now();
                    continue;
                }
                Err(error) => return Err(error),
            };
            match Self::sit_down(name, data, opening.from_the_first) {
                Ok(attachment) => return Ok(attachment),
                // The name went to another incarnation between the two objects: both again.
                Err(error @ Error::Unusable { source: AttachError::OtherIncarnation, .. }) => problem = Some(error),
                Err(error @ Error::SeatsTaken { .. }) => {
                    // A producer that clears a dead consumer's seat holds its lock for a moment.
                    problem = Some(error);
                    std::thread::yield_now();
                }
                Err(error) => return Err(error),
            }
        }
        Err(problem.unwrap_or_else(|| Error::NoSuchLane { lane: name.to_string(), running: crate::list::names() }))
    }

    fn sit_down(name: &LaneName, data: Data, from_the_first: bool) -> Result<Arc<Self>, Error> {
        let gone = || Error::NoSuchLane { lane: name.to_string(), running: crate::list::names() };
        let shape = *data.region.shape();
        let seats_object = name.object(Part::Seats);
        let unusable = |source| Error::Unusable { object: seats_object.clone(), source };
        let seats = shm::open(&seats_object, true)?.ok_or_else(gone)?;
        let found = shm::len(&seats).map_err(|errno| Error::system("look at", &seats_object, errno))?;
        if found < shape.seats_len() {
            return Err(unusable(AttachError::TooShort { needed: shape.seats_len(), found }));
        }
        let lock = LockFile::open(&name.object(Part::Lock), None)?.ok_or_else(gone)?;
        for seat in 0..shape.seats() {
            if !lock.try_lock(lock::seat(seat))? {
                continue;
            }
            let stride = u64::from(shape.seat_stride());
            let offset = u64::from(seat) * stride;
            let page = Mapping::new(&seats, &seats_object, offset, stride, Access::Write, true)?;
            return Self::occupy(data, seat, page, Proof::Lock(lock), from_the_first).map_err(unusable);
        }
        Err(Error::SeatsTaken {
            lane: name.to_string(),
            seats: shape.seats(),
            holders: crate::list::seat_holders(name, &data.region),
        })
    }

    fn occupy(
        data: Data,
        seat: u32,
        page: Mapping,
        proof: Proof,
        from_the_first: bool,
    ) -> Result<Arc<Self>, AttachError> {
        // SAFETY: `Attachment::drop` drops the consumer, the last user, before the fields; nothing is created in it.
        let words = Seats::attach_one(&unsafe { page.memory() }, &data.region, seat)?;
        // SAFETY: 1. who opens a lane trusts its producer, see `Consumer`; 2. `proof` keeps everybody else out of the seat,
        // which belongs to this incarnation.
        let role = unsafe { data.region.seat_role(words) };
        let pid = std::process::id();
        let consumer =
            if from_the_first { core::Consumer::from_the_first(role, pid) } else { core::Consumer::new(role, pid) };
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

    /// Tells whether the producer of this incarnation still lives. `true` in doubt.
    pub(crate) fn producer_lives(&self) -> bool {
        self.data.region.state() == LaneState::Live
            && match &self.proof {
                Proof::Lock(lock) => lock.is_held(lock::PRODUCER),
                Proof::Connection(socket) => Connection::is_served(socket),
            }
    }

    /// Tells whether another object may have taken this one's place.
    pub(crate) fn may_be_replaced(&self, address: &Address) -> bool {
        match &self.proof {
            Proof::Lock(_) => shm::inode_of_name(&address.name().object(Part::Data))
                .is_some_and(|inode| inode != self.data.inode),
            Proof::Connection(socket) => !Connection::is_served(socket),
        }
    }

    /// Reads one frame by `read` and lets it live as long as the attachment does.
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
            if let Proof::Lock(lock) = &self.proof {
                lock.unlock(lock::seat(self.seat));
            }
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

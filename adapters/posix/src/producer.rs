//! The producer's end of a lane, and how lanes come into being.
#![allow(unsafe_code)] // becomes the one producer of a region; extends loans to the life of the shared mapping

use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::Arc;

use camlane_core::{
    self as core, AttachError, FrameMeta, LaneSpec, LaneState, PublishError, Region, Seats, Shape,
};
use nix::sys::stat::Mode;

use crate::address::{Address, Place};
use crate::clock;
use crate::error::Error;
use crate::fork::Owner;
use crate::futex;
use crate::in_place::{Claimed, InPlace};
use crate::keeper::Keeper;
use crate::lock::{self, LockFile};
use crate::mapping::{Access, Mapping};
use crate::name::{LaneName, Part};
use crate::object::Object;
use crate::options::LaneOptions;
use crate::pause::{self, PauseReason};
use crate::sealed::{self, Broker, Claim, Seal, SeatTable, SlotBuffers};
use crate::trial::Trial;
use crate::{process, shm};

/// Slots that an owned producer keeps books for.
const MAX_BOOKED: usize = 4096;
type CoreProducer = core::Producer<'static, MAX_BOOKED>;

/// Sleepers up to which a publish wakes them itself; more, the keeper thread does. One wake costs the caller about
/// 10 us, eight cost 50.
const WAKE_INLINE: u32 = 4;

/// The one end of a lane that writes.
///
/// `Send`, not `Sync`, not `Clone`. Dropping it ends the stream and removes the lane's name; frames that consumers hold
/// stay good. In a forked child it does nothing.
///
/// **Crash safety:** killed at any moment, it leaves frames and pins good; its lock or its connections fall at once,
/// consumers are told [`ProducerGone`](crate::WaitError::ProducerGone), and the next producer takes the name. A child
/// that it forked and that did not run another program keeps them up for as long as it lives.
#[derive(Debug)]
pub struct Producer {
    address: Address,
    // Before `shared`, which holds the mapping: its thread ends first.
    home: Option<Home>,
    shared: Arc<Shared>,
    owner: Owner,
}

/// What makes the lane reachable.
#[derive(Debug)]
enum Home {
    Named { keeper: Keeper, data: Object, seats: Object, lock: LockFile },
    Sealed(Broker),
    InPlace { keeper: Keeper, lock: LockFile },
}

/// What loans keep alive.
#[derive(Debug)]
struct Shared {
    core: Box<CoreProducer>,
    // After `core`: fields are dropped in order.
    data: Mapping,
    _seats: SeatMemory,
    /// One list for each slot; none if nobody asked for them.
    dma_bufs: Result<SlotBuffers, Error>,
    copies: Trial,
}

/// The producer's view of the seats.
#[derive(Debug)]
enum SeatMemory {
    Object {
        _mapping: Mapping,
    },
    Table {
        _table: Arc<SeatTable>,
    },
    /// In the data's own mapping.
    InPlace,
}

// SAFETY: core's producer is `Send` but not `Sync` because of its books. Through an `Arc<Shared>` only `Producer`, which is
// unique and not `Sync`, reaches the books; a `Loan` on another thread touches its own slot's words, which are atomics.
unsafe impl Sync for Shared {}

impl Producer {
    /// Makes a lane, or takes over the name of one whose producer is gone.
    ///
    /// The lane's memory is reserved and touched before this returns, and the name appears when it is complete.
    ///
    /// # Errors
    /// - [`Error::InvalidName`], [`Error::Geometry`]: what was asked for cannot be.
    /// - [`Error::Taken`]: a living producer has the name.
    /// - [`Error::NoSpace`]: /dev/shm is too small; nothing is left behind.
    /// - [`Error::Permission`], [`Error::System`]: the system refuses. A sealed lane also needs Linux 5.1, `/proc`, and a
    ///   directory for its socket that others cannot write.
    ///
    /// **Crash safety:** a leftover under a temporary name is removed by the next producer.
    pub fn create(address: &str, options: &LaneOptions) -> Result<Self, Error> {
        let address: Address = address.parse()?;
        let this = match &address.place {
            Place::Shm => Self::create_named(address, options),
            Place::Socket(path) => Self::create_sealed(address.clone(), path, options),
            Place::InPlace(place) => Self::create_in_place(address.clone(), place, options),
        }?;
        log::info!(
            "lane '{}': {} slots of {} bytes",
            this.address,
            this.shape().slots(),
            this.shape().slot_size()
        );
        Ok(this)
    }

    fn create_named(address: Address, options: &LaneOptions) -> Result<Self, Error> {
        let (name, shape) = (address.name(), options.shape()?);
        let lock = claim(name, options.sharing.seats_mode())?;
        let old = Old::find(name)?;
        let (seats_name, data_name) = (name.object(Part::Seats), name.object(Part::Data));
        let mut seats = Object::stage(&seats_name, shape.seats_len(), options.sharing.seats_mode(), false)?;
        let mut data =
            Object::stage(&data_name, shape.data_len(), options.sharing.data_mode(), options.huge_pages)
                .map_err(|error| options.say_what_fits(error))?;
        let seats_map = Mapping::new(&seats.fd, seats.name(), 0, shape.seats_len(), Access::Write, true)?;
        let data_map = Mapping::new(&data.fd, data.name(), 0, shape.data_len(), Access::Write, true)?;
        let incarnation = random_incarnation()?;
        // SAFETY: `Shared` drops core's producer before the mapping; the object is new, so nothing is in use there.
        let core_seats = Seats::create(unsafe { seats_map.memory() }, &shape, incarnation)?;
        let shared = Shared::new(
            name,
            options,
            incarnation,
            data_map,
            core_seats,
            SeatMemory::Object { _mapping: seats_map },
        )?;
        let keepers = LockFile::open(&name.object(Part::Lock), None)?;
        let keeper = Keeper::start(name, shared.core.region(), core_seats, keepers)?;
        seats.publish(&seats_name)?; // seats first: data carries the incarnation that seats must match
        data.publish(&data_name)?;
        // From here on nothing may fail: readers have seen the lane.
        if let Some(old) = old {
            old.supersede();
        }
        let home = Some(Home::Named { keeper, data, seats, lock });
        Ok(Self { address, home, shared: Arc::new(shared), owner: Owner::current() })
    }

    fn create_sealed(address: Address, path: &Path, options: &LaneOptions) -> Result<Self, Error> {
        let (name, shape) = (address.name(), options.shape()?);
        let Some(claim) = Claim::take(path)? else {
            let holder = "it answers at its socket".to_owned();
            return Err(Error::Taken { lane: address.to_string(), holder });
        };
        let (data, data_map) = sealed::data_object(name.as_str(), &shape, options.huge_pages)?;
        let table = Arc::new(SeatTable::new(&shape)?);
        // SAFETY: `Shared` drops core's producer before the table.
        let core_seats = unsafe { table.seats(&shape) }?;
        let seats = SeatMemory::Table { _table: Arc::clone(&table) };
        let mut shared = Shared::new(name, options, random_incarnation()?, data_map, core_seats, seats)?;
        if !options.dma_offsets.is_empty() {
            // Before the seal against writing, which the kernel may take as a reason to refuse.
            Seal::Shrinking.put(&data, name.as_str())?;
            shared.dma_bufs = sealed::dma_bufs(&data, &shape, &options.dma_offsets);
        }
        Seal::SizeAndWriting.put(&data, name.as_str())?; // the map that exists still writes
        let policy = options.policy.clone().unwrap_or_default();
        let lane = sealed::Lane { region: *shared.core.region(), seats: table, data, policy };
        let home = Some(Home::Sealed(Broker::start(claim, lane)?));
        Ok(Self { address, home, shared: Arc::new(shared), owner: Owner::current() })
    }

    /// Goes on in memory that has a lane, or makes one there.
    fn create_in_place(address: Address, place: &InPlace, options: &LaneOptions) -> Result<Self, Error> {
        let shape = options.in_place_shape()?;
        let Claimed { memory, lock, fresh } = place.claim(options, &shape)?;
        let unusable = |source| Error::Unusable { object: place.to_string(), source };
        let seats_at = shape.seats_offset().unwrap_or(0) as usize; // a shape in place has one
        let shared = if fresh {
            let incarnation = random_incarnation()?;
            // SAFETY: `Shared` drops core's producer before the mapping; nobody has seen a lane there, and others are kept out
            // by the lock.
            let seats = Seats::create(unsafe { memory.memory_from(seats_at) }, &shape, incarnation)?;
            Shared::write(address.name(), options, &shape, incarnation, memory, seats, SeatMemory::InPlace)?
        } else {
            // SAFETY: `Shared` drops core's producer before the mapping; nothing is created in it.
            let region = Region::attach(&unsafe { memory.memory() }).map_err(unusable)?;
            if *region.shape() != shape {
                return Err(Error::OtherShape { object: place.to_string() });
            }
            // SAFETY: as above.
            let seats = Seats::attach(&unsafe { memory.memory_from(seats_at) }, &region).map_err(unusable)?;
            // SAFETY: 1. mapped for writing; 2. the lock keeps other producers out; 3. the seats lie in the same memory.
            let role = unsafe { region.producer_role(seats) };
            let core = Box::new(CoreProducer::take_over(role).map_err(|_| too_many_slots(&shape))?);
            Shared {
                core,
                data: memory,
                _seats: SeatMemory::InPlace,
                dma_bufs: Ok(Vec::new()),
                copies: Trial::default(),
            }
        };
        let (region, seats) = (shared.core.region(), shared.core.seats());
        reclaim(seats, &lock);
        let keeper = Keeper::start(address.name(), region, seats, place.lock_again())?;
        let home = Some(Home::InPlace { keeper, lock });
        Ok(Self { address, home, shared: Arc::new(shared), owner: Owner::current() })
    }

    /// Where the lane is.
    pub const fn address(&self) -> &Address {
        &self.address
    }

    /// The lane's name.
    pub const fn name(&self) -> &LaneName {
        self.address.name()
    }

    /// The lane's shape.
    pub fn shape(&self) -> &Shape {
        self.shared.core.region().shape()
    }

    /// Names this run of the producer; random.
    pub fn incarnation(&self) -> [u32; 4] {
        self.shared.core.region().incarnation()
    }

    /// Frames published so far.
    pub fn published(&self) -> u64 {
        self.shared.core.published()
    }

    /// Frames that could not be taken so far.
    pub fn dropped(&self) -> u32 {
        self.shared.core.dropped()
    }

    /// Counts frames that were lost before they reached a loan: a driver's error, a full queue.
    pub fn count_dropped(&self, frames: u32) {
        if self.owner.is_here() {
            self.shared.core.count_dropped(frames);
        }
    }

    /// Tells readers why no frames come ([`Consumer::pause`](crate::Consumer::pause)), with the system's error behind it if
    /// there is one. It holds until [`resume`](Self::resume); a second reason does not change since when.
    pub fn pause(&self, reason: PauseReason, errno: Option<i32>) {
        if self.owner.is_here() {
            let since_ms = self.shared.core.region().pause().map_or_else(pause::now_ms, |told| told.since_ms);
            let errno = errno.and_then(|errno| errno.try_into().ok()).unwrap_or(0);
            self.shared.core.pause(core::Pause { reason: reason.0, errno, since_ms });
        }
    }

    /// Takes back what [`pause`](Self::pause) told.
    pub fn resume(&self) {
        if self.owner.is_here() {
            self.shared.core.resume();
        }
    }

    /// Lends a slot to fill; several can be out at once. Never waits for a consumer.
    ///
    /// # Errors
    /// [`Error::Loan`] if consumers hold every slot, which only an over-committed lane allows
    /// ([`Shape::never_starves`]); seats of the dead are given back first. [`Error::Forked`] in a forked child.
    pub fn loan(&self) -> Result<Loan, Error> {
        self.check_owner()?;
        let loan = match self.shared.core.loan() {
            Ok(loan) => loan,
            Err(_) if self.reclaim() > 0 => {
                self.count_dropped(u32::MAX); // the refusal counted a frame that is not lost yet; the counter wraps
                self.shared.core.loan()?
            }
            Err(error) => return Err(error.into()),
        };
        // SAFETY: only the lifetime changes. What the loan refers to lies in the box and the mappings inside `Shared`,
        // which do not move and which `Loan::_shared` keeps alive longer than `Loan::inner`.
        let inner = unsafe { std::mem::transmute::<core::Loan<'_>, core::Loan<'static>>(loan) };
        Ok(Loan { inner: ManuallyDrop::new(inner), shared: Arc::clone(&self.shared), owner: self.owner })
    }

    /// Publishes a filled slot as the next frame, wakes whoever sleeps, and returns the frame's number. `publish_ns` is
    /// set if it is 0.
    ///
    /// # Errors
    /// [`Error::Publish`] if `meta` claims bytes outside the slot, or the loan is another producer's: nothing was
    /// published, the slot is free again. [`Error::Forked`] in a forked child.
    pub fn publish(&self, loan: Loan, meta: &FrameMeta) -> Result<u64, Error> {
        self.check_owner()?;
        if !Arc::ptr_eq(&loan.shared, &self.shared) {
            return Err(PublishError::ForeignLoan.into());
        }
        let publish_ns = if meta.publish_ns == 0 { clock::monotonic_ns() } else { meta.publish_ns };
        // The count of `_shared` goes down after the publish: before it, a locked instruction would wait until what was
        // filled in last has left this processor.
        let (inner, _shared) = loan.into_parts();
        let published = self.shared.core.publish_at(inner, meta, publish_ns)?;
        let listeners = matches!(&self.home, Some(Home::Sealed(broker)) if broker.has_listeners());
        if published.asleep > 0 || listeners {
            self.wake(published.asleep);
        }
        Ok(published.number)
    }

    /// Gives the seats of dead consumers back at once, and returns how many there were. The keeper does it every second.
    pub fn reclaim(&self) -> u32 {
        match &self.home {
            Some(Home::Named { lock, .. } | Home::InPlace { lock, .. }) if self.owner.is_here() => {
                reclaim(self.shared.core.seats(), lock)
            }
            _ => 0, // a broker sees each death as it happens
        }
    }

    /// Consumers that sit in the lane, as they say themselves.
    pub fn consumers(&self) -> Vec<core::SeatUse> {
        self.shared.core.seats().in_use().collect()
    }

    /// The addresses at which this process sees the lane's data, to check that nothing was copied.
    pub fn addresses(&self) -> std::ops::Range<usize> {
        self.shared.data.addresses()
    }

    /// Why slots have no dma-bufs although they were asked for ([`LaneOptions::dma_bufs`]).
    pub fn no_dma_bufs(&self) -> Option<&Error> {
        self.shared.dma_bufs.as_ref().err()
    }

    fn wake(&self, asleep: u32) {
        match &self.home {
            Some(Home::Named { keeper, .. } | Home::InPlace { keeper, .. }) if asleep > WAKE_INLINE => {
                keeper.ring();
            }
            // Who may read the lane may sleep on its bell, with thousands of threads: those are for the keeper.
            Some(Home::Named { keeper, .. } | Home::InPlace { keeper, .. })
                if futex::wake(self.shared.core.region().bell(), WAKE_INLINE + 1) > WAKE_INLINE =>
            {
                keeper.ring();
            }
            Some(Home::Named { .. } | Home::InPlace { .. }) | None => {}
            Some(Home::Sealed(broker)) => broker.ring(), // strangers may have thousands of threads asleep
        }
    }

    fn check_owner(&self) -> Result<(), Error> {
        if self.owner.is_here() { Ok(()) } else { Err(Error::Forked) }
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        let home = self.home.take();
        if !self.owner.is_here() {
            // Thread, stream and names are the parent's; a broker knows that by itself.
            if let Some(Home::Named { keeper, .. } | Home::InPlace { keeper, .. }) = home {
                std::mem::forget(keeper);
            }
            return;
        }
        self.shared.core.close();
        futex::wake_all(self.shared.core.region().bell());
        let lock = match home {
            Some(Home::Named { keeper, data, seats, lock }) => {
                drop((keeper, data, seats));
                lock
            }
            Some(Home::InPlace { keeper, lock }) => {
                drop(keeper);
                lock
            }
            Some(Home::Sealed(_)) | None => return,
        };
        // Last: until then no other producer comes. By hand, because a program that another thread starts at this moment has
        // the descriptor for an instant, and the lock falls with the last one.
        lock.unlock(lock::PRODUCER);
    }
}

impl Shared {
    /// Writes the header into new memory and becomes its producer.
    fn new(
        name: &LaneName,
        options: &LaneOptions,
        incarnation: [u32; 4],
        data: Mapping,
        core_seats: Seats<'static>,
        seats: SeatMemory,
    ) -> Result<Self, Error> {
        Self::write(name, options, &options.shape()?, incarnation, data, core_seats, seats)
    }

    /// As [`new`](Self::new), of a shape that does not follow from the options alone.
    fn write(
        name: &LaneName,
        options: &LaneOptions,
        shape: &Shape,
        incarnation: [u32; 4],
        data: Mapping,
        core_seats: Seats<'static>,
        seats: SeatMemory,
    ) -> Result<Self, Error> {
        let spec = LaneSpec {
            shape: *shape,
            incarnation,
            created_ns: clock::boottime_ns(),
            info: options.info(name, process::boot_id(), clock::offsets()),
        };
        // SAFETY: `Self` drops core's producer before the mapping; the object is new, so nothing is in use there.
        let region = Region::create(unsafe { data.memory() }, &spec)?;
        // SAFETY: 1. mapped for writing; 2. the caller holds the lane's lock, and the object is new; 3. the seats were made
        // for this region.
        let role = unsafe { region.producer_role(core_seats) };
        let core = Box::new(CoreProducer::new(role).map_err(|_| too_many_slots(shape))?);
        Ok(Self { core, data, _seats: seats, dma_bufs: Ok(Vec::new()), copies: Trial::default() })
    }
}

/// While it lives, addresses in the lane's memory stay mapped in this process. It says nothing about what lies there.
#[derive(Clone, Debug)]
#[must_use = "the memory stays mapped only while this lives"]
pub struct Mapped(#[allow(dead_code, reason = "held, not used")] Arc<Shared>);

/// A slot to fill; `'static` and `Send`. Dropping it gives the slot back.
#[derive(Debug)]
#[must_use = "publish it, or the frame is lost"]
pub struct Loan {
    // Dropped by hand, before `shared`, and not at all in a forked child.
    inner: ManuallyDrop<core::Loan<'static>>,
    shared: Arc<Shared>,
    owner: Owner,
}

impl Loan {
    pub(crate) fn trial(&self) -> &Trial {
        &self.shared.copies
    }

    /// Which slot this is, counted from 0.
    pub fn slot(&self) -> u32 {
        self.inner.slot()
    }

    /// The bytes for the user's own metadata.
    pub fn user_mut(&mut self) -> &mut [u8] {
        self.inner.user_mut()
    }

    /// Keeps the lane's memory mapped, for a foreign array that may outlive the loan over it.
    pub fn mapped(&self) -> Mapped {
        Mapped(Arc::clone(&self.shared))
    }

    /// The loan and what keeps its memory mapped, to be dropped after it.
    fn into_parts(self) -> (core::Loan<'static>, Arc<Shared>) {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: `this` is not dropped, so `inner` is taken once.
        let inner = unsafe { ManuallyDrop::take(&mut this.inner) };
        // SAFETY: as above: taken once.
        (inner, unsafe { std::ptr::read(&raw const this.shared) })
    }
}

impl Deref for Loan {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.inner
    }
}

impl DerefMut for Loan {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.inner
    }
}

// SAFETY: 1. the slot lies in a mapping, which `shared` keeps while the loan lives, or for ever if it is forgotten; 2. core's
// loan is its only witness; 3. the dma-buf was made over that slot, from that offset on, and `shared` keeps it open.
unsafe impl core::DmaTarget for Loan {
    fn handle(&self, offset: usize) -> Option<i32> {
        let parts = self.shared.dma_bufs.as_ref().ok()?.get(self.inner.slot() as usize)?;
        let part = parts.iter().find(|(begin, _)| *begin as usize == offset);
        part.map(|(_, fd)| fd.as_raw_fd())
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        if self.owner.is_here() {
            // SAFETY: dropped once, here; `into_parts` does not come by.
            unsafe { ManuallyDrop::drop(&mut self.inner) };
        }
    }
}

/// Takes byte 0 of the lock file, which is never removed while anybody may hold it.
pub(crate) fn claim(name: &LaneName, mode: Mode) -> Result<LockFile, Error> {
    let object = name.object(Part::Lock);
    loop {
        let Some(lock) = LockFile::open(&object, Some(mode))? else { continue };
        if !lock.try_lock(lock::PRODUCER)? {
            return Err(Error::Taken { lane: name.to_string(), holder: crate::list::holder_of(name) });
        }
        if lock.is_linked() {
            lock.set_mode(mode)?;
            return Ok(lock); // else somebody removed the file meanwhile: a lock on it excludes nobody
        }
    }
}

/// Clears seats whose byte of the lock file nobody holds; holds the byte meanwhile, as core's contract asks.
pub(crate) fn reclaim(seats: Seats<'_>, lock: &LockFile) -> u32 {
    let mut proofs = Vec::new();
    let is_alive = |index| {
        let dead = lock.try_lock(lock::seat(index)).unwrap_or(false);
        if dead {
            proofs.push(index);
        }
        !dead
    };
    // SAFETY: 1. a consumer holds its seat's byte for as long as it or a frame of its lives (`SeatLock`), and `proofs` keep
    // the byte until the end; 2. mapped for writing by all callers; a stream's writer does not come here.
    let cleared = unsafe { seats.reclaim(is_alive) };
    proofs.into_iter().for_each(|index| lock.unlock(lock::seat(index)));
    cleared
}

/// The object that a dead producer left under the name, if it is one of ours.
pub(crate) struct Old {
    mapping: Mapping,
}

impl Old {
    /// # Errors
    /// [`Error::Unusable`] if something that is no lane has the name: it is not ours to replace. A lane that was cut, so
    /// also an object of no bytes, holds nothing that anybody could lose.
    pub(crate) fn find(name: &LaneName) -> Result<Option<Self>, Error> {
        let object = name.object(Part::Data);
        let Some(fd) = shm::open(&object, true)? else { return Ok(None) };
        let len = shm::len(&fd).map_err(|errno| Error::system("look at", &object, errno))?;
        let foreign = |source| Error::Unusable { object: object.clone(), source };
        if len == 0 {
            return Ok(None);
        }
        let mapping = Mapping::new(&fd, &object, 0, len, Access::Write, false)?;
        // SAFETY: the region is gone before the mapping is.
        match Region::attach(&unsafe { mapping.memory() }) {
            Err(AttachError::TooShort { .. }) if shm::begins_with(&fd, &core::layout::MAGIC) => Ok(None),
            Err(source @ (AttachError::Foreign | AttachError::TooShort { .. })) => Err(foreign(source)),
            _ => Ok(Some(Self { mapping })),
        }
    }

    /// Tells its readers to look for the new object.
    pub(crate) fn supersede(self) {
        // SAFETY: the region is gone before the mapping is, at the end of this function.
        let memory = unsafe { self.mapping.memory() };
        let Ok(region) = Region::attach(&memory) else { return };
        if region.state() != LaneState::Live {
            return;
        }
        // SAFETY: mapped for writing; byte 0 is held, so its producer is gone and no other comes.
        unsafe { region.supersede() };
        futex::wake_all(region.bell());
    }
}

pub(crate) fn random_incarnation() -> Result<[u32; 4], Error> {
    let mut bytes = [0u8; 16];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut file| std::io::Read::read_exact(&mut file, &mut bytes))
        .map_err(|source| Error::System { operation: "read", object: "/dev/urandom".to_owned(), source })?;
    let mut words = [0; 4];
    for (word, chunk) in words.iter_mut().zip(bytes.chunks_exact(4)) {
        *word = u32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]);
    }
    Ok(words)
}

fn too_many_slots(shape: &Shape) -> Error {
    let high = MAX_BOOKED as u32;
    core::GeometryError::OutOfRange { what: "slots", value: shape.slots(), low: 2, high }.into()
}

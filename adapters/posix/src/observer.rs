//! An observer of a lane: reads without a seat and without permission to write, copies out, trusts nobody.
#![allow(unsafe_code)] // observes a region whose producer is another process, or is copied from by the system

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use camlane_core::{self as core, LaneState, ObserveError, Observed};
use nix::poll::PollTimeout;

use crate::address::{Address, Place};
use crate::attachment::Data;
use crate::error::Error;
use crate::fork::Owner;
use crate::futex;
use crate::name::LaneName;
use crate::pause::Pause;
use crate::process;
use crate::sealed::{self, Connection, Role};

/// How often an observer looks that nobody wakes.
const POLL: Duration = Duration::from_millis(4);

/// A reader that needs nothing but read permission and holds nothing: it copies frames out and checks each copy.
///
/// Beside its lane's producer in one program it has the system copy the frames, by process_vm_readv(2): a copy of the
/// program's own would be a race with who fills a [`Loan`](crate::Loan).
///
/// **Trust:** nobody. A producer that does not keep to the protocol can make it return wrong pixels or an error, not
/// more, with one exception: who may write a *named* lane's data object may also truncate it, and this process ends with
/// SIGBUS at its next look there. The objects of a sealed lane cannot be truncated, and are refused unless sealed.
///
/// Reading a named lane by pread(2) instead would turn that into an error. It is not done: the protocol needs each of
/// its words loaded whole, and a kernel may copy a word byte by byte (Linux on x86-64 without `fsrm` does).
#[derive(Debug)]
pub struct Observer {
    address: Address,
    core: core::Observer<'static>,
    // After `core`, which points into it.
    data: Data,
    /// The connection to a sealed lane's broker, which sends a notice per publish.
    connection: Option<OwnedFd>,
    owner: Owner,
    /// The lane's producer is in this program.
    is_beside_producer: bool,
    /// The bell at the last look.
    seen: AtomicU32,
}

/// A frame that was copied out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Copied {
    /// Number and description.
    pub observed: Observed,
    /// The frame's bytes.
    pub pixels: Vec<u8>,
    /// The user's metadata.
    pub user: Vec<u8>,
}

impl Observer {
    /// Opens a lane to look at.
    ///
    /// # Errors
    /// As [`Consumer::open`](crate::Consumer::open), except `SeatsTaken`; [`Error::System`] if the producer is in this
    /// program and a seccomp filter forbids process_vm_readv(2): be a consumer.
    pub fn open(address: &str) -> Result<Self, Error> {
        let address: Address = address.parse()?;
        let none = || Error::NoSuchLane { lane: address.to_string(), running: crate::list::names() };
        let (data, connection) = match &address.place {
            Place::Shm => (Data::open(address.name(), false)?, None),
            Place::InPlace(place) => (place.look()?.ok_or_else(none)?, None),
            Place::Socket(path) => {
                let connection = sealed::connect(path, Role::Observe, true, &[])?.ok_or_else(none)?;
                (Data::map(&connection.data, &address.to_string(), false)?, Some(connection.socket))
            }
        };
        let creator = data.region.info().map_or((0, 0), |info| info.creator);
        let is_beside_producer = process::is_this(creator.0, creator.1);
        if is_beside_producer {
            process::read_own_memory(data.mapping.addresses().start, &mut [0; 8])
                .map_err(|errno| Error::system("have the system copy from", &address.to_string(), errno))?;
        }
        // SAFETY: a producer in this process has said so in the info record, and then `copy` leaves the copying to the system.
        let core = unsafe { data.region.observer() };
        let seen = AtomicU32::new(data.region.bell().value().wrapping_sub(1));
        Ok(Self { address, core, data, connection, owner: Owner::current(), is_beside_producer, seen })
    }

    /// The lane's name.
    pub const fn name(&self) -> &LaneName {
        self.address.name()
    }

    /// Where the lane is.
    pub const fn address(&self) -> &Address {
        &self.address
    }

    /// Waits until something may be new since the last look, at most `timeout`. A named lane that was not made with
    /// [`always_wake`](crate::LaneOptions::always_wake) cannot tell its observers, who then look every few milliseconds.
    /// Once a sealed lane's producer is gone, every wait lasts as long as it may.
    pub fn wait(&self, timeout: Duration) {
        let region = &self.data.region;
        let seen = self.seen.load(Ordering::Relaxed);
        if region.bell().value() != seen {
            return;
        }
        match &self.connection {
            // A forked child would take its parent's notices, and one whose producer is gone gets none.
            Some(socket) if self.owner.is_here() && Connection::is_served(socket) => {
                // Rounded up: what is left of a millisecond is not to be spent on looking again and again.
                let millis = timeout.as_nanos().div_ceil(1_000_000);
                Connection::wait(socket, PollTimeout::from(u16::try_from(millis).unwrap_or(u16::MAX)));
            }
            None if region.shape().always_wake() => futex::wait(region.bell(), seen, timeout),
            _ => {
                let deadline = Instant::now() + timeout;
                while region.bell().value() == seen && Instant::now() < deadline {
                    std::thread::sleep(POLL.min(deadline.saturating_duration_since(Instant::now())));
                }
            }
        }
    }

    /// The lane's shape.
    pub const fn shape(&self) -> &core::Shape {
        self.data.region.shape()
    }

    /// Names the run of the producer that this observer looks at; it does not follow to the next.
    pub fn incarnation(&self) -> [u32; 4] {
        self.data.region.incarnation()
    }

    /// What the producer says of the lane.
    pub fn state(&self) -> LaneState {
        self.core.state()
    }

    /// Why no frames come, if the producer says so.
    pub fn pause(&self) -> Option<Pause> {
        Pause::of(&self.data.region)
    }

    /// What the lane says about itself.
    ///
    /// # Errors
    /// [`Error::Unusable`] if the record was damaged.
    pub fn info(&self) -> Result<core::LaneInfo, Error> {
        let unusable = |source| Error::Unusable { object: self.address.to_string(), source };
        self.data.region.info().map_err(unusable)
    }

    /// What the newest frame says about itself. `None`: no frame yet.
    ///
    /// # Errors
    /// [`ObserveError`]
    pub fn peek(&self) -> Result<Option<Observed>, ObserveError> {
        self.look();
        self.core.peek_newest()
    }

    /// Copies the newest frame out. `None`: no frame yet.
    ///
    /// # Errors
    /// [`ObserveError`]
    pub fn copy_newest(&self) -> Result<Option<Copied>, ObserveError> {
        self.look();
        let mut pixels = vec![0; self.shape().slot_size() as usize];
        let mut user = vec![0; self.shape().user_bytes() as usize];
        let Some(observed) = self.copy(&mut pixels, &mut user)? else { return Ok(None) };
        pixels.truncate(observed.meta.layout.bytes as usize);
        user.truncate(observed.meta.user_len as usize);
        Ok(Some(Copied { observed, pixels, user }))
    }

    /// As [`copy_newest`](Self::copy_newest), into the caller's buffers, which may be larger than the frame.
    ///
    /// # Errors
    /// [`ObserveError`]; `TooSmall` tells how much room for pixels the frame needs.
    pub fn copy_newest_into(
        &self,
        pixels: &mut [u8],
        user: &mut [u8],
    ) -> Result<Option<Observed>, ObserveError> {
        self.look();
        self.copy(pixels, user)
    }

    fn copy(&self, pixels: &mut [u8], user: &mut [u8]) -> Result<Option<Observed>, ObserveError> {
        if !self.is_beside_producer {
            return self.core.copy_newest(pixels, user);
        }
        let start = self.data.mapping.addresses().start;
        let fetch = |from: u64, into: &mut [u8]| {
            // What is missing was cut off.
            process::read_own_memory(start + from as usize, into).map_err(|_| ObserveError::Corrupt)
        };
        self.core.copy_newest_by(|from, user_from| {
            let (needed, room) = ((from.end - from.start) as usize, pixels.len());
            fetch(from.start, pixels.get_mut(..needed).ok_or(ObserveError::TooSmall { needed, room })?)?;
            let user_len = user.len().min((user_from.end - user_from.start) as usize);
            fetch(user_from.start, &mut user[..user_len])
        })
    }

    /// Notes the bell before a look: what is published after it makes the next wait return.
    fn look(&self) {
        self.seen.store(self.data.region.bell().value(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FrameMeta, LaneOptions, Producer};

    #[test]
    fn beside_the_producer_it_is_the_system_that_copies_and_it_copies_the_same() {
        let name = format!("test-beside-{}", std::process::id());
        let producer = Producer::create(&name, &LaneOptions::for_bytes(5000)).unwrap();
        let mut observer = Observer::open(&name).unwrap();
        assert!(observer.is_beside_producer);
        let mut loan = producer.loan().unwrap();
        loan.iter_mut().enumerate().for_each(|(index, byte)| *byte = index as u8);
        loan.user_mut()[..3].copy_from_slice(b"abc");
        let mut meta = FrameMeta::bytes(4999);
        meta.user_len = 3;
        producer.publish(loan, &meta).unwrap();
        let by_the_system = observer.copy_newest().unwrap().unwrap();
        observer.is_beside_producer = false; // nobody fills a slot now
        assert_eq!(by_the_system, observer.copy_newest().unwrap().unwrap());
        assert_eq!((by_the_system.pixels.len(), &by_the_system.user[..]), (4999, &b"abc"[..]));
        observer.is_beside_producer = true;
        let small = observer.copy_newest_into(&mut [0; 10], &mut []).unwrap_err();
        assert_eq!(small, ObserveError::TooSmall { needed: 4999, room: 10 });
    }
}

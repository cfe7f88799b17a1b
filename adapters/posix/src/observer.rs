//! An observer of a lane: reads without a seat and without permission to write, copies out, trusts nobody.
#![allow(unsafe_code)] // observes a region whose producer is another process

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
use crate::sealed::{self, Connection, Role};

/// How often an observer looks that nobody wakes.
const POLL: Duration = Duration::from_millis(4);

/// A reader that needs nothing but read permission and holds nothing: it copies frames out and checks each copy.
///
/// It may run beside its lane's producer in one program only if it never copies while that producer fills a slot; open
/// it in another process otherwise.
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
    /// As [`Consumer::open`](crate::Consumer::open), except `SeatsTaken`.
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
        // SAFETY: the type's documentation asks for a producer in another process.
        let core = unsafe { data.region.observer() };
        let seen = AtomicU32::new(data.region.bell().value().wrapping_sub(1));
        Ok(Self { address, core, data, connection, owner: Owner::current(), seen })
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
        let Some(observed) = self.core.copy_newest(&mut pixels, &mut user)? else { return Ok(None) };
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
        self.core.copy_newest(pixels, user)
    }

    /// Notes the bell before a look: what is published after it makes the next wait return.
    fn look(&self) {
        self.seen.store(self.data.region.bell().value(), Ordering::Relaxed);
    }
}

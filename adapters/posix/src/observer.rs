//! An observer of a named lane: reads without a seat and without permission to write, copies out, trusts nobody.
#![allow(unsafe_code)] // observes a region whose producer is another process

use camlane_core::{self as core, LaneState, Observed, ObserveError};

use crate::attachment::Data;
use crate::error::Error;
use crate::name::{LaneName, Part};

/// A reader that needs nothing but read permission and holds nothing: it copies frames out and checks each copy.
///
/// It may run beside its lane's producer in one program only if it never copies while that producer fills a slot; open
/// it in another process otherwise.
///
/// **Trust:** nobody. A producer that does not keep to the protocol can make it return wrong pixels or an error, not
/// more; except that one that truncates its object kills its readers with SIGBUS (sealed lanes close that).
#[derive(Debug)]
pub struct Observer {
    name: LaneName,
    core: core::Observer<'static>,
    // After `core`, which points into it.
    data: Data,
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
    pub fn open(name: &str) -> Result<Self, Error> {
        let name = LaneName::new(name)?;
        let data = Data::open(&name, false)?;
        // SAFETY: the type's documentation asks for a producer in another process.
        let core = unsafe { data.region.observer() };
        Ok(Self { name, core, data })
    }

    /// The lane's name.
    pub const fn name(&self) -> &LaneName {
        &self.name
    }

    /// The lane's shape.
    pub const fn shape(&self) -> &core::Shape {
        self.data.region.shape()
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
        let unusable = |source| Error::Unusable { object: self.name.object(Part::Data), source };
        self.data.region.info().map_err(unusable)
    }

    /// What the newest frame says about itself. `None`: no frame yet.
    ///
    /// # Errors
    /// [`ObserveError`]
    pub fn peek(&self) -> Result<Option<Observed>, ObserveError> {
        self.core.peek_newest()
    }

    /// Copies the newest frame out. `None`: no frame yet.
    ///
    /// # Errors
    /// [`ObserveError`]
    pub fn copy_newest(&self) -> Result<Option<Copied>, ObserveError> {
        let mut pixels = vec![0; self.shape().slot_size() as usize];
        let mut user = vec![0; self.shape().user_bytes() as usize];
        let Some(observed) = self.core.copy_newest(&mut pixels, &mut user)? else { return Ok(None) };
        pixels.truncate(observed.meta.layout.bytes as usize);
        user.truncate(observed.meta.user_len as usize);
        Ok(Some(Copied { observed, pixels, user }))
    }
}

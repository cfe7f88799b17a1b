//! Camera frames in shared memory: the byte layout and the lock-free protocol, and nothing else.
#![cfg_attr(not(any(test, loom)), no_std)]
// Loom's words are no bytes: under it whatever lays a lane out in memory is left away, and what served only that is unused.
#![cfg_attr(loom, allow(dead_code, unused_imports))]

mod consumer;
mod error;
pub mod format;
mod geometry;
mod info;
pub mod layout;
mod meta;
#[cfg(loom)]
pub mod model;
mod observer;
mod producer;
mod region;
mod seats;
pub mod stream;
mod sync;
mod word;

pub use consumer::{Asleep, Consumer, Frame};
pub use error::{
    AttachError, CreateError, LoanError, ObserveError, PublishError, ReadError, StreamError, TakeOverError,
};
pub use format::{FourCc, FrameLayout, LayoutError, PixelFormat, Plane};
pub use geometry::{Geometry, GeometryError, LINE, MAX_SEATS, MAX_SLOTS, Shape};
pub use info::{ClockOffsets, InfoSpec, LaneInfo, LaneSpec};
pub use meta::{Clock, Colour, Details, Flags, FrameMeta, Rect, Reference};
pub use observer::{Observed, Observer};
pub use producer::{DEFAULT_SLOTS, Loan, Producer, Published};
pub use region::{Lane, LaneState, Memory, ProducerRole, Region, SeatRole, SeatRoles, Seats, parse_header};
pub use seats::SeatUse;

//! Camera frames in shared memory: the byte layout and the lock-free protocol, and nothing else.
#![cfg_attr(not(any(test, loom)), no_std)]

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
pub use producer::{DEFAULT_SLOTS, Loan, Producer, Published, SeatUse};
pub use region::{Lane, LaneState, Memory, ProducerRole, Region, SeatRole, SeatRoles, Seats, parse_header};

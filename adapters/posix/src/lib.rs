//! Hand camera frames to other processes on Linux: one camera, many readers, zero copies, no daemon.
#![warn(missing_docs)]

mod attachment;
pub mod clock;
mod consumer;
pub mod copy;
mod error;
mod fork;
mod futex;
mod keeper;
mod list;
mod lock;
mod mapping;
mod name;
mod notifier;
mod observer;
mod options;
mod pace;
mod process;
mod producer;
mod shm;

pub use camlane_core as core;
pub use camlane_core::format;
pub use camlane_core::{
    Clock, ClockOffsets, Colour, Details as FrameDetails, Flags, FrameLayout, FrameMeta, LaneInfo, LaneState,
    Observed, ObserveError, PixelFormat, Plane, Rect, Reference, SeatUse, Shape,
};

pub use consumer::{Change, Consumer, ConsumerOptions, Frame, Read, Totals, Wait, wait_any};
pub use copy::CopyKind;
pub use error::{Error, WaitError};
pub use list::{Details, Health, LaneStatus, remove};
pub use name::{LaneName, MAX_NAME};
pub use notifier::Notifier;
pub use observer::{Copied, Observer};
pub use options::{LaneOptions, Sharing};
pub use producer::{Loan, Producer};
pub use shm::{Space, space};

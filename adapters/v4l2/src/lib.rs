//! Video4Linux2 cameras that write straight into memory of yours: zero copies where the driver can, one honest copy where
//! it cannot.
//!
//! ```text
//!            Device                      Ready                      Streaming
//!   open --> asked and set --allocate--> has buffers  --start-----> dequeue(wait) --> Frame { loan, meta }
//!               ^                        queue(loan)                queue(loan)
//!               +--------- stop / release gives camera and loans back --------+
//!
//!   loan --queue--> driver writes into it  (dmabuf: through a dma-buf; userptr: to its addresses)  --dequeue--> loan
//!                   or into its own buffer (mmap), and one copy goes into the loan
//! ```
//!
//! ```no_run
//! use std::time::Duration;
//! use camlane_v4l2::{Device, Event, Pages, Plan, Wish, find};
//!
//! let mut camera = Device::open(find("Integrated Camera")?)?;
//! let picture = camera.configure(&Wish { size: Some((640, 480)), ..Wish::default() })?;
//! let loans = (0..4).map(|_| Pages::new(picture.slot_bytes as usize)).collect::<Result<Vec<_>, _>>()?;
//! let mut camera = camera.stream(picture, &Plan::default(), loans)?;
//! println!("by {}, because {:?}", camera.memory(), camera.refused());
//! while let Event::Frame(frame) = camera.dequeue(Duration::from_secs(2))? {
//!     println!("frame {} at {} ns", frame.meta.source_sequence, frame.meta.capture_ns);
//!     camera.queue(frame.loan)?; // a lane's producer would publish it and queue another loan
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is guaranteed
//!
//! - **A buffer that the driver may write into is nobody else's.** [`Streaming::queue`] takes a loan by value, and only
//!   [`Streaming::dequeue`] or [`Streaming::stop`] gives it back. What can be lent is said by
//!   [`DmaTarget`], an unsafe trait of core's, as a microcontroller's DMA needs the same promise;
//!   so a lane's loans come here without this crate knowing shared memory, or that one knowing cameras.
//! - **Dropping the camera stops the driver before the loans go.** If it cannot be stopped because it was unplugged, its
//!   device is closed first.
//! - **A process that is killed** leaves its device to the kernel, which stops the queue when the last descriptor is closed,
//!   and unpins the pages after that. Descriptors are close-on-exec; a child that was forked and runs no other program
//!   keeps the device open, and the driver writing, for as long as it lives: into slots that a new producer's lane does not
//!   have, as that is made of new memory.
//! - **Times are the driver's**, with the clock and the moment that it names; what it lost is counted by its own sequence.
//! - **Nothing is invented:** a stride, a colour, a rate that the driver does not tell is not told.
//!
//! # What it will never do
//! Convert pixels, allocate shared memory, start threads, or look at pixels.

mod colour;
mod control;
mod device;
mod error;
mod filled;
mod holders;
mod hotplug;
mod list;
mod memory;
mod modes;
mod path;
mod picture;
mod queue;
mod realtime;
mod stream;
mod suspend;
mod sys;

pub use camlane_core::DmaTarget;

pub use control::{Control, ControlKind};
pub use device::{Device, Identity};
pub use error::{Error, NO_DMA_BUF};
pub use hotplug::{BackOff, Hotplug};
pub use list::{Found, cameras, find};
pub use memory::Pages;
pub use modes::{Mode, Offer, Rates, Sizes, Wish};
pub use path::MemoryPath;
pub use picture::Picture;
pub use realtime::{lock_memory, run_in_real_time};
pub use stream::{
    CopyFn, Event, Frame, Held, NotStarted, Plan, Ready, Refused, Statistics, Stopped, Streaming,
};
pub use suspend::Suspends;

/// The README's program compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

//! Hand camera frames to other processes on Linux: one camera, many readers, zero copies, no daemon.
//!
//! ```text
//!  camera process                       shared memory                        any number of readers
//!  camera --fills--> Loan --publish-->  | slot | slot | slot | slot | <----- Frame (pinned, read in place)
//!                     ^                    frame 7  8    9   (free)          Frame
//!                     +-- Producer::loan()         bell ~~ futex ~~~~~~~~~~> Consumer::next(timeout)
//! ```
//!
//! ```
//! use std::time::Duration;
//! use camlane::{Consumer, FrameMeta, LaneOptions, PixelFormat, Producer};
//!
//! # let name = &format!("doc-{}", std::process::id());
//! // In the camera's process:
//! let layout = PixelFormat::GRAY8.layout(640, 480, 64)?;
//! let producer = Producer::create(name, &LaneOptions::for_frames(&layout))?;
//! // In a reader's:
//! let mut lane = Consumer::open(name)?;
//!
//! let mut loan = producer.loan()?; // a slot that is ours alone
//! loan.fill(42); // the camera writes here
//! producer.publish(loan, &FrameMeta::new(layout))?;
//!
//! let frame = lane.next(Duration::from_secs(1))?; // the same bytes, where they lie
//! assert_eq!((frame.number(), frame[0], frame.missed()), (1, 42, 0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is guaranteed
//!
//! Given a conforming producer, the bytes behind a [`Frame`] do not change and stay mapped until it is dropped, whatever any
//! consumer does, dies or stops. In a sealed lane that holds against hostile consumers and observers too; in a named
//! lane, against those that cannot write the lane's objects. With a producer that you do not trust, be an [`Observer`]:
//! bytes may be anything, every operation stays bounded, and no `&[u8]` is handed out.
//!
//! - The producer never waits for a consumer, and nothing in [`Producer::publish`] depends on what consumers do.
//! - A consumer that dies keeps its frames pinned until its seat is reclaimed: at once when somebody needs it, else
//!   within a second. One that is stopped keeps them; a time-out never takes a frame away.
//! - What a reader missed is counted exactly, and apart from what the camera dropped.
//! - A producer that restarts, with other sizes or formats too, is followed, and the consumer is told ([`Change`]).
//!
//! # Why opening a lane is safe
//!
//! A [`Frame`] is a `&[u8]` into memory that another process can write, and [`Consumer::open`] is no `unsafe fn` all the
//! same. What it relies on lies outside the program: that whoever may write `/camlane.NAME.data` is a camlane producer.
//! Rust holds a program answerable for what it does itself, not for what others do to its memory (`std::os::fd`, on
//! `/proc/self/mem`), and iceoryx2 opens its services as safe functions on the same ground. It is not that of `memmap2`,
//! where mapping a file is unsafe, because any program may write any file, for good reasons, and nothing tells: here the
//! object has a name of camlane's own, a mode that keeps other users from writing, and a header that is checked before a
//! byte of a frame is handed out, and the way to change a pinned frame is to break the protocol on purpose. Who wants it
//! enforced rather than agreed on uses a sealed lane, where the kernel lets nobody but the producer write; who trusts no
//! producer at all, an [`Observer`]. In [`core`], which cannot know where its bytes come from, the same step is `unsafe`
//! ([`core::Region::seat_role`]).
//!
//! # Kinds of lanes
//!
//! | | named, `front-door` | sealed, `sealed:front-door` | fixed, [`core::Lane`] |
//! |---|---|---|---|
//! | lies in | `/dev/shm`, three objects | memfds, handed out over a socket | one slice of bytes |
//! | for | peers of one user or group, any language | consumers trusted less than the camera | firmware, tests |
//! | a consumer can write | its own page; whoever may open the objects for writing, anything in them | its own page, nothing else | the slice |
//! | truncated under a reader (SIGBUS) | by who may write the objects | by nobody | by nobody |
//! | told alive by | a byte of a lock file | its connection | the caller |
//! | admission | file modes ([`Sharing`]) | [`Policy`] over the peer's credentials | the caller |
//!
//! A lane can also live *in place*, in one piece of memory that is never replaced: `file:PATH` in a regular file,
//! `sysv:KEY` in a System V segment. It is told alive and admits as a named one does; all its ends may write all of it, it
//! stays when they are gone, and the next producer, which must ask for the same shape, goes on in it, frame numbers
//! included. [`Address`] has the notations.
//!
//! # What it will never do
//!
//! Send frames to another machine, queue them on disk, convert pixels, or wait for the slowest reader.

mod address;
mod attachment;
pub mod clock;
mod consumer;
pub mod copy;
mod error;
mod fork;
mod frameset;
mod futex;
mod in_place;
mod keeper;
pub mod legacy;
mod list;
mod lock;
mod mapping;
mod name;
mod notifier;
mod object;
mod observer;
mod options;
mod pace;
mod pause;
mod process;
mod producer;
mod sealed;
mod shm;
mod stream;
mod trial;

pub use camlane_core as core;
pub use camlane_core::format;
pub use camlane_core::{
    Clock, ClockOffsets, Colour, Details as FrameDetails, Flags, FrameLayout, FrameMeta, LaneInfo, LaneState,
    ObserveError, Observed, PixelFormat, Plane, Rect, Reference, SeatUse, Shape,
};

pub use address::Address;
pub use consumer::{Change, Consumer, ConsumerOptions, Frame, Read, Totals, Wait, wait_any};
pub use copy::CopyKind;
pub use error::{Error, WaitError};
pub use frameset::{Frameset, FramesetError, SyncTotals, Synchronizer};
pub use list::{Details, Health, LaneStatus, remove};
pub use name::{LaneName, MAX_NAME};
pub use notifier::Notifier;
pub use observer::{Copied, Observer};
pub use options::{LaneOptions, Sharing};
pub use pause::{Pause, PauseReason};
pub use producer::{Loan, Mapped, Producer};
pub use sealed::Policy;
pub use shm::{Space, space};
pub use stream::{StreamOptions, StreamReader, StreamWriter};

/// The README's programs compile.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

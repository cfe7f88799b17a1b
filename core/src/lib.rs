//! Camera frames in shared memory: the byte layout and the lock-free protocol, and nothing else.
//!
//! One producer fills slots in place; any number of consumers read them in place, each at its own pace; nobody waits
//! for anybody, and anybody may be killed at any instruction. No operating system, no allocator, no clock: the same
//! code serves a mapping on Linux (the crate `camlane` makes those), a unit test and a microcontroller.
//!
//! ```text
//!        written by the producer, read-only to everybody else              one row per consumer, written by it alone
//! DATA   +--------+-------------+------+------+-------------+-----------+  +-------+
//!        | header | latest bell | info | ring | descriptors | payloads  |  | cells |  seat 0: "I read slot 2"
//!        | shape  | state       | name |  R   |      N      |     N     |  +-------+
//!        +--------+-------------+------+------+-------------+-----------+  | cells |  seat 1: nothing
//!                                                slot 0  READY(41)         +-------+
//!                                                slot 1  WRITING              ...
//!                                                slot 2  RETIRED(39), kept while seat 0 names it
//! ```
//!
//! # The smallest whole example
//! ```
//! use camlane_core::{Consumer, FrameMeta, Geometry, Lane, LaneSpec, PixelFormat, Producer};
//!
//! #[repr(align(64))]
//! struct Memory([u8; 4096]); // any bytes that begin at a multiple of four
//!
//! let layout = PixelFormat::GRAY8.layout(4, 2, 1)?;
//! let shape = Geometry::new(layout.bytes).seats(1).pins(1).shape()?;
//! let mut memory = Memory([0; 4096]);
//! let mut lane = Lane::create_in(&mut memory.0, &LaneSpec::anonymous(shape))?;
//! let producer: Producer = Producer::new(lane.producer)?;
//! let consumer = Consumer::new(lane.seats.next().ok_or("no seat")?, 0);
//!
//! let mut loan = producer.loan()?; // a slot, ours alone
//! loan[..8].copy_from_slice(b"8 pixels");
//! producer.publish(loan, &FrameMeta::new(layout))?; // takes the loan: nobody can write the frame any more
//!
//! let frame = consumer.latest()?.ok_or("no frame")?;
//! assert_eq!((frame.number(), &frame[..]), (1, &b"8 pixels"[..])); // in place: no copy was made
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
//!
//! # Guarantees
//! *Given a conforming producer, the bytes behind a [`Frame`] do not change and stay mapped until it is dropped,
//! whatever any consumer does, dies or stops. In a sealed lane that holds against hostile consumers and observers too;
//! in a named lane, against those that cannot write the lane's objects. With a producer that you do not trust, be an
//! observer: bytes may be anything, every operation stays bounded, and no `&[u8]` is handed out.*
//!
//! - [`Producer::loan`] and [`Producer::publish`] are wait-free, and succeed whatever consumers do, as long as
//!   [`Shape::never_starves`].
//! - Counts are exact: what a consumer gets and what it missed add up, over any pause.
//! - No input makes attaching, reading or observing panic. After [`Region::attach`] shape cannot fail.
//! - Only loads, stores and fences of 32 bits: 32-bit and 64-bit programs share a lane, and processors without
//!   compare-and-swap can take part.
//!
//! # Whom it trusts
//! A [`Consumer`] trusts whoever can write DATA: it hands out `&[u8]` into those bytes, and becoming one is `unsafe`
//! ([`Region::seat_role`]) except in memory that a program has for itself. An [`Observer`] trusts nobody. A producer
//! believes nothing that it finds in a seat: garbage there wastes that seat's slots. Whether somebody is dead is a
//! question to the caller, who must hold the proof and vouches for it ([`Seats::reclaim`] is `unsafe`).
//!
//! # Features
//! | feature | default | what it adds |
//! |--|--|--|
//! | `defmt` | no | `defmt::Format` for the public types. The program must have a global defmt logger |
//!
//! # What it will never do
//! Allocate, sleep, read a clock, call a system, open a name, log on the way of a frame, take a lock, emulate an atomic
//! that the processor does not have, or take a time-out for a proof of death. `publish` *tells* that somebody sleeps
//! ([`Published::asleep`]); waking them is the caller's part.
//!
//! The bytes are specified in `FORMAT.md` beside this crate's manifest, for other languages too.
#![cfg_attr(not(any(test, loom)), no_std)]
// Loom's words are no bytes: under it whatever lays a lane out in memory is left away, and what served only that is unused.
#![cfg_attr(loom, allow(dead_code, unused_imports))]

mod bell;
mod books;
mod consumer;
mod error;
pub mod format;
mod geometry;
mod info;
pub mod layout;
pub mod legacy;
mod meta;
#[cfg(loom)]
pub mod model;
mod observer;
mod pause;
mod producer;
mod region;
mod seats;
pub mod stream;
mod sync;
mod word;

pub use bell::Bell;
pub use consumer::{Asleep, Consumer, Frame};
pub use error::{
    AttachError, CreateError, LoanError, ObserveError, PublishError, ReadError, StreamError, TakeOverError,
};
pub use format::{FourCc, FrameLayout, LayoutError, PixelFormat, Plane};
pub use geometry::{Geometry, GeometryError, LINE, MAX_SEATS, MAX_SLOTS, Shape};
pub use info::{ClockOffsets, InfoSpec, LaneInfo, LaneSpec};
pub use meta::{Clock, Colour, Details, Flags, FrameMeta, Rect, Reference};
pub use observer::{Observed, Observer};
pub use pause::Pause;
pub use producer::{DEFAULT_SLOTS, Loan, Producer, Published};
pub use region::{
    DmaTarget, Lane, LaneState, Memory, ProducerRole, Region, SeatRole, SeatRoles, Seats, parse_header,
};
pub use seats::SeatUse;

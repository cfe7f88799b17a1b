//! Sealed lanes: for consumers that are less trusted than the camera.
//!
//! The producer's process serves the lane itself, on a thread of its own. DATA is a memfd that nobody can shrink, grow or
//! map for writing any more (`F_SEAL_FUTURE_WRITE`, Linux 5.1); each pinning consumer gets a small memfd of its own, new
//! for it; a SOCK_SEQPACKET connection admits by the peer's credentials, and its end-of-file is the proof of death.
//!
//! ```text
//! consumer                      broker thread of the producer
//!   connect, SO_PEERCRED   ->     policy: user, group, seats per user
//!   Hello { pin | observe } ->
//!                          <-     Welcome { seat, incarnation } + data (read-only) + that seat
//!   check seals, size, header
//!   ...                    <-     one byte per publish, if asked for; never blocks
//!   close, exit, SIGKILL   ->     end-of-file: the seat's page is replaced by an empty one
//! ```

mod broker;
mod client;
mod memory;
mod policy;
mod wire;

pub(crate) use broker::{Broker, Claim, Lane};
pub(crate) use client::{Connection, connect};
pub(crate) use memory::{Seal, SeatTable, data_object};
pub use policy::Policy;
pub(crate) use wire::Role;

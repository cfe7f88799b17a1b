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
//!
//! What a hostile consumer can still do: waste the pins of seats that it was given, have the broker wake sleepers for
//! nothing, take its user's share of connections, and free the page of its own seat (`FALLOC_FL_PUNCH_HOLE`), which
//! the producer's next look fills again: a page fault on the camera's thread, and under strict overcommit
//! (`vm.overcommit_memory=2`) with no memory left a SIGBUS there. Nothing in Linux lets a page be written through a map
//! and not be freed by the same descriptor. Kernels before 6.16 also let it attach descriptors whose closing keeps the
//! broker busy, which delays admission and waking, not publishing.
//!
//! None of this holds against who can reach into the producer's process itself: root, and where the system lets it
//! (ptrace(2), "Ptrace access mode checking") any process of the same user.

mod broker;
mod client;
mod memory;
mod place;
mod policy;
mod udmabuf;
mod wire;

use crate::error::Error;

pub(crate) use broker::{Broker, Lane};
pub(crate) use client::{Connection, connect};
pub(crate) use memory::{Seal, SeatTable, data_object};
pub(crate) use place::Claim;
pub use policy::Policy;
pub(crate) use udmabuf::{SlotBuffers, make as dma_bufs};
pub(crate) use wire::Role;

fn system(operation: &'static str, object: &str, source: std::io::Error) -> Error {
    Error::System { operation, object: object.to_owned(), source }
}

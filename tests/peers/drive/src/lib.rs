//! The jobs that every peer does, and the two processes that do them.
//!
//! ```text
//!  compare --starts--> peer-x produce SPEC      peer-x consume SPEC  (n times)
//!                          | Produce::publish        | Consume::poll, wait
//!                          v                         v
//!                     the peer's own way from process to process
//!                          |                         |
//!                          +----- Board: go, stop, frame seen by whom -----+
//! ```
//!
//! A peer implements [`Peer`], [`Produce`] and [`Consume`] and nothing else: what is timed, when, and how often, is the
//! same code for all of them. The [`Board`] is memory beside the peer's, for pacing; no frame travels through it.

mod board;
mod consume;
mod copy;
mod door;
mod frame;
mod outcome;
mod peer;
mod produce;
mod spec;
mod worker;

pub use board::Board;
pub use copy::fill;
pub use door::Door;
pub use outcome::{Outcome, Report};
pub use peer::{Consume, Description, Peer, Place, Produce};
pub use spec::{Job, Readers, Size, Spec, Way};
pub use worker::{Entry, entry, main};

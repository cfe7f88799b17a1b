//! Attacks on named lanes, with real processes that are killed, stopped, forked, starved and lied to.
//!
//! Every frame is a pattern whose every byte is checked wherever a frame is read (`camlane_tests::pattern`).

use camlane::{Error, FrameMeta, LaneOptions};
use camlane_tests::lane::TestLane;
use camlane_tests::pattern::Source;
use camlane_tests::peer::Peer;

mod creation;
mod faults;
mod forked;
mod life;
mod restart;
mod strangers;
mod surroundings;
mod threads;
mod waiting;
mod zero_copy;

/// Starts another process.
fn peer() -> Peer {
    Peer::of_some_build(env!("CARGO_BIN_EXE_peer"))
}

/// Becomes the producer of opaque frames of 16 KiB.
fn source(lane: &TestLane, options: LaneOptions) -> Result<Source, Error> {
    Source::create(lane.name(), FrameMeta::bytes(BYTES).layout, &options)
}

/// Bytes of the longest frame that [`source`] makes.
const BYTES: u32 = 16 * 1024;

/// The options that [`source`] starts from: 8 seats with 2 pins each, a history of 4.
fn options() -> LaneOptions {
    LaneOptions::for_bytes(BYTES)
}

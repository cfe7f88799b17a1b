//! The camera crate against the kernel's virtual camera driver, vivid: every way into memory, every common format, and
//! what goes wrong with cameras. `tests/camera.sh` boots a machine that has the driver; elsewhere these tests are skipped,
//! aloud, unless `CAMLANE_REQUIRE_CAMERA=1` forbids that.

mod faults;
mod formats;
mod vivid;

use camlane_tests::peer::Peer;

/// Starts another process.
fn peer() -> Peer {
    Peer::spawn(env!("CARGO_BIN_EXE_peer"))
}

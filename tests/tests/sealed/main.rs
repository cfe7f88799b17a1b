//! Attacks on sealed lanes: consumers, servers and producers that do not keep to anything.
//!
//! Those who attack speak the protocol of `core/FORMAT.md` themselves (`camlane_tests::raw`), without camlane.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use camlane::{Error, FrameMeta, LaneOptions};
use camlane_tests::pattern::Source;
use camlane_tests::peer::Peer;

mod door;
mod faults;
mod hostile_consumer;
mod hostile_producer;
mod hostile_server;
mod life;
mod namespaces;
mod policy;
mod seals;
mod truncation;
mod waiters;

/// Starts another process.
fn peer() -> Peer {
    Peer::of_some_build(env!("CARGO_BIN_EXE_peer"))
}

/// An address that no other test has, in a directory that every user may enter and nobody else writes.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
        Self { dir }
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("cam.sock")
    }

    fn address(&self) -> String {
        format!("sealed:{}", self.socket().display())
    }

    fn join(&self, role: u32) -> String {
        format!("join {} {role}", self.socket().display())
    }
}

/// Becomes the producer of opaque frames of 16 KiB.
fn source(place: &Place, options: LaneOptions) -> Result<Source, Error> {
    Source::create(&place.address(), FrameMeta::bytes(BYTES).layout, &options)
}

/// Bytes of the longest frame that [`source`] makes.
const BYTES: u32 = 16 * 1024;

/// The options that [`source`] starts from: 8 seats with 2 pins each, a history of 4.
fn options() -> LaneOptions {
    LaneOptions::for_bytes(BYTES)
}

/// Tells whether this process may become others; says so aloud if not.
fn is_root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        camlane_tests::skip::skipped("needs root, to become other users");
    }
    root
}

/// Tells whether strace(1) works here; says so aloud if not.
fn can_trace() -> bool {
    let able = Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).stderr(Stdio::null()).status();
    let able = able.is_ok_and(|status| status.success());
    if !able {
        camlane_tests::skip::skipped("strace is missing or may not trace (apt install strace)");
    }
    able
}

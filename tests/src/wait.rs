//! Waiting for what another process does.

use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take that should take no time: two busy processors run several of these tests at once.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Looks every millisecond until `done`.
///
/// # Panics
/// If it takes longer than [`PATIENCE`].
#[track_caller]
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < PATIENCE, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

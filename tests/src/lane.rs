//! A lane name of a test's own, and what lies under it in shared memory.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use camlane::LaneStatus;

/// Where Linux keeps shared-memory objects (shm_overview(7)); other tests use it at the same time.
const SHM: &str = "/dev/shm";

/// A name that no other test of this or any other process has. Dropping it removes whatever lies under it.
#[derive(Debug)]
pub struct TestLane(String);

impl TestLane {
    /// Makes a name; `what` is for people who look into `/dev/shm` meanwhile.
    #[must_use]
    pub fn new(what: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Self(format!("test-{what}-{}-{count}", std::process::id()))
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0
    }

    /// The file of one of the lane's objects: `data`, `seats`, `lock`, or `data.new`.
    #[must_use]
    pub fn file(&self, part: &str) -> PathBuf {
        PathBuf::from(format!("{SHM}/camlane.{}.{part}", self.0))
    }

    /// The parts that exist now, in the order of the alphabet.
    #[must_use]
    pub fn parts(&self) -> Vec<String> {
        let start = format!("camlane.{}.", self.0);
        let entries = fs::read_dir(SHM).into_iter().flatten().flatten();
        let part = |name: String| name.strip_prefix(&start).map(ToOwned::to_owned);
        let mut parts: Vec<String> =
            entries.filter_map(|entry| part(entry.file_name().to_string_lossy().into_owned())).collect();
        parts.sort();
        parts
    }

    /// Removes everything under the name, as a person with `rm` would.
    pub fn remove(&self) {
        for part in self.parts() {
            let _ = fs::remove_file(self.file(&part)); // a lane that ends at this moment may be faster
        }
    }
}

impl Drop for TestLane {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Tells whether a consumer of the lane sleeps, or is about to.
///
/// # Panics
/// If there is no such lane.
#[must_use]
pub fn is_asleep(lane: &str) -> bool {
    let status = LaneStatus::of(lane).expect("a lane");
    status.lane.and_then(|lane| lane.seats).is_some_and(|seats| seats.iter().any(|seat| seat.sleeping))
}

//! What the storm may leave as it was: descriptors, shared memory, processes.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::sys::statvfs::statvfs;

const SHM: &str = "/dev/shm";

/// Has this part end with its conductor, even if it is stopped then.
pub(crate) fn die_with_parent() -> Result<()> {
    set_pdeathsig(Signal::SIGKILL).context("prctl")
}

/// Descriptors that this process has open.
pub(crate) fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

/// Lane objects that this process has mapped.
pub(crate) fn mappings() -> usize {
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    maps.lines().filter(|line| line.contains("/camlane.") || line.contains("/memfd:")).count()
}

/// Gives this process and its parts a `/dev/shm` of their own, where that is permitted.
pub(crate) fn make_private_shm() -> bool {
    let none: Option<&str> = None;
    let private = || {
        unshare(CloneFlags::CLONE_NEWNS)?;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
        mount(Some("shm"), SHM, Some("tmpfs"), MsFlags::empty(), Some("size=1g"))
    };
    private().is_ok()
}

/// What there is to be found again at the end.
#[derive(Debug)]
pub(crate) struct Inventory {
    descriptors: usize,
    mappings: usize,
    /// Blocks in use, if they are this run's alone.
    blocks: Option<u64>,
}

impl Inventory {
    #[allow(clippy::unnecessary_cast, reason = "these have 32 bits on some processors")]
    pub(crate) fn take(private: bool) -> Result<Self> {
        let used = || {
            statvfs(SHM).map(|stat| (stat.blocks() - stat.blocks_free()) as u64).context("look at /dev/shm")
        };
        let blocks = if private { Some(used()?) } else { None };
        Ok(Self { descriptors: descriptors(), mappings: mappings(), blocks })
    }

    /// Compares.
    pub(crate) fn check(&self, now: &Self) -> Result<()> {
        ensure!(
            self.descriptors == now.descriptors,
            "descriptors: {} before, {} now",
            self.descriptors,
            now.descriptors
        );
        ensure!(
            self.mappings == now.mappings,
            "mapped objects: {} before, {} now",
            self.mappings,
            now.mappings
        );
        ensure!(
            self.blocks == now.blocks,
            "blocks of /dev/shm: {:?} before, {:?} now",
            self.blocks,
            now.blocks
        );
        Ok(())
    }
}

/// The names in a folder that have this in them.
pub(crate) fn names(folder: &Path, part: &str) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.contains(part))
        .collect();
    names.sort();
    names
}

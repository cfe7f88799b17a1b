//! Asking the system to let a camera's thread run at once, and to keep its memory at hand.

use std::io;

use nix::sys::mman::{MlockAllFlags, mlockall};

use crate::sys;

/// Lets the calling thread run before every thread without real-time priority; `priority` is 1 to 99 (sched(7),
/// SCHED_FIFO). Threads that it starts later inherit that.
///
/// # Errors
/// The system's: it wants CAP_SYS_NICE, or a limit as by `ulimit -r` or `LimitRTPRIO=` of systemd.
pub fn run_in_real_time(priority: u8) -> io::Result<()> {
    Ok(sys::schedule_fifo(priority.into())?)
}

/// Keeps all memory of this process in memory, now and later, so that no page fault meets a frame.
///
/// # Errors
/// The system's: it wants CAP_IPC_LOCK, or a limit as by `ulimit -l` or `LimitMEMLOCK=` of systemd. Then nothing is locked.
pub fn lock_memory() -> io::Result<()> {
    Ok(mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE)?)
}

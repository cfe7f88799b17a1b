//! Where and how a process runs: pinned, with real-time priority. The unsafe code here is `sched_setscheduler`.
#![allow(unsafe_code)]

use nix::errno::Errno;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// The processors that this process may run on, as they were when it first asked.
pub fn cpus() -> Vec<usize> {
    static CPUS: std::sync::OnceLock<Vec<usize>> = std::sync::OnceLock::new();
    let ask = || {
        let set = sched_getaffinity(Pid::from_raw(0)).unwrap_or_default();
        (0..CpuSet::count()).filter(|&cpu| set.is_set(cpu).unwrap_or(false)).collect()
    };
    CPUS.get_or_init(ask).clone()
}

/// Pins the calling thread to a processor.
///
/// # Errors
/// The system's: there is no such processor, or this process may not use it.
pub fn pin(cpu: usize) -> Result<(), Errno> {
    let mut set = CpuSet::new();
    set.set(cpu)?;
    sched_setaffinity(Pid::from_raw(0), &set)
}

/// Gives the calling thread the lowest real-time priority, so that ordinary programs do not disturb it. The kernel leaves
/// them a twentieth of the time (`sched_rt_runtime_us`).
///
/// # Errors
/// `EPERM` without CAP_SYS_NICE or an RLIMIT_RTPRIO.
pub fn real_time() -> Result<(), Errno> {
    let parameters = libc::sched_param { sched_priority: 1 };
    // SAFETY: the structure is alive for the call, which reads it.
    Errno::result(unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameters) }).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_thread_runs_where_it_was_told_to() {
        let cpus = cpus();
        for &cpu in &cpus {
            let seen = std::thread::spawn(move || pin(cpu).map(|()| nix::sched::sched_getcpu().unwrap()));
            assert_eq!(seen.join().unwrap(), Ok(cpu));
        }
        assert!(!cpus.is_empty());
    }

    #[test]
    fn a_processor_that_does_not_exist_is_refused() {
        assert!(pin(CpuSet::count() - 1).is_err() || CpuSet::count() - 1 < 1024);
        assert!(pin(CpuSet::count()).is_err());
    }
}

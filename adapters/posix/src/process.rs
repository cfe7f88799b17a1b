//! Facts about processes, for messages and listings; nothing is decided by them.

use std::fs;
use std::io::IoSliceMut;

use nix::errno::Errno;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;

/// When a process started, in clock ticks since boot (proc_pid_stat(5), field 22).
pub(crate) fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command in parentheses may hold blanks and parentheses itself: fields are counted from the last one.
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// Names a process: its number and, if it runs here, its command.
pub(crate) fn describe(pid: u32) -> String {
    match fs::read_to_string(format!("/proc/{pid}/comm")) {
        Ok(command) => format!("process {pid}, {}", command.trim_end()),
        Err(_) => format!("process {pid}, not visible from here"),
    }
}

/// Tells whether a process number and start time, as a lane's creator states them, are those of this process.
pub(crate) fn is_this(pid: u32, started: u64) -> bool {
    let same_start = || started == 0 || start_time(pid).is_none_or(|ticks| ticks == started);
    pid == std::process::id() && same_start()
}

/// Has the system copy bytes of this process: no access of the program's own, which would race with its other threads.
/// What is not there is an error, and no signal.
pub(crate) fn read_own_memory(start: usize, into: &mut [u8]) -> Result<(), Errno> {
    const MOST: usize = 1 << 30; // the system copies less than 2 GiB at once
    for (index, part) in into.chunks_mut(MOST).enumerate() {
        let len = part.len();
        let from = RemoteIoVec { base: start + index * MOST, len };
        if process_vm_readv(Pid::this(), &mut [IoSliceMut::new(part)], &[from])? != len {
            return Err(Errno::EFAULT);
        }
    }
    Ok(())
}

pub(crate) fn boot_id() -> [u8; 16] {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
    let mut id = [0; 16];
    for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = pair[0] << 4 | pair[1];
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_creator_is_this_process_only_if_it_started_when_this_did() {
        let (pid, started) = (std::process::id(), start_time(std::process::id()).unwrap());
        assert!(is_this(pid, started) && is_this(pid, 0));
        assert!(!is_this(pid, started + 1) && !is_this(pid + 1, started));
    }

    #[test]
    fn the_system_copies_what_is_there_and_says_so_of_what_is_not() {
        let (from, mut into) = (vec![7u8; 5000], vec![0; 5000]);
        read_own_memory(from.as_ptr().addr(), &mut into).unwrap();
        assert_eq!(into, from);
        assert_eq!(read_own_memory(8, &mut into), Err(Errno::EFAULT));
    }

    #[test]
    fn this_process_has_a_start_time_and_a_name() {
        let pid = std::process::id();
        assert!(start_time(pid).is_some_and(|ticks| ticks > 0));
        assert!(describe(pid).starts_with(&format!("process {pid}, ")));
        assert_ne!(boot_id(), [0; 16]);
    }
}

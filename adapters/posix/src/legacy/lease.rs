//! Asks the kernel who has a file open. The unsafe code here is `fcntl` with the lease commands.
//!
//! A lease is granted only to who is alone (fcntl(2), "Leases"); a mapping counts as an open file, in whatever process
//! or container. So trying for one, and giving it back at once, is a question that process numbers cannot answer.
#![allow(unsafe_code)]

use std::fs::File;
use std::os::fd::{AsRawFd, RawFd};

use nix::errno::Errno;

/// From asm-generic/fcntl.h; the same for all processors.
const F_SETSIG: libc::c_int = 10;

/// Who else has a file open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Others {
    /// Nobody.
    None,
    /// Somebody.
    Some,
    /// The system does not say: the file is another user's, or its file system has no leases.
    Unknown,
}

/// Who has the file open for writing; `file` itself is open for reading only.
pub(crate) fn writers(file: &File) -> Others {
    ask(file.as_raw_fd(), libc::F_RDLCK)
}

/// Who has the file open at all; `file` itself is open for reading and writing, and open once.
pub(crate) fn anybody(file: &File) -> Others {
    ask(file.as_raw_fd(), libc::F_WRLCK)
}

fn ask(fd: RawFd, lease: libc::c_int) -> Others {
    // Who opens the file in this very moment makes the kernel send a signal; the usual one, SIGIO, would end the process.
    // SAFETY: an open descriptor and an integer.
    unsafe { libc::fcntl(fd, F_SETSIG, libc::SIGURG) };
    // SAFETY: as above.
    let granted = unsafe { libc::fcntl(fd, libc::F_SETLEASE, lease) };
    if granted == 0 {
        // SAFETY: as above.
        unsafe { libc::fcntl(fd, libc::F_SETLEASE, libc::F_UNLCK) };
        return Others::None;
    }
    match Errno::last() {
        Errno::EAGAIN => Others::Some,
        _ => Others::Unknown,
    }
}

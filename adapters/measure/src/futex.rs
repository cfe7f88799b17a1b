//! The bare futex, to compare with. The unsafe code here is its two system calls.
#![allow(unsafe_code)]

use std::sync::atomic::AtomicU32;
use std::time::Duration;

/// Sleeps until the word is no longer `expected`, or somebody wakes it, or `timeout` is over.
pub(crate) fn wait(word: &AtomicU32, expected: u32, timeout: Duration) {
    let timeout = libc::timespec {
        tv_sec: timeout.as_secs() as libc::time_t,
        tv_nsec: timeout.subsec_nanos() as libc::c_long,
    };
    let null = std::ptr::null::<u32>();
    // SAFETY: the word is alive and aligned (a reference), the time is a valid timespec; the kernel only reads them.
    unsafe {
        libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, expected, &raw const timeout, null, 0)
    };
}

/// Wakes all who sleep on the word.
pub(crate) fn wake(word: &AtomicU32) {
    let null = std::ptr::null::<u32>();
    // SAFETY: the word is alive and aligned; the kernel does not access it.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, i32::MAX, null, null, 0) };
}

//! Sleeping on a shared word. The unsafe code here is the futex system calls, with words that live in shared mappings.
//!
//! Shared, never private: `std` and the small wrapper crates use private futexes, which no other process can wake.
#![allow(unsafe_code)]

use std::time::Duration;

use camlane_core::Bell;
use nix::errno::Errno;

/// Sleeps until the word is no longer `expected`, somebody wakes it, a signal comes, or `timeout` is over. Whichever it
/// was, the caller looks again.
pub(crate) fn wait(word: Bell<'_>, expected: u32, timeout: Duration) {
    /// `struct __kernel_old_timespec` of linux/time_types.h, whatever the C library's `time_t` is.
    #[repr(C)]
    struct Time {
        seconds: libc::c_long,
        nanoseconds: libc::c_long,
    }
    let timeout = Time {
        seconds: libc::c_long::try_from(timeout.as_secs()).unwrap_or(libc::c_long::MAX),
        nanoseconds: timeout.subsec_nanos() as libc::c_long,
    };
    let null = std::ptr::null::<u32>();
    // SAFETY: the word is alive and 4-byte aligned (a `Bell`); the time is a valid timespec; the kernel only reads.
    unsafe {
        libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, expected, &raw const timeout, null, 0)
    };
}

/// Wakes everybody who sleeps on the word.
pub(crate) fn wake_all(word: Bell<'_>) {
    wake(word, i32::MAX.cast_unsigned());
}

/// Wakes at most so many of those who sleep on the word, and tells how many there were.
pub(crate) fn wake(word: Bell<'_>, most: u32) -> u32 {
    let null = std::ptr::null::<u32>();
    // SAFETY: the word is alive and aligned; FUTEX_WAKE does not access it.
    let woken =
        unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, most, null, null, 0) };
    u32::try_from(woken).unwrap_or(0)
}

/// Sleeps until one of the words is no longer as expected, or `timeout` is over. `false`: the system cannot (before
/// Linux 5.16, or too many words).
pub(crate) fn wait_any(words: &[(Bell<'_>, u32)], timeout: Duration) -> bool {
    /// `struct futex_waitv` of linux/futex.h.
    #[repr(C)]
    #[derive(Clone, Copy)]
    struct Waiter {
        value: u64,
        address: u64,
        flags: u32,
        reserved: u32,
    }
    /// `struct __kernel_timespec`: 64 bits, also where `libc::timespec` and futex(2) have 32.
    #[repr(C)]
    struct Time {
        seconds: i64,
        nanoseconds: i64,
    }
    const FUTEX_32: u32 = 2; // shared: without FUTEX_PRIVATE_FLAG
    let waiters: Vec<Waiter> = words
        .iter()
        .map(|(word, value)| Waiter {
            value: u64::from(*value),
            address: word.as_ptr().addr() as u64,
            flags: FUTEX_32,
            reserved: 0,
        })
        .collect();
    let deadline = crate::clock::monotonic() + timeout;
    let deadline = Time {
        seconds: i64::try_from(deadline.as_secs()).unwrap_or(i64::MAX),
        nanoseconds: deadline.subsec_nanos().into(),
    };
    // SAFETY: the array and the time are alive and valid for the call; the words are alive and aligned.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_futex_waitv,
            waiters.as_ptr(),
            waiters.len() as u32,
            0,
            &raw const deadline,
            libc::CLOCK_MONOTONIC,
        )
    };
    answer >= 0 || !matches!(Errno::last(), Errno::ENOSYS | Errno::EINVAL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn a_changed_word_is_not_slept_on() {
        let word = AtomicU32::new(1);
        wait(Bell::new(&word), 0, Duration::from_secs(3600));
        assert!(wait_any(&[(Bell::new(&word), 0), (Bell::new(&word), 1)], Duration::from_secs(3600)));
    }

    /// futex_waitv(2) takes seconds of 64 bits. Programs of 32 bits gave it `libc::timespec`: it read a time far away, or
    /// none that is valid, and whoever waited for several lanes waited for ever, or not at all.
    #[test]
    fn a_wait_for_one_or_several_words_ends_with_its_time_and_not_before() {
        let word = AtomicU32::new(0);
        let time = Duration::from_millis(30);
        for several in [false, true] {
            let began = std::time::Instant::now();
            if several {
                if !wait_any(&[(Bell::new(&word), 0), (Bell::new(&word), 0)], time) {
                    assert_eq!(Errno::last(), Errno::ENOSYS, "before Linux 5.16");
                    continue;
                }
            } else {
                wait(Bell::new(&word), 0, time);
            }
            assert!(began.elapsed() >= time, "{several} {:?}", began.elapsed());
        }
    }

    #[test]
    fn a_sleeper_is_woken() {
        let word = AtomicU32::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while word.load(Ordering::Acquire) == 0 {
                    wait(Bell::new(&word), 0, Duration::from_secs(3600));
                }
            });
            word.store(1, Ordering::Release);
            wake_all(Bell::new(&word));
        });
    }
}

//! The mutex in the struct, taken and given back word by word, as glibc does for a plain process-shared mutex.
//!
//! Not by `pthread_mutex_timedlock`: its time-out is on CLOCK_REALTIME, which can be set back while it waits, and it would
//! run C code over bytes that another program may fill with anything. The words are those of nptl/lowlevellock.h, the
//! three states those of "Futexes Are Tricky" (Drepper, mutex 3).

use std::fs::File;
use std::sync::atomic::{AtomicU32, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use std::time::{Duration, Instant};

use camlane_core::Bell;

use crate::legacy::lease::{self, Others};
use crate::{futex, process};

const FREE: u32 = 0;
const HELD: u32 = 1;
const SLEPT_ON: u32 = 2;
/// Longest sleep without a look: a program that came before the mutex was initialised wakes its own process alone.
const LOOK_AROUND: Duration = Duration::from_millis(20);

pub(super) struct Mutex<'m> {
    pub(super) lock: &'m AtomicU32,
    pub(super) owner: &'m AtomicU32,
    pub(super) users: &'m AtomicU32,
}

/// Who holds a mutex that could not be had.
pub(super) enum Held {
    /// Nobody any more.
    Nobody,
    /// A thread that runs.
    Alive { holder: String },
    /// A thread that does not run here, while others have the object open.
    Gone { thread: u32 },
    /// A thread that is proved dead: nobody else has the object open, in any process.
    Dead { thread: u32 },
}

impl Mutex<'_> {
    /// Takes the mutex; `false`: not in that time.
    pub(super) fn lock(&self, timeout: Duration) -> bool {
        let until = Instant::now() + timeout;
        // Acquire, partner: the unlock of whoever held it, theirs or ours; what they did under it is visible.
        if self.lock.compare_exchange(FREE, HELD, Acquire, Relaxed).is_err() {
            while self.lock.swap(SLEPT_ON, Acquire) != FREE {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return false;
                }
                futex::wait(Bell::new(self.lock), SLEPT_ON, left.min(LOOK_AROUND));
            }
        }
        self.owner.store(nix::unistd::gettid().as_raw().cast_unsigned(), Relaxed);
        self.users.fetch_add(1, Relaxed);
        true
    }

    /// Gives the mutex back, which this thread holds.
    pub(super) fn unlock(&self) {
        self.owner.store(0, Relaxed);
        self.users.fetch_sub(1, Relaxed);
        self.free();
    }

    fn free(&self) {
        // Release, partner: the Acquire of whoever takes it next.
        if self.lock.swap(FREE, Release) == SLEPT_ON {
            futex::wake_all(Bell::new(self.lock));
        }
    }

    /// Finds out who holds the mutex. `file` is the object, open for reading and writing.
    pub(super) fn held_by(&self, file: &File) -> Held {
        let thread = self.owner.load(Relaxed);
        if self.lock.load(Relaxed) == FREE {
            return Held::Nobody;
        }
        if lease::anybody(file) == Others::None {
            return Held::Dead { thread };
        }
        // A thread's number says nothing across containers: not to be seen is not yet dead.
        match thread {
            0 => Held::Alive { holder: "a thread that has not said yet who it is".to_owned() },
            _ if runs(thread) => Held::Alive { holder: process::describe(thread) },
            _ => Held::Gone { thread },
        }
    }

    /// Frees the mutex in place of `thread`; `false`: another did, or the holder changed.
    pub(super) fn break_lock(&self, thread: u32) -> bool {
        // One of several who try wins here.
        let won = self.owner.compare_exchange(thread, 0, Relaxed, Relaxed).is_ok()
            && self.lock.load(Relaxed) != FREE;
        if won {
            let _ = self.users.fetch_update(Relaxed, Relaxed, |users| users.checked_sub(1));
            self.free();
        }
        won
    }
}

/// Tells whether a thread runs where it can be seen from here. A zombie has no memory left to act on.
fn runs(thread: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{thread}/stat"))
        .is_ok_and(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X'])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_exclude_each_other() {
        let (lock, owner, users) = (AtomicU32::new(0), AtomicU32::new(0), AtomicU32::new(0));
        let count = AtomicU32::new(0);
        let add = || {
            let mutex = Mutex { lock: &lock, owner: &owner, users: &users };
            for _ in 0..5_000 {
                assert!(mutex.lock(Duration::from_secs(60)));
                count.store(count.load(Relaxed) + 1, Relaxed); // lost steps show a second thread inside
                mutex.unlock();
            }
        };
        std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(add))));
        let words = [&lock, &owner, &users].map(|word| word.load(Relaxed));
        assert_eq!((count.load(Relaxed), words), (20_000, [0, 0, 0]));
    }

    #[test]
    fn a_held_mutex_is_not_waited_for_longer_than_told() {
        let (lock, owner, users) = (AtomicU32::new(HELD), AtomicU32::new(1), AtomicU32::new(1));
        let mutex = Mutex { lock: &lock, owner: &owner, users: &users };
        assert!(!mutex.lock(Duration::from_millis(30)));
        assert!(!mutex.break_lock(7)); // not the holder
        assert!(mutex.break_lock(1) && mutex.lock(Duration::ZERO));
    }
}

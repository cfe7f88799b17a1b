//! Ctrl-C and SIGTERM: the first asks for an orderly end, the second ends at once.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::io;
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread::Builder;
use std::time::Instant;

use nix::sys::signal::{SigSet, Signal};

static STOP: AtomicBool = AtomicBool::new(false);
static SLEEPERS: (Mutex<()>, Condvar) = (Mutex::new(()), Condvar::new());

/// How long a wait that a signal cannot interrupt may last before the flag is looked at.
pub(crate) const LOOK: Duration = Duration::from_millis(100);

/// Turns SIGINT, SIGTERM and SIGHUP into the stop flag. Called before a command starts any thread, because threads
/// inherit which signals are blocked.
///
/// A thread waits for the signals instead of a handler, which could call almost nothing (signal-safety(7)).
///
/// # Errors
/// The system's, if the thread cannot be started.
pub(crate) fn on_signals() -> io::Result<()> {
    watch(true)
}

/// As [`on_signals`], for a child of another process of ours: however many signals come, its end is an orderly one.
///
/// The kernel sends a child the signal that its parent died once for each thread of the parent, as the child passes from one
/// dying thread to the next (`forget_original_parent` in Linux's kernel/exit.c). That is nobody's impatience.
///
/// # Errors
/// As [`on_signals`].
pub(crate) fn on_signals_as_a_child() -> io::Result<()> {
    watch(false)
}

fn watch(second_ends_at_once: bool) -> io::Result<()> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    if !is_ignored(Signal::SIGHUP) {
        signals.add(Signal::SIGHUP); // ignored: started by nohup, which must stay good
    }
    signals.thread_block()?;
    let wait = move || {
        while let Ok(signal) = signals.wait() {
            if second_ends_at_once && STOP.load(Ordering::Relaxed) {
                std::process::exit(128 + signal as i32); // as a shell reports a death by signal
            }
            request();
        }
    };
    Builder::new().name("camlane-signals".to_owned()).spawn(wait).map(drop)
}

/// Asks for the end, as the first signal does.
pub(crate) fn request() {
    STOP.store(true, Ordering::Relaxed);
    drop(SLEEPERS.0.lock().unwrap_or_else(PoisonError::into_inner));
    SLEEPERS.1.notify_all();
}

/// Tells whether the end was asked for.
pub(crate) fn requested() -> bool {
    STOP.load(Ordering::Relaxed)
}

/// The flag itself, for sources that wait for input.
pub(crate) const fn flag() -> &'static AtomicBool {
    &STOP
}

/// Sleeps until `deadline`, or until the end is asked for, and tells whether it was.
pub(crate) fn sleep_until(deadline: Instant) -> bool {
    let mut guard = SLEEPERS.0.lock().unwrap_or_else(PoisonError::into_inner);
    while !requested() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        guard = SLEEPERS.1.wait_timeout(guard, left).unwrap_or_else(PoisonError::into_inner).0;
    }
    true
}

/// Reads from proc(5) whether this process was started with a signal ignored.
fn is_ignored(signal: Signal) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask >> (signal as u32 - 1) & 1 == 1
}

//! Telling a forked child from its parent, so that handles that were inherited do nothing there.
//!
//! A child's `Drop` would clear its parent's pin. A page with MADV_WIPEONFORK (Linux 4.14) reads as zero in every child,
//! however it was forked. The unsafe code here makes that page and reads it.
#![allow(unsafe_code)]

use std::num::NonZeroUsize;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap_anonymous};

/// Remembers the process that made a handle.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Owner(u32);

impl Owner {
    /// This process.
    pub(crate) fn current() -> Self {
        let cookie = cookie();
        let mark = cookie.load(Ordering::Relaxed);
        if mark != 0 {
            return Self(mark);
        }
        let pid = std::process::id(); // first use, or first use after a fork
        cookie.store(pid, Ordering::Relaxed);
        Self(pid)
    }

    /// Tells whether this process made the handle.
    pub(crate) fn is_here(self) -> bool {
        cookie().load(Ordering::Relaxed) == self.0
    }
}

fn cookie() -> &'static AtomicU32 {
    static COOKIE: OnceLock<&'static AtomicU32> = OnceLock::new();
    COOKIE.get_or_init(|| {
        let len = NonZeroUsize::new(4096).unwrap_or(NonZeroUsize::MIN);
        // SAFETY: a new private page at an address of the kernel's choice.
        let page = unsafe {
            mmap_anonymous(None, len, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_PRIVATE)
        };
        let Ok(page) = page else {
            // Without the page nobody can be told from a child: the handles then behave as before a fork.
            return Box::leak(Box::new(AtomicU32::new(0)));
        };
        // SAFETY: the page was just mapped; the advice only concerns what a child will see.
        let _ = unsafe { madvise(page, len.get(), MmapAdvise::MADV_WIPEONFORK) };
        // SAFETY: zeroed, aligned, never unmapped; an atomic is valid for any bytes.
        unsafe { page.cast::<AtomicU32>().as_ref() }
    })
}

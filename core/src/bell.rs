//! The words that somebody sleeps on, for those who call the system.

use crate::sync::{Acquire, Relaxed, Word, fence};

/// A word in shared memory to sleep on and to wake: it can be looked at, not written.
///
/// The memory may be mapped for reading only, where a store would be undefined behaviour; so this is no `&AtomicU32`:
/// ```compile_fail,E0599
/// fn scribble(region: &camlane_core::Region<'_>) {
///     region.bell().store(1, core::sync::atomic::Ordering::Relaxed);
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Bell<'a>(&'a Word);

impl<'a> Bell<'a> {
    /// Takes a word of this program's own, or of a lane.
    pub const fn new(word: &'a Word) -> Self {
        Self(word)
    }

    /// What it says now. What was published before it changed to that can be seen after this.
    pub fn value(self) -> u32 {
        let value = self.0.load(Relaxed);
        fence(Acquire); // a bell read early can only cause an extra look
        value
    }

    /// Where it lies, 4-byte aligned, for futex(2). It may be mapped for reading only, and must be looked at atomically.
    #[cfg(not(loom))]
    pub const fn as_ptr(self) -> *const u32 {
        self.0.as_ptr()
    }
}

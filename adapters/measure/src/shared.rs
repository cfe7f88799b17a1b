//! Memory that processes share and that no name keeps: gone with the last process. The unsafe code here maps it.
#![allow(unsafe_code)]

use std::fs::{File, OpenOptions};
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::AsRawFd as _;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64};

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

/// A mapping of an object without a name. It says nothing about what lies there or who writes it.
#[derive(Debug)]
pub struct Shared {
    file: File,
    /// # Invariants
    /// Mapped for reading and writing, `len` bytes, until drop.
    base: NonNull<u8>,
    len: NonZeroUsize,
}

// SAFETY: an address range; what lies there is reached as atomics, or by callers who have their own rules.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    /// Makes an object of `len` bytes, all 0 and in memory: no page fault is left for later.
    ///
    /// # Errors
    /// The system's: no memory, no descriptors.
    pub fn create(len: usize) -> io::Result<Self> {
        let file = File::from(memfd_create(c"camlane-measure", MFdFlags::MFD_CLOEXEC)?);
        file.set_len(len as u64)?;
        Self::map(file, len, true)
    }

    /// Opens what another process made and keeps, by what its [`path`](Self::path) says.
    ///
    /// # Errors
    /// The system's: that process is gone, or not of this user.
    pub fn open(path: &str) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let len = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
        Self::map(file, len, true)
    }

    /// The same object once more, at another address; `populate` takes the page faults now.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn again(&self, populate: bool) -> io::Result<Self> {
        Self::map(self.file.try_clone()?, self.len(), populate)
    }

    fn map(file: File, len: usize, populate: bool) -> io::Result<Self> {
        let len = NonZeroUsize::new(len).ok_or(io::ErrorKind::InvalidInput)?;
        let populate = if populate { MapFlags::MAP_POPULATE } else { MapFlags::empty() };
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: the kernel chooses the address, so nothing that exists is replaced.
        let base = unsafe { mmap(None, len, protection, MapFlags::MAP_SHARED | populate, &file, 0) }?.cast();
        Ok(Self { file, base, len })
    }

    /// Where other processes of this user find it, for as long as this one lives: `/proc/PID/fd/N`.
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd())
    }

    /// Its length in bytes.
    pub fn len(&self) -> usize {
        self.len.get()
    }

    /// Always false: there is no empty mapping.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The address of byte `offset`.
    ///
    /// # Panics
    /// If less than `len` bytes lie there.
    pub fn at(&self, offset: usize, len: usize) -> NonNull<u8> {
        assert!(offset.checked_add(len).is_some_and(|end| end <= self.len()), "{offset} is outside");
        // SAFETY: `offset` lies inside the mapping, as was just checked.
        unsafe { self.base.add(offset) }
    }

    /// The 32-bit word at `offset`.
    ///
    /// # Panics
    /// If it is outside, or not at a multiple of four.
    pub fn word(&self, offset: usize) -> &AtomicU32 {
        assert!(offset.is_multiple_of(4), "{offset} is not aligned");
        // SAFETY: mapped as long as `self`, aligned (pages are), and reached as an atomic by all who use it.
        unsafe { AtomicU32::from_ptr(self.at(offset, 4).cast().as_ptr()) }
    }

    /// The 64-bit word at `offset`.
    ///
    /// # Panics
    /// If it is outside, or not at a multiple of eight.
    pub fn wide(&self, offset: usize) -> &AtomicU64 {
        assert!(offset.is_multiple_of(8), "{offset} is not aligned");
        // SAFETY: as in `word`.
        unsafe { AtomicU64::from_ptr(self.at(offset, 8).cast().as_ptr()) }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: mapped by `map`, unmapped once; references into it cannot outlive `self`.
        let _ = unsafe { munmap(self.base.cast(), self.len.get()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering::Relaxed;

    #[test]
    fn two_mappings_show_the_same_words() {
        let ours = Shared::create(8192).unwrap();
        let theirs = Shared::open(&ours.path()).unwrap();
        ours.word(4096).store(7, Relaxed);
        ours.wide(8).store(u64::MAX, Relaxed);
        assert_eq!((theirs.word(4096).load(Relaxed), theirs.wide(8).load(Relaxed)), (7, u64::MAX));
        assert_eq!(theirs.len(), 8192);
    }

    #[test]
    #[should_panic = "is outside"]
    fn a_word_beyond_the_end_is_refused() {
        Shared::create(4096).unwrap().word(4096);
    }

    #[test]
    fn no_memory_at_all_is_no_mapping() {
        assert!(Shared::create(0).is_err());
    }
}

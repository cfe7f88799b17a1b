//! Mappings: shared memory as bytes of this process. The unsafe code here is `mmap` and `munmap`.
#![allow(unsafe_code)]

use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::ptr::NonNull;

use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap, munmap};

use camlane_core::Memory;

use crate::error::Error;
use crate::legacy::Segment;

/// A part of an object, or a whole System V segment, mapped shared until it is dropped.
#[derive(Debug)]
pub(crate) struct Mapping {
    base: NonNull<u8>,
    len: NonZeroUsize,
    /// Detaches by itself.
    segment: Option<Segment>,
}

// SAFETY: a mapping is an address range; what lies there is reached through `Memory`, whose users have their own rules.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

/// What a mapping is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Access {
    Read,
    Write,
}

impl Mapping {
    /// Maps `len` bytes from `offset`. `populate` takes all page faults now instead of at the first touch.
    pub(crate) fn new(
        fd: impl AsFd,
        object: &str,
        offset: u64,
        len: u64,
        access: Access,
        populate: bool,
    ) -> Result<Self, Error> {
        let fail = |errno| Error::system("map", object, errno);
        let len = usize::try_from(len).ok().and_then(NonZeroUsize::new).ok_or(fail(nix::Error::EINVAL))?;
        let offset = libc::off_t::try_from(offset).map_err(|_| fail(nix::Error::EINVAL))?;
        let protection = match access {
            Access::Read => ProtFlags::PROT_READ,
            Access::Write => ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
        };
        let flags =
            if populate { MapFlags::MAP_SHARED | MapFlags::MAP_POPULATE } else { MapFlags::MAP_SHARED };
        // SAFETY: the kernel chooses the address, so nothing that exists is replaced.
        let base = unsafe { mmap(None, len, protection, flags, fd, offset) }.map_err(fail)?.cast();
        Ok(Self { base, len, segment: None })
    }

    /// The bytes of a segment, which can be written if it was attached for that.
    pub(crate) fn of_segment(segment: Segment) -> Self {
        // The kernel refuses to make a segment of no bytes (shmget(2), EINVAL).
        let len = NonZeroUsize::new(segment.len()).unwrap_or(NonZeroUsize::MIN);
        Self { base: segment.base(), len, segment: Some(segment) }
    }

    /// The bytes, for camlane's core.
    ///
    /// # Safety
    /// The result is not used after the mapping is dropped; nothing is created in it unless it was mapped for writing,
    /// and not while another object is in use there.
    pub(crate) unsafe fn memory<'a>(&self) -> Memory<'a> {
        // SAFETY: mapped for `len` bytes until drop, which the caller outlives; only camlane touches shared objects.
        unsafe { Memory::from_raw(self.base, self.len.get()) }
    }

    /// The bytes from `at` on, none if it ends before.
    ///
    /// # Safety
    /// As [`memory`](Self::memory).
    pub(crate) unsafe fn memory_from<'a>(&self, at: usize) -> Memory<'a> {
        let at = at.min(self.len.get());
        // SAFETY: at most `len`.
        let base = unsafe { self.base.add(at) };
        // SAFETY: as in `memory`.
        unsafe { Memory::from_raw(base, self.len.get() - at) }
    }

    /// The addresses that this mapping covers.
    pub(crate) fn addresses(&self) -> std::ops::Range<usize> {
        let start = self.base.addr().get();
        start..start + self.len.get()
    }

    /// Fills an object of `len` bytes with huge pages, where the system has them and as far as it has any. Before anything
    /// else fills it: what was reserved by posix_fallocate(3) consists of small pages and stays so.
    pub(crate) fn fill_with_huge_pages(fd: impl AsFd, object: &str, len: u64) -> Result<(), Error> {
        let mapping = Self::new(fd, object, 0, len, Access::Write, false)?;
        let (base, len) = (mapping.base.cast(), mapping.len.get());
        // SAFETY: the range is this mapping; the advice changes no contents.
        let _ = unsafe { madvise(base, len, MmapAdvise::MADV_HUGEPAGE) };
        // SAFETY: as above: a touch of every page, which fails where a store would end in SIGBUS. Since Linux 5.14; before,
        // the pages are small.
        let _ = unsafe { madvise(base, len, MmapAdvise::MADV_POPULATE_WRITE) };
        Ok(())
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if self.segment.is_some() {
            return;
        }
        // SAFETY: the range was mapped by `new` and is unmapped once; users of `memory` promised to be gone.
        let _ = unsafe { munmap(self.base.cast(), self.len.get()) };
    }
}

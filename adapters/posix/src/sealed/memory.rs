//! The memory of sealed lanes: memfds that cannot be cut, and the producer's table of seats.
#![allow(unsafe_code)] // reserves addresses and puts each seat's page there

use std::num::NonZeroUsize;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::NonNull;

use camlane_core::{Memory, Seats, Shape};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, SealFlag, fcntl, open, posix_fallocate};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};
use nix::sys::stat::{Mode, fchmod, fstat};

use crate::error::Error;
use crate::mapping::{Access, Mapping};
use crate::shm;

/// What nobody can do any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Seal {
    /// Shrink.
    Shrinking,
    /// Shrink or grow.
    Size,
    /// Shrink, grow, or map for writing; the maps that exist still write.
    SizeAndWriting,
}

impl Seal {
    fn flags(self) -> SealFlag {
        let size = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
        match self {
            Self::Shrinking => SealFlag::F_SEAL_SHRINK,
            Self::Size => size,
            Self::SizeAndWriting => size | SealFlag::from_bits_retain(libc::F_SEAL_FUTURE_WRITE),
        }
    }

    /// Adds the seals.
    pub(crate) fn put(self, fd: &OwnedFd, object: &str) -> Result<(), Error> {
        fcntl(fd, FcntlArg::F_ADD_SEALS(self.flags()))
            .map(drop)
            .map_err(|errno| Error::system("seal", object, errno))
    }

    /// Tells whether an object that a peer sent has at least these seals. One without them could be cut under a reader.
    pub(crate) fn is_on(self, fd: &OwnedFd) -> bool {
        fcntl(fd, FcntlArg::F_GET_SEALS)
            .is_ok_and(|bits| SealFlag::from_bits_retain(bits).contains(self.flags() - SealFlag::F_SEAL_SEAL))
    }
}

/// Tells whether every page of an object that a peer sent is there. Reading a hole takes memory: as much as the peer
/// likes, or none that is left. What is sealed against writing cannot get holes later.
pub(crate) fn is_whole(fd: &OwnedFd) -> bool {
    fstat(fd).is_ok_and(|stat| stat.st_blocks.saturating_mul(512) >= stat.st_size) // stat(2): units of 512 bytes
}

/// Makes a memfd of `len` bytes that are really there, not executable where the system knows that.
fn memfd(label: &str, len: u64, huge_pages: bool) -> Result<OwnedFd, Error> {
    let fail = |operation| move |errno| Error::system(operation, label, errno);
    let plain = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let strict = plain | MFdFlags::from_bits_retain(0x8); // MFD_NOEXEC_SEAL, Linux 6.3
    let fd = match memfd_create(label, strict) {
        Err(Errno::EINVAL) => memfd_create(label, plain),
        other => other,
    }
    .map_err(fail("create"))?;
    if huge_pages {
        shm::fill_with_huge_pages(&fd, label, len)?;
    }
    let bytes = libc::off_t::try_from(len).map_err(|_| fail("reserve")(Errno::EFBIG))?;
    loop {
        match posix_fallocate(&fd, 0, bytes) {
            Err(Errno::EINTR) => {}
            done => break done.map_err(fail("reserve"))?,
        }
    }
    // Another user who has it open for reading cannot open it for writing through /proc.
    fchmod(&fd, Mode::from_bits_truncate(0o400)).map_err(fail("set the mode of"))?;
    Ok(fd)
}

/// Makes a lane's DATA object and maps it for the producer. Seal it when its header is written.
pub(crate) fn data_object(label: &str, shape: &Shape, huge_pages: bool) -> Result<(OwnedFd, Mapping), Error> {
    let fd = memfd(label, shape.data_len(), huge_pages)?;
    let mapping = Mapping::new(&fd, label, 0, shape.data_len(), Access::Write, true)?;
    Ok((fd, mapping))
}

/// Opens the same object anew for reading only: the description that is handed out cannot write.
pub(crate) fn read_only(fd: &OwnedFd, label: &str) -> Result<OwnedFd, Error> {
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    open(path.as_str(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())
        .map_err(|errno| Error::system("open for reading", label, errno))
}

/// The producer's view of all seats: one range of addresses, a page per seat. An empty seat is an empty private page;
/// one that is taken is the memfd that its consumer got, which nobody else ever had.
///
/// For reading only. A page that replaces another is first unmapped and then mapped, and of the two steps the second
/// could fail for want of memory if it were a private page to write on (strict overcommit counts those).
#[derive(Debug)]
pub(crate) struct SeatTable {
    base: NonNull<u8>,
    len: NonZeroUsize,
    stride: usize,
}

// SAFETY: an address range; its words are atomics behind `Seats`.
unsafe impl Send for SeatTable {}
// SAFETY: as above; `seat` and `clear` replace pages as a whole, which other threads see before or after.
unsafe impl Sync for SeatTable {}

impl SeatTable {
    pub(crate) fn new(shape: &Shape) -> Result<Self, Error> {
        let fail = |errno| Error::system("map", "the seats", errno);
        let len =
            usize::try_from(shape.seats_len()).ok().and_then(NonZeroUsize::new).ok_or(fail(Errno::ENOMEM))?;
        // SAFETY: new pages at an address of the kernel's choice.
        let base = unsafe { mmap_anonymous(None, len, PROTECTION, MapFlags::MAP_PRIVATE) }.map_err(fail)?;
        Ok(Self { base: base.cast(), len, stride: shape.seat_stride() as usize })
    }

    /// The seats, for core.
    ///
    /// # Safety
    /// The result is not used after the table is dropped.
    pub(crate) unsafe fn seats(&self, shape: &Shape) -> Result<Seats<'static>, Error> {
        // SAFETY: mapped until drop, which the caller outlives; only camlane uses these pages. They are never written: only
        // `Seats::reclaim` would, and a broker has no use for it.
        let memory = unsafe { Memory::from_raw(self.base, self.len.get()) };
        Ok(Seats::reserve(memory, shape)?)
    }

    /// Makes seat `index` anew for a consumer, puts it into the table and returns the object to hand over.
    pub(crate) fn seat(&self, index: u32, shape: &Shape, incarnation: [u32; 4]) -> Result<OwnedFd, Error> {
        const LABEL: &str = "camlane-seat";
        let fd = memfd(LABEL, self.stride as u64, false)?;
        let page = Mapping::new(&fd, LABEL, 0, self.stride as u64, Access::Write, true)?;
        // SAFETY: the memory is used for this call only, and is new.
        Seats::create_one(unsafe { page.memory() }, shape, index, incarnation)?;
        Seal::Size.put(&fd, LABEL)?;
        let (at, len) = self.place(index);
        let flags = MapFlags::MAP_SHARED | MapFlags::MAP_FIXED | MapFlags::MAP_POPULATE;
        // SAFETY: exactly one seat of our own range is replaced, by memory of the same size; users hold atomics in it.
        unsafe { mmap(Some(at), len, PROTECTION, flags, &fd, 0) }
            .map_err(|errno| Error::system("map", LABEL, errno))?;
        Ok(fd)
    }

    /// Empties seat `index`, whose consumer is gone: an empty page takes the place of what it could write.
    pub(crate) fn clear(&self, index: u32) {
        let (at, len) = self.place(index);
        // SAFETY: as in `seat`.
        let cleared =
            unsafe { mmap_anonymous(Some(at), len, PROTECTION, MapFlags::MAP_PRIVATE | MapFlags::MAP_FIXED) };
        if let Err(errno) = cleared {
            log::warn!("seat {index} keeps its pins: {errno}"); // at most its own K slots are wasted
        }
    }

    fn place(&self, index: u32) -> (NonZeroUsize, NonZeroUsize) {
        let offset = index as usize * self.stride;
        assert!(offset + self.stride <= self.len.get());
        let at = self.base.addr().saturating_add(offset);
        (at, NonZeroUsize::new(self.stride).unwrap_or(NonZeroUsize::MIN))
    }
}

const PROTECTION: ProtFlags = ProtFlags::PROT_READ;

impl Drop for SeatTable {
    fn drop(&mut self) {
        // SAFETY: the range was mapped by `new` and is unmapped once; users of `seats` promised to be gone.
        let _ = unsafe { munmap(self.base.cast(), self.len.get()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use camlane_core::Geometry;
    use std::fs;

    /// Bytes of huge pages in the mapping that begins at `start` (proc_pid_smaps(5)).
    fn huge_bytes(start: usize) -> u64 {
        let maps = fs::read_to_string("/proc/self/smaps").unwrap();
        let mut lines = maps.lines().skip_while(|line| !line.starts_with(&format!("{start:x}-")));
        let line = lines.find(|line| line.starts_with("ShmemPmdMapped:")).unwrap();
        line.split_ascii_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
    }

    #[test]
    fn huge_pages_are_there_before_the_first_frame_where_the_system_has_them() {
        let enabled = fs::read_to_string("/sys/kernel/mm/transparent_hugepage/shmem_enabled");
        if !enabled.is_ok_and(|choice| {
            ["[always]", "[within_size]", "[advise]"].iter().any(|on| choice.contains(on))
        }) {
            eprintln!("skipped: no huge pages for shared memory here (shmem_enabled)");
            return;
        }
        let shape = Geometry::new(4 << 20).seats(1).paged(4096).slot_align(2 << 20).shape().unwrap();
        let (_fd, mapping) = data_object("test", &shape, true).unwrap();
        assert!(huge_bytes(mapping.addresses().start) >= 4 << 20);
    }
}

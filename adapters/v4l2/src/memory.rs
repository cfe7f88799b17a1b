//! Who owns which bytes: loans that the driver may write into, buffers that it made, private pages. The other file with
//! unsafe code.
//!
//! The kernel's rule is a buffer's life: it is the driver's from QBUF until DQBUF returns it, the queue is stopped, or the
//! last descriptor of the device is closed. `Entry::queued` follows it, and no bytes are reachable while it is set.
#![allow(unsafe_code)]

use std::num::NonZeroUsize;
use std::ops::{Deref, DerefMut};
use std::os::fd::{AsFd, BorrowedFd};
use std::ptr::NonNull;

use camlane_core::DmaTarget;
use nix::errno::Errno;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};

use crate::device::Device;
use crate::path::MemoryPath;
use crate::picture::Part;
use crate::sys::{self, MAX_PLANES};

/// A buffer of the driver's queue.
///
/// # Invariants
/// While `queued`, the driver may write into `loan`, or into what `maps` shows; then nobody here looks there.
#[derive(Debug)]
struct Entry<L> {
    loan: Option<L>,
    /// Where the loan before lay: the driver remembers the pages of each buffer, and finds them again.
    address: usize,
    queued: bool,
    /// The loan before was opened to this processor's eyes, and not closed again.
    opened: bool,
    maps: Vec<Mapping>,
}

/// A buffer that came back, and what the driver says about it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dequeued {
    pub(crate) index: usize,
    pub(crate) buffer: sys::Buffer,
    /// What is filled of each plane.
    pub(crate) filled: [Filled; 4],
}

/// What the driver says of a plane that it filled.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Filled {
    /// Bytes in use, those before the picture included.
    pub(crate) used: u32,
    /// Bytes before the picture.
    pub(crate) offset: u32,
}

/// A camera with its buffers, and the loans in them.
///
/// Dropping it stops the driver before the loans go. If that fails because the camera was unplugged, the device is closed
/// first, at which the kernel lets go of all memory. In a forked child nothing of that happens: the camera is the parent's.
#[derive(Debug)]
pub(crate) struct Buffers<L: DmaTarget + 'static> {
    /// `None` once it was given back. Before `entries`: closed before memory is unmapped or given back.
    device: Option<Device>,
    entries: Vec<Entry<L>>,
    path: MemoryPath,
    /// Where in a loan each plane's dma-buf begins.
    offsets: Vec<usize>,
    streams: bool,
    process: u32,
}

impl<L: DmaTarget> Buffers<L> {
    /// Makes `count` buffers, or as many as the driver thinks right.
    pub(crate) fn new(device: Device, path: MemoryPath, count: u32) -> Result<Self, (Option<Device>, Errno)> {
        let mut asked = sys::RequestBuffers {
            count: count.clamp(1, sys::MAX_BUFFERS),
            kind: device.kind,
            memory: path.number(),
            ..sys::RequestBuffers::zeroed()
        };
        if let Err(errno) = sys::request_buffers(device.as_fd(), &mut asked) {
            return Err((Some(device), errno));
        }
        let process = std::process::id();
        let (entries, offsets) = (Vec::new(), Vec::new());
        let mut this = Self { device: Some(device), entries, path, offsets, streams: false, process };
        for index in 0..asked.count {
            let maps = if path == MemoryPath::Mmap { this.map(index) } else { Ok(Vec::new()) };
            match maps {
                Ok(maps) => {
                    this.entries.push(Entry { loan: None, address: 0, queued: false, opened: false, maps });
                }
                Err(errno) => return Err((this.stop().0, errno)),
            }
        }
        Ok(this)
    }

    pub(crate) fn device(&self) -> &Device {
        match &self.device {
            Some(device) => device,
            None => unreachable!("only `stop`, which consumes this, takes the device"),
        }
    }

    pub(crate) const fn path(&self) -> MemoryPath {
        self.path
    }

    pub(crate) const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Loans that are with the driver, or were and came back.
    pub(crate) fn loans(&self) -> usize {
        self.entries.iter().filter(|entry| entry.loan.is_some()).count()
    }

    fn map(&self, index: u32) -> Result<Vec<Mapping>, Errno> {
        let mut planes = [sys::Plane::zeroed(); MAX_PLANES];
        let mut buffer = self.buffer(index, MAX_PLANES);
        sys::query_buffer(self.device().as_fd(), &mut buffer, &mut planes)?;
        if !self.device().is_multiplanar() {
            return Ok(vec![Mapping::new(self.device().as_fd(), buffer.m as u32, buffer.length)?]);
        }
        let planes = planes.iter().take(buffer.length as usize);
        planes.map(|plane| Mapping::new(self.device().as_fd(), plane.m as u32, plane.length)).collect()
    }

    fn buffer(&self, index: u32, planes: usize) -> sys::Buffer {
        let kind = self.device().kind;
        let length = if self.device().is_multiplanar() { planes as u32 } else { 0 };
        sys::Buffer { index, kind, memory: self.path.number(), length, ..sys::Buffer::zeroed() }
    }

    /// Hands a loan to the driver, whose buffers begin at `parts` in it.
    ///
    /// # Errors
    /// The loan, and why: EBADF, it has no dma-buf; ENOBUFS, the queue is full; the driver's.
    pub(crate) fn lend(&mut self, mut loan: L, parts: &[Part]) -> Result<(), (L, Errno)> {
        let bytes = &mut *loan;
        let (address, len) = (bytes.as_mut_ptr().expose_provenance(), bytes.len());
        if parts.iter().any(|part| part.offset as usize + part.len as usize > len) {
            return Err((loan, Errno::EMSGSIZE));
        }
        let free = |entry: &Entry<L>| !entry.queued && entry.loan.is_none() && entry.maps.is_empty();
        let same = self.entries.iter().position(|entry| free(entry) && entry.address == address);
        let unused = || self.entries.iter().position(|entry| free(entry) && entry.address == 0);
        let Some(index) = same.or_else(unused).or_else(|| self.entries.iter().position(free)) else {
            return Err((loan, Errno::ENOBUFS));
        };
        let mut places = [(0, 0); MAX_PLANES];
        for (place, part) in places.iter_mut().zip(parts) {
            let m = match self.path {
                MemoryPath::DmaBuf => match sys::dma_buf_of(&loan, part.offset as usize) {
                    Some(fd) => fd,
                    None => return Err((loan, Errno::EBADF)),
                },
                _ => address + part.offset as usize,
            };
            *place = (m, part.len);
        }
        self.offsets = parts.iter().map(|part| part.offset as usize).collect();
        if std::mem::take(&mut self.entries[index].opened) && same == Some(index) {
            sync(&loan, &self.offsets, false); // readers are done: the device may write past the caches again
        }
        let done = self.queue(index, &places[..parts.len()]);
        let entry = &mut self.entries[index];
        match done {
            Ok(()) => {
                (entry.loan, entry.address, entry.queued) = (Some(loan), address, true);
                Ok(())
            }
            Err(errno) => Err((loan, errno)),
        }
    }

    /// Hands a buffer of its own to the driver again.
    pub(crate) fn offer(&mut self, index: usize) -> Result<(), Errno> {
        if self.entries[index].queued || self.entries[index].loan.is_some() {
            return Err(Errno::EINVAL);
        }
        let parts: Vec<(usize, u32)> =
            self.entries[index].maps.iter().map(|map| (0, map.len.get() as u32)).collect();
        self.queue(index, &parts)?;
        self.entries[index].queued = true;
        Ok(())
    }

    /// Makes the call. Callers set `queued` if it succeeds.
    fn queue(&self, index: usize, places: &[(usize, u32)]) -> Result<(), Errno> {
        let mut planes = [sys::Plane::zeroed(); MAX_PLANES];
        let mut buffer = self.buffer(index as u32, places.len());
        if self.device().is_multiplanar() {
            for (plane, &(m, length)) in planes.iter_mut().zip(places) {
                (plane.m, plane.length) = (m, length);
            }
        } else if let &[(m, length)] = places {
            (buffer.m, buffer.length) = (m, length);
        }
        // SAFETY: the places lie in a loan that goes into this entry, or are the driver's own. The loan keeps its bytes where
        // they are and to itself (`DmaTarget`); it leaves the entry only when `queued` has fallen, and if this value is
        // forgotten, the loan is, too, whose memory then stays (`'static`).
        unsafe { sys::queue(self.device().as_fd(), &mut buffer, &mut planes) }
    }

    /// Buffers of the driver's own that are neither with it nor in `held`.
    pub(crate) fn idle(&self) -> impl Iterator<Item = usize> + use<'_, L> {
        let idle = |entry: &Entry<L>| !entry.queued && !entry.maps.is_empty();
        self.entries.iter().enumerate().filter(move |(_, entry)| idle(entry)).map(|(index, _)| index)
    }

    pub(crate) fn start(&mut self) -> Result<(), Errno> {
        sys::stream(self.device().as_fd(), self.device().kind, true)?;
        self.streams = true;
        Ok(())
    }

    /// Takes the next filled buffer; EAGAIN if there is none.
    pub(crate) fn dequeue(&mut self) -> Result<Dequeued, Errno> {
        let mut planes = [sys::Plane::zeroed(); MAX_PLANES];
        let mut buffer = self.buffer(0, MAX_PLANES);
        sys::dequeue(self.device().as_fd(), &mut buffer, &mut planes)?;
        let index = buffer.index as usize;
        self.entries.get_mut(index).ok_or(Errno::EPROTO)?.queued = false;
        let mut filled = [Filled { used: buffer.bytes_used, offset: 0 }; 4];
        if self.device().is_multiplanar() {
            for (filled, plane) in filled.iter_mut().zip(&planes) {
                *filled = Filled { used: plane.bytes_used, offset: plane.data_offset };
            }
        }
        let entry = &mut self.entries[index];
        if self.path == MemoryPath::DmaBuf
            && let Some(loan) = &entry.loan
        {
            sync(loan, &self.offsets, true);
            entry.opened = true;
        }
        Ok(Dequeued { index, buffer, filled })
    }

    /// Gives the loan of a buffer that came back.
    pub(crate) fn take(&mut self, index: usize) -> Option<L> {
        let entry = self.entries.get_mut(index).filter(|entry| !entry.queued)?;
        entry.loan.take()
    }

    /// The bytes of a buffer of the driver's own that came back.
    pub(crate) fn bytes(&self, index: usize, part: usize) -> Option<&[u8]> {
        let entry = self.entries.get(index).filter(|entry| !entry.queued)?;
        // SAFETY: not queued, and `offer`, which would queue it, needs `&mut self`.
        entry.maps.get(part).map(|map| unsafe { map.bytes() })
    }

    pub(crate) fn export(&self, index: u32, plane: u32) -> Result<std::os::fd::OwnedFd, Errno> {
        let kind = self.device().kind;
        let flags = libc::O_CLOEXEC.cast_unsigned() | libc::O_RDONLY.cast_unsigned();
        let mut asked = sys::ExportBuffer { kind, index, plane, flags, ..sys::ExportBuffer::zeroed() };
        sys::export_buffer(self.device().as_fd(), &mut asked)?;
        Ok(sys::owned(&asked))
    }

    /// Stops the driver, frees the buffers, and gives camera and loans back; no camera, if it is gone.
    pub(crate) fn stop(mut self) -> (Option<Device>, Vec<L>) {
        self.halt();
        let loans = self.entries.drain(..).filter_map(|entry| entry.loan).collect();
        if let Some(device) = &self.device {
            free(device, self.path); // after the mappings: it refuses to free what is mapped
        }
        (self.device.take(), loans)
    }

    /// After this the driver writes nowhere. A driver that cannot be told so is left by closing its device.
    fn halt(&mut self) {
        let Some(device) = &self.device else { return };
        // Also where it was not started: buffers that wait for the start are the driver's as well.
        match sys::stream(device.as_fd(), device.kind, false) {
            Ok(()) => {}
            Err(errno) => {
                log::debug!("{}: closed, because it does not stop: {errno}", device.path().display());
                self.device = None;
            }
        }
        self.entries.iter_mut().for_each(|entry| entry.queued = false);
        self.streams = false;
    }
}

/// Lets processors see what the device wrote into each plane, or ends that.
fn sync(loan: &impl DmaTarget, offsets: &[usize], begin: bool) {
    for &offset in offsets {
        if let Some(fd) = sys::borrowed(loan, offset)
            && let Err(errno) = sys::sync_dma_buf(fd, begin)
        {
            log::debug!("a dma-buf that cannot be synchronised: {errno}");
        }
    }
}

fn free(device: &Device, path: MemoryPath) {
    let (kind, memory) = (device.kind, path.number());
    let mut none = sys::RequestBuffers { kind, memory, ..sys::RequestBuffers::zeroed() };
    if let Err(errno) = sys::request_buffers(device.as_fd(), &mut none) {
        log::debug!("{}: its buffers stay until it is closed: {errno}", device.path().display());
    }
}

impl<L: DmaTarget> Drop for Buffers<L> {
    fn drop(&mut self) {
        if self.process == std::process::id() {
            self.halt();
            self.device = None;
        }
    }
}

/// A plane of a buffer that the driver made, mapped for reading until it is dropped.
///
/// # Invariants
/// `base` is mapped for `len` bytes.
#[derive(Debug)]
pub(crate) struct Mapping {
    base: NonNull<u8>,
    len: NonZeroUsize,
}

// SAFETY: a range of addresses; who may read what lies there is decided by whoever holds the mapping.
unsafe impl Send for Mapping {}

impl Mapping {
    pub(crate) fn new(device: BorrowedFd<'_>, offset: u32, len: u32) -> Result<Self, Errno> {
        let len = NonZeroUsize::new(len as usize).ok_or(Errno::EINVAL)?;
        // A driver's offsets are names of buffers: with an `off_t` of 32 bits the highest of them are out of reach.
        let offset = libc::off_t::try_from(i64::from(offset)).map_err(|_| Errno::EOVERFLOW)?;
        // SAFETY: the kernel chooses the address, so nothing that exists is replaced.
        let base = unsafe { mmap(None, len, ProtFlags::PROT_READ, MapFlags::MAP_SHARED, device, offset) }?;
        Ok(Self { base: base.cast(), len })
    }

    /// The bytes of a buffer that was dequeued.
    ///
    /// # Safety
    /// The buffer is not queued while the result is in use: the driver would write there.
    pub(crate) unsafe fn bytes(&self) -> &[u8] {
        // SAFETY: mapped for `len` bytes until drop, which the borrow outlives; the caller keeps the driver away.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr(), self.len.get()) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`, unmapped once, and `bytes` borrows from `self`.
        let _ = unsafe { munmap(self.base.cast(), self.len.get()) };
    }
}

/// Private memory of whole pages, for a program that wants to look at pictures by itself, without a lane.
///
/// ```
/// let mut memory = camlane_v4l2::Pages::new(1000)?;
/// memory[999] = 1;
/// assert_eq!(memory.len(), 1000);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Pages {
    base: NonNull<u8>,
    len: NonZeroUsize,
}

// SAFETY: the memory belongs to the value alone.
unsafe impl Send for Pages {}

impl Pages {
    /// Reserves `len` zero bytes.
    ///
    /// # Errors
    /// The system's, if there is not so much memory, or `len` is 0.
    pub fn new(len: usize) -> std::io::Result<Self> {
        let len = NonZeroUsize::new(len).ok_or(Errno::EINVAL)?;
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: new pages at an address of the kernel's choice.
        let base = unsafe { mmap_anonymous(None, len, access, MapFlags::MAP_PRIVATE) }?;
        Ok(Self { base: base.cast(), len })
    }
}

impl Deref for Pages {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        // SAFETY: mapped for `len` bytes until drop, zero at first, and this value's alone.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr(), self.len.get()) }
    }
}

impl DerefMut for Pages {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`, and the value is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.base.as_ptr(), self.len.get()) }
    }
}

// SAFETY: 1. the pages stay where they are until drop; forgotten, they stay for ever; 2. they are nobody else's; 3. it names
// none.
unsafe impl DmaTarget for Pages {}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`, unmapped once; what was borrowed from it is gone.
        let _ = unsafe { munmap(self.base.cast(), self.len.get()) };
    }
}

/// The system's page size.
pub(crate) fn page_size() -> u32 {
    let size = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten();
    size.and_then(|size| u32::try_from(size).ok()).unwrap_or(4096)
}

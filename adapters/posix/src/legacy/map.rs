//! Mappings of bytes that other programs write at will. The unsafe code here is `mmap`, `munmap` and `msync`.
#![allow(unsafe_code)]

use std::fs::File;
use std::num::NonZeroUsize;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU32;

use nix::sys::mman::{MapFlags, MsFlags, ProtFlags, mmap, msync, munmap};

use crate::legacy::foreign::Foreign;
use crate::legacy::{Error, Object, ObjectName};
use crate::options::page_size;

/// What happens to bytes written into a mapping.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MapKind {
    /// Everybody who has the object mapped sees them; a file keeps them.
    Shared,
    /// There are none.
    ReadOnly,
    /// This mapping alone sees them; the object stays as it is.
    Private,
}

/// Bytes of an object, mapped until it is dropped.
///
/// Closing the [`Object`] leaves the mapping as it is. Each access compares itself with the object's length first; yet a
/// program that cuts the object in that very moment ends this one with SIGBUS, as with any mapping.
/// [`Object::read_at`] and [`Object::write_at`] have no such moment.
///
/// # Invariants
/// `len` bytes from `base` are mapped until drop, for writing unless `kind` is `ReadOnly`; nothing but this value reaches
/// them through this mapping. With `len` 0 there is no mapping. Made by [`Map::new`] alone.
#[derive(Debug)]
pub struct Map {
    base: NonNull<u8>,
    len: usize,
    offset: u64,
    kind: MapKind,
    file: File,
    name: ObjectName,
}

// SAFETY: a mapping is an address range of the process, not of a thread; writing needs `&mut`.
unsafe impl Send for Map {}
// SAFETY: by `&`, bytes are only loaded, atomically, or reached as atomic words.
unsafe impl Sync for Map {}

impl Map {
    /// Maps `len` bytes of an object, from any `offset` on.
    ///
    /// # Errors
    /// [`Error::TooShort`] if the object ends before; [`Error::System`]: `EACCES` if it was opened for reading only and
    /// `kind` is `Shared`, `ENOMEM`.
    pub fn new(object: &Object, offset: u64, len: usize, kind: MapKind) -> Result<Self, Error> {
        let name = object.name().clone();
        object.check_len(offset.saturating_add(len as u64))?;
        let file = object.file().try_clone().map_err(|error| Error::system("keep", &name, error))?;
        let mut this = Self { base: NonNull::dangling(), len: 0, offset, kind, file, name };
        // The kernel maps whole pages from a page's start on: begin at the one that holds `offset`.
        let skew = (offset % u64::from(page_size())) as usize;
        let Some(whole) = len.checked_add(skew).and_then(NonZeroUsize::new).filter(|_| len > 0) else {
            return Ok(this); // mmap refuses nothing at all with EINVAL; there is nothing wrong with it
        };
        let (protection, flags) = match kind {
            MapKind::Shared => (ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_SHARED),
            MapKind::ReadOnly => (ProtFlags::PROT_READ, MapFlags::MAP_SHARED),
            MapKind::Private => (ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_PRIVATE),
        };
        let start = libc::off_t::try_from(offset - skew as u64).unwrap_or(libc::off_t::MAX); // that is no page: refused
        // SAFETY: the kernel chooses the address, so nothing that exists is replaced.
        let page = unsafe { mmap(None, whole, protection, flags, &this.file, start) };
        let page = page.map_err(|errno| Error::system("map", &this.name, errno))?.cast::<u8>();
        // SAFETY: `skew` is less than the `whole` bytes mapped.
        this.base = unsafe { page.add(skew) };
        this.len = len;
        Ok(this)
    }

    /// Bytes mapped.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Tells that nothing is mapped.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What happens to bytes written.
    pub const fn kind(&self) -> MapKind {
        self.kind
    }

    /// Copies bytes out from `at`, as many as there are, and tells how many.
    ///
    /// # Errors
    /// [`Error::TooShort`] if the object was cut meanwhile.
    pub fn read_at(&self, at: usize, into: &mut [u8]) -> Result<usize, Error> {
        let len = into.len().min(self.len.saturating_sub(at));
        if len > 0 {
            self.check(at + len)?;
            // SAFETY: `at + len` is at most `self.len`.
            let from = unsafe { self.base.add(at) };
            // SAFETY: 1. so are these bytes, mapped until drop; 2. writing takes `&mut self`.
            unsafe { Foreign::new(from, len) }.copy_out(&mut into[..len]);
        }
        Ok(len)
    }

    /// Copies bytes in at `at`, as many as there is room for, and tells how many.
    ///
    /// # Errors
    /// [`Error::TooShort`] if the object was cut meanwhile; [`Error::System`] `EACCES` on a read-only mapping.
    pub fn write_at(&mut self, at: usize, bytes: &[u8]) -> Result<usize, Error> {
        if self.kind == MapKind::ReadOnly {
            return Err(Error::system("write", &self.name, nix::Error::EACCES));
        }
        let len = bytes.len().min(self.len.saturating_sub(at));
        if len > 0 {
            self.check(at + len)?;
            // SAFETY: `at + len` is at most `self.len`.
            let to = unsafe { self.base.add(at) };
            // SAFETY: 1. so are these bytes, mapped for writing until drop; 2. `&mut self`.
            unsafe { Foreign::new(to, len) }.copy_in(&bytes[..len]);
        }
        Ok(len)
    }

    /// Writes `len` bytes from `at` on through to the file and waits for it. Any `at` will do.
    ///
    /// # Errors
    /// [`Error::System`]
    pub fn flush(&self, at: usize, len: usize) -> Result<(), Error> {
        let len = len.min(self.len.saturating_sub(at));
        if len == 0 {
            return Ok(());
        }
        // msync(2) wants a page's start: step back to it.
        let back = (self.base.addr().get() + at) % page_size() as usize;
        let start = self.base.as_ptr().wrapping_add(at).wrapping_sub(back);
        let start = NonNull::new(start).unwrap_or(self.base);
        // SAFETY: from the start of the mapped page that holds byte `at` to a mapped byte; msync changes no bytes.
        unsafe { msync(start.cast(), len + back, MsFlags::MS_SYNC) }
            .map_err(|errno| Error::system("write back", &self.name, errno))
    }

    /// A shared word at `at`, to act on together with other processes. `None` if it is not inside or not aligned.
    pub(crate) fn word(&self, at: usize) -> Option<&AtomicU32> {
        let inside = at.checked_add(4).is_some_and(|end| end <= self.len) && self.kind == MapKind::Shared;
        let address = self.base.addr().get().wrapping_add(at);
        if !inside || !address.is_multiple_of(4) {
            return None;
        }
        // SAFETY: `at + 4` is at most `len`.
        let word = unsafe { self.base.add(at) }.cast::<AtomicU32>();
        // SAFETY: in bounds, aligned, mapped for writing and alive as long as `self`; atomics may be shared.
        Some(unsafe { word.as_ref() })
    }

    /// Compares the object's length with the end of an access.
    fn check(&self, end: usize) -> Result<(), Error> {
        let found = self.file.metadata().map_err(|error| Error::system("look at", &self.name, error))?.len();
        let needed = self.offset + end as u64;
        // Bytes between a file's end and the end of its last page are there too, but nobody keeps them.
        if needed <= found {
            Ok(())
        } else {
            Err(Error::TooShort { object: self.name.to_string(), needed, found })
        }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        if self.len == 0 {
            return;
        }
        let skew = (self.offset % u64::from(page_size())) as usize;
        // SAFETY: `base` is `skew` bytes behind what mmap gave.
        let page = unsafe { self.base.sub(skew) };
        // SAFETY: the range that `new` mapped, unmapped once; references into it borrow `self`.
        let _ = unsafe { munmap(page.cast(), self.len + skew) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::legacy::Access;
    use rstest::rstest;

    fn file(bytes: &[u8]) -> (tempfile::TempDir, Object) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, bytes).unwrap();
        let object = Object::open(&path.to_str().unwrap().parse().unwrap(), Access::Write).unwrap();
        (dir, object)
    }

    fn numbered(len: usize) -> Vec<u8> {
        (0..len).map(|n| (n % 251) as u8).collect()
    }

    #[rstest]
    fn any_part_can_be_read_and_written(
        #[values(0, 7, 4095, 5003)] offset: u64,
        #[values(0, 1, 9, 4096)] len: usize,
        #[values(0, 3)] at: usize,
    ) {
        let bytes = numbered(10_000);
        let (_dir, object) = file(&bytes);
        let mut map = object.map(offset, len, MapKind::Shared).unwrap();
        let mut seen = vec![0; len];
        let count = map.read_at(at, &mut seen).unwrap();
        assert_eq!(count, len.saturating_sub(at));
        let start = offset as usize + at;
        assert_eq!(seen[..count], bytes[start..start + count]);

        let new = vec![255; len];
        assert_eq!(map.write_at(at, &new).unwrap(), count);
        let mut whole = vec![0; 10_000];
        object.read_at(0, &mut whole).unwrap();
        let mut expected = bytes;
        expected[start..start + count].fill(255);
        assert_eq!(whole, expected);
        map.flush(at, len).unwrap();
    }

    #[test]
    fn what_is_written_into_a_private_mapping_stays_there() {
        let (_dir, object) = file(b"abc");
        let mut map = object.map(0, 3, MapKind::Private).unwrap();
        map.write_at(0, b"xyz").unwrap();
        let mut bytes = [0; 3];
        map.read_at(0, &mut bytes).unwrap();
        assert_eq!(&bytes, b"xyz");
        object.read_at(0, &mut bytes).unwrap();
        assert_eq!(&bytes, b"abc");
    }

    #[test]
    fn a_read_only_object_maps_for_reading_alone() {
        let (_dir, object) = file(b"abc");
        let object = Object::open(object.name(), Access::Read).unwrap();
        assert_eq!(object.map(0, 3, MapKind::Shared).unwrap_err().name(), Some("EACCES"));
        let mut map = object.map(0, 3, MapKind::ReadOnly).unwrap();
        assert_eq!(map.write_at(0, b"x").unwrap_err().name(), Some("EACCES"));
        assert!(map.word(0).is_none());
    }

    #[test]
    fn a_cut_object_is_an_error_and_not_a_signal() {
        let (_dir, object) = file(&numbered(8192));
        let map = object.map(0, 8192, MapKind::ReadOnly).unwrap();
        object.truncate(100).unwrap();
        assert!(matches!(
            map.read_at(4096, &mut [0; 8]),
            Err(Error::TooShort { needed: 4104, found: 100, .. })
        ));
        assert!(matches!(object.map(0, 101, MapKind::ReadOnly), Err(Error::TooShort { .. })));
    }

    #[test]
    fn an_empty_object_is_an_empty_map() {
        let (_dir, object) = file(b"");
        let map = object.map(0, 0, MapKind::Shared).unwrap();
        assert_eq!((map.len(), map.read_at(0, &mut [0; 8]).unwrap()), (0, 0));
        assert!(map.word(0).is_none());
        map.flush(0, 10).unwrap();
    }
}

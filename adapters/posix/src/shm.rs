//! POSIX shared-memory objects: reserved when created, complete before they get their name.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use camlane_core::AttachError;
use nix::errno::Errno;
use nix::fcntl::{OFlag, posix_fallocate};
use nix::sys::mman::{shm_open, shm_unlink};
use nix::sys::stat::{FileStat, Mode, fchmod, fstat};
use nix::unistd::ftruncate;

use crate::error::Error;
use crate::mapping::Mapping;

/// Where Linux keeps shared-memory objects as files (shm_overview(7)).
pub(crate) const SHM_DIR: &str = "/dev/shm";

/// An object's identity: device and inode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Inode(u64, u64);

impl Inode {
    /// A System V segment's: its number, on no device that a file is on.
    pub(crate) const fn of_segment(id: i32) -> Self {
        Self(u64::MAX, id.cast_unsigned() as u64)
    }
}

/// Opens an object that exists. `None`: there is none.
///
/// # Errors
/// [`Error::Unusable`] if it is no file: a pipe or a folder that somebody put under the name.
pub(crate) fn open(object: &str, write: bool) -> Result<Option<OwnedFd>, Error> {
    let access = if write { OFlag::O_RDWR } else { OFlag::O_RDONLY };
    let fd = match shm_open(object, access | AS_IT_IS, Mode::empty()) {
        Ok(fd) => fd,
        Err(Errno::ENOENT) => return Ok(None),
        Err(errno) => return Err(Error::system("open", object, errno)),
    };
    let found = fstat(&fd).map_err(|errno| Error::system("look at", object, errno))?;
    must_be_a_file(object, &found)?;
    Ok(Some(fd))
}

/// A pipe under the name shall not keep us waiting for its other end.
pub(crate) const AS_IT_IS: OFlag = OFlag::O_CLOEXEC.union(OFlag::O_NONBLOCK);

/// Refuses what cannot be shared memory, before anything is believed or locked.
pub(crate) fn must_be_a_file(object: &str, found: &FileStat) -> Result<(), Error> {
    if found.st_mode & libc::S_IFMT == libc::S_IFREG {
        return Ok(());
    }
    Err(Error::Unusable { object: object.to_owned(), source: AttachError::Foreign })
}

/// Makes an object of `len` zero bytes that are really there: later writes cannot fail for want of memory.
///
/// Nobody passes O_CREAT for an object that exists: `fs.protected_regular` refuses that on another user's (EACCES).
pub(crate) fn create(object: &str, len: u64, mode: Mode, huge_pages: bool) -> Result<OwnedFd, Error> {
    let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
    let fd = shm_open(object, flags, mode).map_err(|errno| Error::system("create", object, errno))?;
    let made = fchmod(&fd, mode) // the umask shall not decide who can attach
        .map_err(|errno| Error::system("set the mode of", object, errno))
        .and_then(|()| if huge_pages { fill_with_huge_pages(&fd, object, len) } else { Ok(()) })
        .and_then(|()| reserve(&fd, object, len));
    match made {
        Ok(()) => Ok(fd),
        Err(error) => {
            let _ = shm_unlink(object);
            Err(error)
        }
    }
}

/// Fills an empty object with huge pages, as far as there are any.
pub(crate) fn fill_with_huge_pages(fd: &OwnedFd, object: &str, len: u64) -> Result<(), Error> {
    let bytes = libc::off_t::try_from(len).map_err(|_| no_space(object, len))?;
    ftruncate(fd, bytes).map_err(|errno| Error::system("set the length of", object, errno))?;
    Mapping::fill_with_huge_pages(fd, object, len)
}

/// Reserves memory now: after a mere `ftruncate` a full tmpfs answers with SIGBUS at the first touch.
fn reserve(fd: &OwnedFd, object: &str, len: u64) -> Result<(), Error> {
    if len == 0 {
        return Ok(());
    }
    let bytes = libc::off_t::try_from(len).map_err(|_| no_space(object, len))?;
    loop {
        match posix_fallocate(fd, 0, bytes) {
            Ok(()) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(Errno::ENOSPC | Errno::EFBIG | Errno::ENOMEM) => return Err(no_space(object, len)),
            Err(errno) => return Err(Error::system("reserve", object, errno)),
        }
    }
}

fn no_space(object: &str, needed: u64) -> Error {
    let Space { free, total } = space().unwrap_or_default();
    Error::NoSpace { object: object.to_owned(), needed, free, total, fits: None }
}

/// Removes a name; one that is not there is no error.
pub(crate) fn unlink(object: &str) -> Result<(), Error> {
    match shm_unlink(object) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(Error::system("remove", object, errno)),
    }
}

#[allow(clippy::unnecessary_cast, reason = "these have 32 bits on some processors")]
pub(crate) fn inode(fd: impl AsFd) -> Result<Inode, Errno> {
    fstat(fd).map(|stat| Inode(stat.st_dev, stat.st_ino as u64))
}

pub(crate) fn len(fd: impl AsFd) -> Result<u64, Errno> {
    fstat(fd).map(|stat| u64::try_from(stat.st_size).unwrap_or(0))
}

/// Tells whether an object is long enough for these bytes and begins with them.
pub(crate) fn begins_with(fd: impl AsFd, start: &[u8; 8]) -> bool {
    let mut found = [0; 8];
    nix::sys::uio::pread(fd, &mut found, 0) == Ok(found.len()) && found == *start
}

/// The object that a name stands for now.
pub(crate) fn inode_of_name(object: &str) -> Option<Inode> {
    inode_of_path(&file_of(object))
}

/// The file that a path stands for now.
pub(crate) fn inode_of_path(path: &Path) -> Option<Inode> {
    let found = std::fs::metadata(path).ok()?;
    Some(Inode(found.dev(), found.ino()))
}

/// Gives the object that is complete under `staged` its final name, in one step where the system allows it: readers
/// find the old object or the new one, never half of one.
pub(crate) fn rename(staged: &str, fd: &OwnedFd, object: &str) -> Result<bool, Error> {
    let ours = inode(fd).map_err(|errno| Error::system("look at", staged, errno))?;
    if inode_of_name(staged) != Some(ours) {
        return Ok(false); // shared memory is not kept as files in /dev/shm here
    }
    match std::fs::rename(file_of(staged), file_of(object)) {
        Ok(()) => Ok(true),
        Err(error) => {
            Err(Error::system("rename to", object, Errno::from_raw(error.raw_os_error().unwrap_or(0))))
        }
    }
}

fn file_of(object: &str) -> std::path::PathBuf {
    Path::new(SHM_DIR).join(object.trim_start_matches('/'))
}

/// Owner and mode of an object, for error messages.
pub(crate) fn owner_of(object: &str) -> String {
    match std::fs::metadata(file_of(object)) {
        Ok(meta) => format!("owner {}:{}, mode {:o}", meta.uid(), meta.gid(), meta.mode() & 0o7777),
        Err(_) => "owner unknown".to_owned(),
    }
}

/// Room in /dev/shm, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Space {
    /// Free.
    pub free: u64,
    /// In all.
    pub total: u64,
}

/// Asks how much shared memory there is.
///
/// # Errors
/// [`Error::System`] if /dev/shm cannot be asked.
pub fn space() -> Result<Space, Error> {
    let stat = nix::sys::statvfs::statvfs(SHM_DIR)
        .map_err(|errno| Error::system("ask the size of", SHM_DIR, errno))?;
    let unit = stat.fragment_size();
    Ok(Space { free: bytes(stat.blocks_available(), unit), total: bytes(stat.blocks(), unit) })
}

/// Bytes in so many blocks. The system counts in 32 bits on some processors, where the product has more.
#[allow(clippy::unnecessary_cast, reason = "these have 32 bits on some processors")]
pub(crate) const fn bytes(blocks: libc::fsblkcnt_t, unit: libc::c_ulong) -> u64 {
    (blocks as u64).saturating_mul(unit as u64)
}

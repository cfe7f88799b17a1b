//! System V segments: `shmget`, `shmat`, `shmctl`. The unsafe code here is those calls.
#![allow(unsafe_code)]

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::ptr::NonNull;
use std::str::FromStr;

use nix::errno::Errno;

use crate::legacy::foreign::Foreign;
use crate::legacy::{Access, Error};

/// The key of a segment, as `shmget` and `ipcs -m` have it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Key(i32);

impl Key {
    /// The key with that number; 0 would be IPC_PRIVATE, which nobody else can find.
    ///
    /// # Errors
    /// [`Error::InvalidName`] for 0.
    pub fn new(number: i32) -> Result<Self, Error> {
        let reason = "key 0 is IPC_PRIVATE, a segment that no other program can find";
        if number == 0 { Err(Error::InvalidName { name: "0".to_owned(), reason }) } else { Ok(Self(number)) }
    }

    /// The key that `ftok(path, project)` gives.
    ///
    /// # Errors
    /// [`Error::System`] if there is no such file.
    pub fn of_file(path: &Path, project: u8) -> Result<Self, Error> {
        let fail =
            |source| Error::System { operation: "look at", object: path.display().to_string(), source };
        let file = std::fs::metadata(path).map_err(fail)?;
        // glibc's sysvipc/ftok.c
        let key = file.ino() as u32 & 0xffff | (file.dev() as u32 & 0xff) << 16 | u32::from(project) << 24;
        Self::new(key.cast_signed())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}

impl FromStr for Key {
    type Err = Error;

    /// Reads a decimal number, or a hexadecimal one after `0x`.
    fn from_str(text: &str) -> Result<Self, Error> {
        let number = match text.strip_prefix("0x") {
            Some(digits) => u32::from_str_radix(digits, 16).ok().map(u32::cast_signed),
            None => text.parse().ok(),
        };
        let reason = "a key is a 32-bit number, decimal or after 0x";
        Self::new(number.ok_or_else(|| Error::InvalidName { name: text.to_owned(), reason })?)
    }
}

/// A System V segment, attached until it is dropped. No program can cut it.
///
/// It outlives all of them: [`remove`](Self::remove) marks it, and it goes when the last has detached it.
///
/// # Invariants
/// `len` bytes from `base` are attached until drop, for writing if `access` says so; nothing but this value reaches them
/// through this attachment. Made by `attach` alone.
#[derive(Debug)]
pub struct Segment {
    key: Key,
    id: libc::c_int,
    base: NonNull<u8>,
    len: usize,
    access: Access,
}

// SAFETY: an attachment is an address range of the process, not of a thread; writing needs `&mut`.
unsafe impl Send for Segment {}
// SAFETY: by `&`, bytes are only loaded, atomically.
unsafe impl Sync for Segment {}

impl Segment {
    /// Makes a segment of `len` zero bytes; exactly one of several creators succeeds.
    ///
    /// # Errors
    /// [`Error::System`]: `EEXIST`, `ENOSPC` (too many segments), `EINVAL` (too large), `ENOMEM`.
    pub fn create_new(key: Key, len: usize, mode: u32) -> Result<Self, Error> {
        let flags = libc::IPC_CREAT | libc::IPC_EXCL | (mode & 0o777) as libc::c_int;
        let id = get(key, len, flags).map_err(|errno| fail("create", key, errno))?;
        Self::attach(key, id, Access::Write)
    }

    /// Attaches a segment that exists.
    ///
    /// # Errors
    /// [`Error::System`]: `ENOENT`, `EACCES`, `EIDRM`.
    pub fn open(key: Key, access: Access) -> Result<Self, Error> {
        let id = get(key, 0, 0).map_err(|errno| fail("open", key, errno))?;
        Self::attach(key, id, access)
    }

    /// Has the segment removed when its last user has detached it; its key is free at once.
    ///
    /// # Errors
    /// [`Error::System`]: `ENOENT`, `EPERM`.
    pub fn remove(key: Key) -> Result<(), Error> {
        let id = get(key, 0, 0).map_err(|errno| fail("open", key, errno))?;
        // SAFETY: IPC_RMID takes no buffer.
        let done = unsafe { libc::shmctl(id, libc::IPC_RMID, std::ptr::null_mut()) };
        Errno::result(done).map(drop).map_err(|errno| fail("remove", key, errno))
    }

    fn attach(key: Key, id: libc::c_int, access: Access) -> Result<Self, Error> {
        let len = stat(key, id)?.shm_segsz;
        let flags = if access == Access::Read { libc::SHM_RDONLY } else { 0 };
        // SAFETY: the kernel chooses the address, so nothing that exists is replaced.
        let address = unsafe { libc::shmat(id, std::ptr::null(), flags) };
        match NonNull::new(address.cast::<u8>()) {
            // (void *) -1 is how shmat says that it failed.
            Some(base) if address.addr() != usize::MAX => Ok(Self { key, id, base, len, access }),
            _ => Err(fail("attach", key, Errno::last())),
        }
    }

    /// The key.
    pub const fn key(&self) -> Key {
        self.key
    }

    /// Bytes in the segment.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Tells that there are none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Attachments of the segment, in all processes.
    ///
    /// # Errors
    /// [`Error::System`] `EACCES`
    pub fn users(&self) -> Result<usize, Error> {
        Ok(stat(self.key, self.id)?.shm_nattch as usize)
    }

    /// Copies bytes out from `at`, as many as there are, and tells how many.
    pub fn read_at(&self, at: usize, into: &mut [u8]) -> usize {
        let len = into.len().min(self.len.saturating_sub(at));
        if len > 0 {
            // SAFETY: `at + len` is at most `self.len`.
            let from = unsafe { self.base.add(at) };
            // SAFETY: 1. so are these bytes, attached until drop; 2. writing takes `&mut self`.
            unsafe { Foreign::new(from, len) }.copy_out(&mut into[..len]);
        }
        len
    }

    /// Copies bytes in at `at`, as many as there is room for, and tells how many.
    ///
    /// # Errors
    /// [`Error::System`] `EACCES` if it was attached for reading.
    pub fn write_at(&mut self, at: usize, bytes: &[u8]) -> Result<usize, Error> {
        if self.access == Access::Read {
            return Err(fail("write", self.key, Errno::EACCES));
        }
        let len = bytes.len().min(self.len.saturating_sub(at));
        if len > 0 {
            // SAFETY: `at + len` is at most `self.len`.
            let to = unsafe { self.base.add(at) };
            // SAFETY: 1. so are these bytes, attached for writing until drop; 2. `&mut self`.
            unsafe { Foreign::new(to, len) }.copy_in(&bytes[..len]);
        }
        Ok(len)
    }

    /// Where it is attached.
    pub(crate) const fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// The number that the system knows it by, which is another one for a segment that is made anew.
    pub(crate) const fn id(&self) -> i32 {
        self.id
    }

    /// The number of the segment that has the key now.
    pub(crate) fn find(key: Key) -> Option<i32> {
        get(key, 0, 0).ok()
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        // SAFETY: what `attach` got, detached once.
        let _ = unsafe { libc::shmdt(self.base.as_ptr().cast()) };
    }
}

fn get(key: Key, len: usize, flags: libc::c_int) -> Result<libc::c_int, Errno> {
    // SAFETY: three integers.
    Errno::result(unsafe { libc::shmget(key.0, len, flags) })
}

fn stat(key: Key, id: libc::c_int) -> Result<libc::shmid_ds, Error> {
    let mut found = std::mem::MaybeUninit::<libc::shmid_ds>::zeroed();
    // SAFETY: IPC_STAT fills one such structure.
    let done = unsafe { libc::shmctl(id, libc::IPC_STAT, found.as_mut_ptr()) };
    Errno::result(done).map_err(|errno| fail("look at", key, errno))?;
    // SAFETY: integers, valid for any bytes, and filled by the call that succeeded.
    Ok(unsafe { found.assume_init() })
}

fn fail(operation: &'static str, key: Key, errno: Errno) -> Error {
    Error::System { operation, object: format!("System V segment {key}"), source: errno.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    /// A key of this test alone: its process, and a number.
    fn key(number: u8) -> Key {
        Key::new((std::process::id() << 8 | u32::from(number)).cast_signed()).unwrap()
    }

    #[test]
    fn a_segment_is_made_once_and_shared_by_all() {
        let key = key(1);
        let mut ours = Segment::create_new(key, 5000, 0o600).unwrap();
        assert_eq!(Segment::create_new(key, 5000, 0o600).unwrap_err().name(), Some("EEXIST"));
        let theirs = Segment::open(key, Access::Read).unwrap();
        assert_eq!((ours.len(), theirs.users().unwrap()), (5000, 2));
        ours.write_at(4998, b"abc").unwrap();
        let mut bytes = [0; 8];
        assert_eq!(theirs.read_at(4997, &mut bytes), 3);
        assert_eq!(&bytes[..3], b"\0ab");
        Segment::remove(key).unwrap();
        assert_eq!(Segment::open(key, Access::Read).unwrap_err().name(), Some("ENOENT"));
        assert_eq!(theirs.read_at(4998, &mut bytes), 2); // who has it attached keeps it
    }

    #[test]
    fn a_segment_attached_for_reading_refuses_to_be_written() {
        let key = key(2);
        drop(Segment::create_new(key, 16, 0o600).unwrap());
        let mut reader = Segment::open(key, Access::Read).unwrap();
        Segment::remove(key).unwrap();
        assert_eq!(reader.write_at(0, b"x").unwrap_err().name(), Some("EACCES"));
    }

    #[rstest]
    #[case::hexadecimal("0xdeadbeef", "0xdeadbeef")]
    #[case::decimal("1234", "0x000004d2")]
    #[case::negative("-1", "0xffffffff")]
    fn a_key_is_read_as_ipcs_and_c_have_it(#[case] text: &str, #[case] shown: &str) {
        assert_eq!(text.parse::<Key>().unwrap().to_string(), shown);
    }

    #[rstest]
    #[case::private("0")]
    #[case::word("key")]
    #[case::too_long("0x123456789")]
    fn what_is_no_key_is_refused(#[case] text: &str) {
        assert!(matches!(text.parse::<Key>(), Err(Error::InvalidName { .. })));
    }
}

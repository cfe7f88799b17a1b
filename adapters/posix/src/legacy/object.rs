//! Raw objects: what `shm_open`, `open`, `ftruncate`, `mmap` and `shm_unlink` do, without their traps.

use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, RenameFlags, posix_fallocate, renameat2};

use crate::legacy::{Error, Map, MapKind, ObjectName};
use crate::lock::LockFile;

/// Bytes of the object that camlane's ends lock, far behind any that a program would lock for itself. Not behind the first
/// 2 GiB, which is as far as an `off_t` of 32 bits reaches: there each of these locks was refused (EINVAL).
pub(crate) mod byte {
    const LAST: u32 = i32::MAX as u32;
    pub(crate) const STAGING: u32 = LAST - 1;
    pub(crate) const WRITER: u32 = LAST - 2;
    pub(crate) const READER: u32 = LAST - 3;
    pub(crate) const MESSAGE: u32 = LAST - 4;
}

/// How long another process may take to make the same object.
const PATIENCE: Duration = Duration::from_secs(2);

/// What may be done with an object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Read: works on what one may only read.
    Read,
    /// Read and write.
    Write,
}

/// Tells who made an object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Opened {
    /// This call.
    Created,
    /// Somebody before.
    Existing,
}

/// Which object a name stands for at a moment: device and inode.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Identity(u64, u64);

impl Identity {
    pub(crate) const fn new(device: u64, inode: u64) -> Self {
        Self(device, inode)
    }
}

/// An open shared-memory object or regular file. Closing it removes nothing.
///
/// `read_at` and `write_at` see and change the same bytes as every mapping of the object, and unlike a mapping they answer
/// with an error, not with SIGBUS, when another program cuts it.
#[derive(Debug)]
pub struct Object {
    file: File,
    name: ObjectName,
}

impl Object {
    /// Makes an object of `len` zero bytes with exactly these permissions; exactly one of several creators succeeds.
    ///
    /// The bytes are reserved, and the name appears when they are: nobody finds it shorter.
    ///
    /// # Errors
    /// [`Error::System`] `EEXIST` if there is one; [`Error::NoSpace`].
    pub fn create_new(name: &ObjectName, len: u64, mode: u32) -> Result<Self, Error> {
        Staged::make(name, len, mode)?.publish(RenameFlags::RENAME_NOREPLACE)
    }

    /// Opens an object that exists.
    ///
    /// # Errors
    /// [`Error::System`]: `ENOENT`, `EACCES`, `EMFILE` and others.
    pub fn open(name: &ObjectName, access: Access) -> Result<Self, Error> {
        let file = options(access).open(name.path()).map_err(|error| Error::system("open", name, error))?;
        Ok(Self { file, name: name.clone() })
    }

    /// Opens the object, or makes it as [`create_new`](Self::create_new) does. One that exists is not changed.
    ///
    /// # Errors
    /// [`Error::System`], [`Error::NoSpace`]
    pub fn open_or_create(name: &ObjectName, len: u64, mode: u32) -> Result<(Self, Opened), Error> {
        let until = Instant::now() + PATIENCE;
        loop {
            match Self::open(name, Access::Write) {
                Ok(object) => return Ok((object, Opened::Existing)),
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
            match Self::create_new(name, len, mode) {
                Err(error) if error.name() == Some("EEXIST") && Instant::now() < until => {} // another was faster
                other => return other.map(|object| (object, Opened::Created)),
            }
        }
    }

    /// Removes a name; who has the object open keeps it.
    ///
    /// # Errors
    /// [`Error::System`]: `ENOENT`, `EACCES`
    pub fn remove(name: &ObjectName) -> Result<(), Error> {
        std::fs::remove_file(name.path()).map_err(|error| Error::system("remove", name, error))
    }

    /// The name by which it was opened.
    pub const fn name(&self) -> &ObjectName {
        &self.name
    }

    /// Its length in bytes now.
    ///
    /// # Errors
    /// [`Error::System`]
    pub fn len(&self) -> Result<u64, Error> {
        Ok(self.file.metadata().map_err(|error| Error::system("look at", &self.name, error))?.len())
    }

    /// Tells whether it has no bytes.
    ///
    /// # Errors
    /// [`Error::System`]
    pub fn is_empty(&self) -> Result<bool, Error> {
        Ok(self.len()? == 0)
    }

    /// Fails unless the object has `needed` bytes now.
    pub(crate) fn check_len(&self, needed: u64) -> Result<(), Error> {
        let found = self.len()?;
        if found >= needed {
            Ok(())
        } else {
            Err(Error::TooShort { object: self.name.to_string(), needed, found })
        }
    }

    /// Makes it at least `len` bytes long, with the bytes reserved: a full file system is an error here, not a SIGBUS later.
    ///
    /// # Errors
    /// [`Error::NoSpace`], [`Error::System`]
    pub fn grow(&self, len: u64) -> Result<(), Error> {
        let (fail, bytes) = (|error| Error::system("reserve", &self.name, error), libc::off_t::try_from(len));
        match bytes.map(|bytes| posix_fallocate(&self.file, 0, bytes)) {
            Ok(Ok(())) => Ok(()),
            _ if len == 0 => Ok(()),
            Ok(Err(Errno::EINTR)) => self.grow(len),
            Err(_) | Ok(Err(Errno::ENOSPC | Errno::EFBIG)) => {
                let space = nix::sys::statvfs::fstatvfs(&self.file).map_err(fail)?;
                let free = crate::shm::bytes(space.blocks_available(), space.fragment_size());
                Err(Error::NoSpace { object: self.name.to_string(), needed: len, free })
            }
            Ok(Err(errno)) => Err(fail(errno)),
        }
    }

    /// Cuts it or lets it grow without reserving. Cutting kills programs that have the lost bytes mapped: never on an object
    /// that another may be using.
    ///
    /// # Errors
    /// [`Error::System`]: `EINVAL`, `EFBIG`, `EPERM`
    pub fn truncate(&self, len: u64) -> Result<(), Error> {
        self.file.set_len(len).map_err(|error| Error::system("resize", &self.name, error))
    }

    /// Copies bytes out, as many as there are from `offset` on, and tells how many.
    ///
    /// # Errors
    /// [`Error::System`]
    pub fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<usize, Error> {
        let mut done = 0;
        while let Some(rest) = into.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, offset + done as u64) {
                Ok(0) => break,
                Ok(some) => done += some,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::system("read", &self.name, error)),
            }
        }
        Ok(done)
    }

    /// Copies bytes out, all of `into`.
    pub(crate) fn read_exact_at(&self, offset: u64, into: &mut [u8]) -> Result<(), Error> {
        let needed = offset + into.len() as u64;
        if self.read_at(offset, into)? == into.len() {
            return Ok(());
        }
        self.check_len(needed)?;
        Err(Error::TooShort { object: self.name.to_string(), needed, found: offset }) // grew again meanwhile
    }

    /// Copies bytes in. The object does not grow: see [`grow`](Self::grow).
    ///
    /// # Errors
    /// [`Error::TooShort`]; [`Error::System`]
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        self.check_len(offset.saturating_add(bytes.len() as u64))?;
        self.file.write_all_at(bytes, offset).map_err(|error| Error::system("write", &self.name, error))
    }

    /// Has the file system write what it has not: for regular files.
    ///
    /// # Errors
    /// [`Error::System`]
    pub fn sync(&self) -> Result<(), Error> {
        self.file.sync_data().map_err(|error| Error::system("write back", &self.name, error))
    }

    /// Maps `len` bytes from `offset` on.
    ///
    /// # Errors
    /// As [`Map::new`].
    pub fn map(&self, offset: u64, len: usize, kind: MapKind) -> Result<Map, Error> {
        Map::new(self, offset, len, kind)
    }

    /// Which object this is.
    ///
    /// # Errors
    /// [`Error::System`]
    pub fn identity(&self) -> Result<Identity, Error> {
        let found = self.file.metadata().map_err(|error| Error::system("look at", &self.name, error))?;
        Ok(Identity::new(found.dev(), found.ino()))
    }

    /// Tells whether its name still leads to this object.
    pub fn is_current(&self) -> bool {
        self.identity().is_ok_and(|ours| self.name.identity() == Some(ours))
    }

    /// Who owns it and what others may: user, mode.
    pub(crate) fn owner(&self) -> Result<(u32, u32), Error> {
        let found = self.file.metadata().map_err(|error| Error::system("look at", &self.name, error))?;
        Ok((found.uid(), found.mode() & 0o7777))
    }

    pub(crate) fn set_mode(&self, mode: u32) -> Result<(), Error> {
        let permissions = Permissions::from_mode(mode); // the umask shall not decide who can attach
        self.file
            .set_permissions(permissions)
            .map_err(|error| Error::system("set the mode of", &self.name, error))
    }

    pub(crate) const fn file(&self) -> &File {
        &self.file
    }

    /// The locks of this handle: they fall when it, and what was cloned from it, is closed.
    pub(crate) fn locks(&self) -> Result<LockFile, Error> {
        let fd = self.file.try_clone().map_err(|error| Error::system("keep", &self.name, error))?;
        Ok(LockFile::of(fd.into(), self.name.to_string()))
    }
}

impl AsFd for Object {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn options(access: Access) -> OpenOptions {
    let mut options = OpenOptions::new();
    // shm_open follows no link either; and a pipe under the name shall not keep us waiting.
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    options.read(true).write(access == Access::Write).custom_flags(flags);
    options
}

/// An object under its temporary name; removed again unless it gets its own.
pub(crate) struct Staged {
    object: Object,
    path: PathBuf,
    locks: LockFile,
    done: bool,
}

impl Staged {
    /// Makes an object of `len` bytes beside `name`. What a killed creator left there is removed: nobody has it locked.
    pub(crate) fn make(name: &ObjectName, len: u64, mode: u32) -> Result<Self, Error> {
        let (path, until) = (name.staged(), Instant::now() + PATIENCE);
        loop {
            match options(Access::Write).create_new(true).mode(0o600).open(&path) {
                Ok(file) => {
                    let object = Object { file, name: name.clone() };
                    let locks = object.locks()?;
                    // Another creator may have taken it for a leftover before it was locked.
                    if locks.try_lock(byte::STAGING)? && locks.is_linked() {
                        let staged = Self { object, path, locks, done: false };
                        staged.grow(len)?;
                        staged.set_mode(mode)?;
                        return Ok(staged);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && Instant::now() < until => {
                    let Ok(file) = options(Access::Write).open(&path) else { continue };
                    let object = Object { file, name: name.clone() };
                    if object.locks()?.try_lock(byte::STAGING)? {
                        let _ = std::fs::remove_file(&path);
                    } else {
                        std::thread::sleep(Duration::from_millis(1)); // another creator is at it
                    }
                }
                Err(error) => return Err(Error::system("create", name, error)),
            }
        }
    }

    /// Gives the object its name in one step.
    pub(crate) fn publish(mut self, flags: RenameFlags) -> Result<Object, Error> {
        let name = self.object.name.clone();
        renameat2(AT_FDCWD, &self.path, AT_FDCWD, name.path(), flags)
            .map_err(|errno| Error::system("create", &name, errno))?;
        self.done = true;
        self.locks.unlock(byte::STAGING);
        let file = self.object.file.try_clone().map_err(|error| Error::system("keep", &name, error))?;
        Ok(Object { file, name })
    }
}

impl Deref for Staged {
    type Target = Object;
    fn deref(&self) -> &Object {
        &self.object
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.done {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::{fixture, rstest};

    #[fixture]
    fn dir() -> tempfile::TempDir {
        tempfile::tempdir_in("/dev/shm").unwrap()
    }

    fn name(dir: &tempfile::TempDir) -> ObjectName {
        dir.path().join("object").to_str().unwrap().parse().unwrap()
    }

    #[rstest]
    fn of_many_creators_one_succeeds_and_nobody_finds_the_object_short(dir: tempfile::TempDir) {
        let name = name(&dir);
        let (created, lens): (Vec<_>, Vec<_>) = std::thread::scope(|scope| {
            let make = || {
                let (object, opened) = Object::open_or_create(&name, 1024, 0o640).unwrap();
                (opened, object.len().unwrap())
            };
            let all: Vec<_> = (0..16).map(|_| scope.spawn(make)).collect();
            all.into_iter().map(|one| one.join().unwrap()).unzip()
        });
        assert_eq!(created.iter().filter(|&&opened| opened == Opened::Created).count(), 1);
        assert!(lens.iter().all(|&len| len == 1024));
        assert_eq!(Object::open(&name, Access::Read).unwrap().owner().unwrap().1, 0o640);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1); // nothing under a temporary name
    }

    #[rstest]
    fn what_a_killed_creator_left_is_replaced(dir: tempfile::TempDir) {
        let name = name(&dir);
        std::fs::write(name.staged(), b"half").unwrap();
        assert_eq!(Object::create_new(&name, 8, 0o600).unwrap().len().unwrap(), 8);
        assert!(!name.staged().exists());
    }

    #[rstest]
    fn errors_have_the_names_of_the_manual_pages(dir: tempfile::TempDir) {
        let name = name(&dir);
        assert_eq!(Object::open(&name, Access::Read).unwrap_err().name(), Some("ENOENT"));
        assert_eq!(Object::remove(&name).unwrap_err().name(), Some("ENOENT"));
        let object = Object::create_new(&name, 8, 0o600).unwrap();
        let error = Object::create_new(&name, 8, 0o600).unwrap_err();
        assert_eq!(error.name(), Some("EEXIST"));
        assert!(error.to_string().contains("EEXIST (File exists"));
        assert_eq!(object.truncate(u64::MAX).unwrap_err().name(), Some("EINVAL"));
        assert!(matches!(object.grow(1 << 62), Err(Error::NoSpace { needed, .. }) if needed == 1 << 62));
        assert!(matches!(object.write_at(4, b"beyond"), Err(Error::TooShort { needed: 10, found: 8, .. })));
        let reader = Object::open(&name, Access::Read).unwrap();
        assert_eq!(reader.write_at(0, b"x").unwrap_err().name(), Some("EBADF"));
    }

    #[rstest]
    fn a_cut_object_gives_fewer_bytes_and_no_signal(dir: tempfile::TempDir) {
        let object = Object::create_new(&name(&dir), 8192, 0o600).unwrap();
        object.truncate(10).unwrap();
        assert_eq!(object.read_at(4, &mut [0; 100]).unwrap(), 6);
        assert!(matches!(
            object.read_exact_at(4, &mut [0; 100]),
            Err(Error::TooShort { needed: 104, found: 10, .. })
        ));
    }

    #[rstest]
    fn a_name_that_went_to_another_object_is_noticed(dir: tempfile::TempDir) {
        let name = name(&dir);
        let first = Object::create_new(&name, 8, 0o600).unwrap();
        assert!(first.is_current());
        Object::remove(&name).unwrap();
        assert!(!first.is_current());
        let second = Object::create_new(&name, 8, 0o600).unwrap();
        assert!(!first.is_current() && second.is_current());
    }
}

//! Liveness: a byte of the lane's lock file is held for as long as its holder lives, and not a moment longer.
//!
//! Open-file-description locks (fcntl(2), Linux 3.15, POSIX.1-2024), because POSIX record locks vanish when *any*
//! descriptor of the file is closed in the process, `flock` can be taken through a read-only descriptor, and process
//! ids are re-used. The kernel drops them with the last descriptor, so also after SIGKILL; a stopped process keeps them.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::mman::shm_open;
use nix::sys::stat::{Mode, fchmod, fstat};

use crate::error::Error;
use crate::shm;

/// A lane's lock file, opened by this handle alone: locks belong to the open file, so each holder opens its own.
#[derive(Debug)]
pub(crate) struct LockFile {
    fd: OwnedFd,
    object: String,
}

/// The byte that the producer holds.
pub(crate) const PRODUCER: u32 = 0;

/// The byte that the consumer in a seat holds.
pub(crate) const fn seat(index: u32) -> u32 {
    index + 1
}

impl LockFile {
    /// Opens the file, and makes it if it is missing and `mode` is given. `None`: missing.
    pub(crate) fn open(object: &str, create: Option<Mode>) -> Result<Option<Self>, Error> {
        let fail = |errno| Error::system("open", object, errno);
        // Never O_CREAT on what exists (fs.protected_regular); so: open, else create, and again if another was faster.
        for _ in 0..100 {
            match shm_open(object, OFlag::O_RDWR | shm::AS_IT_IS, Mode::empty()) {
                Ok(fd) => {
                    let found = fstat(&fd).map_err(fail)?;
                    if found.st_nlink == 0 {
                        continue; // removed between look-up and open
                    }
                    shm::must_be_a_file(object, &found)?;
                    return Ok(Some(Self { fd, object: object.to_owned() }));
                }
                Err(Errno::ENOENT) => {}
                Err(errno) => return Err(fail(errno)),
            }
            let Some(mode) = create else { return Ok(None) };
            match shm_open(object, OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC, mode) {
                Ok(fd) => return Ok(Some(Self { fd, object: object.to_owned() })),
                Err(Errno::EEXIST) => {}
                Err(errno) => return Err(fail(errno)),
            }
        }
        Err(fail(Errno::EAGAIN))
    }

    /// Opens or makes a lock file at a path, for lanes that are not in shared memory. Not through a link, which another
    /// user may have put there.
    pub(crate) fn open_file(path: &std::path::Path) -> Result<Self, Error> {
        let object = path.display().to_string();
        let mut options = std::fs::OpenOptions::new();
        options.read(true).write(true).mode(0o600).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
        // As in `open`: O_CREAT only for what is not there.
        for _ in 0..100 {
            let opened = match options.create_new(false).open(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => options.create_new(true).open(path),
                opened => opened,
            };
            match opened {
                Ok(file) => return Ok(Self { fd: file.into(), object }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {} // another was faster
                Err(source) => return Err(Error::System { operation: "open", object, source }),
            }
        }
        Err(Error::system("open", &object, Errno::EAGAIN))
    }

    /// Takes an open file for one to lock. Its locks fall when all descriptors that were cloned from it are closed.
    pub(crate) const fn of(fd: OwnedFd, object: String) -> Self {
        Self { fd, object }
    }

    /// Takes a byte if no living process has it.
    pub(crate) fn try_lock(&self, byte: u32) -> Result<bool, Error> {
        self.take(byte, libc::F_WRLCK)
    }

    /// Takes a byte together with others who do the same. A file open for reading is enough.
    pub(crate) fn try_lock_shared(&self, byte: u32) -> Result<bool, Error> {
        self.take(byte, libc::F_RDLCK)
    }

    fn take(&self, byte: u32, kind: i32) -> Result<bool, Error> {
        match self.set(byte, kind) {
            Ok(()) => Ok(true),
            Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
            Err(errno) => Err(Error::system("lock", &self.object, errno)),
        }
    }

    /// Gives a byte back.
    pub(crate) fn unlock(&self, byte: u32) {
        let _ = self.set(byte, libc::F_UNLCK);
    }

    /// Tells whether somebody else holds a byte.
    pub(crate) fn is_held(&self, byte: u32) -> bool {
        let mut probe = range(byte, libc::F_WRLCK);
        match fcntl(&self.fd, FcntlArg::F_OFD_GETLK(&mut probe)) {
            Ok(_) => i32::from(probe.l_type) != libc::F_UNLCK,
            Err(_) => true, // cannot tell: nobody is declared dead without proof
        }
    }

    /// Sets who may lock. A lock file outlives its lanes, so it may have been made for others; and the umask shall not
    /// decide it.
    pub(crate) fn set_mode(&self, mode: Mode) -> Result<(), Error> {
        let fail = |errno| Error::system("set the mode of", &self.object, errno);
        let found = Mode::from_bits_truncate(fstat(&self.fd).map_err(fail)?.st_mode);
        if found == mode { Ok(()) } else { fchmod(&self.fd, mode).map_err(fail) }
    }

    /// Tells whether the file still has a name.
    pub(crate) fn is_linked(&self) -> bool {
        fstat(&self.fd).is_ok_and(|stat| stat.st_nlink > 0)
    }

    fn set(&self, byte: u32, kind: i32) -> Result<(), Errno> {
        fcntl(&self.fd, FcntlArg::F_OFD_SETLK(&range(byte, kind))).map(drop)
    }
}

fn range(byte: u32, kind: i32) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: byte as libc::off_t, // less than 2^31: a seat's number, or one of `legacy::object::byte`
        l_len: 1,
        l_pid: 0, // must be 0 for open-file-description locks
    }
}

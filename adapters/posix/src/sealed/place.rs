//! A sealed lane's place in the file system: its socket, and beside it the lock that one producer holds.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket};

use super::system;
use crate::address::socket_dir;
use crate::error::Error;
use crate::fork::Owner;
use crate::lock::{self, LockFile};

/// Holds the lane's place against other producers before anything is made.
#[derive(Debug)]
pub(crate) struct Claim {
    path: PathBuf,
    _lock: LockFile,
}

impl Claim {
    /// Takes the lock beside the socket. `None`: a living producer has it.
    pub(crate) fn take(path: &Path) -> Result<Option<Self>, Error> {
        if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
            make_dir(dir)?;
        }
        // Appended, not exchanged: `left.a` and `left.b` are two lanes.
        let mut beside = path.as_os_str().to_owned();
        beside.push(".lock");
        loop {
            let lock = LockFile::open_file(Path::new(&beside))?;
            if !lock.try_lock(lock::PRODUCER)? {
                return Ok(None);
            }
            if lock.is_linked() {
                return Ok(Some(Self { path: path.to_owned(), _lock: lock }));
            } // else somebody removed the file meanwhile: a lock on it excludes nobody
        }
    }

    /// Listens at the socket's path; what a dead producer left there is removed.
    pub(super) fn listen(self, mode: u32) -> Result<(OwnedFd, Place), Error> {
        let path = &self.path;
        let object = path.display().to_string();
        let fail = |operation| {
            let object = object.clone();
            move |errno: Errno| Error::system(operation, &object, errno)
        };
        match fs::symlink_metadata(path) {
            Ok(found) if found.file_type().is_socket() => {
                fs::remove_file(path).map_err(|source| system("remove the stale", &object, source))?;
            }
            Ok(_) => {
                let source = io::Error::other("a file that is no socket is in the way");
                return Err(system("listen at", &object, source));
            }
            Err(_) => {} // or bind says why
        }
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let listener =
            socket(AddressFamily::Unix, SockType::SeqPacket, flags, None).map_err(fail("make the socket"))?;
        refuse_rights(&listener);
        let address = UnixAddr::new(path).map_err(fail("use the path (at most 107 bytes) of"))?;
        bind(listener.as_raw_fd(), &address).map_err(fail("bind"))?;
        let inode = inode(path);
        let place = Place { inode, owner: Owner::current(), claim: self };
        let path = &place.claim.path;
        // Nobody connects before `listen`.
        fs::set_permissions(path, Permissions::from_mode(mode))
            .map_err(|source| system("set the mode of", &object, source))?;
        listen(&listener, Backlog::MAXALLOWABLE).map_err(fail("listen at"))?;
        Ok((listener, place))
    }
}

/// The socket's name, and the right to it. Dropping it removes the name, unless that is another socket's by now.
#[derive(Debug)]
pub(super) struct Place {
    inode: Option<(u64, u64)>,
    owner: Owner,
    claim: Claim,
}

impl Drop for Place {
    fn drop(&mut self) {
        let path = &self.claim.path;
        if self.owner.is_here() && self.inode.is_some() && inode(path) == self.inode {
            let _ = fs::remove_file(path);
        }
    } // the lock falls after that
}

/// Has the kernel refuse packets with descriptors (Linux 6.16; accepted sockets inherit it). Before, they are closed where
/// they arrive, and closing some takes as long as their sender likes: a TCP socket that lingers, a file of a dead server.
#[allow(unsafe_code)]
fn refuse_rights(listener: &OwnedFd) {
    const SO_PASSRIGHTS: libc::c_int = 83; // asm-generic/socket.h
    let (no, len): (libc::c_int, _) = (0, size_of::<libc::c_int>() as libc::socklen_t);
    // SAFETY: the value is an `int` that lives for the call.
    let _ = unsafe {
        libc::setsockopt(listener.as_raw_fd(), libc::SOL_SOCKET, SO_PASSRIGHTS, (&raw const no).cast(), len)
    };
}

fn inode(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

/// Makes the directory. Whoever can write there can put another socket in the place of ours, so the umask does not
/// decide who can, and a directory under a name that anybody could have guessed must be one's own.
fn make_dir(dir: &Path) -> Result<(), Error> {
    let object = dir.display().to_string();
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(dir)
        .map_err(|source| system("make the directory", &object, source))?;
    if dir != socket_dir() {
        return Ok(()); // chosen by who runs the producer
    }
    let found = fs::symlink_metadata(dir).map_err(|source| system("look at", &object, source))?;
    let user = nix::unistd::geteuid();
    let ours =
        found.is_dir() && (found.uid() == user.as_raw() || user.is_root()) && found.mode() & 0o022 == 0;
    if ours {
        return Ok(());
    }
    let owner = format!("owner {}:{}, mode {:o}", found.uid(), found.gid(), found.mode() & 0o7777);
    Err(Error::Permission { operation: "trust the directory", object, owner })
}

//! What can go wrong with a hand-made object, by name, with what a person can do.

use std::io;
use std::time::Duration;

use camlane_core::legacy::Header24Error;
use nix::errno::Errno;

use crate::legacy::ObjectName;

/// Whatever can go wrong here except a wait for a frame, which is a [`Stall`](crate::legacy::Stall).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The name breaks a rule.
    #[error("{name:?} cannot name an object: {reason}")]
    InvalidName {
        /// The name as given.
        name: String,
        /// The rule.
        reason: &'static str,
    },
    /// The system refused; [`name`](Self::name) has the errno's name.
    #[error("cannot {operation} {object}: {} ({})", errno_name(source), source)]
    System {
        /// What was tried.
        operation: &'static str,
        /// On what.
        object: String,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// There is no room for the object. Said when it is made, not by SIGBUS when it is written.
    #[error(
        "{object} needs {needed} bytes and {free} are free: remove what is not used, or enlarge the file system"
    )]
    NoSpace {
        /// The object.
        object: String,
        /// Bytes needed.
        needed: u64,
        /// Bytes free.
        free: u64,
    },
    /// The object ends before what was asked for.
    #[error(
        "{object} has {found} bytes and {needed} are needed: it was cut, or its creator is still making it"
    )]
    TooShort {
        /// The object.
        object: String,
        /// Bytes needed.
        needed: u64,
        /// Bytes that there are.
        found: u64,
    },
    /// Another program writes there.
    #[error("{object} is in use by {holder}: stop it first, or choose another name")]
    Taken {
        /// The object.
        object: String,
        /// Who, as far as can be known.
        holder: String,
    },
    /// A 24-byte header or a frame for one makes no sense.
    #[error("{object}: {source}")]
    Header24 {
        /// The object.
        object: String,
        /// Why.
        #[source]
        source: Header24Error,
    },
    /// The message does not fit, or could not be read back as one.
    #[error(
        "a message of {bytes} bytes with its closing NUL does not fit the {room} of {object}, or has a NUL inside"
    )]
    Message {
        /// The object.
        object: String,
        /// Bytes with the NUL.
        bytes: usize,
        /// Bytes of room.
        room: u64,
    },
    /// Somebody wrote at every look.
    #[error("{object} changed at every look for {after:?}: its writer never pauses")]
    Restless {
        /// The object.
        object: String,
        /// How long it was tried.
        after: Duration,
    },
    /// Nothing came in time.
    #[error("nothing came in {after:?}")]
    TimedOut {
        /// How long it was waited.
        after: Duration,
    },
    /// The layout of the struct with the mutex is not known for this processor and C library.
    #[error("the struct with a pthread mutex is known for x86-64 with glibc alone: use a native stream here")]
    UnknownAbi,
    /// The mutex was not initialised as one that processes share.
    #[error("the mutex in {object} is not initialised (kind {kind:#x}): its writer has not started yet")]
    Uninitialised {
        /// The object.
        object: String,
        /// Its kind.
        kind: u32,
    },
    /// A living thread holds the mutex.
    #[error("the mutex in {object} is held by {holder} for more than {after:?}")]
    Held {
        /// The object.
        object: String,
        /// Who.
        holder: String,
        /// How long it was waited.
        after: Duration,
    },
    /// The mutex's holder is not to be seen, but others have the object open, so that it is not proved dead.
    #[error(
        "the mutex in {object} is held by thread {thread}, which does not run here any more: if no program in another \
         container uses the object, have the lock broken (`break_lock`, --break-lock)"
    )]
    HolderGone {
        /// The object.
        object: String,
        /// The thread.
        thread: u32,
    },
    /// The old stream never wraps and is full.
    #[error(
        "{object} has room for {room} more bytes and {bytes} were given: this stream never wraps; start a new one, or use a native stream"
    )]
    Full {
        /// The object.
        object: String,
        /// Bytes given.
        bytes: usize,
        /// Bytes left.
        room: u32,
    },
    /// The counters contradict each other.
    #[error("{object}: {what} makes no sense: start the stream anew")]
    Corrupt {
        /// The object.
        object: String,
        /// What.
        what: &'static str,
    },
    /// Where the other side stands cannot be known.
    #[error(
        "{object} has a stream whose positions nobody can tell (its ends keep them to themselves): start it anew (`replace`)"
    )]
    PositionUnknown {
        /// The object.
        object: String,
    },
    /// A lane's own error.
    #[error(transparent)]
    Lane(#[from] crate::Error),
}

impl Error {
    pub(crate) fn system(operation: &'static str, object: &ObjectName, source: impl Into<io::Error>) -> Self {
        Self::System { operation, object: object.to_string(), source: source.into() }
    }

    /// The name of the system's error, as the manual pages have it: `ENOENT`.
    pub fn name(&self) -> Option<&'static str> {
        match self {
            Self::System { source, .. } => Some(errno_name(source)),
            _ => None,
        }
    }

    /// Tells whether the system said that there is no such object.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::System { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// The name that errno.h gives the number.
fn errno_name(error: &io::Error) -> &'static str {
    // nix has the names in its `Debug`, one word each; the table of those that object calls give is shorter than a leak.
    match error.raw_os_error().map(Errno::from_raw) {
        None if error.kind() == io::ErrorKind::InvalidInput => "EINVAL", // refused before it came to the system
        Some(Errno::EACCES) => "EACCES",
        Some(Errno::EAGAIN) => "EAGAIN",
        Some(Errno::EBADF) => "EBADF",
        Some(Errno::EEXIST) => "EEXIST",
        Some(Errno::EFBIG) => "EFBIG",
        Some(Errno::EIDRM) => "EIDRM",
        Some(Errno::EINVAL) => "EINVAL",
        Some(Errno::EISDIR) => "EISDIR",
        Some(Errno::ELOOP) => "ELOOP",
        Some(Errno::EMFILE) => "EMFILE",
        Some(Errno::ENAMETOOLONG) => "ENAMETOOLONG",
        Some(Errno::ENFILE) => "ENFILE",
        Some(Errno::ENODEV) => "ENODEV",
        Some(Errno::ENOENT) => "ENOENT",
        Some(Errno::ENOMEM) => "ENOMEM",
        Some(Errno::ENOSPC) => "ENOSPC",
        Some(Errno::ENOTDIR) => "ENOTDIR",
        Some(Errno::EPERM) => "EPERM",
        Some(Errno::EROFS) => "EROFS",
        Some(Errno::ETXTBSY) => "ETXTBSY",
        _ => "error",
    }
}

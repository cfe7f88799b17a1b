//! What C is told when something fails: a negative errno to decide by, and a message for people, kept for each thread.

use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char, c_int};

use posix::core::{AttachError, ObserveError, PublishError, ReadError, StreamError};
use posix::{Error, WaitError};

use crate::boundary::export_infallible;

/// A failure on its way to C.
#[derive(Debug)]
pub(crate) struct Failure {
    /// An errno, positive.
    pub(crate) errno: c_int,
    /// What `camlane_last_error` will say.
    pub(crate) message: String,
}

impl Failure {
    pub(crate) const fn new(errno: c_int, message: String) -> Self {
        Self { errno, message }
    }

    pub(crate) const fn invalid(message: String) -> Self {
        Self::new(libc::EINVAL, message)
    }

    pub(crate) fn null(what: &str) -> Self {
        Self::invalid(format!("{what} is NULL"))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::new(errno_of(&error), error.to_string())
    }
}

impl From<WaitError> for Failure {
    fn from(error: WaitError) -> Self {
        let errno = match &error {
            WaitError::TimedOut => libc::ETIMEDOUT,
            WaitError::Closed => libc::EPIPE,
            WaitError::ProducerGone => libc::EOWNERDEAD,
            WaitError::Other(error) => errno_of(error),
            _ => libc::EIO,
        };
        Self::new(errno, error.to_string())
    }
}

impl Failure {
    /// A wait's, with why no frame came where the producer says so.
    pub(crate) fn of_wait(error: WaitError, pause: Option<posix::Pause>) -> Self {
        let told = pause.filter(|_| matches!(error, WaitError::TimedOut));
        let mut failure = Self::from(error);
        if let Some(pause) = told {
            failure.message = format!("{}: {pause}", failure.message);
        }
        failure
    }
}

impl From<ObserveError> for Failure {
    fn from(error: ObserveError) -> Self {
        let errno = match error {
            ObserveError::TooSmall { .. } => libc::EMSGSIZE,
            ObserveError::Contended => libc::ESTALE,
            ObserveError::Corrupt => libc::EBADMSG,
            _ => libc::EIO,
        };
        Self::new(errno, error.to_string())
    }
}

/// The table in camlane.h, "Errors", says the same.
fn errno_of(error: &Error) -> c_int {
    match error {
        Error::InvalidName { .. } | Error::Geometry(_) | Error::Layout(_) | Error::Create(_) => libc::EINVAL,
        Error::Taken { .. } => libc::EBUSY,
        Error::NoSuchLane { .. } => libc::ENOENT,
        Error::Unusable { source, .. } => match source {
            AttachError::Version { .. } => libc::EPROTONOSUPPORT,
            AttachError::NotReady => libc::EAGAIN,
            _ => libc::EBADMSG,
        },
        Error::SeatsTaken { .. } => libc::EUSERS,
        Error::NoSpace { .. } => libc::ENOSPC,
        Error::Permission { .. } => libc::EACCES,
        Error::Forked => libc::ECHILD,
        Error::Loan(_) => libc::ENOBUFS,
        Error::Publish(PublishError::TooLong { .. } | PublishError::UserTooLong { .. }) => libc::EMSGSIZE,
        Error::Publish(_) => libc::EINVAL,
        Error::Read(ReadError::AllPinned { .. }) => libc::EDQUOT,
        Error::Read(ReadError::Contended) => libc::ESTALE,
        Error::Read(_) => libc::EBADMSG,
        Error::Size { .. } => libc::EMSGSIZE,
        Error::Stream(StreamError::NotAStream) => libc::EPROTOTYPE,
        Error::Stream(_) => libc::EBADMSG,
        Error::System { source, .. } => source.raw_os_error().unwrap_or(libc::EIO),
        _ => libc::EIO,
    }
}

thread_local! {
    static LAST: RefCell<CString> = RefCell::default();
    static OTHER: RefCell<CString> = RefCell::default();
}

/// Keeps a failure's message for this thread and gives the number that the function returns.
pub(crate) fn remember(failure: Failure) -> c_int {
    let text = CString::new(failure.message.replace('\0', "?")).unwrap_or_default();
    // A thread that is ending has no place for a message any more; the number still tells.
    let _ = LAST.try_with(|last| last.replace(text));
    -failure.errno
}

#[cfg(test)]
pub(crate) fn last_message() -> String {
    LAST.with_borrow(|last| last.to_string_lossy().into_owned())
}

/// What the numbers mean here, for those that have a meaning of their own.
const fn meaning(errno: c_int) -> Option<&'static CStr> {
    Some(match errno {
        0 => c"success",
        libc::EINVAL => c"an argument is NULL, contradicts another, or is out of its range",
        libc::EBUSY => c"a living producer has the lane, or another thread uses the handle at this moment",
        libc::ENOENT => c"there is no such lane, or not one that is running",
        libc::EPROTONOSUPPORT => {
            c"the lane has another layout version: use the same major version on both sides"
        }
        libc::EBADMSG => c"the object is no lane, or its words contradict each other",
        libc::EPROTOTYPE => c"the lane carries frames where a byte stream is wanted, or the other way round",
        libc::EUSERS => c"all seats of the lane are taken by living consumers",
        libc::ENOSPC => c"shared memory is full",
        libc::EACCES => c"permission denied",
        libc::ECHILD => c"this handle belongs to the parent process: open the lane again after fork",
        libc::ENOBUFS => c"no slot is free: consumers hold more than the lane was made for",
        libc::EDQUOT => c"this consumer holds all the frames that its seat allows: release one first",
        libc::ESTALE => c"the producer overwrote each frame before it could be read",
        libc::EMSGSIZE => c"the frame is larger than the room for it",
        libc::ETIMEDOUT => c"nothing came in time",
        libc::EAGAIN => c"nothing is there now",
        libc::EPIPE => c"the other side ended the stream",
        libc::EOWNERDEAD => c"the other side died without ending the stream",
        libc::EDOM => c"capture times cannot be compared: none, or on different clocks",
        libc::ENODATA => c"the frame does not state this",
        libc::E2BIG => c"a structure asks for something that this version of the library does not know",
        libc::ENOTRECOVERABLE => c"a bug in camlane: please report it with the message",
        _ => return None,
    })
}

export_infallible! {
    fn camlane_last_error() -> *const c_char {
        LAST.try_with(|last| last.borrow().as_ptr()).unwrap_or(c"".as_ptr())
    }

    fn camlane_strerror(error: c_int) -> *const c_char {
        let errno = error.saturating_abs();
        if let Some(text) = meaning(errno) {
            return text.as_ptr();
        }
        let text = CString::new(std::io::Error::from_raw_os_error(errno).to_string()).unwrap_or_default();
        OTHER
            .try_with(|other| {
                let mut other = other.borrow_mut();
                *other = text;
                other.as_ptr()
            })
            .unwrap_or(c"".as_ptr())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_that_a_caller_decides_by_has_a_number_with_a_meaning() {
        let lane = || "front-door".to_owned();
        let errors: [(Error, c_int); 6] = [
            (Error::Taken { lane: lane(), holder: String::new() }, libc::EBUSY),
            (Error::NoSuchLane { lane: lane(), running: Vec::new() }, libc::ENOENT),
            (Error::SeatsTaken { lane: lane(), seats: 1, holders: String::new() }, libc::EUSERS),
            (Error::NoSpace { object: lane(), needed: 2, free: 1, total: 1, fits: None }, libc::ENOSPC),
            (Error::Read(ReadError::AllPinned { pins: 2 }), libc::EDQUOT),
            (Error::Forked, libc::ECHILD),
        ];
        for (error, errno) in errors {
            let text = error.to_string();
            let failure = Failure::from(error);
            assert_eq!((failure.errno, &failure.message), (errno, &text));
            assert!(meaning(errno).is_some(), "{text}");
        }
        for (error, errno) in [
            (WaitError::TimedOut, libc::ETIMEDOUT),
            (WaitError::Closed, libc::EPIPE),
            (WaitError::ProducerGone, libc::EOWNERDEAD),
        ] {
            assert_eq!(Failure::from(error).errno, errno);
            assert!(meaning(errno).is_some());
        }
    }
}

//! Errors that say what was tried, on which object, why it failed, and what a person can do.

use std::io;

use camlane_core::{
    AttachError, CreateError, GeometryError, LayoutError, LoanError, PublishError, ReadError, StreamError,
};

/// Whatever can go wrong with a lane.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The name breaks a rule.
    #[error("{name:?} cannot be a lane's name: {reason}")]
    InvalidName {
        /// The name as given.
        name: String,
        /// The rule.
        reason: String,
    },
    /// A living producer has the lane.
    #[error("lane '{lane}' is taken by a living producer ({holder}): stop it first, or choose another name")]
    Taken {
        /// The lane.
        lane: String,
        /// Who, as far as can be known.
        holder: String,
    },
    /// There is no such lane.
    #[error("no lane '{lane}': {}", match running.as_slice() {
        [] => "no lane is running; start one, for example with: camlane publish LANE --from pattern".to_owned(),
        some => format!("running: {}", some.join(", ")),
    })]
    NoSuchLane {
        /// The lane asked for.
        lane: String,
        /// Lanes that there are.
        running: Vec<String>,
    },
    /// An object exists and is no lane that this version can use.
    #[error("{object} cannot be used: {source}")]
    Unusable {
        /// The object.
        object: String,
        /// Why.
        #[source]
        source: AttachError,
    },
    /// The memory of a lane in place holds one of another shape.
    #[error(
        "{object} holds a lane of another shape: ask for the same sizes, or remove it first: camlane rm {object}"
    )]
    OtherShape {
        /// Where.
        object: String,
    },
    /// All seats are taken by living consumers.
    #[error(
        "all {seats} seats of lane '{lane}' are taken ({holders}): stop a consumer, observe instead, or create the lane with more seats"
    )]
    SeatsTaken {
        /// The lane.
        lane: String,
        /// Its seats.
        seats: u32,
        /// Who has them.
        holders: String,
    },
    /// Shared memory is full.
    #[error(
        "{object} needs {needed} bytes of shared memory and {free} of {total} are free: remove stale lanes (camlane ls), use fewer \
         slots or seats{}, or enlarge it: `mount -o remount,size=4G /dev/shm`; in a container `docker run --shm-size=4g`",
        fits.as_ref().map(|fits| format!(" ({fits} would fit)")).unwrap_or_default()
    )]
    NoSpace {
        /// The object.
        object: String,
        /// Bytes needed.
        needed: u64,
        /// Bytes free.
        free: u64,
        /// Bytes in all.
        total: u64,
        /// The most seats and pins that would fit, in words, if any would.
        fits: Option<String>,
    },
    /// Permission was denied.
    #[error(
        "permission denied to {operation} {object} ({owner}): run as that user or group, or let its producer create the lane with group access"
    )]
    Permission {
        /// What was tried.
        operation: &'static str,
        /// The object.
        object: String,
        /// Its owner and mode, as far as can be seen.
        owner: String,
    },
    /// The handle was inherited through fork and belongs to the parent.
    #[error("this handle belongs to the parent process: open the lane again after fork")]
    Forked,
    /// The lane's geometry cannot be.
    #[error(transparent)]
    Geometry(#[from] GeometryError),
    /// The frame's layout cannot be.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// An object could not be written.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// No slot was free.
    #[error(transparent)]
    Loan(#[from] LoanError),
    /// A frame was refused.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// A frame could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A byte stream could not go on, or is none.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// The source's bytes do not fit where they should go.
    #[error("{what}: {needed} bytes are needed and {found} given")]
    Size {
        /// What was copied.
        what: &'static str,
        /// Bytes needed.
        needed: usize,
        /// Bytes given.
        found: usize,
    },
    /// The system refused something else.
    #[error("cannot {operation} {object}: {source}")]
    System {
        /// What was tried.
        operation: &'static str,
        /// On what.
        object: String,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// Turns the system's answer into the error that helps most.
    pub(crate) fn system(operation: &'static str, object: &str, errno: nix::Error) -> Self {
        let object = object.to_owned();
        match errno {
            nix::Error::EACCES | nix::Error::EPERM => {
                let owner = crate::shm::owner_of(&object);
                Self::Permission { operation, object, owner }
            }
            _ => Self::System { operation, object, source: errno.into() },
        }
    }

    /// The number of a program's exit status for this error: 3 no such lane, 1 anything else.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::NoSuchLane { .. } => 3,
            _ => 1,
        }
    }
}

/// Why a wait ended without a frame.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WaitError {
    /// No frame came in time; the producer lives. [`Consumer::pause`](crate::Consumer::pause) may know why none came.
    #[error("no frame came in time")]
    TimedOut,
    /// The producer ended the stream, and all its frames were read. Waiting on follows a producer that comes later.
    #[error("the producer ended the stream")]
    Closed,
    /// The producer died without ending the stream. Waiting on follows the one that takes its place.
    #[error("the producer is gone: it died without ending the stream")]
    ProducerGone,
    /// Something else.
    #[error(transparent)]
    Other(#[from] Error),
}

impl From<ReadError> for WaitError {
    fn from(error: ReadError) -> Self {
        Self::Other(error.into())
    }
}

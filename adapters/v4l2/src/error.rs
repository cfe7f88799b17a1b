//! What can go wrong with a camera: the operation, the device, why, and what a person can do.

use std::io;
use std::path::{Path, PathBuf};

use camlane_core::{LayoutError, PixelFormat};
use nix::errno::Errno;

use crate::path::MemoryPath;

/// Whatever can go wrong with a camera.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No camera is meant by this.
    #[error("no camera {wanted:?}: {}", match cameras.as_slice() {
        [] => "there is none here; `v4l2-ctl --list-devices` and `ls -l /dev/video*` show what the kernel knows".to_owned(),
        some => format!("there are {}", some.join(", ")),
    })]
    NoSuchCamera {
        /// What was asked for.
        wanted: String,
        /// The cameras that there are.
        cameras: Vec<String>,
    },
    /// The device exists and gives no pictures.
    #[error("{device:?} is no camera: {reason}")]
    NotACamera {
        /// The device.
        device: PathBuf,
        /// What it lacks.
        reason: &'static str,
    },
    /// The user may not open it.
    #[error(
        "permission denied to open {device:?}: join the group `video` (usermod -aG video USER), or run as root"
    )]
    Permission {
        /// The device.
        device: PathBuf,
    },
    /// Another program has it.
    #[error("{device:?} is busy ({operation}): {}", match holders.as_slice() {
        [] => "another program streams from it, which this user may not look up; try `fuser -v` as root".to_owned(),
        some => format!("open in {}; stop it first", some.join(", ")),
    })]
    Busy {
        /// The device.
        device: PathBuf,
        /// What was tried.
        operation: &'static str,
        /// Other processes that have it open, as far as proc(5) shows them.
        holders: Vec<String>,
    },
    /// The camera has none of the formats asked for.
    #[error("{device:?} has none of the formats {}; it has {}", names(wanted), offered.join(", "))]
    NoFormat {
        /// The device.
        device: PathBuf,
        /// Formats asked for.
        wanted: Vec<PixelFormat>,
        /// Formats that it has.
        offered: Vec<String>,
    },
    /// It has no such control.
    #[error("{device:?} has no control {name:?}; it has {}", offered.join(", "))]
    NoControl {
        /// The device.
        device: PathBuf,
        /// The name asked for.
        name: String,
        /// Names that it has.
        offered: Vec<String>,
    },
    /// The control does not take this value now.
    #[error("control {name} of {device:?} cannot be {value}: {reason}")]
    ControlValue {
        /// The device.
        device: PathBuf,
        /// The control.
        name: String,
        /// The value as given.
        value: String,
        /// What it takes instead.
        reason: String,
    },
    /// No way to get pictures into memory was left.
    #[error("{device:?} takes none of the memory paths that were allowed: {}", tried.join("; "))]
    NoMemoryPath {
        /// The device.
        device: PathBuf,
        /// Each path with the reason against it.
        tried: Vec<String>,
    },
    /// The memory for a frame is smaller than the driver wants it.
    #[error("a frame of {device:?} needs {needed} bytes and the memory given has {found}")]
    TooSmall {
        /// The device.
        device: PathBuf,
        /// Bytes needed.
        needed: usize,
        /// Bytes given.
        found: usize,
    },
    /// The driver or its settings changed into something that cannot be laid out.
    #[error("{device:?} describes its frames in a way that cannot be: {source}")]
    Layout {
        /// The device.
        device: PathBuf,
        /// What contradicts itself.
        #[source]
        source: LayoutError,
    },
    /// The device is gone: unplugged, or its driver was unloaded.
    #[error("{device:?} is gone (unplugged, or its driver was unloaded)")]
    Disconnected {
        /// The device.
        device: PathBuf,
    },
    /// The driver lost the stream. Stopping and starting again may help.
    #[error(
        "the driver of {device:?} reports that its stream broke down ({operation}): stop and start it again"
    )]
    StreamBroken {
        /// The device.
        device: PathBuf,
        /// What was tried.
        operation: &'static str,
    },
    /// The camera is there and gets no picture.
    #[error("{device:?} gets no signal ({source}): check its input and cable")]
    NoSignal {
        /// The device.
        device: PathBuf,
        /// Which kind of silence.
        #[source]
        source: io::Error,
    },
    /// A bus has no room for one more camera.
    #[error(
        "{device:?} does not get the bandwidth that it needs ({operation}): choose a smaller size, a lower rate or a compressed \
             format, or another USB port"
    )]
    NoBandwidth {
        /// The device.
        device: PathBuf,
        /// What was tried.
        operation: &'static str,
    },
    /// The system refused something else.
    #[error("cannot {operation} {device:?}: {source}")]
    System {
        /// What was tried.
        operation: &'static str,
        /// On what.
        device: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
}

fn names(formats: &[PixelFormat]) -> String {
    formats.iter().map(|format| format.name()).collect::<Vec<_>>().join(", ")
}

impl Error {
    /// Gives a refusal of the driver's the meaning that the kernel's documentation gives it.
    pub(crate) fn of(errno: Errno, operation: &'static str, device: &Path) -> Self {
        let device = device.to_owned();
        match errno {
            Errno::ENODEV | Errno::ENXIO | Errno::ESHUTDOWN => Self::Disconnected { device },
            Errno::EACCES | Errno::EPERM if operation == OPEN => Self::Permission { device },
            Errno::EBUSY => {
                let holders = crate::holders::of(&device);
                Self::Busy { device, operation, holders }
            }
            Errno::EIO | Errno::EPIPE | Errno::EPROTO | Errno::EILSEQ => {
                Self::StreamBroken { device, operation }
            }
            Errno::ENOLINK | Errno::ENODATA | Errno::ENOLCK => {
                Self::NoSignal { device, source: errno.into() }
            }
            Errno::ENOSPC => Self::NoBandwidth { device, operation },
            Errno::ENOTTY => Self::NotACamera { device, reason: "its driver does not know the call" },
            errno => Self::System { operation, device, source: errno.into() },
        }
    }

    /// Tells whether the device may come back by itself: look for it again, and open it anew.
    #[must_use]
    pub const fn is_gone(&self) -> bool {
        matches!(self, Self::Disconnected { .. } | Self::NoSuchCamera { .. })
    }

    /// Tells whether stopping and starting the same device may help.
    #[must_use]
    pub const fn is_broken_stream(&self) -> bool {
        matches!(self, Self::StreamBroken { .. })
    }
}

/// The operation after which a refusal concerns permissions.
pub(crate) const OPEN: &str = "open";

/// What stands in [`Error::NoMemoryPath`] against dma-bufs if the memory has none: who lends it may know why.
pub const NO_DMA_BUF: &str = "the memory has no dma-buf";

/// Why the driver refuses a way of sharing memory, in words for people.
pub(crate) fn refusal(path: MemoryPath, errno: Errno) -> String {
    let why = match errno {
        Errno::EINVAL => "the driver does not have it".to_owned(),
        Errno::EFAULT | Errno::EBADR | Errno::EOPNOTSUPP => "the driver cannot reach this memory".to_owned(),
        Errno::ENOMEM => "out of memory".to_owned(),
        errno => errno.desc().to_owned(),
    };
    format!("{path}: {why} ({errno:?})")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::unplugged(Errno::ENODEV, "read from", "is gone")]
    #[case::no_unit_behind_the_node(Errno::ENXIO, OPEN, "is gone")]
    #[case::shut_down(Errno::ESHUTDOWN, "start", "is gone")]
    #[case::not_allowed(Errno::EACCES, OPEN, "group `video`")]
    #[case::not_allowed_later_is_no_matter_of_groups(Errno::EACCES, "start", "cannot start")]
    #[case::busy(Errno::EBUSY, "start", "is busy (start)")]
    #[case::broken(Errno::EIO, "read from", "broke down")]
    #[case::broken_pipe(Errno::EPIPE, "start", "broke down")]
    #[case::babble_on_usb(Errno::EPROTO, "start", "broke down")]
    #[case::no_lock(Errno::ENOLCK, "start", "no signal")]
    #[case::no_link(Errno::ENOLINK, "start", "no signal")]
    #[case::no_bandwidth(Errno::ENOSPC, "start", "bandwidth")]
    #[case::not_v4l2(Errno::ENOTTY, "ask", "is no camera")]
    #[case::refused(Errno::EINVAL, "set the format of", "cannot set the format of")]
    #[case::no_memory(Errno::ENOMEM, "get buffers of", "Cannot allocate memory")]
    fn a_refusal_of_the_kernel_becomes_what_it_means(
        #[case] errno: Errno,
        #[case] operation: &'static str,
        #[case] expected: &str,
    ) {
        let text = Error::of(errno, operation, Path::new("/dev/null")).to_string();
        assert!(text.contains(expected) && text.contains("/dev/null"), "{text}");
    }

    #[rstest]
    #[case::gone(Errno::ENODEV, true, false)]
    #[case::broken(Errno::EIO, false, true)]
    #[case::refused(Errno::EINVAL, false, false)]
    fn what_helps_is_known(#[case] errno: Errno, #[case] gone: bool, #[case] broken: bool) {
        let error = Error::of(errno, "read from", Path::new("/dev/null"));
        assert_eq!((error.is_gone(), error.is_broken_stream()), (gone, broken));
    }

    #[test]
    fn a_refused_memory_path_says_its_name_and_the_errno() {
        assert_eq!(
            refusal(MemoryPath::UserPtr, Errno::EINVAL),
            "userptr: the driver does not have it (EINVAL)"
        );
    }
}

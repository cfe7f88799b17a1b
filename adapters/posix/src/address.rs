//! Where a lane is: under a name in shared memory, behind a socket that its producer serves, or in memory of any kind.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::error::Error;
use crate::in_place::{self, InPlace};
use crate::legacy::Key;
use crate::name::{LaneName, Part};
use crate::object;
use crate::shm::{self, Inode};

/// Where a lane is.
///
/// Written as text: `front-door` is a named lane; `sealed:front-door` a sealed one in the user's run-time directory;
/// `sealed:/run/cam/front-door.sock` a sealed one with its socket there; `file:PATH` and `sysv:KEY` (as `ipcs -m` shows
/// keys) lanes in place: in a regular file, which stays when all ends are gone, and in a System V segment.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Address {
    pub(crate) name: LaneName,
    pub(crate) place: Place,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Place {
    Shm,
    Socket(PathBuf),
    InPlace(InPlace),
}

const SEALED: &str = "sealed:";
const FILE: &str = "file:";
const SYSV: &str = "sysv:";
const ENDING: &str = "sock";

impl Address {
    /// The lane's name.
    pub const fn name(&self) -> &LaneName {
        &self.name
    }

    /// The socket of a sealed lane; `None` for any other.
    pub fn socket(&self) -> Option<&Path> {
        match &self.place {
            Place::Socket(path) => Some(path),
            Place::Shm | Place::InPlace(_) => None,
        }
    }

    /// The object that is there now, of a lane that has one.
    pub(crate) fn inode(&self) -> Option<Inode> {
        match &self.place {
            Place::Shm => shm::inode_of_name(&self.name.object(Part::Data)),
            Place::Socket(_) => None,
            Place::InPlace(place) => place.inode(),
        }
    }

    /// Tells whether a named lane is being made anew. Only who holds the producer's lock does that, or died over it.
    pub(crate) fn is_being_made(&self) -> bool {
        let is_staged = |part| shm::inode_of_name(&object::staged(&self.name.object(part))).is_some();
        self.place == Place::Shm && (is_staged(Part::Seats) || is_staged(Part::Data))
    }

    /// A lane in a file; its name without its ending is the lane's.
    fn in_file(path: &str) -> Result<Self, Error> {
        let reason = "it names no file".to_owned();
        let place = in_place::file(path).ok_or(Error::InvalidName { name: path.to_owned(), reason })?;
        let stem = Path::new(path).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        Ok(Self { name: LaneName::new(stem)?, place: Place::InPlace(place) })
    }

    fn in_segment(key: &str) -> Result<Self, Error> {
        let wrong = |error: crate::legacy::Error| Error::InvalidName {
            name: key.to_owned(),
            reason: error.to_string(),
        };
        let key: Key = key.parse().map_err(wrong)?;
        Ok(Self {
            name: LaneName::new(&format!("sysv-{key}"))?,
            place: Place::InPlace(InPlace::Segment(key)),
        })
    }

    /// A sealed lane with its socket at `path`; the file's name without its ending is the lane's.
    ///
    /// # Errors
    /// [`Error::InvalidName`] if that cannot be a lane's name.
    pub fn sealed_at(path: &Path) -> Result<Self, Error> {
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        Ok(Self { name: LaneName::new(stem)?, place: Place::Socket(path.to_owned()) })
    }
}

impl FromStr for Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if let Some(path) = text.strip_prefix(FILE) {
            return Self::in_file(path);
        } else if let Some(key) = text.strip_prefix(SYSV) {
            return Self::in_segment(key);
        }
        match text.strip_prefix(SEALED) {
            None => Ok(Self { name: LaneName::new(text)?, place: Place::Shm }),
            Some(path) if path.contains('/') => Self::sealed_at(Path::new(path)),
            Some(name) => {
                let name = LaneName::new(name)?;
                Ok(Self { place: Place::Socket(usual_socket(&name)), name })
            }
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Shm => self.name.fmt(f),
            Place::InPlace(place) => place.fmt(f),
            Place::Socket(path) if *path == usual_socket(&self.name) => write!(f, "{SEALED}{}", self.name),
            Place::Socket(path) => write!(f, "{SEALED}{}", path.display()),
        }
    }
}

/// The socket of a sealed lane that is given by its name alone.
fn usual_socket(name: &LaneName) -> PathBuf {
    socket_dir().join(format!("{name}.{ENDING}"))
}

/// Where this user's sealed lanes have their sockets.
pub(crate) fn socket_dir() -> PathBuf {
    match std::env::var_os("XDG_RUNTIME_DIR") {
        Some(dir) if Path::new(&dir).is_absolute() => Path::new(&dir).join("camlane"),
        _ if nix::unistd::geteuid().is_root() => PathBuf::from("/run/camlane"),
        _ => PathBuf::from(format!("/tmp/camlane-{}", nix::unistd::geteuid())),
    }
}

/// The sealed lanes that have a socket in this user's run-time directory.
pub(crate) fn sealed_lanes() -> Vec<Address> {
    let Ok(entries) = std::fs::read_dir(socket_dir()) else { return Vec::new() };
    let paths = entries.flatten().map(|entry| entry.path());
    paths
        .filter(|path| path.extension().is_some_and(|e| e == ENDING))
        .flat_map(|p| Address::sealed_at(&p))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::named("front-door", None)]
    #[case::sealed_at_a_path("sealed:/run/cam/left.sock", Some("/run/cam/left.sock"))]
    #[case::in_a_file("file:/var/tmp/left.lane", None)]
    #[case::in_a_file_here("file:left", None)]
    #[case::in_a_segment("sysv:0x00001234", None)]
    fn an_address_is_read_and_written(#[case] text: &str, #[case] socket: Option<&str>) {
        let address: Address = text.parse().unwrap();
        assert_eq!(address.socket(), socket.map(Path::new));
        assert_eq!(address.to_string(), text);
    }

    #[rstest]
    #[case::no_file("file:")]
    #[case::a_folder("file:/var/tmp/..")]
    #[case::a_name_that_is_none("file:/var/tmp/front door")]
    #[case::no_key("sysv:")]
    #[case::a_private_key("sysv:0")]
    fn what_is_no_address_is_refused(#[case] text: &str) {
        assert!(matches!(text.parse::<Address>(), Err(Error::InvalidName { .. })));
    }

    #[test]
    fn a_bare_sealed_name_lies_in_the_run_time_directory() {
        let address: Address = "sealed:left".parse().unwrap();
        assert_eq!(address.socket().unwrap(), socket_dir().join("left.sock"));
        assert_eq!(address.to_string(), "sealed:left");
        let other = format!("sealed:{}", socket_dir().join("left.socket").display());
        assert_eq!(other.parse::<Address>().unwrap().to_string(), other);
    }
}

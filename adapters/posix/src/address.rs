//! Where a lane is: under a name in shared memory, or behind a socket that its producer serves.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::error::Error;
use crate::name::LaneName;

/// Where a lane is.
///
/// Written as text: `front-door` is a named lane; `sealed:front-door` a sealed one in the user's run-time directory;
/// `sealed:/run/cam/front-door.sock` a sealed one with its socket there.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Address {
    pub(crate) name: LaneName,
    pub(crate) place: Place,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Place {
    Shm,
    Socket(PathBuf),
}

const SEALED: &str = "sealed:";
const ENDING: &str = "sock";

impl Address {
    /// The lane's name.
    pub const fn name(&self) -> &LaneName {
        &self.name
    }

    /// The socket of a sealed lane; `None` for a named one.
    pub fn socket(&self) -> Option<&Path> {
        match &self.place {
            Place::Shm => None,
            Place::Socket(path) => Some(path),
        }
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
    fn an_address_is_read_and_written(#[case] text: &str, #[case] socket: Option<&str>) {
        let address: Address = text.parse().unwrap();
        assert_eq!(address.socket(), socket.map(Path::new));
        assert_eq!(address.to_string(), text);
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

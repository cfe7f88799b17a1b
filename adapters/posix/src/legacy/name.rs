//! Names of objects, as C, Python and the shell write them.

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::legacy::{Error, Identity};
use crate::shm::SHM_DIR;

/// Longest name of a shared-memory object (shm_open(3): NAME_MAX).
const LONGEST: usize = 255;

/// The name of a shared-memory object or of a regular file.
///
/// `/frames`, `frames` and `/dev/shm/frames` are one object: what `shm_open` wants, what people type, and what Python's
/// `os.open` needs. Whatever has a slash elsewhere is a file: `./frames`, `/var/tmp/frames`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ObjectName {
    path: PathBuf,
}

impl ObjectName {
    /// The path under which the system has it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Tells whether it is a shared-memory object, not a regular file.
    pub fn is_shm(&self) -> bool {
        self.path.parent() == Some(Path::new(SHM_DIR))
    }

    /// What the name stands for now.
    pub fn identity(&self) -> Option<Identity> {
        let found = std::fs::symlink_metadata(&self.path).ok()?;
        Some(Identity::new(found.dev(), found.ino()))
    }

    /// The file with that path, wherever it is.
    pub(crate) fn of_file(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// The name under which an object is made before it gets its own.
    pub(crate) fn staged(&self) -> PathBuf {
        let file = self.path.file_name().unwrap_or_default().to_string_lossy();
        self.path.with_file_name(format!(".{file}.camlane-new"))
    }
}

impl FromStr for ObjectName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let refuse = |reason| Err(Error::InvalidName { name: text.to_owned(), reason });
        if text.contains('\0') {
            return refuse("it has a NUL inside");
        }
        let inside = text.strip_prefix(SHM_DIR).and_then(|rest| rest.strip_prefix('/'));
        let bare = inside.unwrap_or_else(|| text.strip_prefix('/').unwrap_or(text));
        if bare.is_empty() || matches!(bare, "." | "..") || text.ends_with('/') {
            return refuse("it names no object");
        }
        if bare.contains('/') {
            return match Path::new(text).file_name() {
                Some(_) => Ok(Self { path: PathBuf::from(text) }),
                None => refuse("it names a directory"),
            };
        }
        if bare.len() > LONGEST {
            return refuse("it is longer than 255 bytes");
        }
        Ok(Self { path: Path::new(SHM_DIR).join(bare) })
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.strip_prefix(SHM_DIR) {
            Ok(name) if self.is_shm() => write!(f, "/{}", name.display()),
            _ => write!(f, "{}", self.path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::as_in_c("/mmaptest_shm")]
    #[case::as_typed("mmaptest_shm")]
    #[case::as_in_python("/dev/shm/mmaptest_shm")]
    fn one_object_has_three_spellings(#[case] text: &str) {
        let name: ObjectName = text.parse().unwrap();
        assert_eq!(name.path(), Path::new("/dev/shm/mmaptest_shm"));
        assert_eq!((name.to_string().as_str(), name.is_shm()), ("/mmaptest_shm", true));
    }

    #[test]
    fn a_name_may_have_a_blank() {
        assert_eq!("/Posix IPC".parse::<ObjectName>().unwrap().path(), Path::new("/dev/shm/Posix IPC"));
    }

    #[rstest]
    #[case::relative("./mmaptest")]
    #[case::in_a_folder("tmp/mmaptest")]
    #[case::absolute("/var/tmp/mmaptest")]
    #[case::in_a_folder_of_shm("/dev/shm/folder/mmaptest")]
    fn a_slash_elsewhere_makes_it_a_file(#[case] text: &str) {
        let name: ObjectName = text.parse().unwrap();
        assert_eq!((name.path(), name.is_shm()), (Path::new(text), false));
        assert_eq!(name.to_string(), text);
    }

    #[rstest]
    #[case::nothing("")]
    #[case::slash("/")]
    #[case::dots("/..")]
    #[case::folder("tmp/")]
    #[case::nul("a\0b")]
    #[case::too_long(&"x".repeat(256))]
    fn what_names_nothing_is_refused(#[case] text: &str) {
        assert!(matches!(text.parse::<ObjectName>(), Err(Error::InvalidName { .. })));
    }
}

//! Lane names, and the shared-memory objects that belong to one.

use std::fmt;

use crate::error::Error;

/// Longest name of a lane, in bytes: it must fit its field in the header.
pub const MAX_NAME: usize = camlane_core::layout::NAME_LEN;

/// The name of a lane: 1 to 64 of `A-Z a-z 0-9 _ -`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneName(String);

impl LaneName {
    /// Checks a name. A leading `/`, as `shm_open` likes it, is taken off.
    ///
    /// # Errors
    /// [`Error::InvalidName`] says which rule it breaks.
    pub fn new(name: &str) -> Result<Self, Error> {
        let bare = name.strip_prefix('/').unwrap_or(name);
        let reason = if bare.is_empty() {
            "it is empty".to_owned()
        } else if bare.len() > MAX_NAME {
            format!("it has {} bytes, at most {MAX_NAME} are allowed", bare.len())
        } else if let Some(odd) =
            bare.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-')))
        {
            format!("{odd:?} is not allowed, only letters, digits, '_' and '-'")
        } else {
            return Ok(Self(bare.to_owned()));
        };
        Err(Error::InvalidName { name: name.to_owned(), reason })
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn object(&self, part: Part) -> String {
        format!("/{PREFIX}{}{}", self.0, part.suffix())
    }

    /// The lane that a file in `/dev/shm` is the DATA object of.
    pub(crate) fn of_data_file(file: &str) -> Option<Self> {
        let name = file.strip_prefix(PREFIX)?.strip_suffix(Part::Data.suffix())?;
        Self::new(name).ok()
    }
}

impl fmt::Display for LaneName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for LaneName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

const PREFIX: &str = "camlane.";

/// The three objects of a named lane.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Part {
    /// Header, descriptors and pixels: written by the producer, one inode per incarnation.
    Data,
    /// One page per consumer, one inode per incarnation.
    Seats,
    /// Byte 0: the producer is alive; byte i + 1: the consumer in seat i is. Never replaced.
    Lock,
}

impl Part {
    const fn suffix(self) -> &'static str {
        match self {
            Self::Data => ".data",
            Self::Seats => ".seats",
            Self::Lock => ".lock",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::plain("front-door", "/camlane.front-door.data")]
    #[case::as_shm_open_likes_it("/cam_0", "/camlane.cam_0.data")]
    fn a_name_gives_its_objects(#[case] name: &str, #[case] object: &str) {
        let name = LaneName::new(name).unwrap();
        assert_eq!(name.object(Part::Data), object);
        assert_eq!(LaneName::of_data_file(&object[1..]), Some(name));
    }

    #[rstest]
    #[case::empty("")]
    #[case::slash("a/b")]
    #[case::dots("..")]
    #[case::blank("front door")]
    #[case::too_long(&"x".repeat(65))]
    #[case::not_ascii("kamera-\u{fc}")]
    fn a_bad_name_is_refused_with_its_reason(#[case] name: &str) {
        assert!(matches!(LaneName::new(name), Err(Error::InvalidName { .. })));
    }
}

//! A pause in a lane's frames: told by its producer, shown to its readers.

use std::fmt;
use std::time::Duration;

use camlane_core::{self as core, Region};

use crate::clock;

/// Why a producer that lives gives no frames. An open set: a number that is not known here is a reason all the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PauseReason(pub u16);

impl PauseReason {
    /// The camera was unplugged, and is waited for.
    pub const UNPLUGGED: Self = Self(1);
    /// Another program has the camera.
    pub const BUSY: Self = Self(2);
    /// The camera failed, and is started again.
    pub const FAILED: Self = Self(3);
    /// The camera gets no signal.
    pub const NO_SIGNAL: Self = Self(4);
    /// The machine slept, and the camera is started again.
    pub const SUSPENDED: Self = Self(5);
    /// The camera gives no pictures, and does not say why.
    pub const SILENT: Self = Self(6);
    /// The producer was told to make a pause.
    pub const INTENDED: Self = Self(7);

    /// All that are known here.
    pub const ALL: [Self; 7] = [
        Self::UNPLUGGED,
        Self::BUSY,
        Self::FAILED,
        Self::NO_SIGNAL,
        Self::SUSPENDED,
        Self::SILENT,
        Self::INTENDED,
    ];

    /// Names the reason in a word, for programs.
    pub const fn name(self) -> &'static str {
        match self.0 {
            1 => "unplugged",
            2 => "busy",
            3 => "failed",
            4 => "no-signal",
            5 => "suspended",
            6 => "silent",
            7 => "intended",
            _ => "unknown",
        }
    }
}

/// Names the reason in a sentence, for people.
impl fmt::Display for PauseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            1 => f.pad("the camera is unplugged"),
            2 => f.pad("another program has the camera"),
            3 => f.pad("the camera failed and is started again"),
            4 => f.pad("the camera gets no signal"),
            5 => f.pad("the machine slept and the camera is started again"),
            6 => f.pad("the camera gives no pictures"),
            7 => f.pad("the producer makes a pause"),
            other => write!(f, "the producer gives reason {other}"),
        }
    }
}

/// Why a lane's producer, which lives, gives no frames: a camera that was unplugged, say.
///
/// Says what the producer said last. Ask when no frame came: it does not tell whether frames come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Pause {
    /// Why.
    pub reason: PauseReason,
    /// The system's error behind it, if there is one: 19 is ENODEV.
    pub errno: Option<i32>,
    /// How long it has lasted.
    pub lasted: Duration,
}

impl Pause {
    pub(crate) fn of(region: &Region<'_>) -> Option<Self> {
        region.pause().map(|told| Self::at(told, now_ms()))
    }

    fn at(told: core::Pause, now_ms: u32) -> Self {
        let errno = (told.errno != 0).then_some(told.errno.into());
        let lasted = Duration::from_millis(now_ms.wrapping_sub(told.since_ms).into());
        Self { reason: PauseReason(told.reason), errno, lasted }
    }
}

impl fmt::Display for Pause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.reason)?;
        if let Some(errno) = self.errno {
            write!(f, " ({})", nix::Error::from_raw(errno))?;
        }
        write!(f, ", for {} s", self.lasted.as_secs())
    }
}

/// The clock of a pause: it goes on while the machine sleeps, and comes round after seven weeks.
pub(crate) fn now_ms() -> u32 {
    (clock::boottime_ns() / 1_000_000) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_a_pause_survives_the_clocks_wrap() {
        let told = core::Pause { reason: 1, errno: 0, since_ms: u32::MAX - 499 };
        assert_eq!(Pause::at(told, 500).lasted, Duration::from_secs(1));
    }

    #[test]
    fn every_reason_has_a_word_and_a_sentence_and_an_unknown_one_its_number() {
        assert_eq!(PauseReason::ALL, std::array::from_fn(|at| PauseReason(at as u16 + 1)));
        let unknown =
            |reason: &PauseReason| reason.name() == "unknown" || reason.to_string().contains("reason");
        assert!(!PauseReason::ALL.iter().any(unknown));
        assert_eq!(PauseReason(900).to_string(), "the producer gives reason 900");
    }
}

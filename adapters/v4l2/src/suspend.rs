//! Noticing that the machine slept: nobody tells a program, and a camera may be silent after it.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Tells when the machine has slept.
#[derive(Clone, Copy, Debug)]
pub struct Suspends {
    /// Time slept since the machine started, when it was last looked at.
    slept: Duration,
}

impl Suspends {
    /// The two clocks are not read at one moment: less than this is no sleep.
    const LEAST: Duration = Duration::from_millis(100);

    /// Begins to watch.
    #[must_use]
    pub fn new() -> Self {
        Self { slept: slept() }
    }

    /// Tells whether the machine slept since this was last asked.
    pub fn happened(&mut self) -> bool {
        self.noticed(slept())
    }

    fn noticed(&mut self, slept: Duration) -> bool {
        let grown = slept.saturating_sub(self.slept) >= Self::LEAST;
        if grown {
            self.slept = slept;
        }
        grown
    }
}

impl Default for Suspends {
    fn default() -> Self {
        Self::new()
    }
}

/// CLOCK_BOOTTIME goes on while the machine sleeps, CLOCK_MONOTONIC does not.
fn slept() -> Duration {
    let read = |clock| clock_gettime(clock).map_or(Duration::ZERO, Duration::from);
    let awake = read(ClockId::CLOCK_MONOTONIC); // the earlier of the two, so that the difference is never negative
    read(ClockId::CLOCK_BOOTTIME).saturating_sub(awake)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleep_is_noticed_once_and_a_late_look_at_a_clock_is_none() {
        let mut suspends = Suspends { slept: Duration::from_secs(10) };
        assert!(!suspends.noticed(Duration::from_millis(10_099)));
        assert!(suspends.noticed(Duration::from_secs(12)));
        assert!(!suspends.noticed(Duration::from_secs(12)));
        assert!(!suspends.noticed(Duration::from_millis(11_990)));
    }
}

//! The system's clocks, in nanoseconds.

use std::time::Duration;

use camlane_core::ClockOffsets;
use nix::time::{ClockId, clock_gettime};

/// CLOCK_MONOTONIC: what `publish_ns` is measured on.
pub fn monotonic() -> Duration {
    read(ClockId::CLOCK_MONOTONIC)
}

/// CLOCK_MONOTONIC in nanoseconds.
pub fn monotonic_ns() -> u64 {
    monotonic().as_nanos() as u64
}

pub(crate) fn boottime_ns() -> u64 {
    read(ClockId::CLOCK_BOOTTIME).as_nanos() as u64
}

/// Reads the clocks one after the other and notes how they stand to each other.
pub(crate) fn offsets() -> ClockOffsets {
    let monotonic = monotonic_ns();
    let since = |clock: ClockId, base: u64| (read(clock).as_nanos() as i64).wrapping_sub(base.cast_signed());
    let realtime = read(ClockId::CLOCK_REALTIME).as_nanos() as u64;
    ClockOffsets {
        boottime_minus_monotonic: since(ClockId::CLOCK_BOOTTIME, monotonic),
        realtime_minus_monotonic: realtime.cast_signed().wrapping_sub(monotonic.cast_signed()),
        tai_minus_realtime: since(ClockId::CLOCK_TAI, realtime),
        sampled_at: monotonic,
    }
}

fn read(clock: ClockId) -> Duration {
    // These clocks exist on every Linux that has what else is needed here.
    clock_gettime(clock).map_or(Duration::ZERO, Duration::from)
}

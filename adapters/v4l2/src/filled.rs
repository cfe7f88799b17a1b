//! What a dequeued buffer says about its frame, and what its sequence says about lost ones.

use camlane_core::{Clock, Flags, Reference};

use crate::sys::{self, field, flag};

/// The sensor's count of frames over time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sequence {
    last: Option<u32>,
}

/// What a number tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// So many frames were lost before this one; 0 is the usual.
    Lost(u32),
    /// The number of the frame before, again: drivers that count by the clock do that under load.
    Repeated,
    /// A number from before: the driver began anew.
    Restarted,
}

impl Sequence {
    pub(crate) fn step(&mut self, number: u32) -> Step {
        let Some(last) = self.last.replace(number) else { return Step::Lost(0) };
        match number.wrapping_sub(last) {
            0 => Step::Repeated,
            ahead if ahead < 1 << 31 => Step::Lost(ahead - 1),
            _ => Step::Restarted,
        }
    }
}

/// When a frame was taken, and what that means.
pub(crate) fn moment(buffer: &sys::Buffer, now_ns: u64) -> (u64, Clock, Reference) {
    let stamp = &buffer.timestamp;
    #[allow(clippy::unnecessary_cast, clippy::cast_lossless, reason = "32 bits wide on some processors")]
    let ns = (stamp.tv_sec as i64).cast_unsigned() * 1_000_000_000
        + (stamp.tv_usec as i64).cast_unsigned() * 1_000;
    if ns == 0 {
        return (now_ns, Clock::MONOTONIC, Reference::DEQUEUED); // the driver does not know
    }
    let clock = match buffer.flags & flag::TIMESTAMP_MASK {
        flag::TIMESTAMP_MONOTONIC => Clock::MONOTONIC,
        _ => Clock::UNKNOWN, // unknown, or copied from whoever wrote into the device
    };
    let reference = match buffer.flags & flag::TSTAMP_SRC_MASK {
        flag::TSTAMP_SRC_EOF => Reference::END_OF_FRAME,
        flag::TSTAMP_SRC_SOE => Reference::START_OF_EXPOSURE,
        _ => Reference::UNKNOWN,
    };
    (ns, clock, reference)
}

/// The facts of a frame that the driver knows.
pub(crate) fn flags(buffer: &sys::Buffer, intra_only: bool) -> Flags {
    let mut flags = Flags::default();
    let mut add = |bit: u32, meaning| {
        if buffer.flags & bit != 0 {
            flags |= meaning;
        }
    };
    add(flag::ERROR, Flags::CORRUPT);
    add(flag::KEYFRAME, Flags::KEY);
    add(flag::PFRAME | flag::BFRAME, Flags::DELTA);
    add(flag::LAST, Flags::END_OF_STREAM);
    flags |= match buffer.field {
        field::TOP => Flags::TOP_FIELD,
        field::BOTTOM => Flags::BOTTOM_FIELD,
        field::INTERLACED | field::INTERLACED_TB | field::INTERLACED_BT => Flags::INTERLACED,
        _ => Flags::default(),
    };
    if intra_only {
        flags |= Flags::KEY;
    }
    flags
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::one_after_the_other(&[0, 1, 2], &[Step::Lost(0), Step::Lost(0), Step::Lost(0)])]
    #[case::the_first_is_never_late(&[7], &[Step::Lost(0)])]
    #[case::a_gap(&[0, 3, 4], &[Step::Lost(0), Step::Lost(2), Step::Lost(0)])]
    #[case::over_the_wrap(&[u32::MAX, 1], &[Step::Lost(0), Step::Lost(1)])]
    #[case::twice_the_same(&[5, 5, 6], &[Step::Lost(0), Step::Repeated, Step::Lost(0)])]
    #[case::begun_anew(&[100, 0, 1], &[Step::Lost(0), Step::Restarted, Step::Lost(0)])]
    fn lost_frames_are_what_is_missing_between_two_numbers(#[case] numbers: &[u32], #[case] steps: &[Step]) {
        let mut sequence = Sequence::default();
        assert_eq!(numbers.iter().map(|&number| sequence.step(number)).collect::<Vec<_>>(), steps);
    }

    fn stamped(tv_sec: i64, tv_usec: i64, flags: u32) -> sys::Buffer {
        #[allow(clippy::unnecessary_cast, reason = "32 bits wide on some processors")]
        let timestamp =
            libc::timeval { tv_sec: tv_sec as libc::time_t, tv_usec: tv_usec as libc::suseconds_t };
        sys::Buffer { timestamp, flags, ..sys::Buffer::zeroed() }
    }

    #[rstest]
    #[case::end_of_frame(stamped(2, 5, 0x2000), (2_000_005_000, Clock::MONOTONIC, Reference::END_OF_FRAME))]
    #[case::start_of_exposure(stamped(2, 5, 0x1_2000), (2_000_005_000, Clock::MONOTONIC, Reference::START_OF_EXPOSURE))]
    #[case::no_clock_told(stamped(2, 0, 0), (2_000_000_000, Clock::UNKNOWN, Reference::END_OF_FRAME))]
    #[case::copied_from_a_writer(stamped(2, 0, 0x4000), (2_000_000_000, Clock::UNKNOWN, Reference::END_OF_FRAME))]
    #[case::a_reference_of_tomorrow(stamped(2, 0, 0x7_2000), (2_000_000_000, Clock::MONOTONIC, Reference::UNKNOWN))]
    #[case::no_stamp(stamped(0, 0, 0x2000), (77, Clock::MONOTONIC, Reference::DEQUEUED))]
    fn a_time_keeps_its_clock_and_its_meaning(
        #[case] buffer: sys::Buffer,
        #[case] expected: (u64, Clock, Reference),
    ) {
        assert_eq!(moment(&buffer, 77), expected);
    }

    #[rstest]
    #[case::plain(0x2000, 1, false, Flags(0))]
    #[case::damaged(0x40, 1, false, Flags::CORRUPT)]
    #[case::key(0x8, 1, false, Flags::KEY)]
    #[case::predicted(0x10, 1, false, Flags::DELTA)]
    #[case::predicted_both_ways(0x20, 1, false, Flags::DELTA)]
    #[case::last(0x10_0000, 1, false, Flags::END_OF_STREAM)]
    #[case::a_jpeg_needs_no_other(0, 1, true, Flags::KEY)]
    #[case::top_field(0, 2, false, Flags::TOP_FIELD)]
    #[case::bottom_field(0, 3, false, Flags::BOTTOM_FIELD)]
    #[case::both_fields(0, 4, false, Flags::INTERLACED)]
    #[case::both_fields_bottom_first(0, 9, false, Flags::INTERLACED)]
    fn the_drivers_flags_become_the_lanes(
        #[case] bits: u32,
        #[case] field: u32,
        #[case] intra_only: bool,
        #[case] expected: Flags,
    ) {
        let buffer = sys::Buffer { flags: bits, field, ..sys::Buffer::zeroed() };
        assert_eq!(flags(&buffer, intra_only), expected);
    }
}

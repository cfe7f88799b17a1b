//! What a lane says about itself before the first frame, and what is needed to make one.

use heapless::String;

use crate::error::CreateError;
use crate::format::PixelFormat;
use crate::geometry::Shape;
use crate::layout::{Info, NAME_LEN};

/// All that [`Region::create`](crate::Region::create) writes.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct LaneSpec<'s> {
    /// The lane's shape.
    pub shape: Shape,
    /// Random, unlike any earlier run's: seats and data of one run carry the same.
    pub incarnation: [u32; 4],
    /// Now, in nanoseconds of CLOCK_BOOTTIME; 0 if there is no clock.
    pub created_ns: u64,
    /// What the lane says about itself.
    pub info: InfoSpec<'s>,
}

impl LaneSpec<'_> {
    /// A lane that says nothing about itself, for a program that has both ends.
    pub const fn anonymous(shape: Shape) -> Self {
        Self { shape, incarnation: [0; 4], created_ns: 0, info: InfoSpec::NOTHING }
    }
}

/// Texts and numbers for people and viewers; the frames themselves are authoritative.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct InfoSpec<'s> {
    /// The lane's name, at most 64 bytes.
    pub name: &'s str,
    /// The camera's optical frame, at most 64 bytes.
    pub frame_id: &'s str,
    /// Where the calibration is: a URI or a hash, at most 64 bytes.
    pub calibration: &'s str,
    /// Format that most frames will have.
    pub format: PixelFormat,
    /// Width and height in pixels that most frames will have.
    pub size: (u32, u32),
    /// Frames per second as a fraction; 0/1: variable.
    pub rate: (u32, u32),
    /// The creator's process and when it started, in clock ticks since boot.
    pub creator: (u32, u64),
    /// The system's boot id.
    pub boot_id: [u8; 16],
    /// How the clocks stood.
    pub clocks: ClockOffsets,
}

impl InfoSpec<'_> {
    /// Says nothing.
    pub const NOTHING: Self = Self {
        name: "",
        frame_id: "",
        calibration: "",
        format: PixelFormat::OPAQUE,
        size: (0, 0),
        rate: (0, 1),
        creator: (0, 0),
        boot_id: [0; 16],
        clocks: ClockOffsets {
            boottime_minus_monotonic: 0,
            realtime_minus_monotonic: 0,
            tai_minus_realtime: 0,
            sampled_at: 0,
        },
    };

    pub(crate) fn to_bytes(self) -> Result<Info, CreateError> {
        Ok(Info {
            name: padded(self.name)?,
            frame_id: padded(self.frame_id)?,
            calibration: padded(self.calibration)?,
            format: self.format.0,
            width: self.size.0,
            height: self.size.1,
            rate_numerator: self.rate.0,
            rate_denominator: self.rate.1,
            creator_pid: self.creator.0,
            creator_started: self.creator.1.into(),
            boot_id: self.boot_id,
            boottime_minus_monotonic: self.clocks.boottime_minus_monotonic.cast_unsigned().into(),
            realtime_minus_monotonic: self.clocks.realtime_minus_monotonic.cast_unsigned().into(),
            tai_minus_realtime: self.clocks.tai_minus_realtime.cast_unsigned().into(),
            clocks_sampled_at: self.clocks.sampled_at.into(),
            _reserved: [0; 11],
            crc: 0,
        })
    }
}

fn padded(text: &str) -> Result<[u8; NAME_LEN], CreateError> {
    let mut field = [0; NAME_LEN];
    let Some(room) = field.get_mut(..text.len()) else {
        return Err(CreateError::TextTooLong { len: text.len() });
    };
    room.copy_from_slice(text.as_bytes());
    Ok(field)
}

/// How the clocks of the system stood to each other at one moment, in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ClockOffsets {
    /// CLOCK_BOOTTIME minus CLOCK_MONOTONIC.
    pub boottime_minus_monotonic: i64,
    /// CLOCK_REALTIME minus CLOCK_MONOTONIC.
    pub realtime_minus_monotonic: i64,
    /// CLOCK_TAI minus CLOCK_REALTIME.
    pub tai_minus_realtime: i64,
    /// CLOCK_MONOTONIC when they were read; 0: never.
    pub sampled_at: u64,
}

/// What a lane says about itself, as a reader finds it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[allow(missing_docs, reason = "the fields of InfoSpec")]
pub struct LaneInfo {
    pub name: String<NAME_LEN>,
    pub frame_id: String<NAME_LEN>,
    pub calibration: String<NAME_LEN>,
    pub format: PixelFormat,
    pub size: (u32, u32),
    pub rate: (u32, u32),
    pub creator: (u32, u64),
    pub boot_id: [u8; 16],
    pub clocks: ClockOffsets,
}

impl LaneInfo {
    pub(crate) fn from_bytes(info: &Info) -> Self {
        Self {
            name: text(&info.name),
            frame_id: text(&info.frame_id),
            calibration: text(&info.calibration),
            format: PixelFormat(info.format),
            size: (info.width, info.height),
            rate: (info.rate_numerator, info.rate_denominator),
            creator: (info.creator_pid, info.creator_started.into()),
            boot_id: info.boot_id,
            clocks: ClockOffsets {
                boottime_minus_monotonic: u64::from(info.boottime_minus_monotonic).cast_signed(),
                realtime_minus_monotonic: u64::from(info.realtime_minus_monotonic).cast_signed(),
                tai_minus_realtime: u64::from(info.tai_minus_realtime).cast_signed(),
                sampled_at: info.clocks_sampled_at.into(),
            },
        }
    }
}

/// The text before the first NUL, as far as it is UTF-8.
fn text(field: &[u8; NAME_LEN]) -> String<NAME_LEN> {
    let field = field.split(|&byte| byte == 0).next().unwrap_or_default();
    let valid = match core::str::from_utf8(field) {
        Ok(text) => text,
        Err(error) => core::str::from_utf8(&field[..error.valid_up_to()]).unwrap_or_default(),
    };
    String::try_from(valid).unwrap_or_default()
}

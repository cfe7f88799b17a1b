//! What a frame says about itself, as values; the words that carry it are `layout::Descriptor`.

use core::fmt;
use core::ops::{BitOr, BitOrAssign};

use crate::format::{FrameLayout, PixelFormat, Plane};
use crate::layout::Descriptor;
use crate::sync::{MetaWord, Relaxed};

/// Facts about one frame, as bits. Unknown bits are kept.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(transparent)]
pub struct Flags(pub u32);

impl Flags {
    /// A key frame: decoding can start here.
    pub const KEY: Self = Self(1 << 0);
    /// Needs earlier frames to be decoded.
    pub const DELTA: Self = Self(1 << 1);
    /// The driver reported an error in this frame's data.
    pub const CORRUPT: Self = Self(1 << 2);
    /// The camera has not settled yet.
    pub const STARTUP: Self = Self(1 << 3);
    /// The frame was larger than its slot and is cut.
    pub const TRUNCATED: Self = Self(1 << 4);
    /// There is a gap before this frame.
    pub const DISCONTINUITY: Self = Self(1 << 5);
    /// Top field only.
    pub const TOP_FIELD: Self = Self(1 << 6);
    /// Bottom field only.
    pub const BOTTOM_FIELD: Self = Self(1 << 7);
    /// Both fields, interleaved.
    pub const INTERLACED: Self = Self(1 << 8);
    /// The last frame of the stream.
    pub const END_OF_STREAM: Self = Self(1 << 9);
    /// The same picture as the frame before.
    pub const DUPLICATE: Self = Self(1 << 10);
    /// The producer copied once to get the pixels into the slot, instead of capturing there.
    pub const COPIED: Self = Self(1 << 11);
    /// Parameter sets are inside (H.264, H.265).
    pub const PARAMETERS: Self = Self(1 << 12);
    /// A camera's driver wrote it into the slot through a dma-buf.
    pub const DMABUF: Self = Self(1 << 13);
    /// A camera's driver wrote it to the slot's addresses (V4L2's user pointers).
    pub const USERPTR: Self = Self(1 << 14);
    /// A camera's driver wrote it into a buffer of its own, from which it was copied into the slot.
    pub const MMAP: Self = Self(1 << 15);

    /// Tells whether all bits of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for Flags {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Flags {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 16] = [
            "KEY",
            "DELTA",
            "CORRUPT",
            "STARTUP",
            "TRUNCATED",
            "DISCONTINUITY",
            "TOP_FIELD",
            "BOTTOM_FIELD",
            "INTERLACED",
            "END_OF_STREAM",
            "DUPLICATE",
            "COPIED",
            "PARAMETERS",
            "DMABUF",
            "USERPTR",
            "MMAP",
        ];
        let mut list = f.debug_set();
        for bit in 0..32 {
            if self.0 & 1 << bit != 0 {
                match NAMES.get(bit) {
                    Some(name) => list.entry(&format_args!("{name}")),
                    None => list.entry(&format_args!("bit {bit}")),
                };
            }
        }
        list.finish()
    }
}

/// The clock that a capture time was read from. Two clocks are never mixed silently: convert with the offsets in
/// [`LaneInfo`](crate::LaneInfo).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(transparent)]
pub struct Clock(pub u8);

impl Clock {
    /// Nobody knows.
    pub const UNKNOWN: Self = Self(0);
    /// CLOCK_MONOTONIC: stops in suspend.
    pub const MONOTONIC: Self = Self(1);
    /// CLOCK_BOOTTIME: goes on in suspend.
    pub const BOOTTIME: Self = Self(2);
    /// CLOCK_REALTIME: may jump.
    pub const REALTIME: Self = Self(3);
    /// International atomic time.
    pub const TAI: Self = Self(4);
    /// A PTP hardware clock.
    pub const PTP: Self = Self(5);
    /// The device's own ticks.
    pub const DEVICE: Self = Self(6);

    /// Names the clock.
    pub const fn name(self) -> &'static str {
        match self.0 {
            1 => "monotonic",
            2 => "boottime",
            3 => "realtime",
            4 => "tai",
            5 => "ptp",
            6 => "device",
            _ => "unknown",
        }
    }
}

/// The moment of the exposure that a capture time means.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(transparent)]
pub struct Reference(pub u8);

impl Reference {
    /// Nobody knows.
    pub const UNKNOWN: Self = Self(0);
    /// Start of the first row's exposure.
    pub const START_OF_EXPOSURE: Self = Self(1);
    /// Middle of the exposure.
    pub const MIDDLE_OF_EXPOSURE: Self = Self(2);
    /// The last byte of the frame arrived.
    pub const END_OF_FRAME: Self = Self(3);
    /// User space took the frame from the driver.
    pub const DEQUEUED: Self = Self(4);
    /// Made by the producer: a test pattern, a replay.
    pub const SYNTHETIC: Self = Self(5);

    /// Names the moment.
    pub const fn name(self) -> &'static str {
        match self.0 {
            1 => "start-of-exposure",
            2 => "middle-of-exposure",
            3 => "end-of-frame",
            4 => "dequeued",
            5 => "synthetic",
            _ => "unknown",
        }
    }
}

/// What a frame says about itself: all a consumer needs that did not start the camera.
///
/// Times are nanoseconds. `planes` tell where the pixels lie; width times bytes per pixel is only the least stride.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct FrameMeta {
    /// Format, size in pixels, planes and bytes of this frame.
    pub layout: FrameLayout,
    /// When the picture was taken, on `clock`, at `reference`. 0: unknown.
    pub capture_ns: u64,
    /// When the frame was published, on CLOCK_MONOTONIC where there is one. 0: unknown.
    pub publish_ns: u64,
    /// The clock of `capture_ns`.
    pub clock: Clock,
    /// The moment that `capture_ns` means.
    pub reference: Reference,
    /// The camera's own sequence; gaps mean that the driver lost frames. Wraps.
    pub source_sequence: u32,
    /// Facts as bits.
    pub flags: Flags,
    /// Bytes of the user's metadata in use.
    pub user_len: u32,
    /// What few readers need; `None` costs neither side anything.
    pub details: Option<Details>,
}

impl FrameMeta {
    /// Describes a frame that fills `layout`; everything else unknown.
    pub const fn new(layout: FrameLayout) -> Self {
        Self {
            layout,
            capture_ns: 0,
            publish_ns: 0,
            clock: Clock::UNKNOWN,
            reference: Reference::UNKNOWN,
            source_sequence: 0,
            flags: Flags(0),
            user_len: 0,
            details: None,
        }
    }

    /// Describes `len` opaque bytes.
    pub const fn bytes(len: u32) -> Self {
        let plane = Plane { offset: 0, stride: 0, rows: 1, bytes: len };
        let none = Plane { offset: 0, stride: 0, rows: 0, bytes: 0 };
        Self::new(FrameLayout {
            format: PixelFormat::OPAQUE,
            width: 0,
            height: 0,
            planes: [plane, none, none, none],
            count: 1,
            bytes: len,
        })
    }

    /// Writes all but the protocol's own words into a slot that is being written.
    pub(crate) fn store(&self, into: &Descriptor, publish_ns: u64, drops_before: u32) {
        let put = |word: &MetaWord, value: u32| word.store(value, Relaxed);
        put(&into.len, self.layout.bytes);
        put_wide(&into.capture_ns, self.capture_ns);
        put_wide(&into.publish_ns, publish_ns);
        put(&into.source_sequence, self.source_sequence);
        put(&into.drops_before, drops_before);
        put(&into.flags, self.flags.0);
        put(&into.format, self.layout.format.0);
        put(&into.width, self.layout.width);
        put(&into.height, self.layout.height);
        let kinds = [self.clock.0, self.reference.0, self.layout.count, self.details.is_some().into()];
        put(&into.kinds, u32::from_le_bytes(kinds));
        put(&into.user_len, self.user_len);
        for (words, plane) in into.planes.iter().zip(&self.layout.planes).take(self.layout.count.into()) {
            let Plane { offset, stride, rows, bytes } = *plane;
            words.iter().zip([offset, stride, rows, bytes]).for_each(|(word, value)| put(word, value));
        }
        if let Some(details) = &self.details {
            into.details.iter().zip(details.to_words()).for_each(|(word, value)| put(word, value));
        }
    }

    /// Reads what [`store`](Self::store) wrote, each word once. Counts and lengths are the caller's to check.
    pub(crate) fn load(from: &Descriptor) -> Self {
        let get = |word: &MetaWord| word.load(Relaxed);
        let [clock, reference, count, has_details] = get(&from.kinds).to_le_bytes();
        let count = count.min(4);
        let mut planes = [Plane::default(); 4];
        for (plane, words) in planes.iter_mut().zip(&from.planes).take(count.into()) {
            let [offset, stride, rows, bytes] = words;
            *plane = Plane { offset: get(offset), stride: get(stride), rows: get(rows), bytes: get(bytes) };
        }
        Self {
            layout: FrameLayout {
                format: PixelFormat(get(&from.format)),
                width: get(&from.width),
                height: get(&from.height),
                planes,
                count,
                bytes: get(&from.len),
            },
            capture_ns: get_wide(&from.capture_ns),
            publish_ns: get_wide(&from.publish_ns),
            clock: Clock(clock),
            reference: Reference(reference),
            source_sequence: get(&from.source_sequence),
            flags: Flags(get(&from.flags)),
            user_len: get(&from.user_len),
            details: (has_details != 0).then(|| {
                let mut words = [0; 32];
                words.iter_mut().zip(&from.details).for_each(|(word, from)| *word = get(from));
                Details::from_words(&words)
            }),
        }
    }
}

fn put_wide(words: &[MetaWord; 2], value: u64) {
    words[0].store(value as u32, Relaxed);
    words[1].store((value >> 32) as u32, Relaxed);
}

fn get_wide(words: &[MetaWord; 2]) -> u64 {
    u64::from(words[1].load(Relaxed)) << 32 | u64::from(words[0].load(Relaxed))
}

/// Colour, as ITU-T H.273 numbers it: 2 means "not stated".
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Colour {
    /// Colour primaries (H.273 table 2).
    pub primaries: u8,
    /// Transfer characteristics (H.273 table 3).
    pub transfer: u8,
    /// Matrix coefficients (H.273 table 4); 0 is identity, so RGB.
    pub matrix: u8,
    /// 0 not stated, 1 full, 2 limited.
    pub range: u8,
    /// 0 not stated, else H.273's chroma sample location type plus one.
    pub chroma_site: u8,
}

impl Default for Colour {
    fn default() -> Self {
        Self { primaries: 2, transfer: 2, matrix: 2, range: 0, chroma_site: 0 }
    }
}

/// A rectangle in pixels of the sensor.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[allow(missing_docs, reason = "the four words of every rectangle")]
pub struct Rect {
    pub x: u32,
    pub y: u32,
    pub width: u32,
    pub height: u32,
}

/// What few readers need. `None` means not stated; a value is never invented.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Details {
    /// Colour; by default nothing stated.
    pub colour: Colour,
    /// Bits of each sample that carry information. 0: as the format says.
    pub significant_bits: u8,
    /// Exif orientation 1 to 8. 0: unknown.
    pub orientation: u8,
    /// Namespace of `fourcc`: 0 none, 1 V4L2, 2 DRM, 3 libcamera.
    pub fourcc_namespace: u8,
    /// The source's own code for the format, passed through.
    pub fourcc: u32,
    /// Exposure time in nanoseconds.
    pub exposure_ns: Option<u64>,
    /// Duration of the frame in nanoseconds.
    pub frame_duration_ns: Option<u64>,
    /// Analogue gain, Q16.16.
    pub analogue_gain: Option<u32>,
    /// Digital gain, Q16.16.
    pub digital_gain: Option<u32>,
    /// Gains of red and blue, Q16.16.
    pub colour_gains: Option<[u32; 2]>,
    /// Colour temperature in kelvin.
    pub colour_temperature_k: Option<u32>,
    /// Lens position in dioptres, Q16.16.
    pub lens_position: Option<u32>,
    /// Temperature of the sensor in thousandths of a degree Celsius.
    pub sensor_temperature_mc: Option<i32>,
    /// Trigger or input line that started the exposure.
    pub trigger: Option<u32>,
    /// The part of the sensor that the picture shows.
    pub region_of_interest: Option<Rect>,
    /// Sensor pixels per picture pixel, horizontally and vertically.
    pub binning: Option<[u16; 2]>,
    /// Black levels of the four Bayer channels, in 16-bit scale.
    pub black_levels: Option<[u32; 4]>,
    /// The lane and the number of the raw frame that this one was made from.
    pub upstream: Option<(u32, u64)>,
    /// Presentation time minus capture time, in nanoseconds (encoders).
    pub pts_offset_ns: Option<i64>,
}

// The order of the bits in the valid mask, FORMAT.md section 6.
impl Details {
    fn to_words(self) -> [u32; 32] {
        let mut words = [0u32; 32];
        let colour = self.colour;
        words[0] = u32::from_le_bytes([colour.primaries, colour.transfer, colour.matrix, colour.range]);
        words[1] = u32::from_le_bytes([
            colour.chroma_site,
            self.significant_bits,
            self.orientation,
            self.fourcc_namespace,
        ]);
        words[2] = self.fourcc;
        let roi = self.region_of_interest.map(|r| [r.x, r.y, r.width, r.height]);
        let halves = |value: Option<u64>| value.map(|v| [v as u32, (v >> 32) as u32]);
        let mut valid = 0;
        let mut field = |bit: u32, at: usize, value: Option<&[u32]>| {
            if let Some(value) = value {
                valid |= 1 << bit;
                words[at..at + value.len()].copy_from_slice(value);
            }
        };
        field(0, 4, halves(self.exposure_ns).as_ref().map(|v| &v[..]));
        field(1, 6, halves(self.frame_duration_ns).as_ref().map(|v| &v[..]));
        field(2, 8, self.analogue_gain.as_ref().map(core::slice::from_ref));
        field(3, 9, self.digital_gain.as_ref().map(core::slice::from_ref));
        field(4, 10, self.colour_gains.as_ref().map(|v| &v[..]));
        field(5, 12, self.colour_temperature_k.as_ref().map(core::slice::from_ref));
        field(6, 13, self.lens_position.as_ref().map(core::slice::from_ref));
        field(7, 14, self.sensor_temperature_mc.map(i32::cast_unsigned).as_ref().map(core::slice::from_ref));
        field(8, 15, self.trigger.as_ref().map(core::slice::from_ref));
        field(9, 16, roi.as_ref().map(|v| &v[..]));
        let binning = self.binning.map(|[x, y]| u32::from(y) << 16 | u32::from(x));
        field(10, 20, binning.as_ref().map(core::slice::from_ref));
        field(11, 21, self.black_levels.as_ref().map(|v| &v[..]));
        let upstream = self.upstream.map(|(lane, n)| [lane, n as u32, (n >> 32) as u32]);
        field(12, 25, upstream.as_ref().map(|v| &v[..]));
        field(13, 28, halves(self.pts_offset_ns.map(i64::cast_unsigned)).as_ref().map(|v| &v[..]));
        words[3] = valid;
        words
    }

    fn from_words(words: &[u32; 32]) -> Self {
        let [primaries, transfer, matrix, range] = words[0].to_le_bytes();
        let [chroma_site, significant_bits, orientation, fourcc_namespace] = words[1].to_le_bytes();
        let valid = words[3];
        let one = |bit: u32, at: usize| (valid & 1 << bit != 0).then_some(words[at]);
        let two =
            |bit: u32, at: usize| one(bit, at).map(|low| u64::from(words[at + 1]) << 32 | u64::from(low));
        Self {
            colour: Colour { primaries, transfer, matrix, range, chroma_site },
            significant_bits,
            orientation,
            fourcc_namespace,
            fourcc: words[2],
            exposure_ns: two(0, 4),
            frame_duration_ns: two(1, 6),
            analogue_gain: one(2, 8),
            digital_gain: one(3, 9),
            colour_gains: one(4, 10).map(|red| [red, words[11]]),
            colour_temperature_k: one(5, 12),
            lens_position: one(6, 13),
            sensor_temperature_mc: one(7, 14).map(u32::cast_signed),
            trigger: one(8, 15),
            region_of_interest: one(9, 16).map(|x| Rect {
                x,
                y: words[17],
                width: words[18],
                height: words[19],
            }),
            binning: one(10, 20).map(|both| [both as u16, (both >> 16) as u16]),
            black_levels: one(11, 21).map(|first| [first, words[22], words[23], words[24]]),
            upstream: one(12, 25).map(|lane| (lane, u64::from(words[27]) << 32 | u64::from(words[26]))),
            pts_offset_ns: two(13, 28).map(u64::cast_signed),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn some_details() -> impl Strategy<Value = Details> {
        (any::<[u8; 8]>(), any::<[Option<u64>; 3]>(), any::<[Option<u32>; 7]>(), any::<Option<[u32; 4]>>())
            .prop_map(|(bytes, wides, words, quad)| Details {
                colour: Colour {
                    primaries: bytes[0],
                    transfer: bytes[1],
                    matrix: bytes[2],
                    range: bytes[3],
                    chroma_site: bytes[4],
                },
                significant_bits: bytes[5],
                orientation: bytes[6],
                fourcc_namespace: bytes[7],
                fourcc: 7,
                exposure_ns: wides[0],
                frame_duration_ns: wides[1],
                analogue_gain: words[0],
                digital_gain: words[1],
                colour_gains: words[2].map(|w| [w, !w]),
                colour_temperature_k: words[3],
                lens_position: words[4],
                sensor_temperature_mc: words[5].map(u32::cast_signed),
                trigger: words[6],
                region_of_interest: quad.map(|[x, y, width, height]| Rect { x, y, width, height }),
                binning: words[0].map(|w| [w as u16, !w as u16]),
                black_levels: quad,
                upstream: wides[2].map(|n| (n as u32, n)),
                pts_offset_ns: wides[2].map(u64::cast_signed),
            })
    }

    proptest! {
        #[test]
        fn what_is_stored_in_a_descriptor_comes_back(
            details in proptest::option::of(some_details()),
            times in any::<[u64; 2]>(),
            words in any::<[u32; 4]>(),
            count in 0u8..=4,
        ) {
            let mut meta = FrameMeta::bytes(words[0]);
            meta.layout.count = count;
            meta.layout.planes = [Plane::default(); 4];
            for plane in &mut meta.layout.planes[..count.into()] {
                *plane = Plane { offset: words[1], stride: words[2], rows: words[3], bytes: words[0] };
            }
            (meta.capture_ns, meta.publish_ns, meta.source_sequence) = (times[0], times[1], words[1]);
            (meta.clock, meta.reference, meta.flags) = (Clock::TAI, Reference::END_OF_FRAME, Flags(words[2]));
            meta.details = details;
            let descriptor = Descriptor::default();
            meta.store(&descriptor, meta.publish_ns, 9);
            prop_assert_eq!(FrameMeta::load(&descriptor), meta);
        }
    }
}

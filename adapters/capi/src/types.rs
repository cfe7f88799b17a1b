//! The plain structures of camlane.h. `drift` compiles the header and compares every field's place and type with these.

use posix::core::{LaneInfo, Shape};
use posix::{
    Clock, Colour, Flags, FrameDetails, FrameLayout, FrameMeta, PixelFormat, Plane as CorePlane, Rect,
    Reference,
};

use crate::boundary::{Array, Text};
use crate::error::Failure;

/// Declares structures of the header; `CHECKED` tells the tests about them.
macro_rules! c_structs {
    ($($(#[$doc:meta])* struct $name:ident $(<$life:lifetime>)? = $c:literal {
        $($field:ident: $ty:ty = $cty:literal),* $(,)?
    })*) => {
        $(
            $(#[$doc])*
            #[derive(Debug)]
            #[repr(C)]
            pub(crate) struct $name $(<$life>)? { $(pub(crate) $field: $ty),* }
        )*

        /// Every structure: its C name, its size, and for each field its name, offset and C type.
        #[cfg(test)]
        pub(crate) const CHECKED: &[$crate::types::Checked] = &[$((
            $c,
            size_of::<$name>(),
            &[$((stringify!($field), std::mem::offset_of!($name, $field), $cty)),*],
        )),*];
    };
}

pub(crate) use c_structs;

#[cfg(test)]
pub(crate) type Checked = (&'static str, usize, &'static [(&'static str, usize, &'static str)]);

c_structs! {
    /// Locates one plane in a frame.
    #[derive(Clone, Copy, Default)]
    struct Plane = "camlane_plane" {
        offset: u32 = "uint32_t",
        stride: u32 = "uint32_t",
        rows: u32 = "uint32_t",
        bytes: u32 = "uint32_t",
    }

    /// Says where the pixels of a frame lie.
    #[derive(Clone, Copy, Default)]
    struct Layout = "camlane_layout" {
        format: u32 = "uint32_t",
        width: u32 = "uint32_t",
        height: u32 = "uint32_t",
        bytes: u32 = "uint32_t",
        plane_count: u32 = "uint32_t",
        reserved: u32 = "uint32_t",
        planes: [Plane; 4] = "camlane_plane[4]",
    }

    /// What a frame says about itself.
    #[derive(Clone, Copy, Default)]
    struct Meta = "camlane_meta" {
        struct_size: u32 = "uint32_t",
        flags: u32 = "uint32_t",
        capture_ns: u64 = "uint64_t",
        publish_ns: u64 = "uint64_t",
        source_sequence: u32 = "uint32_t",
        user_len: u32 = "uint32_t",
        clock: u32 = "uint32_t",
        reference: u32 = "uint32_t",
        layout: Layout = "camlane_layout",
    }

    /// What few readers need.
    #[derive(Clone, Copy, Default)]
    struct Details = "camlane_details" {
        struct_size: u32 = "uint32_t",
        valid: u32 = "uint32_t",
        primaries: u8 = "uint8_t",
        transfer: u8 = "uint8_t",
        matrix: u8 = "uint8_t",
        range: u8 = "uint8_t",
        chroma_site: u8 = "uint8_t",
        significant_bits: u8 = "uint8_t",
        orientation: u8 = "uint8_t",
        fourcc_namespace: u8 = "uint8_t",
        fourcc: u32 = "uint32_t",
        trigger: u32 = "uint32_t",
        exposure_ns: u64 = "uint64_t",
        frame_duration_ns: u64 = "uint64_t",
        analogue_gain: u32 = "uint32_t",
        digital_gain: u32 = "uint32_t",
        red_gain: u32 = "uint32_t",
        blue_gain: u32 = "uint32_t",
        colour_temperature_k: u32 = "uint32_t",
        lens_position: u32 = "uint32_t",
        sensor_temperature_mc: i32 = "int32_t",
        upstream_lane: u32 = "uint32_t",
        upstream_number: u64 = "uint64_t",
        pts_offset_ns: i64 = "int64_t",
        roi_x: u32 = "uint32_t",
        roi_y: u32 = "uint32_t",
        roi_width: u32 = "uint32_t",
        roi_height: u32 = "uint32_t",
        black_levels: [u32; 4] = "uint32_t[4]",
        binning_x: u16 = "uint16_t",
        binning_y: u16 = "uint16_t",
        reserved: u32 = "uint32_t",
    }

    /// What a producer chooses when it makes a lane.
    #[derive(Clone, Copy)]
    struct LaneOptions<'c> = "camlane_lane_options" {
        struct_size: u32 = "uint32_t",
        sharing: u32 = "uint32_t",
        layout: Layout = "camlane_layout",
        slot_size: u32 = "uint32_t",
        seats: u32 = "uint32_t",
        pins: u32 = "uint32_t",
        history: u32 = "uint32_t",
        loans: u32 = "uint32_t",
        slots: u32 = "uint32_t",
        user_bytes: u32 = "uint32_t",
        flags: u32 = "uint32_t",
        rate_numerator: u32 = "uint32_t",
        rate_denominator: u32 = "uint32_t",
        frame_id: Text<'c> = "const char *",
        calibration: Text<'c> = "const char *",
        users: Array<'c, u32> = "const uint32_t *",
        groups: Array<'c, u32> = "const uint32_t *",
        user_count: u32 = "uint32_t",
        group_count: u32 = "uint32_t",
        seats_per_user: u32 = "uint32_t",
        connections: u32 = "uint32_t",
        connections_per_user: u32 = "uint32_t",
        reserved: u32 = "uint32_t",
    }

    /// How a consumer opens a lane.
    #[derive(Clone, Copy, Default)]
    struct ConsumerOptions = "camlane_consumer_options" {
        struct_size: u32 = "uint32_t",
        read: u32 = "uint32_t",
        wait: u32 = "uint32_t",
        flags: u32 = "uint32_t",
        patience_ms: u32 = "uint32_t",
        trusted_user: u32 = "uint32_t",
    }

    /// How a byte stream is made or opened.
    #[derive(Clone, Copy, Default)]
    struct StreamOptions = "camlane_stream_options" {
        struct_size: u32 = "uint32_t",
        capacity: u32 = "uint32_t",
        sharing: u32 = "uint32_t",
        patience_ms: u32 = "uint32_t",
    }

    /// What was counted since a consumer was opened.
    #[derive(Clone, Copy, Default)]
    struct Totals = "camlane_totals" {
        delivered: u64 = "uint64_t",
        missed: u64 = "uint64_t",
        dropped: u64 = "uint64_t",
        restarts: u64 = "uint64_t",
    }

    /// Why no frames come.
    #[derive(Clone, Copy, Default)]
    struct Pause = "camlane_pause" {
        reason: u32 = "uint32_t",
        error: i32 = "int32_t",
        lasted_ns: u64 = "uint64_t",
    }

    /// What became of a lane's frames in a synchronizer.
    #[derive(Clone, Copy, Default)]
    struct SyncTotals = "camlane_sync_totals" {
        reader: Totals = "camlane_totals",
        paired: u64 = "uint64_t",
        unpaired: u64 = "uint64_t",
        waiting: u64 = "uint64_t",
    }

    /// A lane as it stands.
    #[derive(Clone, Copy)]
    struct Lane = "camlane_lane_info" {
        struct_size: u32 = "uint32_t",
        health: u32 = "uint32_t",
        name: [u8; 72] = "char[72]",
        address: [u8; 128] = "char[128]",
        frame_id: [u8; 72] = "char[72]",
        calibration: [u8; 72] = "char[72]",
        problem: [u8; 256] = "char[256]",
        format: u32 = "uint32_t",
        width: u32 = "uint32_t",
        height: u32 = "uint32_t",
        rate_numerator: u32 = "uint32_t",
        rate_denominator: u32 = "uint32_t",
        creator_pid: u32 = "uint32_t",
        incarnation: [u32; 4] = "uint32_t[4]",
        slots: u32 = "uint32_t",
        slot_size: u32 = "uint32_t",
        seats: u32 = "uint32_t",
        pins: u32 = "uint32_t",
        history: u32 = "uint32_t",
        loans: u32 = "uint32_t",
        user_bytes: u32 = "uint32_t",
        is_stream: u32 = "uint32_t",
        seats_in_use: u32 = "uint32_t",
        published: u32 = "uint32_t",
        dropped: u32 = "uint32_t",
        reserved: u32 = "uint32_t",
        footprint: u64 = "uint64_t",
        created_ns: u64 = "uint64_t",
        boottime_minus_monotonic_ns: i64 = "int64_t",
        realtime_minus_monotonic_ns: i64 = "int64_t",
        tai_minus_realtime_ns: i64 = "int64_t",
        clocks_sampled_ns: u64 = "uint64_t",
    }

    /// A row of the table of formats.
    #[derive(Clone, Copy)]
    struct Format = "camlane_format_info" {
        struct_size: u32 = "uint32_t",
        format: u32 = "uint32_t",
        name: [u8; 16] = "char[16]",
        ffmpeg: [u8; 24] = "char[24]",
        gstreamer: [u8; 24] = "char[24]",
        ros: [u8; 24] = "char[24]",
        opencv: [u8; 24] = "char[24]",
        numpy: [u8; 8] = "char[8]",
        v4l2: u32 = "uint32_t",
        drm: u32 = "uint32_t",
        planes: u32 = "uint32_t",
        chroma_across: u32 = "uint32_t",
        chroma_down: u32 = "uint32_t",
        significant_bits: u32 = "uint32_t",
    }

    /// A frame that an observer copied.
    #[derive(Clone, Copy, Default)]
    struct Observed = "camlane_observed" {
        number: u64 = "uint64_t",
        meta: Meta = "camlane_meta",
    }
}

impl From<&FrameLayout> for Layout {
    fn from(layout: &FrameLayout) -> Self {
        let plane = |p: CorePlane| Plane { offset: p.offset, stride: p.stride, rows: p.rows, bytes: p.bytes };
        Self {
            format: layout.format.0,
            width: layout.width,
            height: layout.height,
            bytes: layout.bytes,
            plane_count: layout.count.into(),
            reserved: 0,
            planes: layout.planes.map(plane),
        }
    }
}

impl TryFrom<&Layout> for FrameLayout {
    type Error = Failure;

    fn try_from(layout: &Layout) -> Result<Self, Failure> {
        let plane = |p: Plane| CorePlane { offset: p.offset, stride: p.stride, rows: p.rows, bytes: p.bytes };
        let count = u8::try_from(layout.plane_count).ok().filter(|&count| count <= 4).ok_or_else(|| {
            Failure::invalid(format!("plane_count is {}: a frame has at most 4 planes", layout.plane_count))
        })?;
        Ok(Self {
            format: PixelFormat(layout.format),
            width: layout.width,
            height: layout.height,
            planes: layout.planes.map(plane),
            count,
            bytes: layout.bytes,
        })
    }
}

impl From<&FrameMeta> for Meta {
    fn from(meta: &FrameMeta) -> Self {
        Self {
            struct_size: size_of::<Self>() as u32,
            flags: meta.flags.0,
            capture_ns: meta.capture_ns,
            publish_ns: meta.publish_ns,
            source_sequence: meta.source_sequence,
            user_len: meta.user_len,
            clock: meta.clock.0.into(),
            reference: meta.reference.0.into(),
            layout: (&meta.layout).into(),
        }
    }
}

impl TryFrom<&Meta> for FrameMeta {
    type Error = Failure;

    fn try_from(meta: &Meta) -> Result<Self, Failure> {
        let byte = |value: u32, what: &str| {
            u8::try_from(value)
                .map_err(|_| Failure::invalid(format!("{what} is {value}: it has 8 bits in a frame")))
        };
        let layout: FrameLayout = (&meta.layout).try_into()?;
        Ok(Self {
            capture_ns: meta.capture_ns,
            publish_ns: meta.publish_ns,
            clock: Clock(byte(meta.clock, "clock")?),
            reference: Reference(byte(meta.reference, "reference")?),
            source_sequence: meta.source_sequence,
            flags: Flags(meta.flags),
            user_len: meta.user_len,
            ..Self::new(layout)
        })
    }
}

/// Bits of `camlane_details.valid`, in the order of the valid mask in a descriptor (FORMAT.md section 6).
pub(crate) mod detail {
    pub(crate) const EXPOSURE: u32 = 1 << 0;
    pub(crate) const FRAME_DURATION: u32 = 1 << 1;
    pub(crate) const ANALOGUE_GAIN: u32 = 1 << 2;
    pub(crate) const DIGITAL_GAIN: u32 = 1 << 3;
    pub(crate) const COLOUR_GAINS: u32 = 1 << 4;
    pub(crate) const COLOUR_TEMPERATURE: u32 = 1 << 5;
    pub(crate) const LENS_POSITION: u32 = 1 << 6;
    pub(crate) const SENSOR_TEMPERATURE: u32 = 1 << 7;
    pub(crate) const TRIGGER: u32 = 1 << 8;
    pub(crate) const REGION_OF_INTEREST: u32 = 1 << 9;
    pub(crate) const BINNING: u32 = 1 << 10;
    pub(crate) const BLACK_LEVELS: u32 = 1 << 11;
    pub(crate) const UPSTREAM: u32 = 1 << 12;
    pub(crate) const PTS_OFFSET: u32 = 1 << 13;
}

impl From<&FrameDetails> for Details {
    fn from(details: &FrameDetails) -> Self {
        let mut this = Self { struct_size: size_of::<Self>() as u32, ..Self::default() };
        let valid = &mut this.valid;
        macro_rules! put {
            ($bit:ident, $value:expr, |$some:pat_param| $($place:expr => $part:expr),*) => {
                if let Some($some) = $value {
                    *valid |= detail::$bit;
                    $($place = $part;)*
                }
            };
        }
        let Colour { primaries, transfer, matrix, range, chroma_site } = details.colour;
        (this.primaries, this.transfer, this.matrix) = (primaries, transfer, matrix);
        (this.range, this.chroma_site) = (range, chroma_site);
        this.significant_bits = details.significant_bits;
        this.orientation = details.orientation;
        (this.fourcc_namespace, this.fourcc) = (details.fourcc_namespace, details.fourcc);
        put!(EXPOSURE, details.exposure_ns, |ns| this.exposure_ns => ns);
        put!(FRAME_DURATION, details.frame_duration_ns, |ns| this.frame_duration_ns => ns);
        put!(ANALOGUE_GAIN, details.analogue_gain, |gain| this.analogue_gain => gain);
        put!(DIGITAL_GAIN, details.digital_gain, |gain| this.digital_gain => gain);
        put!(COLOUR_GAINS, details.colour_gains, |[red, blue]| this.red_gain => red, this.blue_gain => blue);
        put!(COLOUR_TEMPERATURE, details.colour_temperature_k, |kelvin| this.colour_temperature_k => kelvin);
        put!(LENS_POSITION, details.lens_position, |position| this.lens_position => position);
        put!(SENSOR_TEMPERATURE, details.sensor_temperature_mc, |mc| this.sensor_temperature_mc => mc);
        put!(TRIGGER, details.trigger, |line| this.trigger => line);
        put!(REGION_OF_INTEREST, details.region_of_interest, |Rect { x, y, width, height }|
            this.roi_x => x, this.roi_y => y, this.roi_width => width, this.roi_height => height);
        put!(BINNING, details.binning, |[x, y]| this.binning_x => x, this.binning_y => y);
        put!(BLACK_LEVELS, details.black_levels, |levels| this.black_levels => levels);
        put!(UPSTREAM, details.upstream, |(lane, n)| this.upstream_lane => lane, this.upstream_number => n);
        put!(PTS_OFFSET, details.pts_offset_ns, |ns| this.pts_offset_ns => ns);
        this
    }
}

impl From<&Details> for FrameDetails {
    fn from(details: &Details) -> Self {
        let d = details;
        let some = |bit: u32| d.valid & bit != 0;
        // H.273 reserves 0 for primaries and transfer, but its matrix 0 is RGB: a zeroed structure states nothing.
        let stated = |value: u8| if d.primaries == 0 && d.transfer == 0 { 2 } else { value };
        Self {
            colour: Colour {
                primaries: stated(d.primaries),
                transfer: stated(d.transfer),
                matrix: stated(d.matrix),
                range: d.range,
                chroma_site: d.chroma_site,
            },
            significant_bits: d.significant_bits,
            orientation: d.orientation,
            fourcc_namespace: d.fourcc_namespace,
            fourcc: d.fourcc,
            exposure_ns: some(detail::EXPOSURE).then_some(d.exposure_ns),
            frame_duration_ns: some(detail::FRAME_DURATION).then_some(d.frame_duration_ns),
            analogue_gain: some(detail::ANALOGUE_GAIN).then_some(d.analogue_gain),
            digital_gain: some(detail::DIGITAL_GAIN).then_some(d.digital_gain),
            colour_gains: some(detail::COLOUR_GAINS).then_some([d.red_gain, d.blue_gain]),
            colour_temperature_k: some(detail::COLOUR_TEMPERATURE).then_some(d.colour_temperature_k),
            lens_position: some(detail::LENS_POSITION).then_some(d.lens_position),
            sensor_temperature_mc: some(detail::SENSOR_TEMPERATURE).then_some(d.sensor_temperature_mc),
            trigger: some(detail::TRIGGER).then_some(d.trigger),
            region_of_interest: some(detail::REGION_OF_INTEREST).then_some(Rect {
                x: d.roi_x,
                y: d.roi_y,
                width: d.roi_width,
                height: d.roi_height,
            }),
            binning: some(detail::BINNING).then_some([d.binning_x, d.binning_y]),
            black_levels: some(detail::BLACK_LEVELS).then_some(d.black_levels),
            upstream: some(detail::UPSTREAM).then_some((d.upstream_lane, d.upstream_number)),
            pts_offset_ns: some(detail::PTS_OFFSET).then_some(d.pts_offset_ns),
        }
    }
}

impl Lane {
    /// A lane of which nothing is known but its name.
    pub(crate) fn unknown(name: &str, health: u32) -> Self {
        Self {
            struct_size: 0,
            health,
            name: text(name),
            address: text(name),
            frame_id: [0; 72],
            calibration: [0; 72],
            problem: [0; 256],
            format: 0,
            width: 0,
            height: 0,
            rate_numerator: 0,
            rate_denominator: 0,
            creator_pid: 0,
            incarnation: [0; 4],
            slots: 0,
            slot_size: 0,
            seats: 0,
            pins: 0,
            history: 0,
            loans: 0,
            user_bytes: 0,
            is_stream: 0,
            seats_in_use: u32::MAX,
            published: 0,
            dropped: 0,
            reserved: 0,
            footprint: 0,
            created_ns: 0,
            boottime_minus_monotonic_ns: 0,
            realtime_minus_monotonic_ns: 0,
            tai_minus_realtime_ns: 0,
            clocks_sampled_ns: 0,
        }
    }

    /// Adds what the lane's objects tell.
    pub(crate) fn describe(&mut self, shape: &Shape, info: &LaneInfo, incarnation: [u32; 4]) {
        self.frame_id = text(&info.frame_id);
        self.calibration = text(&info.calibration);
        self.format = info.format.0;
        (self.width, self.height) = info.size;
        (self.rate_numerator, self.rate_denominator) = info.rate;
        self.creator_pid = info.creator.0;
        self.incarnation = incarnation;
        (self.slots, self.slot_size) = (shape.slots(), shape.slot_size());
        (self.seats, self.pins) = (shape.seats(), shape.pins());
        (self.history, self.loans) = (shape.history(), shape.loans());
        self.user_bytes = shape.user_bytes();
        self.is_stream = shape.is_stream().into();
        self.footprint = shape.footprint();
        self.boottime_minus_monotonic_ns = info.clocks.boottime_minus_monotonic;
        self.realtime_minus_monotonic_ns = info.clocks.realtime_minus_monotonic;
        self.tai_minus_realtime_ns = info.clocks.tai_minus_realtime;
        self.clocks_sampled_ns = info.clocks.sampled_at;
    }
}

/// A text with a NUL behind it, cut at a character if it is too long.
pub(crate) fn text<const N: usize>(text: &str) -> [u8; N] {
    let mut field = [0; N];
    let end = (0..N).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
    field[..end].copy_from_slice(&text.as_bytes()[..end]);
    field
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_structure_has_padding() {
        for (name, size, fields) in CHECKED {
            let ends = fields.iter().skip(1).map(|field| field.1).chain([*size]);
            let mut sizes = Vec::new();
            for ((field, offset, ty), end) in fields.iter().zip(ends) {
                let (one, count) =
                    ty.strip_suffix(']').and_then(|ty| ty.split_once('[')).unwrap_or((ty, "1"));
                let bytes = match one {
                    "char" | "uint8_t" => 1,
                    "uint16_t" => 2,
                    "uint32_t" | "int32_t" => 4,
                    "uint64_t" | "int64_t" => 8,
                    _ if one.ends_with('*') => size_of::<usize>(),
                    _ => CHECKED.iter().find(|(name, ..)| *name == one).unwrap().1,
                };
                assert_eq!(offset + bytes * count.parse::<usize>().unwrap(), end, "{name}.{field}");
                sizes.push(bytes);
            }
            assert_eq!(fields[0].1, 0, "{name}");
        }
    }

    #[test]
    fn details_come_back_from_c_as_they_went() {
        let details = FrameDetails {
            colour: Colour { primaries: 1, transfer: 13, matrix: 0, range: 1, chroma_site: 1 },
            exposure_ns: Some(1 << 40),
            colour_gains: Some([1, 2]),
            sensor_temperature_mc: Some(-5),
            region_of_interest: Some(Rect { x: 1, y: 2, width: 3, height: 4 }),
            binning: Some([2, 3]),
            black_levels: Some([1, 2, 3, 4]),
            upstream: Some((7, 1 << 33)),
            pts_offset_ns: Some(-1),
            ..FrameDetails::default()
        };
        assert_eq!(FrameDetails::from(&Details::from(&details)), details);
        assert_eq!(FrameDetails::from(&Details::default()), FrameDetails::default());
    }

    #[test]
    fn a_long_text_is_cut_between_characters_and_ends_with_nul() {
        assert_eq!(text::<4>("ab\u{fc}"), *b"ab\0\0");
        assert_eq!(text::<4>("abcdef"), *b"abc\0");
    }
}

//! What a frame says about itself: layouts that contradict themselves, and descriptors on their way through a lane.

use arbitrary::{Result, Unstructured};
use camlane_core::{
    Clock, Colour, Details, Flags, FourCc, FrameLayout, FrameMeta, Geometry, LayoutError, PixelFormat, Plane,
    Rect, Reference,
};

use crate::common::TestLane;

/// Bytes of a slot in the lane that the descriptors pass.
const SLOT: u32 = 4096;

pub(crate) fn run(bytes: &[u8]) {
    crate::with(bytes, body);
}

fn body(input: &mut Unstructured<'_>) -> Result<()> {
    let layout = layout(input, u32::MAX)?;
    judge(&layout, if input.arbitrary()? { SLOT } else { input.arbitrary()? });
    words(input)?;
    pass(input, layout)
}

/// A format, more often one that exists.
pub(crate) fn format(input: &mut Unstructured<'_>) -> Result<PixelFormat> {
    if input.ratio(1, 8)? {
        return Ok(PixelFormat(input.arbitrary()?));
    }
    Ok(input.choose(PixelFormat::ALL)?.format)
}

/// A layout as a library makes it, or as a peer may write it; up to `most` pixels across and down.
pub(crate) fn layout(input: &mut Unstructured<'_>, most: u32) -> Result<FrameLayout> {
    let format = format(input)?;
    let small = most.min(40);
    let wide = if input.ratio(1, 4)? { most } else { small };
    let (width, height) = (input.int_in_range(0..=wide)?, input.int_in_range(0..=wide)?);
    let mut strides = [0; 4];
    for stride in &mut strides {
        *stride = if input.ratio(1, 8)? { input.arbitrary()? } else { u32::from(input.arbitrary::<u8>()?) };
    }
    let count = input.int_in_range(0..=4)?;
    let made = match input.int_in_range(0..=2)? {
        0 => format.layout(width, height, 1 << input.int_in_range(0..=32)?.min(31u32)),
        1 => FrameLayout::with_strides(format, width, height, &strides[..count]),
        _ => format.blob(width, height, input.arbitrary()?),
    };
    let mut layout = match made {
        Ok(layout) => {
            assert_eq!(layout.check(layout.bytes), Ok(()), "{layout:?} was made here");
            layout
        }
        Err(_) => FrameMeta::bytes(u32::from(input.arbitrary::<u8>()?)).layout,
    };
    for _ in 0..input.int_in_range(0..=3)? {
        let plane = &mut layout.planes[input.int_in_range(0..=3)?];
        match input.int_in_range(0..=7)? {
            0 => plane.offset = crate::access::value(input, plane.offset)?,
            1 => plane.stride = crate::access::value(input, plane.stride)?,
            2 => plane.rows = crate::access::value(input, plane.rows)?,
            3 => plane.bytes = crate::access::value(input, plane.bytes)?,
            4 => layout.bytes = crate::access::value(input, layout.bytes)?,
            5 => layout.count = input.arbitrary()?,
            6 => layout.width = crate::access::value(input, layout.width)?.min(most),
            _ => layout.format = self::format(input)?,
        }
    }
    Ok(layout)
}

/// A layout that is accepted lies in the slot, its rows in its planes, and no two planes share a byte.
fn judge(layout: &FrameLayout, slot: u32) {
    let (packed, planes) = (layout.is_packed(), layout.planes());
    let rows: Vec<u32> = (0..5).map(|plane| layout.row_bytes(plane)).collect();
    if let Err(error) = layout.check(slot) {
        let _: (String, LayoutError) = (error.to_string(), error);
        return;
    }
    assert!(layout.bytes <= slot && (1..=4).contains(&planes.len()));
    let known = layout.format.info();
    let mut ends = Vec::new();
    for (index, plane) in planes.iter().enumerate() {
        let Plane { offset, stride, rows: count, bytes } = *plane;
        let end = u64::from(offset) + u64::from(bytes);
        assert!(end <= layout.bytes.into(), "{layout:?}");
        assert!(ends.iter().all(|&(from, to)| end <= from || u64::from(offset) >= to), "{layout:?}");
        ends.push((u64::from(offset), end));
        if known.is_some_and(|info| info.has_rows()) {
            assert!(rows[index] > 0 && rows[index] <= stride, "{layout:?}");
            assert!(u64::from(stride) * u64::from(count) <= bytes.into(), "{layout:?}");
        }
    }
    if packed {
        let sum: u64 = planes.iter().map(|plane| u64::from(plane.bytes)).sum();
        assert_eq!(sum, u64::from(layout.bytes), "{layout:?}");
    }
}

/// Names and codes.
fn words(input: &mut Unstructured<'_>) -> Result<()> {
    let code = FourCc::new(&input.arbitrary()?);
    assert_eq!(FourCc::new(&code.to_bytes()), code);
    let _ = (PixelFormat::from_v4l2(code), PixelFormat::from_drm(code), code.to_string());
    let format = format(input)?;
    if format.info().is_some() {
        assert_eq!(PixelFormat::from_name(format.name()), Some(format));
    }
    let _ = (format.to_string(), Clock(input.arbitrary()?).name(), Reference(input.arbitrary()?).name());
    Ok(())
}

/// Publishes a frame that says this. What was accepted arrives as it was; what was not leaves the lane as it was.
fn pass(input: &mut Unstructured<'_>, layout: FrameLayout) -> Result<()> {
    let mut meta = FrameMeta::new(layout);
    (meta.capture_ns, meta.publish_ns) = (input.arbitrary()?, input.arbitrary()?);
    (meta.clock, meta.reference) = (Clock(input.arbitrary()?), Reference(input.arbitrary()?));
    (meta.source_sequence, meta.flags) = (input.arbitrary()?, Flags(input.arbitrary()?));
    meta.user_len = if input.arbitrary()? { 0 } else { input.arbitrary()? };
    meta.details = if input.arbitrary()? { Some(details(input)?) } else { None };
    let lane = TestLane::new(Geometry::new(SLOT).seats(1).pins(1).history(1).loans(1).user_bytes(16));
    let (producer, consumer, observer) = (lane.producer(), lane.consumer(0), lane.observer());
    let loan = producer.loan().expect("a slot");
    if producer.publish(loan, &meta).is_err() {
        assert!(producer.published() == 0 && matches!(consumer.latest(), Ok(None)));
        drop(producer.loan().expect("the slot is free again"));
        return Ok(());
    }
    // Planes that are not counted mean nothing, and there are four.
    meta.layout.count = meta.layout.count.min(4);
    meta.layout.planes.iter_mut().skip(meta.layout.count.into()).for_each(|plane| *plane = Plane::default());
    let seen = observer.peek_newest().expect("a frame").expect("a frame").meta;
    assert_eq!(seen, meta);
    let frame = consumer.latest().expect("a frame").expect("a frame");
    assert_eq!(frame.meta(), meta);
    assert_eq!(frame.user().len(), meta.user_len as usize);
    Ok(())
}

fn details(input: &mut Unstructured<'_>) -> Result<Details> {
    let [primaries, transfer, matrix, range, chroma_site] = input.arbitrary()?;
    let [significant_bits, orientation, fourcc_namespace] = input.arbitrary()?;
    let rect = |[x, y, width, height]: [u32; 4]| Rect { x, y, width, height };
    Ok(Details {
        colour: Colour { primaries, transfer, matrix, range, chroma_site },
        significant_bits,
        orientation,
        fourcc_namespace,
        fourcc: input.arbitrary()?,
        exposure_ns: input.arbitrary()?,
        frame_duration_ns: input.arbitrary()?,
        analogue_gain: input.arbitrary()?,
        digital_gain: input.arbitrary()?,
        colour_gains: input.arbitrary()?,
        colour_temperature_k: input.arbitrary()?,
        lens_position: input.arbitrary()?,
        sensor_temperature_mc: input.arbitrary()?,
        trigger: input.arbitrary()?,
        region_of_interest: input.arbitrary::<Option<[u32; 4]>>()?.map(rect),
        binning: input.arbitrary()?,
        black_levels: input.arbitrary()?,
        upstream: input.arbitrary()?,
        pts_offset_ns: input.arbitrary()?,
    })
}

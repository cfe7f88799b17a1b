//! What a frame says about itself, from `publish` to its readers; and what is not published.

mod common;

use camlane_core::{
    Clock, Colour, Details, Flags, FrameMeta, Geometry, PixelFormat, Plane, PublishError, Rect, Reference,
};
use common::{TestLane, publish, word};
use rstest::rstest;

/// A description in which no field has its default value.
fn everything() -> FrameMeta {
    let mut meta = FrameMeta::new(PixelFormat::I420.layout(6, 4, 1).unwrap());
    (meta.capture_ns, meta.publish_ns) = (u64::MAX - 1, 0x1234_5678_9abc_def0);
    (meta.clock, meta.reference) = (Clock::TAI, Reference::MIDDLE_OF_EXPOSURE);
    (meta.source_sequence, meta.flags, meta.user_len) = (77, Flags::KEY | Flags::COPIED | Flags(1 << 31), 3);
    meta.details = Some(Details {
        colour: Colour { primaries: 1, transfer: 13, matrix: 6, range: 2, chroma_site: 1 },
        significant_bits: 8,
        orientation: 6,
        fourcc_namespace: 1,
        fourcc: u32::from_le_bytes(*b"YU12"),
        exposure_ns: Some(10_000_000_000),
        frame_duration_ns: Some(33_333_333),
        analogue_gain: Some(0x2_0000),
        digital_gain: Some(0x1_8000),
        colour_gains: Some([3, 4]),
        colour_temperature_k: Some(5500),
        lens_position: Some(9),
        sensor_temperature_mc: Some(-12_000),
        trigger: Some(2),
        region_of_interest: Some(Rect { x: 1, y: 2, width: 3, height: 4 }),
        binning: Some([2, 3]),
        black_levels: Some([64, 65, 66, 67]),
        upstream: Some((5, 1 << 33)),
        pts_offset_ns: Some(-1),
    });
    meta
}

#[test]
fn what_a_frame_says_about_itself_arrives_and_nothing_of_the_frame_before() {
    let lane = TestLane::new(Geometry::new(100).seats(1).pins(1).history(1).user_bytes(3));
    let (producer, consumer) = (lane.producer(), lane.consumer(0));
    let plain = FrameMeta::bytes(7);
    let blank = FrameMeta::bytes(0);
    // Three slots: every slot carries each of these at some time, after each of the others.
    for meta in [
        everything(),
        plain,
        blank,
        everything(),
        everything(),
        plain,
        plain,
        blank,
        everything(),
        blank,
        plain,
    ] {
        let mut loan = producer.loan().unwrap();
        loan.fill(7);
        loan.user_mut().fill(9);
        _ = producer.publish(loan, &meta).unwrap();
        let frame = consumer.next().unwrap().unwrap();
        assert_eq!(frame.meta(), meta);
        assert_eq!(frame.len(), meta.layout.bytes as usize);
        assert_eq!(frame.user(), &[9; 3][..meta.user_len as usize]);
        assert!(frame.plane(meta.layout.count.into()).is_none());
    }
}

#[test]
fn planes_are_slices_of_the_frame() {
    let lane = TestLane::new(Geometry::new(100));
    let (producer, consumer) = (lane.producer(), lane.consumer(0));
    let mut loan = producer.loan().unwrap();
    for (index, byte) in loan.iter_mut().enumerate() {
        *byte = index as u8;
    }
    _ = producer.publish(loan, &FrameMeta::new(PixelFormat::I420.layout(6, 4, 1).unwrap())).unwrap();
    let frame = consumer.next().unwrap().unwrap();
    let plane = |index| frame.plane(index).map(|bytes| (bytes[0], bytes.len()));
    assert_eq!([plane(0), plane(1), plane(2), plane(3)], [Some((0, 24)), Some((24, 6)), Some((30, 6)), None]);
}

#[test]
fn user_metadata_has_whole_cache_lines_and_its_own_place() {
    let lane = TestLane::new(Geometry::new(16).seats(1).pins(3).history(2).user_bytes(65));
    let (producer, consumer) = (lane.producer(), lane.consumer(0));
    assert_eq!(lane.shape.user_bytes(), 128);
    for number in 1..=20u8 {
        let mut loan = producer.loan().unwrap();
        assert_eq!(loan.user_mut().len(), 128);
        loan.user_mut().fill(number);
        let next = number + 1;
        let mut meta = FrameMeta::bytes(0);
        meta.user_len = (number % 4 * 40).into();
        _ = producer.publish(loan, &meta).unwrap();
        let frame = consumer.next().unwrap().unwrap();
        let mut other = producer.loan().unwrap();
        other.user_mut().fill(next);
        assert_eq!(frame.user(), vec![number; meta.user_len as usize]);
    }
}

#[rstest]
#[case::longer_than_a_slot(|meta: &mut FrameMeta| meta.layout.bytes = 101, PublishError::TooLong { bytes: 101, slot_size: 100 })]
#[case::endless(|meta: &mut FrameMeta| meta.layout.bytes = u32::MAX, PublishError::TooLong { bytes: u32::MAX, slot_size: 100 })]
#[case::too_much_from_the_user(|meta: &mut FrameMeta| meta.user_len = 65, PublishError::UserTooLong { bytes: 65, room: 64 })]
#[case::a_plane_beyond_the_frame(
    |meta: &mut FrameMeta| meta.layout.planes[0].bytes = 51,
    PublishError::PlaneOutside { plane: 0, bytes: 50 },
)]
#[case::a_plane_that_overflows(
    |meta: &mut FrameMeta| {
        meta.layout.count = 2;
        meta.layout.planes[1] = Plane { offset: u32::MAX, stride: 1, rows: 1, bytes: 2 };
    },
    PublishError::PlaneOutside { plane: 1, bytes: 50 },
)]
fn what_cannot_be_true_of_a_frame_is_not_published(
    #[case] lie: fn(&mut FrameMeta),
    #[case] error: PublishError,
) {
    let lane = TestLane::new(Geometry::new(100).seats(1).pins(1).history(1).slots(2).user_bytes(64));
    let (producer, consumer) = (lane.producer(), lane.consumer(0));
    publish(&producer);
    let bell = consumer.bell();
    let mut meta = FrameMeta::bytes(50);
    lie(&mut meta);
    // More often than there are slots: each is free again.
    for _ in 0..5 {
        let loan = producer.loan().unwrap();
        assert_eq!(producer.publish(loan, &meta).unwrap_err(), error);
    }
    assert_eq!((producer.published(), producer.dropped(), consumer.bell()), (1, 0, bell));
    assert_eq!(consumer.latest().unwrap().unwrap().number(), 1);
    assert_eq!(publish(&producer), 2);
}

#[test]
fn a_loan_of_another_producer_is_refused_and_free_again_over_there() {
    let least = Geometry::new(1).seats(1).pins(1).history(1);
    let (here, there) = (TestLane::new(least), TestLane::new(least.slots(2)));
    let (producer, other) = (here.producer(), there.producer());
    publish(&other);
    for _ in 0..5 {
        let foreign = other.loan().unwrap();
        let slot = foreign.slot();
        assert_eq!(producer.publish(foreign, &FrameMeta::bytes(1)).unwrap_err(), PublishError::ForeignLoan);
        assert_eq!(there.data.peek(there.word_at(slot)), word(0, common::FREE));
    }
    assert_eq!((producer.published(), other.published(), other.dropped()), (0, 1, 0));
    assert_eq!(here.words(), [0; 3]);
    assert_eq!((publish(&producer), publish(&other)), (1, 2));
}

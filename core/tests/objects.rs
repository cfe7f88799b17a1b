//! Objects in memory: made, found, and refused.

mod common;

use camlane_core::layout::LAYOUT;
use camlane_core::{
    AttachError, ClockOffsets, CreateError, FrameMeta, Geometry, InfoSpec, Lane, LaneSpec, Memory,
    PixelFormat, Producer, Region, TakeOverError,
};
use common::{TestLane, at, fill, is_whole};
use rstest::rstest;
use zerocopy::IntoBytes;

const LEAST: Geometry = Geometry::new(1).seats(1).pins(1).history(1);

#[test]
fn a_producer_starts_only_where_there_are_frames_to_come_and_none_to_overwrite() {
    let lane = TestLane::new(Geometry::new(16).seats(5).pins(1).history(3));
    let small = Producer::<8>::new(lane.producer_role());
    assert_eq!(small.unwrap_err(), TakeOverError::TooManySlots { slots: 9, room: 8 });
    let exact: Producer<'_, 9> = Producer::new(lane.producer_role()).unwrap();
    let consumer = lane.consumer(0);
    core::mem::forget(exact.loan().unwrap());
    assert!(Producer::<9>::new(lane.producer_role()).is_ok(), "a loan is not a frame");
    let mut loan = exact.loan().unwrap();
    fill(&mut loan, 1);
    _ = exact.publish(loan, &FrameMeta::bytes(16)).unwrap();
    let held = consumer.next().unwrap().unwrap();
    assert_eq!(Producer::<9>::new(lane.producer_role()).unwrap_err(), TakeOverError::NotNew);
    assert!(is_whole(&held));
    let stream = TestLane::new(Geometry::stream(64));
    assert_eq!(Producer::<9>::new(stream.producer_role()).unwrap_err(), TakeOverError::IsAStream);
    assert_eq!(Producer::<9>::take_over(stream.producer_role()).unwrap_err(), TakeOverError::IsAStream);
}

#[test]
fn a_lane_is_not_made_where_it_does_not_fit() {
    let shape = Geometry::new(64).shape().unwrap();
    let spec = LaneSpec::anonymous(shape);
    let needed = shape.footprint();
    let mut words = vec![0u32; needed as usize / 4 + 1];
    let bytes = words.as_mut_bytes();
    let short = Lane::create_in(&mut bytes[..needed as usize - 1], &spec);
    assert_eq!(short.unwrap_err(), CreateError::TooSmall { needed, found: needed - 1 });
    assert_eq!(Lane::create_in(&mut bytes[1..], &spec).unwrap_err(), CreateError::Misaligned);
    let apart = LaneSpec::anonymous(Geometry::new(64).paged(4096).shape().unwrap());
    assert_eq!(Lane::create_in(bytes, &apart).unwrap_err(), CreateError::SeatsElsewhere);
    let name = "n".repeat(65);
    let long = LaneSpec { info: InfoSpec { name: &name, ..InfoSpec::NOTHING }, ..spec };
    assert_eq!(Lane::create_in(bytes, &long).unwrap_err(), CreateError::TextTooLong { len: 65 });
    assert!(bytes.iter().take(8).all(|&byte| byte == 0), "nothing that looks like a lane was left");
    assert_eq!(Region::attach(&Memory::from_mut(&mut bytes[1..])).unwrap_err(), AttachError::Misaligned);
    assert_eq!(Region::attach(&Memory::from_mut(bytes)).unwrap_err(), AttachError::Foreign);
    assert!(Lane::create_in(bytes, &spec).is_ok());
}

#[test]
fn what_a_lane_says_about_itself_is_what_it_was_made_with() {
    let info = InfoSpec {
        name: &"ü".repeat(32),
        frame_id: "camera_optical_frame",
        calibration: "",
        format: PixelFormat::NV12,
        size: (1920, 1080),
        rate: (30_000, 1001),
        creator: (4711, 1 << 40),
        boot_id: *b"0123456789abcdef",
        clocks: ClockOffsets {
            boottime_minus_monotonic: -5,
            realtime_minus_monotonic: i64::MAX,
            tai_minus_realtime: 37_000_000_000,
            sampled_at: 1 << 50,
        },
    };
    let shape = Geometry::new(16).shape().unwrap();
    let words = common::Words::new(shape.data_len());
    let spec = LaneSpec { shape, incarnation: [1, 2, 3, u32::MAX], created_ns: 1 << 45, info };
    Region::create(words.memory(), &spec).unwrap();
    let region = Region::attach(&words.memory()).unwrap();
    assert_eq!(
        (*region.shape(), region.incarnation(), region.created_ns()),
        (shape, spec.incarnation, spec.created_ns)
    );
    let found = region.info().unwrap();
    assert_eq!(
        (&*found.name, &*found.frame_id, &*found.calibration),
        (info.name, info.frame_id, info.calibration)
    );
    assert_eq!((found.format, found.size, found.rate), (info.format, info.size, info.rate));
    assert_eq!((found.creator, found.boot_id, found.clocks), (info.creator, info.boot_id, info.clocks));
    words.poke(0x100, 0);
    assert_eq!(region.info().unwrap_err(), AttachError::Checksum { what: "info record" });
}

#[rstest]
#[case::foreign(0x00, 0, AttachError::Foreign)]
#[case::of_another_major_version(0x08, LAYOUT + (1 << 16), AttachError::Version { found: LAYOUT + (1 << 16), supported: LAYOUT })]
#[case::damaged(0x28, 4, AttachError::Checksum { what: "header" })]
#[case::not_ready(at::STATE, 0, AttachError::NotReady)]
#[case::in_no_known_state(at::STATE, 4, AttachError::Corrupt { what: "state" })]
fn an_object_is_refused_with_the_reason(
    #[case] offset: usize,
    #[case] value: u32,
    #[case] error: AttachError,
) {
    let lane = TestLane::new(LEAST);
    lane.data.poke(offset, value);
    assert_eq!(Region::attach(&lane.data.memory()).unwrap_err(), error);
}

#[test]
fn an_object_that_was_cut_is_refused() {
    let lane = TestLane::new(LEAST);
    let whole = lane.data.len();
    for found in [0, 4, 0x23f, 0x240, whole - 1] {
        let error = Region::attach(&lane.data.memory_of(0, found)).unwrap_err();
        let needed = if found < 0x240 { 0x240 } else { whole as u64 };
        assert_eq!(error, AttachError::TooShort { needed, found: found as u64 });
    }
    assert!(Region::attach(&lane.data.memory_of(0, whole)).is_ok());
}

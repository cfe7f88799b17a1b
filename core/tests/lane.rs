//! What a lane promises to those who use it, over plain memory.

mod common;

use std::thread;

use camlane_core::layout::LAYOUT;
use camlane_core::{
    AttachError, Clock, ClockOffsets, Colour, Consumer, CreateError, Details, Flags, FrameMeta, Geometry,
    InfoSpec, Lane, LaneSpec, LaneState, Loan, Memory, PixelFormat, Plane, Producer, PublishError, ReadError,
    Rect, Reference, Region, TakeOverError,
};
use common::{TestLane, at, fill, is_whole, pattern, publish, publish_in, publish_many, word};
use rstest::rstest;
use zerocopy::IntoBytes;

const LEAST: Geometry = Geometry::new(1).seats(1).pins(1).history(1);

#[rstest]
#[case::of_least_size(LEAST)]
#[case::of_odd_size(Geometry::new(1001).seats(2).pins(1).history(1))]
#[case::of_several_loans(Geometry::new(128).seats(1).pins(2).history(2).loans(4))]
#[case::of_long_history(Geometry::new(64).seats(1).pins(8).history(30))]
#[case::in_pages(Geometry::new(5000).seats(2).pins(1).paged(4096))]
#[case::with_aligned_slots(Geometry::new(100).seats(1).pins(1).slot_align(1024))]
#[case::with_user_bytes(Geometry::new(100).seats(1).pins(1).user_bytes(33))]
#[case::taken_over_in_place(Geometry::new(100).in_place())]
fn a_reader_who_keeps_up_gets_every_frame_as_it_was_written(#[case] geometry: Geometry) {
    let lane = TestLane::new(geometry);
    let (producer, consumer) = (lane.producer(), lane.consumer(0));
    assert!(consumer.next().unwrap().is_none());
    for number in 1..=100 {
        assert_eq!(publish(&producer), number);
        let frame = consumer.next().unwrap().unwrap();
        assert_eq!((frame.number(), frame.missed(), frame.dropped()), (number, 0, 0));
        assert_eq!(frame.len(), lane.shape.slot_size() as usize);
        assert!(is_whole(&frame));
        drop(frame);
        assert!(consumer.next().unwrap().is_none());
        assert_eq!((consumer.delivered(), consumer.missed(), consumer.position()), (number, 0, number));
    }
    assert_eq!(producer.published(), 100);
}

#[rstest]
#[case::history_1(1)]
#[case::history_2(2)]
#[case::history_7(7)]
fn a_reader_who_falls_behind_gets_the_newest_frames_and_the_count_of_the_others(#[case] history: u32) {
    let lane = TestLane::new(Geometry::new(16).seats(1).history(history));
    let (producer, consumer) = (lane.producer(), lane.consumer(0));
    let mut expected = 1;
    for burst in [1, 2, 5, 6, 7, 8, 100] {
        publish_many(&producer, burst);
        let kept = burst.min(history.into());
        for step in 0..kept {
            let frame = consumer.next().unwrap().unwrap();
            assert_eq!(frame.missed(), if step == 0 { burst - kept } else { 0 });
            assert_eq!(frame.number(), expected + burst - kept + step);
            assert!(is_whole(&frame));
        }
        expected += burst;
        assert!(consumer.next().unwrap().is_none());
        assert_eq!(consumer.delivered() + consumer.missed(), producer.published());
    }
}

#[test]
fn latest_skips_to_the_newest_frame_and_counts_what_it_skipped() {
    let lane = TestLane::new(Geometry::new(16).history(3));
    let (producer, consumer) = (lane.producer(), lane.consumer(0));
    publish(&producer);
    assert_eq!(consumer.latest().unwrap().unwrap().missed(), 0);
    assert!(consumer.latest().unwrap().is_none());
    publish_many(&producer, 3);
    let frame = consumer.latest().unwrap().unwrap();
    assert_eq!((frame.number(), frame.missed()), (4, 2));
    assert!(consumer.latest().unwrap().is_none() && consumer.next().unwrap().is_none());
    assert_eq!((consumer.delivered(), consumer.missed()), (2, 2));
}

#[test]
fn newest_can_be_looked_at_again_and_again_and_counts_nothing() {
    let lane = TestLane::new(Geometry::new(16).history(3));
    let (producer, consumer) = (lane.producer(), lane.consumer(0));
    assert!(consumer.newest().unwrap().is_none());
    publish_many(&producer, 2);
    for _ in 0..3 {
        let frame = consumer.newest().unwrap().unwrap();
        assert_eq!((frame.number(), frame.missed()), (2, 0));
    }
    assert_eq!((consumer.position(), consumer.delivered(), consumer.missed()), (0, 0, 0));
    assert_eq!(consumer.next().unwrap().unwrap().number(), 1);
}

#[test]
fn who_sits_down_before_the_first_frame_starts_with_number_1() {
    let lane = TestLane::new(Geometry::new(16).history(3));
    let (producer, consumer) = (lane.producer(), lane.consumer(0));
    publish_many(&producer, 3);
    let frame = consumer.next().unwrap().unwrap();
    assert_eq!((frame.number(), frame.missed()), (1, 0));
}

#[test]
fn who_sits_down_late_starts_with_the_newest_frame_and_missed_nothing() {
    let lane = TestLane::new(Geometry::new(16).history(3));
    let producer = lane.producer();
    publish_many(&producer, 10);
    producer.count_dropped(5);
    let (latest, next) = (lane.consumer(0), lane.consumer(1));
    let (one, other) = (latest.latest().unwrap().unwrap(), next.next().unwrap().unwrap());
    assert_eq!((one.number(), one.missed(), one.dropped()), (10, 0, 0));
    assert_eq!((other.number(), other.missed(), other.dropped()), (10, 0, 0));
    publish(&producer);
    let after = next.next().unwrap().unwrap();
    assert_eq!((after.number(), after.missed(), after.dropped()), (11, 0, 5));
}

#[test]
fn who_wants_the_first_frame_gets_the_oldest_that_is_left_and_the_count_of_the_others() {
    let lane = TestLane::new(Geometry::new(16).history(3));
    let producer = lane.producer();
    let early = Consumer::from_the_first(lane.seat_role(0), 1);
    assert!(early.next().unwrap().is_none());
    publish_many(&producer, 10);
    let late = Consumer::from_the_first(lane.seat_role(1), 1);
    for consumer in [early, late] {
        let found: Vec<_> =
            std::iter::from_fn(|| consumer.next().unwrap().map(|f| (f.number(), f.missed()))).collect();
        assert_eq!(found, [(8, 7), (9, 0), (10, 0)]);
    }
}

#[test]
fn loans_are_numbered_as_they_are_published_not_as_they_were_lent() {
    let lane = TestLane::new(Geometry::new(8).history(3).loans(3));
    let (producer, consumer) = (lane.producer(), lane.consumer(0));
    let mut loans: Vec<Loan<'_>> = (0..3).map(|_| producer.loan().unwrap()).collect();
    let slots: Vec<u32> = loans.iter().map(Loan::slot).collect();
    for (mark, loan) in loans.iter_mut().enumerate() {
        loan.fill(mark as u8);
    }
    for mark in [2, 0, 0] {
        let loan = loans.remove(mark);
        _ = producer.publish(loan, &FrameMeta::bytes(8)).unwrap();
    }
    for (number, mark) in [(1, 2), (2, 0), (3, 1)] {
        let frame = consumer.next().unwrap().unwrap();
        assert_eq!((frame.number(), frame.slot(), frame[0]), (number, slots[mark as usize], mark));
    }
}

#[test]
fn a_dropped_loan_is_free_again_and_was_never_published() {
    let lane = TestLane::new(LEAST.slots(2));
    let (producer, consumer) = (lane.producer(), lane.consumer(0));
    publish(&producer);
    for _ in 0..10 {
        let loan = producer.loan().unwrap();
        assert_eq!(lane.data.peek(lane.word_at(loan.slot())), word(0, common::WRITING));
        assert!(producer.loan().is_err());
    }
    assert_eq!((producer.published(), producer.dropped()), (1, 10));
    assert_eq!(publish(&producer), 2);
    assert_eq!(consumer.latest().unwrap().unwrap().number(), 2);
}

#[test]
fn a_loan_can_be_filled_and_dropped_on_another_thread() {
    let lane = TestLane::new(LEAST.slots(3).loans(2));
    let (producer, consumer) = (lane.producer(), lane.consumer(0));
    for _ in 0..50 {
        let (mut filled, dropped) = (producer.loan().unwrap(), producer.loan().unwrap());
        let number = producer.published() + 1;
        let filled = thread::scope(|threads| {
            threads.spawn(move || drop(dropped));
            threads
                .spawn(move || {
                    fill(&mut filled, number);
                    filled
                })
                .join()
                .unwrap()
        });
        _ = producer.publish(filled, &FrameMeta::bytes(1)).unwrap();
        assert!(is_whole(&consumer.next().unwrap().unwrap()));
    }
    assert_eq!(producer.dropped(), 0);
}

#[rstest]
#[case::just_enough_slots(Geometry::new(256).seats(2).pins(2).history(2))]
#[case::too_few_slots(Geometry::new(256).seats(2).pins(2).history(2).slots(5))]
fn a_held_frame_stays_as_it_is_while_thousands_are_published(#[case] geometry: Geometry) {
    let lane = TestLane::new(geometry);
    let (producer, holder, other) = (lane.producer(), lane.consumer(0), lane.consumer(1));
    publish(&producer);
    let first = holder.next().unwrap().unwrap();
    publish(&producer);
    let second = holder.next().unwrap().unwrap();
    for _ in 0..5000 {
        publish(&producer);
        assert!(is_whole(&other.latest().unwrap().unwrap()));
        assert!(is_whole(&first) && is_whole(&second));
    }
    assert_eq!((first.number(), second.number()), (1, 2));
    assert_eq!((first.meta(), second.meta()), (FrameMeta::bytes(256), FrameMeta::bytes(256)));
    drop(first);
    let next = holder.next().unwrap().unwrap();
    assert_eq!((next.number(), next.missed()), (5001, 4998));
}

#[test]
fn a_reader_holds_as_many_frames_as_it_has_pins_and_loses_none_by_asking_for_more() {
    let lane = TestLane::new(Geometry::new(16).pins(3).history(5));
    let (producer, consumer) = (lane.producer(), lane.consumer(0));
    publish_many(&producer, 4);
    let mut held: Vec<_> = (0..3).map(|_| consumer.next().unwrap().unwrap()).collect();
    assert_eq!(consumer.held(), 3);
    for found in [consumer.next(), consumer.latest(), consumer.newest()] {
        assert_eq!(found.unwrap_err(), ReadError::AllPinned { pins: 3 });
    }
    assert_eq!((consumer.delivered(), consumer.missed(), consumer.position()), (3, 0, 3));
    drop(held.remove(1));
    assert_eq!(consumer.held(), 2);
    let next = consumer.next().unwrap().unwrap();
    assert_eq!((next.number(), next.missed()), (4, 0));
    assert!(consumer.next().unwrap().is_none(), "nothing is new, so no pin is needed to say so");
}

/// Lets every reader hold all it may, of frames that are not in the history any more.
fn hold_all<'c>(
    producer: &Producer<'_>,
    consumers: &'c [Consumer<'_>],
    pins: u32,
) -> Vec<camlane_core::Frame<'c>> {
    let mut held = Vec::new();
    for consumer in consumers {
        for _ in 0..pins {
            publish(producer);
            held.push(consumer.latest().unwrap().unwrap());
        }
    }
    held
}

#[rstest]
#[case::least(LEAST)]
#[case::three_seats(Geometry::new(8).seats(3).pins(2).history(2))]
#[case::two_loans(Geometry::new(8).seats(1).pins(8).history(4).loans(2))]
#[case::many(Geometry::new(8).seats(4).pins(8).history(6).loans(6))]
fn the_derived_number_of_slots_is_enough_and_one_less_is_not(#[case] geometry: Geometry) {
    let enough = geometry.shape().unwrap();
    assert!(enough.never_starves());
    for (geometry, starves) in [(geometry, false), (geometry.slots(enough.slots() - 1), true)] {
        let lane = TestLane::new(geometry);
        assert_eq!(lane.shape.never_starves(), !starves);
        let producer = lane.producer();
        let consumers: Vec<_> = (0..enough.seats()).map(|seat| lane.consumer(seat)).collect();
        let held = hold_all(&producer, &consumers, enough.pins());
        publish_many(&producer, enough.history().into());
        let loans: Vec<_> = (0..enough.loans()).map(|_| producer.loan()).collect();
        assert_eq!(loans.iter().filter(|loan| loan.is_err()).count(), starves.into());
        assert!(held.iter().all(is_whole));
    }
}

#[test]
fn a_lane_that_starves_drops_frames_and_readers_are_told_how_many() {
    let lane = TestLane::new(Geometry::new(16).seats(2).pins(2).history(1).slots(4));
    let (producer, greedy, modest) = (lane.producer(), lane.consumer(0), lane.consumer(1));
    let mut held = hold_all(&producer, std::slice::from_ref(&greedy), 2);
    publish(&producer);
    let third = modest.latest().unwrap().unwrap();
    publish(&producer);
    assert_eq!(modest.latest().unwrap().unwrap().dropped(), 0);
    for lost in 1..=3 {
        let error = producer.loan().unwrap_err();
        assert_eq!((error.slots, producer.dropped(), lane.live(at::DROPPED)), (4, lost, lost));
    }
    producer.count_dropped(2);
    drop(held.remove(0));
    publish(&producer);
    let frame = modest.latest().unwrap().unwrap();
    assert_eq!((frame.number(), frame.missed(), frame.dropped()), (5, 0, 5));
    drop((frame, third));
    publish(&producer);
    assert_eq!(modest.next().unwrap().unwrap().dropped(), 0);
    assert_eq!(greedy.next().unwrap().unwrap().dropped(), 5);
}

#[test]
fn the_count_of_drops_may_wrap() {
    let lane = TestLane::new(LEAST);
    let producer = lane.producer();
    producer.count_dropped(u32::MAX - 1);
    let consumer = lane.consumer(0);
    producer.count_dropped(5);
    publish(&producer);
    assert_eq!(consumer.next().unwrap().unwrap().dropped(), 5);
    assert_eq!(producer.dropped(), 3);
}

#[test]
fn frames_can_be_dropped_on_another_thread() {
    let lane = TestLane::new(Geometry::new(64).seats(1).pins(2).history(1));
    let (producer, consumer) = (lane.producer(), lane.consumer(0));
    for _ in 0..100 {
        publish(&producer);
        let frame = consumer.next().unwrap().unwrap();
        thread::scope(|threads| _ = threads.spawn(move || assert!(is_whole(&frame))));
        assert_eq!((consumer.held(), lane.pins()), (0, vec![]));
    }
    assert_eq!(producer.dropped(), 0);
}

#[test]
fn a_seat_is_used_again_after_its_consumer() {
    let lane = TestLane::new(Geometry::new(16).seats(1).pins(1));
    let producer = lane.producer();
    publish_many(&producer, 3);
    let first = lane.consumer(0);
    assert_eq!(first.latest().unwrap().unwrap().number(), 3);
    drop(first);
    assert_eq!(lane.all_seats().in_use().count(), 0);
    publish(&producer);
    let second = lane.consumer(0);
    let frame = second.next().unwrap().unwrap();
    assert_eq!((frame.number(), frame.missed(), second.delivered()), (4, 0, 1));
}

#[test]
fn a_frame_lies_in_the_slice_itself_and_so_does_what_is_written() {
    let shape = Geometry::new(1000).seats(2).pins(1).shape().unwrap();
    let mut words = vec![0u32; shape.footprint() as usize / 4];
    let bytes = words.as_mut_bytes();
    let range = bytes.as_ptr_range();
    let mut lane = Lane::create_in(bytes, &LaneSpec::anonymous(shape)).unwrap();
    let producer: Producer<'_> = Producer::new(lane.producer).unwrap();
    let consumer = Consumer::new(lane.seats.next().unwrap(), 0);
    assert!(lane.seats.next().is_some() && lane.seats.next().is_none());
    for _ in 0..10 {
        let loan = producer.loan().unwrap();
        let (slot, written) = (loan.slot(), loan.as_ptr());
        publish_in(&producer, loan);
        let frame = consumer.latest().unwrap().unwrap();
        assert_eq!((frame.slot(), frame.as_ptr()), (slot, written));
        assert_eq!(frame.as_ptr(), range.start.wrapping_add(lane.region.payload_offset(slot) as usize));
        assert!(frame.as_ptr_range().end <= range.end);
    }
}

#[test]
fn what_was_left_can_be_read_after_the_end() {
    let lane = TestLane::new(LEAST.history(2));
    let (producer, consumer) = (lane.producer(), lane.consumer(0));
    publish_many(&producer, 2);
    assert_eq!((lane.region().state(), consumer.state()), (LaneState::Live, LaneState::Live));
    let bell = consumer.bell();
    producer.close();
    assert_ne!(consumer.bell(), bell);
    assert_eq!(consumer.state(), LaneState::Closed);
    assert_eq!(consumer.next().unwrap().unwrap().number(), 1);
    assert_eq!(consumer.next().unwrap().unwrap().number(), 2);
    assert!(consumer.next().unwrap().is_none());
}

#[test]
fn a_superseded_lane_says_so_whoever_superseded_it() {
    let [own, dead] = [(); 2].map(|()| TestLane::new(LEAST));
    own.producer().supersede();
    let bell = dead.live(at::BELL);
    // SAFETY: writable, and nobody produces there.
    #[allow(unsafe_code, reason = "what an adapter does with a dead producer's object")]
    unsafe {
        dead.region().supersede();
    }
    for lane in [&own, &dead] {
        assert_eq!((lane.region().state(), lane.live(at::BELL)), (LaneState::Superseded, bell + 1));
    }
}

/// Publishes a frame and returns whether somebody must be woken.
fn wakes(producer: &Producer<'_>) -> bool {
    producer.publish(producer.loan().unwrap(), &FrameMeta::bytes(0)).unwrap().asleep
}

#[test]
fn publish_tells_whether_anybody_sleeps() {
    let lane = TestLane::new(Geometry::new(16).seats(2));
    let (producer, one, other) = (lane.producer(), lane.consumer(0), lane.consumer(1));
    assert!(!wakes(&producer));
    let bell = one.bell();
    let asleep = one.fall_asleep(bell).unwrap();
    assert_eq!((asleep.expected(), asleep.word().load(std::sync::atomic::Ordering::Relaxed)), (bell, bell));
    let also = other.fall_asleep(bell).unwrap();
    assert!(wakes(&producer));
    drop(asleep);
    assert!(wakes(&producer));
    drop(also);
    assert!(!wakes(&producer));
    assert!(one.fall_asleep(bell).is_none(), "the bell rang since");
    assert!(!wakes(&producer), "who stayed awake left no trace");
    let forgotten = one.fall_asleep(one.bell()).unwrap();
    std::mem::forget(forgotten);
    assert!(wakes(&producer));
    drop(one);
    assert!(!wakes(&producer), "who leaves does not sleep");
}

#[test]
fn a_lane_can_be_made_to_wake_always() {
    let lane = TestLane::new(LEAST.always_wake());
    assert!(wakes(&lane.producer()));
    assert!(lane.region().shape().always_wake());
}

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
    let (here, there) = (TestLane::new(LEAST), TestLane::new(LEAST.slots(2)));
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

#[test]
fn a_producer_starts_only_where_there_are_frames_to_come_and_none_to_overwrite() {
    let lane = TestLane::new(Geometry::new(16).seats(5).pins(1).history(3));
    let small = Producer::<8>::new(lane.producer_role());
    assert_eq!(small.unwrap_err(), TakeOverError::TooManySlots { slots: 9, room: 8 });
    let exact: Producer<'_, 9> = Producer::new(lane.producer_role()).unwrap();
    let consumer = lane.consumer(0);
    std::mem::forget(exact.loan().unwrap());
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

#[test]
fn ends_go_to_other_threads_and_frames_are_shared_between_them() {
    fn send<T: Send>(_: &T) {}
    fn sync<T: Sync>(_: &T) {}
    let lane = TestLane::new(LEAST);
    let (producer, consumer) = (lane.producer(), lane.consumer(0));
    let loan = producer.loan().unwrap();
    send(&loan);
    publish_in(&producer, loan);
    let frame = consumer.next().unwrap().unwrap();
    send(&frame);
    sync(&frame);
    assert_eq!(*frame, pattern(1, 1));
    drop(frame);
    send(&producer);
    send(&consumer);
}

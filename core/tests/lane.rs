//! What a lane promises to those who use it, over plain memory.

mod common;

use std::thread;

use camlane_core::{
    Consumer, Frame, FrameMeta, Geometry, Lane, LaneSpec, LaneState, Loan, Producer, ReadError,
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
            core::iter::from_fn(|| consumer.next().unwrap().map(|f| (f.number(), f.missed()))).collect();
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
fn hold_all<'c>(producer: &Producer<'_>, consumers: &'c [Consumer<'_>], pins: u32) -> Vec<Frame<'c>> {
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
fn the_largest_lane_works_to_its_last_slot() {
    const SLOTS: usize = camlane_core::MAX_SLOTS as usize;
    let geometry = Geometry::new(8).seats(1).pins(2).history(1).slots(camlane_core::MAX_SLOTS);
    assert!(geometry.slots(camlane_core::MAX_SLOTS + 1).shape().is_err());
    let test = || {
        let lane = TestLane::new(geometry);
        let producer: Producer<'_, SLOTS> = Producer::new(lane.producer_role()).unwrap();
        let consumer = lane.consumer(0);
        let publish = || {
            let mut loan = producer.loan().unwrap();
            fill(&mut loan, producer.published() + 1);
            let slot = loan.slot();
            _ = producer.publish(loan, &FrameMeta::bytes(8)).unwrap();
            slot
        };
        while publish() != camlane_core::MAX_SLOTS - 1 {}
        let held = consumer.latest().unwrap().unwrap();
        assert_eq!((held.slot(), is_whole(&held)), (camlane_core::MAX_SLOTS - 1, true));
        // Once around: every slot is used again but the one that is held.
        let used: Vec<u32> = (0..SLOTS).map(|_| publish()).collect();
        assert!(!used.contains(&held.slot()) && is_whole(&held));
    };
    // The books of so many slots do not fit the stack of a test's thread.
    thread::scope(|threads| {
        let big = thread::Builder::new().stack_size(64 << 20);
        big.spawn_scoped(threads, test).unwrap().join().unwrap();
    });
}

#[test]
fn a_lane_that_starves_drops_frames_and_readers_are_told_how_many() {
    let lane = TestLane::new(Geometry::new(16).seats(2).pins(2).history(1).slots(4));
    let (producer, greedy, modest) = (lane.producer(), lane.consumer(0), lane.consumer(1));
    let mut held = hold_all(&producer, core::slice::from_ref(&greedy), 2);
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

/// Publishes a frame and returns how many must be woken.
fn asleep(producer: &Producer<'_>) -> u32 {
    producer.publish(producer.loan().unwrap(), &FrameMeta::bytes(0)).unwrap().asleep
}

#[test]
fn publish_tells_how_many_sleep() {
    let lane = TestLane::new(Geometry::new(16).seats(2));
    let (producer, one, other) = (lane.producer(), lane.consumer(0), lane.consumer(1));
    assert_eq!(asleep(&producer), 0);
    let bell = one.bell();
    let sleeper = one.fall_asleep(bell).unwrap();
    assert_eq!((sleeper.expected(), sleeper.word().value()), (bell, bell));
    let also = other.fall_asleep(bell).unwrap();
    assert_eq!(asleep(&producer), 2);
    drop(sleeper);
    assert_eq!(asleep(&producer), 1);
    drop(also);
    assert_eq!(asleep(&producer), 0);
    assert!(one.fall_asleep(bell).is_none(), "the bell rang since");
    assert_eq!(asleep(&producer), 0, "who stayed awake left no trace");
    let forgotten = one.fall_asleep(one.bell()).unwrap();
    core::mem::forget(forgotten);
    assert_eq!(asleep(&producer), 1);
    drop(one);
    assert_eq!(asleep(&producer), 0, "who leaves does not sleep");
}

#[test]
fn a_lane_can_be_made_to_wake_always() {
    let lane = TestLane::new(LEAST.always_wake());
    assert_eq!(asleep(&lane.producer()), u32::MAX);
    assert!(lane.region().shape().always_wake());
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

#[rstest]
#[case::small_ones_go_round(16, 4)]
#[case::of_large_ones_the_one_released_last_is_next(2 << 20, 2)]
fn which_slot_is_lent_next_depends_on_its_size(#[case] size: u32, #[case] in_turn: usize) {
    let lane = TestLane::new(Geometry::new(size).seats(1).pins(1).history(1).slots(4));
    let (producer, consumer) = (lane.producer(), lane.consumer(0));
    let lent = |frames: u32| {
        let slots = (0..frames).map(|_| {
            let mut loan = producer.loan().unwrap();
            let slot = loan.slot();
            fill(&mut loan[..16], producer.published() + 1);
            _ = producer.publish(loan, &FrameMeta::bytes(16)).unwrap();
            slot
        });
        slots.collect::<std::collections::BTreeSet<_>>()
    };
    lent(3);
    assert_eq!(lent(12).len(), in_turn);
    let held = consumer.newest().unwrap().unwrap();
    lent(1);
    assert!(!lent(12).contains(&held.slot()));
    assert!(is_whole(&held));
}

//! Consumers that hold frames in place while the producer comes round to their slots again.

use camlane_core::{Consumer, Geometry, ReadError};
use loom::thread;
use rstest::rstest;

use crate::{Kept, Lane, TIGHT, TIGHT_AND_LARGE, explore, unless_overtaken};

/// Reads the newest frame so many times and checks what it sees. Whoever is overtaken reads nothing.
fn read(lane: &Lane, consumer: &Consumer<'_>, times: u32) {
    let mut first = consumer.position();
    for _ in 0..times {
        let Some(frame) = unless_overtaken(consumer.latest()) else { continue };
        first = if first == 0 { frame.number() } else { first };
        lane.look(&frame);
        let distance = consumer.position() - first + 1;
        assert_eq!(consumer.delivered() + consumer.missed(), distance, "COUNT NOT EXACT");
    }
}

#[rstest]
#[case::wide("wide numbers", 30, 1, TIGHT)]
#[case::across_the_wrap("numbers 2, 3, 0, 1", 2, 2, TIGHT)]
#[case::in_laps("numbers 1, 0, 1, 0", 1, 1, TIGHT)]
#[case::in_large_slots("the slot released last first", 30, 1, TIGHT_AND_LARGE)]
fn a_frame_stays_as_it_is_while_it_is_held(
    #[case] numbers: &str,
    #[case] bits: u32,
    #[case] first: u64,
    #[case] geometry: Geometry,
) {
    explore(&format!("a frame stays as it is, {numbers}"), bits, None, move || {
        let lane = Lane::new(geometry);
        let lane = lane.get();
        let (producer, consumer) = (lane.producer_at(first), lane.consumer(0));
        let reader = thread::spawn(move || {
            read(lane, &consumer, 1);
            consumer
        });
        for _ in 0..3 {
            let _ = lane.publish(&producer);
        }
        lane.find_newest(&reader.join().expect("no panic"), first + 3);
    });
}

#[rstest]
#[case::wide("wide numbers", 30, 1, 4)]
#[case::in_laps("numbers 1, 0, 1, 0", 1, 1, 3)]
fn a_second_borrow_does_not_hide_the_end_of_the_first(
    #[case] numbers: &str,
    #[case] bits: u32,
    #[case] first: u64,
    #[case] preemptions: usize,
) {
    explore(&format!("two borrows, {numbers}"), bits, Some(preemptions), move || {
        let lane = Lane::new(TIGHT);
        let lane = lane.get();
        let (producer, consumer) = (lane.producer_at(first), lane.consumer(0));
        let reader = thread::spawn(move || {
            read(lane, &consumer, 2);
            consumer
        });
        for _ in 0..3 {
            let _ = lane.publish(&producer);
        }
        lane.find_newest(&reader.join().expect("no panic"), first + 3);
    });
}

#[test]
fn a_slot_that_was_seen_unpinned_is_written_without_a_second_look() {
    explore("a slot from the clean chain", 2, None, || {
        let lane = Lane::new(TIGHT);
        let lane = lane.get();
        let (producer, consumer) = (lane.producer_at(1), lane.consumer(0));
        let _ = lane.publish(&producer); // frame 2, in slot 1: the one that the last publish below writes again
        let reader = thread::spawn(move || {
            read(lane, &consumer, 1);
            consumer
        });
        for _ in 0..3 {
            let _ = lane.publish(&producer);
        }
        lane.find_newest(&reader.join().expect("no panic"), 5);
    });
}

/// One slot less than is sure to be enough: they come round sooner, and a frame that finds none is dropped and counted.
const SCARCE: u32 = 3;

#[test]
fn two_frames_of_one_reader_stay_as_they_are() {
    explore("two pins", 2, Some(3), || {
        let lane = Lane::new(TIGHT.pins(2).slots(SCARCE));
        let lane = lane.get();
        let (producer, consumer) = (lane.producer_at(2), lane.consumer(0));
        let reader = thread::spawn(move || {
            let older = unless_overtaken(consumer.latest());
            let newer = unless_overtaken(consumer.latest());
            older.iter().chain(&newer).for_each(|frame| lane.look(frame));
        });
        for _ in 0..3 {
            let _ = lane.publish_or_drop(&producer);
        }
        assert_eq!(producer.published() - 2 + u64::from(producer.dropped()), 3);
        reader.join().expect("no panic");
    });
}

#[test]
fn a_reader_that_comes_and_goes_does_not_free_what_another_holds() {
    explore("two consumers", 2, Some(5), || {
        let lane = Lane::new(TIGHT.seats(2).slots(SCARCE));
        let lane = lane.get();
        let (producer, holder, other) = (lane.producer_at(2), lane.consumer(0), lane.consumer(1));
        let held = holder.latest().expect("it is there").expect("it is there");
        let reader = thread::spawn(move || read(lane, &other, 1));
        for _ in 0..3 {
            let _ = lane.publish_or_drop(&producer);
        }
        lane.look(&held);
        reader.join().expect("no panic");
    });
}

#[rstest]
#[case::wide("wide numbers", 30, 1)]
#[case::across_the_wrap("numbers 6, 7, 0, 1, 2", 3, 6)]
fn frames_in_order_stay_as_they_are(#[case] numbers: &str, #[case] bits: u32, #[case] first: u64) {
    explore(&format!("in order, {numbers}"), bits, Some(4), move || {
        let lane = Lane::new(TIGHT.history(2));
        let lane = lane.get();
        let (producer, consumer) = (lane.producer_at(first), lane.consumer(0));
        drop(consumer.next().expect("it is there"));
        let reader = thread::spawn(move || {
            for _ in 0..2 {
                if let Some(frame) = unless_overtaken(consumer.next()) {
                    lane.look(&frame);
                }
            }
            consumer
        });
        for _ in 0..4 {
            let _ = lane.publish(&producer);
        }
        let consumer = reader.join().expect("no panic");
        while let Some(frame) = consumer.next().expect("nobody is in the way") {
            lane.look(&frame);
        }
        assert_eq!(consumer.position(), first + 4, "NEWEST FRAME NEVER SEEN");
        assert_eq!(consumer.delivered() + consumer.missed(), 5, "COUNT NOT EXACT");
    });
}

#[test]
fn a_reader_of_every_frame_misses_none_within_the_history() {
    explore("no false loss", 3, None, || {
        let lane = Lane::new(TIGHT.history(3));
        let lane = lane.get();
        let (producer, consumer) = (lane.producer_at(6), lane.consumer(0));
        drop(consumer.next().expect("it is there"));
        let reader = thread::spawn(move || {
            for _ in 0..3 {
                let frame = consumer.next().expect("FALSE LOSS");
                assert!(frame.iter().all(|frame| frame.missed() == 0), "FALSE LOSS");
            }
        });
        for _ in 0..3 {
            let _ = lane.publish(&producer); // 7, 0, 1
        }
        reader.join().expect("no panic");
    });
}

#[test]
fn a_frame_that_was_told_of_is_there() {
    explore("told of, and there", 3, None, || {
        let lane = Lane::new(TIGHT.history(3));
        let lane = lane.get();
        let (producer, consumer) = (lane.producer_at(6), lane.consumer(0));
        drop(consumer.next().expect("it is there"));
        let reader = thread::spawn(move || {
            let _ = consumer.bell(); // as whoever waits; and loom changes threads before the bell's store, not at the fence after it
            let frame = consumer.next().expect("FALSE LOSS");
            frame.iter().for_each(|frame| lane.look(frame));
        });
        let _ = lane.publish(&producer);
        reader.join().expect("no panic");
    });
}

#[test]
fn a_reader_that_was_overtaken_goes_on_with_the_oldest_frame_that_is_left() {
    explore("overtaken across the wrap", 2, None, || {
        let lane = Lane::new(TIGHT.history(2));
        let lane = lane.get();
        let (producer, consumer) = (lane.producer_at(1), lane.consumer(0));
        drop(consumer.next().expect("it is there"));
        for _ in 0..3 {
            let _ = lane.publish(&producer); // 2, 3, 0: history holds 3 and 0
        }
        for (number, missed) in [(3, 1), (4, 0)] {
            let frame = consumer.next().expect("nobody is in the way").expect("NEWEST FRAME NEVER SEEN");
            assert_eq!((frame.number(), frame.missed()), (number, missed), "COUNT NOT EXACT");
        }
    });
}

#[test]
fn a_frame_may_end_on_another_thread_than_its_reader() {
    explore("a frame dropped elsewhere", 30, Some(4), || {
        let lane = Lane::new(TIGHT.slots(2));
        let lane = lane.get();
        let (producer, consumer) = (lane.producer_at(1), Kept::new(lane.consumer(0)));
        let frame = consumer.get().latest().expect("it is there").expect("it is there");
        let camera = thread::spawn(move || {
            for _ in 0..3 {
                let _ = lane.publish_or_drop(&producer);
            }
        });
        let elsewhere = thread::spawn(move || lane.look(&frame));
        match consumer.latest() {
            Ok(frame) => frame.iter().for_each(|frame| lane.look(frame)),
            Err(error) => assert!(matches!(error, ReadError::AllPinned { .. } | ReadError::Contended)),
        }
        elsewhere.join().expect("no panic");
        camera.join().expect("no panic");
    });
}

//! Sleeping and waking: whoever would sleep through a frame must have been seen by the producer that published it.

use std::mem::forget;

use camlane_core::{Consumer, LaneState};
use loom::thread;

use crate::{Lane, TIGHT, explore, unless_overtaken};

/// The value of the bell at which a reader of two frames would fall asleep for good, if it would.
fn wait(consumer: &Consumer<'_>) -> Option<u32> {
    for _ in 0..2 {
        let bell = consumer.bell();
        let newest = unless_overtaken(consumer.latest()).map_or(consumer.position(), |frame| frame.number());
        if newest == 3 {
            return None;
        }
        if let Some(asleep) = consumer.fall_asleep(bell) {
            let expected = asleep.expected();
            forget(asleep);
            return Some(expected);
        }
    }
    None
}

#[test]
fn no_wake_up_is_lost() {
    explore("the bell of a lane", 30, Some(4), || {
        let lane = Lane::new(TIGHT);
        let lane = lane.get();
        let (producer, consumer) = (lane.producer_at(1), lane.consumer(0));
        let before = consumer.bell();
        let reader = thread::spawn(move || (wait(&consumer), consumer));
        let woken = [1, 2].map(|rings| (before + rings, lane.publish(&producer).asleep > 0));
        // The kernel sleeps only while the bell has the value, and compares under the lock that a wake takes.
        if let Some(bell) = reader.join().expect("no panic").0 {
            assert_ne!(bell, before + 2, "SLEEPS ALTHOUGH THE LAST FRAME IS UNSEEN");
            assert!(woken.iter().any(|&(after, asleep)| asleep && after > bell), "LOST WAKE-UP");
        }
    });
}

#[test]
fn what_was_published_before_an_end_is_seen_before_the_end() {
    explore("the end of a lane", 30, None, || {
        let lane = Lane::new(TIGHT.history(2));
        let lane = lane.get();
        let (producer, consumer) = (lane.producer_at(1), lane.consumer(0));
        let reader = thread::spawn(move || {
            let ended = consumer.state() == LaneState::Closed;
            let newest =
                consumer.latest().expect("nobody overtakes within the history").map(|frame| frame.number());
            assert!(!ended || newest == Some(2), "END BEFORE THE LAST FRAME");
        });
        let _ = lane.publish(&producer);
        producer.close();
        reader.join().expect("no panic");
    });
}

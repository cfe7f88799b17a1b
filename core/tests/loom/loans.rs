//! What happens to slots away from the thread of the producer, and when somebody dies.

use std::mem::forget;

use camlane_core::{Consumer, FrameMeta};
use loom::thread;

use crate::{Camera, Kept, Lane, TIGHT, explore, unless_overtaken};

#[test]
fn a_loan_may_end_on_another_thread_than_its_producer() {
    explore("a loan dropped elsewhere", 30, None, || {
        let lane = Lane::new(TIGHT.loans(2));
        let lane = lane.get();
        let (producer, consumer) = (Kept::new(lane.producer_at(1)), lane.consumer(0));
        let loan = producer.get().loan().expect("NO FREE SLOT");
        let elsewhere = thread::spawn(move || lane.fill(&loan, 0));
        for _ in 0..3 {
            let _ = lane.publish(&producer); // the last one in the loan's slot, if that is free by then
        }
        elsewhere.join().expect("no panic");
        lane.find_newest(&consumer, 4);
    });
}

#[test]
fn a_frame_may_be_filled_on_another_thread_than_its_producer() {
    explore("a loan filled elsewhere", 2, Some(3), || {
        let lane = Lane::new(TIGHT.loans(2));
        let lane = lane.get();
        let (producer, consumer) = (Kept::new(lane.producer_at(2)), lane.consumer(0));
        let loan = producer.get().loan().expect("NO FREE SLOT");
        let elsewhere = thread::spawn(move || {
            lane.fill(&loan, 4);
            loan
        });
        let reader = thread::spawn(move || {
            if let Some(frame) = unless_overtaken(consumer.latest()) {
                lane.look(&frame);
            }
        });
        let _ = lane.publish(&producer);
        let loan = elsewhere.join().expect("no panic");
        let _ = producer.publish(loan, &FrameMeta::bytes(1)).expect("the loan is ours");
        reader.join().expect("no panic");
    });
}

#[test]
fn the_seat_of_a_dead_reader_is_cleared_while_the_producer_runs() {
    explore("a reclaimed seat", 30, Some(3), || {
        let lane = Lane::new(TIGHT.slots(2));
        let lane = lane.get();
        let (producer, consumer) = (lane.producer_at(1), lane.consumer(0));
        let seats = producer.seats();
        let camera = thread::spawn(move || {
            for _ in 0..2 {
                let _ = lane.publish_or_drop(&producer);
            }
            producer
        });
        if let Some(frame) = unless_overtaken(consumer.latest()) {
            lane.look(&frame);
            forget(frame);
        }
        forget(consumer); // dies; that this thread goes on is the proof
        // SAFETY: the one reader was forgotten with its frame, on this thread.
        assert_eq!(unsafe { seats.reclaim(|_| false) }, 1);
        let heir = Consumer::new(lane.words.seat(0), 2);
        if let Some(frame) = unless_overtaken(heir.latest()) {
            lane.look(&frame);
        }
        let producer = camera.join().expect("no panic");
        let _ = lane.publish(&producer);
    });
}

#[test]
fn a_new_producer_honours_the_pins_that_it_finds() {
    explore("a lane taken over across the wrap", 2, Some(3), || {
        let lane = Lane::new(TIGHT.seats(2));
        let lane = lane.get();
        let (dead, holder, other) = (lane.producer_at(3), Kept::new(lane.consumer(0)), lane.consumer(1));
        let held = holder.get().latest().expect("it is there").expect("it is there");
        let _ = lane.publish(&dead); // frame 4, whose short number is 0
        let loan = dead.loan().expect("NO FREE SLOT");
        lane.fill(&loan, 0);
        forget(loan);
        drop(dead);
        let readers = thread::spawn(move || {
            lane.look(&held);
            drop(held);
            if let Some(frame) = unless_overtaken(other.latest()) {
                lane.look(&frame);
            }
        });
        let producer = Camera::take_over(lane.words.producer()).expect("the frames are whole");
        for number in 5..=7 {
            assert_eq!(lane.publish(&producer).number, number);
        }
        readers.join().expect("no panic");
    });
}

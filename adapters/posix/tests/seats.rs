//! Seats of named lanes across runs of the producer.

use std::time::Duration;

use camlane::{Consumer, Error, Frame, FrameMeta, LaneOptions, Producer, WaitError};

const WAIT: Duration = Duration::from_secs(20);

/// A lane of its own for each test; what is left of it goes with it.
struct Name(String);

impl Name {
    fn new(test: &str) -> Self {
        Self(format!("test-{test}-{}", std::process::id()))
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        let _ = camlane::remove(&self.0, true);
        let _ = std::fs::remove_file(format!("/dev/shm/camlane.{}.lock", self.0));
    }
}

fn producer(name: &Name, seats: u32) -> Producer {
    Producer::create(&name.0, &LaneOptions::for_bytes(100).seats(seats)).unwrap()
}

fn publish(producer: &Producer, byte: u8) {
    let mut loan = producer.loan().unwrap();
    loan.fill(byte);
    producer.publish(loan, &FrameMeta::bytes(100)).unwrap();
}

/// The next frame of whatever producer there is.
fn next(consumer: &mut Consumer) -> Frame {
    loop {
        match consumer.next(WAIT) {
            Ok(frame) => return frame,
            Err(WaitError::Closed | WaitError::ProducerGone) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn consumers_in_all_seats_follow_a_producer_that_restarts() {
    let name = Name::new("follow");
    let first = producer(&name, 3);
    let mut consumers: Vec<_> = (0..3).map(|_| Consumer::open(&name.0).unwrap()).collect();
    let seats: Vec<_> = consumers.iter().map(Consumer::seat).collect();
    publish(&first, 1);
    assert!(consumers.iter_mut().all(|consumer| next(consumer)[0] == 1));
    drop(first);
    let second = producer(&name, 3);
    publish(&second, 2);
    for consumer in &mut consumers {
        let frame = next(consumer);
        assert_eq!((frame[0], frame.change().restarted), (2, true));
    }
    assert_eq!(consumers.iter().map(Consumer::seat).collect::<Vec<_>>(), seats);
    assert!(matches!(Consumer::open(&name.0), Err(Error::SeatsTaken { seats: 3, .. })));
}

#[test]
fn a_seat_is_given_back_once_with_the_last_frame_of_any_run() {
    let name = Name::new("give-back");
    let first = producer(&name, 1);
    let mut consumer = Consumer::open(&name.0).unwrap();
    publish(&first, 1);
    let kept = next(&mut consumer);
    drop(first);
    let second = producer(&name, 1);
    publish(&second, 2);
    assert_eq!(next(&mut consumer)[0], 2);
    drop(consumer);
    assert!(matches!(Consumer::open(&name.0), Err(Error::SeatsTaken { .. })));
    assert_eq!(kept[0], 1);
    drop(kept);
    Consumer::open(&name.0).unwrap();
}

#[test]
fn a_lane_with_fewer_seats_takes_those_who_fit() {
    let name = Name::new("fewer");
    let first = producer(&name, 2);
    let (mut low, mut high) = (Consumer::open(&name.0).unwrap(), Consumer::open(&name.0).unwrap());
    drop(first);
    let second = producer(&name, 1);
    publish(&second, 2);
    assert_eq!(next(&mut low)[0], 2);
    let refused = loop {
        match high.next(WAIT) {
            Err(WaitError::Closed | WaitError::ProducerGone) => {}
            other => break other,
        }
    };
    assert!(matches!(refused, Err(WaitError::Other(Error::SeatsTaken { seats: 1, .. }))), "{refused:?}");
    drop(low);
    assert_eq!((next(&mut high)[0], high.seat()), (2, 0));
}

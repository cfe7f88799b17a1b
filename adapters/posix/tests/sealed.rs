//! Sealed lanes within one process; the attacks from other processes are in the workspace's tests.

use std::time::Duration;

use camlane::{
    Consumer, Error, FrameMeta, Health, LaneOptions, LaneStatus, Observer, Policy, Producer, WaitError,
};

const WAIT: Duration = Duration::from_secs(20);

/// An address of its own for each test.
fn address() -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let address = format!("sealed:{}/cam.sock", dir.path().display());
    (dir, address)
}

fn publish(producer: &Producer, byte: u8) -> u64 {
    let mut loan = producer.loan().unwrap();
    loan[..100].fill(byte);
    producer.publish(loan, &FrameMeta::bytes(100)).unwrap()
}

#[test]
fn frames_go_through_in_place() {
    let (_dir, address) = address();
    let producer = Producer::create(&address, &LaneOptions::for_bytes(100)).unwrap();
    let mut consumer = Consumer::open(&address).unwrap();
    for byte in 1..=50 {
        publish(&producer, byte);
        let frame = consumer.next(WAIT).unwrap();
        assert_eq!((frame.number(), &frame[..]), (u64::from(byte), &[byte; 100][..]));
        assert!(consumer.addresses().contains(&frame.as_ptr().addr()));
    }
}

#[test]
fn a_consumer_that_leaves_gives_its_seat_back() {
    let (_dir, address) = address();
    let _producer = Producer::create(&address, &LaneOptions::for_bytes(100).seats(1)).unwrap();
    for _ in 0..20 {
        let first = Consumer::open(&address).unwrap();
        assert!(matches!(Consumer::open(&address), Err(Error::SeatsTaken { seats: 1, .. })));
        drop(first);
        // The broker reads the end-of-file on its own thread.
        let started = std::time::Instant::now();
        while matches!(Consumer::open(&address), Err(Error::SeatsTaken { .. })) {
            assert!(started.elapsed() < WAIT);
            std::thread::yield_now();
        }
        let started = std::time::Instant::now();
        while LaneStatus::of(&address).is_err() {
            assert!(started.elapsed() < WAIT);
        }
    }
}

#[test]
fn a_second_producer_is_told_and_the_first_goes_on() {
    let (_dir, address) = address();
    let first = Producer::create(&address, &LaneOptions::for_bytes(100)).unwrap();
    assert!(matches!(Producer::create(&address, &LaneOptions::for_bytes(100)), Err(Error::Taken { .. })));
    let mut consumer = Consumer::open(&address).unwrap();
    publish(&first, 7);
    assert_eq!(consumer.next(WAIT).unwrap()[0], 7);
}

#[test]
fn a_consumer_follows_a_producer_that_restarts() {
    let (_dir, address) = address();
    let mut producer = Producer::create(&address, &LaneOptions::for_bytes(100)).unwrap();
    let mut consumer = Consumer::open(&address).unwrap();
    for round in 0..5 {
        publish(&producer, round);
        let frame = consumer.next(WAIT).unwrap();
        assert_eq!((frame[0], frame.change().restarted), (round, round > 0));
        drop(frame);
        drop(producer);
        assert!(matches!(consumer.next(WAIT), Err(WaitError::Closed)));
        producer = Producer::create(&address, &LaneOptions::for_bytes(200 + u32::from(round))).unwrap();
    }
}

#[test]
fn who_is_not_admitted_is_refused_and_may_still_observe_if_the_policy_says_so() {
    let (_dir, address) = address();
    let nobody = Policy::default().seats_per_user(0).observers();
    let producer = Producer::create(&address, &LaneOptions::for_bytes(100).policy(nobody)).unwrap();
    assert!(matches!(Consumer::open(&address), Err(Error::Permission { .. })));
    let observer = Observer::open(&address).unwrap();
    publish(&producer, 9);
    observer.wait(WAIT);
    assert_eq!(observer.copy_newest().unwrap().unwrap().pixels, [9; 100]);
}

#[test]
fn it_is_listed_while_it_runs() {
    let (_dir, address) = address();
    let producer = Producer::create(&address, &LaneOptions::for_bytes(100)).unwrap();
    let status = LaneStatus::of(&address).unwrap();
    assert_eq!((status.health, status.lane.unwrap().shape.slot_size()), (Health::Running, 100));
    drop(producer);
    assert!(matches!(LaneStatus::of(&address), Err(Error::NoSuchLane { .. })));
}

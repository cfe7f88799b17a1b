//! Lanes in step, over real lanes: partners, rates, pauses, restarts, clocks.

use std::time::Duration;

use camlane::{
    Clock, Consumer, ConsumerOptions, FrameMeta, FramesetError, LaneOptions, PauseReason, Producer, Read,
    Synchronizer, WaitError,
};

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(10);
const MS: u64 = 1_000_000;

/// Names of one test alone, removed at its end.
struct Names(Vec<String>);

impl Names {
    fn new(test: &str, count: usize) -> Self {
        Self((0..count).map(|index| format!("sync-{test}-{index}-{}", std::process::id())).collect())
    }

    fn produce(&self, index: usize, pins: u32) -> Producer {
        Producer::create(&self.0[index], &LaneOptions::for_bytes(64).pins(pins).history(8)).unwrap()
    }

    fn open(&self, tolerance: Duration) -> Synchronizer {
        let names: Vec<&str> = self.0.iter().map(String::as_str).collect();
        Synchronizer::open(&names, tolerance).unwrap()
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        for name in &self.0 {
            let _ = std::fs::remove_file(format!("/dev/shm/camlane.{name}.lock"));
        }
    }
}

fn publish(producer: &Producer, ms: u64) {
    stamp(producer, ms * MS, Clock::MONOTONIC);
}

fn stamp(producer: &Producer, capture_ns: u64, clock: Clock) {
    let mut meta = FrameMeta::bytes(64);
    (meta.capture_ns, meta.clock) = (capture_ns, clock);
    producer.publish(producer.loan().unwrap(), &meta).unwrap();
}

#[track_caller]
fn times(lanes: &mut Synchronizer) -> Vec<u64> {
    let set = lanes.next(LONG).unwrap();
    set.frames().iter().map(|frame| frame.meta().capture_ns / MS).collect()
}

/// Every frame that was read is in a set, has no partner, or waits for one.
#[track_caller]
fn accounted(lanes: &Synchronizer, index: usize) -> (u64, u64, u64) {
    let totals = lanes.totals(index).unwrap();
    assert_eq!(totals.reader.delivered, totals.paired + totals.unpaired + totals.waiting);
    (totals.paired, totals.unpaired, totals.waiting)
}

#[test]
fn three_lanes_give_a_set_when_all_have_their_frame_of_a_moment() {
    let names = Names::new("three", 3);
    let producers = [0, 1, 2].map(|index| names.produce(index, 2));
    let mut lanes = names.open(Duration::from_millis(3));
    publish(&producers[0], 100);
    publish(&producers[2], 103);
    assert!(matches!(lanes.next(SHORT), Err(FramesetError::TimedOut)));
    publish(&producers[1], 101);
    let set = lanes.next(LONG).unwrap();
    assert_eq!((set.frames().len(), set.capture_ns(), set.spread()), (3, 100 * MS, Duration::from_millis(3)));
    assert_eq!(accounted(&lanes, 1), (1, 0, 0));
}

#[test]
fn a_lane_of_twice_the_rate_pairs_every_second_frame() {
    let names = Names::new("rates", 2);
    let (fast, slow) = (names.produce(0, 4), names.produce(1, 4));
    let mut lanes = names.open(Duration::from_millis(4));
    for n in 1..=50 {
        publish(&fast, n * 20);
        publish(&fast, n * 20 + 10);
        publish(&slow, n * 20 + 1);
        assert_eq!(times(&mut lanes), [n * 20, n * 20 + 1]);
    }
    assert_eq!(accounted(&lanes, 1), (50, 0, 0));
    let (paired, unpaired, waiting) = accounted(&lanes, 0);
    assert_eq!((paired, unpaired + waiting), (50, 49)); // the last one is not read yet
}

#[test]
fn a_pause_of_one_lane_costs_partners_and_never_stalls_the_other_producer() {
    let names = Names::new("pause", 2);
    let (left, right) = (names.produce(0, 2), names.produce(1, 2));
    let mut lanes = names.open(Duration::from_millis(4));
    publish(&left, 10);
    publish(&right, 10);
    assert_eq!(times(&mut lanes), [10, 10]);
    for n in 2..=40 {
        publish(&left, n * 10); // panics if no slot were free
        assert!(matches!(lanes.next(Duration::ZERO), Err(FramesetError::TimedOut)));
    }
    assert_eq!(accounted(&lanes, 0), (1, 37, 2)); // two pins, two frames held back
    publish(&right, 401);
    assert_eq!(times(&mut lanes), [400, 401]);
}

#[test]
fn lanes_that_pause_say_why_no_set_comes() {
    let names = Names::new("why", 2);
    let (left, right) = (names.produce(0, 2), names.produce(1, 2));
    let mut lanes = names.open(Duration::from_millis(4));
    assert_eq!(lanes.pauses(), None);
    right.pause(PauseReason::UNPLUGGED, Some(19));
    publish(&left, 10);
    assert!(matches!(lanes.next(SHORT), Err(FramesetError::TimedOut)));
    let told = lanes.pauses().unwrap();
    let expected = format!("lane '{}': the camera is unplugged (ENODEV", names.0[1]);
    assert!(told.starts_with(&expected) && !told.contains(&names.0[0]), "{told}");
    left.pause(PauseReason::SILENT, None);
    let both = lanes.pauses().unwrap();
    assert_eq!((both.matches("lane '").count(), both.matches("; lane '").count()), (2, 1), "{both}");
    right.resume();
    publish(&right, 11);
    assert_eq!(times(&mut lanes), [10, 11]);
}

#[test]
fn sets_in_hand_leave_room_until_all_pins_are_theirs_and_then_it_is_said() {
    let names = Names::new("hand", 2);
    let (left, right) = (names.produce(0, 2), names.produce(1, 2));
    let mut lanes = names.open(Duration::from_millis(4));
    let mut kept = Vec::new();
    for n in 1..=2 {
        publish(&left, n * 10);
        publish(&right, n * 10);
        kept.push(lanes.next(LONG).unwrap());
    }
    publish(&left, 30);
    publish(&right, 30);
    let full = lanes.next(LONG).unwrap_err();
    assert!(matches!(&full, FramesetError::Lane { source: WaitError::Other(_), index: 0, .. }), "{full}");
    drop(kept.remove(0));
    assert_eq!(times(&mut lanes), [30, 30]);
}

#[test]
fn a_producer_that_ended_is_named_once_and_its_successor_is_followed() {
    let names = Names::new("restart", 2);
    let (left, right) = (names.produce(0, 4), names.produce(1, 4));
    let mut lanes = names.open(Duration::from_millis(4));
    drop(right);
    let news = lanes.next(LONG).unwrap_err();
    assert!(matches!(&news, FramesetError::Lane { source: WaitError::Closed, index: 1, .. }), "{news}");
    assert!(news.to_string().contains(&names.0[1]), "{news}");
    publish(&left, 10);
    assert!(matches!(lanes.next(SHORT), Err(FramesetError::TimedOut)));
    let right = names.produce(1, 4);
    publish(&right, 11);
    let set = lanes.next(LONG).unwrap();
    assert!(set.frames()[1].change().restarted);
    assert_eq!(lanes.totals(1).unwrap().reader.restarts, 1);
}

#[test]
fn times_that_cannot_be_compared_are_refused_and_counted() {
    let names = Names::new("clocks", 2);
    let (left, right) = (names.produce(0, 4), names.produce(1, 4));
    let mut lanes = names.open(Duration::from_millis(4));
    publish(&left, 10);
    stamp(&right, 10 * MS, Clock::REALTIME);
    let differ = lanes.next(LONG).unwrap_err();
    assert!(matches!(differ, FramesetError::ClocksDiffer { .. }), "{differ}");
    stamp(&right, 0, Clock::MONOTONIC);
    assert!(matches!(lanes.next(LONG), Err(FramesetError::NoTime { .. })));
    stamp(&right, 11 * MS, Clock::DEVICE);
    assert!(matches!(lanes.next(LONG), Err(FramesetError::NoTime { .. })));
    publish(&right, 12);
    assert_eq!(times(&mut lanes), [10, 12]);
    assert_eq!(accounted(&lanes, 1), (1, 3, 0));
}

#[test]
fn frames_that_a_reader_was_too_slow_for_are_missed_and_not_unpaired() {
    let names = Names::new("missed", 2);
    let (left, right) = (names.produce(0, 4), names.produce(1, 4));
    let mut lanes = names.open(Duration::from_millis(4));
    publish(&left, 1);
    publish(&right, 1);
    assert_eq!(times(&mut lanes), [1, 1]);
    for n in 1..=100 {
        publish(&left, n * 10);
    }
    publish(&right, 1000);
    assert_eq!(times(&mut lanes), [1000, 1000]);
    let totals = lanes.totals(0).unwrap();
    assert_eq!(totals.reader.missed + totals.reader.delivered, 101);
    assert!(totals.reader.missed > 0 && accounted(&lanes, 0).0 == 2, "{totals:?}");
}

#[test]
fn one_lane_is_no_set_and_one_that_is_not_there_is_named() {
    let names = Names::new("few", 2);
    let _left = names.produce(0, 2);
    let one = vec![Consumer::open(&names.0[0]).unwrap()];
    assert!(matches!(Synchronizer::of(one, SHORT), Err(FramesetError::TooFewLanes { found: 1 })));
    let absent = Synchronizer::open(&[&names.0[0], &names.0[1]], SHORT).unwrap_err();
    assert!(matches!(&absent, FramesetError::Lane { index: 1, .. }), "{absent}");
    let every = ConsumerOptions::new().read(Read::Every).open(&names.0[0]).unwrap();
    assert_eq!(every.address().to_string(), names.0[0]);
}

//! Lanes in one piece of memory: a regular file, an object of any name, a System V segment.

use std::process::Command;

use camlane::legacy::{Error, InPlace, InPlaceConsumer, InPlaceProducer, Key, Segment};
use camlane::{Flags, FrameMeta, LaneOptions, WaitError};
use camlane_tests::peer::Peer;
use camlane_tests::wait::wait_until;
use rstest::rstest;

use super::{LONG, SHORT, unique};

/// Memory of one test alone, of any kind.
struct Home {
    lane: InPlace,
    _dir: tempfile::TempDir,
}

impl Home {
    fn new(kind: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let lane = match kind {
            "sysv" => InPlace::Segment(Key::of_file(dir.path(), 1).unwrap()),
            "shm" => InPlace::Object(format!("/{}", unique()).parse().unwrap()),
            _ => InPlace::Object(dir.path().join("lane").to_str().unwrap().parse().unwrap()),
        };
        Self { lane, _dir: dir }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        match &self.lane {
            InPlace::Object(name) => drop(std::fs::remove_file(name.path())),
            InPlace::Segment(key) => {
                let _ = Segment::remove(*key);
                let _ = std::fs::remove_file(format!("/dev/shm/camlane.sysv-{key}.lock"));
            }
        }
    }
}

const BYTES: u32 = 10_000;

fn options() -> LaneOptions {
    LaneOptions::for_bytes(BYTES)
}

fn publish(producer: &InPlaceProducer) -> u64 {
    let value = (producer.published() + 1) as u8;
    let mut loan = producer.loan().unwrap();
    loan[..BYTES as usize].fill(value);
    let mut meta = FrameMeta::bytes(BYTES);
    meta.flags = Flags::COPIED;
    producer.publish(loan, &meta).unwrap()
}

#[track_caller]
fn next(consumer: &InPlaceConsumer) -> u64 {
    let frame = consumer.next(LONG).unwrap();
    assert!(frame.iter().all(|&byte| byte == frame.number() as u8), "frame {} is torn", frame.number());
    assert_eq!(frame.meta().flags, Flags::COPIED);
    frame.number()
}

#[rstest]
fn a_lane_works_in_memory_of_any_kind(#[values("file", "shm", "sysv")] kind: &str) {
    let home = Home::new(kind);
    let producer = home.lane.produce(&options()).unwrap();
    let consumers = [home.lane.consume().unwrap(), home.lane.consume().unwrap()];
    for number in 1..=50 {
        assert_eq!(publish(&producer), number);
        assert_eq!(consumers.each_ref().map(next), [number, number]);
    }
    assert!(matches!(consumers[0].next(SHORT), Err(WaitError::TimedOut)));
    drop(producer);
    assert!(matches!(consumers[0].next(SHORT), Err(WaitError::Closed)));
}

#[rstest]
fn a_producer_that_was_killed_is_followed_by_one_that_goes_on(#[values("file", "shm", "sysv")] kind: &str) {
    let home = Home::new(kind);
    let mut first = child(&home.lane);
    let consumer = home.lane.consume().unwrap();
    let before = next(&consumer);
    let taken = home.lane.produce(&options()).unwrap_err();
    assert!(matches!(taken, Error::Taken { .. }), "{taken}");
    first.kill();
    let mut last = before;
    let gone = loop {
        match consumer.next(SHORT) {
            Ok(frame) => last = frame.number(),
            Err(error) => break error,
        }
    };
    assert!(matches!(gone, WaitError::ProducerGone), "{gone}");
    let mut second = child(&home.lane);
    assert!(next(&consumer) > last);
    second.kill();
}

#[rstest]
fn a_consumer_that_was_killed_loses_its_seat(#[values("file", "sysv")] kind: &str) {
    let home = Home::new(kind);
    let producer = home.lane.produce(&options().seats(1).pins(1).history(1).loans(1).slots(2)).unwrap();
    publish(&producer);
    let mut holder = peer("hold", &home.lane);
    assert!(matches!(home.lane.consume(), Err(Error::Lane(camlane::Error::SeatsTaken { seats: 1, .. }))));
    publish(&producer); // the other slot
    assert!(producer.loan().is_err());
    holder.kill();
    wait_until("the slot is given back", || producer.loan().is_ok());
    home.lane.consume().unwrap();
}

#[rstest]
fn what_is_no_lane_or_another_one_is_refused(#[values("file", "sysv")] kind: &str) {
    let home = Home::new(kind);
    assert!(matches!(home.lane.consume(), Err(error) if error.name() == Some("ENOENT")));
    drop(home.lane.produce(&options()).unwrap());
    let other = home.lane.produce(&options().seats(3)).unwrap_err();
    assert!(matches!(other, Error::Corrupt { .. }), "{other}");
    assert_eq!(publish(&home.lane.produce(&options()).unwrap()), 1);
}

#[test]
fn a_file_with_something_else_inside_is_not_overwritten() {
    let home = Home::new("file");
    let InPlace::Object(name) = &home.lane else { unreachable!() };
    std::fs::write(name.path(), vec![b'x'; 1_000_000]).unwrap();
    let foreign = home.lane.produce(&options()).unwrap_err();
    assert!(matches!(foreign, Error::Lane(camlane::Error::Unusable { .. })), "{foreign}");
    assert_eq!(std::fs::read(name.path()).unwrap(), vec![b'x'; 1_000_000]);
}

#[test]
fn a_creator_that_was_killed_before_the_lane_was_complete_is_followed_by_another() {
    let home = Home::new("file");
    let InPlace::Object(name) = &home.lane else { unreachable!() };
    drop(home.lane.produce(&options()).unwrap());
    // As it is left: the magic is there, the state still INIT, the rest of the header not yet.
    let mut bytes = std::fs::read(name.path()).unwrap();
    bytes[8..256].fill(0);
    std::fs::write(name.path(), bytes).unwrap();
    assert!(home.lane.consume().is_err());
    assert_eq!(publish(&home.lane.produce(&options()).unwrap()), 1);
}

/// Starts this program again as a producer that never ends.
fn child(lane: &InPlace) -> Peer {
    peer("produce", lane)
}

fn peer(role: &str, lane: &InPlace) -> Peer {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "in_place::other_process", "--ignored", "--nocapture", "--test-threads=1"]);
    let mut peer =
        Peer::run(command.env("CAMLANE_TEST_ROLE", role).env("CAMLANE_TEST_LANE", lane.to_string()));
    while !peer.answer().expect("the other process starts").says("ok ready") {}
    peer
}

#[test]
#[ignore = "the other process of the tests above"]
fn other_process() {
    let lane: InPlace = std::env::var("CAMLANE_TEST_LANE").unwrap().parse().unwrap();
    match std::env::var("CAMLANE_TEST_ROLE").as_deref() {
        Ok("produce") => {
            let producer = lane.produce(&options()).unwrap();
            publish(&producer);
            println!("\nok ready");
            loop {
                publish(&producer);
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        }
        Ok("hold") => {
            let consumer = lane.consume().unwrap();
            let _frame = consumer.next(LONG).unwrap();
            println!("\nok ready");
            loop {
                std::thread::park();
            }
        }
        _ => panic!("no such role"),
    }
}

//! Lanes in one piece of memory: a regular file, an object of any name, a System V segment. The same ends as of any lane.

use std::process::Command;
use std::sync::mpsc;

use camlane::legacy::{Key, Segment};
use camlane::{
    Consumer, ConsumerOptions, Error, Flags, FrameMeta, Health, LaneOptions, LaneStatus, Observer, Producer,
    WaitError,
};
use camlane_tests::peer::Peer;
use camlane_tests::wait::wait_until;
use rstest::rstest;

use super::{LONG, SHORT, unique};

/// Memory of one test alone, of any kind.
struct Home {
    lane: String,
    _dir: tempfile::TempDir,
}

impl Home {
    fn new(kind: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let lane = match kind {
            "sysv" => format!("sysv:{}", Key::of_file(dir.path(), 1).unwrap()),
            "shm" => format!("file:/dev/shm/{}", unique()),
            _ => format!("file:{}", dir.path().join("left.lane").display()),
        };
        Self { lane, _dir: dir }
    }

    fn produce(&self, options: &LaneOptions) -> Result<Producer, Error> {
        Producer::create(&self.lane, options)
    }

    fn consume(&self) -> Result<Consumer, Error> {
        Consumer::open(&self.lane)
    }

    fn path(&self) -> &str {
        self.lane.strip_prefix("file:").unwrap()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        match self.lane.strip_prefix("sysv:") {
            None => drop(std::fs::remove_file(self.path())),
            Some(key) => {
                let _ = Segment::remove(key.parse().unwrap());
                let _ = std::fs::remove_file(format!("/dev/shm/camlane.sysv-{key}.lock"));
            }
        }
    }
}

const BYTES: u32 = 10_000;

fn options() -> LaneOptions {
    LaneOptions::for_bytes(BYTES)
}

fn publish(producer: &Producer) -> u64 {
    let value = (producer.published() + 1) as u8;
    let mut loan = producer.loan().unwrap();
    loan[..BYTES as usize].fill(value);
    let mut meta = FrameMeta::bytes(BYTES);
    meta.flags = Flags::COPIED;
    producer.publish(loan, &meta).unwrap()
}

#[track_caller]
fn next(consumer: &mut Consumer) -> u64 {
    let frame = consumer.next(LONG).unwrap();
    assert!(frame.iter().all(|&byte| byte == frame.number() as u8), "frame {} is torn", frame.number());
    assert_eq!(frame.meta().flags, Flags::COPIED);
    frame.number()
}

#[rstest]
fn a_lane_works_in_memory_of_any_kind(#[values("file", "shm", "sysv")] kind: &str) {
    let home = Home::new(kind);
    let producer = home.produce(&options()).unwrap();
    let mut consumers = [home.consume().unwrap(), home.consume().unwrap()];
    for number in 1..=50 {
        assert_eq!(publish(&producer), number);
        assert_eq!(consumers.each_mut().map(next), [number, number]);
    }
    assert!(matches!(consumers[0].next(SHORT), Err(WaitError::TimedOut)));
    drop(producer);
    assert!(matches!(consumers[0].next(SHORT), Err(WaitError::Closed)));
}

#[rstest]
fn a_producer_that_was_killed_is_followed_by_one_that_goes_on(#[values("file", "shm", "sysv")] kind: &str) {
    let home = Home::new(kind);
    let mut first = child(&home.lane);
    let mut consumer = home.consume().unwrap();
    let before = next(&mut consumer);
    let taken = home.produce(&options()).unwrap_err();
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
    assert!(next(&mut consumer) > last);
    second.kill();
}

#[rstest]
fn a_patient_consumer_waits_for_a_producer_to_go_on(#[values("file", "shm", "sysv")] kind: &str) {
    let home = Home::new(kind);
    let options = options().seats(1);
    publish(&home.produce(&options).unwrap());
    let (looked, looks) = mpsc::channel();
    let address = home.lane.clone();
    let patient = std::thread::spawn(move || {
        ConsumerOptions::new().patience(LONG).open_while(&address, || {
            looked.send(()).unwrap();
            true
        })
    });
    looks.recv().unwrap();
    let producer = home.produce(&options).unwrap();
    let mut consumer = patient.join().unwrap().unwrap();
    assert_eq!(next(&mut consumer), 1, "the newest is the one before");
    assert_eq!(publish(&producer), 2);
    assert_eq!(next(&mut consumer), 2);
    assert!(matches!(consumer.next(SHORT), Err(WaitError::TimedOut)));
}

#[rstest]
fn a_consumer_that_was_killed_loses_its_seat(#[values("file", "sysv")] kind: &str) {
    let home = Home::new(kind);
    let producer = home.produce(&options().seats(1).pins(1).history(1).loans(1).slots(2)).unwrap();
    publish(&producer);
    let mut holder = peer("hold", &home.lane);
    assert!(matches!(home.consume(), Err(Error::SeatsTaken { seats: 1, .. })));
    publish(&producer); // the other slot
    assert!(producer.loan().is_err());
    holder.kill();
    wait_until("the slot is given back", || producer.loan().is_ok());
    home.consume().unwrap();
}

#[rstest]
fn what_is_no_lane_or_another_one_is_refused(#[values("file", "sysv")] kind: &str) {
    let home = Home::new(kind);
    assert!(matches!(home.consume(), Err(Error::NoSuchLane { .. })));
    assert!(matches!(Observer::open(&home.lane), Err(Error::NoSuchLane { .. })));
    drop(home.produce(&options()).unwrap());
    let other = home.produce(&options().seats(3)).unwrap_err();
    assert!(matches!(other, Error::OtherShape { .. }), "{other}");
    assert_eq!(publish(&home.produce(&options()).unwrap()), 1);
}

#[test]
fn a_file_with_something_else_inside_is_not_overwritten() {
    let home = Home::new("file");
    std::fs::write(home.path(), vec![b'x'; 1_000_000]).unwrap();
    let foreign = home.produce(&options()).unwrap_err();
    assert!(matches!(foreign, Error::Unusable { .. }), "{foreign}");
    assert!(matches!(camlane::remove(&home.lane, false), Err(Error::Unusable { .. })));
    assert_eq!(std::fs::read(home.path()).unwrap(), vec![b'x'; 1_000_000]);
}

#[test]
fn a_creator_that_was_killed_before_the_lane_was_complete_is_followed_by_another() {
    let home = Home::new("file");
    drop(home.produce(&options()).unwrap());
    // As it is left: the magic is there, the state still INIT, the rest of the header not yet.
    let mut bytes = std::fs::read(home.path()).unwrap();
    bytes[8..256].fill(0);
    std::fs::write(home.path(), bytes).unwrap();
    assert!(home.consume().is_err());
    assert_eq!(publish(&home.produce(&options()).unwrap()), 1);
}

#[rstest]
fn pixels_lie_in_a_mapping_that_a_consumer_cannot_write(#[values("file", "sysv")] kind: &str) {
    let home = Home::new(kind);
    let producer = home.produce(&options()).unwrap();
    let mut consumer = home.consume().unwrap();
    publish(&producer);
    let frame = consumer.next(LONG).unwrap();
    let at = frame.as_ptr().addr();
    assert!(consumer.addresses().contains(&at));
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let line = maps.lines().find(|line| {
        let (start, end) = line.split_once(' ').unwrap().0.split_once('-').unwrap();
        (usize::from_str_radix(start, 16).unwrap()..usize::from_str_radix(end, 16).unwrap()).contains(&at)
    });
    assert!(line.unwrap().contains(" r--s "), "{line:?}");
}

#[rstest]
fn a_lane_is_described_observed_and_removed_like_any_other(#[values("file", "sysv")] kind: &str) {
    let home = Home::new(kind);
    let producer = home.produce(&options()).unwrap();
    let consumer = home.consume().unwrap();
    publish(&producer);
    let status = LaneStatus::of(&home.lane).unwrap();
    let details = status.lane.unwrap();
    assert_eq!((status.health, details.published), (Health::Running, 1));
    assert_eq!(details.seats.unwrap()[0].pid, std::process::id());
    let copied = Observer::open(&home.lane).unwrap().copy_newest().unwrap().unwrap();
    assert_eq!((copied.observed.number, copied.pixels), (1, vec![1; BYTES as usize]));

    assert!(matches!(camlane::remove(&home.lane, false), Err(Error::Taken { .. })));
    drop((producer, consumer));
    assert_eq!(LaneStatus::of(&home.lane).unwrap().health, Health::Stale);
    camlane::remove(&home.lane, false).unwrap();
    assert!(matches!(LaneStatus::of(&home.lane), Err(Error::NoSuchLane { .. })));
}

#[rstest]
fn a_consumer_follows_to_memory_that_took_the_place_of_its_own(#[values("file", "sysv")] kind: &str) {
    let home = Home::new(kind);
    let first = home.produce(&options()).unwrap();
    let mut consumer = home.consume().unwrap();
    publish(&first);
    next(&mut consumer);
    drop(first);
    camlane::remove(&home.lane, false).unwrap();
    let second = home.produce(&options().seats(3)).unwrap();
    publish(&second);
    let frame = loop {
        match consumer.next(LONG) {
            Ok(frame) => break frame,
            Err(error) => assert!(matches!(error, WaitError::Closed), "{error}"),
        }
    };
    assert!(frame.change().restarted);
    assert_eq!(frame.number(), 1);
}

/// Starts this program again as a producer that never ends.
fn child(lane: &str) -> Peer {
    peer("produce", lane)
}

fn peer(role: &str, lane: &str) -> Peer {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "in_place::other_process", "--ignored", "--nocapture", "--test-threads=1"]);
    let mut peer = Peer::run(command.env("CAMLANE_TEST_ROLE", role).env("CAMLANE_TEST_LANE", lane));
    while !peer.answer().expect("the other process starts").says("ok ready") {}
    peer
}

#[test]
#[ignore = "the other process of the tests above"]
fn other_process() {
    let lane = std::env::var("CAMLANE_TEST_LANE").unwrap();
    match std::env::var("CAMLANE_TEST_ROLE").as_deref() {
        Ok("produce") => {
            let producer = Producer::create(&lane, &options()).unwrap();
            publish(&producer);
            println!("\nok ready");
            loop {
                publish(&producer);
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        }
        Ok("hold") => {
            let mut consumer = Consumer::open(&lane).unwrap();
            let _frame = consumer.next(LONG).unwrap();
            println!("\nok ready");
            loop {
                std::thread::park();
            }
        }
        _ => panic!("no such role"),
    }
}

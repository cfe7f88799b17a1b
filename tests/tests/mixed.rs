//! Two programs on one lane that need not be of one build: 32 and 64 bits, one processor and another.
//!
//! `cargo test` runs both ends from the same build. With the environment variable `CAMLANE_PEER` the other process is that
//! program: it may be of another width, run by an emulator where it must.

use std::path::PathBuf;

use camlane::{Consumer, ConsumerOptions, Error, FrameMeta, LaneOptions, Observer, Read, WaitError};
use camlane::{LaneState, LaneStatus, StreamOptions, StreamReader, StreamWriter};
use camlane_tests::lane::TestLane;
use camlane_tests::pattern::{self, Source};
use camlane_tests::peer::Peer;
use camlane_tests::wait::{PATIENCE, wait_until};
use rstest::rstest;

/// Frames of 16 KiB, so that an emulated reader gets through many.
const BYTES: u32 = 16 * 1024;

fn peer() -> Peer {
    Peer::of_some_build(env!("CARGO_BIN_EXE_peer"))
}

/// A lane's address, and what lies there until the end of the test.
enum Place {
    Named(TestLane),
    Sealed(PathBuf, #[expect(dead_code, reason = "removed when dropped")] tempfile::TempDir),
}

impl Place {
    fn new(sealed: bool) -> Self {
        if !sealed {
            return Self::Named(TestLane::new("mixed"));
        }
        let folder = tempfile::tempdir().unwrap();
        Self::Sealed(folder.path().join("cam.sock"), folder)
    }

    fn address(&self) -> String {
        match self {
            Self::Named(lane) => lane.name().to_owned(),
            Self::Sealed(socket, _) => format!("sealed:{}", socket.display()),
        }
    }
}

/// Three seats of two pins each.
fn source(place: &Place) -> Source {
    let options = LaneOptions::for_bytes(BYTES).seats(3).pins(2).history(4);
    Source::create(&place.address(), FrameMeta::bytes(BYTES).layout, &options).unwrap()
}

/// Every byte of what they read is checked by the peers; their counts must add up to the producer's own.
#[rstest]
#[case::named(false)]
#[case::sealed(true)]
fn a_producer_here_and_readers_of_the_other_build(#[case] sealed: bool) {
    const LEAST: u64 = 300;
    let place = Place::new(sealed);
    let source = source(&place);
    let mut readers = ["every", "latest"].map(|read| {
        let mut reader = peer();
        reader.must(&format!("open {} read={read}", place.address()));
        reader.must("consume 1");
        reader
    });
    let mut published = 0;
    for reader in &mut readers {
        // Until this one has enough: it may be emulated, and much slower.
        let tally = loop {
            source.shoot_all(LEAST);
            published += LEAST;
            let tally = reader.must("tally");
            if tally.number("delivered") >= LEAST {
                break tally;
            }
            reader.must("consume 1");
        };
        assert_eq!(tally.number("delivered") + tally.number("missed"), tally.number("distance"), "{tally:?}");
        assert_eq!((tally.number("restarts"), tally.number("gone")), (0, 0));
        // The last frame comes, with the exact count of what lies between.
        let last = source.shoot().unwrap();
        published += 1;
        assert_eq!(last, published);
        let (mut number, mut sum) = (tally.number("last"), tally.number("distance"));
        while number < last {
            let frame = reader.ask("next 20000");
            assert_eq!(frame.word(), "frame", "{frame:?}");
            assert_eq!(frame.number("number"), number + 1 + frame.number("missed"));
            sum += frame.number("number") - number;
            number = frame.number("number");
        }
        assert_eq!(sum, last - (tally.number("last") - tally.number("distance")));
    }
    assert_eq!(source.producer.dropped(), 0, "readers cost no loan");
}

#[rstest]
#[case::named(false)]
#[case::sealed(true)]
fn a_reader_of_the_other_build_that_is_killed_leaves_its_seat_and_its_slots(#[case] sealed: bool) {
    let place = Place::new(sealed);
    let source = source(&place);
    let mut stays = peer();
    stays.must(&format!("open {}", place.address()));
    source.shoot_all(1);
    assert_eq!(stays.ask("hold 20000").number("number"), 1);
    for round in 0..3 {
        let mut killed = [peer(), peer()];
        for reader in &mut killed {
            wait_until("there is a seat", || reader.ask(&format!("open {}", place.address())).word() == "ok");
            for _ in 0..2 {
                let number = source.shoot().unwrap();
                assert_eq!(reader.ask("hold 20000").number("number"), number, "round {round}");
            }
        }
        assert!(matches!(Consumer::open(&place.address()), Err(Error::SeatsTaken { .. })));
        for reader in &mut killed {
            reader.kill();
        }
        source.shoot_all(200); // no loan fails: who was killed with two frames holds nobody up
        wait_until("both seats are free", || {
            source.producer.reclaim();
            source.producer.consumers().len() == 1
        });
        assert_eq!(source.producer.consumers()[0].pins, 1);
    }
    stays.must("verify");
    assert_eq!(source.producer.dropped(), 0);
}

#[rstest]
#[case::named(false)]
#[case::sealed(true)]
fn a_producer_of_the_other_build_and_readers_here(#[case] sealed: bool) {
    const LEAST: u64 = 300;
    let place = Place::new(sealed);
    let mut producer = peer();
    producer.must(&format!("create {} bytes={BYTES} seats=3 history=4", place.address()));
    let incarnation = LaneStatus::of(&place.address()).unwrap().lane.map(|lane| lane.incarnation);
    let mut consumer = ConsumerOptions::new().read(Read::Every).open(&place.address()).unwrap();
    let observer = Observer::open(&place.address()).unwrap();
    producer.must("flood");
    let (mut read, mut copied, mut last, mut missed) = (0, 0, 0, 0);
    while read < LEAST || copied < LEAST / 3 {
        let frame = consumer.next(PATIENCE).unwrap();
        pattern::check(&frame).unwrap();
        (read, last, missed) = (read + 1, frame.number(), missed + frame.missed());
        // A sealed lane tells its incarnation to those who join it only: a frame carries it.
        let incarnation = incarnation.unwrap_or(frame.incarnation());
        match observer.copy_newest() {
            Ok(Some(copy)) => {
                pattern::check_copy(&copy, incarnation).unwrap();
                copied += 1;
            }
            Ok(None) | Err(camlane::ObserveError::Contended) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(read + missed, last, "delivered and missed add up to the distance");
    let held = consumer.next(PATIENCE).unwrap();
    producer.kill();
    loop {
        match consumer.next(PATIENCE) {
            Ok(frame) => pattern::check(&frame).unwrap(),
            Err(WaitError::ProducerGone) => break,
            Err(error) => panic!("{error}"),
        }
    }
    pattern::check(&held).unwrap();
    // The next one is followed, and ends properly.
    let mut producer = peer();
    producer.must(&format!("create {} gray=64 history=8", place.address()));
    producer.must("publish 5");
    for number in 1..=5 {
        let frame = consumer.next(PATIENCE).unwrap();
        pattern::check(&frame).unwrap();
        assert_eq!((frame.number(), frame.change().restarted), (number, number == 1));
    }
    pattern::check(&held).unwrap();
    assert!(producer.end().success());
    assert!(matches!(consumer.next(PATIENCE), Err(WaitError::Closed)));
    assert!(matches!(observer.state(), LaneState::Superseded | LaneState::Live | LaneState::Closed));
}

#[test]
fn a_sleeper_of_either_build_is_woken_by_the_other() {
    let (there, here) = (Place::new(false), Place::new(false));
    let mut other = peer();
    other.must(&format!("create {} bytes={BYTES}", there.address()));
    let source = source(&here);
    other.must(&format!("open {}", here.address()));
    let mut consumer = Consumer::open(&there.address()).unwrap();
    other.tell("echo 200");
    for number in 1..=200 {
        source.shoot_all(1);
        assert_eq!(consumer.next(PATIENCE).unwrap().number(), number);
    }
    let echoed = other.answer().unwrap();
    assert_eq!(echoed.word(), "ok", "{echoed:?}");
    assert!(echoed.number("late") <= 100, "only a time-out ended these waits: {echoed:?}");
}

/// How the peer's streams look: the byte at a place.
const fn byte(place: u64) -> u8 {
    (place ^ place >> 8) as u8
}

/// Reads up to a place, checking each byte.
fn read_up_to(reader: &mut StreamReader, position: &mut u64, end: u64) {
    let mut bytes = [0; 777];
    while *position < end {
        let read = reader.read(&mut bytes, PATIENCE).unwrap();
        assert!(
            (*position..).zip(&bytes[..read]).all(|(place, &found)| found == byte(place)),
            "at {position}"
        );
        *position += read as u64;
    }
}

/// Bytes at a time, out of step with the ring.
const PIECE: u64 = 3_001;
const PIECES: u64 = 100;

#[test]
fn a_byte_stream_to_the_other_build_goes_on_after_its_reader_was_killed() {
    let lane = TestLane::new("mixed-out");
    let mut writer = StreamWriter::create(lane.name(), &StreamOptions::new(4096)).unwrap();
    let mut killed = peer();
    killed.must(&format!("stream-open {}", lane.name()));
    let piece = |number: u64| -> Vec<u8> { (number * PIECE..(number + 1) * PIECE).map(byte).collect() };
    for number in 0..PIECES {
        killed.tell(&format!("stream-read {PIECE} 20000")); // it may sleep before the bytes come
        writer.write(&piece(number), PATIENCE).unwrap();
        let mut read = killed.answer().unwrap().number("bytes");
        while read < PIECE {
            read += killed.must(&format!("stream-read {} 20000", PIECE - read)).number("bytes");
        }
    }
    writer.write(&piece(PIECES), PATIENCE).unwrap();
    killed.kill();
    // What it read and gave back is gone, what it did not read comes to the next.
    let mut reader = StreamReader::open(lane.name(), PATIENCE).unwrap();
    let mut position = PIECES * PIECE;
    read_up_to(&mut reader, &mut position, (PIECES + 1) * PIECE);
    drop(writer);
    assert!(matches!(reader.read(&mut [0; 9], PATIENCE), Err(WaitError::Closed)));
}

#[test]
fn a_byte_stream_from_the_other_build_ends_when_its_writer_is_killed() {
    let lane = TestLane::new("mixed-in");
    let mut writer = peer();
    writer.must(&format!("stream-create {}", lane.name()));
    let mut reader = StreamReader::open(lane.name(), PATIENCE).unwrap();
    let mut position = 0;
    let all = PIECES * PIECE;
    writer.tell(&format!("stream-write {all} 20000")); // many times what the ring holds
    read_up_to(&mut reader, &mut position, all);
    assert_eq!((position, writer.answer().unwrap().number("bytes")), (all, all));
    assert_eq!(writer.must("stream-write 500 20000").number("bytes"), 500);
    writer.kill();
    read_up_to(&mut reader, &mut position, all + 500);
    assert!(matches!(reader.read(&mut [0; 9], PATIENCE), Err(WaitError::ProducerGone)));
}

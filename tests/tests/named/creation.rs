//! How a lane comes into being: complete before it is visible, with the modes that were asked for, and over nothing that
//! belongs to somebody else.

use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use camlane::core::AttachError;
use camlane::core::layout::LAYOUT;
use camlane::{Consumer, Error, Health, LaneStatus, Observer, Sharing};
use camlane_tests::lane::TestLane;
use camlane_tests::pattern;
use camlane_tests::wait::{PATIENCE, wait_until};
use rstest::rstest;

use crate::{options, peer, source};

#[test]
fn whoever_opens_a_lane_without_pause_never_meets_one_that_is_unfinished() {
    const PRODUCERS: u64 = 200;
    let lane = TestLane::new("unfinished");
    let (looks, found, ended) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let look = || {
        match Consumer::open(lane.name()) {
            Ok(mut consumer) => {
                if let Some(frame) = consumer.try_next().unwrap() {
                    pattern::check(&frame).unwrap();
                }
                found.fetch_add(1, Ordering::Relaxed);
            }
            Err(Error::NoSuchLane { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        match Observer::open(lane.name()) {
            Ok(observer) => assert_eq!(observer.info().unwrap().name, lane.name()),
            Err(Error::NoSuchLane { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        looks.fetch_add(1, Ordering::Relaxed);
    };
    thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                look();
            }
        });
        for round in 0..PRODUCERS {
            let mut producer = peer();
            // Each with a geometry of its own, so that one's seats would not do for another.
            let (seats, history) = (2 + round % 7, 1 + round % 5);
            producer.tell(&format!("create {} bytes=100000 seats={seats} history={history}", lane.name()));
            producer.tell("publish 3");
            // The moment of death: after so many more looks of the watcher, or at once, or after a clean end.
            let until = looks.load(Ordering::Relaxed) + round % 40;
            wait_until("the watcher looked", || {
                looks.load(Ordering::Relaxed) >= until || watcher.is_finished()
            });
            if round % 10 == 9 {
                assert_eq!(producer.answer().unwrap().word(), "ok");
                producer.answer();
                producer.must("close");
            }
            producer.kill();
            if watcher.is_finished() {
                break;
            }
        }
        ended.store(true, Ordering::Relaxed);
    });
    let (looks, found) = (looks.into_inner(), found.into_inner());
    eprintln!("{looks} looks, {found} found a lane");
    assert!(found > PRODUCERS && looks > found, "{looks} looks, {found} found a lane");
}

#[rstest]
fn modes_are_those_that_were_asked_for_whatever_the_umask(
    #[values("077", "000", "777")] umask: &str,
    #[values(("owner", 0o600, 0o600), ("group", 0o640, 0o660), ("everyone", 0o644, 0o660))] sharing: (
        &str,
        u32,
        u32,
    ),
) {
    let (sharing, data, others) = sharing;
    let lane = TestLane::new("modes");
    let mut producer = peer();
    producer.must(&format!("umask {umask}"));
    producer.must(&format!("create {} sharing={sharing}", lane.name()));
    assert_eq!((mode(&lane, "data"), mode(&lane, "seats"), mode(&lane, "lock")), (data, others, others));
}

#[test]
fn the_lock_file_of_earlier_lanes_gets_the_mode_of_the_present_one() {
    let lane = TestLane::new("remode");
    for (sharing, wanted) in [(Sharing::Owner, 0o600), (Sharing::Group, 0o660), (Sharing::Owner, 0o600)] {
        let _source = source(&lane, options().sharing(sharing)).unwrap();
        assert_eq!(mode(&lane, "lock"), wanted, "{sharing:?}");
    }
}

fn mode(lane: &TestLane, part: &str) -> u32 {
    fs::metadata(lane.file(part)).unwrap().permissions().mode() & 0o7777
}

#[rstest]
#[case::short(b"PPM")]
#[case::another_programs(&[b'x'; 8192])]
fn what_is_no_lane_is_refused_by_both_sides_and_left_as_it_was(#[case] bytes: &[u8]) {
    let lane = TestLane::new("foreign");
    fs::write(lane.file("data"), bytes).unwrap();
    let refusals = [
        source(&lane, options()).map(drop).unwrap_err(),
        Consumer::open(lane.name()).map(drop).unwrap_err(),
        Observer::open(lane.name()).map(drop).unwrap_err(),
    ];
    for refusal in refusals {
        let no_lane = |source| matches!(source, AttachError::Foreign | AttachError::TooShort { .. });
        assert!(matches!(refusal, Error::Unusable { source, .. } if no_lane(source)), "{refusal}");
    }
    assert_eq!(LaneStatus::of(lane.name()).unwrap().health, Health::Unusable);
    assert_eq!(fs::read(lane.file("data")).unwrap(), bytes);
    assert_eq!(lane.parts(), ["data", "lock"], "nothing else was left behind");
    fs::remove_file(lane.file("data")).unwrap();
    source(&lane, options()).expect("the name is free again");
}

/// What a dead producer's object may have become.
#[rstest]
#[case::of_another_major_version(0x08, &[0, 0, 2, 0], AttachError::Version { found: 0x2_0000, supported: LAYOUT })]
#[case::with_a_changed_header(0x28, &[0xff], AttachError::Checksum { what: "header" })]
#[case::never_finished(0x88, &[0], AttachError::NotReady)]
#[case::in_a_state_that_is_none(0x88, &[9], AttachError::Corrupt { what: "state" })]
fn a_damaged_lane_is_refused_by_readers_and_replaced_by_the_next_producer(
    #[case] offset: u64,
    #[case] bytes: &[u8],
    #[case] expected: AttachError,
) {
    let lane = TestLane::new("damaged");
    let mut producer = peer();
    producer.must(&format!("create {}", lane.name()));
    producer.must("publish 1");
    producer.kill();
    let object = fs::OpenOptions::new().write(true).open(lane.file("data")).unwrap();
    object.write_all_at(bytes, offset).unwrap();
    for refusal in [Consumer::open(lane.name()).map(drop), Observer::open(lane.name()).map(drop)] {
        let refusal = refusal.unwrap_err();
        assert!(matches!(&refusal, Error::Unusable { source, .. } if *source == expected), "{refusal}");
    }
    let source = source(&lane, options()).expect("it is a lane of ours, and nobody lives there");
    source.shoot().unwrap();
    assert_eq!(Consumer::open(lane.name()).unwrap().next(PATIENCE).unwrap().number(), 1);
}

#[rstest]
#[case::to_nothing(0)]
#[case::in_its_header(100)]
#[case::in_its_pixels(8192)]
fn a_lane_that_was_cut_is_refused_before_a_byte_of_it_is_touched(#[case] len: u64) {
    let lane = TestLane::new("cut");
    let mut producer = peer();
    producer.must(&format!("create {}", lane.name()));
    producer.kill();
    fs::OpenOptions::new().write(true).open(lane.file("data")).unwrap().set_len(len).unwrap();
    for refusal in [Consumer::open(lane.name()).map(drop), Observer::open(lane.name()).map(drop)] {
        let refusal = refusal.unwrap_err();
        assert!(
            matches!(refusal, Error::Unusable { source: AttachError::TooShort { found, .. }, .. } if found == len),
            "{refusal}"
        );
    }
    let source = source(&lane, options()).expect("it was a lane of ours, and nobody lives there");
    source.shoot().unwrap();
    assert_eq!(Consumer::open(lane.name()).unwrap().next(PATIENCE).unwrap().number(), 1);
}

#[test]
fn the_seats_of_another_run_are_not_sat_in() {
    let lane = TestLane::new("mixed");
    let mut producer = peer();
    producer.must(&format!("create {}", lane.name()));
    let old = fs::read(lane.file("seats")).unwrap();
    producer.must("close");
    producer.must(&format!("create {}", lane.name()));
    producer.kill();
    fs::write(lane.file("seats"), old).unwrap();
    let refusal = Consumer::open(lane.name()).unwrap_err();
    assert!(matches!(refusal, Error::NoSuchLane { .. }), "{refusal}");
    let source = source(&lane, options()).unwrap();
    source.shoot().unwrap();
    assert_eq!(Consumer::open(lane.name()).unwrap().next(PATIENCE).unwrap().number(), 1);
}

#[test]
fn what_a_producer_left_half_made_is_removed_by_the_next() {
    let lane = TestLane::new("leftovers");
    for part in ["data.new", "seats.new"] {
        fs::write(lane.file(part), [7; 5000]).unwrap();
    }
    let source = source(&lane, options()).unwrap();
    assert_eq!(lane.parts(), ["data", "lock", "seats"]);
    source.shoot().unwrap();
    assert_eq!(Consumer::open(lane.name()).unwrap().next(PATIENCE).unwrap().number(), 1);
}

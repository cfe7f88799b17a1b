//! Producers that end, die, come back different, and fight for a name.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use camlane::{Consumer, ConsumerOptions, Error, LaneState, Observer, PixelFormat, Read, WaitError};
use camlane_tests::lane::TestLane;
use camlane_tests::pattern::{self, Source};
use camlane_tests::peer::Peer;
use camlane_tests::wait::PATIENCE;
use rstest::rstest;

use crate::{options, peer, source};

#[test]
fn after_a_clean_end_consumers_read_what_is_left_and_are_then_told() {
    let lane = TestLane::new("ended");
    let mut producer = peer();
    producer.must(&format!("create {} history=4", lane.name()));
    let mut consumer = ConsumerOptions::new().read(Read::Every).open(lane.name()).unwrap();
    producer.must("publish 4");
    producer.must("close");
    assert_eq!(lane.parts(), ["lock"]);
    for number in 1..=4 {
        let frame = consumer.next(PATIENCE).unwrap();
        pattern::check(&frame).unwrap();
        assert_eq!(frame.number(), number);
    }
    assert!(matches!(consumer.next(PATIENCE), Err(WaitError::Closed)));
    assert!(
        matches!(consumer.next(Duration::from_millis(30)), Err(WaitError::Closed)),
        "and when it asks again"
    );
}

#[rstest]
#[case::without(Duration::ZERO)]
#[case::until_it_ends(Duration::from_millis(50))]
fn what_a_killed_producer_left_is_opened_when_patience_ends(#[case] patience: Duration) {
    let lane = TestLane::new("left");
    let mut producer = peer();
    producer.must(&format!("create {}", lane.name()));
    producer.must("publish 3");
    producer.kill();
    let began = Instant::now();
    let mut consumer = ConsumerOptions::new().patience(patience).open(lane.name()).unwrap();
    assert!(began.elapsed() >= patience);
    assert_eq!(consumer.next(PATIENCE).unwrap().number(), 3);
    assert!(matches!(consumer.next(PATIENCE), Err(WaitError::ProducerGone)));
}

#[test]
fn a_patient_consumer_waits_for_the_producer_that_comes_after_one_that_was_killed() {
    let lane = TestLane::new("patient");
    let mut first = peer();
    // One seat: it may not need a second to move.
    first.must(&format!("create {} seats=1", lane.name()));
    first.must("publish 3");
    first.kill();
    let (looked, looks) = mpsc::channel();
    let address = lane.name().to_owned();
    let patient = std::thread::spawn(move || {
        ConsumerOptions::new().patience(PATIENCE).open_while(&address, || {
            looked.send(()).unwrap();
            true
        })
    });
    looks.recv().unwrap(); // what the first one left has been seen
    let second = source(&lane, options().seats(1)).unwrap();
    second.shoot().unwrap();
    let mut consumer = patient.join().unwrap().unwrap();
    let frame = consumer.next(PATIENCE).unwrap();
    pattern::check(&frame).unwrap();
    assert_eq!((frame.number(), frame.incarnation()), (1, second.producer.incarnation()));
    assert!(!frame.change().any(), "its first frame differs from none before");
    assert_eq!(consumer.totals().restarts, 0);
}

#[rstest]
#[case::its_seats("seats.new")]
#[case::its_data("data.new")]
fn a_patient_consumer_does_not_take_what_is_about_to_be_replaced_for_a_living_lane(#[case] part: &str) {
    let lane = TestLane::new("staged");
    let _source = source(&lane, options()).unwrap(); // it holds the lock, as one that makes the lane anew
    std::fs::write(lane.file(part), "").unwrap();
    let (began, patience) = (Instant::now(), Duration::from_millis(50));
    ConsumerOptions::new().patience(patience).open(lane.name()).unwrap();
    assert!(began.elapsed() >= patience);
    std::fs::remove_file(lane.file(part)).unwrap();
    ConsumerOptions::new().patience(Duration::MAX).open(lane.name()).unwrap();
}

#[test]
fn patience_is_over_when_its_owner_says_so() {
    let lane = TestLane::new("over");
    let mut looks = 0;
    let patient = || {
        looks += 1;
        looks < 3
    };
    let absent = ConsumerOptions::new().patience(Duration::MAX).open_while(lane.name(), patient).unwrap_err();
    assert!(matches!(absent, Error::NoSuchLane { .. }), "{absent}");
    assert_eq!(looks, 3);
}

#[test]
fn when_the_producer_is_killed_consumers_read_what_is_left_and_follow_the_next_one_whatever_it_brings() {
    let lane = TestLane::new("reborn");
    let mut first = peer();
    first.must(&format!("create {} bytes=4096 seats=3 history=4", lane.name()));
    let mut consumer = ConsumerOptions::new().read(Read::Every).open(lane.name()).unwrap();
    first.must("publish 4");
    let kept = consumer.next(PATIENCE).unwrap();
    first.kill();
    for number in 2..=4 {
        let frame = consumer.next(PATIENCE).unwrap();
        pattern::check(&frame).unwrap();
        assert_eq!(frame.number(), number);
    }
    assert!(matches!(consumer.next(PATIENCE), Err(WaitError::ProducerGone)));
    assert!(matches!(consumer.next(Duration::from_millis(30)), Err(WaitError::ProducerGone)));

    let old = consumer.shape().slots();
    let mut second = peer();
    second.must(&format!("create {} gray=300 seats=5 pins=4 history=2", lane.name()));
    second.must("publish 1");
    let frame = consumer.next(PATIENCE).unwrap();
    pattern::check(&frame).unwrap();
    let change = frame.change();
    assert!(change.restarted && change.format && change.size, "{change:?}");
    assert_eq!((frame.number(), frame.meta().layout.format), (1, PixelFormat::GRAY8));
    assert_ne!(consumer.shape().slots(), old);
    assert_ne!(frame.incarnation(), kept.incarnation());
    pattern::check(&kept).expect("a frame outlives its producer");
    assert_eq!(consumer.totals().restarts, 1);

    second.must("publish 1");
    assert!(!consumer.next(PATIENCE).unwrap().change().any());
}

/// Every seat is taken, and each consumer still holds a frame of the dead producer: none of that may keep anybody out.
#[rstest]
#[case::by_kill("kill")]
#[case::by_its_clean_end("close")]
fn all_consumers_of_a_full_lane_follow_its_next_producer(#[case] end: &str) {
    let lane = TestLane::new("full-reborn");
    let mut first = peer();
    first.must(&format!("create {} seats=4 pins=2", lane.name()));
    let mut peers: Vec<Peer> = (0..4).map(|_| peer()).collect();
    first.must("publish 1");
    for peer in &mut peers {
        peer.must(&format!("open {} read=every", lane.name()));
        assert_eq!(peer.ask("hold 5000").number("number"), 1);
    }
    if end == "kill" {
        first.kill();
    } else {
        first.must(end);
    }
    let mut second = peer();
    second.must(&format!("create {} seats=4 pins=1", lane.name()));
    second.must("publish 1");
    for peer in &mut peers {
        let frame = peer.ask("next 20000");
        assert_eq!((frame.word(), frame.number("restarted")), ("frame", 1));
        peer.must("verify");
    }
    assert_eq!(second.must("seats").number("taken"), 4);
    let refused = peer().ask(&format!("open {}", lane.name()));
    assert!(refused.says("SeatsTaken"), "a seat that was followed into is nobody else's: {refused:?}");
}

#[test]
fn a_consumer_that_holds_all_it_may_is_told_that_the_producer_died() {
    let lane = TestLane::new("greedy-gone");
    let mut producer = peer();
    producer.must(&format!("create {} pins=1", lane.name()));
    let mut consumer = Consumer::open(lane.name()).unwrap();
    producer.must("publish 1");
    let frame = consumer.next(PATIENCE).unwrap();
    producer.kill();
    let end = consumer.next(PATIENCE);
    assert!(matches!(end, Err(WaitError::ProducerGone)), "{end:?}");
    pattern::check(&frame).unwrap();
}

#[test]
fn a_living_producer_keeps_its_name_and_the_refusal_names_it() {
    let lane = TestLane::new("taken");
    let mut first = peer();
    first.must(&format!("create {}", lane.name()));
    let refused = source(&lane, options()).unwrap_err();
    assert!(matches!(refused, camlane::Error::Taken { .. }), "{refused}");
    assert!(refused.to_string().contains(&format!("process {}, peer", first.pid())), "{refused}");
    first.must("publish 1");
    assert_eq!(Consumer::open(lane.name()).unwrap().next(PATIENCE).unwrap().number(), 1);
}

#[test]
fn a_dead_producers_name_is_taken_over_and_its_readers_are_told_so() {
    let lane = TestLane::new("superseded");
    let mut first = peer();
    first.must(&format!("create {}", lane.name()));
    first.must("publish 1");
    let observer = Observer::open(lane.name()).unwrap();
    let mut waiting = peer();
    waiting.must(&format!("open {}", lane.name()));
    assert_eq!(waiting.ask("next 5000").number("number"), 1);
    waiting.tell("next 20000");
    first.kill();
    assert_eq!(observer.state(), LaneState::Live, "the dead tell nothing");
    let mut second = peer();
    second.must(&format!("create {}", lane.name()));
    assert_eq!(observer.state(), LaneState::Superseded);
    second.must("publish 1");
    let answer = waiting.answer().unwrap();
    let moved = if answer.word() == "gone" { waiting.ask("next 20000") } else { answer };
    assert_eq!((moved.number("number"), moved.number("restarted")), (1, 1));
}

#[test]
fn of_those_who_want_the_same_name_exactly_one_gets_it() {
    let lane = TestLane::new("race");
    let mut racers = [peer(), peer(), peer()];
    let order = format!("create {}", lane.name());
    let mut wins = [0; 3];
    for round in 0..100 {
        racers.iter_mut().for_each(|racer| racer.tell(&order));
        let answers = racers.each_mut().map(|racer| racer.answer().unwrap());
        let winners: Vec<usize> = (0..3).filter(|&racer| answers[racer].word() == "ok").collect();
        let &[winner] = &winners[..] else { panic!("round {round}: {answers:?}") };
        for (racer, answer) in answers.iter().enumerate() {
            assert!(racer == winner || answer.says("Taken"), "round {round}: {answer:?}");
        }
        racers[winner].must("publish 1");
        assert_eq!(Consumer::open(lane.name()).unwrap().next(PATIENCE).unwrap().number(), 1);
        wins[winner] += 1;
        racers[winner].must("close");
    }
    eprintln!("wins: {wins:?}");
}

#[test]
fn numbers_begin_again_with_each_producer_and_the_totals_go_on() {
    let lane = TestLane::new("totals");
    let mut consumer = None;
    for run in 1..=3 {
        let layout = PixelFormat::GRAY8.layout(64, 64, 1).unwrap();
        let source = Source::create(lane.name(), layout, &camlane::LaneOptions::for_frames(&layout)).unwrap();
        let consumer = consumer.get_or_insert_with(|| Consumer::open(lane.name()).unwrap());
        source.shoot_all(5);
        let frame = consumer.next(PATIENCE).unwrap();
        assert_eq!((frame.number(), frame.missed()), (5, 4));
        let totals = consumer.totals();
        assert_eq!((totals.delivered, totals.missed, totals.restarts), (run, 4 * run, run - 1));
    }
}

//! Consumers that die, stop, crowd, come early and come late; names that go while they are in use.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::thread;
use std::time::{Duration, Instant};

use camlane::{Consumer, ConsumerOptions, Error, LaneStatus, Observer, Read, WaitError};
use camlane_tests::lane::TestLane;
use camlane_tests::pattern;
use camlane_tests::peer::Peer;
use camlane_tests::wait::{PATIENCE, wait_until};
use nix::sys::signal::Signal;

use crate::{options, peer, source};

#[test]
fn the_seat_of_a_killed_consumer_is_free_at_once_and_its_frames_never_cost_the_producer_a_loan() {
    let lane = TestLane::new("killed");
    let source = source(&lane, options().seats(2).pins(2)).unwrap();
    let mut peers = [peer(), peer()];
    for peer in &mut peers {
        peer.must(&format!("open {}", lane.name()));
        for _ in 0..2 {
            source.shoot_all(1);
            assert_eq!(peer.ask("hold 5000").word(), "frame");
        }
    }
    source.shoot_all(500);
    assert!(matches!(Consumer::open(lane.name()), Err(Error::SeatsTaken { .. })));

    for round in 0..10 {
        let [killed, other] = &mut peers;
        killed.kill();
        let died = Instant::now();
        let mut newcomer = peer();
        wait_until("the seat is free", || newcomer.ask(&format!("open {}", lane.name())).word() == "ok");
        eprintln!("round {round}: the seat was taken {:?} after the kill", died.elapsed());
        for _ in 0..2 {
            source.shoot_all(1);
            assert_eq!(newcomer.ask("hold 5000").word(), "frame");
        }
        source.shoot_all(500);
        other.must("verify");
        *killed = newcomer;
        peers.swap(0, 1);
    }
    assert_eq!(source.producer.dropped(), 0);
}

#[test]
fn an_over_committed_lane_takes_frames_back_from_the_dead_before_it_drops_one() {
    let lane = TestLane::new("starved");
    let source = source(&lane, options().seats(1).pins(2).history(1).loans(1).slots(3)).unwrap();
    let mut peer = peer();
    peer.must(&format!("open {}", lane.name()));
    for _ in 0..2 {
        source.shoot().unwrap();
        assert_eq!(peer.ask("hold 5000").word(), "frame");
    }
    source.shoot().unwrap();
    assert!(matches!(source.shoot(), Err(Error::Loan(_))), "two frames are held, one is the history");
    assert_eq!(source.producer.dropped(), 1);
    peer.kill();
    source.shoot().expect("the dead hold nothing");
    assert_eq!(source.producer.dropped(), 1, "no frame was lost since");
}

#[test]
fn a_stopped_consumer_keeps_its_seat_and_its_frame_for_as_long_as_it_is_stopped() {
    let lane = TestLane::new("stopped");
    let source = source(&lane, options().seats(1).pins(2)).unwrap();
    let mut peer = peer();
    peer.must(&format!("open {}", lane.name()));
    source.shoot().unwrap();
    let held = peer.ask("hold 5000");
    assert_eq!(held.number("number"), 1);
    let before = payloads(&lane, &source.producer);

    peer.signal(Signal::SIGSTOP);
    let stopped = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", peer.pid())).unwrap();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
    };
    wait_until("the consumer is stopped", stopped);
    for _ in 0..5000 {
        source.shoot().expect("loans never fail in this lane");
        assert_eq!(source.producer.reclaim(), 0, "a stopped process is not a dead one");
    }
    let after = payloads(&lane, &source.producer);
    let unchanged = before.iter().zip(&after).filter(|(before, after)| before == after).count();
    assert_eq!(unchanged, 1, "of all slots only the one that is held stayed as it was");
    match Consumer::open(lane.name()) {
        Err(Error::SeatsTaken { holders, .. }) => {
            assert!(holders.contains(&peer.pid().to_string()), "{holders}");
        }
        other => panic!("{other:?}"),
    }
    let seats = source.producer.consumers();
    assert_eq!((seats.len(), seats[0].pid, seats[0].pins), (1, peer.pid(), 1));

    peer.signal(Signal::SIGCONT);
    assert_eq!(peer.must("verify").number("held"), 1);
    let next = peer.ask("next 5000");
    assert_eq!((next.number("number"), next.number("missed")), (5001, 4999));
}

/// The slots' bytes, read from the object's file and so past everything that camlane knows.
fn payloads(lane: &TestLane, producer: &camlane::Producer) -> Vec<Vec<u8>> {
    let file = File::open(lane.file("data")).unwrap();
    let shape = producer.shape();
    let slot = |slot: u32| {
        let mut bytes = vec![0; shape.slot_size() as usize - 64]; // frames differ in length by up to 60 bytes
        let at = shape.payload_offset() + u64::from(slot) * u64::from(shape.slot_stride());
        file.read_exact_at(&mut bytes, at).unwrap();
        bytes
    };
    (0..shape.slots()).map(slot).collect()
}

#[test]
fn when_all_seats_are_taken_the_error_names_who_sits_there() {
    let lane = TestLane::new("full");
    let _source = source(&lane, options().seats(3)).unwrap();
    let mut peers = [peer(), peer(), peer()];
    for peer in &mut peers {
        peer.must(&format!("open {}", lane.name()));
    }
    let mut late = peer();
    let refused = late.ask(&format!("open {}", lane.name()));
    assert!(refused.says("SeatsTaken"), "{refused:?}");
    for peer in &peers {
        assert!(refused.says(&format!("process {}, peer", peer.pid())), "{refused:?}");
    }
    peers[1].must("leave");
    assert_eq!(late.must(&format!("open {}", lane.name())).number("seat"), 1);
}

#[test]
fn consumers_may_come_before_the_producer_and_after_it() {
    let lane = TestLane::new("order");
    let mut early = peer();
    early.tell(&format!("open {} patience=20000 read=every", lane.name()));
    let mut impatient = peer();
    assert!(impatient.ask(&format!("open {}", lane.name())).says("NoSuchLane"));

    let source = source(&lane, options()).unwrap();
    assert_eq!(early.answer().unwrap().word(), "ok");
    for number in 1..=3 {
        source.shoot().unwrap();
        assert_eq!(early.ask("next 5000").number("number"), number);
    }
    let forever = ConsumerOptions::new().patience(Duration::MAX);
    assert_eq!(forever.open(lane.name()).unwrap().next(PATIENCE).unwrap().number(), 3);
    let mut late = peer();
    late.must(&format!("open {} read=every", lane.name()));
    let first = late.ask("next 5000");
    assert_eq!((first.number("number"), first.number("missed")), (3, 0), "it begins with the newest");
    source.shoot().unwrap();
    for peer in [&mut early, &mut late] {
        let next = peer.ask("next 5000");
        assert_eq!((next.number("number"), next.number("missed")), (4, 0));
    }
}

#[test]
fn sixteen_consumers_read_at_once_and_each_can_account_for_every_frame() {
    const FRAMES: u64 = 2000;
    let lane = TestLane::new("crowd");
    let mut producer = peer();
    producer.must(&format!("create {} seats=16 pins=3", lane.name()));
    let mut crowd: Vec<Peer> = (0..16).map(|_| peer()).collect();
    for (index, peer) in crowd.iter_mut().enumerate() {
        let read = if index % 2 == 0 { "latest" } else { "every" };
        peer.must(&format!("open {} read={read}", lane.name()));
        peer.must("consume 2");
    }
    producer.must(&format!("publish {FRAMES}"));
    for peer in &mut crowd {
        let mut tally = peer.must("tally");
        while tally.number("last") < FRAMES {
            peer.must("consume 2");
            tally = peer.must("tally");
        }
        assert_eq!(tally.number("delivered") + tally.number("missed"), FRAMES, "{tally:?}");
        assert_eq!(tally.number("distance"), FRAMES, "it was there before the first frame: {tally:?}");
    }
    let end = producer.must("drain");
    assert_eq!((end.number("dropped"), end.number("published")), (0, FRAMES));
}

#[test]
fn an_observer_gets_whole_copies_while_the_producer_publishes_without_pause() {
    const COPIES: u32 = 1500;
    let lane = TestLane::new("observed");
    let mut producer = peer();
    producer.must(&format!("create {} bytes=100000 seats=1 pins=1 history=2", lane.name()));
    let observer = Observer::open(lane.name()).unwrap();
    assert_eq!(observer.copy_newest(), Ok(None));
    let incarnation = LaneStatus::of(lane.name()).unwrap().lane.unwrap().incarnation;
    producer.must("flood");
    let (began, mut copies, mut contended, mut numbers) = (Instant::now(), 0, 0, 0..=0);
    while copies < COPIES {
        assert!(began.elapsed() < PATIENCE, "{copies} copies, {contended} given up");
        match observer.copy_newest() {
            Ok(Some(copy)) => {
                pattern::check_copy(&copy, incarnation)
                    .unwrap_or_else(|torn| panic!("copy {copies}: {torn}"));
                assert!(
                    copy.observed.number >= *numbers.end(),
                    "the newest is never older than the newest before"
                );
                numbers = *numbers.start()..=copy.observed.number;
                copies += 1;
            }
            Ok(None) => {}
            Err(camlane::ObserveError::Contended) => contended += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(*numbers.end() > u64::from(COPIES) / 2, "the producer was running: {numbers:?}");
    assert!(producer.must("seats").number("taken") == 0, "an observer takes no seat");
}

#[test]
fn a_lane_whose_names_are_removed_lives_on_for_those_who_are_in_it() {
    let lane = TestLane::new("removed");
    let first = source(&lane, options()).unwrap();
    let mut inside = peer();
    inside.must(&format!("open {} read=every", lane.name()));
    lane.remove();
    assert!(matches!(Consumer::open(lane.name()), Err(Error::NoSuchLane { .. })));
    for number in 1..=20 {
        first.shoot().unwrap();
        assert_eq!(inside.ask("next 5000").number("number"), number);
    }

    // Another producer may take the name; the first must not take it away from that one when it ends.
    let second = source(&lane, options()).unwrap();
    first.shoot().unwrap();
    assert_eq!(inside.ask("next 5000").number("number"), 21, "the first still lives and is still read");
    drop(first);
    assert_eq!(lane.parts(), ["data", "lock", "seats"]);
    second.shoot().unwrap();
    let moved = inside.ask("next 5000");
    assert_eq!((moved.number("number"), moved.number("restarted")), (1, 1));
    let newcomer = peer().must(&format!("open {}", lane.name()));
    assert_eq!(
        newcomer.number("seat"),
        1,
        "a lock on the file that was removed would keep nobody out of seat 0"
    );
}

#[test]
fn a_thousand_lanes_made_and_ended_leave_descriptors_and_mappings_and_shared_memory_as_they_were() {
    let lane = TestLane::new("cycles");
    let mut peer = peer();
    peer.must(&format!("cycles 20 {}", lane.name()));
    let state = |peer: &Peer| (peer.descriptors(), peer.mappings("").len(), lane.parts());
    let before = state(&peer);
    peer.must(&format!("cycles 1000 {}", lane.name()));
    assert_eq!(before, state(&peer));
    assert_eq!(lane.parts(), ["lock"], "somebody may be about to lock it");
}

#[test]
fn a_thousand_consumers_that_come_and_go_leave_nothing_in_the_lane() {
    let lane = TestLane::new("visits");
    let source = source(&lane, options().seats(2)).unwrap();
    for visit in 1..=1000 {
        source.shoot().unwrap();
        let read = if visit % 2 == 0 { Read::Latest } else { Read::Every };
        let mut consumer = ConsumerOptions::new().read(read).open(lane.name()).unwrap();
        let frame = consumer.next(Duration::from_secs(5)).unwrap();
        assert_eq!(frame.number(), visit);
        drop(consumer);
        assert_eq!(source.producer.consumers().len(), 1, "the frame keeps the seat");
        drop(frame);
        assert_eq!(source.producer.consumers(), []);
    }
}

#[test]
fn a_consumer_that_holds_all_it_may_is_told_so_and_goes_on_when_it_lets_go() {
    let lane = TestLane::new("greedy");
    let source = source(&lane, options().pins(2)).unwrap();
    let mut consumer = Consumer::open(lane.name()).unwrap();
    let mut frames = Vec::new();
    for _ in 0..2 {
        source.shoot().unwrap();
        frames.push(consumer.next(Duration::from_secs(5)).unwrap());
    }
    assert!(
        matches!(consumer.next(Duration::ZERO), Err(WaitError::TimedOut)),
        "nothing new, so nothing to complain of"
    );
    source.shoot().unwrap();
    assert!(matches!(consumer.next(Duration::ZERO), Err(WaitError::Other(Error::Read(_)))));
    let last = thread::spawn(move || frames.drain(..1).next().map(|frame| frame.number())).join().unwrap();
    assert_eq!(last, Some(1));
    assert_eq!(consumer.next(Duration::from_secs(5)).unwrap().number(), 3);
}

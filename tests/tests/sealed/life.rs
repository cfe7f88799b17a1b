//! Ends that die, restart, fork, and come and go.

use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::Instant;

use camlane::{Consumer, ConsumerOptions, Error, LaneStatus, Observer, Producer, Read, WaitError};
use camlane_tests::pattern;
use camlane_tests::peer::{Peer, Reply};
use camlane_tests::wait::{PATIENCE, wait_until};
use rstest::rstest;

use crate::{Place, can_trace, options, peer, source};

#[test]
fn the_seat_of_a_killed_consumer_is_free_in_milliseconds() {
    let place = Place::new();
    let source = source(&place, options().seats(2).pins(2).history(1).loans(1)).unwrap();
    let open = format!("open {}", place.address());
    let mut peers = [peer(), peer()];
    for peer in &mut peers {
        peer.must(&open);
        for _ in 0..2 {
            source.shoot_all(1);
            assert_eq!(peer.ask("hold 5000").word(), "frame");
        }
    }
    for round in 0..10 {
        let [killed, other] = &mut peers;
        let mut newcomer = peer();
        newcomer.must("verify");
        killed.kill();
        let died = Instant::now();
        wait_until("the seat is free", || newcomer.ask(&open).word() == "ok");
        eprintln!("round {round}: the seat was taken {:?} after the kill", died.elapsed());
        assert!(died.elapsed().as_millis() < 900, "not by something that looks once a second");
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
fn after_a_kill_of_the_producer_consumers_are_told_and_follow_the_next_with_another_geometry() {
    let place = Place::new();
    let mut consumer = ConsumerOptions::new().read(Read::Every).open(&place.address()).err();
    assert!(matches!(consumer.take(), Some(Error::NoSuchLane { .. })));
    let mut producer = peer();
    producer.must(&format!("create {}", place.address()));
    let mut consumer = ConsumerOptions::new().read(Read::Every).open(&place.address()).unwrap();
    let mut held = Vec::new();
    for (round, shape) in
        ["gray=64 seats=1", "bytes=100 seats=3 pins=1", "gray=200 history=9"].iter().enumerate()
    {
        producer.must("publish 3");
        for number in 1..=3 {
            let frame = consumer.next(PATIENCE).unwrap();
            pattern::check(&frame).unwrap();
            assert_eq!((frame.number(), frame.missed()), (number, 0));
            assert_eq!(frame.change().restarted, round > 0 && number == 1);
            if number == 3 {
                held.push(frame);
            }
        }
        producer.kill();
        assert!(matches!(consumer.next(PATIENCE), Err(WaitError::ProducerGone)));
        assert!(
            matches!(LaneStatus::of(&place.address()), Ok(status) if status.health == camlane::Health::Stale)
        );
        producer = peer();
        producer.must(&format!("create {} {shape}", place.address()));
    }
    producer.must("publish 1");
    assert!(consumer.next(PATIENCE).unwrap().change().restarted);
    held.iter().for_each(|frame| pattern::check(frame).expect("what was held stays good"));
    assert_eq!(consumer.totals().restarts, 3);
}

#[test]
fn an_end_is_told_after_the_last_frame() {
    let place = Place::new();
    let producer = source(&place, options().history(8)).unwrap();
    let mut consumer = ConsumerOptions::new().read(Read::Every).open(&place.address()).unwrap();
    let observer = Observer::open(&place.address()).unwrap();
    producer.shoot_all(5);
    drop(producer);
    for number in 1..=5 {
        let frame = consumer.next(PATIENCE).unwrap();
        pattern::check(&frame).unwrap();
        assert_eq!(frame.number(), number);
    }
    assert!(matches!(consumer.next(PATIENCE), Err(WaitError::Closed)));
    observer.wait(PATIENCE);
    assert_eq!(observer.state(), camlane::LaneState::Closed);
    assert_eq!(observer.copy_newest().unwrap().unwrap().observed.number, 5);
    assert!(!place.socket().exists());
}

#[test]
fn an_observer_of_a_dead_lane_waits_as_long_as_it_is_told_and_does_not_spin() {
    let place = Place::new();
    let mut producer = peer();
    producer.must(&format!("create {}", place.address()));
    let observer = Observer::open(&place.address()).unwrap();
    producer.must("publish 1");
    assert!(observer.copy_newest().unwrap().is_some());
    producer.kill();
    observer.wait(PATIENCE); // the end is news
    for _ in 0..3 {
        let began = Instant::now();
        observer.wait(std::time::Duration::from_millis(100));
        assert!(began.elapsed().as_millis() >= 99, "{:?}", began.elapsed());
    }
}

#[test]
fn every_publish_after_a_look_ends_an_observers_wait() {
    let place = Place::new();
    let source = source(&place, options()).unwrap();
    let mut observer = peer();
    observer.must(&format!("observe {}", place.address()));
    let mut late = 0;
    for number in 1..=300 {
        observer.tell("copy 10000");
        source.shoot_all(1);
        let copied = observer.answer().unwrap();
        assert_eq!(copied.number("number"), number, "{copied:?}");
        late += u32::from(copied.number("waited") > 1_000);
    }
    assert_eq!(late, 0, "waits that no notice ended");
}

/// Has a forked child obey, and returns what it answered.
#[track_caller]
fn child_of(parent: &mut Peer, orders: &[&str]) -> Vec<Reply> {
    parent.tell(&format!("fork {}", orders.join(" ; ")));
    let answers = orders.iter().map(|order| match parent.answer() {
        Some(reply) if reply.word() == "child:" => Reply(reply.0["child: ".len()..].to_owned()),
        other => panic!("{order:?}: {other:?}"),
    });
    let answers = answers.collect();
    assert!(parent.answer().unwrap().says(", 0)"));
    answers
}

#[test]
fn a_producers_child_ends_nothing_and_can_make_a_lane_of_its_own() {
    let (place, own) = (Place::new(), Place::new());
    let mut parent = peer();
    parent.must(&format!("create {} seats=2 pins=1 history=1 loans=1", place.address()));
    let mut consumer = Consumer::open(&place.address()).unwrap();
    parent.must("lend");
    let before = parent.descriptors();
    for order in ["publish 1", "lend", "publish-lent"] {
        assert!(child_of(&mut parent, &[order])[0].says("error Forked"), "{order}");
    }
    let (create, open) = (format!("create {}", own.address()), format!("open {}", own.address()));
    let answers = child_of(&mut parent, &["drop", &create, &open, "publish 1", "next 5000", "drop"]);
    assert_eq!(answers[4].number("number"), 1);
    assert!(place.socket().exists() && !own.socket().exists());
    assert!(matches!(source(&place, options()), Err(Error::Taken { .. })), "the parent still has the lane");
    wait_until("the children left no descriptor", || parent.descriptors() <= before);
    assert_eq!(parent.must("publish-lent").number("number"), 1);
    assert_eq!(consumer.next(PATIENCE).unwrap().number(), 1, "and the stream has not ended");
    parent.kill();
    assert!(matches!(consumer.next(PATIENCE), Err(WaitError::ProducerGone)));
    source(&place, options()).unwrap();
}

#[test]
fn a_consumers_child_disturbs_no_pin_and_keeps_the_seat_only_while_it_keeps_the_handle() {
    let place = Place::new();
    let source = source(&place, options().seats(1).pins(2).history(1).loans(1)).unwrap();
    let mut parent = peer();
    parent.must(&format!("open {}", place.address()));
    source.shoot_all(1);
    assert_eq!(parent.ask("hold 5000").number("number"), 1);
    for _ in 0..10 {
        let answers = child_of(&mut parent, &["verify", "next 0", "drop"]);
        assert!(answers[0].number("held") == 1 && answers[1].says("error Forked"), "{answers:?}");
    }
    source.shoot_all(500);
    parent.must("verify");
    parent.tell("fork verify ; await ; drop ; await");
    assert_eq!(parent.answer().unwrap().word(), "child:");
    parent.kill();
    source.shoot_all(500);
    assert!(
        matches!(Consumer::open(&place.address()), Err(Error::SeatsTaken { .. })),
        "the child may still look"
    );
    parent.tell("go on");
    wait_until("the child let go", || Consumer::open(&place.address()).is_ok());
}

/// What of a process could grow: descriptors, mappings, threads.
fn size(peer: &Peer) -> [usize; 3] {
    let lines =
        |file| std::fs::read_to_string(format!("/proc/{}/{file}", peer.pid())).unwrap().lines().count();
    let threads = std::fs::read_dir(format!("/proc/{}/task", peer.pid())).unwrap().count();
    [peer.descriptors(), lines("maps"), threads]
}

#[test]
fn five_hundred_visits_leave_nothing_behind_on_either_side() {
    let place = Place::new();
    let (mut producer, mut visitor) = (peer(), peer());
    producer.must(&format!("create {} seats=4", place.address()));
    producer.must("publish 1");
    let [descriptors, _, threads] = size(&producer);
    // The first few settle what is made once: the allocator's arenas, the cookie page.
    visitor.must(&format!("visits 20 {}", place.address()));
    let (before, [_, maps, _]) = (size(&visitor), size(&producer));
    visitor.must(&format!("visits 500 {}", place.address()));
    let after = size(&visitor);
    assert!(
        after[0] == before[0] && after[2] == before[2] && after[1] <= before[1] + 2,
        "{before:?} {after:?}"
    );
    wait_until("the producer is as it was", || {
        let now = size(&producer);
        // Neighbouring empty seats may be one mapping or several: at most one more for each of the four.
        now[0] == descriptors && now[2] == threads && now[1] <= maps + 4
    });
}

#[test]
fn a_lane_made_and_ended_three_hundred_times_leaves_nothing_behind() {
    let place = Place::new();
    let mut peer = peer();
    peer.must(&format!("cycles 20 {}", place.address()));
    let before = size(&peer);
    peer.must(&format!("cycles 300 {}", place.address()));
    let after = size(&peer);
    assert!(
        after[0] == before[0] && after[2] == before[2] && after[1] <= before[1] + 2,
        "{before:?} {after:?}"
    );
    let left: Vec<_> =
        std::fs::read_dir(place.dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["cam.sock.lock"]);
}

#[test]
fn a_lock_that_somebody_removes_while_it_is_taken_is_taken_anew() {
    if !can_trace() {
        return;
    }
    let place = Place::new();
    let lock = place.dir.path().join("cam.sock.lock");
    let slow = [
        "-qq",
        "-f",
        "-o",
        "/dev/null",
        "-e",
        "inject=/^fcntl(64)?$:delay_enter=300000",
        env!("CARGO_BIN_EXE_peer"),
    ];
    let mut first = Peer::run(Command::new("strace").args(slow));
    first.tell(&format!("create {}", place.address()));
    wait_until("the file is there, and not locked yet", || lock.exists());
    std::fs::remove_file(&lock).unwrap();
    assert_eq!(first.answer().unwrap().word(), "ok");
    assert!(
        matches!(source(&place, options()), Err(Error::Taken { .. })),
        "a lock on a removed file excludes nobody"
    );
}

#[test]
fn two_sockets_that_differ_in_their_ending_are_two_lanes() {
    let place = Place::new();
    let address =
        |ending: &str| format!("sealed:{}", place.dir.path().join(format!("cam.{ending}")).display());
    let lanes = ["a", "b", "lock"].map(|ending| Producer::create(&address(ending), &options()).unwrap());
    assert!(lanes.iter().all(|lane| Consumer::open(&lane.address().to_string()).is_ok()));
}

#[test]
fn a_producer_removes_no_socket_but_its_own() {
    let place = Place::new();
    let first = source(&place, options()).unwrap();
    // Somebody clears the directory, and another producer comes.
    std::fs::remove_file(place.socket()).unwrap();
    std::fs::remove_file(place.dir.path().join("cam.sock.lock")).unwrap();
    let second = source(&place, options()).unwrap();
    drop(first);
    second.shoot_all(1);
    assert_eq!(Consumer::open(&place.address()).unwrap().next(PATIENCE).unwrap().number(), 1);
}

#[rstest]
#[case::a_file("file")]
#[case::a_directory("directory")]
#[case::a_link("link")]
fn what_is_no_socket_is_not_removed(#[case] what: &str) {
    let place = Place::new();
    match what {
        "file" => std::fs::write(place.socket(), "precious").unwrap(),
        "directory" => std::fs::create_dir(place.socket()).unwrap(),
        _ => symlink("/dev/null", place.socket()).unwrap(),
    }
    let error = source(&place, options()).unwrap_err();
    assert!(error.to_string().contains("no socket"), "{error}");
    assert!(std::fs::symlink_metadata(place.socket()).is_ok());
}

#[test]
fn a_link_in_the_place_of_the_lock_is_not_followed() {
    let place = Place::new();
    let victim = place.dir.path().join("victim");
    std::fs::write(&victim, "precious").unwrap();
    symlink(&victim, place.dir.path().join("cam.sock.lock")).unwrap();
    assert!(matches!(source(&place, options()), Err(Error::System { .. })));
}

#[test]
fn a_path_that_is_too_long_is_told_so_by_both_ends() {
    let place = Place::new();
    let address = format!("sealed:{}/{}.sock", place.dir.path().display(), "x".repeat(100));
    for error in [Producer::create(&address, &options()).unwrap_err(), Consumer::open(&address).unwrap_err()]
    {
        assert!(error.to_string().contains("at most"), "{error}");
    }
}

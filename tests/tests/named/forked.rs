//! Children of processes that hold ends, loans and frames: what they inherit is inert.

use std::fs;

use camlane::{Consumer, Error};
use camlane_tests::lane::TestLane;
use camlane_tests::peer::{Peer, Reply};
use camlane_tests::wait::{PATIENCE, wait_until};
use rstest::rstest;

use crate::{options, peer, source};

/// Has a forked child obey, and returns what it answered.
#[track_caller]
fn child_of(parent: &mut Peer, orders: &[&str]) -> Vec<Reply> {
    parent.tell(&format!("fork {}", orders.join(" ; ")));
    let answers = orders.iter().map(|order| match parent.answer() {
        Some(reply) if reply.word() == "child:" => Reply(reply.0["child: ".len()..].to_owned()),
        other => panic!("{order:?}: {other:?}"),
    });
    let answers = answers.collect();
    let end = parent.answer().unwrap();
    assert!(end.says("Exited") && end.says(", 0)"), "{end:?}");
    answers
}

#[test]
fn in_a_child_both_ends_say_that_they_were_inherited() {
    let lane = TestLane::new("fork-errors");
    let mut parent = peer();
    parent.must(&format!("create {}", lane.name()));
    parent.must("lend");
    parent.must(&format!("open {}", lane.name()));
    let orders = ["publish 1", "lend", "publish-lent", "next 5000", "next 0", "notify"];
    for (order, answer) in orders.iter().zip(child_of(&mut parent, &orders)) {
        assert!(answer.says("error Forked"), "{order}: {answer:?}");
    }
    assert_eq!(parent.must("publish 1").number("number"), 1);
    assert_eq!(parent.ask("next 5000").number("number"), 1);
}

#[test]
fn a_child_that_drops_its_parents_producer_and_loans_ends_nothing() {
    let lane = TestLane::new("fork-producer");
    let mut parent = peer();
    parent.must(&format!("create {} seats=2 pins=1 history=1 loans=1", lane.name()));
    let mut consumer = Consumer::open(lane.name()).unwrap();
    parent.must("lend");
    parent.must("publish 2");
    let before = parent.descriptors();
    assert_eq!(lent(&lane), 1);
    child_of(&mut parent, &["drop"]);
    child_of(&mut parent, &["seats"]);
    assert_eq!(lent(&lane), 1, "nobody else may believe that the slot is free");
    assert_eq!(lane.parts(), ["data", "lock", "seats"]);
    assert_eq!(parent.descriptors(), before);
    assert!(source(&lane, options()).is_err(), "the parent still has the name");
    assert_eq!(consumer.next(PATIENCE).unwrap().number(), 2);
    assert_eq!(parent.must("publish-lent").number("number"), 3, "the loan is still the parent's");
    assert_eq!(consumer.next(PATIENCE).unwrap().number(), 3, "and the stream has not ended");
    // 4 slots: one of history, none lost.
    assert_eq!(parent.must("drain").number("loans"), 3);
}

/// Counts the slots that are being written, by the words in the object's file (core/FORMAT.md).
fn lent(lane: &TestLane) -> usize {
    let bytes = fs::read(lane.file("data")).unwrap();
    let word = |at: usize| u32::from_le_bytes(bytes[at..][..4].try_into().unwrap());
    let (slots, table, stride) = (word(0x28), word(0x4c), word(0x50));
    (0..slots).filter(|slot| word((table + slot * stride) as usize) & 3 == 3).count()
}

#[rstest]
#[case::that_sleeps("open")]
#[case::that_has_a_notifier("notify")]
fn a_child_that_drops_its_parents_consumer_and_frames_disturbs_no_pin(#[case] with: &str) {
    let lane = TestLane::new("fork-consumer");
    let source = source(&lane, options().seats(1).pins(2)).unwrap();
    let mut parent = peer();
    parent.must(&format!("open {}", lane.name()));
    if with == "notify" {
        parent.must("notify");
    }
    source.shoot_all(1);
    assert_eq!(parent.ask("hold 5000").number("number"), 1);
    for _ in 0..20 {
        let answers = child_of(&mut parent, &["verify", "drop"]);
        assert_eq!(answers[0].number("held"), 1, "a child may look at what it inherited");
    }
    let seats = source.producer.consumers();
    assert_eq!((seats.len(), seats[0].pid, seats[0].pins), (1, parent.pid(), 1));
    assert_eq!(source.producer.reclaim(), 0);
    source.shoot_all(200);
    parent.must("verify");
    assert_eq!(parent.ask("next 5000").number("number"), 201);
}

/// As a program with a larger one around it forks, or a shell of a script's: the child ends by exit(3) with all handlers, by
/// _exit(2) with none, or by a signal in the midst of a frame.
#[test]
fn however_a_child_with_frames_ends_its_parents_pins_are_as_they_were() {
    let lane = TestLane::new("fork-ends");
    let source = source(&lane, options().seats(1).pins(2).history(1).loans(1)).unwrap();
    let mut parent = peer();
    parent.must(&format!("open {}", lane.name()));
    parent.must("notify");
    for _ in 0..2 {
        source.shoot_all(1);
        assert_eq!(parent.ask("hold 5000").word(), "frame");
    }
    for end in ["verify", "exit-now", "leave ; exit-now", "release ; exit-now", "scribble"] {
        parent.tell(&format!("fork verify ; {end}"));
        let told: Vec<Reply> =
            std::iter::from_fn(|| parent.answer().filter(|reply| reply.word() == "child:")).collect();
        // The last answer is the parent's, about the child's end.
        assert!(told.first().is_some_and(|reply| reply.says("held=2")), "{end}: {told:?}");
        source.shoot_all(200);
        parent.must("verify");
        let seats = source.producer.consumers();
        assert_eq!((seats.len(), seats[0].pid, seats[0].pins), (1, parent.pid(), 2), "{end}");
    }
    parent.must("release");
    assert_eq!(parent.ask("next 5000").number("number"), 1_002);
}

#[rstest]
#[case::of_a_named_lane(false)]
#[case::of_a_sealed_lane(true)]
fn a_process_that_becomes_another_program_leaves_seat_frames_and_lane(#[case] sealed: bool) {
    let (lane, folder) = (TestLane::new("exec"), tempfile::tempdir().unwrap());
    let socket = format!("sealed:{}", folder.path().join("exec.sock").display());
    let address = if sealed { socket.as_str() } else { lane.name() };
    let mut camera = peer();
    camera.must(&format!("create {address} seats=1 pins=2 history=1 loans=1"));
    let mut reader = peer();
    reader.must(&format!("open {address}"));
    reader.must("notify");
    for _ in 0..2 {
        camera.must("publish 1");
        assert_eq!(reader.ask("hold 5000").word(), "frame");
    }
    assert!(matches!(Consumer::open(address), Err(Error::SeatsTaken { .. })));
    let mut fresh = peer();
    fresh.must("verify");
    let few = fresh.descriptors();
    reader.tell("exec");
    let mut next = None;
    wait_until("its seat is free", || {
        next = Consumer::open(address).ok();
        next.is_some()
    });
    reader.must("verify"); // it lives, as another
    assert_eq!(reader.descriptors(), few, "it took nothing along");
    assert!(reader.mappings("(deleted)").is_empty() && reader.opened("camlane") == 0);
    camera.must("publish 100");
    let (mut next, last) = (next.unwrap(), 102);
    assert_eq!(next.next(PATIENCE).unwrap().number(), last);
    // And the camera itself.
    camera.must("lend");
    camera.tell("exec");
    assert!(matches!(next.next(PATIENCE), Err(camlane::WaitError::ProducerGone)));
    camera.must(&format!("create {address} seats=1"));
    camera.must("publish 1");
    assert!(next.next(PATIENCE).unwrap().change().restarted);
}

#[test]
fn a_child_can_open_an_end_of_its_own() {
    let lane = TestLane::new("fork-own");
    let mut parent = peer();
    parent.must(&format!("create {} seats=3", lane.name()));
    parent.must(&format!("open {}", lane.name()));
    parent.must("publish 1");
    assert_eq!(parent.ask("hold 5000").number("number"), 1);
    let open = format!("open {}", lane.name());
    let answers = child_of(&mut parent, &["drop", &open, "hold 5000", "verify", "leave", "release"]);
    assert_eq!(answers[1].number("seat"), 1);
    assert_eq!(answers[2].number("number"), 1);
    let own = TestLane::new("fork-lane");
    let create = format!("create {}", own.name());
    let open_own = format!("open {}", own.name());
    let answers = child_of(&mut parent, &["drop", &create, &open_own, "publish 1", "next 5000", "drop"]);
    assert_eq!(answers[4].number("number"), 1);
    assert_eq!(own.parts(), ["lock"], "what the child made, the child ended");

    parent.must("verify");
    assert_eq!(parent.must("seats").number("taken"), 1);
    assert_eq!(parent.must("publish 1").number("number"), 2);
}

#[test]
fn a_child_that_outlives_its_parent_keeps_the_seat_only_while_it_keeps_the_handle() {
    let lane = TestLane::new("fork-orphan");
    let source = source(&lane, options().seats(1)).unwrap();
    let mut parent = peer();
    parent.must(&format!("open {}", lane.name()));
    source.shoot_all(1);
    assert_eq!(parent.ask("hold 5000").number("number"), 1);
    parent.tell("fork verify ; await ; drop ; await");
    assert_eq!(parent.answer().unwrap().word(), "child:");
    parent.kill();
    let refusal = Consumer::open(lane.name()).unwrap_err();
    assert!(matches!(refusal, Error::SeatsTaken { .. }), "the child may still look at the frame: {refusal}");
    source.shoot_all(100);
    parent.tell("go on");
    wait_until("the child let go", || Consumer::open(lane.name()).is_ok());
}

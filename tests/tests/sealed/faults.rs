//! Sealed lanes made and joined when the system refuses, and when that is cut off between any two system calls.

use std::fs;

use camlane::{Consumer, Error, Observer};
use camlane_tests::faults::Calls;
use camlane_tests::peer::Peer;
use camlane_tests::wait::{PATIENCE, wait_until};
use rstest::rstest;

use crate::{Place, options, source};

const PEER: &str = env!("CARGO_BIN_EXE_peer");

/// What the system may say.
const ERRNOS: [&str; 5] = ["ENOSPC", "ENOMEM", "EMFILE", "EACCES", "EINTR"];

impl Place {
    /// What lies there.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// Asserts that a lane works: a frame published by `peer` comes, whole.
#[track_caller]
fn works(peer: &mut Peer, place: &Place, at: &str) {
    let mut reader = Consumer::open(&place.address()).unwrap_or_else(|error| panic!("{at}: {error}"));
    peer.must("publish 1");
    let frame = reader.next(PATIENCE).unwrap_or_else(|error| panic!("{at}: {error}"));
    camlane_tests::pattern::check(&frame).unwrap();
}

/// How many descriptors a peer has, itself and not the program that traces it.
fn descriptors(peer: &mut Peer) -> u64 {
    peer.must("descriptors").number("count")
}

#[test]
fn whatever_the_system_refuses_creation_gives_a_typed_error_and_leaves_nothing() {
    let traced = Place::new();
    let Some(calls) = Calls::of(PEER, &format!("create {}", traced.address())) else { return };
    let (mut refusals, few) = (0, descriptors(&mut crate::peer()));
    calls.refuse_each(&ERRNOS, |mut peer, refused| {
        let (at, place) = (&refused.at, Place::new());
        let order = format!("create {}", place.address());
        let reply = peer.ask(&order);
        if reply.word() != "ok" {
            refusals += 1;
            assert!(reply.word() == "error" && reply.says(" :: "), "{at}: {reply:?}");
            assert!(
                place.names().iter().all(|name| name == "cam.sock.lock"),
                "{at}: left {:?}",
                place.names()
            );
            assert_eq!(descriptors(&mut peer), few, "{at}: descriptors");
            peer.must(&order);
        }
        works(&mut peer, &place, at);
    });
    assert!(refusals > 40, "{refusals} refusals");
}

#[test]
fn a_producer_killed_at_any_call_of_creation_leaves_the_place_to_the_next() {
    let traced = Place::new();
    let Some(calls) = Calls::of(PEER, &format!("create {}", traced.address())) else { return };
    calls.kill_at_each(|mut victim, at| {
        let place = Place::new();
        victim.tell(&format!("create {}", place.address()));
        assert_eq!(victim.answer(), None, "{at}: it lives");
        assert!(matches!(Consumer::open(&place.address()), Err(Error::NoSuchLane { .. })), "{at}");
        let mut next = crate::peer();
        next.must(&format!("create {}", place.address()));
        works(&mut next, &place, at);
        next.must("close");
        assert_eq!(place.names(), ["cam.sock.lock"], "{at}");
    });
}

#[rstest]
#[case::to_pin("open")]
#[case::to_observe("observe")]
fn whatever_the_system_refuses_joining_gives_a_typed_error_and_keeps_nothing(#[case] order: &str) {
    let place = Place::new();
    let source = source(&place, options().seats(1)).unwrap();
    source.shoot_all(1);
    let order = format!("{order} {}", place.address());
    let Some(calls) = Calls::of(PEER, &order) else { return };
    let (mut refusals, few) = (0, descriptors(&mut crate::peer()));
    calls.refuse_each(&ERRNOS, |mut peer, refused| {
        let mut reply = peer.ask(&order);
        if reply.word() != "ok" {
            refusals += 1;
            assert!(reply.word() == "error" && reply.says(" :: "), "{}: {reply:?}", refused.at);
            assert_eq!(descriptors(&mut peer), few, "{}: descriptors", refused.at);
            wait_until("the seat is free again", || {
                reply = peer.ask(&order);
                reply.word() == "ok"
            });
        }
        peer.must("drop");
        wait_until("the seat is free again", || source.producer.consumers().is_empty());
    });
    assert!(refusals > 15, "{refusals} refusals");
}

#[test]
fn a_consumer_killed_at_any_call_of_joining_leaves_its_seat_to_others() {
    let place = Place::new();
    let source = source(&place, options().seats(1)).unwrap();
    let order = format!("open {}", place.address());
    let Some(calls) = Calls::of(PEER, &order) else { return };
    calls.kill_at_each(|mut victim, at| {
        victim.tell(&order);
        assert_eq!(victim.answer(), None, "{at}: it lives");
        source.shoot_all(1);
        let mut next = None;
        wait_until("the seat is free", || {
            next = Consumer::open(&place.address()).ok();
            next.is_some()
        });
        assert_eq!(next.unwrap().next(PATIENCE).unwrap().number(), source.producer.published(), "{at}");
    });
}

/// An observer holds nothing but its connection, of which a user has only so many.
#[rstest]
#[case::of_joining(&[], "observe LANE")]
#[case::of_a_copy(&["observe LANE"], "copy 100")]
#[case::of_leaving(&["observe LANE"], "drop")]
fn an_observer_killed_at_any_call_leaves_its_connection_to_others(
    #[case] first: &[&str],
    #[case] order: &str,
) {
    let place = Place::new();
    // One, and two that the broker may not have noticed to be gone.
    let policy = camlane::Policy::default().connections_per_user(3);
    let source = source(&place, options().policy(policy)).unwrap();
    source.shoot_all(1);
    let [first, order] = [first, &[order]]
        .map(|lines| lines.iter().map(|line| line.replace("LANE", &place.address())).collect());
    let (first, order): (Vec<String>, Vec<String>) = (first, order);
    let first: Vec<&str> = first.iter().map(String::as_str).collect();
    let Some(calls) = Calls::after(PEER, &first, &order[0]) else { return };
    let mut deaths = 0;
    calls.kill_at_each(|mut victim, at| {
        first.iter().for_each(|line| drop(victim.must(line)));
        victim.tell(&order[0]);
        assert_eq!(victim.answer(), None, "{at}: it lives");
        deaths += 1;
        source.shoot_all(1);
        let mut copied = None;
        wait_until("the connection is free", || {
            copied = Observer::open(&place.address()).ok().and_then(|one| one.copy_newest().unwrap());
            copied.is_some()
        });
        assert_eq!(copied.unwrap().observed.number, source.producer.published(), "{at}");
    });
    assert!(deaths > 3, "{deaths} deaths");
}

#[rstest]
#[case::to_pin("open LANE ; next 5000", "next 100")]
#[case::to_pin_with_a_notifier("open LANE ; notify ; next 5000", "next 100")]
#[case::to_observe("observe LANE ; copy 5000", "copy 100")]
#[case::and_leave("open LANE", "leave")]
#[case::and_stop_looking("observe LANE", "drop")]
fn whatever_the_system_refuses_a_wait_ends_and_the_next_frame_comes(
    #[case] first: &str,
    #[case] order: &str,
) {
    let place = Place::new();
    let source = source(&place, options().seats(1)).unwrap();
    source.shoot_all(1);
    let first: Vec<String> = first.split(" ; ").map(|line| line.replace("LANE", &place.address())).collect();
    let first: Vec<&str> = first.iter().map(String::as_str).collect();
    let Some(calls) = Calls::after(PEER, &first, order) else { return };
    let (mut turns, observes) = (0, first[0].starts_with("observe"));
    calls.refuse_each(&ERRNOS, |mut peer, refused| {
        turns += 1;
        let at = &refused.at;
        wait_until("the seat is free", || source.producer.consumers().is_empty());
        first.iter().for_each(|line| assert_ne!(peer.ask(line).word(), "error", "{at}: {line}"));
        let reply = peer.ask(order);
        let typed = reply.word() == "error" && reply.says(" :: ");
        assert!(typed || ["ok", "timed-out", "frame", "nothing"].contains(&reply.word()), "{at}: {reply:?}");
        if ["leave", "drop"].contains(&order) {
            wait_until("the seat is free", || peer.ask(first[0]).word() == "ok");
        }
        source.shoot_all(1);
        let frame = peer.ask(if observes { "copy 5000" } else { "next 5000" });
        assert_eq!(frame.number("number"), source.producer.published(), "{at}: {frame:?}");
    });
    assert!(turns >= 5, "{turns} turns");
}

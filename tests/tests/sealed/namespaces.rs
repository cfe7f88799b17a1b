//! Consumers and producers in containers: a bind-mounted socket is all that they share.

use std::process::Command;

use camlane::{Consumer, LaneStatus, WaitError};
use camlane_tests::pattern;
use camlane_tests::peer::Peer;
use camlane_tests::skip::skipped;
use camlane_tests::wait::{PATIENCE, wait_until};
use tempfile::TempDir;

use crate::{Place, options, peer, source};

/// A peer in mount, pid and ipc namespaces of its own, with an empty `/dev/shm`, who sees the socket's directory at
/// `inside` only.
fn peer_in_a_container(place: &Place) -> Option<(Peer, String, TempDir)> {
    let inside = tempfile::tempdir().unwrap();
    let script =
        r#"mount -t tmpfs shm /dev/shm && mount --bind "$1" "$2" && mount -t tmpfs none "$1" && exec "$0""#;
    let mut unshare = Command::new("unshare");
    let user = if nix::unistd::geteuid().is_root() { None } else { Some("-Ur") };
    unshare.args(["-m", "-p", "-i", "-f", "--mount-proc", "--kill-child"]).args(user);
    unshare.args(["sh", "-c", script, env!("CARGO_BIN_EXE_peer")]).arg(place.dir.path()).arg(inside.path());
    let mut peer = Peer::run(&mut unshare);
    peer.tell("objects");
    match peer.answer() {
        Some(reply) if reply.0.trim_end() == "ok" => {
            let address = format!("sealed:{}/cam.sock", inside.path().display());
            Some((peer, address, inside)) // removing the directory would take the mount away
        }
        other => {
            skipped(&format!("no namespaces here ({other:?})"));
            None
        }
    }
}

#[test]
fn a_consumer_in_a_container_reads_and_holds_and_its_death_is_noticed() {
    let place = Place::new();
    let source = source(&place, options().seats(2).pins(2).history(1).loans(1)).unwrap();
    for round in 0..3 {
        let Some((mut consumer, inside, _dir)) = peer_in_a_container(&place) else { return };
        assert!(
            consumer.ask(&format!("open {}", place.address())).says("NoSuchLane"),
            "only the bind mount is there"
        );
        wait_until("a seat is free", || consumer.ask(&format!("open {inside}")).word() == "ok");
        source.shoot_all(1);
        assert_eq!(consumer.ask("hold 5000").word(), "frame");
        source.shoot_all(500);
        consumer.must("verify");
        // Another in the same lane from here, with a process number that means something else there.
        let mut here = Consumer::open(&place.address()).unwrap();
        source.shoot_all(1);
        pattern::check(&here.next(PATIENCE).unwrap()).unwrap();
        let pids: Vec<u32> = source.producer.consumers().iter().map(|seat| seat.pid).collect();
        assert!(pids.contains(&std::process::id()) && pids.len() == 2, "{pids:?}");
        assert_eq!(consumer.ask("objects").0.trim_end(), "ok", "nothing lies in its /dev/shm");
        consumer.must(&format!("observe {inside}"));
        consumer.tell("copy 10000");
        source.shoot_all(1);
        assert_eq!(consumer.answer().unwrap().word(), "frame");
        drop((here, consumer));
        wait_until("both seats are free", || source.producer.consumers().is_empty());
        eprintln!("round {round}");
    }
    assert_eq!(source.producer.dropped(), 0);
}

#[test]
fn a_producer_in_a_container_serves_those_outside_and_its_death_is_noticed() {
    let place = Place::new();
    let Some((mut producer, inside, _dir)) = peer_in_a_container(&place) else { return };
    producer.must(&format!("create {inside}"));
    let mut consumer = Consumer::open(&place.address()).unwrap();
    let mut neighbour = peer();
    neighbour.must(&format!("open {}", place.address()));
    producer.must("publish 2");
    pattern::check(&consumer.next(PATIENCE).unwrap()).unwrap();
    assert_eq!(neighbour.ask("next 5000").number("number"), 2);
    let status = LaneStatus::of(&place.address()).unwrap();
    assert!(status.lane.is_some_and(|lane| lane.published == 2));
    assert!(source(&place, options()).is_err(), "the lock holds across the namespaces");
    producer.kill(); // unshare takes its child along
    assert!(matches!(consumer.next(PATIENCE), Err(WaitError::ProducerGone)));
    let next = source(&place, options()).unwrap();
    next.shoot_all(1);
    assert!(consumer.next(PATIENCE).unwrap().change().restarted);
    assert!(neighbour.ask("next 5000").says("restarted=1"), "one who did not look meanwhile follows at once");
}

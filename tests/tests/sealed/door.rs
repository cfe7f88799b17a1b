//! The broker's door: what strangers say there, and do not say.

use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Instant;

use camlane::{Consumer, Error, Observer};
use camlane_tests::raw::{self, Dice, OBSERVE, PIN};
use camlane_tests::wait::{PATIENCE, wait_until};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, recv};

use crate::{Place, options, peer, source};

/// Waits until the broker has closed a connection; what it says before does not matter.
fn was_closed(socket: &OwnedFd) -> bool {
    let mut packet = [0; 64];
    loop {
        let mut fds = [PollFd::new(std::os::fd::AsFd::as_fd(socket), PollFlags::POLLIN)];
        if poll(&mut fds, PollTimeout::from(10_000u16)) != Ok(1) {
            return false;
        }
        match recv(socket.as_raw_fd(), &mut packet, MsgFlags::MSG_DONTWAIT) {
            Ok(0) | Err(Errno::ECONNRESET) => return true,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
}

#[test]
fn whatever_is_no_hello_ends_the_connection_and_nothing_else() {
    let place = Place::new();
    let source = source(&place, options()).unwrap();
    let mut inside = Consumer::open(&place.address()).unwrap();
    let mut dice = Dice(4);
    let genuine = raw::hello(PIN, true);
    let mut packets: Vec<Vec<u8>> = Vec::new();
    for len in 0..=200 {
        packets.push((&mut dice).take(len).map(|number| number as u8).collect());
        // Almost right: cut, or with more behind it.
        packets
            .push(genuine.iter().copied().chain((&mut dice).map(|number| number as u8)).take(len).collect());
    }
    for role in [0, 3, u32::MAX] {
        packets.push(raw::hello(role, false).to_vec());
    }
    packets.retain(|packet| packet != &genuine[..]);
    assert!(packets.len() > 400);
    for packet in &packets {
        let socket = raw::dial(&place.socket()).unwrap();
        raw::tell(&socket, packet, &[]).unwrap();
        assert!(was_closed(&socket), "{packet:?}");
    }
    source.shoot_all(1);
    assert_eq!(inside.next(PATIENCE).unwrap().number(), 1);
    assert!(Consumer::open(&place.address()).is_ok());
}

#[test]
fn a_hello_of_another_layout_is_told_which_one_this_is() {
    let place = Place::new();
    let _source = source(&place, options()).unwrap();
    let socket = raw::dial(&place.socket()).unwrap();
    let mut hello = raw::hello(PIN, false);
    hello[10] = 9;
    raw::tell(&socket, &hello, &[]).unwrap();
    let (answer, objects) = raw::hear(&socket).unwrap();
    assert_eq!((&answer[8..16], objects.len()), (&[3, 0, 0, 0, 0, 0, 1, 0][..], 0));
    assert!(was_closed(&socket));
}

#[test]
fn one_who_has_said_hello_may_not_say_more() {
    let place = Place::new();
    let source = source(&place, options().seats(2)).unwrap();
    let joined = raw::join(&place.socket(), PIN, false).unwrap();
    raw::tell(&joined.socket, &raw::hello(PIN, false), &[]).unwrap();
    assert!(was_closed(&joined.socket));
    let _first = Consumer::open(&place.address()).unwrap();
    wait_until("its seat is free", || Consumer::open(&place.address()).is_ok());
    source.shoot_all(10);
}

#[test]
fn three_hundred_silent_connections_keep_nobody_out_and_are_closed_in_time() {
    let place = Place::new();
    let source = source(&place, options()).unwrap();
    let mut inside = Consumer::open(&place.address()).unwrap();
    let silent: Vec<OwnedFd> = (0..300).map(|_| raw::dial(&place.socket()).unwrap()).collect();
    let mut late = Consumer::open(&place.address()).expect("the oldest of the silent makes room");
    let began = Instant::now();
    assert!(silent.iter().all(was_closed));
    assert!(began.elapsed() < PATIENCE / 4, "{:?}", began.elapsed());
    source.shoot_all(1);
    assert_eq!((inside.next(PATIENCE).unwrap().number(), late.next(PATIENCE).unwrap().number()), (1, 1));
}

#[test]
fn one_user_has_a_share_of_the_connections_and_seats_are_not_counted() {
    let place = Place::new();
    let policy = camlane::Policy::default().connections_per_user(3);
    let _source = source(&place, options().policy(policy)).unwrap();
    let seated: Vec<Consumer> = (0..8).map(|_| Consumer::open(&place.address()).unwrap()).collect();
    let observers: Vec<Observer> = (0..3).map(|_| Observer::open(&place.address()).unwrap()).collect();
    let refused = Observer::open(&place.address()).unwrap_err();
    assert!(matches!(refused, Error::Permission { .. }), "{refused}");
    drop((observers, seated));
    wait_until("there is room again", || Observer::open(&place.address()).is_ok());
}

#[test]
fn a_crowd_that_connects_without_end_does_not_keep_frames_from_those_inside() {
    let place = Place::new();
    let mut producer = peer();
    producer.must(&format!("create {}", place.address()));
    let mut inside = Consumer::open(&place.address()).unwrap();
    let over = std::sync::atomic::AtomicBool::new(false);
    let relaxed = std::sync::atomic::Ordering::Relaxed;
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !over.load(relaxed) {
                    let _ = raw::dial(&place.socket());
                }
            });
        }
        let mut late = 0;
        for number in 1..=200 {
            producer.tell("publish 1");
            let began = Instant::now();
            assert_eq!(inside.next(PATIENCE).unwrap().number(), number);
            // A sleeper that nobody wakes looks around by itself after 250 ms.
            late += u32::from(began.elapsed().as_millis() >= 240);
            assert_eq!(producer.answer().unwrap().word(), "ok");
        }
        over.store(true, relaxed);
        assert!(late < 10, "{late} of 200 waits ended by time alone");
    });
}

#[test]
fn a_producer_out_of_descriptors_goes_on_without_a_busy_broker_and_lets_in_later() {
    let place = Place::new();
    let mut producer = peer();
    producer.must(&format!("create {}", place.address()));
    let mut inside = Consumer::open(&place.address()).unwrap();
    wait_until("the broker has handed the seat over", || producer.opened("camlane-seat") == 0);
    producer.must("limit 0");
    let waiting = raw::dial(&place.socket()).unwrap();
    raw::tell(&waiting, &raw::hello(OBSERVE, false), &[]).unwrap();
    let ticks = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", producer.pid())).unwrap();
        let fields: Vec<u64> = stat
            .rsplit_once(')')
            .unwrap()
            .1
            .split_ascii_whitespace()
            .map(|f| f.parse().unwrap_or(0))
            .collect();
        fields[11] + fields[12] // proc_pid_stat(5): user and system time, in ticks of 10 ms
    };
    let before = ticks();
    let mut fds = [PollFd::new(std::os::fd::AsFd::as_fd(&waiting), PollFlags::POLLIN)];
    assert_eq!(poll(&mut fds, PollTimeout::from(1_000u16)), Ok(0), "nobody can be let in");
    let spent = ticks() - before;
    assert!(spent < 5, "{spent} ticks of 100 were spent on waiting");
    producer.must("publish 1");
    assert_eq!(inside.next(PATIENCE).unwrap().number(), 1);
    producer.must("unlimited");
    let (answer, objects) = raw::hear(&waiting).unwrap();
    assert_eq!((answer[8], objects.len()), (0, 1));
}

#[test]
fn descriptors_attached_to_a_hello_are_refused_or_closed() {
    let place = Place::new();
    let mut producer = peer();
    producer.must(&format!("create {}", place.address()));
    let mut inside = Consumer::open(&place.address()).unwrap();
    wait_until("the broker has handed the seat over", || producer.opened("camlane-seat") == 0);
    let before = producer.descriptors();
    let file = std::fs::File::open("/dev/null").unwrap();
    // A kernel that refuses them spares the broker their closing, which takes as long as the sender likes.
    let refuses = kernel() >= (6, 16);
    for _ in 0..50 {
        let socket = raw::dial(&place.socket()).unwrap();
        let told = raw::tell(&socket, &raw::hello(OBSERVE, false), &[file.as_raw_fd(); 100]);
        assert_eq!(told, if refuses { Err(Errno::EPERM) } else { Ok(()) });
        if !refuses {
            assert_eq!(raw::hear(&socket).unwrap().1.len(), 1, "the hello itself was good");
        }
    }
    wait_until("they are gone", || producer.descriptors() == before);
    producer.must("publish 1");
    assert_eq!(inside.next(PATIENCE).unwrap().number(), 1);
}

fn kernel() -> (u32, u32) {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse().ok());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

#[test]
fn one_who_asks_for_notices_and_never_reads_them_delays_nobody() {
    let place = Place::new();
    let source = source(&place, options()).unwrap();
    let deaf: Vec<_> = (0..8).map(|_| raw::join(&place.socket(), OBSERVE, true).unwrap()).collect();
    let mut inside = Consumer::open(&place.address()).unwrap();
    source.shoot_all(20_000);
    assert_eq!(source.producer.dropped(), 0);
    assert_eq!(inside.next(PATIENCE).unwrap().number(), 20_000);
    let listening = raw::join(&place.socket(), OBSERVE, true).unwrap();
    source.shoot_all(1);
    assert_eq!(raw::hear(&listening.socket).unwrap().0, [1]);
    // The deaf were told too, as far as there was room.
    assert!(deaf.iter().all(|one| raw::hear(&one.socket).unwrap().0 == [1]));
}

//! Lanes made and opened when the system refuses, and when that is cut off between any two system calls.

use std::process::Command;
use std::time::Duration;

use camlane::{Consumer, Error, StreamOptions, StreamReader, StreamWriter, WaitError};
use camlane_tests::faults::{Calls, Refused};
use camlane_tests::lane::TestLane;
use camlane_tests::pattern;
use camlane_tests::peer::{Peer, Reply};
use camlane_tests::skip::skipped;
use camlane_tests::wait::PATIENCE;
use rstest::rstest;

use crate::{options, peer, source};

const PEER: &str = env!("CARGO_BIN_EXE_peer");

/// What the system may say.
const ERRNOS: [&str; 5] = ["ENOSPC", "ENOMEM", "EMFILE", "EACCES", "EINTR"];

/// A peer that sees a `/dev/shm` of its own of this size, if this system lets us make one.
fn peer_with_room_for(size: &str) -> Option<Peer> {
    let mut unshare = Command::new("unshare");
    // As another user than root, a namespace of one's own is needed too.
    let flags = if nix::unistd::geteuid().is_root() { "-m" } else { "-mUr" };
    unshare.arg(flags).args([
        "sh",
        "-c",
        r#"mount -t tmpfs -o size="$1" shm /dev/shm && exec "$0""#,
        PEER,
        size,
    ]);
    let mut peer = Peer::run(&mut unshare);
    peer.tell("objects");
    match peer.answer() {
        Some(reply) if reply.0.trim_end() == "ok" => Some(peer),
        other => {
            skipped(&format!("no private /dev/shm can be had ({other:?})"));
            None
        }
    }
}

#[test]
fn without_room_creation_says_how_much_is_missing_and_leaves_nothing() {
    const ROOM: u64 = 1 << 20;
    let Some(mut peer) = peer_with_room_for("1m") else { return };
    for bytes in ["300000", "100000000"] {
        let refused = peer.ask(&format!("create tight bytes={bytes}"));
        assert!(refused.says("NoSpace"), "{refused:?}");
        let number = |name: &str| {
            let value = refused.0.split(&format!("{name}: ")).nth(1).unwrap();
            value.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse::<u64>().unwrap()
        };
        assert!(number("needed") > 22 * bytes.parse::<u64>().unwrap(), "{refused:?}");
        assert!(number("free") < number("needed") && number("free") <= ROOM, "{refused:?}");
        assert_eq!(number("total"), ROOM);
        assert_eq!(peer.ask("objects").0, "ok camlane.tight.lock");
    }
    peer.must("create tight bytes=20000");
    peer.must("publish 100");
    peer.must("open tight");
    assert_eq!(peer.ask("next 5000").number("number"), 100);
}

/// What a refusal means to a named lane.
trait Judged {
    fn is_harmless(&self) -> bool;
    fn check(&self, reply: &Reply);
}

impl Judged for Refused<'_> {
    /// Whether a lane can be had although this failed: not if it concerns an object, except where there was none.
    fn is_harmless(&self) -> bool {
        let needed =
            ["openat", "fallocate", "mmap", "fchmod", "rename", "fcntl", "clone3"].contains(&self.call);
        // This means that another has the lock (fcntl(2)); who opens tries again, for a moment.
        let taken = (self.call, self.errno) == ("fcntl", "EACCES");
        // What a signal interrupts is asked for again: by camlane, or by the standard library.
        let again = self.errno == "EINTR" && ["fallocate", "openat", "rename"].contains(&self.call);
        // F_GETFD is how the standard library makes sure that what it closes is open.
        !needed
            || taken
            || again
            || ["= -1 ENOENT", "/proc/", "F_GETFD"].iter().any(|text| self.at.contains(text))
    }

    /// Asserts that an error is the one that helps most.
    fn check(&self, reply: &Reply) {
        let variants: &[&str] = match (self.call, self.errno) {
            ("fallocate", "ENOSPC" | "ENOMEM") => &["NoSpace"],
            ("fcntl", "EACCES") => &["Taken", "System"],
            ("openat" | "fchmod" | "rename", "EACCES") if self.at.contains("camlane.") => &["Permission"],
            (_, "EACCES") => &["Permission", "System"],
            _ => &["System"],
        };
        assert!(
            variants.iter().any(|variant| reply.says(&format!("error {variant} "))),
            "{}: {reply:?}",
            self.at
        );
    }
}

#[rstest]
#[case::of_a_new_lane(false)]
#[case::of_one_that_replaces_a_dead_ones(true)]
fn a_producer_killed_at_any_call_of_creation_harms_neither_readers_nor_its_successor(#[case] replaces: bool) {
    let traced = TestLane::new("traced");
    let dead = replaces.then(|| leave_a_dead_one(&traced));
    let Some(calls) = Calls::of(PEER, &format!("create {}", traced.name())) else { return };
    drop(dead);
    calls.kill_at_each(|mut victim, at| {
        let lane = TestLane::new("cut-off");
        let old = replaces.then(|| leave_a_dead_one(&lane));
        victim.tell(&format!("create {}", lane.name()));
        assert_eq!(victim.answer(), None, "{at}: it lives");

        match Consumer::open(lane.name()) {
            Ok(mut reader) => {
                if let Some(frame) = reader.try_next().unwrap() {
                    pattern::check(&frame).unwrap();
                }
            }
            Err(Error::NoSuchLane { .. }) => {}
            Err(error) => panic!("{at}: {error}"),
        }
        let next = source(&lane, options()).unwrap_or_else(|error| panic!("{at}: {error}"));
        next.shoot_all(1);
        assert_eq!(lane.parts(), ["data", "lock", "seats"], "{at}");
        assert_eq!(Consumer::open(lane.name()).unwrap().next(PATIENCE).unwrap().number(), 1, "{at}");
        if let Some(mut old) = old {
            let frame = match old.next(PATIENCE) {
                Err(WaitError::ProducerGone) => old.next(PATIENCE),
                other => other,
            };
            let frame = frame.unwrap_or_else(|error| panic!("{at}: {error}"));
            assert!(frame.change().restarted && frame.number() == 1, "{at}");
        }
    });
}

/// Leaves the objects of a killed producer, and returns a consumer that has read all of its frames.
fn leave_a_dead_one(lane: &TestLane) -> Consumer {
    let mut producer = peer();
    producer.must(&format!("create {} seats=12", lane.name())); // more than its successors will have
    let mut consumer = Consumer::open(lane.name()).unwrap();
    producer.must("publish 2");
    producer.kill();
    assert_eq!(consumer.next(PATIENCE).unwrap().number(), 2);
    consumer
}

#[test]
fn a_consumer_killed_at_any_call_of_opening_leaves_its_seat_to_others() {
    let lane = TestLane::new("seat");
    let source = source(&lane, options().seats(1)).unwrap();
    let order = format!("open {}", lane.name());
    let Some(calls) = Calls::of(PEER, &order) else { return };
    let mut number = 0;
    calls.kill_at_each(|mut victim, at| {
        victim.tell(&order);
        assert_eq!(victim.answer(), None, "{at}: it lives");
        number += 1;
        source.shoot_all(1);
        let mut consumer = Consumer::open(lane.name()).unwrap_or_else(|error| panic!("{at}: {error}"));
        assert_eq!(consumer.next(PATIENCE).unwrap().number(), number, "{at}");
    });
    assert_eq!(source.producer.consumers(), []);
}

#[test]
fn whatever_the_system_refuses_creation_gives_a_typed_error_and_leaves_nothing() {
    let traced = TestLane::new("traced");
    let Some(calls) = Calls::of(PEER, &format!("create {}", traced.name())) else { return };
    let mut refusals = 0;
    calls.refuse_each(&ERRNOS, |mut peer, refused| {
        let (at, lane) = (&refused.at, TestLane::new("refused"));
        let order = format!("create {}", lane.name());
        let reply = peer.ask(&order);
        if reply.word() == "ok" {
            assert!(refused.is_harmless(), "{at}: was not noticed");
            return;
        }
        refusals += 1;
        refused.check(&reply);
        assert!(lane.parts().iter().all(|part| part == "lock"), "{at}: left {:?}", lane.parts());
        peer.must(&order);
        peer.must("publish 1");
        assert_eq!(Consumer::open(lane.name()).unwrap().next(PATIENCE).unwrap().number(), 1, "{at}");
    });
    assert!(refusals > 60, "{refusals} refusals");
}

#[test]
fn whatever_the_system_refuses_opening_gives_a_typed_error_and_keeps_no_seat() {
    let lane = TestLane::new("refused");
    let source = source(&lane, options().seats(1)).unwrap();
    source.shoot_all(1);
    let order = format!("open {}", lane.name());
    let Some(calls) = Calls::of(PEER, &order) else { return };
    let mut refusals = 0;
    calls.refuse_each(&ERRNOS, |mut peer, refused| {
        let reply = peer.ask(&order);
        if reply.word() == "ok" {
            assert!(refused.is_harmless(), "{}: was not noticed", refused.at);
            return;
        }
        refusals += 1;
        refused.check(&reply);
        let other = Consumer::open(lane.name()).unwrap_or_else(|error| panic!("{}: {error}", refused.at));
        drop(other);
        peer.must(&order);
        assert_eq!(peer.ask("next 5000").number("number"), 1);
        peer.must("drop"); // a traced process outlives the end of who traces it for a moment, and so would its seat
    });
    assert!(refusals > 15, "{refusals} refusals");
}

/// Runs an order after others with each of its system calls refused in turn. It must be answered, and by what `expects`: words
/// or a typed error. `then` looks at what is left.
#[track_caller]
fn refuses(others: &[&str], order: &str, expects: &[&str], mut then: impl FnMut(&mut Peer, &Refused)) -> u32 {
    let Some(calls) = Calls::after(PEER, others, order) else { return u32::MAX };
    let mut turns = 0;
    calls.refuse_each(&ERRNOS, |mut peer, refused| {
        turns += 1;
        others
            .iter()
            .for_each(|other| assert_ne!(peer.ask(other).word(), "error", "{}: {other}", refused.at));
        peer.tell(order);
        let reply = peer.answer().unwrap_or_else(|| panic!("{}: it ended", refused.at));
        let typed = reply.word() == "error" && reply.says(" :: ");
        assert!(typed || expects.contains(&reply.word()), "{}: {reply:?}", refused.at);
        then(&mut peer, refused);
    });
    turns
}

#[test]
fn whatever_the_system_refuses_making_a_stream_gives_a_typed_error_and_leaves_nothing() {
    let lane = TestLane::new("stream");
    drop(StreamWriter::create(lane.name(), &StreamOptions::new(4096)).unwrap()); // the lock stays: all turns find it
    let create = format!("stream-create {}", lane.name());
    let turns = refuses(&[], &create, &["ok"], |peer, refused| {
        // Whether it was made or not: it is as if nothing had happened.
        peer.must("drop");
        assert!(lane.parts().iter().all(|part| part == "lock"), "{}: left {:?}", refused.at, lane.parts());
        peer.must(&create);
        peer.must("stream-write 100 0");
        let mut reader = StreamReader::open(lane.name(), Duration::ZERO).unwrap();
        assert_eq!(reader.read(&mut [0; 200], PATIENCE).unwrap(), 100, "{}", refused.at);
        peer.must("drop");
    });
    assert!(turns > 60, "{turns} turns");
}

#[test]
fn whatever_the_system_refuses_opening_a_stream_gives_a_typed_error_and_keeps_no_seat() {
    let lane = TestLane::new("stream");
    let mut writer = StreamWriter::create(lane.name(), &StreamOptions::new(4096)).unwrap();
    let open = format!("stream-open {}", lane.name());
    let turns = refuses(&[], &open, &["ok"], |peer, refused| {
        peer.must("drop");
        let other = StreamReader::open(lane.name(), Duration::ZERO);
        drop(other.unwrap_or_else(|error| panic!("{}: {error}", refused.at)));
        peer.must(&open);
        assert_eq!(writer.write(&[0], PATIENCE).unwrap(), 1);
        assert_eq!(peer.must("stream-read 10 5000").number("bytes"), 1, "{}", refused.at);
        peer.must("drop");
    });
    assert!(turns > 30, "{turns} turns");
}

/// Nothing comes, or nobody makes room.
#[rstest]
#[case::reading_nothing("stream-open", "stream-read 10 100")]
#[case::writing_into_the_full("stream-create", "stream-write 10 100")]
fn whatever_the_system_refuses_a_stream_goes_on_without_a_byte_lost(
    #[case] first: &str,
    #[case] order: &str,
) {
    let lane = TestLane::new("stream-io");
    drop(StreamWriter::create(lane.name(), &StreamOptions::new(4096)).unwrap()); // the lock stays: all turns find it
    let first = format!("{first} {}", lane.name());
    let full = order == "stream-write 10 100";
    let reads = order.starts_with("stream-read");
    let mut writer = reads.then(|| StreamWriter::create(lane.name(), &StreamOptions::new(4096)).unwrap());
    let fill = "stream-write 4096 0";
    let others: &[&str] = if full { &[&first, fill] } else { &[&first] };
    let turns = refuses(others, order, &["ok"], |peer, refused| {
        let at = &refused.at;
        if let Some(writer) = &mut writer {
            // What the last reader left unread is for the next: nothing, here.
            assert_eq!(writer.write(&[0, 1, 2], PATIENCE).unwrap(), 3);
            assert_eq!(peer.must("stream-read 10 5000").number("bytes"), 3, "{at}");
        } else {
            let mut reader = StreamReader::open(lane.name(), Duration::ZERO).unwrap();
            let (mut bytes, mut all) = ([0; 5000], Vec::new());
            peer.tell("stream-write 4096 5000"); // more than there is room for now
            while all.len() < 4096 {
                let some = reader.read(&mut bytes, PATIENCE).unwrap_or_else(|error| panic!("{at}: {error}"));
                all.extend_from_slice(&bytes[..some]);
            }
            let written = peer.answer().unwrap();
            assert_eq!(written.number("bytes"), 4096, "{at}");
            assert!(
                all.iter().zip(0u64..).all(|(&found, place)| found == (place ^ place >> 8) as u8),
                "{at}"
            );
        }
        peer.must("drop");
    });
    assert!(turns > 0, "{turns} turns");
}

#[rstest]
#[case::asleep("open LANE ; next 5000", "next 100")]
#[case::with_a_notifier("open LANE ; notify ; next 5000", "next 100")]
#[case::having_a_notifier_made("open LANE", "notify")]
#[case::as_an_observer("observe LANE ; copy 5000", "copy 100")]
#[case::and_leaving("open LANE", "leave")]
#[case::and_leaving_with_a_notifier("open LANE ; notify", "leave")]
#[case::and_dropping_a_frame("open LANE ; hold 5000", "drop")]
fn whatever_the_system_refuses_a_wait_ends_and_the_next_frame_comes(
    #[case] first: &str,
    #[case] order: &str,
) {
    let lane = TestLane::new("wait");
    let source = source(&lane, options().seats(1)).unwrap();
    source.shoot_all(1);
    let first = first.replace("LANE", lane.name());
    let others: Vec<&str> = first.split(" ; ").collect();
    let turns = refuses(&others, order, &["ok", "timed-out", "frame", "nothing"], |peer, refused| {
        let at = &refused.at;
        peer.must("leave");
        peer.must(&format!("open {}", lane.name()));
        source.shoot_all(1);
        assert_eq!(peer.ask("next 5000").number("number"), source.producer.published(), "{at}");
        peer.must("drop");
        // Nothing is kept: the one seat is free.
        let other = Consumer::open(lane.name()).unwrap_or_else(|error| panic!("{at}: {error}"));
        drop(other);
    });
    assert!(turns >= 5, "{turns} turns");
}

#[rstest]
#[case::a_lane("create", "close")]
#[case::a_stream("stream-create", "drop")]
fn whatever_the_system_refuses_ending_a_lane_ends_it_and_the_name_can_be_had(
    #[case] create: &str,
    #[case] order: &str,
) {
    let lane = TestLane::new("ending");
    drop(StreamWriter::create(lane.name(), &StreamOptions::new(4096)).unwrap()); // the lock stays: all turns find it
    let create = format!("{create} {}", lane.name());
    let turns = refuses(&[&create], order, &["ok"], |peer, refused| {
        // It cannot be removed, or nobody can tell whether it is another's by now: then the next one replaces it.
        let kept = ["unlink", "newfstatat", "statx", "fstat"].contains(&refused.call);
        let parts = lane.parts();
        assert!(kept || parts == ["lock"], "{}: left {parts:?}", refused.at);
        assert!(parts.len() <= 2, "{}: left {parts:?}", refused.at);
        let mut next = crate::peer();
        next.must(&create); // the first still lives, and has nothing more
        assert!(peer.ask(&create).says("error Taken"), "{}", refused.at);
        next.must("drop"); // what a killed one leaves would be more calls for the next turn
    });
    assert!(turns > 10, "{turns} turns");
}

//! Machines that are short of something: room, memory, the right to write, a clock that stands still.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use camlane_tests::peer::Peer;
use camlane_tests::skip::skipped;
use nix::libc::SIGKILL;
use rstest::rstest;

const PEER: &str = env!("CARGO_BIN_EXE_peer");

/// A peer in namespaces of its own, after a script has changed them; `None` where that may not be done.
pub(crate) fn peer_after(namespaces: &[&str], script: &str) -> Option<Peer> {
    let mut unshare = Command::new("unshare");
    unshare.args(namespaces).args((!nix::unistd::geteuid().is_root()).then_some("-Ur"));
    let mut peer = Peer::run(unshare.args(["sh", "-ec", &format!("{script}; exec \"$0\""), PEER]));
    peer.tell("verify");
    let able = peer.answer().is_some();
    if !able {
        skipped(&format!("{namespaces:?} with {script:?} cannot be had here"));
    }
    able.then_some(peer)
}

#[test]
fn sixteen_mebibytes_of_shared_memory_hold_as_many_lanes_as_fit_and_the_next_one_says_so() {
    let script = "mount -t tmpfs -o size=16m shm /dev/shm";
    let Some(mut first) = peer_after(&["-m"], script) else { return };
    let within = format!("nsenter --target {} --mount {PEER}", first.pid());
    let mut second = Peer::run(Command::new("sh").args(["-c", &format!("exec {within}")]));
    first.must("create first bytes=400000 seats=8 pins=2");
    let refused = second.ask("create second bytes=400000 seats=8 pins=2");
    assert!(refused.says("error NoSpace"), "{refused:?}");
    assert_eq!(
        second.ask("objects").0,
        "ok camlane.first.data camlane.first.lock camlane.first.seats camlane.second.lock"
    );
    // The one that is there is not harmed: every byte of it was reserved.
    first.must("publish 100");
    second.must("open first");
    assert_eq!(second.ask("next 5000").number("number"), 100);
    first.must("close");
    second.must("leave");
    second.must("create second bytes=400000 seats=8 pins=2");
    second.must("publish 100");
}

#[rstest]
#[case::create("create x")]
#[case::open("open x")]
#[case::observe("observe x")]
fn shared_memory_that_is_read_only_is_a_typed_error_to_who(#[case] order: &str) {
    let script = "mount -t tmpfs -o ro shm /dev/shm";
    let Some(mut peer) = peer_after(&["-m"], script) else { return };
    for _ in 0..2 {
        let refused = peer.ask(order);
        let expected = if order == "create x" { "Read-only file system" } else { "NoSuchLane" };
        assert!(refused.word() == "error" && refused.says(expected), "{refused:?}");
    }
    assert_eq!(peer.ask("objects").0.trim_end(), "ok");
}

#[test]
fn consumers_of_a_lane_that_became_read_only_are_told_and_observers_read_on() {
    let script = "mount -t tmpfs shm /dev/shm";
    let Some(mut producer) = peer_after(&["-m"], script) else { return };
    producer.must("create x");
    producer.must("publish 3");
    let remount = format!("nsenter --target {} --mount unshare -m sh -ec", producer.pid());
    let script = format!("{remount} 'mount -o remount,bind,ro /dev/shm && exec {PEER}'");
    let mut reader = Peer::run(Command::new("sh").args(["-ec", &script]));
    let refused = reader.ask("open x");
    assert!(refused.says("error ") && refused.says("Read-only"), "{refused:?}");
    reader.must("observe x");
    producer.must("publish 1");
    assert_eq!(reader.ask("copy 5000").number("number"), 4);
}

/// A cgroup for memory, whichever version the system has.
struct Cgroup(PathBuf);

impl Cgroup {
    fn new(bytes: u64) -> Option<Self> {
        let name = format!("camlane-test-{}", std::process::id());
        let versions = [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")];
        let made = versions.iter().find_map(|(root, limit)| {
            let place = Path::new(root).join(&name);
            fs::create_dir(&place).ok()?;
            let this = Self(place);
            fs::write(this.0.join(limit), bytes.to_string()).ok()?;
            Some(this)
        });
        if made.is_none() {
            skipped("no cgroup can be made here");
        }
        made
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// The system counts shared memory against the group of who touches it first: the producer, at creation.
#[test]
fn a_producer_that_its_cgroup_kills_for_its_memory_leaves_the_name_to_the_next() {
    let Some(cgroup) = Cgroup::new(24 << 20) else { return };
    let lane = camlane_tests::lane::TestLane::new("cgroup");
    let script = format!("echo $$ > {}/cgroup.procs; exec {PEER}", cgroup.0.display());
    let mut victim = Peer::run(Command::new("sh").args(["-ec", &script]));
    victim.must("verify");
    victim.tell(&format!("create {} bytes=2000000 seats=8 pins=2", lane.name()));
    match victim.answer() {
        // No room in the group: killed while it reserves, or told so.
        None => assert_eq!(victim.death(), Some(SIGKILL)),
        Some(reply) => assert!(reply.says("error NoSpace") || reply.says("error System"), "{reply:?}"),
    }
    let next = crate::source(&lane, crate::options()).unwrap();
    next.shoot_all(1);
    assert_eq!(lane.parts(), ["data", "lock", "seats"]);
    let mut reader = camlane::Consumer::open(lane.name()).unwrap();
    assert_eq!(reader.next(camlane_tests::wait::PATIENCE).unwrap().number(), 1);
}

/// Clocks in a time namespace differ by as much as one likes from those outside: between the two ends they jump.
#[rstest]
#[case::of_one_who_woke_up_later("--monotonic=1000000")]
#[case::of_one_who_has_slept("--boottime=1000000")]
fn ends_whose_clocks_are_days_apart_lose_nothing(#[case] offset: &str) {
    let mut unshare = Command::new("unshare");
    unshare.args(["--time", "--fork", "--kill-child", offset]);
    let mut elsewhen =
        Peer::run(unshare.args((!nix::unistd::geteuid().is_root()).then_some("-Ur")).arg(PEER));
    elsewhen.tell("verify");
    if elsewhen.answer().is_none() {
        return skipped("no time namespace can be had here");
    }
    let (there, back) =
        (camlane_tests::lane::TestLane::new("later"), camlane_tests::lane::TestLane::new("now"));
    let source = crate::source(&there, crate::options()).unwrap();
    elsewhen.must(&format!("create {}", back.name()));
    elsewhen.must(&format!("open {} wait=adaptive read=every", there.name()));
    let mut reader = camlane::Consumer::open(back.name()).unwrap();
    for number in 1..=50 {
        source.shoot_all(1);
        assert_eq!(elsewhen.ask("next 5000").number("number"), number);
        elsewhen.must("publish 1");
        let frame = reader.next(camlane_tests::wait::PATIENCE).unwrap();
        camlane_tests::pattern::check(&frame).unwrap();
        assert_eq!((frame.number(), frame.missed()), (number, 0));
    }
}

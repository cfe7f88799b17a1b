//! Who is let in, as which user, to do what; and whom a consumer lets serve it.

use std::os::unix::fs::{PermissionsExt, chown};

use camlane::{Consumer, ConsumerOptions, Error, Observer, Policy};
use camlane_tests::peer::Peer;
use camlane_tests::wait::wait_until;
use rstest::rstest;

use crate::{Place, is_root, options, peer, source};

fn peer_as(uid: u32, gid: u32) -> Peer {
    let mut peer = peer();
    peer.must(&format!("user {uid} {gid}"));
    peer
}

#[rstest]
#[case::the_default(Policy::default(), "error System", "error System")]
#[case::its_user(Policy::default().user(4242), "ok", "ok")]
#[case::another_user(Policy::default().user(4243), "error Permission", "error Permission")]
#[case::its_group(Policy::default().group(4343), "ok", "ok")]
#[case::another_group(Policy::default().group(4344), "error Permission", "error Permission")]
#[case::observers(Policy::default().observers(), "error Permission", "ok")]
#[case::anybody(Policy::default().anybody(), "ok", "ok")]
#[case::anybody_without_seats(Policy::default().anybody().seats_per_user(0), "error Permission", "ok")]
fn a_stranger_is_admitted_by(#[case] policy: Policy, #[case] pins: &str, #[case] observes: &str) {
    if !is_root() {
        return;
    }
    let place = Place::new();
    let _source = source(&place, options().policy(policy)).unwrap();
    let mut stranger = peer_as(4242, 4343);
    // Under the default policy the socket's mode keeps others out, before anybody is asked.
    let expected =
        |text: &str| if text == "error System" { "error Permission".to_owned() } else { text.to_owned() };
    let pinned = stranger.ask(&format!("open {}", place.address()));
    assert!(pinned.0.starts_with(&expected(pins)), "{pinned:?}");
    let observed = stranger.ask(&format!("observe {}", place.address()));
    assert!(observed.0.starts_with(&expected(observes)), "{observed:?}");
}

#[test]
fn each_user_has_its_share_of_seats_and_gets_it_back() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    let _source =
        source(&place, options().seats(4).policy(Policy::default().anybody().seats_per_user(2))).unwrap();
    let open = format!("open {}", place.address());
    let mut greedy: Vec<Peer> = (0..3).map(|_| peer_as(4242, 4242)).collect();
    greedy[0].must(&open);
    greedy[1].must(&open);
    assert!(greedy[2].ask(&open).says("error Permission"));
    let mut other = peer_as(4243, 4242);
    other.must(&open);
    let _own = Consumer::open(&place.address()).unwrap();
    assert!(matches!(Consumer::open(&place.address()), Err(Error::SeatsTaken { seats: 4, .. })));
    greedy[0].kill();
    wait_until("its share is there again", || greedy[2].ask(&open).word() == "ok");
}

#[test]
fn a_consumer_pins_only_what_a_user_serves_whom_it_trusts_and_observes_anybody() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    chown(place.dir.path(), Some(4242), Some(4242)).unwrap();
    let mut producer = peer_as(4242, 4242);
    producer.must(&format!("create {}", place.address()));
    let refused = Consumer::open(&place.address()).unwrap_err();
    assert!(matches!(&refused, Error::Permission { operation: "trust", .. }), "{refused}");
    assert!(refused.to_string().contains("4242"), "{refused}");
    let mut consumer = ConsumerOptions::new().trust_user(4242).open(&place.address()).unwrap();
    producer.must("publish 1");
    camlane_tests::pattern::check(&consumer.next(camlane_tests::wait::PATIENCE).unwrap()).unwrap();
    assert!(Observer::open(&place.address()).unwrap().copy_newest().unwrap().is_some());
}

#[test]
fn the_socket_has_the_mode_that_its_policy_needs_whatever_the_umask() {
    for (umask, policy, mode) in
        [("077", Policy::default().anybody(), 0o666), ("000", Policy::default(), 0o600)]
    {
        let place = Place::new();
        let before = nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(
            u32::from_str_radix(umask, 8).unwrap(),
        ));
        let source = source(&place, options().policy(policy));
        nix::sys::stat::umask(before);
        let _source = source.unwrap();
        let found = std::fs::metadata(place.socket()).unwrap().permissions().mode() & 0o777;
        assert_eq!(found, mode, "umask {umask}");
    }
}

#[rstest]
#[case::that_is_not_there(None, "ok")]
#[case::of_its_own(Some((54321, 0o755)), "ok")]
#[case::of_root(Some((0, 0o755)), "error")]
#[case::of_another_user(Some((4242, 0o755)), "error Permission")]
#[case::that_others_can_write(Some((54321, 0o777)), "error Permission")]
fn a_producer_without_a_run_time_directory_takes_one_under_tmp(
    #[case] before: Option<(u32, u32)>,
    #[case] expected: &str,
) {
    static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if !is_root() {
        return;
    }
    let dir = std::path::Path::new("/tmp/camlane-54321");
    let _ = std::fs::remove_dir_all(dir);
    if let Some((owner, mode)) = before {
        std::fs::create_dir(dir).unwrap();
        std::fs::set_permissions(dir, PermissionsExt::from_mode(mode)).unwrap();
        chown(dir, Some(owner), None).unwrap();
    }
    let mut producer =
        Peer::run(std::process::Command::new(env!("CARGO_BIN_EXE_peer")).env_remove("XDG_RUNTIME_DIR"));
    producer.must("user 54321 54321");
    producer.must("umask 000");
    let answer = producer.ask("create sealed:cam");
    if answer.word() == "ok" {
        assert_eq!(std::fs::metadata(dir).unwrap().permissions().mode() & 0o777, 0o755);
        assert!(
            Consumer::open("sealed:/tmp/camlane-54321/cam.sock").is_err(),
            "root trusts no other user unasked"
        );
        producer.must("open sealed:cam");
    }
    drop(producer);
    let _ = std::fs::remove_dir_all(dir);
    assert!(answer.0.starts_with(expected), "{answer:?}");
}

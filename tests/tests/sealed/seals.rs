//! What a consumer is handed cannot be cut, written or unsealed, whoever the consumer is.

use std::os::fd::AsFd;

use camlane::Policy;
use camlane_tests::peer::{Peer, Reply};
use camlane_tests::raw::{self, OBSERVE, PIN};
use camlane_tests::wait::PATIENCE;
use nix::fcntl::{FcntlArg, OFlag, SealFlag, fcntl};
use nix::libc::F_SEAL_FUTURE_WRITE;
use nix::sys::stat::fstat;
use rstest::rstest;

use crate::{Place, is_root, options, peer, source};

fn seals(object: impl AsFd) -> SealFlag {
    SealFlag::from_bits_retain(fcntl(object, FcntlArg::F_GET_SEALS).unwrap())
}

fn is_read_only(object: impl AsFd) -> bool {
    let flags = OFlag::from_bits_retain(fcntl(object, FcntlArg::F_GETFL).unwrap());
    flags & OFlag::O_ACCMODE == OFlag::O_RDONLY
}

#[test]
fn what_is_handed_out_is_sealed_and_data_is_open_for_reading_only() {
    let place = Place::new();
    let source = source(&place, options()).unwrap();
    let size = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
    let writing = SealFlag::from_bits_retain(F_SEAL_FUTURE_WRITE);
    let pinning = raw::join(&place.socket(), PIN, false).unwrap();
    let observing = raw::join(&place.socket(), OBSERVE, false).unwrap();
    for data in [&pinning.data, &observing.data] {
        assert!(seals(data).contains(size | writing), "{:?}", seals(data));
        assert!(is_read_only(data));
        assert_eq!(fstat(data).unwrap().st_mode & 0o7777, 0o400);
        assert_eq!(fstat(data).unwrap().st_size as u64, source.producer.addresses().len() as u64);
    }
    assert!(observing.seat.is_none());
    let seat = pinning.seat.unwrap();
    assert!(seals(&seat).contains(size) && !seals(&seat).contains(writing));
    let other = raw::join(&place.socket(), PIN, false).unwrap().seat.unwrap();
    assert_ne!(fstat(&seat).unwrap().st_ino, fstat(&other).unwrap().st_ino, "a seat is one consumer's alone");
}

/// What must have happened to each deed, on DATA and on a seat.
fn judge(answers: &Reply, who: &str, may_reopen: bool) {
    let expect = |deed: &str, errno: &str| {
        assert!(answers.says(&format!(" {deed}={errno}")), "{who}: {deed} should be {errno}: {answers:?}");
    };
    // Not open for writing: EINVAL is what ftruncate(2) says of that.
    expect("data-shrink", "EINVAL");
    expect("data-grow", "EINVAL");
    for deed in ["data-write", "data-pwrite", "data-punch"] {
        expect(deed, "EBADF");
    }
    for deed in ["data-map", "data-mprotect", "data-remove"] {
        expect(deed, "EACCES");
    }
    expect("data-seal", "EPERM");
    for deed in ["shrink", "write", "punch", "map", "seal"] {
        // Whom the mode lets in meets the seals.
        expect(&format!("data-reopen-{deed}"), if may_reopen { "EPERM" } else { "EACCES" });
    }
    for deed in ["seat-shrink", "seat-grow", "seat-seal"] {
        expect(deed, "EPERM");
    }
    for deed in ["shrink", "seal"] {
        expect(&format!("seat-reopen-{deed}"), if may_reopen { "EPERM" } else { "EACCES" });
    }
    // A page that may be written through a map may be written and freed by other ways too: it is the consumer's own.
    for deed in ["seat-map", "seat-mprotect", "seat-pwrite", "seat-punch"] {
        expect(deed, "done");
    }
}

#[rstest]
#[case::root(0, true)]
#[case::another_user(4242, false)]
fn all_that_is_forbidden_fails_in_a_consumer_that_is(#[case] uid: u32, #[case] may_reopen: bool) {
    if !is_root() {
        return;
    }
    let place = Place::new();
    let source = source(&place, options().policy(Policy::default().anybody())).unwrap();
    let mut honest = peer();
    honest.must(&format!("open {}", place.address()));
    source.shoot_all(1);
    assert_eq!(honest.ask("hold 5000").number("number"), 1);

    let mut attacker = peer();
    if uid != 0 {
        attacker.must(&format!("user {uid} {uid}"));
    }
    attacker.must(&place.join(PIN));
    judge(&attacker.must("misdeeds"), &format!("user {uid}"), may_reopen);

    honest.must("verify");
    source.shoot_all(1);
    assert_eq!(honest.ask("next 5000").number("number"), 2);
}

#[test]
fn the_producers_own_user_may_change_the_mode_and_gains_nothing() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    std::os::unix::fs::chown(place.dir.path(), Some(4242), Some(4242)).unwrap();
    let mut producer = peer();
    producer.must("user 4242 4242");
    producer.must(&format!("create {}", place.address()));
    let mut attacker = peer();
    attacker.must("user 4242 4242");
    attacker.must(&place.join(PIN));
    let answers = attacker.must("misdeeds");
    assert!(answers.says("data-chmod=done") && answers.says("data-reopen=done"), "{answers:?}");
    judge(&answers, "the same user", true);
}

#[test]
fn writing_into_a_frame_ends_the_writer_alone() {
    let place = Place::new();
    let source = source(&place, options()).unwrap();
    let mut readers = [peer(), peer()];
    for reader in &mut readers {
        reader.must(&format!("open {}", place.address()));
    }
    source.shoot_all(1);
    for reader in &mut readers {
        assert_eq!(reader.ask("hold 5000").number("number"), 1);
    }
    let [mut writer, mut other]: [Peer; 2] = readers;
    writer.tell("scribble");
    assert_eq!(writer.death(), Some(nix::libc::SIGSEGV));
    other.must("verify");
    source.shoot_all(1);
    assert_eq!(other.ask(&format!("next {}", PATIENCE.as_millis())).number("number"), 2);
}

//! What cutting a lane's memory does: end the readers of a named lane, fail on a sealed one.

use std::fs::OpenOptions;

use camlane_tests::lane::TestLane;
use camlane_tests::peer::Peer;
use camlane_tests::raw::{self, OBSERVE};
use nix::errno::Errno;
use nix::libc::SIGBUS;
use nix::unistd::ftruncate;
use rstest::rstest;

use crate::{Place, options, peer, source};

/// Readers that have looked at a frame: one holds it, one copies.
fn readers(lane: &str, publish: impl Fn()) -> [Peer; 2] {
    let mut readers = [peer(), peer()];
    readers[0].must(&format!("open {lane}"));
    readers[1].must(&format!("observe {lane}"));
    publish();
    assert_eq!(readers[0].ask("hold 5000").word(), "frame");
    assert_eq!(readers[1].ask("copy 5000").word(), "frame");
    readers
}

#[rstest]
#[case::a_held_frame(0, "verify")]
#[case::a_wait_for_the_next(0, "next 5000")]
#[case::a_copy(1, "copy 0")]
fn cutting_a_named_lane_ends_with_sigbus_who_is_at(#[case] which: usize, #[case] order: &str) {
    let lane = TestLane::new("cut");
    let source = camlane_tests::pattern::Source::create(
        lane.name(),
        camlane::FrameMeta::bytes(crate::BYTES).layout,
        &options(),
    )
    .unwrap();
    let mut readers = readers(lane.name(), || source.shoot_all(1));
    let data = OpenOptions::new().write(true).open(lane.file("data")).unwrap();
    let len = data.metadata().unwrap().len();
    data.set_len(0).unwrap();
    readers[which].tell(order);
    let [first, second] = readers;
    assert_eq!([first, second].into_iter().nth(which).unwrap().death(), Some(SIGBUS));
    data.set_len(len).unwrap(); // the producer of this test shall not touch what is not there
}

#[test]
fn cutting_a_sealed_lane_fails_and_nobody_notices() {
    let place = Place::new();
    let source = source(&place, options()).unwrap();
    let mut readers = readers(&place.address(), || source.shoot_all(1));
    let joined = raw::join(&place.socket(), OBSERVE, false).unwrap();
    assert_eq!(ftruncate(&joined.data, 0), Err(Errno::EINVAL));
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&joined.data));
    if let Ok(file) = OpenOptions::new().write(true).open(path) {
        assert_eq!(file.set_len(0).unwrap_err().raw_os_error(), Some(Errno::EPERM as i32));
    }
    readers[0].must("verify");
    source.shoot_all(1);
    assert_eq!(readers[0].ask("next 5000").number("number"), 2);
    assert_eq!(readers[1].ask("copy 5000").number("number"), 2);
}

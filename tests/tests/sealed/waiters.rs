//! Thousands who sleep on the bell: waking them is not the camera's work.

use std::process::Command;

use camlane_tests::peer::Peer;
use camlane_tests::raw::{OBSERVE, PIN};

use crate::{Place, can_trace, peer};

const WAITERS: usize = 2_000;
const FRAMES: usize = 50;

#[test]
fn with_two_thousand_waiters_the_cameras_thread_wakes_nobody_itself() {
    if !can_trace() {
        return;
    }
    let place = Place::new();
    let log = place.dir.path().join("trace");
    let mut producer = Peer::run(
        Command::new("strace")
            .args(["-qq", "-f", "-e", "trace=futex,write,sendto", "-o"])
            .arg(&log)
            .arg(env!("CARGO_BIN_EXE_peer")),
    );
    producer.must(&format!("create {} seats=2", place.address()));
    // A seat whose flag says that it sleeps, whenever the producer looks.
    let seat = camlane_tests::raw::join(&place.socket(), PIN, false).unwrap();
    let words = camlane_tests::raw::words(seat.seat.as_ref().unwrap(), 1024, true).unwrap();
    words[camlane_tests::raw::seat::SLEEPING].store(1, std::sync::atomic::Ordering::Relaxed);
    let mut crowd = peer();
    crowd.must(&place.join(OBSERVE));
    crowd.must(&format!("park {WAITERS}"));
    for _ in 0..FRAMES {
        producer.must("publish 1");
    }
    drop(crowd);
    producer.must("close");
    producer.end();

    let trace = std::fs::read_to_string(&log).unwrap();
    let lines: Vec<(&str, &str)> = trace.lines().filter_map(|line| line.split_once(' ')).collect();
    let begins = lines.iter().position(|(_, call)| call.contains("write(1, \"ok slots")).unwrap();
    let ends = lines.iter().rposition(|(_, call)| call.contains("write(1, \"ok number")).unwrap();
    let camera = lines[begins].0;
    let (of_camera, of_others): (Vec<_>, Vec<_>) =
        lines[begins..=ends].iter().partition(|(thread, _)| *thread == camera);
    let wakes = |calls: &[(&str, &str)]| -> usize {
        // The shared ones; those of the standard library's locks are private.
        calls.iter().filter(|(_, call)| call.contains("FUTEX_WAKE,")).count()
    };
    let orders =
        of_camera.iter().filter(|(_, call)| call.contains("write(") && !call.contains("write(1,")).count();
    eprintln!("{} wakes by the broker, {orders} orders to it", wakes(&of_others));
    assert_eq!(wakes(&of_camera), 0, "the camera's thread woke sleepers");
    assert!(wakes(&of_others) > 0, "nobody woke them");
    assert!(orders > 0 && orders <= FRAMES, "{orders} orders for {FRAMES} frames");
}

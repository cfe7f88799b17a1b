//! Observers, who hold nothing and copy while the producer may be writing.
//!
//! Here the producer's own thread fills the loan. If another one does, C++20 has no edge from (B) to the observer: a
//! release fence acts for the stores of its own thread. Processors keep the order all the same, because the hand-over
//! of the loan lies between and their barriers are cumulative.

use camlane_core::{FrameMeta, ObserveError};
use loom::sync::atomic::{AtomicU32, Ordering::Relaxed};
use loom::thread;
use rstest::rstest;

use crate::{Kept, Lane, TIGHT, explore};

#[rstest]
#[case::wide("wide numbers", 30)]
#[case::in_laps("numbers 1, 0, 1, 0", 1)]
fn an_observer_never_takes_a_torn_copy(#[case] numbers: &str, #[case] bits: u32) {
    explore(&format!("an observer, {numbers}"), bits, Some(4), || {
        // Two slots, no pins: the producer alternates.
        let lane = Lane::new(TIGHT.slots(2));
        let lane = lane.get();
        let pixels = Kept::new([0, 1].map(|_| AtomicU32::new(1)));
        let pixels = pixels.get();
        let producer = lane.producer_at(1);
        let observer = lane.words.observer();
        let looker = thread::spawn(move || match observer.copy_with(|slot| pixels[slot].load(Relaxed)) {
            Ok(Some((number, copy))) => assert_eq!(u64::from(copy), number, "TORN COPY ACCEPTED"),
            Ok(None) => panic!("NO FRAME"),
            Err(error) => assert_eq!(error, ObserveError::Contended),
        });
        for number in 2..=4 {
            let loan = producer.loan().expect("NO FREE SLOT");
            pixels[loan.slot() as usize].store(number, Relaxed);
            let _ = producer.publish(loan, &FrameMeta::bytes(1)).expect("the loan is ours");
        }
        looker.join().expect("no panic");
    });
}

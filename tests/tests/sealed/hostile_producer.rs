//! A producer that writes random bytes over its whole lane: readers in other processes come to no harm.

use crate::{Place, peer};
use camlane_tests::lane::TestLane;
use rstest::rstest;

#[rstest]
#[case::sealed(true)]
#[case::named(false)]
fn readers_of_a_lane_full_of_random_bytes_neither_die_nor_hang(#[case] sealed: bool) {
    let (place, name) = (Place::new(), TestLane::new("scribbled"));
    let lane = if sealed { place.address() } else { name.name().to_owned() };
    let mut producer = peer();
    producer.must(&format!("create {lane} seats=8 bytes=4000"));
    producer.must("publish 10");
    // Opened while all was well, and read by what they know from then.
    let mut gazers = [peer(), peer()];
    for gazer in &mut gazers {
        gazer.must(&format!("gaze {lane}"));
    }
    let mut inside = peer();
    inside.must(&format!("observe {lane}"));
    inside.must("stare");
    for _ in 0..10 {
        producer.must("publish 10"); // so that there is sense in some of it
        producer.must("scribble-data 400");
    }
    let tally = inside.must("look 0");
    assert!(tally.number("frames") + tally.number("refusals") > 0, "{tally:?}");
    for gazer in &mut gazers {
        let tally = gazer.must("look 0");
        assert!(tally.number("frames") + tally.number("refusals") > 0, "{tally:?}");
        eprintln!("{tally:?}");
    }
}

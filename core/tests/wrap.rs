//! Numbers wrap in words of 30 bits and halves of 32: what that may cost, and what it must not.

mod common;

use camlane_core::{Consumer, Geometry, ReadError};
use common::{READY, RETIRED, TestLane, at, is_whole, publish, publish_many, word};
use rstest::rstest;

const LAP: u64 = 1 << 30;

fn lane() -> TestLane {
    TestLane::new(Geometry::new(16).seats(2).pins(2).history(3))
}

#[rstest]
#[case::short_numbers(LAP)]
#[case::low_halves(1 << 32)]
#[case::the_last_lap_before_that(3 * LAP)]
#[case::a_later_lap(1 << 40)]
fn readers_notice_nothing_of_a_wrap(#[case] wrap: u64) {
    let lane = lane();
    lane.pretend_published(wrap - 10);
    let producer = lane.heir().unwrap();
    let (every, newest) = (lane.consumer(0), lane.consumer(1));
    let late = Consumer::new(lane.seat_role(1), 0);
    drop(newest);
    assert_eq!(every.next().unwrap().unwrap().number(), wrap - 10);
    for number in wrap - 9..wrap + 10 {
        assert_eq!(publish(&producer), number);
        let frame = every.next().unwrap().unwrap();
        assert_eq!((frame.number(), frame.missed(), is_whole(&frame)), (number, 0, true));
        if number % 5 == 0 {
            let frame = late.latest().unwrap().unwrap();
            assert_eq!((frame.number(), is_whole(&frame)), (number, true));
        }
    }
    assert_eq!((every.delivered(), every.missed()), (20, 0));
    assert_eq!(late.delivered() + late.missed(), late.position() - (wrap - 9).next_multiple_of(5) + 1);
}

#[rstest]
#[case::across_short_numbers(LAP)]
#[case::across_low_halves(1 << 32)]
fn a_frame_held_across_a_wrap_stays_as_it_is(#[case] wrap: u64) {
    let lane = lane();
    lane.pretend_published(wrap - 2);
    let producer = lane.heir().unwrap();
    let consumer = lane.consumer(0);
    let held = consumer.next().unwrap().unwrap();
    publish_many(&producer, 100);
    assert_eq!((held.number(), is_whole(&held)), (wrap - 2, true));
    let next = consumer.next().unwrap().unwrap();
    assert_eq!((next.number(), next.missed()), (wrap + 96, 97));
}

#[test]
fn the_first_frame_after_a_wrap_is_not_mistaken_for_no_frame() {
    let lane = lane();
    lane.pretend_published(LAP);
    assert_eq!(lane.live(at::LATEST), 1);
    let producer = lane.heir().unwrap();
    assert_eq!(producer.published(), LAP);
    assert_eq!(lane.observer().peek_newest().unwrap().unwrap().number, LAP);
    assert_eq!(lane.consumer(0).newest().unwrap().unwrap().number(), LAP);
    assert_eq!(lane.consumer(0).next().unwrap().unwrap().number(), LAP);
}

#[rstest]
#[case::just_now(LAP)]
#[case::a_frame_ago(LAP + 1)]
#[case::two_frames_ago(LAP + 2)]
#[case::a_lap_later(2 * LAP)]
fn who_wants_the_first_frame_gets_the_oldest_also_when_its_short_number_is_that_of_none(#[case] newest: u64) {
    let lane = lane();
    let early = lane.consumer(1);
    lane.pretend_published(newest);
    let late = Consumer::from_the_first(lane.seat_role(0), 0);
    // The early one sat down before the first frame and slept for a whole lap.
    for consumer in [early, late] {
        let found: Vec<_> =
            core::iter::from_fn(|| consumer.next().unwrap().map(|f| (f.number(), f.missed()))).collect();
        assert_eq!(found, [(newest - 2, newest - 3), (newest - 1, 0), (newest, 0)]);
    }
}

#[rstest]
#[case::next_within_the_history(LAP + 2, Ok((LAP + 2, LAP)))]
#[case::next_beyond_it(LAP + 10, Ok((LAP + 8, LAP + 6)))]
#[case::more_than_half_the_range_later(LAP / 2 + 10, Ok((LAP / 2 + 8, LAP / 2 + 6)))]
#[case::five_laps_later(5 * LAP + 10, Ok((5 * LAP + 8, 5 * LAP + 6)))]
#[case::exactly_one_lap_later_it_waits_for_one_more(LAP + 1, Err(LAP))]
fn who_slept_for_a_lap_gets_exact_counts(#[case] newest: u64, #[case] found: Result<(u64, u64), u64>) {
    let lane = lane();
    let consumer = lane.consumer(0);
    publish(&lane.producer());
    assert_eq!(consumer.next().unwrap().unwrap().number(), 1);
    lane.pretend_published(newest);
    let producer = lane.heir().unwrap();
    let (number, missed) = found.unwrap_or_else(|missed| {
        assert!(consumer.next().unwrap().is_none() && consumer.latest().unwrap().is_none());
        (publish(&producer), missed)
    });
    let frame = consumer.next().unwrap().unwrap();
    assert_eq!((frame.number(), frame.missed(), is_whole(&frame)), (number, missed, true));
    assert_eq!(consumer.delivered() + consumer.missed(), number);
}

#[test]
fn a_frame_that_lies_a_lap_behind_is_let_go_and_not_counted() {
    let lane = lane();
    lane.pretend_published(LAP + 7);
    let consumer = lane.consumer(0);
    assert_eq!(consumer.next().unwrap().unwrap().number(), LAP + 7);
    // As if `latest` and the slot were seen as they were a lap ago.
    lane.set_number(0, 8);
    lane.data.poke(lane.word_at(0), word(8, READY));
    lane.data.poke(lane.ring_at(8), 0);
    lane.data.poke(at::LATEST, word(8, READY));
    assert!(consumer.next().unwrap().is_none() && consumer.latest().unwrap().is_none());
    assert_eq!((consumer.position(), consumer.delivered(), consumer.missed()), (LAP + 7, 1, 0));
    assert_eq!((consumer.held(), lane.pins()), (0, vec![]));
}

#[rstest]
#[case::another_number(|lane: &TestLane| lane.set_number(0, 6))]
#[case::too_long(|lane: &TestLane| lane.set_len(0, 17))]
#[case::no_such_slot(|lane: &TestLane| {
    lane.data.poke(at::LATEST_SLOT, u32::MAX);
    lane.data.poke(lane.ring_at(5), lane.shape.slots());
})]
fn a_reader_refuses_a_slot_that_contradicts_itself_and_holds_nothing(#[case] damage: fn(&TestLane)) {
    let lane = lane();
    lane.pretend_published(5);
    damage(&lane);
    let consumer = lane.consumer(0);
    for found in [consumer.next(), consumer.latest(), consumer.newest()] {
        assert_eq!(found.unwrap_err(), ReadError::Corrupt);
    }
    assert_eq!((consumer.held(), lane.pins(), consumer.delivered()), (0, vec![], 0));
}

#[rstest]
#[case::a_stale_ring(|lane: &TestLane| lane.data.poke(lane.ring_at(5), 3), true)]
#[case::a_stale_hint(|lane: &TestLane| lane.data.poke(at::LATEST_SLOT, 3), true)]
#[case::a_hint_to_nowhere(|lane: &TestLane| lane.data.poke(at::LATEST_SLOT, u32::MAX), true)]
#[case::both_stale(|lane: &TestLane| {
    lane.data.poke(lane.ring_at(5), 3);
    lane.data.poke(at::LATEST_SLOT, 3);
}, false)]
fn nothing_rests_on_the_ring_or_the_hint(#[case] damage: fn(&TestLane), #[case] found: bool) {
    let lane = lane();
    lane.pretend_published(5);
    damage(&lane);
    let consumer = lane.consumer(0);
    let newest = consumer.newest().map(|frame| frame.map(|frame| (frame.number(), is_whole(&frame))));
    assert_eq!(newest, if found { Ok(Some((5, true))) } else { Err(ReadError::Contended) });
}

#[test]
fn a_take_over_orders_frames_by_their_whole_numbers() {
    let lane = lane();
    lane.pretend_published(LAP + 1);
    // One that was retired just before the wrap: its short number is the greatest of all.
    lane.set_number(4, LAP - 2);
    lane.data.poke(lane.word_at(4), word(LAP - 2, RETIRED));
    let producer = lane.heir().unwrap();
    assert_eq!(producer.published(), LAP + 1);
    let words = lane.words();
    assert_eq!(words[..3], [LAP + 1, LAP, LAP - 1].map(|number| word(number, READY)));
    assert_eq!(words[4], word(LAP - 2, RETIRED));
    assert_eq!(publish(&producer), LAP + 2);
    assert_eq!(lane.words()[2], word(LAP - 1, RETIRED));
}

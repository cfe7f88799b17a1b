//! Seats: whose they are, and how those of the dead are cleared.

mod common;

use core::mem;

use camlane_core::layout::{LAYOUT, SEAT_LEN, SEAT_MAGIC};
use camlane_core::{AttachError, Consumer, Geometry, SeatUse, Seats};
use common::{TestLane, at, is_whole, publish, publish_many, reclaim};
use rstest::rstest;

fn lane() -> TestLane {
    TestLane::new(Geometry::new(16).seats(3).pins(2).history(1))
}

#[test]
fn the_pins_of_a_dead_consumer_hold_until_it_is_reclaimed_and_no_longer() {
    let lane = TestLane::new(Geometry::new(16).seats(1).pins(2).history(1).slots(3));
    let producer = lane.producer();
    let consumer = lane.consumer(0);
    for _ in 0..2 {
        publish(&producer);
        mem::forget(consumer.next().unwrap().unwrap());
    }
    mem::forget(consumer);
    publish(&producer);
    assert!(producer.loan().is_err());
    let mut asked = Vec::new();
    let dead = |seat| {
        asked.push(seat);
        false
    };
    assert_eq!(reclaim(producer.seats(), dead), 1);
    assert_eq!(asked, [0]);
    assert!(producer.loan().is_ok());
    assert_eq!((lane.pins(), producer.seats().in_use().count()), (vec![], 0));
    assert_eq!(reclaim(producer.seats(), |_| false), 0, "nobody is asked about an empty seat");
}

#[test]
fn the_living_keep_their_frames_when_the_dead_are_cleared() {
    let lane = lane();
    let producer = lane.producer();
    let (living, dead) = (lane.consumer(0), lane.consumer(2));
    publish(&producer);
    let held = living.next().unwrap().unwrap();
    mem::forget(dead.next().unwrap().unwrap());
    mem::forget(dead);
    assert_eq!(reclaim(lane.all_seats(), |seat| seat == 0), 1);
    publish_many(&producer, 100);
    assert!(is_whole(&held));
    assert_eq!(lane.pins(), [held.slot()]);
}

#[rstest]
#[case::its_process(at::PID)]
#[case::its_sleep(at::SLEEPING)]
#[case::its_first_pin(at::CELLS)]
#[case::a_pin_beyond_its_own(at::CELLS + 28)]
fn any_trace_of_use_is_asked_about_and_cleared(#[case] offset: usize) {
    let lane = lane();
    let place = lane.seat_at(1) + offset;
    lane.seats.poke(place, 1);
    assert_eq!(reclaim(lane.all_seats(), |seat| seat == 1), 0);
    assert_eq!(lane.seats.peek(place), 1);
    assert_eq!(reclaim(lane.all_seats(), |seat| seat != 1), 1);
    assert_eq!(lane.seats.peek(place), 0);
}

#[test]
fn who_sits_down_clears_what_the_last_one_left() {
    let lane = lane();
    let producer = lane.producer();
    publish(&producer);
    let dead = lane.consumer(1);
    mem::forget(dead.next().unwrap().unwrap());
    mem::forget(dead.fall_asleep(dead.bell()));
    mem::forget(dead);
    let used = SeatUse { seat: 1, pid: 1001, cursor: 1, pins: 1, sleeping: true };
    assert_eq!(lane.all_seats().in_use().collect::<Vec<_>>(), [used]);
    let consumer = Consumer::new(lane.seat_role(1), 5);
    let used = SeatUse { seat: 1, pid: 5, cursor: 0, pins: 0, sleeping: false };
    assert_eq!(lane.all_seats().in_use().collect::<Vec<_>>(), [used]);
    let held = consumer.next().unwrap().unwrap();
    let used = SeatUse { seat: 1, pid: 5, cursor: 1, pins: 1, sleeping: false };
    assert_eq!(lane.all_seats().in_use().collect::<Vec<_>>(), [used]);
    drop(held);
    drop(consumer);
    assert_eq!(lane.all_seats().in_use().count(), 0);
}

#[test]
fn who_leaves_gives_the_seat_to_another() {
    let lane = TestLane::new(Geometry::new(16).seats(1).pins(1).history(1));
    let producer = lane.producer();
    let mut role = lane.seat_role(0);
    for number in 1..=10 {
        let consumer = Consumer::new(role, 5);
        publish(&producer);
        let frame = consumer.next().unwrap().unwrap();
        assert_eq!((frame.number(), frame.missed()), (number, 0));
        mem::forget(frame);
        role = consumer.leave();
        assert_eq!(
            lane.all_seats().in_use().map(|seat| seat.pid).collect::<Vec<_>>(),
            [0],
            "the pin was forgotten"
        );
    }
    assert_eq!(producer.dropped(), 0);
}

#[test]
fn a_scribbling_consumer_wastes_its_own_pins_and_nothing_else() {
    let lane = lane();
    let producer = lane.producer();
    let other = lane.consumer(0);
    for garbage in (0..2000u32).map(|step| step.wrapping_mul(0x9e37_79b9)) {
        for offset in (at::SLEEPING..SEAT_LEN).step_by(4) {
            lane.seats.poke(lane.seat_at(1) + offset, garbage.rotate_left(offset as u32));
        }
        publish(&producer);
        assert!(is_whole(&other.next().unwrap().unwrap()));
    }
    assert_eq!((other.missed(), producer.dropped()), (0, 0));
}

#[rstest]
#[case::no_seat(0x00, 0)]
#[case::another_layout(0x04, LAYOUT + (1 << 16))]
#[case::another_seat(0x08, 2)]
#[case::another_run(0x1c, 0)]
fn seats_of_another_lane_are_refused(#[case] offset: usize, #[case] value: u32) {
    let lane = lane();
    let stride = lane.shape.seat_stride() as usize;
    lane.seats.poke(lane.seat_at(1) + offset, value);
    let region = lane.region();
    assert_eq!(Seats::attach(&lane.seats.memory(), &region).unwrap_err(), AttachError::OtherIncarnation);
    let one = |index: usize| {
        Seats::attach_one(&lane.seats.memory_of(index * stride, stride), &region, index as u32)
    };
    assert_eq!(one(1).unwrap_err(), AttachError::OtherIncarnation);
    assert!(one(0).is_ok() && one(2).is_ok());
}

#[test]
fn a_seat_that_the_producer_does_not_look_at_is_refused() {
    let lane = lane();
    for (offset, value) in [(0, SEAT_MAGIC), (8, 3)] {
        lane.seats.poke(offset, value);
    }
    let one = Seats::attach_one(&lane.seats.memory(), &lane.region(), 3);
    assert_eq!(one.unwrap_err(), AttachError::OtherIncarnation);
}

#[test]
fn seats_that_were_cut_or_lie_askew_are_refused() {
    let lane = lane();
    let region = lane.region();
    let needed = lane.shape.seats_len();
    assert_eq!(needed, 3 * SEAT_LEN as u64);
    let cut = lane.seats.memory_of(0, needed as usize - 4);
    assert_eq!(
        Seats::attach(&cut, &region).unwrap_err(),
        AttachError::TooShort { needed, found: needed - 4 }
    );
    let cut = lane.seats.memory_of(0, SEAT_LEN - 4);
    let error = AttachError::TooShort { needed: SEAT_LEN as u64, found: SEAT_LEN as u64 - 4 };
    assert_eq!(Seats::attach_one(&cut, &region, 0).unwrap_err(), error);
    let askew = lane.seats.memory_of(1, SEAT_LEN);
    assert_eq!(Seats::attach_one(&askew, &region, 0).unwrap_err(), AttachError::Misaligned);
    assert_eq!(Seats::attach(&askew, &region).unwrap_err(), AttachError::Misaligned);
}

//! Death of the producer after each of its stores, and the one who goes on in the same memory.

mod common;

use camlane_core::{Geometry, LaneState, Pause, TakeOverError};
use common::world::{Op, Row, World};
use common::{FREE, READY, RETIRED, TestLane, WRITING, at, is_whole, pattern, publish, publish_many, word};
use proptest::prelude::*;
use rstest::rstest;

/// One store of a producer.
type Store = (usize, u32);

/// What changed in DATA, in the order in which the protocol stores it.
///
/// A process that dies leaves all its stores up to some point and none after it, whatever the hardware reorders: the
/// others see them through the same caches. (That the program's order is the protocol's is for the tests that kill
/// processes to show.)
fn stores(lane: &TestLane, before: &[u32], taking_over: bool) -> Vec<Store> {
    let after = lane.data.image();
    let changed = after.iter().zip(before).enumerate().filter(|(_, (new, old))| new != old);
    let mut stores: Vec<Store> = changed.map(|(index, (new, _))| (4 * index, *new)).collect();
    stores.sort_by_key(|&(offset, value)| rank(lane, offset, value, taking_over));
    stores
}

fn rank(lane: &TestLane, offset: usize, value: u32, taking_over: bool) -> u32 {
    let ring = lane.data.peek(at::RING_OFF) as usize..lane.data.peek(at::DESC_OFF) as usize;
    let is_word = (0..lane.shape.slots()).any(|slot| lane.word_at(slot) == offset);
    match offset {
        _ if is_word => match value & 3 {
            FREE | WRITING => 0,
            READY => 2,
            _ if taking_over => 3,
            _ => 7,
        },
        _ if ring.contains(&offset) => 4,
        at::LATEST_SLOT => 5,
        at::LATEST => 6,
        at::STATE | at::DROPPED => 8,
        at::BELL => 9,
        _ if offset >= lane.payload_at(0) => 10,
        _ => 1,
    }
}

fn poke_all(lane: &TestLane, stores: &[Store]) {
    stores.iter().for_each(|&(offset, value)| lane.data.poke(offset, value));
}

/// Where a life ends: during which operation, after how many of its stores, and after how many stores of the first heir.
#[derive(Clone, Copy, Debug)]
struct Death {
    op: usize,
    after: usize,
    heir_after: usize,
}

/// Lives through `ops[..death.op]`, dies in the next one, takes over twice, and lives on. Returns how many stores the
/// operation had, and how many the heir.
fn die_and_go_on(geometry: Geometry, start: u64, ops: &[Op], death: Death) -> (usize, usize) {
    let lane = TestLane::new(geometry);
    let (producers, consumers) = (Row::new(100), Row::new(100));
    let mut world = World::new(&lane, &producers, &consumers, start);
    ops[..death.op].iter().for_each(|&op| world.apply(op));
    let last = ops[death.op];

    // The same life once more, to see which stores the last operation makes.
    let made = {
        let lane = TestLane::new(geometry);
        let (producers, consumers) = (Row::new(100), Row::new(100));
        let mut world = World::new(&lane, &producers, &consumers, start);
        ops[..death.op].iter().for_each(|&op| world.apply(op));
        let before = lane.data.image();
        world.apply(last);
        stores(&lane, &before, false)
    };
    let done = &made[..death.after.min(made.len())];
    let publishing = if let Op::Publish(which) = last { world.loan_to_publish(which) } else { None };
    world.kill();
    poke_all(&lane, done);
    if let Some((slot, seed, len)) = publishing
        && done.iter().any(|&(offset, value)| offset == lane.word_at(slot) && value & 3 == READY)
    {
        world.died_after_the_slot_word(slot, seed, len);
    }
    world.died_with(&lane);
    look(&lane, &world);

    let before = lane.data.image();
    drop(lane.heir().unwrap());
    let taken = stores(&lane, &before, true);
    lane.data.restore(&before);
    poke_all(&lane, &taken[..death.heir_after.min(taken.len())]);
    look(&lane, &world);

    world.take_over();
    world.check();
    let slots = lane.shape.slots();
    for round in 0..3 * slots {
        world.apply(Op::Loan);
        world.apply(Op::Publish(0));
        world.apply(Op::Next(round as u8));
        if round > slots {
            world.apply(Op::Release((round / 2) as u8, 0));
        }
        if round == 2 * slots {
            world.apply(Op::Reclaim);
        }
    }
    (made.len(), taken.len())
}

/// What was announced before the death is whole after it, at any store.
fn look(lane: &TestLane, world: &World<'_, '_>) {
    let mut pixels = vec![0; lane.shape.slot_size() as usize];
    if let Some(seen) = lane.observer().copy_newest(&mut pixels, &mut []).unwrap() {
        let (seed, len) = world.content(seen.number);
        assert_eq!(seen.meta.layout.bytes, len);
        assert_eq!(pixels[..len as usize], pattern(seed, len as usize));
    }
    assert_eq!(lane.live(at::LATEST) == 0, lane.observer().peek_newest().unwrap().is_none());
}

/// A life with every kind of operation, frames held, loans out, a dead reader and a lane that starves.
const LIFE: &[Op] = {
    use Op::*;
    &[
        Sit(0),
        Loan,
        Publish(0),
        Next(0),
        Loan,
        Loan,
        Publish(1),
        Publish(0),
        Next(0),
        Sit(1),
        Latest(1),
        Loan,
        DropLoan(0),
        Loan,
        Publish(0),
        CountDropped(3),
        Next(1),
        Loan,
        PublishTooLong(0),
        Loan,
        Publish(0),
        Release(0, 0),
        Loan,
        ForgetLoan(0),
        Loan,
        Publish(0),
        Next(0),
        KillReader(1),
        Loan,
        Loan,
        Publish(0),
        Loan,
        Publish(0),
        Loan,
        Loan,
        Publish(0),
    ]
};

#[rstest]
#[case::in_a_roomy_lane(Geometry::new(12).seats(2).pins(2).history(2).loans(3), 0)]
#[case::in_a_tight_lane(Geometry::new(12).seats(2).pins(2).history(2).loans(1), 0)]
#[case::in_a_starving_lane(Geometry::new(12).seats(2).pins(2).history(1).loans(2).slots(4), 0)]
#[case::with_a_long_history(Geometry::new(12).seats(2).pins(2).history(5).loans(2), 0)]
#[case::where_short_numbers_wrap(Geometry::new(12).seats(2).pins(2).history(3).loans(2), (1 << 30) - 4)]
#[case::where_low_halves_wrap(Geometry::new(12).seats(2).pins(2).history(3).loans(2), (1 << 32) - 4)]
fn after_a_death_at_any_store_the_lane_goes_on_and_no_pin_is_forgotten(
    #[case] geometry: Geometry,
    #[case] start: u64,
) {
    let mut deaths = 0;
    for op in 0..LIFE.len() {
        let (mut after, mut heir_after) = (0, usize::MAX);
        loop {
            let (made, taken) = die_and_go_on(geometry, start, LIFE, Death { op, after, heir_after });
            deaths += 1;
            // Every store of the operation, with the heir's life whole; in the middle of it, every store of the heir.
            if heir_after == usize::MAX && after < made {
                after += 1;
            } else if made > 3 && heir_after != taken {
                after = 4;
                heir_after = if heir_after == usize::MAX { 0 } else { heir_after + 1 };
            } else {
                break;
            }
        }
    }
    assert!(deaths > 3 * LIFE.len(), "{deaths}");
}

fn ops() -> impl Strategy<Value = Op> {
    let any = any::<u8>;
    prop_oneof![
        6 => Just(Op::Loan),
        6 => any().prop_map(Op::Publish),
        1 => any().prop_map(Op::DropLoan),
        1 => any().prop_map(Op::CountDropped),
        6 => any().prop_map(Op::Next),
        2 => any().prop_map(Op::Latest),
        3 => (any(), any()).prop_map(|(seat, which)| Op::Release(seat, which)),
        1 => any().prop_map(Op::KillReader),
        2 => any().prop_map(Op::Sit),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_life_and_wherever_it_ends_the_lane_goes_on(
        (seats, pins, history, loans, tight) in (1u32..=3, 1u32..=2, 1u32..=3, 1u32..=3, any::<bool>()),
        start in prop_oneof![Just(0), Just((1 << 30) - 6), Just((7 << 32) - 6)],
        ops in proptest::collection::vec(ops(), 1..50),
        (after, heir_after) in (0usize..30, 0usize..12),
    ) {
        let geometry = Geometry::new(9).seats(seats).pins(pins).history(history).loans(loans);
        let geometry = if tight { geometry.slots(history + loans + 1) } else { geometry };
        die_and_go_on(geometry, start, &ops, Death { op: ops.len() - 1, after, heir_after });
    }
}

#[test]
fn slots_that_were_being_written_are_free_and_what_was_published_is_not() {
    let lane = TestLane::new(Geometry::new(16).seats(1).pins(2).history(2).loans(3));
    let (producer, consumer) = (lane.producer(), lane.consumer(0));
    publish_many(&producer, 3);
    let held = consumer.next().unwrap().unwrap();
    for _ in 0..2 {
        core::mem::forget(producer.loan().unwrap());
    }
    let written: Vec<u32> =
        (0..lane.shape.slots()).filter(|&slot| lane.words()[slot as usize] & 3 == WRITING).collect();
    assert_eq!(written.len(), 2);
    // As if the number had been part of the word: it was never published, so it means nothing.
    lane.data.poke(lane.word_at(written[0]), word(77, WRITING));
    lane.set_number(written[0], 77);
    let heir = lane.heir().unwrap();
    assert!(written.iter().all(|&slot| lane.words()[slot as usize] == FREE));
    assert_eq!(heir.published(), 3);
    assert_eq!(publish(&heir), 4);
    assert_eq!((held.number(), is_whole(&held)), (2, true));
    let next: Vec<_> = (0..2).map(|_| consumer.next().unwrap().unwrap().number()).collect();
    assert_eq!(next, [3, 4]);
}

#[test]
fn a_lane_without_frames_can_be_taken_over_and_starts_with_number_1() {
    let lane = TestLane::new(Geometry::new(16));
    let consumer = lane.consumer(0);
    core::mem::forget(lane.producer().loan().unwrap());
    let heir = lane.heir().unwrap();
    assert!(consumer.next().unwrap().is_none());
    assert_eq!((heir.published(), publish(&heir)), (0, 1));
    assert_eq!(consumer.next().unwrap().unwrap().number(), 1);
}

#[test]
fn a_take_over_rings_the_bell_and_the_lane_lives_again() {
    let lane = TestLane::new(Geometry::new(16));
    let producer = lane.producer();
    publish(&producer);
    producer.count_dropped(7);
    producer.pause(Pause { reason: 2, errno: 16, since_ms: 1 });
    producer.close();
    let consumer = lane.consumer(0);
    assert!(consumer.region().pause().is_some());
    let bell = consumer.bell();
    let heir = lane.heir().unwrap();
    assert_eq!(consumer.region().pause(), None, "the dead one's camera is not this one's");
    assert_eq!((consumer.state(), consumer.bell()), (LaneState::Live, bell + 1));
    assert_eq!((heir.published(), heir.dropped()), (1, 7));
    publish(&heir);
    assert_eq!(consumer.bell(), bell + 2);
}

#[test]
fn a_hundred_producers_die_one_after_another_and_no_frame_is_missed() {
    let lane = TestLane::new(Geometry::new(16).seats(1).pins(2).history(2).loans(2));
    let consumer = lane.consumer(0);
    let mut held = None;
    for life in 0..100 {
        let producer = lane.heir().unwrap();
        core::mem::forget(producer.loan().unwrap());
        for _ in 0..2 {
            publish(&producer);
            let frame = consumer.next().unwrap().unwrap();
            assert_eq!((frame.missed(), is_whole(&frame)), (0, true));
            if life % 10 == 0 {
                held = Some(frame);
            }
        }
        assert!(is_whole(held.as_ref().unwrap()));
    }
    assert_eq!((consumer.position(), consumer.missed()), (200, 0));
}

/// Frames 1 to 5 of a lane with history 3: two retired, three ready.
fn five_frames() -> TestLane {
    let lane = TestLane::new(Geometry::new(16).seats(1).pins(2).history(3).loans(2));
    publish_many(&lane.producer(), 5);
    lane
}

/// The slot that holds a frame.
fn slot_of(lane: &TestLane, number: u64) -> u32 {
    (0..lane.shape.slots()).find(|&slot| lane.number(slot) == number).unwrap()
}

#[rstest]
#[case::a_word_that_is_not_its_number(4, |lane: &TestLane, slot: u32| lane.set_number(slot, 6))]
#[case::no_number(3, |lane: &TestLane, slot: u32| lane.set_number(slot, 0))]
#[case::a_recent_frame_that_was_retired(5, |lane: &TestLane, slot: u32| lane.data.poke(lane.word_at(slot), word(5, RETIRED)))]
#[case::a_number_that_no_lane_reaches(5, |lane: &TestLane, slot: u32| {
    lane.set_number(slot, u64::MAX);
    lane.data.poke(lane.word_at(slot), word(u64::MAX, READY));
})]
#[case::a_number_that_occurs_twice(5, |lane: &TestLane, slot: u32| {
    lane.set_number(slot, 4);
    lane.data.poke(lane.word_at(slot), word(4, READY));
})]
#[case::an_old_number_that_occurs_twice(2, |lane: &TestLane, slot: u32| {
    lane.set_number(slot, 1);
    lane.data.poke(lane.word_at(slot), word(1, RETIRED));
})]
#[case::a_gap_among_the_newest(5, |lane: &TestLane, slot: u32| {
    lane.set_number(slot, 6);
    lane.data.poke(lane.word_at(slot), word(6, READY));
})]
fn words_that_contradict_each_other_are_not_taken_over(
    #[case] number: u64,
    #[case] damage: fn(&TestLane, u32),
) {
    let lane = five_frames();
    assert!(lane.heir().is_ok());
    let slot = slot_of(&lane, number);
    damage(&lane, slot);
    assert!(matches!(lane.heir().unwrap_err(), TakeOverError::Corrupt { slot } if slot < lane.shape.slots()));
}

//! Random histories of a lane, compared with a model after every step.

mod common;

use camlane_core::Geometry;
use common::TestLane;
use common::world::{Op, Row, World};
use proptest::prelude::*;

fn geometries() -> impl Strategy<Value = Geometry> {
    (1u32..=3, 1u32..=3, 1u32..=4, 1u32..=3, 1u32..=70, proptest::bool::weighted(0.4)).prop_map(
        |(seats, pins, history, loans, slot_size, starve)| {
            let geometry = Geometry::new(slot_size).seats(seats).pins(pins).history(history).loans(loans);
            if starve { geometry.slots(history + loans + (seats * pins) / 2) } else { geometry }
        },
    )
}

fn ops() -> impl Strategy<Value = Op> {
    let any = any::<u8>;
    prop_oneof![
        12 => Just(Op::Loan),
        2 => any().prop_map(Op::Write),
        12 => any().prop_map(Op::Publish),
        1 => any().prop_map(Op::PublishTooLong),
        2 => any().prop_map(Op::DropLoan),
        1 => any().prop_map(Op::ForgetLoan),
        1 => any().prop_map(Op::CountDropped),
        8 => any().prop_map(Op::Latest),
        12 => any().prop_map(Op::Next),
        3 => any().prop_map(Op::Newest),
        12 => (any(), any()).prop_map(|(seat, which)| Op::Release(seat, which)),
        1 => Just(Op::Kill),
        3 => Just(Op::TakeOver),
        1 => any().prop_map(Op::KillReader),
        4 => any().prop_map(Op::Sit),
        1 => any().prop_map(Op::SitAsFirst),
        1 => Just(Op::Reclaim),
    ]
}

/// Numbers before which short numbers, or their low halves, wrap; and none, for a new lane.
fn starts() -> impl Strategy<Value = u64> {
    prop_oneof![
        3 => Just(0),
        1 => Just((1 << 30) - 5),
        1 => Just((1 << 32) - 5),
        1 => Just((5 << 30) + 4),
        1 => 1u64 << 16..1 << 40,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_lane_and_the_model_agree(
        geometry in geometries(),
        start in starts(),
        ops in proptest::collection::vec(ops(), 1..160),
    ) {
        let lane = TestLane::new(geometry);
        let (producers, consumers) = (Row::new(200), Row::new(200));
        let mut world = World::new(&lane, &producers, &consumers, start);
        world.apply(Op::Sit(0));
        ops.into_iter().for_each(|op| world.apply(op));
    }
}

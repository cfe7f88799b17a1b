//! Histories of a lane beside its model, as `core/tests/model_based.rs` has them at random: here towards new code.

use arbitrary::{Result, Unstructured};
use camlane_core::Geometry;

use crate::common::TestLane;
use crate::common::world::{Op, Row, World};

/// Steps of one history, at most.
const MOST_STEPS: usize = 200;
/// Producers and consumers of one history, at most. Room for them is what a history costs.
const MOST_ENDS: usize = 8;

pub(crate) fn run(bytes: &[u8]) {
    crate::with(bytes, body);
}

fn body(input: &mut Unstructured<'_>) -> Result<()> {
    let small = |input: &mut Unstructured<'_>, most| input.int_in_range(1..=most);
    let (seats, pins) = (small(input, 3)?, small(input, 3)?);
    let (history, loans) = (small(input, 4)?, small(input, 3)?);
    let mut geometry = Geometry::new(small(input, 70)?).seats(seats).pins(pins).history(history).loans(loans);
    if input.ratio(2, 5)? {
        geometry = geometry.slots(history + loans + (seats * pins) / 2);
    }
    let start = match input.int_in_range(0..=4)? {
        0 => (1 << 30) - 5,
        1 => (1 << 32) - 5,
        2 => (5 << 30) + 4,
        3 => input.int_in_range(1 << 16..=1 << 40)?,
        _ => 0,
    };
    let lane = TestLane::new(geometry);
    let (producers, consumers) = (Row::new(MOST_ENDS), Row::new(MOST_ENDS));
    let mut world = World::new(&lane, &producers, &consumers, start);
    world.apply(Op::Sit(0));
    let (mut producers_left, mut consumers_left) = (MOST_ENDS - 1, MOST_ENDS - 1);
    for _ in 0..MOST_STEPS {
        if input.is_empty() {
            break;
        }
        let op = op(input)?;
        let left = match op {
            Op::TakeOver => &mut producers_left,
            Op::Sit(_) | Op::SitAsFirst(_) => &mut consumers_left,
            _ => &mut usize::MAX.clone(),
        };
        if let Some(fewer) = left.checked_sub(1) {
            *left = fewer;
            world.apply(op);
        }
    }
    Ok(())
}

fn op(input: &mut Unstructured<'_>) -> Result<Op> {
    let which = input.int_in_range(0..=16)?;
    let mut number = || input.arbitrary::<u8>();
    Ok(match which {
        0 => Op::Loan,
        1 => Op::Publish(number()?),
        2 => Op::Next(number()?),
        3 => Op::Release(number()?, number()?),
        4 => Op::Latest(number()?),
        5 => Op::Newest(number()?),
        6 => Op::Sit(number()?),
        7 => Op::TakeOver,
        8 => Op::Kill,
        9 => Op::KillReader(number()?),
        10 => Op::Reclaim,
        11 => Op::DropLoan(number()?),
        12 => Op::Write(number()?),
        13 => Op::CountDropped(number()?),
        14 => Op::ForgetLoan(number()?),
        15 => Op::PublishTooLong(number()?),
        _ => Op::SitAsFirst(number()?),
    })
}

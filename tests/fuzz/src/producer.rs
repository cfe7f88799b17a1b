//! A producer whose other seats are full of anything: no loan fails, and an honest consumer beside them gets every frame
//! whole and counts exactly.

use arbitrary::{Result, Unstructured};
use camlane_core::{Consumer, Frame, Geometry, Loan};

use crate::access;
use crate::common::{TestLane, is_whole, publish_in, reclaim};

pub(crate) fn run(bytes: &[u8]) {
    crate::with(bytes, body);
}

fn body(input: &mut Unstructured<'_>) -> Result<()> {
    let geometry = match input.int_in_range(0..=2)? {
        0 => Geometry::new(24).seats(3).pins(2).history(2).loans(2),
        1 => Geometry::new(16).seats(2).pins(8).history(1).loans(1),
        _ => Geometry::new(40).seats(5).pins(1).history(3).loans(1).always_wake(),
    };
    let lane = TestLane::new(geometry);
    let newest = input.choose(&[0, 3, (1 << 30) - 3, (1 << 32) - 2, u64::MAX >> 2]).copied()?;
    if newest > 0 {
        lane.pretend_published(newest);
    }
    let Ok(producer) = lane.heir() else { return Ok(()) };
    let consumer = lane.consumer(0);
    // What the consumer has or has been told that it missed, since its first frame.
    let (mut expected, mut held) = (None, Vec::<Frame<'_>>::new());
    let mut loans: Vec<Loan<'_>> = Vec::new();
    let others = lane.seat_at(1)..lane.seats.len();
    for _ in 0..200 {
        if input.is_empty() {
            break;
        }
        match input.int_in_range(0..=7)? {
            0..=1 => access::change(input, &lane.seats, others.clone())?,
            2 if loans.len() < lane.shape.loans() as usize => {
                loans.push(producer.loan().expect("no consumer makes a loan fail"));
            }
            3 if !loans.is_empty() => {
                publish_in(&producer, loans.swap_remove(input.choose_index(loans.len())?));
            }
            4 if !loans.is_empty() => drop(loans.pop()),
            5 if !held.is_empty() => drop(held.swap_remove(input.choose_index(held.len())?)),
            6 => {
                // Seats of the dead are reclaimed; this consumer lives.
                let dead: u8 = input.arbitrary()?;
                reclaim(producer.seats(), |seat| seat == 0 || dead & 1 << (seat % 8) == 0);
                let _ = producer.seats().in_use().count();
            }
            7 => {
                let read = if input.arbitrary()? { Consumer::next } else { Consumer::latest };
                if let Ok(Some(frame)) = read(&consumer) {
                    let number = expected.map_or(frame.number(), |last| last + 1 + frame.missed());
                    assert_eq!(frame.number(), number, "frames and losses add up");
                    expected = Some(number);
                    held.push(frame);
                }
            }
            _ => {}
        }
        // What was there before the producer is made up, too, by the same rule.
        assert!(held.iter().all(is_whole), "a frame changed under its reader");
    }
    Ok(())
}

//! A consumer and an observer whose producer is anybody: between any two steps every word may change but those of pixels
//! that are held. No result counts, only that none reaches outside and that each comes.

use arbitrary::{Result, Unstructured};
use camlane_core::{Consumer, Frame, Geometry};

use crate::access;
use crate::common::TestLane;

pub(crate) fn run(bytes: &[u8]) {
    crate::with(bytes, body);
}

fn body(input: &mut Unstructured<'_>) -> Result<()> {
    let geometry = match input.int_in_range(0..=2)? {
        0 => Geometry::new(48).seats(2).pins(3).history(4).loans(2).user_bytes(64),
        1 => Geometry::new(7).seats(1).pins(1).history(9).loans(1),
        _ => Geometry::new(300).seats(3).pins(8).history(1).loans(3).user_bytes(10),
    };
    let lane = TestLane::new(geometry);
    if input.ratio(7, 8)? {
        lane.pretend_published(if input.arbitrary()? { 5 } else { input.int_in_range(1..=u64::MAX)? });
    }
    let (consumer, observer) = (lane.consumer(0), lane.observer());
    let mut held: Vec<Frame<'_>> = Vec::new();
    for _ in 0..100 {
        if input.is_empty() {
            break;
        }
        match input.int_in_range(0..=9)? {
            0..=2 => access::change_moving(input, &lane)?,
            3 => access::change(input, &lane.seats, 0..lane.seats.len())?,
            4 if !held.is_empty() => drop(held.swap_remove(input.choose_index(held.len())?)),
            5 => {
                let mut pixels = [0x55; 308];
                let room = input.int_in_range(0..=300)?;
                let mut user = [0; 16];
                let _ = observer.copy_newest(&mut pixels[..room], &mut user);
                assert!(pixels[room..].iter().all(|byte| *byte == 0x55));
                let _ = observer.peek_newest();
            }
            6 => {
                let bell = if input.arbitrary()? { consumer.bell() } else { input.arbitrary()? };
                let _ = consumer.fall_asleep(bell).map(|asleep| asleep.expected());
                let _ = (consumer.is_behind(), consumer.state(), consumer.position(), consumer.missed());
            }
            way => {
                let read = [Consumer::next, Consumer::newest, Consumer::latest][way % 3];
                if let Ok(Some(frame)) = read(&consumer) {
                    held.push(frame);
                }
            }
        }
        held.iter().for_each(|frame| look(frame, &lane));
        assert!(held.len() <= lane.shape.pins() as usize);
        assert_eq!(held.len(), consumer.held() as usize);
    }
    Ok(())
}

/// All that a frame gives lies in the lane.
fn look(frame: &Frame<'_>, lane: &TestLane) {
    let start = lane.data.base() as usize;
    let inside = |bytes: &[u8]| {
        let at = bytes.as_ptr() as usize;
        assert!(bytes.is_empty() || start <= at && at + bytes.len() <= start + lane.data.len());
    };
    assert!(frame.slot() < lane.shape.slots() && frame.len() <= lane.shape.slot_size() as usize);
    inside(frame);
    inside(frame.user());
    (0..5).filter_map(|plane| frame.plane(plane)).for_each(inside);
    let meta = frame.meta();
    let _ = (meta.layout.check(lane.shape.slot_size()), meta.layout.is_packed());
}

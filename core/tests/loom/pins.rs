//! Consumers that hold frames in place while the producer comes round to their slots again.

use camlane_core::{Consumer, Frame, Geometry, ReadError};
use loom::thread;
use rstest::rstest;

use crate::{Camera, Lane, explore};

fn env(name: &str, default: u64) -> u64 { std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default) }

#[test]
fn pin() {
    let bits = env("BITS", 30) as u32;
    let start = env("START", 1);
    let before = env("BEFORE", 0);
    let frames = env("FRAMES", 3);
    let reads = env("READS", 1);
    let slots = env("SLOTS", 3) as u32;
    let order = env("ORDER", 0) == 1;
    let bound = std::env::var("BOUND").ok().and_then(|v| v.parse().ok());
    let history = env("HISTORY", 1) as u32;
    explore(&format!("{:?}", (bits, start, before, frames, reads, slots, order, bound, history)), bits, bound, move || {
        let lane = Lane::new(Geometry::new(4).seats(1).pins(1).history(history).slots(slots));
        let lane = lane.get();
        let producer = lane.producer_at(start);
        let consumer = lane.consumer(0);
        for _ in 0..before { lane.publish(&producer); }
        let t = thread::spawn(move || {
            let mut first = 0;
            for _ in 0..reads {
                if let Ok(Some(frame)) = if order { consumer.next() } else { consumer.latest() } {
                    if first == 0 { first = frame.number() }
                    lane.look(&frame);
                }
            }
            if first != 0 { assert_eq!(consumer.delivered()+consumer.missed(), consumer.position()- first + 1, "COUNT"); }
            consumer
        });
        for _ in 0..frames { lane.publish(&producer); }
        let consumer = t.join().unwrap();
        let frame = consumer.newest().unwrap().expect("NEWEST FRAME IS GONE");
        assert_eq!(frame.number(), producer.published());
    });
}

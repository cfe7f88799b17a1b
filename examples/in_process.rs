//! Core alone: a whole lane on a byte array, one producer, one consumer, no operating system.
//!
//! `cargo run -p camlane-examples --example in_process`

use camlane_core::{Consumer, FrameMeta, Geometry, Lane, LaneSpec, PixelFormat, Producer};

#[repr(align(64))]
struct Memory([u8; 64 * 1024]);

fn main() -> Result<(), Box<dyn core::error::Error>> {
    let layout = PixelFormat::GRAY8.layout(96, 96, 1)?;
    let shape = Geometry::new(layout.bytes).seats(1).pins(1).shape()?;
    println!("a lane of {} slots takes {} bytes", shape.slots(), shape.footprint());

    let mut memory = Memory([0; 64 * 1024]);
    let mut lane = Lane::create_in(&mut memory.0, &LaneSpec::anonymous(shape))?;
    let producer: Producer = Producer::new(lane.producer)?;
    let consumer = Consumer::new(lane.seats.next().ok_or("no seat")?, 0);

    for brightness in 1..=3 {
        let mut loan = producer.loan()?; // ours alone until it is published or dropped
        loan[..layout.bytes as usize].fill(brightness);
        let published = producer.publish(loan, &FrameMeta::new(layout))?;
        println!("published frame {}", published.number);
    }

    let newest = consumer.latest()?.ok_or("no frame")?; // in place: no copy was made
    println!("frame {}: first pixel {}, missed {}", newest.number(), newest[0], newest.missed());
    assert_eq!((newest.number(), newest[0]), (3, 3));
    Ok(())
}

//! A producer: fills slots of shared memory in place and publishes them, 30 times a second.
//!
//! `cargo run -p camlane-examples --example produce`

use std::time::Duration;

use camlane::{Clock, FrameMeta, LaneOptions, PixelFormat, Producer, Reference, clock};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let layout = PixelFormat::GRAY8.layout(640, 480, 64)?;
    let producer = Producer::create("front-door", &LaneOptions::for_frames(&layout).rate(30, 1))?;
    for n in 0..300u32 {
        let mut loan = producer.loan()?; // ours alone; dropping it gives it back
        loan[..layout.bytes as usize].fill(n as u8); // a camera would write here

        let mut meta = FrameMeta::new(layout);
        meta.capture_ns = clock::monotonic_ns();
        (meta.clock, meta.reference) = (Clock::MONOTONIC, Reference::SYNTHETIC);
        meta.source_sequence = n;
        producer.publish(loan, &meta)?; // takes the loan, wakes whoever sleeps
        std::thread::sleep(Duration::from_millis(33));
    }
    Ok(()) // dropping the producer ends the stream
}

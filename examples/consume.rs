//! A consumer: reads the newest frames where they lie, without a copy.
//!
//! `cargo run -p camlane-examples --example consume`, while `produce` or `camlane publish front-door` runs.

use std::time::Duration;

use camlane::{ConsumerOptions, Read, WaitError};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = ConsumerOptions::new().read(Read::Latest).patience(Duration::from_secs(10));
    let mut lane = options.open("front-door")?;
    loop {
        match lane.next(Duration::from_millis(500)) {
            Ok(frame) => {
                let picture = frame.meta().layout;
                let brightness = frame.iter().map(|&byte| u64::from(byte)).sum::<u64>() / frame.len() as u64;
                println!(
                    "frame {}: {} {}x{}, mean {brightness}, missed {}, {:?} old",
                    frame.number(),
                    picture.format,
                    picture.width,
                    picture.height,
                    frame.missed(),
                    frame.age(),
                );
            } // dropping the frame releases it
            Err(WaitError::TimedOut | WaitError::ProducerGone) => eprintln!("waiting for the producer"),
            Err(WaitError::Closed) => return Ok(()), // it left for good; a restart is followed by itself
            Err(error) => return Err(error.into()),
        }
    }
}

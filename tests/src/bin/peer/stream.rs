//! The peer as an end of a byte stream, whose every byte follows from its place.

use std::time::Duration;

use camlane::{Error, StreamOptions, StreamReader, StreamWriter, WaitError};

use crate::Peer;

/// Bytes between the two ends.
const CAPACITY: u32 = 4096;

/// The byte at a place of the stream.
const fn byte(place: u64) -> u8 {
    (place ^ place >> 8) as u8
}

impl Peer {
    pub(crate) fn stream_create(&mut self, name: &str) -> Result<String, Error> {
        self.stream_writer = Some(StreamWriter::create(name, &StreamOptions::new(CAPACITY))?);
        self.moved.0 = 0;
        Ok("ok".to_owned())
    }

    pub(crate) fn stream_open(&mut self, name: &str) -> Result<String, Error> {
        self.stream_reader = Some(StreamReader::open(name, Duration::ZERO)?);
        self.moved.1 = 0;
        Ok("ok".to_owned())
    }

    pub(crate) fn stream_write(&mut self, count: u64, millis: u64) -> Result<String, Error> {
        let place = self.moved.0;
        let bytes: Vec<u8> = (place..place + count).map(byte).collect();
        let writer = self.stream_writer.as_mut().expect("a writer");
        let done = match writer.write(&bytes, Duration::from_millis(millis)) {
            Ok(done) => done as u64,
            Err(error) => return ended(error),
        };
        self.moved.0 += done;
        Ok(format!("ok bytes={done}"))
    }

    pub(crate) fn stream_read(&mut self, most: u64, millis: u64) -> Result<String, Error> {
        let mut into = vec![0; most as usize];
        let reader = self.stream_reader.as_mut().expect("a reader");
        let done = match reader.read(&mut into, Duration::from_millis(millis)) {
            Ok(done) => done as u64,
            Err(error) => return ended(error),
        };
        let place = self.moved.1;
        self.moved.1 += done;
        let right = into.iter().zip(place..place + done).all(|(&found, place)| found == byte(place));
        Ok(if right { format!("ok bytes={done}") } else { format!("wrong bytes after {place}") })
    }
}

fn ended(error: WaitError) -> Result<String, Error> {
    match error {
        WaitError::TimedOut => Ok("ok timed-out bytes=0".to_owned()),
        WaitError::Closed => Ok("closed".to_owned()),
        WaitError::ProducerGone => Ok("gone".to_owned()),
        WaitError::Other(error) => Err(error),
        other => panic!("{other}"),
    }
}

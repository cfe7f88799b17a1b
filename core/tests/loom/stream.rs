//! The byte stream: every byte arrives, once, in order, and nobody sleeps through bytes or room.

use std::mem::forget;

use camlane_core::Geometry;
use camlane_core::model::ModelLane;
use camlane_core::stream::{StreamReader, StreamWriter};
use loom::cell::UnsafeCell;
use loom::thread;

use crate::{Kept, explore};

const CAPACITY: u32 = 2;
/// Just below the wrap of 32 bits.
const START: u32 = u32::MAX;

struct Stream {
    words: ModelLane,
    bytes: Vec<UnsafeCell<u32>>,
}

// SAFETY: the cells are what the cases are about: loom checks each access.
unsafe impl Sync for Stream {}

impl Stream {
    fn new() -> Kept<Self> {
        let words = ModelLane::new(Geometry::stream(CAPACITY)).expect("a geometry");
        words.leave_position(START);
        Kept::new(Self { words, bytes: (0..CAPACITY).map(|_| UnsafeCell::new(0)).collect() })
    }

    fn ends(&'static self) -> (StreamWriter<'static>, StreamReader<'static>) {
        let writer = StreamWriter::new(self.words.producer()).expect("a stream");
        (writer, StreamReader::new(self.words.seat(0), 1).expect("a stream"))
    }

    fn byte(&self, index: u32) -> &UnsafeCell<u32> {
        &self.bytes[(START.wrapping_add(index) % CAPACITY) as usize]
    }

    /// Writes what there is room for, `most` bytes; `from` bytes went before. Returns how many did now, and whether the
    /// reader sleeps.
    fn write(&self, writer: &mut StreamWriter<'_>, from: u32, most: u32) -> (u32, bool) {
        let grant = writer.grant(most).expect("CORRUPT");
        let upto = from + grant.len();
        // SAFETY: loom panics if an access is not ordered with this one.
        (from..upto).for_each(|index| self.byte(index).with_mut(|byte| unsafe { *byte = index }));
        (upto, grant.commit(upto - from).expect("granted").asleep)
    }

    /// Reads what there is, `most` bytes; `from` bytes went before. Returns how many did now, and whether the writer
    /// sleeps.
    fn read(&self, reader: &mut StreamReader<'_>, from: u32, most: u32) -> (u32, bool) {
        let grant = reader.read().expect("CORRUPT");
        let upto = from + grant.len().min(most);
        for index in from..upto {
            // SAFETY: loom panics if a write is not ordered with this read.
            self.byte(index).with(|byte| assert_eq!(unsafe { *byte }, index, "WRONG BYTE"));
        }
        (upto, grant.release(upto - from).expect("granted").asleep)
    }
}

#[test]
fn every_byte_arrives_once_and_in_order() {
    explore("a byte stream across the wrap", 30, None, || {
        let stream = Stream::new();
        let stream = stream.get();
        let (mut writer, mut reader) = stream.ends();
        let other = thread::spawn(move || {
            let read = (0..3).fold(0, |read, _| stream.read(&mut reader, read, CAPACITY).0);
            (reader, read)
        });
        let written = (0..3).fold(0, |written, _| stream.write(&mut writer, written, CAPACITY).0);
        let (mut reader, read) = other.join().expect("no panic");
        assert_eq!(stream.read(&mut reader, read, CAPACITY).0, written, "BYTES LOST");
    });
}

/// As for the bell of a lane: who sleeps at a value of the bell was seen by whoever changed it after that.
fn check_wake_ups(asleep_at: Option<u32>, rings: [bool; 2]) {
    if let Some(bell) = asleep_at {
        assert_ne!(bell, 2, "SLEEPS ALTHOUGH SOMETHING CAME");
        assert!(rings.iter().zip(1..).any(|(&asleep, after)| asleep && after > bell), "LOST WAKE-UP");
    }
}

#[test]
fn a_reader_does_not_sleep_through_bytes() {
    explore("the bell of a stream", 30, Some(5), || {
        let stream = Stream::new();
        let stream = stream.get();
        let (mut writer, mut reader) = stream.ends();
        let other = thread::spawn(move || {
            let mut read = 0;
            for _ in 0..2 {
                let bell = reader.bell();
                read = stream.read(&mut reader, read, CAPACITY).0;
                if read == CAPACITY {
                    return None;
                }
                if let Some(asleep) = reader.fall_asleep(bell) {
                    let expected = asleep.expected();
                    forget(asleep);
                    return Some(expected);
                }
            }
            None
        });
        let rings = [0, 1].map(|written| stream.write(&mut writer, written, 1).1);
        check_wake_ups(other.join().expect("no panic"), rings);
    });
}

#[test]
fn a_writer_does_not_sleep_through_room() {
    explore("the bell of a stream's reader", 30, Some(5), || {
        let stream = Stream::new();
        let stream = stream.get();
        let (mut writer, mut reader) = stream.ends();
        let mut written = stream.write(&mut writer, 0, CAPACITY).0;
        let other = thread::spawn(move || {
            for _ in 0..2 {
                let bell = writer.bell();
                written = stream.write(&mut writer, written, CAPACITY).0;
                if written == 2 * CAPACITY {
                    return None;
                }
                if let Some(asleep) = writer.fall_asleep(bell) {
                    let expected = asleep.expected();
                    forget(asleep);
                    return Some(expected);
                }
            }
            None
        });
        let rings = [0, 1].map(|read| stream.read(&mut reader, read, 1).1);
        check_wake_ups(other.join().expect("no panic"), rings);
    });
}

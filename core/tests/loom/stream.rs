//! The byte stream: every byte arrives, once, in order, and nobody sleeps through bytes or room.

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

    /// Writes what there is room for; `from` bytes went before.
    fn write(&self, writer: &mut StreamWriter<'_>, from: u32) -> (u32, bool) {
        let grant = writer.grant(CAPACITY).expect("CORRUPT");
        let upto = from + grant.len();
        // SAFETY: loom panics if an access is not ordered with this one.
        (from..upto).for_each(|index| self.byte(index).with_mut(|byte| unsafe { *byte = index }));
        let room = grant.len();
        (upto, grant.commit(room).expect("granted").asleep)
    }

    /// Reads what there is; `from` bytes went before.
    fn read(&self, reader: &mut StreamReader<'_>, from: u32) -> (u32, bool) {
        let grant = reader.read().expect("CORRUPT");
        let upto = from + grant.len();
        for index in from..upto {
            // SAFETY: loom panics if a write is not ordered with this read.
            self.byte(index).with(|byte| assert_eq!(unsafe { *byte }, index, "WRONG BYTE"));
        }
        let available = grant.len();
        (upto, grant.release(available).expect("granted").asleep)
    }
}

#[test]
fn every_byte_arrives_once_and_in_order() {
    explore("a byte stream across the wrap", 30, None, || {
        let stream = Stream::new();
        let stream = stream.get();
        let (mut writer, mut reader) = stream.ends();
        let other = thread::spawn(move || {
            let read = (0..3).fold(0, |read, _| stream.read(&mut reader, read).0);
            (reader, read)
        });
        let written = (0..3).fold(0, |written, _| stream.write(&mut writer, written).0);
        let (mut reader, read) = other.join().expect("no panic");
        assert_eq!(stream.read(&mut reader, read).0, written, "BYTES LOST");
    });
}

//! The byte stream behind a pthread mutex, beside the programs that use it.

use std::time::{Duration, Instant};

use camlane::legacy::{Access, Error, Object, SyncOptions, SyncReader, SyncWriter};
use camlane_tests::peer::Peer;
use camlane_tests::wait::wait_until;

use super::{LONG, SHORT, TestObject, kill, run};

fn old(role: &str, object: &TestObject) -> Peer {
    run("sharesync.cpp", &[role, &object.text()])
}

fn reader(object: &TestObject) -> SyncReader {
    SyncReader::open(object, LONG).unwrap()
}

fn writer(object: &TestObject) -> SyncWriter {
    SyncOptions::new().create(object).unwrap()
}

fn read(reader: &mut SyncReader, len: usize) -> String {
    let mut bytes = vec![0; len];
    let mut done = 0;
    while done < len {
        done += reader.read(&mut bytes[done..], LONG).unwrap();
    }
    String::from_utf8(bytes).unwrap()
}

#[test]
fn the_struct_has_the_size_that_camlane_says() {
    let object = TestObject::new();
    let mut peer = Peer::run(
        std::process::Command::new(super::program("sharesync.cpp")).args(["write", &object.text()]),
    );
    let sizes = peer.answer().unwrap();
    assert_eq!((sizes.number("size"), sizes.number("total")), (56, 10_485_816));
}

#[test]
fn every_message_of_an_old_writer_arrives_the_last_one_too() {
    let object = TestObject::new();
    let mut old = old("write", &object);
    let mut reader = reader(&object);
    for n in 0..20 {
        old.must(&format!("write {n:05}"));
    }
    for n in 0..20 {
        assert_eq!(read(&mut reader, 5), format!("{n:05}"));
    }
    let error = reader.read(&mut [0; 5], SHORT).unwrap_err();
    assert!(matches!(error, Error::TimedOut { .. }), "{error}");
    assert_eq!(reader.backlog().unwrap(), 0);
}

#[test]
fn an_old_reader_gets_what_camlane_writes_up_to_its_own_last_message_rule() {
    let object = TestObject::new();
    let mut writer = writer(&object);
    let mut old = old("read", &object);
    for n in 0..10 {
        writer.write(format!("{n:05}").as_bytes(), LONG).unwrap();
    }
    for n in 0..9 {
        assert!(old.must("read").says(&format!("text={n:05}")));
    }
    assert_eq!(writer.backlog().unwrap(), 5);
    assert!(old.must("read").0.ends_with("text=")); // `writed > 5`: theirs to mend
    writer.write(b"00010", LONG).unwrap();
    assert!(old.must("read").says("text=00009"));
}

#[test]
fn a_reader_that_came_before_the_writer_gets_its_messages() {
    let object = TestObject::new();
    let mut old = old("read", &object); // makes the object, with a mutex of zeros
    let early = SyncReader::open(&object, SHORT).unwrap_err();
    assert!(matches!(early, Error::Uninitialised { kind: 0, .. }), "{early}");
    let mut writer = writer(&object);
    writer.write(b"helloworld", LONG).unwrap();
    assert!(old.must("read").says("text=hello"));
    let mut ours = TestObject::new();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| read(&mut reader(&ours), 3));
        let mut writer = SyncOptions::new().create(&ours).unwrap();
        writer.write(b"abc", LONG).unwrap();
        assert_eq!(waiting.join().unwrap(), "abc");
    });
    ours = object;
    drop(ours);
}

#[test]
fn the_mutex_of_a_dead_holder_is_taken_from_it_when_nobody_else_is_there() {
    let object = TestObject::new();
    let mut old = old("write", &object);
    old.must("write hello");
    let mut reader = reader(&object);
    old.must("hold");
    let began = Instant::now();
    let held = reader.read(&mut [0; 5], SHORT).unwrap_err();
    assert!(matches!(&held, Error::Held { holder, .. } if holder.contains("sharesync")), "{held}");
    assert!(began.elapsed() >= SHORT);
    kill(old);
    assert_eq!(read(&mut reader, 5), "hello");
    assert_eq!(reader.recovered(), 1);
}

#[test]
fn the_mutex_of_a_dead_holder_is_reported_while_others_are_there_and_broken_when_told() {
    let object = TestObject::new();
    let mut writer = writer(&object);
    let mut blocked = old("read", &object);
    let mut holder = old("read", &object);
    writer.write(b"helloworld", LONG).unwrap();
    holder.must("hold");
    kill(holder);
    blocked.tell("read"); // blocks, as theirs does for ever
    let gone = writer.write(b"x", SHORT).unwrap_err();
    assert!(matches!(gone, Error::HolderGone { .. }), "{gone}");
    assert!(writer.break_lock().unwrap());
    assert!(blocked.answer().unwrap().says("text=hello"));
    writer.write(b"x", LONG).unwrap();
    assert!(!writer.break_lock().unwrap()); // nothing to break
    assert_eq!(writer.recovered(), 1);
}

#[test]
fn a_living_holder_is_waited_for_and_its_lock_is_never_broken() {
    let object = TestObject::new();
    let mut writer = writer(&object);
    let mut old = old("read", &object);
    old.must("hold");
    let held = writer.write(b"hello", SHORT).unwrap_err();
    assert!(matches!(held, Error::Held { .. }), "{held}");
    assert!(!writer.break_lock().unwrap());
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| writer.write(b"hello!", LONG));
        old.must("release");
        waiting.join().unwrap().unwrap();
    });
    assert!(old.must("read").says("text=hello"));
}

#[test]
fn the_stream_stops_at_the_end_of_its_object() {
    let object = TestObject::new();
    let mut writer = SyncOptions::new().capacity(16).create(&object).unwrap();
    let mut reader = reader(&object);
    writer.write(b"0123456789", LONG).unwrap();
    let full = writer.write(b"0123456", LONG).unwrap_err();
    assert!(matches!(full, Error::Full { bytes: 7, room: 6, .. }), "{full}");
    writer.write(b"abcdef", LONG).unwrap();
    assert_eq!(read(&mut reader, 16), "0123456789abcdef");
    assert!(matches!(writer.write(b"x", LONG), Err(Error::Full { room: 0, .. }))); // consumed, but it never wraps
    assert_eq!(Object::open(&object, Access::Read).unwrap().len().unwrap(), 56 + 16);
    // On to a new stream: the reader moves when it has read the old one.
    let mut writer = SyncOptions::new().capacity(16).replace().create(&object).unwrap();
    writer.write(b"again", LONG).unwrap();
    assert_eq!((read(&mut reader, 5).as_str(), reader.restarts()), ("again", 1));
}

#[test]
fn both_ends_can_be_restarted_and_go_on_where_they_were() {
    let object = TestObject::new();
    writer(&object).write(b"aaaabbbb", LONG).unwrap();
    assert_eq!(read(&mut reader(&object), 4), "aaaa");
    writer(&object).write(b"cccc", LONG).unwrap();
    assert_eq!(read(&mut reader(&object), 4), "bbbb");
    assert_eq!(read(&mut reader(&object), 4), "cccc");
    writer(&object).write(b"dddd", LONG).unwrap();
    assert_eq!(read(&mut reader(&object), 4), "dddd");
    assert_eq!(writer(&object).room(), (10 << 20) - 16);
}

#[test]
fn one_camlane_end_of_each_kind_at_a_time() {
    let object = TestObject::new();
    let _writer = writer(&object);
    let second = SyncOptions::new().create(&object).unwrap_err();
    assert!(matches!(second, Error::Taken { .. }), "{second}");
    let _reader = reader(&object);
    let second = SyncReader::open(&object, SHORT).unwrap_err();
    assert!(matches!(second, Error::Taken { .. }), "{second}");
}

#[test]
fn a_stream_in_which_only_old_programs_wrote_is_not_continued_by_guessing() {
    let object = TestObject::new();
    let mut old_writer = old("write", &object);
    old_writer.must("write hello");
    let unknown = SyncOptions::new().create(&object).unwrap_err();
    assert!(matches!(unknown, Error::PositionUnknown { .. }), "{unknown}");
    kill(old_writer); // nobody is there any more: a new stream harms nobody
    let mut writer = writer(&object);
    writer.write(b"new", LONG).unwrap();
    assert_eq!(read(&mut reader(&object), 3), "new");
}

#[test]
fn a_count_that_makes_no_sense_is_refused() {
    let object = TestObject::new();
    let mut old = old("write", &object);
    let mut reader = reader(&object);
    for count in [-5, 10 << 20 | 1] {
        old.must(&format!("set {count}"));
        let corrupt = reader.read(&mut [0; 5], SHORT).unwrap_err();
        assert!(matches!(corrupt, Error::Corrupt { .. }), "{count}: {corrupt}");
    }
}

#[test]
fn an_object_that_is_cut_is_an_error() {
    let object = TestObject::new();
    let mut writer = writer(&object);
    let mut reader = reader(&object);
    writer.write(b"hello", LONG).unwrap();
    Object::open(&object, Access::Write).unwrap().truncate(20).unwrap();
    assert!(matches!(writer.write(b"hello", SHORT), Err(Error::TooShort { .. })));
    assert!(matches!(reader.read(&mut [0; 5], SHORT), Err(Error::TooShort { .. })));
}

#[test]
fn a_flood_from_writers_that_are_killed_arrives_in_order_and_never_blocks() {
    let object = TestObject::new();
    let mut flood: Option<Flood> = None;
    for round in 0..12 {
        let mut old = old("write", &object); // a new object under the name, each time
        old.must("flood 1000000");
        let flood = flood.get_or_insert_with(|| Flood { reader: reader(&object), next: 0, stream: 0 });
        let least = 500 + 97 * round;
        wait_until("messages of this stream come", || {
            flood.read();
            (flood.stream, flood.next >= least) == (round as u32, true)
        });
        kill(old); // wherever it is: often with the mutex in its hand
        wait_until("the rest is read", || flood.read() == 0);
    }
}

/// Reads numbered messages of 8 bytes, and fails unless they rise by one from 0 in each stream.
struct Flood {
    reader: SyncReader,
    next: u64,
    stream: u32,
}

impl Flood {
    fn read(&mut self) -> usize {
        let mut bytes = vec![0; 64 * 1024];
        let count = match self.reader.read(&mut bytes, Duration::from_millis(100)) {
            Ok(count) => count,
            Err(Error::TimedOut { .. }) => return 0,
            Err(error) => panic!("{error}"),
        };
        if std::mem::replace(&mut self.stream, self.reader.restarts()) != self.stream {
            self.next = 0;
        }
        let (messages, rest) = bytes[..count].as_chunks::<8>();
        assert!(rest.is_empty(), "messages are appended whole");
        for message in messages {
            assert_eq!(std::str::from_utf8(message).unwrap(), format!("{:08}", self.next));
            self.next += 1;
        }
        count
    }
}

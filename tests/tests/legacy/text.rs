//! A message in an object, beside the programs that create, open and print it.

use std::sync::atomic::{AtomicBool, Ordering};

use camlane::legacy::{Error, Object, Opened, Text};
use rstest::rstest;

use super::{Ends, TestObject, kill, run};

#[test]
fn whoever_comes_first_creates_and_both_sides_read_what_the_other_wrote() {
    let object = TestObject::new();
    let mut old = run("text.c", &[&object.text()]);
    assert_eq!(old.must("create").number("create"), 1);
    old.must("set write-by-t08");
    let (text, opened) = Text::open_or_create(&object, 0o600).unwrap();
    assert_eq!((opened, text.get().unwrap()), (Opened::Existing, b"write-by-t08".to_vec()));
    text.set(b"an answer").unwrap();
    assert_eq!(old.must("get").0, "ok an answer");
}

#[test]
fn an_old_program_finds_what_camlane_made_and_left() {
    let object = TestObject::new();
    {
        let (text, opened) = Text::open_or_create(&object, 0o600).unwrap();
        assert_eq!((opened, text.get().unwrap()), (Opened::Created, Vec::new()));
        text.set("gr\u{fc}\u{df}e".as_bytes()).unwrap();
    }
    let mut old = run("text.c", &[&object.text()]);
    assert_eq!(old.must("create").number("create"), 0);
    assert_eq!(old.must("get").0, "ok gr\u{fc}\u{df}e");
    drop(old);
    assert_eq!(Text::open(&object).unwrap().get().unwrap(), "gr\u{fc}\u{df}e".as_bytes());
}

#[test]
fn the_second_run_of_a_writer_works_as_the_first() {
    let object = TestObject::new();
    for message in ["first", "second", ""] {
        let (text, _) = Text::open_or_create(&object, 0o600).unwrap();
        text.set(message.as_bytes()).unwrap();
        assert_eq!(text.get().unwrap(), message.as_bytes());
    }
}

#[test]
fn an_object_that_is_not_there_or_not_sized_yet_is_an_error_by_name() {
    let object = TestObject::new();
    assert_eq!(Text::open(&object).unwrap_err().name(), Some("ENOENT"));
    let mut old = run("text.c", &[&object.text()]);
    old.must("unsized");
    let (text, opened) = Text::open_or_create(&object, 0o600).unwrap();
    assert_eq!(opened, Opened::Existing);
    assert!(matches!(text.get(), Err(Error::TooShort { needed: 1, found: 0, .. })));
    assert!(matches!(text.set(b"x"), Err(Error::TooShort { .. })));
}

#[test]
fn a_message_without_an_end_is_read_to_the_end_of_the_object_and_not_beyond() {
    let object = TestObject::new();
    let mut old = run("text.c", &[&object.text()]);
    old.must("create");
    old.must("fill");
    assert_eq!(Text::open(&object).unwrap().get().unwrap(), [b'A'; 1024]);
}

#[rstest]
#[case::fits(vec![b'x'; 1023], true)]
#[case::no_room_for_its_nul(vec![b'x'; 1024], false)]
#[case::nul_inside(b"a\0b".to_vec(), false)]
fn a_message_fits_or_is_refused_whole(#[case] message: Vec<u8>, #[case] fits: bool) {
    let object = TestObject::new();
    let (text, _) = Text::open_or_create(&object, 0o600).unwrap();
    text.set(b"before").unwrap();
    assert_eq!(text.set(&message).is_ok(), fits);
    assert_eq!(text.get().unwrap(), if fits { message } else { b"before".to_vec() });
}

#[test]
fn a_message_is_never_seen_half_written() {
    let object = TestObject::new();
    let messages = [vec![b'a'; 900], vec![b'b'; 500]];
    let (text, _) = Text::open_or_create(&object, 0o600).unwrap();
    text.set(&messages[0]).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut round = 0;
            while !done.load(Ordering::Relaxed) {
                round += 1;
                text.set(&messages[round % 2]).unwrap();
            }
        });
        let reader = Text::open(&object).unwrap();
        let _ends = Ends(&done);
        let seen: Vec<_> = (0..200).map(|_| reader.get()).collect();
        for message in seen {
            assert!(messages.contains(&message.unwrap()));
        }
    });
}

#[test]
fn a_name_with_a_blank_works_and_removing_it_removes_that_one() {
    let name = format!("/Posix IPC {}", super::unique()).parse().unwrap();
    let (text, _) = Text::open_or_create(&name, 0o600).unwrap();
    text.set(b"x").unwrap();
    Object::remove(&name).unwrap();
    assert_eq!(Object::remove(&name).unwrap_err().name(), Some("ENOENT"));
}

/// As a restarted old program does it that removes the name first: who stays on the old object can know.
#[test]
fn an_object_that_another_program_replaced_is_told_apart_from_the_one_that_has_the_name() {
    let object = TestObject::new();
    let (text, _) = Text::open_or_create(&object, 0o600).unwrap();
    text.set(b"to whoever has it").unwrap();
    for round in 0..3 {
        let mut old = run("text.c", &[&object.text()]);
        assert!(text.is_current() == (round == 0));
        old.must("unlink");
        assert!(!text.is_current());
        assert_eq!(old.must("create").number("create"), 1);
        old.must("set another-object");
        kill(old);
        assert!(!text.is_current());
        assert_eq!(text.get().unwrap(), b"to whoever has it"); // still readable, and nobody else's any more
        let again = Text::open(&object).unwrap();
        assert_eq!((again.is_current(), again.get().unwrap()), (true, b"another-object".to_vec()));
    }
}

//! One picture behind a 24-byte header, beside the programs that use it.

use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use camlane::legacy::{
    Access, Error, Header24Options, Header24Reader, Header24Writer, Object, Stall, Writing,
};
use camlane::{FrameLayout, PixelFormat};
use camlane_tests::peer::Peer;
use rstest::rstest;

use super::{Ends, LONG, SHORT, TestObject, kill, run};

const SIZE: (u32, u32) = (64, 48);

fn layout() -> FrameLayout {
    PixelFormat::BGR8.layout(SIZE.0, SIZE.1, 1).unwrap()
}

fn old_writer(object: &TestObject) -> Peer {
    run("header24_writer.cpp", &[&object.text(), "64", "48"])
}

fn old_reader(object: &TestObject) -> Peer {
    run("header24_reader.cpp", &[&object.text(), "64", "48"])
}

fn writer(object: &TestObject) -> Header24Writer {
    Header24Options::new().create(object, &layout()).unwrap()
}

fn publish(writer: &mut Header24Writer, value: u8) -> i64 {
    writer.publish(&layout(), &vec![value; layout().bytes as usize]).unwrap()
}

/// Fails unless all bytes of the frame are the same.
#[track_caller]
fn whole(pixels: &[u8]) -> u8 {
    let value = pixels[0];
    let other = pixels.iter().position(|&byte| byte != value);
    assert_eq!(other, None, "a frame of {value}s has {:?}", other.map(|at| pixels[at]));
    value
}

#[test]
fn an_old_writers_frames_arrive_whole_and_in_order() {
    let object = TestObject::new();
    let mut old = old_writer(&object);
    let mut reader = Header24Reader::new(&object);
    for value in 1..=20 {
        old.must("frame");
        let frame = reader.next(LONG).unwrap();
        assert_eq!(whole(&frame.pixels), value);
        let (header, age) = (frame.header, frame.age());
        assert_eq!((header.width, header.height, header.channels, header.frame_valid), (64, 48, 3, 1));
        assert!(age < LONG, "{age:?}");
    }
}

#[rstest]
#[case::with_its_own_pause("64", "48", 1_000, 30)]
#[case::large_frames("1280", "720", 5_000, 10)]
fn a_frame_of_an_old_writer_that_never_rests_is_never_torn(
    #[case] width: &str,
    #[case] height: &str,
    #[case] pause_us: u32,
    #[case] least: usize,
) {
    let object = TestObject::new();
    let mut old = run("header24_writer.cpp", &[&object.text(), width, height]);
    let mut reader = Header24Reader::new(&object);
    let mut frames = 0;
    let began = Instant::now();
    while frames < least {
        assert!(began.elapsed() < LONG, "{frames} frames");
        old.tell(&format!("run 300 {pause_us}"));
        let end = Instant::now() + Duration::from_millis(300);
        while Instant::now() < end {
            if let Ok(frame) = reader.next(SHORT) {
                whole(&frame.pixels);
                frames += 1;
            }
        }
        assert!(old.answer().unwrap().number("frames") > 0);
    }
}

#[test]
fn a_writer_without_any_pause_gives_whole_frames_or_a_reason() {
    let object = TestObject::new();
    let mut old = run("header24_writer.cpp", &[&object.text(), "640", "480"]);
    let mut reader = Header24Reader::new(&object);
    old.tell("run 1500 0");
    let (mut frames, mut overwritten, mut discarded) = (0, 0, 0);
    while frames + overwritten == 0 || discarded == 0 {
        match reader.next(Duration::from_millis(200)) {
            Ok(frame) => {
                whole(&frame.pixels);
                (frames, discarded) = (frames + 1, discarded + frame.discarded);
            }
            Err(Stall::Overwritten { copies, .. }) => {
                (overwritten, discarded) = (overwritten + 1, discarded + copies);
            }
            Err(Stall::Ahead { .. } | Stall::HalfFrame { .. }) => overwritten += 1, // caught in one phase at each look
            Err(Stall::Stale { .. }) => break, // the 1.5 s are over: on a busy machine nothing was overwritten
            Err(error) => panic!("{error}"),
        }
    }
    assert!(old.answer().unwrap().number("frames") > 100);
    // The last frame stays, and is whole.
    old.must("frame");
    whole(&reader.next(LONG).unwrap().pixels);
}

#[test]
fn a_frame_that_is_overwritten_while_it_is_copied_is_discarded() {
    let object = TestObject::new();
    let mut old = old_writer(&object);
    let mut reader = Header24Reader::new(&object);
    old.must("frame");
    // What is asked for room comes between the look and the copy: there, the next frame begins.
    let lent = reader.next_into(SHORT, |layout| {
        old.must("half");
        Ok(vec![0; layout.bytes as usize])
    });
    assert!(matches!(lent, Err(Stall::Overwritten { copies: 1, .. })), "{lent:?}");
    old.must("frame");
    let mut orders = ["frame"].into_iter();
    let frame = reader.next_into(LONG, |layout| {
        orders.next().map(|order| old.must(order)); // a whole new frame between look and copy
        Ok(vec![0; layout.bytes as usize])
    });
    let frame = frame.unwrap();
    assert_eq!((whole(&frame.pixels), frame.discarded), (4, 1));
}

#[test]
fn a_frame_describes_itself_as_a_lane_has_it() {
    let object = TestObject::new();
    let mut writer = writer(&object);
    let timestamp = publish(&mut writer, 1);
    let frame = Header24Reader::new(&object).next(LONG).unwrap();
    let meta = frame.meta();
    assert_eq!((meta.layout, meta.clock), (layout(), camlane::Clock::REALTIME));
    assert_eq!(meta.capture_ns, u64::try_from(timestamp).unwrap() * 1_000_000);
    writer.clear().unwrap();
    assert!(matches!(Header24Reader::new(&object).next(SHORT), Err(Stall::HalfFrame { .. })));
}

#[test]
fn a_frame_is_not_believed_before_its_millisecond_is_over() {
    let object = TestObject::new();
    let mut old = old_writer(&object);
    let mut reader = Header24Reader::new(&object);
    let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    old.must(&format!("frame {}", now + 700));
    assert!(matches!(reader.next(SHORT), Err(Stall::Ahead { ahead_ms, .. }) if ahead_ms <= 700));
    let frame = reader.next(LONG).unwrap();
    assert_eq!(frame.header.timestamp_ms, now + 700);
    assert!(
        std::time::UNIX_EPOCH.elapsed().unwrap() > Duration::from_millis(u64::try_from(now).unwrap() + 700)
    );
}

#[test]
fn half_a_frame_stale_gone_and_absent_are_told_apart() {
    let object = TestObject::new();
    let mut reader = Header24Reader::new(&object);
    assert!(matches!(reader.next(SHORT), Err(Stall::Absent { .. })));

    let mut old = old_writer(&object);
    assert!(matches!(reader.next(SHORT), Err(Stall::HalfFrame { writing: Writing::Possible, .. })));
    old.must("frame");
    reader.next(LONG).unwrap();
    assert!(matches!(reader.next(SHORT), Err(Stall::Stale { writing: Writing::Possible, .. })));
    kill(old); // between two frames
    let error = reader.next(SHORT).unwrap_err();
    assert!(
        matches!(error, Stall::Stale { writing: Writing::Impossible, age, .. } if age >= SHORT),
        "{error}"
    );

    let mut old = old_writer(&object);
    old.must("half");
    assert!(matches!(reader.next(SHORT), Err(Stall::HalfFrame { writing: Writing::Possible, .. })));
    kill(old); // in the middle of a frame
    let error = reader.next(SHORT).unwrap_err();
    assert!(matches!(error, Stall::HalfFrame { writing: Writing::Impossible, .. }), "{error}");

    Object::remove(&object).unwrap();
    assert!(matches!(reader.next(SHORT), Err(Stall::Gone { .. })));
}

#[test]
fn a_writer_that_comes_again_is_followed_to_its_new_object() {
    let object = TestObject::new();
    let mut reader = Header24Reader::new(&object);
    for round in 0..5 {
        let mut old = old_writer(&object); // removes the name and makes it anew
        old.must("frame");
        let frame = reader.next(LONG).unwrap();
        assert_eq!((whole(&frame.pixels), frame.replaced), (1, round > 0));
        old.must("frame");
        assert!(!reader.next(LONG).unwrap().replaced);
        kill(old);
    }
}

#[test]
fn an_object_that_is_cut_is_an_error_until_it_is_whole_again() {
    let object = TestObject::new();
    let mut old = old_writer(&object);
    let mut reader = Header24Reader::new(&object);
    old.must("frame");
    reader.next(LONG).unwrap();
    for bytes in [5000, 10, 0] {
        old.must(&format!("cut {bytes}"));
        let cut = reader.next(SHORT);
        // With the header whole, the frame that was delivered is simply still there.
        let stale = matches!(cut, Err(Stall::Stale { .. }));
        let short = matches!(cut, Err(Stall::Other(Error::TooShort { .. })));
        assert!(if bytes >= 24 { stale } else { short }, "{bytes}: {cut:?}");
    }
    old.must("cut 9240");
    old.must("frame");
    assert_eq!(whole(&reader.next(LONG).unwrap().pixels), 2);
}

#[test]
fn a_header_that_promises_more_than_the_object_has_is_refused() {
    let object = TestObject::new();
    let mut old = old_writer(&object);
    let mut reader = Header24Reader::new(&object);
    old.must("frame");
    old.must("header 64 4800");
    assert!(matches!(reader.next(SHORT), Err(Stall::Other(Error::TooShort { found: 9240, .. }))));
    old.must("header -64 48");
    assert!(matches!(reader.next(SHORT), Err(Stall::Other(Error::Header24 { .. }))));
}

#[test]
fn python_reads_and_writes_the_same_bytes() {
    let object = TestObject::new();
    let mut writer = writer(&object);
    let mut python = run("header24.py", &["read", &object.text(), "64", "48"]);
    for value in [7, 250] {
        let timestamp = publish(&mut writer, value);
        let seen = python.must("look");
        assert_eq!((seen.number("width"), seen.number("height"), seen.number("channels")), (64, 48, 3));
        assert_eq!(seen.number("timestamp"), u64::try_from(timestamp).unwrap());
        assert_eq!((seen.number("valid"), seen.number("whole"), seen.number("again")), (1, 1, 1));
        assert_eq!(seen.number("first"), value.into());
    }
    drop(writer);

    let mut python = run("header24.py", &["write", &object.text(), "64", "48"]);
    let mut reader = Header24Reader::new(&object);
    python.must("frame 99");
    assert_eq!(whole(&reader.next(LONG).unwrap().pixels), 99);
}

#[test]
fn a_careful_old_reader_of_a_camlane_writer_gets_no_torn_frame() {
    let object = TestObject::new();
    let options = Header24Options::new().valid_for(Duration::ZERO); // the worst that can be asked for
    let mut writer = options.create(&object, &layout()).unwrap();
    let mut old = old_reader(&object);
    publish(&mut writer, 1);
    let began = Instant::now();
    let (mut published, mut checked, mut different) = (0u64, 0, 0);
    while checked < 1_000 || different < 100 {
        assert!(began.elapsed() < LONG, "{checked} checked, {different} different");
        old.tell("run 300");
        let end = Instant::now() + Duration::from_millis(300);
        while Instant::now() < end {
            published += 1;
            publish(&mut writer, (published % 251) as u8);
        }
        let counts = old.answer().unwrap();
        assert_eq!(counts.number("checked_torn"), 0, "{counts:?}");
        (checked, different) = (checked + counts.number("checked"), different + counts.number("different"));
    }
    assert!(published > 100);
}

#[test]
fn a_camlane_reader_of_a_camlane_writer_at_full_speed_gets_no_torn_frame() {
    let object = TestObject::new();
    let mut writer =
        Header24Options::new().valid_for(Duration::from_micros(200)).create(&object, &layout()).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut n = 0u8;
            while !done.load(Ordering::Relaxed) {
                n = n.wrapping_add(1);
                publish(&mut writer, n);
            }
        });
        let _ends = Ends(&done);
        let mut reader = Header24Reader::new(&object);
        for _ in 0..100 {
            whole(&reader.next(LONG).unwrap().pixels);
        }
    });
}

#[test]
fn no_two_frames_have_the_same_time_and_each_stays_valid_a_while() {
    let object = TestObject::new();
    let mut fast = Header24Options::new().valid_for(Duration::ZERO).create(&object, &layout()).unwrap();
    let times: Vec<i64> = (0..200).map(|n| publish(&mut fast, n)).collect();
    assert!(times.is_sorted_by(|a, b| a < b), "{times:?}");
    drop(fast);

    let mut writer = writer(&object);
    publish(&mut writer, 1);
    let began = Instant::now();
    for n in 0..20 {
        publish(&mut writer, n);
    }
    assert!(began.elapsed() >= Duration::from_millis(20));
}

#[test]
fn frames_of_one_time_across_two_writers_differ_too() {
    let object = TestObject::new();
    let ahead = {
        let mut first =
            Header24Options::new().keep().valid_for(Duration::ZERO).create(&object, &layout()).unwrap();
        (0..500).map(|n| publish(&mut first, n as u8)).last().unwrap()
    };
    let mut second = writer(&object);
    assert!(publish(&mut second, 1) > ahead);
}

#[test]
fn a_name_that_another_program_writes_is_not_taken_unless_that_is_asked_for() {
    let object = TestObject::new();
    let first = writer(&object);
    let refused = Header24Options::new().create(&object, &layout());
    assert!(matches!(refused, Err(Error::Taken { .. })), "{refused:?}");
    drop(first);

    let mut old = old_writer(&object);
    old.must("frame");
    let refused = Header24Options::new().create(&object, &layout()).unwrap_err();
    assert!(refused.to_string().contains("open for writing"), "{refused}");
    let mut reader = old_reader(&object);
    assert_eq!(reader.must("look").number("valid"), 1);
    let mut forced = Header24Options::new().replace().create(&object, &layout()).unwrap();
    assert_eq!(reader.must("look").number("valid"), 0); // the old object has no frame any more
    publish(&mut forced, 9);
    assert_eq!(old_reader(&object).must("look").number("first"), 9);
}

#[test]
fn the_object_of_a_dead_writer_is_used_again_so_that_its_readers_go_on() {
    let object = TestObject::new();
    let mut old = old_writer(&object);
    old.must("frame");
    let mut reader = old_reader(&object);
    kill(old);
    let mut writer = writer(&object);
    assert_eq!(reader.must("look").number("valid"), 0);
    publish(&mut writer, 77);
    let seen = reader.must("look");
    assert_eq!((seen.number("valid"), seen.number("first"), seen.number("last")), (1, 77, 77));
}

#[test]
fn permissions_are_as_asked_and_the_umask_changes_nothing() {
    let object = TestObject::new();
    let mode = |object: &TestObject| std::fs::metadata(object.path()).unwrap().permissions().mode() & 0o7777;
    drop(Header24Options::new().keep().create(&object, &layout()).unwrap());
    assert_eq!(mode(&object), 0o600);
    let _writer = Header24Options::new().mode(0o666).create(&object, &layout()).unwrap(); // in the same object
    assert_eq!(mode(&object), 0o666);
    let fresh = TestObject::new();
    let _writer = Header24Options::new().mode(0o666).create(&fresh, &layout()).unwrap();
    assert_eq!(mode(&fresh), 0o666);
}

#[test]
fn whoever_opens_the_name_at_any_moment_finds_a_complete_object() {
    let object = TestObject::new();
    let sizes = [(64, 48), (320, 240), (8, 8)]
        .map(|(width, height)| PixelFormat::BGR8.layout(width, height, 1).unwrap());
    let done = AtomicBool::new(false);
    drop(Header24Options::new().keep().create(&object, &sizes[0]).unwrap());
    std::thread::scope(|scope| {
        let looker = scope.spawn(|| {
            let mut looks = 0;
            while !done.load(Ordering::Relaxed) {
                let found = Object::open(&object, Access::Read).expect("the name is always there");
                let mut header = [0; 24];
                assert_eq!(found.read_at(0, &mut header).unwrap(), 24);
                let layout =
                    camlane::legacy::Header24::from_bytes(header).layout().expect("a header from the start");
                assert_eq!(found.len().unwrap(), 24 + u64::from(layout.bytes));
                looks += 1;
            }
            looks
        });
        let ends = Ends(&done);
        for round in 0..300 {
            let mut writer = Header24Options::new()
                .keep()
                .valid_for(Duration::ZERO)
                .create(&object, &sizes[round % 3])
                .unwrap();
            for layout in [sizes[round % 3], sizes[(round + 1) % 3]] {
                writer.publish(&layout, &vec![1; layout.bytes as usize]).unwrap();
            }
            if looker.is_finished() {
                break;
            }
        }
        drop(ends);
        assert!(looker.join().unwrap() > 0);
    });
}

#[test]
fn a_writer_removes_its_name_unless_told_to_keep_it_and_no_name_but_its_own() {
    let object = TestObject::new();
    let mut kept = Header24Options::new().keep().create(&object, &layout()).unwrap();
    publish(&mut kept, 5);
    drop(kept);
    assert_eq!(whole(&Header24Reader::new(&object).next(LONG).unwrap().pixels), 5);
    let mut writer = writer(&object);
    publish(&mut writer, 6);
    let mut reader = old_reader(&object);
    drop(writer);
    assert_eq!(reader.must("look").number("valid"), 0);
    assert!(matches!(Object::open(&object, Access::Read), Err(error) if error.is_not_found()));

    let first = self::writer(&object);
    let _second = Header24Options::new().replace().create(&object, &layout()).unwrap();
    drop(first);
    assert!(object.identity().is_some());
}

#[test]
fn padded_rows_are_packed_and_other_formats_refused() {
    let object = TestObject::new();
    let padded = PixelFormat::BGR8.layout(5, 3, 64).unwrap();
    let mut pixels = vec![0xee; padded.bytes as usize];
    for (row, line) in pixels.chunks_mut(64).enumerate() {
        line[..15].fill(row as u8 + 1);
    }
    let mut writer = Header24Options::new().create(&object, &padded).unwrap();
    writer.publish(&padded, &pixels).unwrap();
    let frame = Header24Reader::new(&object).next(LONG).unwrap();
    assert_eq!(frame.pixels, [[1; 15], [2; 15], [3; 15]].concat());
    let short = writer.publish(&padded, &pixels[..100]).unwrap_err();
    assert!(matches!(short, Error::Lane(camlane::Error::Size { needed: 192, found: 100, .. })), "{short}");
    let yuyv = PixelFormat::YUYV.layout(4, 4, 1).unwrap();
    assert!(matches!(writer.publish(&yuyv, &[0; 32]), Err(Error::Header24 { .. })));
}

/// As people run it: killed by hand or by a watchdog at any moment, and started again.
#[test]
fn a_writer_killed_at_any_moment_and_started_again_costs_frames_and_never_a_whole_one() {
    let object = TestObject::new();
    let mut reader = Header24Reader::new(&object);
    let (mut seen, mut half, mut replaced) = (0, 0, 0);
    for round in 0..30 {
        let mut old = old_writer(&object);
        old.must("frame");
        old.tell("run 60000 300"); // far longer than it will live
        let began = Instant::now();
        let mut frames = 0;
        while frames < 3 {
            assert!(began.elapsed() < LONG, "round {round}: {frames} frames");
            match reader.next(LONG) {
                Ok(frame) => {
                    whole(&frame.pixels);
                    frames += 1;
                    replaced += u32::from(frame.replaced);
                }
                Err(Stall::Overwritten { .. }) => {}
                Err(other) => panic!("round {round}: {other}"),
            }
        }
        // Not at the end of a frame, which the reader's return would be: at any moment of the writer's next ones.
        std::thread::sleep(Duration::from_micros(37 * round));
        kill(old);
        seen += frames;
        // What it left is a frame that was not seen yet, or a reason.
        loop {
            match reader.next(SHORT) {
                Ok(frame) => _ = whole(&frame.pixels),
                Err(Stall::HalfFrame { .. }) => break half += 1,
                Err(Stall::Stale { .. } | Stall::Overwritten { .. }) => break,
                Err(other) => panic!("round {round}: {other}"),
            }
        }
    }
    assert_eq!((seen, replaced), (90, 29), "{half} ended in half a frame");
}

//! Observers: they copy, check what they copied, and touch nothing.
//!
//! In one program an observer's copy would race with a producer's `&mut [u8]`. So the producer is at rest here while
//! somebody observes, or the writer is one of the test's own, made of atomic stores.

mod common;

use core::hint::spin_loop;
use core::sync::atomic::Ordering::{Relaxed, Release};
use core::sync::atomic::{AtomicBool, AtomicU32, fence};
use std::thread;

use camlane_core::{FrameMeta, Geometry, LaneState, ObserveError};
use common::{
    Dice, FREE, Patience, READY, RETIRED, RaisedAtTheEnd, TestLane, WRITING, at, pattern, publish,
    publish_many, word,
};
use rstest::rstest;

#[test]
fn the_newest_frame_is_copied_with_all_that_it_says_about_itself() {
    let lane = TestLane::new(Geometry::new(101).user_bytes(64));
    let producer = lane.producer();
    let observer = lane.observer();
    assert_eq!(observer.peek_newest(), Ok(None));
    for number in 1..=20u8 {
        let mut loan = producer.loan().unwrap();
        let len = 101 - u32::from(number);
        loan[..len as usize].copy_from_slice(&pattern(number.into(), len as usize));
        loan.user_mut().fill(number);
        let mut meta = FrameMeta::bytes(len);
        (meta.capture_ns, meta.user_len) = (99, 10);
        _ = producer.publish(loan, &meta).unwrap();

        let image = (lane.data.image(), lane.seats.image());
        let (mut pixels, mut user) = ([0xee; 110], [0xee; 12]);
        let seen = observer.copy_newest(&mut pixels, &mut user).unwrap().unwrap();
        assert_eq!((seen.number, seen.meta), (number.into(), meta));
        let (copied, rest) = pixels.split_at(len as usize);
        assert_eq!(copied, pattern(number.into(), len as usize));
        assert!(rest.iter().all(|&byte| byte == 0xee), "no byte beyond the frame is written");
        assert_eq!(user, [[number; 10].as_slice(), &[0xee; 2]].concat()[..]);
        assert_eq!(observer.peek_newest(), Ok(Some(seen)));
        assert_eq!((lane.data.image(), lane.seats.image()), image, "an observer writes nothing");
    }
}

#[test]
fn a_buffer_that_is_too_small_is_left_alone_and_told_the_size() {
    let lane = TestLane::new(Geometry::new(100).user_bytes(64));
    publish(&lane.producer());
    let mut pixels = [0xee; 99];
    let error = lane.observer().copy_newest(&mut pixels, &mut []).unwrap_err();
    assert_eq!(error, ObserveError::TooSmall { needed: 100, room: 99 });
    assert_eq!(pixels, [0xee; 99]);
}

#[test]
fn an_observer_sees_the_end() {
    let lane = TestLane::new(Geometry::new(16));
    let producer = lane.producer();
    publish(&producer);
    assert_eq!(lane.observer().state(), LaneState::Live);
    producer.close();
    assert_eq!(lane.observer().state(), LaneState::Closed);
    assert_eq!(lane.observer().peek_newest().unwrap().unwrap().number, 1);
}

#[rstest]
#[case::being_written(|lane: &TestLane, at| lane.data.poke(at, word(0, WRITING)), Err(ObserveError::Contended))]
#[case::dropped(|lane: &TestLane, at| lane.data.poke(at, word(0, FREE)), Err(ObserveError::Contended))]
#[case::another_frame(|lane: &TestLane, at| lane.data.poke(at, word(6, READY)), Err(ObserveError::Contended))]
#[case::retired_but_whole(|lane: &TestLane, at| lane.data.poke(at, word(5, RETIRED)), Ok(5))]
#[case::longer_than_a_slot(|lane: &TestLane, at| lane.data.poke(at + at::LEN, 101), Err(ObserveError::Corrupt))]
#[case::in_no_slot(|lane: &TestLane, _| lane.data.poke(lane.ring_at(5), 1 << 20), Err(ObserveError::Corrupt))]
fn what_cannot_be_checked_is_not_taken(
    #[case] change: fn(&TestLane, usize),
    #[case] found: Result<u64, ObserveError>,
) {
    let lane = TestLane::new(Geometry::new(100));
    publish_many(&lane.producer(), 5);
    let slot = lane.live(at::LATEST_SLOT);
    change(&lane, lane.word_at(slot));
    let mut pixels = [0; 100];
    let seen = lane.observer().copy_newest(&mut pixels, &mut []);
    assert_eq!(seen.map(|seen| seen.unwrap().number), found);
}

/// The frame's short number is that of no frame, which words without a frame carry too.
#[rstest]
#[case::free(FREE)]
#[case::being_written(WRITING)]
fn after_a_wrap_a_slot_without_a_frame_is_not_taken_for_the_newest(#[case] state: u32) {
    let lane = TestLane::new(Geometry::new(100));
    lane.pretend_published(1 << 30);
    assert_eq!(lane.observer().peek_newest().unwrap().unwrap().number, 1 << 30);
    lane.data.poke(lane.word_at(0), word(0, state));
    assert_eq!(lane.observer().peek_newest(), Err(ObserveError::Contended));
}

/// Large, so that a copy lasts long enough to be overtaken, also where both threads share a core.
const SIZE: usize = 1 << 18;

#[rstest]
#[case::from_the_beginning(0, 1)]
#[case::across_a_wrap_of_short_numbers((1 << 30) - 500, 1)]
#[case::across_a_wrap_of_low_halves((1 << 32) - 500, 1)]
#[case::where_each_frame_is_a_lap_later_and_only_its_number_tells(7, 1 << 30)]
fn no_copy_is_torn_while_a_producer_runs(#[case] start: u64, #[case] step: u64) {
    const COPIES: u32 = 100;
    let lane = TestLane::new(Geometry::new(SIZE as u32).seats(1).pins(1).history(1).slots(2).user_bytes(4));
    let (looks, done) = (AtomicU32::new(0), AtomicBool::new(false));
    thread::scope(|threads| {
        threads.spawn(|| write_frames(&lane, start, step, &looks, &done));
        let _done = RaisedAtTheEnd(&done);
        let (mut pixels, mut user) = (vec![0; SIZE], [0; 4]);
        let (mut copies, mut last) = (0, 0);
        let patience = Patience::new();
        while copies < COPIES {
            let looked = lane.observer().copy_newest(&mut pixels, &mut user);
            looks.fetch_add(1, Relaxed);
            match looked {
                Ok(Some(seen)) => {
                    let mark = mark(seen.number).to_le_bytes();
                    assert!(seen.number > start && seen.number >= last);
                    assert_eq!(seen.meta, described(seen.number));
                    assert_eq!(pixels[..], mark.repeat(SIZE / 4), "torn: {}", seen.number);
                    assert_eq!(user, mark);
                    if seen.number == last {
                        patience.wait(u64::from(copies));
                    } else {
                        copies += 1;
                    }
                    last = seen.number;
                }
                Ok(None) | Err(ObserveError::Contended) => patience.wait(u64::from(copies)),
                Err(error) => panic!("{error}"),
            }
        }
    });
}

/// What every word of a frame holds: no two frames that follow one another have it in common.
fn mark(number: u64) -> u32 {
    (number ^ number >> 30) as u32
}

fn described(number: u64) -> FrameMeta {
    let mut meta = FrameMeta::bytes(SIZE as u32);
    (meta.source_sequence, meta.user_len) = (mark(number), 4);
    meta
}

/// A producer of the test's own, from the description of the protocol and not from its code: one slot after another,
/// every byte by an atomic store. It rests between two frames, for as long as a copy takes, more or less, so that copies are
/// overtaken at every point; and now and then until a whole look fits in, so that some succeed on every machine. (Where the
/// two processors were near each other, one in thousands did, and a hundred took minutes.)
fn write_frames(lane: &TestLane, start: u64, step: u64, looks: &AtomicU32, done: &AtomicBool) {
    let data = &lane.data;
    let mut dice = Dice(5);
    let mut number = start;
    while !done.load(Relaxed) {
        number += step;
        let slot = (number % u64::from(lane.shape.slots())) as u32;
        let descriptor = lane.word_at(slot);
        data.poke(descriptor, WRITING);
        fence(Release);
        // From the end: a copy that has begun meets the new bytes, wherever it is.
        data.atomics(lane.payload_at(slot), SIZE)
            .iter()
            .rev()
            .for_each(|word| word.store(mark(number), Relaxed));
        lane.set_number(slot, number);
        data.poke(descriptor + 0x100, mark(number));
        // len, sequence, count of planes, user's bytes, rows and bytes of the plane
        let (size, sequence) = (SIZE as u32, mark(number));
        let meta =
            [(at::LEN, size), (0x20, sequence), (at::KINDS, 1 << 16), (0x3c, 4), (0x48, 1), (0x4c, size)];
        meta.iter().for_each(|&(offset, value)| data.poke(descriptor + offset, value));
        data.atomics(descriptor, 4)[0].store(word(number, READY), Release);
        data.poke(lane.ring_at(number), slot);
        data.atomics(at::LATEST, 4)[0].store(word(number, READY), Release);
        (0..dice.below(20_000)).for_each(|_| spin_loop());
        if dice.below(8) == 0 {
            let before = looks.load(Relaxed);
            while looks.load(Relaxed).wrapping_sub(before) < 2 && !done.load(Relaxed) {
                thread::yield_now();
            }
        }
    }
}

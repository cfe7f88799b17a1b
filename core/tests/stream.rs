//! The byte stream beside a queue of bytes, and what is left of it when one side dies.

mod common;

use core::sync::atomic::AtomicBool;
use core::sync::atomic::Ordering::Relaxed;
use std::collections::VecDeque;
use std::thread;

use camlane_core::stream::{StreamReader, StreamWriter, Written};
use camlane_core::{Geometry, LaneState, ObserveError, ReadError, StreamError};
use common::{Dice, Patience, RaisedAtTheEnd, TestLane, at};
use rstest::rstest;

/// A stream whose positions begin at `start`.
fn stream(capacity: u32, start: u32) -> TestLane {
    let lane = TestLane::new(Geometry::stream(capacity));
    lane.data.poke(at::LATEST, start);
    lane.seats.poke(lane.cell_at(0, 0), start);
    lane
}

fn writer(lane: &TestLane) -> StreamWriter<'_> {
    StreamWriter::new(lane.producer_role()).unwrap()
}

fn reader(lane: &TestLane) -> StreamReader<'_> {
    StreamReader::new(lane.seat_role(0), 7).unwrap()
}

fn contents(lane: &TestLane) -> Vec<u8> {
    let mut reader = reader(lane);
    let grant = reader.read().unwrap();
    let (first, second) = grant.slices();
    [first, second].concat()
}

#[rstest]
fn whatever_is_written_and_read_the_stream_is_a_queue(
    #[values(1, 2, 4, 8, 16, 32, 64)] capacity: u32,
    #[values(0, u32::MAX - 70, 1 << 31)] start: u32,
) {
    let lane = stream(capacity, start);
    let mut dice = Dice(u64::from(capacity) << 32 | u64::from(start) | 1);
    let mut queue = VecDeque::new();
    let (mut writer, mut reader) = (writer(&lane), reader(&lane));
    let (mut next, mut moved) = (0u8, 0);
    let mut fresh = |count: usize| -> Vec<u8> {
        let bytes = (0..count).map(|step| next.wrapping_add(step as u8)).collect();
        next = next.wrapping_add(count as u8);
        bytes
    };
    for _ in 0..3000 {
        let size = dice.below(capacity as usize + 3);
        let room = capacity as usize - queue.len();
        match dice.below(7) {
            0 | 1 => {
                let bytes = fresh(size);
                let written = writer.write(&bytes).unwrap();
                assert_eq!(written, Written { bytes: size.min(room) as u32, asleep: false });
                queue.extend(&bytes[..size.min(room)]);
            }
            2 => {
                // Part of a grant, and the rest of it never existed.
                let mut grant = writer.grant(size as u32).unwrap();
                assert_eq!((grant.len() as usize, grant.is_empty()), (size.min(room), size.min(room) == 0));
                let bytes = fresh(size.min(room));
                let (first, second) = grant.slices();
                assert_eq!(first.len() + second.len(), bytes.len());
                let (head, tail) = bytes.split_at(first.len());
                first.copy_from_slice(head);
                second.copy_from_slice(tail);
                let some = dice.below(bytes.len() + 1);
                assert_eq!(grant.commit(some as u32).unwrap().bytes as usize, some);
                queue.extend(&bytes[..some]);
            }
            3 | 4 => {
                let grant = reader.read().unwrap();
                assert_eq!((grant.len() as usize, grant.is_empty()), (queue.len(), queue.is_empty()));
                let (first, second) = grant.slices();
                assert!(
                    [first, second].concat().iter().eq(&queue),
                    "the bytes are not those that were written"
                );
                let some = dice.below(queue.len() + 1);
                assert_eq!(grant.release(some as u32).unwrap().bytes as usize, some);
                queue.drain(..some);
                moved += some;
            }
            5 => {
                writer.grant(u32::MAX).unwrap().slices().0.fill(0xee);
                writer = self::writer(&lane);
            }
            _ => {
                assert_eq!(reader.read().unwrap().len() as usize, queue.len());
                reader = self::reader(&lane);
            }
        }
    }
    assert!(moved > 200, "{moved} bytes");
}

#[test]
fn positions_run_on_past_two_to_the_32() {
    let lane = stream(64, u32::MAX - 9);
    assert_eq!(writer(&lane).write(&[1; 20]).unwrap().bytes, 20);
    assert_eq!(lane.live(at::LATEST), 10);
    assert_eq!(contents(&lane), [1; 20]);
    assert_eq!(writer(&lane).write(&[2; 64]).unwrap().bytes, 44);
    let mut reader = reader(&lane);
    _ = reader.read().unwrap().release(64).unwrap();
    assert_eq!(lane.seats.peek(lane.cell_at(0, 0)), 54);
    assert!(reader.read().unwrap().is_empty());
}

#[test]
fn what_a_dead_reader_did_not_release_comes_again() {
    let lane = stream(16, 0);
    _ = writer(&lane).write(b"0123456789").unwrap();
    let mut dead = reader(&lane);
    _ = dead.read().unwrap().release(3).unwrap();
    assert_eq!(dead.read().unwrap().slices().0, b"3456789");
    assert_eq!(contents(&lane), b"3456789");
}

#[test]
fn what_a_dead_writer_did_not_commit_never_was() {
    let lane = stream(16, 0);
    let mut dead = writer(&lane);
    _ = dead.write(b"abc").unwrap();
    dead.grant(8).unwrap().slices().0.fill(b'x');
    assert_eq!(contents(&lane), b"abc");
    let mut successor = writer(&lane);
    _ = successor.write(b"def").unwrap();
    assert_eq!(contents(&lane), b"abcdef");
}

#[rstest]
#[case::one_byte_too_much(17)]
#[case::all_there_can_be(u32::MAX)]
#[case::half_the_range(1 << 31)]
fn positions_that_cannot_be_are_refused_by_both_sides(
    #[case] used: u32,
    #[values(0, 5, u32::MAX)] tail: u32,
) {
    let lane = stream(16, tail);
    let (mut writer, mut reader) = (writer(&lane), reader(&lane));
    lane.data.poke(at::LATEST, tail.wrapping_add(used));
    assert_eq!(reader.read().unwrap_err(), StreamError::Corrupt);
    lane.seats.poke(lane.cell_at(0, 0), tail.wrapping_sub(used));
    assert_eq!(writer.grant(1).unwrap_err(), StreamError::Corrupt);
    assert_eq!(writer.write(b"x").unwrap_err(), StreamError::Corrupt);
    lane.data.poke(at::LATEST, tail.wrapping_add(16));
    assert_eq!(reader.read().unwrap().len(), 16, "who comes back to sense is believed");
}

#[test]
fn more_than_was_granted_is_neither_committed_nor_released() {
    let lane = stream(16, 0);
    let (mut writer, mut reader) = (writer(&lane), reader(&lane));
    let grant = writer.grant(4).unwrap();
    assert_eq!(grant.commit(5).unwrap_err(), StreamError::BeyondGrant { bytes: 5, granted: 4 });
    assert!(reader.read().unwrap().is_empty());
    _ = writer.write(b"ab").unwrap();
    let error = reader.read().unwrap().release(3).unwrap_err();
    assert_eq!(error, StreamError::BeyondGrant { bytes: 3, granted: 2 });
    assert_eq!(reader.read().unwrap().len(), 2);
}

#[test]
fn a_lane_of_frames_is_no_stream() {
    let lane = TestLane::new(Geometry::new(16));
    assert_eq!(StreamWriter::new(lane.producer_role()).unwrap_err(), StreamError::NotAStream);
    assert_eq!(StreamReader::new(lane.seat_role(0), 0).unwrap_err(), StreamError::NotAStream);
}

#[test]
fn who_looks_for_frames_in_a_stream_finds_none_and_harms_nothing() {
    let lane = stream(16, 100);
    _ = writer(&lane).write(b"abc").unwrap();
    let consumer = lane.consumer(0);
    for found in [consumer.next(), consumer.latest(), consumer.newest()] {
        assert_eq!(found.unwrap_err(), ReadError::Corrupt);
    }
    drop(consumer);
    assert_eq!(lane.observer().peek_newest(), Err(ObserveError::Corrupt));
    assert_eq!(contents(&lane), b"abc");
    assert_eq!(writer(&lane).write(b"def").unwrap().bytes, 3);
}

#[test]
fn what_was_left_can_be_read_after_the_end() {
    let lane = stream(16, 0);
    let (mut writer, mut reader) = (writer(&lane), reader(&lane));
    _ = writer.write(b"end").unwrap();
    let bell = reader.bell();
    writer.close();
    assert_eq!((reader.state(), reader.bell()), (LaneState::Closed, bell + 1));
    assert_eq!(reader.read().unwrap().slices().0, b"end");
}

#[test]
fn each_side_is_told_when_the_other_sleeps() {
    let lane = stream(4, 0);
    let (mut writer, mut reader) = (writer(&lane), reader(&lane));
    let asleep = reader.fall_asleep(reader.bell()).unwrap();
    assert_eq!(asleep.word().value(), asleep.expected());
    assert_eq!(writer.write(b"").unwrap(), Written { bytes: 0, asleep: false });
    assert_eq!(asleep.word().value(), asleep.expected(), "nothing came, so nobody is woken");
    assert_eq!(writer.write(b"abcdef").unwrap(), Written { bytes: 4, asleep: true });
    assert_ne!(asleep.word().value(), asleep.expected());
    drop(asleep);
    assert!(reader.fall_asleep(0).is_none(), "bytes came since");

    let full = writer.fall_asleep(writer.bell()).unwrap();
    assert_eq!(reader.read().unwrap().release(0).unwrap(), Written { bytes: 0, asleep: false });
    assert_eq!(full.word().value(), full.expected());
    assert_eq!(reader.read().unwrap().release(1).unwrap(), Written { bytes: 1, asleep: true });
    assert_ne!(full.word().value(), full.expected());
    drop(full);
    assert!(writer.fall_asleep(0).is_none(), "room was made since");
    assert_eq!(reader.read().unwrap().release(1).unwrap(), Written { bytes: 1, asleep: false });
    assert_eq!(writer.write(b"x").unwrap(), Written { bytes: 1, asleep: false });
}

#[test]
fn a_dead_sleeper_is_not_woken_for_ever() {
    let lane = stream(4, 0);
    let dead = (writer(&lane), reader(&lane));
    core::mem::forget((dead.0.fall_asleep(0), dead.1.fall_asleep(0)));
    let (mut writer, mut reader) = (writer(&lane), reader(&lane));
    assert_eq!(writer.write(b"ab").unwrap(), Written { bytes: 2, asleep: false });
    assert_eq!(reader.read().unwrap().release(2).unwrap(), Written { bytes: 2, asleep: false });
}

#[rstest]
#[case::through_a_byte(1, 50_000)]
#[case::through_a_small_ring(64, 1 << 20)]
#[case::through_a_page(4096, 10 << 20)]
fn two_threads_pass_megabytes_and_every_byte_arrives_once(#[case] capacity: u32, #[case] total: usize) {
    let lane = stream(capacity, u32::MAX - 1000);
    // Byte n of the stream is n modulo 251, a prime, so that it is out of step with every ring.
    let cycle: Vec<u8> = (0..capacity as usize + 251).map(|index| (index % 251) as u8).collect();
    let expected = |position: usize, len: usize| &cycle[position % 251..][..len];
    let over = AtomicBool::new(false);
    thread::scope(|threads| {
        threads.spawn(|| {
            let (mut writer, mut dice, mut sent) = (writer(&lane), Dice(11), 0);
            let patience = Patience::new();
            while sent < total && !over.load(Relaxed) {
                let most = (1 + dice.below(capacity as usize)).min(total - sent);
                match writer.write(expected(sent, most)).unwrap().bytes {
                    0 => patience.wait(sent as u64),
                    bytes => sent += bytes as usize,
                }
            }
            writer.close();
        });
        let _over = RaisedAtTheEnd(&over);
        let (mut reader, mut dice, mut received) = (reader(&lane), Dice(13), 0);
        let patience = Patience::new();
        loop {
            let closed = reader.state() == LaneState::Closed;
            let grant = reader.read().unwrap();
            let (first, second) = grant.slices();
            assert!(first == expected(received, first.len()), "at byte {received}");
            assert!(second == expected(received + first.len(), second.len()), "at byte {received}");
            let len = grant.len() as usize;
            if len == 0 && closed {
                break;
            }
            let some = dice.below(len + 1) as u32;
            received += grant.release(some).unwrap().bytes as usize;
            if len == 0 {
                patience.wait(received as u64);
            }
        }
        assert_eq!(received, total);
    });
}

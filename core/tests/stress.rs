//! Real threads on a plain buffer: a producer at full speed, and readers who check every byte.
//!
//! A stress test cannot show that fences are right (a missing one may fail once in a million rounds, or never on x86); the
//! loom model does that. It shows that the whole works when operations really overlap.

mod common;

use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicBool, AtomicU32};
use std::sync::mpsc;
use std::thread;

use camlane_core::{Consumer, Frame, FrameMeta, Geometry, Lane, LaneSpec, Producer, ReadError};
use common::{Patience, RaisedAtTheEnd};
use rstest::rstest;
use zerocopy::IntoBytes;

const SIZE: usize = 3000;

/// What frames look like: the number, then bytes that are out of step with it, all the same modulo 251.
struct Pictures(Vec<u8>);

impl Pictures {
    fn new() -> Self {
        Self((0..SIZE + 251).map(|index| (index % 251) as u8).collect())
    }

    fn of(&self, number: u64) -> &[u8] {
        &self.0[(number % 251) as usize..][..SIZE - 16]
    }

    fn draw(&self, number: u64, into: &mut [u8]) {
        let mark = number.to_le_bytes();
        into[..8].copy_from_slice(&mark);
        into[8..SIZE - 8].copy_from_slice(self.of(number));
        into[SIZE - 8..].copy_from_slice(&mark);
    }

    fn check(&self, frame: &Frame<'_>) {
        let mark = frame.number().to_le_bytes();
        assert_eq!(frame.len(), SIZE);
        assert_eq!((&frame[..8], &frame[SIZE - 8..]), (&mark[..], &mark[..]), "frame {}", frame.number());
        assert!(frame[8..SIZE - 8] == *self.of(frame.number()), "frame {} is torn", frame.number());
        assert_eq!(frame.meta().source_sequence, frame.number() as u32);
    }
}

/// Counts a reader who has not read enough yet, until it is dropped: also by a reader who fails.
struct Hunger<'h>(&'h AtomicU32);

impl Drop for Hunger<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// Publishes until nobody is hungry.
fn produce(producer: &Producer<'_>, pictures: &Pictures, hungry: &AtomicU32, over: &AtomicBool) {
    let _over = RaisedAtTheEnd(over);
    let patience = Patience::new();
    while hungry.load(Relaxed) > 0 {
        let Ok(mut loan) = producer.loan() else {
            assert!(
                !producer.region().shape().never_starves(),
                "a lane of sufficient size never drops a frame"
            );
            patience.wait(producer.published());
            continue;
        };
        let number = producer.published() + 1;
        pictures.draw(number, &mut loan);
        let mut meta = FrameMeta::bytes(SIZE as u32);
        meta.source_sequence = number as u32;
        assert_eq!(producer.publish(loan, &meta).unwrap().number, number);
        if number.is_multiple_of(32) {
            patience.wait(number); // a turn for the others, where there are fewer cores than threads
        }
    }
}

/// How a reader goes about it.
#[derive(Clone, Copy)]
enum Habit {
    EveryFrame,
    NewestFrame,
    /// Holds each frame until it has the next one.
    HoldsOne,
    /// Looks at whatever is newest, counted or not.
    JustLooks,
}

fn read(consumer: &Consumer<'_>, habit: Habit, frames: u64, pictures: &Pictures, over: &AtomicBool) {
    let mut held: Option<Frame<'_>> = None;
    let mut seen = 0;
    let mut last = 0;
    let patience = Patience::new();
    while seen < frames && !over.load(Relaxed) {
        let found = match habit {
            Habit::EveryFrame => consumer.next(),
            Habit::NewestFrame | Habit::HoldsOne => consumer.latest(),
            Habit::JustLooks => consumer.newest(),
        };
        let frame = match found {
            Ok(Some(frame)) => frame,
            Ok(None) | Err(ReadError::Contended) => {
                patience.wait(seen);
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        pictures.check(&frame);
        let number = frame.number();
        if !matches!(habit, Habit::JustLooks) {
            assert!(number > last);
            assert_eq!(frame.missed(), if seen == 0 { number - 1 } else { number - last - 1 });
        }
        (seen, last) = (seen + 1, number);
        if let Some(before) = held.take() {
            pictures.check(&before);
        }
        if matches!(habit, Habit::HoldsOne) {
            held = Some(frame);
        }
    }
    if !matches!(habit, Habit::JustLooks) {
        assert_eq!((consumer.delivered(), consumer.delivered() + consumer.missed()), (seen, last));
    }
    assert_eq!(seen, frames);
}

#[rstest]
#[case::one_who_reads_every_frame(Geometry::new(SIZE as u32).seats(1).pins(1).history(2), &[Habit::EveryFrame], 20_000)]
#[case::one_who_reads_the_newest(Geometry::new(SIZE as u32).seats(1).pins(1).history(1), &[Habit::NewestFrame], 10_000)]
#[case::three_of_different_habits(
    Geometry::new(SIZE as u32).seats(3).pins(2).history(2),
    &[Habit::EveryFrame, Habit::HoldsOne, Habit::JustLooks],
    5000,
)]
#[case::three_in_a_starving_lane(
    Geometry::new(SIZE as u32).seats(3).pins(2).history(1).slots(3),
    &[Habit::EveryFrame, Habit::HoldsOne, Habit::JustLooks],
    5000,
)]
fn readers_of_a_running_producer_see_whole_frames_only(
    #[case] geometry: Geometry,
    #[case] habits: &[Habit],
    #[case] frames: u64,
) {
    let shape = geometry.shape().unwrap();
    let mut words = vec![0u32; shape.footprint() as usize / 4];
    let lane = Lane::create_in(words.as_mut_bytes(), &LaneSpec::anonymous(shape)).unwrap();
    let producer: Producer<'_> = Producer::new(lane.producer).unwrap();
    let pictures = Pictures::new();
    let (hungry, over) = (AtomicU32::new(habits.len() as u32), AtomicBool::new(false));
    thread::scope(|threads| {
        for (&habit, role) in habits.iter().zip(lane.seats) {
            let consumer = Consumer::new(role, 0);
            let (pictures, hunger, over) = (&pictures, Hunger(&hungry), &over);
            threads.spawn(move || {
                let _hunger = hunger;
                read(&consumer, habit, frames, pictures, over);
            });
        }
        produce(&producer, &pictures, &hungry, &over);
    });
    assert_eq!(producer.seats().in_use().count(), 0);
}

#[test]
fn frames_that_are_dropped_elsewhere_come_back_while_the_producer_runs() {
    const FRAMES: u64 = 10_000;
    let shape = Geometry::new(SIZE as u32).seats(1).pins(8).history(2).shape().unwrap();
    let mut words = vec![0u32; shape.footprint() as usize / 4];
    let mut lane = Lane::create_in(words.as_mut_bytes(), &LaneSpec::anonymous(shape)).unwrap();
    let producer: Producer<'_> = Producer::new(lane.producer).unwrap();
    let consumer = Consumer::new(lane.seats.next().unwrap(), 0);
    let pictures = Pictures::new();
    let (hungry, over) = (AtomicU32::new(1), AtomicBool::new(false));
    thread::scope(|threads| {
        let (pictures, hungry, over) = (&pictures, &hungry, &over);
        threads.spawn(move || produce(&producer, pictures, hungry, over));
        let _hunger = Hunger(hungry);
        let (send, receive) = mpsc::channel::<Frame<'_>>();
        threads.spawn(move || receive.iter().for_each(|frame| pictures.check(&frame)));
        let patience = Patience::new();
        while consumer.delivered() < FRAMES && !over.load(Relaxed) {
            match consumer.latest() {
                Ok(Some(frame)) => send.send(frame).unwrap(),
                Ok(None) | Err(ReadError::Contended | ReadError::AllPinned { .. }) => {
                    patience.wait(consumer.delivered());
                }
                Err(error) => panic!("{error}"),
            }
        }
    });
    assert_eq!((consumer.delivered(), consumer.held()), (FRAMES, 0));
}

//! Loans and frames on other threads than their ends.

use std::sync::mpsc;
use std::thread;

use camlane::{Consumer, ConsumerOptions, Frame, Loan, Read};
use camlane_tests::lane::TestLane;
use camlane_tests::pattern;
use camlane_tests::wait::PATIENCE;

use crate::{options, source};

#[test]
fn loans_are_filled_on_one_thread_and_frames_read_and_dropped_on_others() {
    const FRAMES: u64 = 3000;
    let lane = TestLane::new("threads");
    let source = source(&lane, options().pins(4).history(4).loans(4)).unwrap();
    let mut consumer = ConsumerOptions::new().read(Read::Every).open(lane.name()).unwrap();
    let (to_first, first) = mpsc::sync_channel::<Frame>(0);
    let (to_second, second) = mpsc::sync_channel::<Frame>(0);
    let readers = [first, second].map(|frames| {
        thread::spawn(move || {
            frames.iter().fold(0, |count, frame| {
                pattern::check(&frame).unwrap();
                count + 1
            })
        })
    });
    let (to_filler, empty) = mpsc::channel::<(Loan, u64)>();
    let (filled, to_publish) = mpsc::channel();
    thread::scope(|scope| {
        let painter = source.painter();
        scope.spawn(move || {
            for (mut loan, number) in empty {
                let meta = painter.paint(&mut loan, number);
                filled.send((loan, meta)).unwrap();
            }
        });
        for number in 1..=FRAMES {
            to_filler.send((source.producer.loan().unwrap(), number)).unwrap();
            let (loan, meta) = to_publish.recv().unwrap();
            assert_eq!(source.producer.publish(loan, &meta).unwrap(), number);
            let frame = consumer.next(PATIENCE).unwrap();
            assert_eq!((frame.number(), frame.missed()), (number, 0));
            let reader = if number % 2 == 0 { &to_first } else { &to_second };
            reader.send(frame).unwrap();
        }
        drop(to_filler);
    });
    drop((to_first, to_second));
    assert_eq!(readers.map(|reader| reader.join().unwrap()), [FRAMES / 2; 2]);
    drop(consumer);
    assert_eq!(source.producer.consumers(), [], "the last frame gave the seat back, on whatever thread");
}

#[test]
fn a_loan_dropped_on_another_thread_can_be_had_again() {
    let lane = TestLane::new("loans");
    let source = source(&lane, options().seats(1).pins(1).history(1).loans(2)).unwrap();
    for _ in 0..100 {
        let loans: Vec<Loan> = std::iter::from_fn(|| source.producer.loan().ok()).collect();
        assert_eq!(loans.len() as u32, source.producer.shape().slots());
        thread::spawn(move || drop(loans)).join().unwrap();
    }
    source.shoot().unwrap();
    assert_eq!(Consumer::open(lane.name()).unwrap().next(PATIENCE).unwrap().number(), 1);
}

#[test]
fn both_ends_may_move_to_other_threads() {
    let lane = TestLane::new("moved");
    let source = source(&lane, options()).unwrap();
    let mut consumer = ConsumerOptions::new().read(Read::Every).open(lane.name()).unwrap();
    let reader = thread::spawn(move || {
        let frame = consumer.next(PATIENCE).unwrap();
        drop(consumer);
        frame
    });
    thread::spawn(move || source.shoot_all(1)).join().unwrap(); // and ends there
    let frame = reader.join().unwrap();
    pattern::check(&frame).expect("a frame outlives both ends");
    assert_eq!(frame.number(), 1);
}

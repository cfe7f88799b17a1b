//! The model.
#![cfg(loom)]
#![allow(unsafe_code)]

use camlane_core::model::{ModelLane, set_number_bits};
use camlane_core::{Consumer, FrameMeta, Geometry, Loan, Producer};
use loom::cell::UnsafeCell;
use rstest::rstest;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

fn explore(name: &str, bits: u32, preemptions: Option<usize>, body: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.max_branches = 10_000;
    builder.preemption_bound = builder.preemption_bound.or(preemptions);
    set_number_bits(bits);
    let executions = Arc::new(AtomicU64::new(0));
    let counter = executions.clone();
    let started = Instant::now();
    builder.check(move || {
        counter.fetch_add(1, Relaxed);
        body();
    });
    println!("loom: {name:40} {:>9} executions {:>7.1} s", executions.load(Relaxed), started.elapsed().as_secs_f64());
}

struct Kept<T: 'static>(&'static T);
impl<T> Kept<T> {
    fn new(value: T) -> Self { Self(Box::leak(Box::new(value))) }
}
impl<T> Drop for Kept<T> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            drop(unsafe { Box::from_raw(std::ptr::from_ref(self.0).cast_mut()) });
        }
    }
}

struct Lane { words: ModelLane, pixels: Vec<UnsafeCell<u64>> }
unsafe impl Sync for Lane {}
unsafe impl Send for Lane {}

impl Lane {
    fn new(geometry: Geometry) -> Self {
        let slots = geometry.shape().unwrap().slots();
        Self { words: ModelLane::new(geometry).unwrap(), pixels: (0..slots).map(|_| UnsafeCell::new(0)).collect() }
    }
    fn publish(&self, producer: &Producer<'_, 8>) {
        let loan = producer.loan().expect("NO FREE SLOT");
        let number = producer.published() + 1;
        self.pixels[loan.slot() as usize].with_mut(|p| unsafe { *p = number });
        let _ = producer.publish(loan, &FrameMeta::bytes(1)).unwrap();
    }
    fn check(&self, slot: u32, number: u64) {
        self.pixels[slot as usize].with(|p| assert_eq!(unsafe { *p }, number, "TORN OR WRONG FRAME"));
    }
}

fn env(name: &str, default: u64) -> u64 { std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default) }

#[test]
fn pin() {
    let bits = env("BITS", 30) as u32;
    let start = env("START", 1);
    let before = env("BEFORE", 1);
    let frames = env("FRAMES", 2);
    let reads = env("READS", 1);
    let slots = env("SLOTS", 3) as u32;
    let order = env("ORDER", 0) == 1;
    let bound = std::env::var("BOUND").ok().and_then(|v| v.parse().ok());
    let history = env("HISTORY", 1) as u32;
    explore("pin", bits, bound, move || {
        let lane = Kept::new(Lane::new(Geometry::new(4).seats(1).pins(1).history(history).slots(slots)));
        let lane = lane.0;
        lane.words.leave_frame(start);
        lane.pixels[0].with_mut(|p| unsafe { *p = start });
        let producer = Producer::<8>::take_over(lane.words.producer()).unwrap();
        let consumer = Consumer::new(lane.words.seat(0), 1);
        consumer.latest().unwrap();
        for _ in 0..before { lane.publish(&producer); }
        let read = move || {
            for _ in 0..reads {
                if let Ok(Some(frame)) = if order { consumer.next() } else { consumer.latest() } {
                    lane.check(frame.slot(), frame.number());
                }
            }
            consumer
        };
        let t = loom::thread::spawn(read);
        for _ in 0..frames { lane.publish(&producer); }
        let consumer = t.join().unwrap();
        let frame = consumer.newest().unwrap().expect("NEWEST FRAME IS GONE");
        assert_eq!(frame.number(), producer.published());
    });
}

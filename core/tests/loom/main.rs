//! The shipping state machine under every interleaving and every stale value that the memory model allows.
//!
//! `tests/loom.sh` runs this, and `tests/loom.sh mutants` shows that each ordering counts. A case is exhaustive unless
//! it names a bound of preemptions. Where words carry 1 or 2 bits of a number, every wrap of the 30 bits happens.
//!
//! What loom 0.7 does not see: it takes two `SeqCst` fences for a synchronisation, which C++20 does not, and changes threads at
//! no fence, only at words that both use; it knows no load that sees a store to come; and where a thread loads a word and then
//! stores to it, loom forgets who loaded it before. Whatever does that (a seat reclaimed, a lane taken over) is therefore
//! on the main thread, which runs first.
#![cfg(loom)]
// Pixels are loom's `UnsafeCell`s, which report every access that no edge orders.
#![allow(unsafe_code)]

mod bell;
mod loans;
mod observer;
mod pins;
mod stream;

use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use camlane_core::model::{ModelLane, set_number_bits};
use camlane_core::{Consumer, Frame, FrameMeta, Geometry, Loan, Producer, Published, ReadError};
use loom::cell::UnsafeCell;

type Camera = Producer<'static, 8>;

/// One seat with one pin, the newest frame as history, one loan: three slots. So the third publish after a first frame
/// sweeps, and writes where the first frame was.
const TIGHT: Geometry = Geometry::new(4).seats(1).pins(1).history(1);
/// The same with slots of a size from which on the one released last is lent first: every publish after the first sweeps.
const TIGHT_AND_LARGE: Geometry = Geometry::new(64).seats(1).pins(1).history(1);

/// Runs `body` in every way it can run, with at most `preemptions` of them forced where that is bounded.
fn explore(case: &str, bits: u32, preemptions: Option<usize>, body: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.max_branches = 10_000;
    builder.preemption_bound = builder.preemption_bound.or(preemptions);
    set_number_bits(bits);
    let executions = Arc::new(AtomicU64::new(0));
    let (counter, started) = (executions.clone(), Instant::now());
    builder.check(move || {
        counter.fetch_add(1, Relaxed);
        body();
    });
    let bound =
        builder.preemption_bound.map_or("exhausted".into(), |bound| format!("up to {bound} preemptions"));
    let (executions, seconds) = (executions.load(Relaxed), started.elapsed().as_secs_f64());
    println!("loom: {executions:>8} executions {seconds:>6.1} s  {bound:<19} {case}");
}

/// A value that all threads of an execution can reach, gone when the execution ends.
struct Kept<T: 'static>(NonNull<T>);

impl<T> Kept<T> {
    fn new(value: T) -> Self {
        Self(NonNull::from(Box::leak(Box::new(value))))
    }

    fn get(&self) -> &'static T {
        // SAFETY: leaked by `new`, and every case joins its threads before it drops what they used.
        unsafe { self.0.as_ref() }
    }
}

impl<T> Deref for Kept<T> {
    type Target = T;
    fn deref(&self) -> &T {
        self.get()
    }
}

impl<T> Drop for Kept<T> {
    fn drop(&mut self) {
        // After a panic the stacks of other threads still refer to it.
        if !std::thread::panicking() {
            // SAFETY: leaked by `new`; nobody uses it any more, as for `get`.
            drop(unsafe { Box::from_raw(self.0.as_ptr()) });
        }
    }
}

/// What a read gave, unless the producer overtook it; nothing else may go wrong.
fn unless_overtaken<T>(read: Result<Option<T>, ReadError>) -> Option<T> {
    match read {
        Err(ReadError::Contended) => None,
        read => read.unwrap_or_else(|error| panic!("{error}")),
    }
}

/// A lane with one cell for the pixels of each slot.
struct Lane {
    words: ModelLane,
    pixels: Vec<UnsafeCell<u64>>,
}

// SAFETY: the cells are what the cases are about: loom checks each access.
unsafe impl Sync for Lane {}

impl Lane {
    fn new(geometry: Geometry) -> Kept<Self> {
        let words = ModelLane::new(geometry).expect("a geometry");
        let slots = geometry.shape().expect("a geometry").slots();
        Kept::new(Self { words, pixels: (0..slots).map(|_| UnsafeCell::new(0)).collect() })
    }

    /// A producer that has published `number` frames; the last of them is there, in slot 0.
    fn producer_at(&'static self, number: u64) -> Camera {
        self.words.leave_frame(number);
        self.write(0, number);
        Camera::take_over(self.words.producer()).expect("the frame is whole")
    }

    fn consumer(&'static self, seat: usize) -> Consumer<'static> {
        Consumer::new(self.words.seat(seat), 1)
    }

    fn write(&self, slot: u32, number: u64) {
        // SAFETY: loom panics if an access is not ordered with this one.
        self.pixels[slot as usize].with_mut(|pixels| unsafe { *pixels = number });
    }

    fn fill(&self, loan: &Loan<'_>, number: u64) {
        self.write(loan.slot(), number);
    }

    fn publish_or_drop(&self, producer: &Camera) -> Option<Published> {
        let loan = producer.loan().ok()?;
        self.fill(&loan, producer.published() + 1);
        Some(producer.publish(loan, &FrameMeta::bytes(1)).expect("the loan is ours"))
    }

    fn publish(&self, producer: &Camera) -> Published {
        self.publish_or_drop(producer).expect("NO FREE SLOT")
    }

    fn look(&self, frame: &Frame<'_>) {
        self.pixels[frame.slot() as usize].with(|pixels| {
            // SAFETY: loom panics if a write is not ordered with this read.
            assert_eq!(unsafe { *pixels }, frame.number(), "TORN OR WRONG FRAME");
        });
    }

    /// Checks that at rest the newest frame can be read, whatever happened before.
    fn find_newest(&self, consumer: &Consumer<'_>, published: u64) {
        let newest = consumer.newest().ok().flatten().expect("NEWEST FRAME IS GONE");
        assert_eq!(newest.number(), published, "NEWEST FRAME IS GONE");
        self.look(&newest);
    }
}

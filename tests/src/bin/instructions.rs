//! What `tests/instructions.sh` counts: every operation on a frame's way, each in a function of its own name.
//!
//! A name ends in the number of consumers, each of which changes its pin at every frame. `frame` is loan and publish, with
//! the looks at the pins that they take now and then. `lane` is core alone, in this program's memory; `wide` has slots of 2 MiB,
//! of which the newest is taken, after a look at every pin; `named` is a lane in shared memory, of the usual 8 seats.

use std::hint::black_box;
use std::time::Duration;

use camlane::{FrameMeta, LaneOptions};
use camlane_core::{Consumer, Frame, Geometry, LINE, Lane, LaneSpec, Producer};

/// How often each operation is done; the mean is counted.
const ROUNDS: usize = 1000;

/// Functions that callgrind can tell apart.
macro_rules! counted {
    ($($name:ident)*) => {$(
        #[inline(never)]
        fn $name<T>(operation: impl FnOnce() -> T) -> T {
            black_box(stringify!($name)); // or the compiler makes one function of two that do the same
            black_box(operation())
        }
    )*};
}

counted! {
    lane_loan_0 lane_publish_0 lane_frame_0
    lane_loan_1 lane_publish_1 lane_frame_1
    lane_loan_64 lane_publish_64 lane_frame_64
    wide_loan_1 wide_publish_1 wide_frame_1
    wide_loan_64 wide_publish_64 wide_frame_64
    lane_latest_1 lane_next_1 lane_nothing_new_1 lane_meta_1 lane_release_1
    lane_latest_64 lane_next_64 lane_nothing_new_64 lane_meta_64 lane_release_64
    named_loan named_publish named_publish_64 named_next named_nothing_new named_release
}

/// A lane in memory that is never given back, and its ends.
fn ends(consumers: u32, slot_size: u32) -> (Producer<'static, 256>, Vec<Consumer<'static>>) {
    let geometry = Geometry::new(slot_size).seats(consumers.max(1)).pins(2).history(4).loans(2);
    let shape = geometry.shape().expect("a shape");
    let bytes = vec![0; shape.footprint() as usize + LINE as usize].leak();
    let start = bytes.as_ptr().align_offset(LINE as usize);
    let lane = Lane::create_in(&mut bytes[start..], &LaneSpec::anonymous(shape)).expect("a lane");
    let producer = Producer::new(lane.producer).expect("new");
    (producer, lane.seats.take(consumers as usize).map(|role| Consumer::new(role, 1)).collect())
}

/// Every consumer lets go of its frame and takes the newest.
fn all_change<'c>(consumers: &'c [Consumer<'static>], held: &mut Vec<Frame<'c>>) {
    held.clear();
    held.extend(consumers.iter().map(|consumer| consumer.newest().expect("readable").expect("there")));
}

macro_rules! writes {
    ($consumers:literal, $slot_size:expr, $loan:ident, $publish:ident, $frame:ident) => {{
        let (producer, consumers) = ends($consumers, $slot_size);
        let (meta, mut held) = (FrameMeta::bytes(4096), Vec::new());
        for _ in 0..ROUNDS {
            let loan = $loan(|| producer.loan().expect("free"));
            let _ = $publish(|| producer.publish(loan, &meta).expect("good"));
            all_change(&consumers, &mut held);
        }
        for _ in 0..ROUNDS {
            let _ = $frame(|| producer.publish(producer.loan().expect("free"), &meta).expect("good"));
            all_change(&consumers, &mut held);
        }
    }};
}

macro_rules! reads {
    ($consumers:literal, $latest:ident, $next:ident, $nothing_new:ident, $meta:ident, $release:ident) => {{
        let (producer, consumers) = ends($consumers, 4096);
        let meta = FrameMeta::bytes(4096);
        let publish = || producer.publish(producer.loan().expect("free"), &meta).expect("good");
        let reader = consumers.last().expect("one");
        for _ in 0..ROUNDS {
            let _ = publish();
            drop($latest(|| reader.latest().expect("readable").expect("there")));
            let _ = publish();
            let frame = $next(|| reader.next().expect("readable").expect("there"));
            let _ = $meta(|| frame.meta());
            $release(|| drop(frame));
            let _ = $nothing_new(|| reader.next().expect("readable").is_none());
        }
    }};
}

fn named() -> Result<(), Box<dyn std::error::Error>> {
    let name = format!("instructions-{}", std::process::id());
    let producer = camlane::Producer::create(&name, &LaneOptions::for_bytes(4096))?;
    let mut consumer = camlane::Consumer::open(&name)?;
    let meta = FrameMeta::bytes(4096);
    for _ in 0..ROUNDS {
        let loan = named_loan(|| producer.loan())?;
        named_publish(|| producer.publish(loan, &meta))?;
        let frame = named_next(|| consumer.next(Duration::ZERO))?;
        named_release(|| drop(frame));
        assert!(named_nothing_new(|| consumer.try_next())?.is_none());
    }
    let many = camlane::Producer::create(&format!("{name}-64"), &LaneOptions::for_bytes(4096).seats(64))?;
    for _ in 0..ROUNDS {
        let loan = many.loan()?;
        named_publish_64(|| many.publish(loan, &meta))?;
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    writes!(0, 4096, lane_loan_0, lane_publish_0, lane_frame_0);
    writes!(1, 4096, lane_loan_1, lane_publish_1, lane_frame_1);
    writes!(64, 4096, lane_loan_64, lane_publish_64, lane_frame_64);
    writes!(1, 2 << 20, wide_loan_1, wide_publish_1, wide_frame_1);
    writes!(64, 2 << 20, wide_loan_64, wide_publish_64, wide_frame_64);
    reads!(1, lane_latest_1, lane_next_1, lane_nothing_new_1, lane_meta_1, lane_release_1);
    reads!(64, lane_latest_64, lane_next_64, lane_nothing_new_64, lane_meta_64, lane_release_64);
    named()
}

//! Exports what a microcontroller calls. `../bare-metal.sh` builds it, and measures these functions and all they reach.
#![no_std]
#![allow(improper_ctypes_definitions, reason = "the functions are measured, nobody calls them from C")]

use camlane_core::{
    Consumer, Frame, FrameMeta, Geometry, Lane, LaneSpec, Loan, Producer, ProducerRole, SeatRole,
};

/// Stops here: a board would blink or reset.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}

// ---- What is measured: every `extern "C"` function from here on is a root of the linked program. ----

/// Room for four slots: a small camera's books.
type SmallProducer = Producer<'static, 4>;

/// Makes a lane in `bytes` and hands out its ends: 1 if it worked.
// SAFETY: no other function of the program has this name.
#[unsafe(no_mangle)]
pub extern "C" fn lane_create(
    bytes: &'static mut [u8; 40_960],
    producer: &mut Option<SmallProducer>,
    consumer: &mut Option<Consumer<'static>>,
) -> u32 {
    let Ok(shape) = Geometry::new(96 * 96).seats(1).pins(1).history(1).shape() else { return 0 };
    let Ok(Lane { producer: role, mut seats, .. }) = Lane::create_in(bytes, &LaneSpec::anonymous(shape))
    else {
        return 0;
    };
    *producer = SmallProducer::new(role).ok();
    *consumer = seats.next().map(|seat| Consumer::new(seat, 0));
    u32::from(producer.is_some() && consumer.is_some())
}

/// Goes on with a lane whose producer was reset.
// SAFETY: no other function of the program has this name.
#[unsafe(no_mangle)]
pub extern "C" fn lane_take_over(role: ProducerRole<'static>, producer: &mut Option<SmallProducer>) -> u32 {
    *producer = SmallProducer::take_over(role).ok();
    u32::from(producer.is_some())
}

/// Borrows a slot to fill.
// SAFETY: no other function of the program has this name.
#[unsafe(no_mangle)]
pub extern "C" fn lane_loan<'p>(producer: &'p SmallProducer, loan: &mut Option<Loan<'p>>) -> u32 {
    *loan = producer.loan().ok();
    u32::from(loan.is_some())
}

/// Publishes it: the frame's number, or 0.
// SAFETY: no other function of the program has this name.
#[unsafe(no_mangle)]
pub extern "C" fn lane_publish(producer: &SmallProducer, loan: Loan<'_>, meta: &FrameMeta) -> u64 {
    producer.publish(loan, meta).map_or(0, |published| published.number)
}

/// Ends the stream.
// SAFETY: no other function of the program has this name.
#[unsafe(no_mangle)]
pub extern "C" fn lane_close(producer: &SmallProducer) {
    producer.close();
}

/// Takes a seat.
// SAFETY: no other function of the program has this name.
#[unsafe(no_mangle)]
pub extern "C" fn lane_sit_down(role: SeatRole<'static>, consumer: &mut Option<Consumer<'static>>) {
    *consumer = Some(Consumer::new(role, 0));
}

/// Pins the newest frame.
// SAFETY: no other function of the program has this name.
#[unsafe(no_mangle)]
pub extern "C" fn lane_latest<'c>(consumer: &'c Consumer<'static>, frame: &mut Option<Frame<'c>>) -> u32 {
    *frame = consumer.latest().ok().flatten();
    u32::from(frame.is_some())
}

/// Pins the next frame in order.
// SAFETY: no other function of the program has this name.
#[unsafe(no_mangle)]
pub extern "C" fn lane_next<'c>(consumer: &'c Consumer<'static>, frame: &mut Option<Frame<'c>>) -> u32 {
    *frame = consumer.next().ok().flatten();
    u32::from(frame.is_some())
}

/// Reads what a frame says about itself.
// SAFETY: no other function of the program has this name.
#[unsafe(no_mangle)]
pub extern "C" fn lane_meta(frame: &Frame<'_>, meta: &mut FrameMeta) {
    *meta = frame.meta();
}

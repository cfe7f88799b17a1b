//! Death at every instruction: an end of a lane is single-stepped, and after each instruction what shared memory holds is
//! what a SIGKILL there would leave. From each such state the lane must go on.
//!
//! Stepping once and copying the region each time visits the same states as killing one process per instruction, in time
//! that grows with the instructions instead of their square. Locks and sockets, which a kill releases too, are for the
//! tests that kill real processes.
#![cfg(target_arch = "x86_64")]
#![allow(unsafe_code, reason = "maps shared memory, forks and traces; takes roles in copies of a region")]

use std::cell::Cell;
use std::num::NonZeroUsize;
use std::ptr::NonNull;

use camlane_core::{Consumer, FrameMeta, Geometry, Lane, LaneSpec, Memory, Producer, Region, Seats, Shape};
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};
use nix::sys::ptrace;
use nix::sys::signal::{Signal, raise};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};

const SLOT: usize = 64;
const HISTORY: u64 = 2;
const LEN: usize = 16 * 1024;

fn shape() -> Shape {
    Geometry::new(SLOT as u32).seats(2).pins(2).history(HISTORY as u32).loans(2).shape().unwrap()
}

/// What the frame of a number holds: every byte depends on it.
fn pixels(number: u64) -> [u8; SLOT] {
    let mut pixels = [0; SLOT];
    for (index, byte) in pixels.iter_mut().enumerate() {
        *byte = (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (index % 8 * 8)) as u8 ^ index as u8;
    }
    pixels
}

fn publish(producer: &Producer<'_>) -> u64 {
    let number = producer.published() + 1;
    let mut loan = producer.loan().expect("a loan always succeeds: N = S * K + H + W");
    loan.copy_from_slice(&pixels(number));
    let mut meta = FrameMeta::bytes(SLOT as u32);
    (meta.capture_ns, meta.publish_ns, meta.source_sequence) =
        (number << 32 | number, !number, number as u32);
    (meta.layout.width, meta.layout.height, meta.flags.0) = (number as u32, !number as u32, number as u32);
    producer.publish(loan, &meta).unwrap().number
}

/// A lane in memory that a forked child shares, and its address, to copy it from.
struct Stage {
    lane: Lane<'static>,
    base: NonNull<u8>,
}

fn stage() -> Stage {
    let len = NonZeroUsize::new(LEN).unwrap();
    let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    // SAFETY: new pages, never unmapped: the test's process ends soon.
    let base = unsafe { mmap_anonymous(None, len, protection, MapFlags::MAP_SHARED) }.unwrap().cast();
    // SAFETY: LEN zero bytes that only the lane uses; the copies are made while the other process is stopped.
    let bytes = unsafe { std::slice::from_raw_parts_mut(NonNull::<u8>::as_ptr(base), LEN) };
    Stage { lane: Lane::create_in(bytes, &LaneSpec::anonymous(shape())).unwrap(), base }
}

/// Runs `act` in a child one instruction at a time; after each, `look` sees a copy of the shared bytes.
fn at_every_instruction(base: NonNull<u8>, act: impl FnOnce(), mut look: impl FnMut(u64, &mut [u8])) -> u64 {
    // SAFETY: the child runs `act`, which neither allocates nor locks, and ends without unwinding into the test.
    let child = match unsafe { fork() }.unwrap() {
        ForkResult::Child => {
            ptrace::traceme().unwrap();
            raise(Signal::SIGSTOP).unwrap();
            act();
            // SAFETY: ends the process at once.
            unsafe { nix::libc::_exit(0) }
        }
        ForkResult::Parent { child } => child,
    };
    assert!(matches!(waitpid(child, None).unwrap(), WaitStatus::Stopped(_, Signal::SIGSTOP)));
    let mut copy = vec![0u64; LEN / 8];
    let mut last = Vec::new();
    for steps in 0.. {
        // SAFETY: mapped for LEN bytes; the only other process that writes there is stopped.
        let now = unsafe { std::slice::from_raw_parts(base.as_ptr(), LEN) };
        if now != last {
            last = now.to_vec(); // states between two stores are the same state
            let bytes = copy.as_mut_slice();
            // SAFETY: u64s as bytes, for this block.
            let bytes = unsafe { std::slice::from_raw_parts_mut(bytes.as_mut_ptr().cast::<u8>(), LEN) };
            bytes.copy_from_slice(now);
            look(steps, bytes);
        }
        ptrace::step(child, None).unwrap();
        match waitpid(child, None).unwrap() {
            WaitStatus::Stopped(_, Signal::SIGTRAP) => {}
            WaitStatus::Exited(_, 0) => return steps,
            other => panic!("the child ended otherwise: {other:?}"),
        }
    }
    unreachable!()
}

/// A lane in a private copy of the region, as the survivors find it.
struct Survivors<'a> {
    region: Region<'a>,
    seats: Seats<'a>,
    seats_base: NonNull<u8>,
}

impl<'a> Survivors<'a> {
    fn find(bytes: &'a mut [u8]) -> Self {
        let base = NonNull::from(&mut *bytes).cast::<u8>();
        let seats_off = shape().seats_offset().unwrap() as usize;
        // SAFETY: the seats lie inside the copy.
        let seats_base = unsafe { base.add(seats_off) };
        // SAFETY: the copy lives for 'a and is reached through camlane only.
        let data = unsafe { Memory::from_raw(base, bytes.len()) };
        // SAFETY: as above: its tail.
        let tail = unsafe { Memory::from_raw(seats_base, bytes.len() - seats_off) };
        let region = Region::attach(&data).expect("a region stays whole whoever dies");
        let seats = Seats::attach(&tail, &region).expect("and so do its seats");
        Self { region, seats, seats_base }
    }

    fn take_over(&self) -> Producer<'a> {
        // SAFETY: a private copy: nobody else is its producer.
        let role = unsafe { self.region.producer_role(self.seats) };
        Producer::take_over(role).expect("a dead producer's words never contradict each other")
    }

    fn sit_down(&self, seat: u32) -> Consumer<'a> {
        let offset = (seat * shape().seat_stride()) as usize;
        // SAFETY: the seat lies inside the copy.
        let base = unsafe { self.seats_base.add(offset) };
        // SAFETY: reached through camlane only, as long as the copy lives.
        let memory = unsafe { Memory::from_raw(base, shape().seat_stride() as usize) };
        let seat = Seats::attach_one(&memory, &self.region, seat).unwrap();
        // SAFETY: a private copy: nobody else sits there.
        Consumer::new(unsafe { self.region.seat_role(seat) }, 1)
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// Payload ranges of slots that a seat pins and that hold a frame: read by the numbers of FORMAT.md, sections 2, 6 and 7.
fn held_payloads(bytes: &[u8]) -> Vec<(usize, Vec<u8>)> {
    let (desc_off, seats_off) = (word(bytes, 0x4c) as usize, word(bytes, 0x60) as usize);
    let cells = (0..2).flat_map(|seat| (0..2).map(move |cell| seats_off + seat * 192 + 0x80 + 4 * cell));
    let slots =
        cells.map(|at| word(bytes, at) & 0xffff).filter(|&slot| slot != 0).map(|slot| slot as usize - 1);
    let framed = slots.filter(|slot| matches!(word(bytes, desc_off + 256 * slot) & 3, 1 | 2));
    framed
        .map(|slot| {
            let start = word(bytes, 0x58) as usize + slot * shape().slot_stride() as usize;
            (start, bytes[start..start + SLOT].to_vec())
        })
        .collect()
}

/// The newest frames are whole, in order, and all there: I4, I5, I7.
fn check_newest(survivors: &Survivors<'_>, newest: u64) {
    let reader = survivors.sit_down(1);
    if newest == 0 {
        assert!(reader.newest().unwrap().is_none());
        return;
    }
    let frame = reader.newest().unwrap().expect("the newest frame is always there");
    assert_eq!((frame.number(), &frame[..]), (newest, &pixels(newest)[..]));
    drop(frame);
    let every = Consumer::from_the_first(reader.leave(), 1);
    for number in (newest + 1).saturating_sub(HISTORY).max(1)..=newest {
        let frame = every.next().unwrap().expect("the newest H frames stay readable");
        assert_eq!((frame.number(), &frame[..]), (number, &pixels(number)[..]));
    }
}

#[test]
fn a_producer_can_die_at_any_instruction_and_another_goes_on() {
    let Stage { mut lane, base } = stage();
    let producer: Producer<'_> = Producer::new(lane.producer).unwrap();
    let holder = Consumer::new(lane.seats.next().unwrap(), 1);
    let unused = publish(&producer);
    assert_eq!(unused, 1);
    let held = holder.latest().unwrap().unwrap();
    for _ in 0..5 {
        publish(&producer);
    }
    let (held_slot, held_number) = (held.slot(), held.number());
    let before = producer.published();
    let published = Cell::new((u64::MAX, 0));

    let act = || {
        let abandoned = producer.loan().unwrap();
        publish(&producer);
        drop(abandoned);
        publish(&producer);
        producer.close();
    };
    let states = Cell::new(0u32);
    let steps = at_every_instruction(base, act, |step, bytes| {
        states.set(states.get() + 1);
        let survivors = Survivors::find(bytes);
        // A reader that knows nothing of the death sees a whole frame.
        let reader = survivors.sit_down(1);
        let frame = reader.newest().unwrap().unwrap();
        assert_eq!(frame[..], pixels(frame.number())[..], "after {step} instructions");
        drop(frame);
        drop(reader);

        let successor = survivors.take_over();
        let newest = successor.published();
        assert!((before..=before + 2).contains(&newest), "after {step} instructions: {newest}");
        let (low, high) = published.get();
        published.set((low.min(newest), high.max(newest)));
        check_newest(&survivors, newest);

        // Taking over can be killed and repeated as well: once more gives the same.
        drop(successor);
        let successor = survivors.take_over();
        assert_eq!(successor.published(), newest);
        for _ in 0..3 * shape().slots() {
            publish(&successor);
        }
        check_newest(&survivors, newest + 3 * u64::from(shape().slots()));
        let start = survivors.region.payload_offset(held_slot) as usize;
        drop(successor);
        assert_eq!(bytes[start..start + SLOT], pixels(held_number), "the held frame changed after {step}");
    });
    assert_eq!(published.get(), (before, before + 2), "both publishes were stepped through");
    println!("producer: {steps} instructions, {} states of memory", states.get());
    assert!(states.get() > 40, "each store that changes something is a state");
    drop(held);
}

#[test]
fn a_producer_that_takes_over_can_die_at_any_instruction_too() {
    let Stage { lane, base } = stage();
    let producer: Producer<'_> = Producer::new(lane.producer).unwrap();
    for _ in 0..6 {
        publish(&producer);
    }
    // The predecessor died while it wrote two slots.
    let loans = [producer.loan().unwrap(), producer.loan().unwrap()];
    std::mem::forget(loans);
    let seats = producer.seats();
    // SAFETY: the first producer does nothing any more.
    let again = unsafe { lane.region.producer_role(seats) };
    let again = Cell::new(Some(again));

    let act = || {
        let successor: Producer<'_> = Producer::take_over(again.take().unwrap()).unwrap();
        publish(&successor);
    };
    let last = Cell::new(0);
    let steps = at_every_instruction(base, act, |step, bytes| {
        let survivors = Survivors::find(bytes);
        let successor = survivors.take_over();
        last.set(successor.published());
        assert!((6..=7).contains(&last.get()), "after {step} instructions");
        check_newest(&survivors, last.get());
        for _ in 0..2 * shape().slots() {
            publish(&successor);
        }
        check_newest(&survivors, last.get() + 2 * u64::from(shape().slots()));
    });
    assert_eq!(last.get(), 7);
    println!("take-over: {steps} instructions");
}

#[test]
fn a_consumer_can_die_at_any_instruction_and_its_seat_is_given_to_another() {
    let Stage { mut lane, base } = stage();
    let producer: Producer<'_> = Producer::new(lane.producer).unwrap();
    let consumer = Consumer::new(lane.seats.next().unwrap(), 1);
    for _ in 0..6 {
        publish(&producer);
    }
    let newest = producer.published();

    let act = || {
        let first = consumer.next().unwrap().unwrap();
        let again = consumer.newest().unwrap().unwrap();
        drop(first);
        drop(again);
        let bell = consumer.bell();
        drop(consumer.fall_asleep(bell));
        drop(consumer);
    };
    let (pinned, asleep) = (Cell::new(0), Cell::new(0));
    let steps = at_every_instruction(base, act, |step, bytes| {
        let held = held_payloads(bytes);
        let survivors = Survivors::find(bytes);
        let uses: Vec<_> = survivors.seats.in_use().collect();
        pinned.set(pinned.get().max(uses.iter().map(|seat| seat.pins).sum()));
        asleep.set(asleep.get() + u32::from(uses.iter().any(|seat| seat.sleeping)));
        let successor = survivors.take_over();
        assert_eq!(successor.published(), newest);
        for _ in 0..3 * shape().slots() {
            publish(&successor); // the dead one's pins cost slots, never a loan
        }
        drop((successor, survivors));
        for (start, frame) in held {
            assert_eq!(bytes[start..start + SLOT], frame, "after {step} instructions");
        }

        let survivors = Survivors::find(bytes);
        // SAFETY: the one consumer was killed.
        unsafe { survivors.seats.reclaim(|_| false) };
        assert_eq!(survivors.seats.in_use().count(), 0);
        // Reclaimed, every slot that is not in the history can be lent at once.
        let successor = survivors.take_over();
        let loans: Vec<_> =
            (0..shape().slots() - HISTORY as u32).map(|_| successor.loan().unwrap()).collect();
        drop(loans);
        check_newest(&survivors, newest + 3 * u64::from(shape().slots()));
    });
    assert_eq!(pinned.get(), 2, "deaths with two frames in hand were visited");
    assert!(asleep.get() > 0, "and deaths asleep");
    println!("consumer: {steps} instructions");
}

//! Frames are where the producer wrote them, and consumers cannot write there.

use camlane::Consumer;
use camlane_tests::lane::TestLane;
use camlane_tests::pattern;
use camlane_tests::wait::PATIENCE;
use nix::sys::signal::Signal;

use crate::{options, peer, source};

#[test]
fn a_frame_lies_in_the_mapping_at_the_offset_at_which_it_was_written() {
    let lane = TestLane::new("in-place");
    let source = source(&lane, options()).unwrap();
    let mut consumer = Consumer::open(lane.name()).unwrap();
    let shape = *consumer.shape();
    for number in 1..=40 {
        let loan = source.producer.loan().unwrap();
        let slot = u64::from(loan.slot());
        let offset = shape.payload_offset() + slot * u64::from(shape.slot_stride());
        let written = loan.as_ptr().addr() - source.producer.addresses().start;
        assert_eq!(written as u64, offset);
        source.publish(loan).unwrap();

        let frame = consumer.next(PATIENCE).unwrap();
        assert_eq!(frame.number(), number);
        let addresses = consumer.addresses();
        assert!(
            addresses.contains(&frame.as_ptr().addr())
                && addresses.contains(&(frame.as_ptr_range().end.addr() - 1))
        );
        assert_eq!(frame.as_ptr().addr() - addresses.start, written);
        pattern::check(&frame).unwrap();
    }
    assert_ne!(consumer.addresses(), source.producer.addresses(), "two mappings of one object");
}

#[test]
fn a_consumer_maps_pixels_read_only_and_of_the_seats_its_own_page_alone() {
    let lane = TestLane::new("maps");
    let source = source(&lane, options().seats(4)).unwrap();
    let page = u64::from(source.producer.shape().seat_stride());
    let mut peers = [peer(), peer(), peer()];
    for (seat, peer) in peers.iter_mut().enumerate() {
        assert_eq!(peer.must(&format!("open {}", lane.name())).number("seat"), seat as u64);
        source.shoot().unwrap();
        assert_eq!(peer.ask("hold 5000").word(), "frame");

        let pixels = peer.mappings(&format!("camlane.{}.data", lane.name()));
        assert_eq!(pixels.len(), 1, "{pixels:?}");
        assert_eq!(mapping(&pixels[0]), (source.producer.shape().data_len(), "r--s", 0));
        let seats = peer.mappings(&format!("camlane.{}.seats", lane.name()));
        assert_eq!(seats.len(), 1, "{seats:?}");
        assert_eq!(mapping(&seats[0]), (page, "rw-s", page * seat as u64));
    }
}

/// Length, permissions and offset of a line of proc_pid_maps(5).
fn mapping(line: &str) -> (u64, &str, u64) {
    let hex = |text| u64::from_str_radix(text, 16).unwrap();
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let (start, end) = words[0].split_once('-').unwrap();
    (hex(end) - hex(start), words[1], hex(words[2]))
}

#[test]
fn a_consumer_that_writes_into_a_frame_dies_of_it_and_nobody_else_notices() {
    let lane = TestLane::new("scribbled");
    let source = source(&lane, options()).unwrap();
    let mut consumer = Consumer::open(lane.name()).unwrap();
    let mut scribbler = peer();
    scribbler.must(&format!("open {}", lane.name()));
    source.shoot().unwrap();
    assert_eq!(scribbler.ask("hold 5000").word(), "frame");
    let frame = consumer.next(PATIENCE).unwrap();
    scribbler.tell("scribble");
    assert_eq!(scribbler.death(), Some(Signal::SIGSEGV as i32));
    pattern::check(&frame).unwrap();
}

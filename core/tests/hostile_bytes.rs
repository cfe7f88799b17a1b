//! Bytes that no conforming program wrote: nothing panics, nothing reaches outside the memory, everything ends.

mod common;

use core::sync::atomic::AtomicBool;
use core::sync::atomic::Ordering::Relaxed;
use std::thread;

use camlane_core::layout::{Header, MAGIC};
use camlane_core::{
    CreateError, Geometry, Lane, LaneSpec, MAX_SEATS, MAX_SLOTS, Region, Seats, parse_header,
};
use common::hostile::{HEADER, assert_inside, check, geometries, header_of, use_region, with_right_checksum};
use common::{Dice, Patience, RaisedAtTheEnd, TestLane, Words, at};
use proptest::prelude::*;
use rstest::rstest;
use zerocopy::{FromBytes, IntoBytes};

#[test]
fn no_mutated_header_panics_or_reaches_outside() {
    let headers = geometries().map(header_of);
    let mut dice = Dice(0x1234_5678_9abc_def1);
    let (mut accepted, mut accepted_unsigned) = (0, 0);
    for round in 0..300_000 {
        let mut bytes = headers[round % headers.len()];
        for _ in 0..=dice.below(3) {
            let at = 4 * dice.below(HEADER / 4 - 1);
            let old = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
            bytes[at..at + 4].copy_from_slice(&dice.value(old).to_le_bytes());
        }
        let len = match dice.below(4) {
            0 => dice.next(),
            1 => dice.below(20_000) as u64,
            _ => u64::MAX,
        };
        let changed = bytes != headers[round % headers.len()];
        accepted_unsigned += u32::from(changed && check(&bytes, len));
        accepted += u32::from(check(&with_right_checksum(bytes), len));
    }
    assert_eq!(accepted_unsigned, 0, "the checksum protects every word");
    assert!(accepted > 10_000, "{accepted} of the mutants passed: too few to say anything");
}

/// A header of the largest lane, with room for more in every table. Less than 2 GiB, or programs of 32 bits would refuse it
/// for that.
fn roomy() -> Header {
    let geometry = Geometry::new(4).seats(1).pins(1).slots(MAX_SLOTS);
    let mut header = Header::read_from_bytes(&header_of(geometry)).unwrap();
    header.desc_off = 1 << 20;
    header.payload_off = (1 << 30).into();
    header.total_len = (1 << 30 | 1 << 24).into();
    header.seats_off = header.total_len;
    header
}

#[rstest]
#[case::as_it_is(|_: &mut Header| {}, true)]
#[case::a_slot_too_many(|header: &mut Header| header.slots = MAX_SLOTS + 1, false)]
#[case::a_longer_ring(|header: &mut Header| header.ring_len = 1 << 17, false)]
#[case::as_many_seats_as_there_can_be(|header: &mut Header| header.seats = MAX_SEATS, true)]
#[case::a_seat_too_many(|header: &mut Header| header.seats = MAX_SEATS + 1, false)]
#[case::seats_that_take_turns(|header: &mut Header| (header.seat_places, header.seat_stride) = (4, 768), true)]
#[case::seats_that_fall_out_of_their_stride(|header: &mut Header| (header.seat_places, header.seat_stride) = (4, 764), false)]
#[case::seats_in_three_places(|header: &mut Header| (header.seat_places, header.seat_stride) = (3, 4096), false)]
#[case::a_flag_of_a_later_version(|header: &mut Header| header.flags |= 1 << 20, true)]
#[case::a_later_minor_version(|header: &mut Header| header.layout += 1, true)]
#[case::a_longer_header_of_a_later_version(|header: &mut Header| (header.header_len, header.ring_off) = (768, 768), true)]
fn what_fits_is_accepted_up_to_the_limits_of_the_words(
    #[case] change: fn(&mut Header),
    #[case] accepted: bool,
) {
    let mut header = roomy();
    change(&mut header);
    let bytes = with_right_checksum(header.as_bytes().try_into().unwrap());
    assert_eq!(check(&bytes, u64::MAX), accepted, "{header:?}");
}

#[test]
fn what_no_pointer_can_reach_is_refused() {
    let reach = isize::MAX as u64;
    let accepts = |len: u64| {
        let mut header = roomy();
        (header.total_len, header.seats_off) = (len.into(), 0u64.into());
        check(&with_right_checksum(header.as_bytes().try_into().unwrap()), u64::MAX)
    };
    assert!(accepts(reach) && !accepts(reach + 1));
}

#[test]
fn a_shape_with_room_before_its_seats_needs_that_room_too() {
    let mut header = Header::read_from_bytes(&header_of(Geometry::new(16))).unwrap();
    header.seats_off = (u64::from(header.seats_off) + (1 << 20)).into();
    let bytes = with_right_checksum(header.as_bytes().try_into().unwrap());
    let (shape, _) = parse_header(&bytes, u64::MAX).unwrap();
    assert_eq!(shape.footprint(), u64::from(header.seats_off) + shape.seats_len());
    let mut words = vec![0u32; shape.footprint() as usize / 4];
    let short = &mut words.as_mut_bytes()[..shape.footprint() as usize - 4];
    let found = short.len() as u64;
    let refused = Lane::create_in(short, &LaneSpec::anonymous(shape)).unwrap_err();
    assert_eq!(refused, CreateError::TooSmall { needed: shape.footprint(), found });
    assert!(Lane::create_in(words.as_mut_bytes(), &LaneSpec::anonymous(shape)).is_ok());
}

#[test]
fn a_header_of_any_geometry_is_accepted_and_says_the_same() {
    let mut dice = Dice(42);
    let (mut made, mut attached) = (0, 0);
    for _ in 0..20_000 {
        let small = |dice: &mut Dice| 1 + dice.below(9) as u32;
        let size = match dice.below(3) {
            0 => small(&mut dice),
            1 => dice.below(1 << 24) as u32,
            _ => dice.next() as u32,
        };
        let geometry = Geometry::new(size)
            .seats(small(&mut dice) * if dice.below(9) == 0 { 400 } else { 1 })
            .pins(small(&mut dice))
            .history(small(&mut dice))
            .loans(small(&mut dice))
            .user_bytes(dice.below(300) as u32)
            .paged(64 << dice.below(8))
            .slot_align(64 << dice.below(16));
        let Ok(shape) = geometry.shape() else { continue };
        made += 1;
        assert!(shape.footprint() <= isize::MAX as u64);
        if shape.data_len() < 1 << 17 {
            let words = Words::new(shape.data_len());
            Region::create(words.memory(), &LaneSpec::anonymous(shape)).unwrap();
            assert_eq!(
                Region::attach(&words.memory()).map(|region| *region.shape()),
                Ok(shape),
                "{geometry:?}"
            );
            assert!(check(&words.bytes(0, HEADER).try_into().unwrap(), shape.data_len()));
            attached += 1;
        }
    }
    assert!(made > 5000 && attached > 1000, "{made} {attached}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_at_all_make_a_header_that_reaches_outside(
        mut bytes in proptest::array::uniform32(any::<u32>()),
        camouflage in 0..3,
        len in any::<u64>(),
    ) {
        let bytes: &mut [u8; HEADER] = bytes.as_mut_bytes().try_into().unwrap();
        if camouflage > 0 {
            bytes[..8].copy_from_slice(&MAGIC);
            bytes[8..12].copy_from_slice(&(1u32 << 16).to_le_bytes());
        }
        check(&if camouflage > 1 { with_right_checksum(*bytes) } else { *bytes }, len);
    }

    #[test]
    fn memory_with_anything_in_it_can_be_tried(
        image in proptest::collection::vec(any::<u32>(), 0..400),
        magic in any::<bool>(),
    ) {
        let words = Words::new(4 * image.len() as u64);
        words.restore(&image);
        if magic && image.len() > 2 {
            words.poke(0, u32::from_le_bytes(*b"caml"));
            words.poke(4, u32::from_le_bytes(*b"ane\0"));
            words.poke(8, 1 << 16);
        }
        prop_assert!(Region::attach(&words.memory()).is_err());
        let lane = TestLane::new(Geometry::new(16));
        prop_assert!(Seats::attach(&words.memory(), &lane.region()).is_err());
        prop_assert!(Seats::attach_one(&words.memory(), &lane.region(), image.first().map_or(0, |word| word % 9)).is_err());
    }
}

#[test]
fn a_region_with_a_strange_but_fitting_shape_can_be_used() {
    let small = [0, 1, 3, 5].map(|index| geometries()[index]);
    let mut dice = Dice(7);
    let (mut used, mut frames) = (0, 0);
    for round in 0..6000 {
        let lane = TestLane::new(small[round % small.len()]);
        if !lane.shape.is_stream() {
            lane.pretend_published(3);
        }
        for _ in 0..=dice.below(2) {
            let offset = 0x20 + 4 * dice.below(0x50 / 4);
            lane.data.poke(offset, dice.value(lane.data.peek(offset)));
        }
        let signed = with_right_checksum(lane.data.bytes(0, HEADER).try_into().unwrap());
        lane.data.poke(HEADER - 4, u32::from_le_bytes(signed[HEADER - 4..].try_into().unwrap()));
        let Ok(region) = Region::attach(&lane.data.memory()) else { continue };
        let shape = *region.shape();
        assert_inside(&shape, &Header::read_from_bytes(&signed).unwrap(), lane.data.len() as u64);
        if shape.seats_len() > 1 << 16 {
            continue;
        }
        // A seat for whatever this region thinks that it is.
        let seats = Words::new(shape.seats_len());
        let identity = region.incarnation();
        let Ok(all) = Seats::create(seats.memory(), &shape, identity) else { continue };
        let one = Seats::attach_one(&seats.memory(), &region, 0).unwrap();
        frames += use_region(&lane.data, region, all, one);
        used += 1;
    }
    assert!(
        used > 500 && frames > 500,
        "{used} regions were used and gave {frames} frames: too few to say anything"
    );
}

#[rstest]
#[case::of_frames(Geometry::new(48).seats(2).pins(3).history(4).loans(2).user_bytes(64))]
#[case::of_many_small_frames(Geometry::new(4).seats(1).pins(1).history(30).loans(9))]
#[case::of_bytes(Geometry::stream(256))]
fn words_may_change_to_anything_between_two_steps(#[case] geometry: Geometry) {
    let mut dice = Dice(99);
    let mut frames = 0;
    for round in 0..1500u64 {
        let lane = TestLane::new(geometry);
        if !geometry.shape().unwrap().is_stream() {
            lane.pretend_published(1 + round * 0x1_2345);
        }
        let (region, seats) = (lane.region(), lane.all_seats());
        for step in 0..4 {
            if step > 0 {
                // Everything that moves: live words, ring, descriptors, and the seats.
                let moving = 0x80 / 4..0x100 / 4;
                let tables =
                    lane.data.peek(at::RING_OFF) as usize / 4..lane.shape.payload_offset() as usize / 4;
                for _ in 0..=dice.below(if step == 3 { 300 } else { 3 }) {
                    let range = if dice.below(3) == 0 || tables.is_empty() { &moving } else { &tables };
                    let offset = 4 * (range.start + dice.below(range.len()));
                    lane.data.poke(offset, dice.value(lane.data.peek(offset)));
                }
                let offset = 0x20 + 4 * dice.below((lane.seats.len() - 0x20) / 4);
                lane.seats.poke(offset, dice.value(0));
            }
            let Ok(seat) = Seats::attach_one(&lane.seats.memory(), &region, 0) else { continue };
            frames += use_region(&lane.data, region, seats, seat);
        }
    }
    assert!(frames > 1500, "{frames}");
}

#[test]
fn an_observer_survives_a_region_that_changes_while_it_reads() {
    let lane = TestLane::new(Geometry::new(256).seats(1).pins(1).history(2).user_bytes(64));
    lane.pretend_published(5);
    let observer = lane.observer();
    let done = AtomicBool::new(false);
    thread::scope(|threads| {
        threads.spawn(|| {
            let mut dice = Dice(3);
            let image = lane.data.image();
            while !done.load(Relaxed) {
                for _ in 0..50 {
                    let offset = 0x80 + 4 * dice.below((lane.data.len() - 0x80) / 4);
                    lane.data.poke(offset, dice.value(lane.data.peek(offset)));
                }
                // Back to sense, or nothing would ever be accepted again.
                lane.data.restore(&image);
            }
        });
        let _done = RaisedAtTheEnd(&done);
        let (mut seen, mut refused) = (0, 0);
        let patience = Patience::new();
        let mut pixels = [0x55; 264];
        while seen < 2000 || refused < 20 {
            match observer.copy_newest(&mut pixels[..256], &mut []) {
                Ok(Some(frame)) => {
                    assert!(frame.meta.layout.bytes <= 256 && frame.meta.user_len <= 64);
                    seen += 1;
                }
                Ok(None) | Err(_) => refused += 1,
            }
            assert_eq!(pixels[256..], [0x55; 8]);
            if (seen + refused) % 16 == 0 {
                patience.wait(seen + refused);
            }
        }
    });
}

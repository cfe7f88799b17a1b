//! A region of any shape that fits, used in every way that there is, while its words change between the uses.

use arbitrary::{Result, Unstructured};
use camlane_core::layout::Header;
use camlane_core::{Region, Seats};
use zerocopy::FromBytes as _;

use crate::access;
use crate::common::hostile::{HEADER, assert_inside, geometries, use_region, with_right_checksum};
use crate::common::{TestLane, Words};

/// Bytes of seats, at most: a header may ask for many.
const MOST_SEATS: u64 = 1 << 16;

pub(crate) fn run(bytes: &[u8]) {
    crate::with(bytes, body);
}

fn body(input: &mut Unstructured<'_>) -> Result<()> {
    let geometries = [0, 1, 3, 5].map(|index| geometries()[index]);
    let lane = TestLane::new(*input.choose(&geometries)?);
    if !lane.shape.is_stream() && input.arbitrary()? {
        lane.pretend_published(input.int_in_range(1..=u64::MAX)?);
    }
    for _ in 0..input.int_in_range(0..=3)? {
        access::change(input, &lane.data, 0x20..HEADER - 4)?;
    }
    let header = with_right_checksum(lane.data.bytes(0, HEADER).try_into().unwrap_or([0; HEADER]));
    lane.data.poke(HEADER - 4, u32::from_le_bytes([header[124], header[125], header[126], header[127]]));
    let Ok(region) = Region::attach(&lane.data.memory()) else { return Ok(()) };
    let shape = *region.shape();
    if let Ok(header) = Header::read_from_bytes(&header) {
        assert_inside(&shape, &header, lane.data.len() as u64);
    }
    if shape.seats_len() > MOST_SEATS {
        return Ok(());
    }
    let memory = Words::new(shape.seats_len());
    let Ok(seats) = Seats::create(memory.memory(), &shape, region.incarnation()) else { return Ok(()) };
    let moving = 0x80..shape.payload_offset() as usize;
    for _ in 0..16 {
        if let Ok(seat) = Seats::attach_one(&memory.memory(), &region, 0) {
            use_region(&lane.data, region, seats, seat);
        }
        if input.is_empty() {
            break;
        }
        for _ in 0..input.int_in_range(1..=4)? {
            if input.ratio(3, 4)? {
                access::change(input, &lane.data, moving.clone())?;
            } else {
                access::change(input, &memory, 0..memory.len())?;
            }
        }
    }
    Ok(())
}

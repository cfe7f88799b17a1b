//! The bytes at the front of an object: whatever is accepted lies inside it.

use std::sync::OnceLock;

use arbitrary::{Result, Unstructured};
use camlane_core::{Region, Seats};

use crate::access;
use crate::common::hostile::{HEADER, check, geometries, header_of, with_right_checksum};
use crate::common::{TestLane, Words};

pub(crate) fn run(bytes: &[u8]) {
    crate::with(bytes, body);
}

fn body(input: &mut Unstructured<'_>) -> Result<()> {
    // Made once: the largest lane among them takes a while to clear.
    static HEADERS: OnceLock<[[u8; HEADER]; 6]> = OnceLock::new();
    let headers = HEADERS.get_or_init(|| geometries().map(header_of));
    let words = Words::new(HEADER as u64);
    for (index, word) in input.choose(headers)?.chunks(4).enumerate() {
        words.poke(4 * index, u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
    }
    for _ in 0..input.int_in_range(0..=6)? {
        access::change(input, &words, 0..HEADER)?;
    }
    let mut bytes: [u8; HEADER] = words.bytes(0, HEADER).try_into().unwrap_or([0; HEADER]);
    if input.ratio(7, 8)? {
        bytes = with_right_checksum(bytes);
    }
    let len = if input.arbitrary()? { u64::MAX } else { input.arbitrary()? };
    check(&bytes, len);
    object(input, &bytes)
}

/// The same header at the front of an object that is as long as the input says, and has in it what the input says.
fn object(input: &mut Unstructured<'_>, header: &[u8; HEADER]) -> Result<()> {
    let object = Words::new(input.int_in_range(0..=0x2000u64)?);
    let header = header.iter().copied();
    let live = if input.arbitrary()? { Some(1u32) } else { None };
    for offset in (0..object.len()).step_by(4) {
        let word: Vec<u8> = header.clone().skip(offset).take(4).collect();
        let value = match word.try_into() {
            Ok(word) => u32::from_le_bytes(word),
            Err(_) if offset == crate::common::at::STATE => live.unwrap_or(input.arbitrary()?),
            Err(_) => input.arbitrary()?,
        };
        object.poke(offset, value);
    }
    if let Ok(region) = Region::attach(&object.memory()) {
        let _ =
            (region.info(), region.state(), region.dropped(), region.published_hint(), region.created_ns());
        let _ = Seats::attach(&object.memory(), &region).map(|seats| seats.in_use().count());
    }
    let lane = TestLane::new(geometries()[1]);
    let _ = Seats::attach_one(&object.memory(), &lane.region(), input.arbitrary()?);
    Ok(())
}

//! A byte stream: what one end writes the other reads, wherever the positions are and however the grants are cut; and
//! with anybody at the other end, nothing reaches outside the buffer.

use arbitrary::{Result, Unstructured};
use camlane_core::Geometry;
use camlane_core::stream::{StreamReader, StreamWriter};

use crate::access;
use crate::common::{TestLane, at};

pub(crate) fn run(bytes: &[u8]) {
    crate::with(bytes, body);
}

/// The byte at a position, from where both began.
const fn byte(position: usize) -> u8 {
    (position ^ position >> 8) as u8
}

fn body(input: &mut Unstructured<'_>) -> Result<()> {
    let lane = TestLane::new(Geometry::stream(1 << input.int_in_range(0..=9)?));
    let start = if input.arbitrary()? { 0u32.wrapping_sub(20) } else { input.arbitrary()? };
    lane.data.poke(at::LATEST, start);
    lane.seats.poke(lane.cell_at(0, 0), start);
    let Ok(mut writer) = StreamWriter::new(lane.producer_role()) else { return Ok(()) };
    let Ok(mut reader) = StreamReader::new(lane.seat_role(0), 1) else { return Ok(()) };
    let honest = input.arbitrary()?;
    let (mut written, mut read) = (0, 0);
    for _ in 0..200 {
        if input.is_empty() {
            break;
        }
        match input.int_in_range(0..=if honest { 3 } else { 5 })? {
            0 => written += write(input, &mut writer, written)?,
            1 => read += take(input, &mut reader, honest.then_some(read))?,
            2 => {
                let bytes: Vec<u8> = (written..written + input.int_in_range(0..=64)?).map(byte).collect();
                written += writer.write(&bytes).map_or(0, |done| done.bytes as usize);
            }
            3 => {
                let (bytes, room) = (reader.bell(), writer.bell());
                let _ = reader.fall_asleep(bytes).map(|asleep| asleep.expected());
                let _ = writer.fall_asleep(room).map(|asleep| asleep.expected());
            }
            4 => access::change(input, &lane.data, at::LATEST..at::LATEST_SLOT)?,
            _ => access::change(input, &lane.seats, 0x20..lane.seats.len())?,
        }
        assert!(!honest || (read <= written && written - read <= lane.shape.slot_size() as usize));
    }
    if honest {
        let grant = reader.read().expect("nobody did anything wrong");
        assert_eq!(grant.len() as usize, written - read, "bytes were lost");
    }
    Ok(())
}

/// Fills a part of what is granted and commits it; sometimes more, which is refused. Returns what was committed.
fn write(input: &mut Unstructured<'_>, writer: &mut StreamWriter<'_>, position: usize) -> Result<usize> {
    let most = if input.arbitrary()? { u32::MAX } else { input.int_in_range(0..=100)? };
    let capacity = writer.region().shape().slot_size();
    let Ok(mut grant) = writer.grant(most) else { return Ok(0) };
    let len = grant.len();
    assert!(len <= most.min(capacity));
    let (first, second) = grant.slices();
    assert_eq!(first.len() + second.len(), len as usize);
    first.iter_mut().chain(second).enumerate().for_each(|(index, into)| *into = byte(position + index));
    let bytes = input.int_in_range(0..=len.saturating_add(1))?;
    let committed = grant.commit(bytes);
    assert_eq!(committed.is_ok(), bytes <= len);
    Ok(committed.map_or(0, |done| done.bytes as usize))
}

/// Reads what is there, which must be what was written if the position is given, and releases a part of it.
fn take(
    input: &mut Unstructured<'_>,
    reader: &mut StreamReader<'_>,
    position: Option<usize>,
) -> Result<usize> {
    let capacity = reader.region().shape().slot_size();
    let Ok(grant) = reader.read() else { return Ok(0) };
    let len = grant.len();
    let (first, second) = grant.slices();
    assert!(len <= capacity && first.len() + second.len() == len as usize);
    let seen = first.iter().chain(second).copied();
    match position {
        Some(position) => assert!(seen.eq((position..position + len as usize).map(byte)), "other bytes"),
        None => drop(seen.fold(0u8, u8::wrapping_add)),
    }
    let bytes = input.int_in_range(0..=len.saturating_add(1))?;
    let released = grant.release(bytes);
    assert_eq!(released.is_ok(), bytes <= len);
    Ok(released.map_or(0, |done| done.bytes as usize))
}

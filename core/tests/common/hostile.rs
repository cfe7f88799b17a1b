//! How a region that nobody conforming wrote is judged, and used in every way that there is.

use camlane_core::layout::{Header, Seat};
use camlane_core::stream::{StreamReader, StreamWriter};
use camlane_core::{
    AttachError, Consumer, FrameMeta, Geometry, LaneSpec, Producer, Region, Seats, Shape, TakeOverError,
    parse_header,
};

use super::{Words, roles};

/// Bytes of a lane's header.
pub(crate) const HEADER: usize = size_of::<Header>();

/// Shapes that differ in everything.
pub(crate) fn geometries() -> [Geometry; 6] {
    [
        Geometry::new(100),
        Geometry::new(1).seats(1).pins(1).history(1),
        Geometry::new(5000).seats(3).pins(1).paged(4096),
        Geometry::new(64).seats(2).pins(8).history(5).loans(3).user_bytes(70),
        Geometry::new(640 * 480 * 2).slot_align(1 << 21).always_wake(),
        Geometry::stream(4096),
    ]
}

/// The header of a lane of that shape.
pub(crate) fn header_of(geometry: Geometry) -> [u8; HEADER] {
    let shape = geometry.shape().unwrap();
    let words = Words::new(shape.data_len());
    Region::create(words.memory(), &LaneSpec::anonymous(shape)).unwrap();
    words.bytes(0, HEADER).try_into().unwrap()
}

/// CRC-32 by table, independent of the crate's own.
fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut index = 0;
        while index < 256 {
            let (mut crc, mut bit) = (index as u32, 0);
            while bit < 8 {
                crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
                bit += 1;
            }
            table[index] = crc;
            index += 1;
        }
        table
    };
    !bytes.iter().fold(!0, |crc, &byte| TABLE[((crc ^ u32::from(byte)) & 0xff) as usize] ^ crc >> 8)
}

/// The same header, its checksum made right.
pub(crate) fn with_right_checksum(mut bytes: [u8; HEADER]) -> [u8; HEADER] {
    let crc = crc32(&bytes[..HEADER - 4]);
    bytes[HEADER - 4..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// Everything that this crate will ever reach lies inside `len` bytes, and nothing overlaps. Written in wide numbers, from
/// the header and not from the code.
pub(crate) fn assert_inside(shape: &Shape, header: &Header, len: u64) {
    let wide = |wide| u128::from(u64::from(wide));
    let (data_len, payload_off) = (wide(header.total_len), wide(header.payload_off));
    let stream = shape.is_stream();
    assert_eq!(stream, header.flags & 4 != 0);
    assert_eq!((shape.slots(), shape.seats(), shape.pins()), (header.slots, header.seats, header.pins));
    assert_eq!(u128::from(shape.data_len()), data_len);
    let ring = u128::from(header.ring_off);
    let descriptors = u128::from(header.desc_off);
    let slots = u128::from(header.slots);
    assert!(ring >= 0x240 && header.header_len >= 0x240 && ring >= header.header_len.into());
    assert!(header.ring_len >= header.slots && ring + 4 * u128::from(header.ring_len) <= descriptors);
    assert!(header.desc_stride >= 256 && shape.user_bytes() == header.desc_stride - 256);
    assert!(descriptors + slots * u128::from(header.desc_stride) <= payload_off);
    assert!(header.slot_size >= 1 && header.slot_size <= header.slot_stride);
    let payloads = if stream { 1 } else { slots };
    assert!(payload_off + payloads * u128::from(header.slot_stride) <= data_len && data_len <= len.into());
    assert!(data_len <= isize::MAX as u128 && header.page.is_power_of_two());
    let aligned =
        [header.ring_off, header.desc_off, header.desc_stride, header.slot_stride, header.seat_stride];
    assert!(aligned.iter().all(|offset| offset.is_multiple_of(4)) && payload_off.is_multiple_of(4));
    assert!((1..=8).contains(&header.pins) && header.seat_stride >= 192 && header.seats >= 1);
    let places = header.seat_places.max(1);
    assert!(places.is_power_of_two() && 192 * u64::from(places) <= header.seat_stride.into());
    assert!(header.seats_off == 0.into() || wide(header.seats_off) >= data_len);
    let seats_end = wide(header.seats_off) + u128::from(header.seats) * u128::from(header.seat_stride);
    assert!(seats_end <= isize::MAX as u128);
    if stream {
        assert!(header.slot_size.is_power_of_two() && header.seats == 1);
        assert!(header.slots == 0 && header.ring_len == 0);
    } else {
        assert!(
            (1..=65_534).contains(&header.slots)
                && header.ring_len.is_power_of_two()
                && header.ring_len <= 65_536
        );
        assert!(header.history >= 1 && header.loans >= 1);
        assert!(u64::from(header.history) + u64::from(header.loans) <= header.slots.into());
    }
    // These compute: no sum overflows.
    _ = (shape.footprint(), shape.seats_len(), shape.never_starves(), shape.seats_offset());
}

/// Parses a header against an object of `len` bytes. If it is accepted, all that it says must lie inside.
pub(crate) fn check(bytes: &[u8; HEADER], len: u64) -> bool {
    match parse_header(bytes, len) {
        Ok((shape, header)) => {
            assert_inside(&shape, &header, len);
            true
        }
        Err(AttachError::TooShort { needed, found }) => {
            assert!(needed > found && found == len);
            false
        }
        Err(_) => false,
    }
}

/// Uses a region in every way that there is. Nobody writes meanwhile.
pub(crate) fn use_region(memory: &Words, region: Region<'_>, seats: Seats<'_>, seat: &Seat) -> u32 {
    let range = memory.base() as usize..memory.base() as usize + memory.len();
    let inside = |bytes: &[u8]| {
        let bytes = bytes.as_ptr_range();
        assert!(range.contains(&(bytes.start as usize)) && bytes.end as usize <= range.end);
    };
    let mut frames = 0;
    let (observer, role, producer) = roles(region, seats, seat);
    let mut pixels = vec![0x55; (region.shape().slot_size() as usize).min(1 << 16) + 8];
    let room = pixels.len() - 8;
    let mut user = [0; 300];
    if let Ok(Some(seen)) = observer.copy_newest(&mut pixels[..room], &mut user) {
        assert!(seen.meta.layout.bytes <= region.shape().slot_size());
        assert!(seen.meta.layout.planes().iter().all(|p| p.offset + p.bytes <= seen.meta.layout.bytes));
        assert!(seen.meta.user_len <= region.shape().user_bytes());
        frames += 1;
    }
    assert_eq!(pixels[room..], [0x55; 8]);
    _ = (observer.peek_newest(), region.state(), region.info(), region.dropped());
    let consumer = Consumer::new(role, 1);
    for read in [Consumer::next, Consumer::latest, Consumer::newest, Consumer::next, Consumer::next] {
        let Ok(Some(frame)) = read(&consumer) else { continue };
        frames += 1;
        assert!(frame.slot() < region.shape().slots());
        inside(&frame);
        inside(frame.user());
        (0..5).filter_map(|plane| frame.plane(plane)).for_each(inside);
    }
    drop(consumer);
    if region.shape().is_stream() {
        return frames + use_stream(memory, region, seats, seat);
    }
    _ = seats.in_use().count();
    match Producer::<70>::take_over(producer) {
        Ok(heir) => {
            for _ in 0..10 {
                let Ok(mut loan) = heir.loan() else { break };
                inside(&loan);
                inside(loan.user_mut());
                _ = heir.publish(loan, &FrameMeta::bytes(1)).unwrap();
                frames += 1;
            }
        }
        Err(TakeOverError::Corrupt { slot }) => assert!(slot < region.shape().slots()),
        Err(_) => {}
    }
    frames
}

fn use_stream(memory: &Words, region: Region<'_>, seats: Seats<'_>, seat: &Seat) -> u32 {
    let (_, role, producer) = roles(region, seats, seat);
    let range = memory.base() as usize..memory.base() as usize + memory.len();
    let inside = |bytes: &[u8]| bytes.is_empty() || range.contains(&(bytes.as_ptr_range().end as usize - 1));
    let mut granted = 0;
    let mut writer = StreamWriter::new(producer).unwrap();
    if let Ok(mut grant) = writer.grant(u32::MAX) {
        let (len, (first, second)) = (grant.len(), grant.slices());
        assert!(inside(first) && inside(second) && first.len() + second.len() == len as usize);
        granted += 1;
    }
    let mut reader = StreamReader::new(role, 1).unwrap();
    if let Ok(grant) = reader.read() {
        let (first, second) = grant.slices();
        assert!(inside(first) && inside(second) && first.len() + second.len() == grant.len() as usize);
        granted += 1;
    }
    granted
}

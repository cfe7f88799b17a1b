//! Pins layout 1 byte for byte: what this version writes is what the files under `golden/` hold, what those files hold
//! can be read without this version's code, and FORMAT.md shows these very bytes.
//!
//! After a change of the layout that FORMAT.md section 11 allows, `CAMLANE_BLESS=1 cargo test -p camlane-tests --test
//! golden` writes the files and the tables anew.
#![allow(unsafe_code)] // takes the roles of a lane that was read from a file

use core::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use camlane_core::stream::{StreamReader, StreamWriter};
use camlane_core::{
    Clock, ClockOffsets, Colour, Consumer, Details, Flags, FrameLayout, FrameMeta, Geometry, InfoSpec, Lane,
    LaneSpec, LaneState, Loan, Memory, PixelFormat, Producer, Rect, Reference, Region, Seats,
};
use camlane_tests::reader::{self, Frame};

const LANE_LEN: usize = 0x1a80;
const STREAM_LEN: usize = 0x340;

#[repr(align(64))]
struct Bytes<const LEN: usize>([u8; LEN]);

/// Makes the lane of `lane-v1.bin`: 15 slots, all six counts of the header different.
///
/// 1. Three loans; the second is published as frame 1, and seat 0 pins it.
/// 2. The first is published as frame 2 (so slots do not follow numbers), the third is dropped: its slot is free.
/// 3. Two frames are counted as dropped; frames 3, 4 and 5 follow. Frame 5 retires frame 1, which stays pinned.
/// 4. Seat 0 pins frame 5 too. Seat 1 reads frame 5, lets go, and falls asleep.
/// 5. A sixth loan is half filled when the producer dies.
fn lane() -> Vec<u8> {
    let geometry =
        Geometry::new(50).seats(2).pins(3).history(4).loans(5).user_bytes(10).always_wake().in_place();
    let spec = LaneSpec {
        shape: geometry.shape().unwrap(),
        incarnation: [0x0302_0100, 0x0706_0504, 0x0b0a_0908, 0x0f0e_0d0c],
        created_ns: 0x0000_0001_2345_6789,
        info: InfoSpec {
            name: "golden",
            frame_id: "golden_optical",
            calibration: "sha256:c0ffee",
            format: PixelFormat::NV12,
            size: (8, 4),
            rate: (30_000, 1_001),
            creator: (4_241, 0x0000_0001_0000_0002),
            boot_id: core::array::from_fn(|index| 0x10 + index as u8),
            clocks: ClockOffsets {
                boottime_minus_monotonic: 5_000_000_000,
                realtime_minus_monotonic: -2_000_000_000,
                tai_minus_realtime: 37_000_000_000,
                sampled_at: 123_456_789_012,
            },
        },
    };
    let mut memory = Bytes([0; LANE_LEN]);
    let mut lane = Lane::create_in(&mut memory.0, &spec).unwrap();
    let producer: Producer = Producer::new(lane.producer).unwrap();
    let first = Consumer::new(lane.seats.next().unwrap(), 4_242);
    let publish = |mut loan: Loan<'_>, meta: FrameMeta| {
        let number = producer.published() + 1;
        let len = meta.layout.bytes as usize;
        loan[..len].iter_mut().enumerate().for_each(|(at, byte)| *byte = reader::golden_pixel(number, at));
        assert_eq!(producer.publish(loan, &meta).unwrap().number, number);
    };

    let [in_slot_0, in_slot_1, in_slot_2] = core::array::from_fn(|_| producer.loan().unwrap());
    publish(in_slot_1, FrameMeta::new(PixelFormat::NV12.layout(8, 4, 8).unwrap()));
    let pinned_and_retired = first.latest().unwrap().unwrap();
    publish(in_slot_0, timed(PixelFormat::GRAY8.layout(5, 3, 4).unwrap(), 2));
    drop(in_slot_2);
    producer.count_dropped(2);

    let mut with_user = producer.loan().unwrap();
    with_user.user_mut()[..10].copy_from_slice(b"user bytes");
    let meta = timed(PixelFormat::YUYV.layout(6, 2, 1).unwrap(), 3);
    publish(with_user, FrameMeta { user_len: 10, details: Some(details()), ..meta });

    let meta = timed(PixelFormat::JPEG.blob(640, 480, 21).unwrap(), 4);
    publish(producer.loan().unwrap(), FrameMeta { flags: Flags::KEY | Flags::COPIED, ..meta });

    let few = Details { exposure_ns: Some(8_000_000), pts_offset_ns: Some(-1), ..Details::default() };
    let meta = timed(PixelFormat::NV12.layout(7, 3, 1).unwrap(), 5);
    publish(producer.loan().unwrap(), FrameMeta { details: Some(few), ..meta });

    let newest = first.latest().unwrap().unwrap();
    assert_eq!((newest.number(), newest.missed(), pinned_and_retired.number()), (5, 3, 1));
    let second = Consumer::new(lane.seats.next().unwrap(), 4_243);
    drop(second.latest().unwrap().unwrap());
    let asleep = second.fall_asleep(second.bell()).unwrap();
    let mut abandoned = producer.loan().unwrap();
    abandoned[..25].fill(0xee);

    // Everybody dies: no destructor runs, as after SIGKILL.
    core::mem::forget((abandoned, asleep, pinned_and_retired, newest));
    core::mem::forget((first, second));
    memory.0.to_vec()
}

fn timed(layout: FrameLayout, nth: u64) -> FrameMeta {
    FrameMeta {
        capture_ns: 0x0000_0abc_0000_0000 + nth,
        publish_ns: 0x0000_0abd_0000_0000 + nth,
        clock: Clock::BOOTTIME,
        reference: Reference::START_OF_EXPOSURE,
        source_sequence: 100 + nth as u32,
        ..FrameMeta::new(layout)
    }
}

fn details() -> Details {
    Details {
        colour: Colour { primaries: 1, transfer: 13, matrix: 6, range: 2, chroma_site: 1 },
        significant_bits: 8,
        orientation: 6,
        fourcc_namespace: 1,
        fourcc: u32::from_le_bytes(*b"YUYV"),
        exposure_ns: Some(0x1_0000_0001),
        frame_duration_ns: Some(0x1_0000_0002),
        analogue_gain: Some(0x0001_8000),
        digital_gain: Some(0x0001_0000),
        colour_gains: Some([0x0002_0000, 0x0001_4000]),
        colour_temperature_k: Some(5_600),
        lens_position: Some(0x0000_8000),
        sensor_temperature_mc: Some(-1_500),
        trigger: Some(3),
        region_of_interest: Some(Rect { x: 10, y: 20, width: 600, height: 200 }),
        binning: Some([2, 4]),
        black_levels: Some([64, 65, 66, 67]),
        upstream: Some((77, 0x1_0000_0003)),
        pts_offset_ns: Some(-40_000_000),
    }
}

/// Makes the byte stream of `stream-v1.bin`: 60 bytes written, 50 read, 30 written across the end of the ring. Byte
/// number n of the stream has the value n.
fn stream() -> Vec<u8> {
    let spec = LaneSpec {
        incarnation: [0x0302_0100, 0x0706_0504, 0x0b0a_0908, 0x0f0e_0d0c],
        info: InfoSpec { name: "golden-stream", ..InfoSpec::NOTHING },
        ..LaneSpec::anonymous(Geometry::stream(64).shape().unwrap())
    };
    let mut memory = Bytes([0; STREAM_LEN]);
    let mut lane = Lane::create_in(&mut memory.0, &spec).unwrap();
    let mut writer = StreamWriter::new(lane.producer).unwrap();
    let mut reader = StreamReader::new(lane.seats.next().unwrap(), 4_242).unwrap();
    let bytes: Vec<u8> = (0..90).collect();
    assert_eq!(writer.write(&bytes[..60]).unwrap().bytes, 60);
    assert_eq!(reader.read().unwrap().release(50).unwrap().bytes, 50);
    assert_eq!(writer.write(&bytes[60..]).unwrap().bytes, 30);
    memory.0.to_vec()
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn blessing() -> bool {
    std::env::var_os("CAMLANE_BLESS").is_some_and(|value| value == "1")
}

/// Writes a file anew in one step, as other tests may be reading it.
fn bless(file: &Path, bytes: &[u8]) {
    let new = file.with_extension("new");
    fs::write(&new, bytes).unwrap();
    fs::rename(&new, file).unwrap();
}

fn compare(name: &str, made: &[u8]) {
    let file = path(name);
    if blessing() {
        bless(&file, made);
    }
    let golden = fs::read(&file).unwrap();
    let differs = golden.iter().zip(made).position(|(golden, made)| golden != made);
    assert!(
        differs.is_none() && golden.len() == made.len(),
        "{name}: {} bytes, now {}; first difference at {differs:#x?}. Old readers would not understand this: see \
         FORMAT.md section 11",
        golden.len(),
        made.len(),
    );
}

#[test]
fn a_lane_is_written_as_layout_1_says() {
    compare("golden/lane-v1.bin", &lane());
}

#[test]
fn a_stream_is_written_as_layout_1_says() {
    compare("golden/stream-v1.bin", &stream());
}

#[test]
fn a_reader_made_from_the_text_alone_finds_header_and_info() {
    let file = fs::read(path("golden/lane-v1.bin")).unwrap();
    let lane = reader::Lane::open(&file).unwrap();
    assert_eq!(
        (lane.slots, lane.ring_len, lane.history, lane.loans, lane.seats, lane.pins),
        (15, 16, 4, 5, 2, 3)
    );
    assert_eq!((lane.slot_size, lane.slot_stride, lane.desc_stride, lane.page), (50, 64, 320, 64));
    assert_eq!((lane.total_len, lane.seats_off, lane.seat_stride, lane.flags), (0x1900, 0x1900, 192, 3));
    assert_eq!(lane.incarnation, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
    assert_eq!(lane.created_ns, 0x1_2345_6789);
    assert_eq!((lane.bell(), lane.state(), lane.dropped(), lane.pause()), (5, 1, 2, None));

    let info = lane.info().unwrap();
    assert_eq!(
        (&*info.name, &*info.frame_id, &*info.calibration),
        ("golden", "golden_optical", "sha256:c0ffee")
    );
    assert_eq!((info.format, info.width, info.height, info.rate), (0x0401, 8, 4, (30_000, 1_001)));
    assert_eq!((info.creator_pid, info.creator_started), (4_241, 0x1_0000_0002));
    assert_eq!(info.boot_id, [16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31]);
    let offsets = (5_000_000_000, -2_000_000_000, 37_000_000_000);
    assert_eq!(
        (info.boottime_minus_monotonic, info.realtime_minus_monotonic, info.tai_minus_realtime),
        offsets
    );
    assert_eq!(info.clocks_sampled_at, 123_456_789_012);
}

#[test]
fn a_reader_made_from_the_text_alone_finds_every_frame() {
    let file = fs::read(path("golden/lane-v1.bin")).unwrap();
    let lane = reader::Lane::open(&file).unwrap();
    assert_eq!(lane.latest(), Some(5));
    let states: Vec<u32> = (0..lane.slots).map(|slot| lane.slot_state(slot)).collect();
    assert_eq!(states, [1, 2, 0, 1, 1, 1, 3, 0, 0, 0, 0, 0, 0, 0, 0], "ready, retired, free, ..., writing");
    let slots: Vec<u32> = (1..=5).map(|number| lane.frame(number).unwrap().slot).collect();
    assert_eq!(slots, [1, 0, 3, 4, 5]);
    assert!(lane.frame(6).is_none());

    for number in 1..=5 {
        let frame = lane.frame(number).unwrap();
        assert_eq!((frame.number, frame.retired), (number, number == 1));
        assert_eq!(frame.drops_before, if number < 3 { 0 } else { 2 });
        let wrong =
            frame.bytes.iter().enumerate().find(|&(at, &byte)| byte != reader::golden_pixel(number, at));
        assert_eq!(wrong, None, "frame {number}");
        if number > 1 {
            assert_eq!(
                (frame.capture_ns, frame.publish_ns),
                (0xabc_0000_0000 + number, 0xabd_0000_0000 + number)
            );
            assert_eq!(
                (frame.clock, frame.reference, u64::from(frame.source_sequence)),
                (2, 1, 100 + number)
            );
        }
    }
    let shape = |number| {
        let Frame { format, width, height, flags, bytes, ref planes, .. } = lane.frame(number).unwrap();
        (format, width, height, flags, bytes.len(), planes.clone())
    };
    assert_eq!(shape(1), (0x0401, 8, 4, 0, 48, vec![[0, 8, 4, 32], [32, 8, 2, 16]]));
    assert_eq!(shape(2), (0x0101, 5, 3, 0, 24, vec![[0, 8, 3, 24]]));
    assert_eq!(shape(3), (0x0301, 6, 2, 0, 24, vec![[0, 12, 2, 24]]));
    assert_eq!(shape(4), (0x0f01, 640, 480, 0x801, 21, vec![[0, 0, 1, 21]]));
    assert_eq!(shape(5), (0x0401, 7, 3, 0, 37, vec![[0, 7, 3, 21], [21, 8, 2, 16]]));
    assert_eq!(lane.frame(3).unwrap().user, b"user bytes");
    assert_eq!(lane.frame(4).unwrap().user, b"");
}

#[test]
fn a_reader_made_from_the_text_alone_finds_the_details() {
    let file = fs::read(path("golden/lane-v1.bin")).unwrap();
    let lane = reader::Lane::open(&file).unwrap();
    assert!([1, 2, 4].into_iter().all(|number| lane.frame(number).unwrap().details.is_none()));

    let all = lane.frame(3).unwrap().details.unwrap();
    assert_eq!((all.colour, all.significant_bits, all.orientation), ([1, 13, 6, 2, 1], 8, 6));
    assert_eq!((all.fourcc_namespace, all.fourcc), (1, *b"YUYV"));
    assert_eq!((all.exposure_ns, all.frame_duration_ns), (Some(0x1_0000_0001), Some(0x1_0000_0002)));
    assert_eq!((all.analogue_gain, all.digital_gain), (Some(0x1_8000), Some(0x1_0000)));
    assert_eq!((all.colour_gains, all.colour_temperature_k), (Some([0x2_0000, 0x1_4000]), Some(5_600)));
    assert_eq!(
        (all.lens_position, all.sensor_temperature_mc, all.trigger),
        (Some(0x8000), Some(-1_500), Some(3))
    );
    assert_eq!((all.region_of_interest, all.binning), (Some([10, 20, 600, 200]), Some([2, 4])));
    assert_eq!((all.black_levels, all.upstream), (Some([64, 65, 66, 67]), Some((77, 0x1_0000_0003))));
    assert_eq!(all.pts_offset_ns, Some(-40_000_000));

    let few = lane.frame(5).unwrap().details.unwrap();
    let stated = reader::Details { exposure_ns: Some(8_000_000), pts_offset_ns: Some(-1), ..few.clone() };
    assert_eq!((few.colour, few.analogue_gain, few.upstream), ([2, 2, 2, 0, 0], None, None));
    assert_eq!(few, stated);
}

#[test]
fn a_reader_made_from_the_text_alone_finds_who_sits_where() {
    let file = fs::read(path("golden/lane-v1.bin")).unwrap();
    let lane = reader::Lane::open(&file).unwrap();
    let holds_two = lane.seat(0).unwrap();
    assert_eq!((holds_two.pinned_slots, holds_two.sleeping), (vec![1, 5], false));
    assert_eq!((holds_two.cursor, holds_two.pid), (5, 4_242));
    let asleep = lane.seat(1).unwrap();
    assert_eq!((asleep.pinned_slots, asleep.sleeping, asleep.cursor, asleep.pid), (vec![], true, 5, 4_243));
}

#[test]
fn a_reader_made_from_the_text_alone_finds_seats_in_pages() {
    let shape = Geometry::new(64).seats(20).pins(1).paged(4096).shape().unwrap();
    let (mut data, mut seats) = (Bytes([0; 4096 * 32]), Bytes([0; 4096 * 20]));
    let table = Seats::create(Memory::from_mut(&mut seats.0), &shape, [7; 4]).unwrap();
    let spec = LaneSpec { incarnation: [7; 4], ..LaneSpec::anonymous(shape) };
    let region = Region::create(Memory::from_mut(&mut data.0), &spec).unwrap();
    // SAFETY: both objects are this test's alone, and there is one producer.
    let producer: Producer = Producer::new(unsafe { region.producer_role(table) }).unwrap();
    assert_eq!(producer.publish(producer.loan().unwrap(), &FrameMeta::bytes(1)).unwrap().number, 1);

    let lane = reader::Lane::open(&data.0).unwrap();
    assert_eq!((lane.seat_places, lane.seat_stride, lane.seats_off), (16, 4096, 0));
    for index in 0..20 {
        let seat = lane.seat_in(&seats.0, index).unwrap();
        assert_eq!((seat.pinned_slots, seat.pid), (vec![], 0), "seat {index}");
    }
    assert!(lane.seat(0).is_none() && lane.seat_in(&seats.0, 20).is_none());
}

#[test]
fn a_reader_made_from_the_text_alone_finds_the_rest_of_a_stream() {
    let file = fs::read(path("golden/stream-v1.bin")).unwrap();
    let lane = reader::Lane::open(&file).unwrap();
    assert_eq!((lane.slots, lane.ring_len, lane.seats, lane.flags), (0, 0, 1, 4));
    assert_eq!(lane.stream().unwrap(), (50..90).collect::<Vec<u8>>());
    assert_eq!(lane.bell(), 2);
}

#[test]
fn a_header_with_any_bit_flipped_is_refused_by_both_readers() {
    let file = fs::read(path("golden/lane-v1.bin")).unwrap();
    for bit in 0..128 * 8 {
        let mut memory = Bytes([0; LANE_LEN]);
        memory.0.copy_from_slice(&file);
        memory.0[bit / 8] ^= 1 << (bit % 8);
        assert!(reader::Lane::open(&memory.0).is_err(), "bit {bit}");
        assert!(Region::attach(&Memory::from_mut(&mut memory.0)).is_err(), "bit {bit}");
    }
}

#[test]
fn this_version_reads_layout_1_and_goes_on_where_its_producer_died() {
    let mut memory = Bytes([0; LANE_LEN]);
    memory.0.copy_from_slice(&fs::read(path("golden/lane-v1.bin")).unwrap());
    let (data, seats) = memory.0.split_at_mut(0x1900);
    let region = Region::attach(&Memory::from_mut(data)).unwrap();
    assert_eq!((region.state(), region.info().unwrap().name.as_str()), (LaneState::Live, "golden"));
    let seats = Memory::from_mut(seats);
    let table = Seats::attach(&seats, &region).unwrap();
    let seat = Seats::attach_one(&seats, &region, 0).unwrap();

    // SAFETY: these bytes are a copy that this test alone can reach; its seats belong to it, as `attach` has checked.
    let producer: Producer = Producer::take_over(unsafe { region.producer_role(table) }).unwrap();
    assert_eq!((producer.published(), table.in_use().map(|seat| seat.pins).sum::<u32>()), (5, 2));
    // SAFETY: the producer is the one above; the former owner of the seat ended with the test that made the file.
    let consumer = Consumer::new(unsafe { region.seat_role(seat) }, 1);
    let newest = consumer.newest().unwrap().unwrap();
    assert_eq!((newest.number(), newest.meta().details.unwrap().pts_offset_ns), (5, Some(-1)));
    assert_eq!(newest.plane(1).unwrap()[0], reader::golden_pixel(5, 21));
    let meta = FrameMeta::bytes(1);
    assert_eq!(producer.publish(producer.loan().unwrap(), &meta).unwrap().number, 6);
    assert_eq!(newest[0], reader::golden_pixel(5, 0));
}

/// The hex dump in FORMAT.md, line by line: `1900  73 65 61 74 ...`.
#[test]
fn the_dump_in_the_text_shows_the_golden_file() {
    let file = fs::read(path("golden/lane-v1.bin")).unwrap();
    let text = fs::read_to_string(path("../core/FORMAT.md")).unwrap();
    let (_, dump) = text.split_once("## 13.").unwrap();
    let mut lines = 0;
    for line in dump.lines() {
        let Some((offset, rest)) = line.split_once("  ") else { continue };
        let Ok(offset) = usize::from_str_radix(offset, 16) else { continue };
        let bytes: Vec<u8> = rest
            .split("  ")
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .map(|byte| u8::from_str_radix(byte, 16).unwrap())
            .collect();
        assert_eq!(file[offset..offset + bytes.len()], bytes, "at {offset:#x}");
        lines += 1;
    }
    assert!(lines >= 40, "only {lines} lines of a dump were found");
}

/// The table of pixel formats in FORMAT.md is generated from core's.
#[test]
fn the_format_numbers_in_the_text_are_those_of_the_table() {
    const BEGIN: &str = "<!-- pixel formats: begin -->\n";
    const END: &str = "<!-- pixel formats: end -->";
    let mut table =
        String::from("| number | name | planes | chroma | bytes/pixels per plane | V4L2 | DRM |\n");
    table.push_str("|--|--|--|--|--|--|--|\n");
    for info in PixelFormat::ALL {
        let groups =
            info.groups.iter().take(info.planes.into()).map(|group| match (group.bytes, group.pixels) {
                (0, _) => "-".to_owned(),
                (bytes, 1) => bytes.to_string(),
                (bytes, pixels) => format!("{bytes}/{pixels}"),
            });
        let groups = groups.collect::<Vec<_>>().join(", ");
        let code =
            |code: Option<camlane_core::FourCc>| code.map_or("-".to_owned(), |code| format!("`{code}`"));
        let v4l2 = match info.v4l2_also {
            Some(also) => format!("{}, `{also}`", code(info.v4l2)),
            None => code(info.v4l2),
        };
        let (dx, dy) = info.chroma;
        let (number, name, planes, drm) = (info.format.0, info.name, info.planes, code(info.drm));
        writeln!(table, "| 0x{number:04X} | {name} | {planes} | {dx}x{dy} | {groups} | {v4l2} | {drm} |")
            .unwrap();
    }

    let file = path("../core/FORMAT.md");
    let text = fs::read_to_string(&file).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (written, after) = rest.split_once(END).unwrap();
    if blessing() {
        bless(&file, format!("{before}{BEGIN}{table}{END}{after}").as_bytes());
        return;
    }
    assert!(written == table, "CAMLANE_BLESS=1 writes the table anew, which should be:\n{table}");
}

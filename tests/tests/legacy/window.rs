//! Files and windows on them, beside programs in C and Python that have them mapped.

use std::io::Write;

use camlane::legacy::{Error, Key, MapKind, ObjectName, Segment, WindowOptions};
use camlane::{Consumer, FrameMeta, LaneOptions, PixelFormat, Producer};
use rstest::rstest;

use super::{LONG, TestObject, file, run, unique};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An encoded picture: a BMP of one black pixel, as its format's description has it.
fn bmp() -> Vec<u8> {
    let header =
        [14u32 + 40 + 4, 0, 54, 40, 1, 1, 1 | 24 << 16, 0, 4, 0, 0, 0, 0].map(u32::to_le_bytes).concat();
    [b"BM", &header[..], &[0; 4]].concat()
}

#[test]
fn a_message_and_an_encoded_picture_go_to_python_and_back() {
    let (_dir, name) = file();
    let mut window = WindowOptions::new(MapKind::Shared).len(4096).create(0o600).open(&name).unwrap();
    window.write_all(b"abc").unwrap();
    window.write_all(&bmp()).unwrap();
    let mut python = run("window.py", &[name.path().to_str().unwrap(), "4096", "write"]);
    let prefix = python.must("unpack 136").0;
    assert_eq!(prefix, format!("ok {}{}", hex(b"abc"), hex(&bmp())) + &"00".repeat(136 - 3 - bmp().len()));
    assert_eq!(python.must(&format!("find {}", hex(b"BM"))).number("at"), 4);

    python.must(&format!("write 200 {}", hex(b"from python")));
    let mut bytes = [0; 11];
    window.read_at(200, &mut bytes).unwrap(); // at once: nothing was flushed
    assert_eq!(&bytes, b"from python");
    assert_eq!(window.find(b"BM", 0).unwrap(), Some(3));
}

#[test]
fn a_read_only_window_and_a_private_one_leave_the_file_as_it_is() {
    let (_dir, name) = file();
    std::fs::write(name.path(), vec![b'.'; 4096]).unwrap();
    let mut python = run("window.py", &[name.path().to_str().unwrap(), "4096", "copy"]);
    python.must(&format!("write 0 {}", hex(b"secret")));
    python.must("flush"); // which Python says writes it, and does not
    assert_eq!(std::fs::read(name.path()).unwrap()[..6], *b"......");

    let mut private = WindowOptions::new(MapKind::Private).open(&name).unwrap();
    private.write_all(b"secret").unwrap();
    let mut read_only = WindowOptions::new(MapKind::ReadOnly).open(&name).unwrap();
    assert!(read_only.write_all(b"x").is_err());
    let mut bytes = [0; 6];
    read_only.read_at(0, &mut bytes).unwrap();
    assert_eq!(&bytes, b"......");
    private.flush().unwrap();
    read_only.read_at(0, &mut bytes).unwrap();
    assert_eq!(&bytes, b"secret");
}

/// What the peer in C computes of bytes.
fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0u64, |sum, &byte| sum.wrapping_mul(31).wrapping_add(byte.into()))
}

#[rstest]
#[case::a_regular_file(false)]
#[case::a_shared_memory_object(true)]
fn a_whole_object_is_the_same_bytes_to_c(#[case] shm: bool) {
    let (_dir, file) = file();
    let object = TestObject::new();
    let name: &ObjectName = if shm { &object } else { &file };
    let bytes: Vec<u8> = (0..5000u32).map(|n| (n * 7) as u8).collect();
    let mut window = WindowOptions::new(MapKind::Shared).len(5000).create(0o600).open(name).unwrap();
    window.write_at(0, &bytes).unwrap();
    let text = if shm { object.text() } else { name.to_string() };
    let mut c = run("window.c", &[&text]);
    assert_eq!(c.must("sum 0 5000").number("sum"), sum(&bytes));
    c.must("put 4999 200");
    let mut last = [0];
    window.read_at(4999, &mut last).unwrap();
    assert_eq!(last, [200]);
}

#[test]
fn raw_pixels_in_a_window_become_a_frame_of_a_lane_in_a_file() {
    let (_dir, name) = file();
    let pixels: Vec<u8> = (0..100).collect();
    std::fs::write(name.path(), [b"abc", &pixels[..]].concat()).unwrap();
    let window = WindowOptions::new(MapKind::ReadOnly).offset(3).len(100).open(&name).unwrap();

    let layout = PixelFormat::GRAY8.layout(10, 10, 1).unwrap();
    let lane = format!("file:{name}.lane");
    let producer = Producer::create(&lane, &LaneOptions::for_frames(&layout)).unwrap();
    let mut consumer = Consumer::open(&lane).unwrap();
    let mut loan = producer.loan().unwrap();
    window.read_at(0, &mut loan[..100]).unwrap();
    producer.publish(loan, &FrameMeta::new(layout)).unwrap();
    let frame = consumer.next(LONG).unwrap();
    assert_eq!((&frame[..], frame.meta().layout.width), (&pixels[..], 10));
}

#[test]
fn a_window_beyond_a_file_that_another_cut_is_an_error() {
    let (_dir, name) = file();
    std::fs::write(name.path(), vec![1; 8192]).unwrap();
    let window = WindowOptions::new(MapKind::ReadOnly).offset(4096).open(&name).unwrap();
    std::fs::File::options().write(true).open(name.path()).unwrap().set_len(4100).unwrap();
    assert!(matches!(window.read_at(0, &mut [0; 8]), Err(Error::TooShort { needed: 4104, found: 4100, .. })));
    window.read_at(0, &mut [0; 4]).unwrap();
}

#[test]
fn a_segment_is_the_same_bytes_to_c() {
    let dir = tempfile::tempdir().unwrap();
    let key = Key::of_file(dir.path(), 7).unwrap();
    let mut c = run("segment.c", &[&key.to_string(), "4096"]);
    let mut segment = Segment::open(key, camlane::legacy::Access::Write).unwrap();
    Segment::remove(key).unwrap(); // when both are gone
    c.must("set from-c");
    let mut bytes = [0; 7];
    segment.read_at(0, &mut bytes);
    assert_eq!(&bytes, b"from-c\0");
    segment.write_at(0, b"from-camlane\0").unwrap();
    assert_eq!(c.must("get").0, "ok from-camlane");
}

#[test]
fn the_key_of_a_file_is_the_one_that_ftok_gives() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(unique());
    std::fs::write(&path, b"").unwrap();
    let code =
        "import ctypes, sys; print(ctypes.c_uint32(ctypes.CDLL(None).ftok(sys.argv[1].encode(), 65)).value)";
    let python = std::process::Command::new("python3").args(["-c", code]).arg(&path).output().unwrap();
    let theirs: Key =
        format!("{:#x}", String::from_utf8(python.stdout).unwrap().trim().parse::<u32>().unwrap())
            .parse()
            .unwrap();
    assert_eq!(Key::of_file(&path, 65).unwrap(), theirs);
}

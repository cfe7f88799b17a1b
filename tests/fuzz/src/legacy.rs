//! Objects of older programs with anything in them, and their names.

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use arbitrary::{Result, Unstructured};
use camlane::core::legacy::header24::Header24;
use camlane::core::legacy::sharesync::{self, Mark, Side};
use camlane::legacy::{Header24Reader, Key, MapKind, ObjectName, SyncReader, Text, WindowOptions};

/// Bytes of the largest object.
const MOST: usize = 1 << 14;

/// A file of this process in shared memory; it goes with the process, or the next of the same number takes it.
struct Place(PathBuf);

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn place() -> &'static (ObjectName, PathBuf) {
    static NAME: OnceLock<(ObjectName, PathBuf)> = OnceLock::new();
    NAME.get_or_init(|| {
        let bare = format!("camlane-fuzz-{}", std::process::id());
        (bare.parse().expect("a name"), PathBuf::from(format!("/dev/shm/{bare}")))
    })
}

pub(crate) fn run(bytes: &[u8]) {
    crate::with(bytes, body);
}

fn body(input: &mut Unstructured<'_>) -> Result<()> {
    let (name, path) = place();
    let kind = input.int_in_range(0..=5)?;
    if kind >= 4 {
        return if kind == 4 { numbers(input) } else { names(input) };
    }
    let bytes = object(input, kind)?;
    fs::write(path, &bytes).expect("a file in shared memory");
    let _place = Place(path.clone());
    match kind {
        0 => {
            let mut reader = Header24Reader::new(name);
            if let Ok(frame) = reader.next(Duration::ZERO) {
                assert!(frame.pixels.len() + 24 <= bytes.len());
                assert_eq!(frame.pixels.len(), frame.layout.bytes as usize);
                let _ = frame.meta();
            }
        }
        1 => {
            let mut into = vec![0; input.int_in_range(0..=100)?];
            if let Ok(mut reader) = SyncReader::open(name, Duration::ZERO) {
                let _ = (reader.backlog(), reader.read(&mut into, Duration::ZERO), reader.break_lock());
                let _ = reader.read(&mut into, Duration::ZERO);
            }
        }
        2 => {
            let text = Text::open(name).and_then(|text| text.get());
            if let Ok(text) = text {
                assert!(text.len() <= bytes.len() && !text.contains(&0) && bytes.starts_with(&text));
            }
        }
        _ => window(input, name, &bytes)?,
    }
    Ok(())
}

/// An object as its old program leaves it, more or less.
fn object(input: &mut Unstructured<'_>, kind: u8) -> Result<Vec<u8>> {
    let mut bytes = match kind {
        0 => {
            let [width, height, channels] = [input.int_in_range(0..=40i32)?, input.int_in_range(0..=40)?, 3];
            let header = Header24 { width, height, channels, timestamp_ms: 1, frame_valid: 1 };
            let mut bytes = header.to_bytes().to_vec();
            bytes.resize(24 + (width * height * channels) as usize, 7);
            bytes
        }
        1 => {
            let mut bytes = sharesync::fresh().to_vec();
            bytes.resize(sharesync::LEN + input.int_in_range(0..=200)?, b'x');
            bytes
        }
        _ => input.bytes(input.len().min(200))?.to_vec(),
    };
    for _ in 0..input.int_in_range(0..=4)? {
        let front = bytes.len().min(64);
        if front >= 4 {
            let at = input.int_in_range(0..=front - 4)?;
            let old = u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
            bytes[at..at + 4].copy_from_slice(&crate::access::value(input, old)?.to_le_bytes());
        }
    }
    if input.ratio(1, 8)? {
        bytes.resize(input.int_in_range(0..=MOST)?, 0);
    }
    Ok(bytes)
}

/// Reads, finds and copies inside a private window; outside it is an error, and nothing else.
fn window(input: &mut Unstructured<'_>, name: &ObjectName, bytes: &[u8]) -> Result<()> {
    let offset = input.int_in_range(0..=bytes.len() + 2)?;
    let mut options = WindowOptions::new(MapKind::Private).offset(offset as u64);
    if input.arbitrary()? {
        options =
            options.len(if input.ratio(1, 4)? { input.arbitrary()? } else { input.int_in_range(0..=300)? });
    }
    let Ok(mut window) = options.open(name) else { return Ok(()) };
    let mut expected = bytes[offset..offset + window.len()].to_vec();
    for _ in 0..8 {
        let near = expected.len() + 2;
        let [from, to, len] =
            [input.int_in_range(0..=near)?, input.int_in_range(0..=near)?, input.int_in_range(0..=near)?];
        let mut into = vec![0; len];
        let inside = from + len <= expected.len();
        assert_eq!(window.read_at(from, &mut into).is_ok(), inside);
        assert!(!inside || into == expected[from..from + len]);
        let moved = window.copy_within(from, to, len).is_ok();
        assert_eq!(moved, inside && to + len <= expected.len());
        if moved {
            expected.copy_within(from..from + len, to);
        }
        let wanted = input.bytes(input.len().min(2))?;
        // As Python's: no bytes at all are found wherever one looks, behind the end at the end.
        let found = match expected.get(from..) {
            _ if wanted.is_empty() => Some(from.min(expected.len())),
            rest => rest
                .unwrap_or_default()
                .windows(wanted.len())
                .position(|part| part == wanted)
                .map(|at| from + at),
        };
        if let Ok(seen) = window.find(wanted, from) {
            assert_eq!(seen, found);
        }
    }
    Ok(())
}

/// Numbers that core takes apart.
fn numbers(input: &mut Unstructured<'_>) -> Result<()> {
    let bytes: [u8; 24] = input.arbitrary()?;
    let header = Header24::from_bytes(bytes);
    assert_eq!(header.to_bytes(), bytes);
    if let Ok(layout) = header.layout() {
        assert_eq!(layout.check(layout.bytes), Ok(()));
        assert_eq!(Header24::for_layout(&layout).and_then(|again| again.layout()), Ok(layout));
    }
    let word = input.arbitrary()?;
    if let Some(mark) = Mark::from_bits(word) {
        assert_eq!(mark.bits(), word);
        let between = input.arbitrary()?;
        let _ = (mark.position_of(Side::Reader, between), mark.position_of(Side::Writer, between));
    }
    Ok(())
}

/// A name that is accepted is written so that it is read as the same.
fn names(input: &mut Unstructured<'_>) -> Result<()> {
    let text: &str = input.arbitrary()?;
    if let Ok(name) = text.parse::<ObjectName>() {
        assert_eq!(name.to_string().parse::<ObjectName>().ok(), Some(name));
    }
    if let Ok(key) = text.parse::<Key>() {
        assert_eq!(key.to_string().parse::<Key>().ok(), Some(key));
    }
    Ok(())
}

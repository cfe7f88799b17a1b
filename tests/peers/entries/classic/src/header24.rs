//! The 24-byte header with a valid flag, as the program in C++ has it.
#![allow(unsafe_code)] // calls it

use std::ffi::{CString, c_char, c_int};
use std::ptr::NonNull;
use std::time::Duration;

use anyhow::{Context as _, Result};
use peers_drive::{Consume, Description, Job, Peer, Place, Produce, Way};

/// The C++ side's own.
#[repr(C)]
struct Segment {
    _opaque: [u8; 0],
}

unsafe extern "C" {
    fn header24_create(name: *const c_char, width: c_int, height: c_int) -> *mut Segment;
    fn header24_open(name: *const c_char, width: c_int, height: c_int) -> *mut Segment;
    fn header24_write(segment: *mut Segment, picture: *const u8);
    fn header24_look(segment: *const Segment) -> *const u8;
    fn header24_unlink(segment: *const Segment);
}

pub(crate) struct Header24;

pub(crate) struct Writer {
    segment: NonNull<Segment>,
    picture: Vec<u8>,
}

pub(crate) struct Reader {
    segment: NonNull<Segment>,
    bytes: usize,
}

/// Pause of a reader that does not want to keep a processor busy.
const POLL: Duration = Duration::from_millis(1);

fn arguments(place: &Place) -> Result<(CString, c_int, c_int)> {
    let (width, height) = place.size.pixels();
    Ok((CString::new(format!("/{}", place.name))?, width as c_int, height as c_int))
}

impl Peer for Header24 {
    type Producer = Writer;
    type Consumer = Reader;

    fn describe() -> Description {
        Description {
            name: "24-byte header, valid flag (tears)".into(),
            version: String::new(),
            limit: false,
            copies: true,
            readers: 64,
            setup: "one picture, written in place; read in place when valid, although that tears; no wake-up: polled every \
                    millisecond where others sleep"
                .into(),
            jobs: vec![
                (Job::Polling, vec![Way::Default]),
                (Job::Stream, vec![Way::Default]),
                (Job::Rate, vec![Way::Default]),
            ],
        }
    }

    fn producer(place: &Place) -> Result<Writer> {
        let (name, width, height) = arguments(place)?;
        // SAFETY: a C string, alive for the call.
        let segment = NonNull::new(unsafe { header24_create(name.as_ptr(), width, height) });
        Ok(Writer { segment: segment.context("create the object")?, picture: vec![0; place.bytes()] })
    }

    fn consumer(place: &Place) -> Result<Reader> {
        let (name, width, height) = arguments(place)?;
        // SAFETY: a C string, alive for the call.
        let segment = NonNull::new(unsafe { header24_open(name.as_ptr(), width, height) });
        Ok(Reader { segment: segment.context("open the object")?, bytes: place.bytes() })
    }
}

impl Produce for Writer {
    fn publish(&mut self, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        fill(&mut self.picture);
        // SAFETY: made by `header24_create` for pictures of this size.
        unsafe { header24_write(self.segment.as_ptr(), self.picture.as_ptr()) };
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // SAFETY: made by `header24_create`.
        unsafe { header24_unlink(self.segment.as_ptr()) };
    }
}

impl Consume for Reader {
    fn poll<T>(&mut self, look: impl FnOnce(&[u8]) -> T) -> Result<Option<T>> {
        // SAFETY: made by `header24_open`.
        let Some(pixels) = NonNull::new(unsafe { header24_look(self.segment.as_ptr()) }.cast_mut()) else {
            return Ok(None);
        };
        // SAFETY: mapped. That the writer may change it meanwhile is what this program is like; plain integers are read.
        Ok(Some(look(unsafe { std::slice::from_raw_parts(pixels.as_ptr(), self.bytes) })))
    }

    fn wait<T>(&mut self, _limit: Duration, look: impl FnOnce(&[u8]) -> T) -> Result<Option<T>> {
        std::thread::sleep(POLL);
        self.poll(look)
    }
}

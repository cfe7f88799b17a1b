//! GStreamer's shmsink and shmsrc: buffers of the sink's own memory, and buffers that it copies there.
#![allow(unsafe_code)] // calls the pipelines, which are in C

use std::ffi::{CString, c_char, c_int, c_void};
use std::marker::PhantomData;
use std::process::ExitCode;
use std::ptr::NonNull;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use peers_drive::{Consume, Description, Job, Peer, Place, Produce, Way, entry};

unsafe extern "C" {
    fn gst_writer(path: *const c_char, bytes: usize, slots: c_int, zero_copy: c_int) -> *mut c_void;
    fn gst_loan(writer: *mut c_void) -> *mut u8;
    fn gst_publish(writer: *mut c_void) -> c_int;
    fn gst_reader(path: *const c_char) -> *mut c_void;
    fn gst_take(reader: *mut c_void, limit_ns: u64, bytes: *mut usize) -> *const u8;
    fn gst_release(reader: *mut c_void);
    fn gst_end(side: *mut c_void);
}

fn main() -> ExitCode {
    peers_drive::main(&[entry::<Shm<ZeroCopy>>(), entry::<Shm<Copies>>()])
}

/// Frames that the sink's memory has room for.
const SLOTS: c_int = 8;

trait Kind {
    const ZERO_COPY: bool;
}

struct ZeroCopy;

struct Copies;

impl Kind for ZeroCopy {
    const ZERO_COPY: bool = true;
}

impl Kind for Copies {
    const ZERO_COPY: bool = false;
}

struct Shm<K>(PhantomData<K>);

struct Writer {
    pipeline: NonNull<c_void>,
    bytes: usize,
}

struct Reader(NonNull<c_void>);

fn path(place: &Place) -> Result<CString> {
    Ok(CString::new(place.path("gstreamer").to_string_lossy().into_owned())?)
}

impl<K: Kind> Peer for Shm<K> {
    type Producer = Writer;
    type Consumer = Reader;

    fn describe() -> Description {
        let (name, setup) = if K::ZERO_COPY {
            ("GStreamer shmsink, zero copy", "buffers from shmsink's allocator")
        } else {
            ("GStreamer shmsink, copy", "buffers in ordinary memory")
        };
        Description {
            name: name.into(),
            version: env!("GSTREAMER_VERSION").into(),
            limit: false,
            copies: !K::ZERO_COPY,
            readers: 16,
            setup: format!("{setup}; appsrc ! shmsink, shmsrc ! appsink, no clock, newest frame only"),
            jobs: vec![(Job::Asleep, vec![Way::Default]), (Job::Stream, vec![Way::Default])],
        }
    }

    fn producer(place: &Place) -> Result<Writer> {
        // SAFETY: a C string, alive for the call.
        let pipeline =
            unsafe { gst_writer(path(place)?.as_ptr(), place.bytes(), SLOTS, K::ZERO_COPY.into()) };
        Ok(Writer { pipeline: NonNull::new(pipeline).context("start the pipeline")?, bytes: place.bytes() })
    }

    fn consumer(place: &Place) -> Result<Reader> {
        // SAFETY: a C string, alive for the call.
        let pipeline = unsafe { gst_reader(path(place)?.as_ptr()) };
        NonNull::new(pipeline).map(Reader).context("start the pipeline")
    }
}

impl Produce for Writer {
    fn publish(&mut self, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        // SAFETY: made by `gst_writer`.
        let slot = NonNull::new(unsafe { gst_loan(self.pipeline.as_ptr()) }).context("get a buffer")?;
        // SAFETY: a buffer of that size, mapped for writing until it is pushed.
        fill(unsafe { std::slice::from_raw_parts_mut(slot.as_ptr(), self.bytes) });
        // SAFETY: made by `gst_writer`; the buffer was mapped by `gst_loan`.
        ensure!(unsafe { gst_publish(self.pipeline.as_ptr()) } != 0, "the pipeline does not take buffers");
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // SAFETY: made by `gst_writer`, whose first field is the pipeline; ended once.
        unsafe { gst_end(self.pipeline.as_ptr()) };
    }
}

impl Consume for Reader {
    fn poll<T>(&mut self, look: impl FnOnce(&[u8]) -> T) -> Result<Option<T>> {
        self.wait(Duration::ZERO, look)
    }

    fn wait<T>(&mut self, limit: Duration, look: impl FnOnce(&[u8]) -> T) -> Result<Option<T>> {
        let mut bytes = 0;
        // SAFETY: made by `gst_reader`; the length is alive for the call.
        let frame = unsafe { gst_take(self.0.as_ptr(), limit.as_nanos() as u64, &raw mut bytes) };
        let Some(frame) = NonNull::new(frame.cast_mut()) else { return Ok(None) };
        // SAFETY: mapped for reading, that long, until it is released below.
        let seen = look(unsafe { std::slice::from_raw_parts(frame.as_ptr(), bytes) });
        // SAFETY: made by `gst_reader`, and a sample was taken.
        unsafe { gst_release(self.0.as_ptr()) };
        Ok(Some(seen))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // SAFETY: made by `gst_reader`, whose first field is the pipeline; ended once.
        unsafe { gst_end(self.0.as_ptr()) };
    }
}

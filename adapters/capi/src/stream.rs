//! A byte stream: a writer and a reader.

use std::ffi::c_int;
use std::sync::Mutex;
use std::time::Duration;

use crate::boundary::{Array, Given, Out, Room, Slot, Text, empty, export, export_infallible};
use crate::consumer::{alone, limit};
use crate::error::Failure;
use crate::lane::{SHARING, choose};
use crate::types::StreamOptions;

/// The end that writes, which one thread may use at a time.
#[derive(Debug)]
pub(crate) struct StreamWriter(Mutex<posix::StreamWriter>);

/// The end that reads, which one thread may use at a time.
#[derive(Debug)]
pub(crate) struct StreamReader(Mutex<posix::StreamReader>);

/// Room in a stream whose maker did not say.
const CAPACITY: u32 = 1 << 16;

export! {
    fn camlane_stream_create(name: Text<'_>, options: Given<'_, StreamOptions>, out: Slot<'_, StreamWriter>) {
        let out = empty(out, "writer")?;
        let given = options.optional()?.unwrap_or_default();
        let capacity = if given.capacity == 0 { CAPACITY } else { given.capacity };
        let options = posix::StreamOptions::new(capacity).sharing(choose("sharing", given.sharing, &SHARING)?);
        let writer = posix::StreamWriter::create(name.get("name")?, &options)?;
        *out = Some(Box::new(StreamWriter(Mutex::new(writer))));
        Ok(0)
    }

    fn camlane_stream_write(
        writer: Option<&StreamWriter>, bytes: Array<'_, u8>, len: usize, timeout_ms: c_int, written: Out<'_, usize>,
    ) {
        let written = written.ok_or_else(|| Failure::null("written"))?.write(0);
        let bytes = bytes.get(len, "bytes")?;
        let writer = writer.ok_or_else(|| Failure::null("writer"))?;
        *written = alone(&writer.0)?.write(bytes, limit(timeout_ms))?;
        Ok(0)
    }

    fn camlane_stream_open(name: Text<'_>, options: Given<'_, StreamOptions>, out: Slot<'_, StreamReader>) {
        let out = empty(out, "reader")?;
        let patience = Duration::from_millis(options.optional()?.unwrap_or_default().patience_ms.into());
        let reader = posix::StreamReader::open(name.get("name")?, patience)?;
        *out = Some(Box::new(StreamReader(Mutex::new(reader))));
        Ok(0)
    }

    fn camlane_stream_read(
        reader: Option<&StreamReader>, bytes: Room<'_>, room: usize, timeout_ms: c_int, read: Out<'_, usize>,
    ) {
        let read = read.ok_or_else(|| Failure::null("read"))?.write(0);
        let bytes = bytes.get(room, "bytes")?;
        let reader = reader.ok_or_else(|| Failure::null("reader"))?;
        *read = alone(&reader.0)?.read(bytes, limit(timeout_ms))?;
        Ok(0)
    }
}

export_infallible! {
    fn camlane_stream_end(writer: Option<Box<StreamWriter>>) -> () {
        drop(writer);
    }

    fn camlane_stream_close(reader: Option<Box<StreamReader>>) -> () {
        drop(reader);
    }
}

//! A picture behind a mutex in shared memory, as the program in C has it.
#![allow(unsafe_code)] // calls it

use std::ffi::{CString, c_char, c_int, c_long};
use std::os::unix::ffi::OsStrExt as _;
use std::ptr::NonNull;
use std::time::Duration;

use anyhow::{Context as _, Result};
use peers_drive::{Consume, Description, Job, Peer, Place, Produce, Way};

/// The C side's own.
#[repr(C)]
struct Box {
    _opaque: [u8; 0],
}

unsafe extern "C" {
    fn mutex_create(path: *const c_char, bytes: usize) -> *mut Box;
    fn mutex_open(path: *const c_char, bytes: usize) -> *mut Box;
    fn mutex_write(memory: *mut Box, picture: *const u8);
    fn mutex_read(memory: *mut Box, picture: *mut u8, last: *mut u64, wait_ns: c_long) -> c_int;
}

pub(crate) struct Mutex;

pub(crate) struct Writer {
    memory: NonNull<Box>,
    picture: Vec<u8>,
}

pub(crate) struct Reader {
    memory: NonNull<Box>,
    picture: Vec<u8>,
    last: u64,
}

fn path(place: &Place) -> Result<CString> {
    Ok(CString::new(place.path("picture").as_os_str().as_bytes())?)
}

impl Peer for Mutex {
    type Producer = Writer;
    type Consumer = Reader;

    fn describe() -> Description {
        Description {
            name: "pthread mutex in shared memory".into(),
            version: String::new(),
            limit: false,
            copies: true,
            readers: 64,
            setup: "process-shared mutex and condition variable; copied in and out under the mutex".into(),
            jobs: vec![
                (Job::Polling, vec![Way::Default]),
                (Job::Asleep, vec![Way::Default]),
                (Job::Stream, vec![Way::Default]),
                (Job::Rate, vec![Way::Default]),
            ],
        }
    }

    fn producer(place: &Place) -> Result<Writer> {
        // SAFETY: a C string, alive for the call.
        let memory = NonNull::new(unsafe { mutex_create(path(place)?.as_ptr(), place.bytes()) });
        Ok(Writer { memory: memory.context("create the memory")?, picture: vec![0; place.bytes()] })
    }

    fn consumer(place: &Place) -> Result<Reader> {
        // SAFETY: a C string, alive for the call.
        let memory = NonNull::new(unsafe { mutex_open(path(place)?.as_ptr(), place.bytes()) });
        Ok(Reader { memory: memory.context("open the memory")?, picture: vec![0; place.bytes()], last: 0 })
    }
}

impl Produce for Writer {
    fn publish(&mut self, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        fill(&mut self.picture);
        // SAFETY: made by `mutex_create` for pictures of this size.
        unsafe { mutex_write(self.memory.as_ptr(), self.picture.as_ptr()) };
        Ok(())
    }
}

impl Consume for Reader {
    fn poll<T>(&mut self, look: impl FnOnce(&[u8]) -> T) -> Result<Option<T>> {
        self.wait(Duration::ZERO, look)
    }

    fn wait<T>(&mut self, limit: Duration, look: impl FnOnce(&[u8]) -> T) -> Result<Option<T>> {
        let (picture, last) = (self.picture.as_mut_ptr(), &raw mut self.last);
        // SAFETY: made by `mutex_open` for pictures of this size; both targets are alive for the call.
        let newer = unsafe { mutex_read(self.memory.as_ptr(), picture, last, limit.as_nanos() as c_long) };
        Ok((newer != 0).then(|| look(&self.picture)))
    }
}

//! A lane's consumer, and the frames that it reads in place.

use std::ffi::c_int;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::{Mutex, MutexGuard, TryLockError};
use std::time::Duration;

use posix::{Change, ConsumerOptions as Options, Read, Wait};

use crate::boundary::{
    Array, Given, Out, Place, Slot, Text, empty, export, export_infallible, store, store_if_wanted,
};
use crate::error::Failure;
use crate::lane::choose;
use crate::types::{ConsumerOptions, Details, Lane, Meta, Pause, Totals, c_structs};

/// A consumer, which one thread may use at a time. A second one at the same moment is told -EBUSY.
#[derive(Debug)]
pub(crate) struct Consumer(Mutex<posix::Consumer>);

c_structs! {
    /// A frame where it lies.
    struct Frame = "camlane_frame" {
        data: *const u8 = "const uint8_t *",
        len: usize = "size_t",
        user: *const u8 = "const uint8_t *",
        user_len: usize = "size_t",
        planes: [*const u8; 4] = "const uint8_t *[4]",
        number: u64 = "uint64_t",
        missed: u64 = "uint64_t",
        dropped: u32 = "uint32_t",
        change: u32 = "uint32_t",
        incarnation: [u32; 4] = "uint32_t[4]",
        meta: Meta = "camlane_meta",
        handle: Option<Box<posix::Frame>> = "void *",
    }
}

/// `CAMLANE_CHANGE_*`.
pub(crate) const RESTARTED: u32 = 1;
pub(crate) const FORMAT: u32 = 2;
pub(crate) const SIZE: u32 = 4;

impl Default for Frame {
    fn default() -> Self {
        let null = std::ptr::null();
        Self {
            data: null,
            len: 0,
            user: null,
            user_len: 0,
            planes: [null; 4],
            number: 0,
            missed: 0,
            dropped: 0,
            change: 0,
            incarnation: [0; 4],
            meta: Meta::default(),
            handle: None,
        }
    }
}

impl From<posix::Frame> for Frame {
    fn from(frame: posix::Frame) -> Self {
        let Change { restarted, format, size, .. } = frame.change();
        let user = frame.user();
        Self {
            data: frame.as_ptr(),
            len: frame.len(),
            user: user.as_ptr(),
            user_len: user.len(),
            planes: std::array::from_fn(|index| frame.plane(index).map_or(std::ptr::null(), <[u8]>::as_ptr)),
            number: frame.number(),
            missed: frame.missed(),
            dropped: frame.dropped(),
            change: [(restarted, RESTARTED), (format, FORMAT), (size, SIZE)]
                .into_iter()
                .map(|(changed, bit)| if changed { bit } else { 0 })
                .sum(),
            incarnation: frame.incarnation(),
            meta: (&frame.meta()).into(),
            handle: Some(Box::new(frame)),
        }
    }
}

/// The handle's inside, unless another thread is there: C cannot be told at compile time that it must not be.
pub(crate) fn alone<T>(handle: &Mutex<T>) -> Result<MutexGuard<'_, T>, Failure> {
    match handle.try_lock() {
        Ok(inside) => Ok(inside),
        // A panic was reported when it happened; the ends keep their own books in order.
        Err(TryLockError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => Err(Failure::new(
            libc::EBUSY,
            "another thread uses this handle at this moment: give each its own".to_owned(),
        )),
    }
}

/// 1 and the pause, or 0 and nothing of one.
pub(crate) fn answer(told: Option<posix::Pause>, out: Out<'_, Pause>) -> Result<c_int, Failure> {
    let pause = told.map_or_else(Pause::default, |told| Pause {
        reason: told.reason.0.into(),
        error: told.errno.unwrap_or(0),
        lasted_ns: told.lasted.as_nanos() as u64,
    });
    store(out, pause, "pause")?;
    Ok(told.is_some().into())
}

/// A time-out from C: milliseconds, negative for ever.
pub(crate) fn limit(timeout_ms: c_int) -> Duration {
    u64::try_from(timeout_ms).map_or(Duration::MAX, Duration::from_millis)
}

impl Consumer {
    fn with<T>(
        this: Option<&Self>,
        work: impl FnOnce(&mut posix::Consumer) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let this = this.ok_or_else(|| Failure::null("consumer"))?;
        work(&mut *alone(&this.0)?)
    }
}

/// `CAMLANE_READ_*`.
pub(crate) const READ: [(u32, Read); 2] = [(0, Read::Latest), (1, Read::Every)];
/// `CAMLANE_WAIT_*`.
pub(crate) const WAIT: [(u32, Wait); 3] = [(0, Wait::Sleep), (1, Wait::Adaptive), (2, Wait::Spin)];
/// `CAMLANE_CONSUMER_POPULATE`.
pub(crate) const POPULATE: u32 = 1;
/// `CAMLANE_CONSUMER_TRUST_USER`.
pub(crate) const TRUST_USER: u32 = 2;

impl ConsumerOptions {
    fn checked(&self) -> Result<Options, Failure> {
        let options = Options::new()
            .patience(Duration::from_millis(self.patience_ms.into()))
            .read(choose("read", self.read, &READ)?)
            .wait(choose("wait", self.wait, &WAIT)?);
        if self.flags & !(POPULATE | TRUST_USER) != 0 {
            let text = format!("flags of a consumer are {:#x}: use CAMLANE_CONSUMER_*", self.flags);
            return Err(Failure::invalid(text));
        }
        let options = if self.flags & POPULATE == 0 { options } else { options.populate() };
        Ok(if self.flags & TRUST_USER == 0 { options } else { options.trust_user(self.trusted_user) })
    }
}

export! {
    fn camlane_consumer_open(name: Text<'_>, options: Given<'_, ConsumerOptions>, out: Slot<'_, Consumer>) {
        let out = empty(out, "consumer")?;
        let options = options.optional()?.unwrap_or_default().checked()?;
        let consumer = options.open(name.get("name")?)?;
        *out = Some(Box::new(Consumer(Mutex::new(consumer))));
        Ok(0)
    }

    fn camlane_consumer_next(consumer: Option<&Consumer>, timeout_ms: c_int, out: Out<'_, Frame>) {
        let out = out.ok_or_else(|| Failure::null("frame"))?.write(Frame::default());
        let next = |consumer: &mut posix::Consumer| {
            consumer.next(limit(timeout_ms)).map_err(|error| Failure::of_wait(error, consumer.pause()))
        };
        *out = Consumer::with(consumer, next)?.into();
        Ok(0)
    }

    fn camlane_consumer_try_next(consumer: Option<&Consumer>, out: Out<'_, Frame>) {
        let out = out.ok_or_else(|| Failure::null("frame"))?.write(Frame::default());
        let frame = Consumer::with(consumer, |consumer| Ok(consumer.try_next()?))?;
        *out = frame.ok_or_else(|| Failure::new(libc::EAGAIN, "no new frame is there now".to_owned()))?.into();
        Ok(0)
    }

    fn camlane_consumer_wait_any(
        consumers: Array<'_, Option<&Consumer>>, count: usize, timeout_ms: c_int, index: Out<'_, usize>, out: Out<'_, Frame>,
    ) {
        let out = out.ok_or_else(|| Failure::null("frame"))?.write(Frame::default());
        let consumers = consumers.get(count, "consumers")?;
        let mut inside = Vec::with_capacity(count);
        for consumer in consumers {
            inside.push(alone(&consumer.ok_or_else(|| Failure::null("a consumer"))?.0)?);
        }
        let mut ends: Vec<&mut posix::Consumer> = inside.iter_mut().map(|inside| &mut **inside).collect();
        if ends.is_empty() {
            return Err(Failure::invalid("there is no consumer to wait for".to_owned()));
        }
        let (found, frame) = posix::wait_any(&mut ends, limit(timeout_ms))?;
        *out = frame.into();
        store_if_wanted(index, found);
        Ok(0)
    }

    fn camlane_consumer_fd(consumer: Option<&Consumer>) {
        Consumer::with(consumer, |consumer| Ok(consumer.notifier()?.as_fd().as_raw_fd()))
    }

    fn camlane_consumer_pause(consumer: Option<&Consumer>, out: Out<'_, Pause>) {
        answer(Consumer::with(consumer, |consumer| Ok(consumer.pause()))?, out)
    }

    fn camlane_consumer_totals(consumer: Option<&Consumer>, out: Out<'_, Totals>) {
        let totals = Consumer::with(consumer, |consumer| Ok(consumer.totals()))?;
        let posix::Totals { delivered, missed, dropped, restarts } = totals;
        store(out, Totals { delivered, missed, dropped, restarts }, "totals")
    }

    fn camlane_consumer_describe(consumer: Option<&Consumer>, out: Place<'_, Lane>) {
        Consumer::with(consumer, |consumer| {
            let mut lane = Lane::unknown(consumer.name().as_str(), 0);
            lane.describe(consumer.shape(), &consumer.info()?, consumer.incarnation());
            out.put(&lane, "info")?;
            Ok(0)
        })
    }

    fn camlane_frame_details(frame: Option<&Frame>, out: Place<'_, Details>) {
        let frame = frame.ok_or_else(|| Failure::null("frame"))?;
        let handle = frame.handle.as_ref().ok_or_else(|| Failure::invalid("this frame was released".to_owned()))?;
        let details = handle.meta().details;
        let details = details.ok_or_else(|| Failure::new(libc::ENODATA, "this frame states no details".to_owned()))?;
        out.put(&(&details).into(), "details")?;
        Ok(0)
    }
}

export_infallible! {
    fn camlane_consumer_close(consumer: Option<Box<Consumer>>) -> () {
        drop(consumer);
    }

    fn camlane_frame_release(frame: Option<&mut Frame>) -> () {
        if let Some(frame) = frame {
            *frame = Frame::default();
        }
    }
}

//! An observer: copies frames out, needs no seat, trusts nobody.

use std::ffi::c_int;
use std::sync::{Mutex, MutexGuard};

use crate::boundary::{Out, Room, Slot, Text, empty, export, export_infallible, store};
use crate::consumer::{self, alone, limit};
use crate::error::Failure;
use crate::types::{Observed, Pause};

/// An observer, which one thread may use at a time.
#[derive(Debug)]
pub(crate) struct Observer(Mutex<posix::Observer>);

fn answer(found: Option<posix::Observed>, out: Out<'_, Observed>) -> Result<c_int, Failure> {
    let found = found.ok_or_else(|| Failure::new(libc::EAGAIN, "nothing was published yet".to_owned()))?;
    store(out, Observed { number: found.number, meta: (&found.meta).into() }, "observed")
}

fn inside(observer: Option<&Observer>) -> Result<MutexGuard<'_, posix::Observer>, Failure> {
    alone(&observer.ok_or_else(|| Failure::null("observer"))?.0)
}

export! {
    fn camlane_observer_open(name: Text<'_>, out: Slot<'_, Observer>) {
        let out = empty(out, "observer")?;
        let observer = posix::Observer::open(name.get("name")?)?;
        *out = Some(Box::new(Observer(Mutex::new(observer))));
        Ok(0)
    }

    fn camlane_observer_wait(observer: Option<&Observer>, timeout_ms: c_int) {
        inside(observer)?.wait(limit(timeout_ms));
        Ok(0)
    }

    fn camlane_observer_pause(observer: Option<&Observer>, out: Out<'_, Pause>) {
        consumer::answer(inside(observer)?.pause(), out)
    }

    fn camlane_observer_peek(observer: Option<&Observer>, out: Out<'_, Observed>) {
        answer(inside(observer)?.peek()?, out)
    }

    fn camlane_observer_copy(
        observer: Option<&Observer>,
        pixels: Room<'_>,
        room: usize,
        user: Room<'_>,
        user_room: usize,
        out: Out<'_, Observed>,
    ) {
        let (pixels, user) = (pixels.get(room, "pixels")?, user.get(user_room, "user")?);
        answer(inside(observer)?.copy_newest_into(pixels, user)?, out)
    }
}

export_infallible! {
    fn camlane_observer_close(observer: Option<Box<Observer>>) -> () {
        drop(observer);
    }
}

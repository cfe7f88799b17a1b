//! Lanes in step: framesets.

use std::ffi::c_int;
use std::sync::Mutex;
use std::time::Duration;

use posix::{FramesetError, SyncTotals as Counted};

use crate::boundary::{Array, Out, Places, Slot, Text, empty, export, export_infallible, store};
use crate::consumer::{Frame, alone, limit};
use crate::error::Failure;
use crate::types::{SyncTotals, Totals};

/// A synchronizer, which one thread may use at a time. A second one at the same moment is told -EBUSY.
#[derive(Debug)]
pub(crate) struct Synchronizer(Mutex<posix::Synchronizer>);

impl From<FramesetError> for Failure {
    fn from(error: FramesetError) -> Self {
        let text = error.to_string();
        match error {
            FramesetError::TimedOut => Self::new(libc::ETIMEDOUT, text),
            FramesetError::TooFewLanes { .. } => Self::new(libc::EINVAL, text),
            FramesetError::ClocksDiffer { .. } | FramesetError::NoTime { .. } => Self::new(libc::EDOM, text),
            FramesetError::Lane { source, .. } => Self { message: text, ..source.into() },
            _ => Self::new(libc::EIO, text),
        }
    }
}

/// A time-out's failure says why no set came, where the lanes' producers say so.
fn late(error: FramesetError, lanes: &posix::Synchronizer) -> Failure {
    let told = matches!(error, FramesetError::TimedOut).then(|| lanes.pauses()).flatten();
    let failure = Failure::from(error);
    match told {
        Some(pauses) => Failure { message: format!("{}: {pauses}", failure.message), ..failure },
        None => failure,
    }
}

impl Synchronizer {
    fn with<T>(
        this: Option<&Self>,
        work: impl FnOnce(&mut posix::Synchronizer) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let this = this.ok_or_else(|| Failure::null("synchronizer"))?;
        work(&mut *alone(&this.0)?)
    }
}

export! {
    fn camlane_synchronizer_open(
        names: Array<'_, Text<'_>>, count: usize, tolerance_ns: u64, out: Slot<'_, Synchronizer>,
    ) {
        let out = empty(out, "synchronizer")?;
        let names = names.get(count, "names")?.iter().map(|name| name.get("a name"));
        let lanes = posix::Synchronizer::open(&names.collect::<Result<Vec<_>, _>>()?, Duration::from_nanos(tolerance_ns))?;
        *out = Some(Box::new(Synchronizer(Mutex::new(lanes))));
        Ok(0)
    }

    fn camlane_synchronizer_next(
        synchronizer: Option<&Synchronizer>, timeout_ms: c_int, frames: Places<'_, Frame>, count: usize,
    ) {
        let frames = frames.fill(count, "frames", Frame::default)?;
        Synchronizer::with(synchronizer, |lanes| {
            let needed = lanes.lanes().len();
            if count != needed {
                return Err(Failure::invalid(format!("there is room for {count} frames, and the set has {needed}")));
            }
            let set = lanes.next(limit(timeout_ms)).map_err(|error| late(error, lanes))?;
            frames.iter_mut().zip(set.into_frames()).for_each(|(into, frame)| *into = frame.into());
            Ok(0)
        })
    }

    fn camlane_synchronizer_totals(
        synchronizer: Option<&Synchronizer>, index: usize, out: Out<'_, SyncTotals>,
    ) {
        let counted = Synchronizer::with(synchronizer, |lanes| {
            lanes.totals(index).ok_or_else(|| Failure::invalid(format!("there is no lane {index} in it")))
        })?;
        let Counted { reader, paired, unpaired, waiting, .. } = counted;
        let posix::Totals { delivered, missed, dropped, restarts } = reader;
        let reader = Totals { delivered, missed, dropped, restarts };
        store(out, SyncTotals { reader, paired, unpaired, waiting }, "totals")
    }
}

export_infallible! {
    fn camlane_synchronizer_close(synchronizer: Option<Box<Synchronizer>>) -> () {
        drop(synchronizer);
    }
}

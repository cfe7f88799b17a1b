//! Lanes in step: framesets.

use std::os::fd::{AsFd, AsRawFd};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use camlane::{FramesetError, SyncTotals};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::{PyDict, PyTuple};

use crate::error::{forked, frameset_exception, not_picklable, released, set_timed_out};
use crate::frame::{Frame, Held};
use crate::lane::{SLICE, seconds};

/// Opens several lanes to read them in step, for stereo and surround cameras.
///
/// names: the lanes, two or more.
/// tolerance: seconds between the first and the last capture of a set; choose less than half of a frame's period.
/// timeout: seconds that each set is waited for before Timeout is raised; None waits for ever.
///
/// Frames whose partners may still come are held back as far as the lanes' `pins` allow, so that no producer waits: make
/// the lanes with pins for the frames that come meanwhile, and one for the set in hand. Raises NoSuchLane, Invalid, ...
#[pyfunction]
#[pyo3(signature = (names, *, tolerance, timeout = None))]
pub(crate) fn synchronize(
    py: Python<'_>,
    names: Vec<String>,
    tolerance: f64,
    timeout: Option<f64>,
) -> PyResult<Synchronizer> {
    let (tolerance, timeout) = (seconds(tolerance)?, timeout.map(seconds).transpose()?);
    let addresses: Vec<&str> = names.iter().map(String::as_str).collect();
    let end = py.detach(|| camlane::Synchronizer::open(&addresses, tolerance)).map_err(frameset_exception)?;
    Ok(Synchronizer { names, timeout, pid: std::process::id(), end: Mutex::new(Some(end)) })
}

/// Lanes that are read in step: iterate over it, or call `next()`. Each set is a tuple with one frame of each lane, in the
/// order of the names, all captured within the tolerance of each other.
///
/// A lane whose producer ended the stream or died is told once (Closed, ProducerGone, with the lane in the text); iterating
/// again goes on with the producer that comes next. `async for` does the same in asyncio. Use it in one thread at a time, and open it again in a forked child.
#[pyclass(frozen, module = "camlane")]
pub(crate) struct Synchronizer {
    names: Vec<String>,
    timeout: Option<Duration>,
    pid: u32,
    end: Mutex<Option<camlane::Synchronizer>>,
}

impl Synchronizer {
    fn lock(&self, py: Python<'_>) -> PyResult<MutexGuard<'_, Option<camlane::Synchronizer>>> {
        match self.end.try_lock() {
            Ok(end) => Ok(end),
            Err(TryLockError::Poisoned(end)) => Ok(end.into_inner()),
            Err(TryLockError::WouldBlock) if std::process::id() != self.pid => Err(forked()),
            Err(TryLockError::WouldBlock) => {
                Ok(self.end.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner))
            }
        }
    }

    fn closed(&self) -> PyErr {
        released(format!("lanes {} were closed here", self.names.join(", ")))
    }

    fn wait<'py>(&self, py: Python<'py>, timeout: Option<Duration>) -> PyResult<Bound<'py, PyTuple>> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        drop(self.lock(py)?);
        loop {
            let left = deadline.map_or(SLICE, |deadline| deadline.saturating_duration_since(Instant::now()));
            let waited = py.detach(|| {
                let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
                end.as_mut().map(|end| end.next(left.min(SLICE)))
            });
            match waited.ok_or_else(|| self.closed())? {
                Ok(set) => {
                    let frames = set.into_frames().into_iter().map(|frame| Frame::new(Held::Pinned(frame)));
                    let frames: PyResult<Vec<_>> = frames.map(|frame| Bound::new(py, frame)).collect();
                    return PyTuple::new(py, frames?);
                }
                Err(FramesetError::TimedOut) if !left.is_zero() => py.check_signals()?,
                Err(FramesetError::TimedOut) => {
                    let pauses = self.lock(py)?.as_ref().and_then(camlane::Synchronizer::pauses);
                    return Err(set_timed_out(pauses));
                }
                Err(error) => return Err(frameset_exception(error)),
            }
        }
    }
}

#[pymethods]
impl Synchronizer {
    /// The lanes, as they were given.
    #[getter]
    fn names<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, &self.names)
    }

    /// What became of each lane's frames, one dictionary per lane: `delivered` is `paired` + `unpaired` + `waiting`;
    /// `missed` and `dropped` never came this far.
    #[getter]
    fn totals<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let totals: Vec<SyncTotals> = {
            let end = self.lock(py)?;
            let end = end.as_ref().ok_or_else(|| self.closed())?;
            (0..self.names.len()).filter_map(|index| end.totals(index)).collect()
        };
        let each = totals.iter().map(|totals| {
            let dict = PyDict::new(py);
            for (key, value) in [
                ("delivered", totals.reader.delivered),
                ("paired", totals.paired),
                ("unpaired", totals.unpaired),
                ("waiting", totals.waiting),
                ("missed", totals.reader.missed),
                ("dropped", totals.reader.dropped),
                ("restarts", totals.reader.restarts),
            ] {
                dict.set_item(key, value)?;
            }
            Ok(dict)
        });
        PyTuple::new(py, each.collect::<PyResult<Vec<_>>>()?)
    }

    /// Waits for the next set, at most `timeout` seconds (None: as long as the synchronizer was opened for).
    #[pyo3(signature = (timeout = None))]
    fn next<'py>(&self, py: Python<'py>, timeout: Option<f64>) -> PyResult<Bound<'py, PyTuple>> {
        self.wait(py, timeout.map(seconds).transpose()?.or(self.timeout))
    }

    /// Descriptors, one for each lane, for select, epoll or an event loop: one is readable when `next(0)` may have a set.
    /// Call that until it raises Timeout each time. Starts threads that never touch the interpreter.
    fn filenos<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let numbers: Vec<i32> = {
            let mut end = self.lock(py)?;
            let end = end.as_mut().ok_or_else(|| self.closed())?;
            let notifiers = end.notifiers().map_err(frameset_exception)?;
            notifiers.iter().map(|notifier| notifier.as_fd().as_raw_fd()).collect()
        };
        PyTuple::new(py, numbers)
    }

    /// Seconds that each set is waited for; None waits for ever.
    #[getter]
    fn timeout(&self) -> Option<f64> {
        self.timeout.map(|timeout| timeout.as_secs_f64())
    }

    /// Closes all lanes. Frames that are out stay good.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let end = self.lock(py)?.take();
        py.detach(|| drop(end));
        Ok(())
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        self.wait(py, self.timeout)
    }

    fn __aiter__<'py>(slf: Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        py.import(intern!(py, "camlane._aio"))?.getattr(intern!(py, "Sets"))?.call1((slf,))
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, PyTuple>) -> PyResult<()> {
        self.close(py)
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(not_picklable("synchronizer", "send the lanes' names, and open them there"))
    }
}

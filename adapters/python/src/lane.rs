//! The end of a lane that reads.

use std::os::fd::{AsFd, AsRawFd};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use camlane::{Consumer, ConsumerOptions, Read, Totals, Wait, WaitError};
use pyo3::exceptions::PyStopIteration;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::PyTuple;

use crate::error::{exception, forked, invalid, not_picklable, released, timed_out, wait_exception};
use crate::frame::{Frame, Held};
use crate::list::LaneInfo;

/// Longest wait without a look at signals: Ctrl-C takes at most that long.
pub(crate) const SLICE: Duration = Duration::from_millis(100);

/// How often `poll` asks whether the producer lives.
const LOOK_AROUND: Duration = Duration::from_millis(100);

/// Opens a lane to read its frames in place.
///
/// name: the lane, for example "front-door".
/// read: "latest" gives the newest frame each time, "every" all of them in order as far as the lane's history reaches.
/// wait: "sleep" costs least; "adaptive" spins for the last moments before a frame is due; "spin" never sleeps.
/// timeout: seconds that each frame is waited for before Timeout is raised; None waits for ever.
/// patience: seconds to wait for a lane with a living producer; what a dead one left is opened when they are over, and at once
///     without patience: its last frame, then ProducerGone.
/// trust_users: users besides this one and root that may serve a sealed lane, by number.
/// populate: takes all page faults now instead of at the first look at each slot.
///
/// Raises NoSuchLane, SeatsTaken, NotPermitted, Invalid.
#[pyfunction]
#[pyo3(signature = (name, *, read = "latest", wait = "sleep", timeout = None, patience = 0.0, populate = false, trust_users = Vec::new()))]
#[allow(clippy::too_many_arguments, reason = "keywords in Python")]
pub(crate) fn open(
    py: Python<'_>,
    name: &str,
    read: &str,
    wait: &str,
    timeout: Option<f64>,
    patience: f64,
    populate: bool,
    trust_users: Vec<u32>,
) -> PyResult<Lane> {
    let read = match read {
        "latest" => Read::Latest,
        "every" => Read::Every,
        other => return Err(invalid(format!("read={other:?}: choose \"latest\" or \"every\""))),
    };
    let wait = match wait {
        "sleep" => Wait::Sleep,
        "adaptive" => Wait::Adaptive,
        "spin" => Wait::Spin,
        other => return Err(invalid(format!("wait={other:?}: choose \"sleep\", \"adaptive\" or \"spin\""))),
    };
    let timeout = timeout.map(seconds).transpose()?;
    let options = ConsumerOptions::new().read(read).wait(wait).patience(seconds(patience)?);
    let options = if populate { options.populate() } else { options };
    let options = trust_users.into_iter().fold(options, ConsumerOptions::trust_user);
    let mut interrupted = None;
    let opened = py.detach(|| {
        options.open_while(name, || {
            interrupted = Python::attach(|py| py.check_signals()).err();
            interrupted.is_none()
        })
    });
    if let Some(interrupted) = interrupted {
        return Err(interrupted);
    }
    let consumer = opened.map_err(exception)?;
    let name = consumer.name().to_string();
    let end = Mutex::new(Some(End { consumer, told: None, looked: Instant::now() }));
    Ok(Lane { name, timeout, pid: std::process::id(), end })
}

/// A pause as `camlane.Pause`.
pub(crate) fn pause_of<'py>(py: Python<'py>, told: &camlane::Pause) -> PyResult<Bound<'py, PyAny>> {
    let class = py.import(intern!(py, "camlane._types"))?.getattr(intern!(py, "Pause"))?;
    class.call1((told.reason.name(), told.errno, told.lasted.as_secs_f64(), told.to_string()))
}

/// Seconds as people write them.
pub(crate) fn seconds(value: f64) -> PyResult<Duration> {
    if value.is_infinite() && value > 0.0 {
        return Ok(Duration::MAX);
    }
    Duration::try_from_secs_f64(value).map_err(|_| invalid(format!("{value} seconds cannot be waited for")))
}

struct End {
    consumer: Consumer,
    /// How often the producer had been restarted when its end was told: an end is news once.
    told: Option<u64>,
    /// When `poll` last asked whether the producer lives, which costs a system call.
    looked: Instant,
}

impl End {
    fn try_next(&mut self) -> PyResult<Option<Frame>> {
        let frame = self.consumer.try_next().map_err(exception)?;
        Ok(frame.map(|frame| {
            self.told = None;
            Frame::new(Held::Pinned(frame))
        }))
    }

    /// Waits at most `limit`. `None`: nothing came, or nothing that was not told before.
    fn next(&mut self, limit: Duration) -> Result<Option<Frame>, WaitError> {
        match self.consumer.next(limit) {
            Ok(frame) => {
                self.told = None;
                Ok(Some(Frame::new(Held::Pinned(frame))))
            }
            Err(WaitError::TimedOut) => Ok(None),
            Err(news @ (WaitError::Closed | WaitError::ProducerGone)) => {
                let run = Some(self.consumer.totals().restarts);
                if std::mem::replace(&mut self.told, run) == run { Ok(None) } else { Err(news) }
            }
            Err(error) => Err(error),
        }
    }
}

/// A lane that is being read: iterate over it, or call `next()`.
///
/// `for frame in lane` waits for each frame, lets other threads run meanwhile, ends when the producer ends the stream, and
/// raises ProducerGone if it died; iterating again waits for the producer that comes next. A producer that is restarted
/// while frames are waited for is followed (`frame.meta.changed` says so). `async for` does the same in asyncio.
///
/// Use it in one thread at a time, open one for each otherwise; and open it again in a forked child.
#[pyclass(frozen, module = "camlane")]
pub(crate) struct Lane {
    name: String,
    timeout: Option<Duration>,
    pid: u32,
    end: Mutex<Option<End>>,
}

impl Lane {
    /// Locks without the interpreter if it has to wait.
    fn lock(&self, py: Python<'_>) -> PyResult<MutexGuard<'_, Option<End>>> {
        match self.end.try_lock() {
            Ok(end) => Ok(end),
            Err(TryLockError::Poisoned(end)) => Ok(end.into_inner()),
            // A thread of the parent's held it when this child was forked, and will never give it back.
            Err(TryLockError::WouldBlock) if std::process::id() != self.pid => Err(forked()),
            Err(TryLockError::WouldBlock) => {
                Ok(self.end.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner))
            }
        }
    }

    fn closed(&self) -> PyErr {
        released(format!("lane '{}' was closed here", self.name))
    }

    fn with<T>(&self, py: Python<'_>, work: impl FnOnce(&mut End) -> PyResult<T>) -> PyResult<T> {
        work(self.lock(py)?.as_mut().ok_or_else(|| self.closed())?)
    }

    fn wait(&self, py: Python<'_>, timeout: Option<Duration>) -> PyResult<Frame> {
        if let Some(frame) = self.with(py, End::try_next)? {
            return Ok(frame);
        }
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            let left = deadline.map_or(SLICE, |deadline| deadline.saturating_duration_since(Instant::now()));
            let waited = py.detach(|| {
                let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
                end.as_mut().map(|end| end.next(left.min(SLICE)))
            });
            match waited.ok_or_else(|| self.closed())?.map_err(wait_exception)? {
                Some(frame) => return Ok(frame),
                None if left.is_zero() => {
                    return Err(timed_out(self.with(py, |end| Ok(end.consumer.pause()))?));
                }
                None => py.check_signals()?,
            }
        }
    }

    fn totals(&self, py: Python<'_>) -> PyResult<Totals> {
        self.with(py, |end| Ok(end.consumer.totals()))
    }
}

#[pymethods]
impl Lane {
    /// The lane's name.
    #[getter]
    fn name(&self) -> &str {
        &self.name
    }

    /// Seconds that each frame is waited for; None waits for ever.
    #[getter]
    fn timeout(&self) -> Option<f64> {
        self.timeout.map(|timeout| timeout.as_secs_f64())
    }

    /// What the lane says about itself; its producer may change it with a restart.
    #[getter]
    fn info(&self, py: Python<'_>) -> PyResult<LaneInfo> {
        self.with(py, |end| end.consumer.info().map(LaneInfo::from).map_err(exception))
    }

    /// The seat that this consumer sits in.
    #[getter]
    fn seat(&self, py: Python<'_>) -> PyResult<u32> {
        self.with(py, |end| Ok(end.consumer.seat()))
    }

    /// First and last-plus-one address of the lane's memory in this process: arrays lie inside.
    #[getter]
    fn addresses(&self, py: Python<'_>) -> PyResult<(usize, usize)> {
        self.with(py, |end| Ok(end.consumer.addresses())).map(|range| (range.start, range.end))
    }

    /// Frames delivered so far.
    #[getter]
    fn delivered(&self, py: Python<'_>) -> PyResult<u64> {
        self.totals(py).map(|totals| totals.delivered)
    }

    /// Frames published that this reader skipped or was too slow for.
    #[getter]
    fn missed(&self, py: Python<'_>) -> PyResult<u64> {
        self.totals(py).map(|totals| totals.missed)
    }

    /// Frames that the producer could not take.
    #[getter]
    fn dropped(&self, py: Python<'_>) -> PyResult<u64> {
        self.totals(py).map(|totals| totals.dropped)
    }

    /// Producers that took over from another while this lane was open.
    #[getter]
    fn restarts(&self, py: Python<'_>) -> PyResult<u64> {
        self.totals(py).map(|totals| totals.restarts)
    }

    /// Why no frames come, if the producer says so: worth a look after Timeout.
    #[getter]
    fn pause<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let told = self.with(py, |end| Ok(end.consumer.pause()))?;
        told.map(|told| pause_of(py, &told)).transpose()
    }

    /// Waits for the next frame, at most `timeout` seconds (None: for ever). Ctrl-C works, other threads run.
    ///
    /// Raises Timeout; Closed when the producer ended the stream; ProducerGone when it died; AllFramesHeld.
    #[pyo3(signature = (timeout = None))]
    fn next(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Frame> {
        self.wait(py, timeout.map(seconds).transpose()?)
    }

    /// The next frame if one is there now, else None. Raises as `next()`, each end of a producer once.
    fn poll(&self, py: Python<'_>) -> PyResult<Option<Frame>> {
        self.with(py, |end| match end.try_next()? {
            Some(frame) => Ok(Some(frame)),
            None if end.looked.elapsed() < LOOK_AROUND => Ok(None),
            None => {
                end.looked = Instant::now();
                end.next(Duration::ZERO).map_err(wait_exception)
            }
        })
    }

    /// A descriptor for select, epoll or an event loop: readable when `poll()` may have something. Call `poll()` until it
    /// gives None each time. Starts a thread that never touches the interpreter.
    fn fileno(&self, py: Python<'_>) -> PyResult<i32> {
        self.with(py, |end| Ok(end.consumer.notifier().map_err(exception)?.as_fd().as_raw_fd()))
    }

    /// Gives the seat back. Frames and arrays that are alive stay good, and hold the seat until they are gone.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let end = self.lock(py)?.take();
        py.detach(|| drop(end));
        Ok(())
    }

    /// Whether `close()` was called.
    #[getter]
    fn closed_here(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.lock(py)?.is_none())
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Frame> {
        self.wait(py, self.timeout).map_err(|error| {
            if error.is_instance(py, &crate::error::closed_class(py)) {
                PyStopIteration::new_err(())
            } else {
                error
            }
        })
    }

    fn __aiter__<'py>(slf: Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        py.import(intern!(py, "camlane._aio"))?.getattr(intern!(py, "Frames"))?.call1((slf,))
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, PyTuple>) -> PyResult<()> {
        self.close(py)
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(not_picklable("lane", "send its name, and open it there"))
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(match &*self.lock(py)? {
            None => format!("<camlane.Lane '{}': closed>", self.name),
            Some(end) => format!("<camlane.Lane '{}': seat {}>", self.name, end.consumer.seat()),
        })
    }
}

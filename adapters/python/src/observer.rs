//! A reader without a seat.

use std::sync::{Mutex, MutexGuard, PoisonError};

use camlane::LaneState;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::error::{exception, not_picklable, observe_exception, released};
use crate::frame::{Frame, Held};
use crate::lane::pause_of;
use crate::list::LaneInfo;
use crate::meta::Meta;

/// Opens a lane to look at: needs only permission to read, takes no seat, trusts nobody, copies frames out.
///
/// Not for the process that produces the lane. Raises NoSuchLane, NotPermitted, Invalid.
#[pyfunction]
pub(crate) fn observe(py: Python<'_>, name: &str) -> PyResult<Observer> {
    let observer = py.detach(|| camlane::Observer::open(name)).map_err(exception)?;
    Ok(Observer { name: observer.name().to_string(), end: Mutex::new(Some(observer)) })
}

/// A reader that holds nothing: it copies frames out and checks each copy.
#[pyclass(frozen, module = "camlane")]
pub(crate) struct Observer {
    name: String,
    end: Mutex<Option<camlane::Observer>>,
}

impl Observer {
    fn lock(&self) -> MutexGuard<'_, Option<camlane::Observer>> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, work: impl FnOnce(&camlane::Observer) -> PyResult<T>) -> PyResult<T> {
        work(
            self.lock()
                .as_ref()
                .ok_or_else(|| released(format!("observer of '{}' was closed", self.name)))?,
        )
    }
}

#[pymethods]
impl Observer {
    /// The lane's name.
    #[getter]
    fn name(&self) -> &str {
        &self.name
    }

    /// What the lane says about itself.
    #[getter]
    fn info(&self) -> PyResult<LaneInfo> {
        self.with(|end| end.info().map(LaneInfo::from).map_err(exception))
    }

    /// "live", "closed" when the producer ended the stream, "superseded" when another took its place: observe anew.
    #[getter]
    fn state(&self) -> PyResult<&'static str> {
        self.with(|end| {
            Ok(match end.state() {
                LaneState::Live => "live",
                LaneState::Closed => "closed",
                LaneState::Superseded => "superseded",
                _ => "unknown",
            })
        })
    }

    /// Why no frames come, if the producer says so.
    #[getter]
    fn pause<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let told = self.with(|end| Ok(end.pause()))?;
        told.map(|told| pause_of(py, &told)).transpose()
    }

    /// What the newest frame says about itself; None before the first.
    fn peek(&self) -> PyResult<Option<Meta>> {
        self.with(|end| Ok(end.peek().map_err(observe_exception)?.map(Meta::of_observed)))
    }

    /// Copies the newest frame out; None before the first. It stays good as long as you like.
    fn copy_newest(&self, py: Python<'_>) -> PyResult<Option<Frame>> {
        let copied = py.detach(|| {
            let end = self.lock();
            end.as_ref().map(camlane::Observer::copy_newest)
        });
        let copied = copied.ok_or_else(|| released(format!("observer of '{}' was closed", self.name)))?;
        Ok(copied.map_err(observe_exception)?.map(|copied| Frame::new(Held::Copied(Box::new(copied)))))
    }

    /// Lets go of the lane.
    fn close(&self) {
        drop(self.lock().take());
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, _exception: &Bound<'_, PyTuple>) {
        self.close();
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(not_picklable("observer", "send the lane's name, and observe it there"))
    }

    fn __repr__(&self) -> String {
        format!("<camlane.Observer of '{}'>", self.name)
    }
}

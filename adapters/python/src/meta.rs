//! What a frame says about itself, as attributes with their units in the names.

use camlane::{Change, FrameMeta, Plane, clock};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};

use crate::details;
use crate::frame::Held;

/// What a frame says about itself. It stays good after the frame is released.
#[pyclass(frozen, module = "camlane")]
pub(crate) struct Meta {
    number: u64,
    meta: FrameMeta,
    user: Vec<u8>,
    missed: u64,
    dropped: u32,
    change: Change,
}

impl Meta {
    pub(crate) fn new(held: &Held) -> Self {
        let (missed, dropped, change) = held.since_previous();
        Self { number: held.number(), meta: held.meta(), user: held.user().to_vec(), missed, dropped, change }
    }

    /// Of a frame that was only looked at.
    pub(crate) fn of_observed(observed: camlane::Observed) -> Self {
        let camlane::Observed { number, meta } = observed;
        Self { number, meta, user: Vec::new(), missed: 0, dropped: 0, change: Change::default() }
    }
}

/// Nanoseconds since a frame was published.
pub(crate) fn age(meta: &FrameMeta) -> Option<u64> {
    (meta.publish_ns != 0).then(|| clock::monotonic_ns().saturating_sub(meta.publish_ns))
}

#[pymethods]
impl Meta {
    /// Position in the producer's run, counted from 1, without gaps.
    #[getter]
    const fn number(&self) -> u64 {
        self.number
    }

    /// The camera's own sequence: gaps mean that the driver lost frames. Wraps at 2**32.
    #[getter]
    const fn source_sequence(&self) -> u32 {
        self.meta.source_sequence
    }

    /// When the picture was taken, in nanoseconds of `clock`, at `reference`; None if nobody said.
    #[getter]
    fn capture_time_ns(&self) -> Option<u64> {
        (self.meta.capture_ns != 0).then_some(self.meta.capture_ns)
    }

    /// The clock of `capture_time_ns`: "monotonic" is `time.monotonic_ns()`, "realtime" is `time.time_ns()`.
    #[getter]
    const fn clock(&self) -> &'static str {
        self.meta.clock.name()
    }

    /// The moment that `capture_time_ns` means, for example "start-of-exposure".
    #[getter]
    const fn reference(&self) -> &'static str {
        self.meta.reference.name()
    }

    /// When the frame was published, in nanoseconds of `time.monotonic_ns()`; None if nobody said.
    #[getter]
    fn publish_time_ns(&self) -> Option<u64> {
        (self.meta.publish_ns != 0).then_some(self.meta.publish_ns)
    }

    /// Nanoseconds from the publication until now; None if nobody said when it was.
    #[getter]
    fn age_ns(&self) -> Option<u64> {
        age(&self.meta)
    }

    /// Facts as bits.
    #[getter]
    fn flags<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        details::class(py, "Flags")?.call1((self.meta.flags.0,))
    }

    /// Name of the pixel format.
    #[getter]
    fn format(&self) -> String {
        self.meta.layout.format.to_string()
    }

    /// Pixels across; 0 if nobody knows.
    #[getter]
    const fn width(&self) -> u32 {
        self.meta.layout.width
    }

    /// Pixels down; 0 if nobody knows.
    #[getter]
    const fn height(&self) -> u32 {
        self.meta.layout.height
    }

    /// Bytes of the frame, padding included.
    #[getter]
    const fn bytes(&self) -> u32 {
        self.meta.layout.bytes
    }

    /// Where each plane lies, in bytes from the beginning of the frame.
    #[getter]
    fn planes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let class = details::class(py, "Plane")?;
        let planes: PyResult<Vec<_>> = self
            .meta
            .layout
            .planes()
            .iter()
            .map(|&Plane { offset, stride, rows, bytes }| class.call1((offset, stride, rows, bytes)))
            .collect();
        PyTuple::new(py, planes?)
    }

    /// Frames published since this reader's previous frame that it did not get.
    #[getter]
    const fn missed(&self) -> u64 {
        self.missed
    }

    /// Frames that the producer could not take since this reader's previous frame.
    #[getter]
    const fn dropped(&self) -> u32 {
        self.dropped
    }

    /// What is different from this reader's previous frame: any of "restarted", "format" and "size".
    #[getter]
    fn changed<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let Change { restarted, format, size, .. } = self.change;
        let all = [(restarted, "restarted"), (format, "format"), (size, "size")];
        PyTuple::new(py, all.into_iter().filter_map(|(is, name)| is.then_some(name)).collect::<Vec<_>>())
    }

    /// The producer's own metadata.
    #[getter]
    fn user<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.user)
    }

    /// Exposure, gains, colour and other facts that few readers need; None if nobody stated any.
    #[getter]
    fn details<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.meta.details.map(|details| details::to_python(py, &details)).transpose()
    }

    fn __repr__(&self) -> String {
        let layout = &self.meta.layout;
        let capture = match self.meta.capture_ns {
            0 => "unknown".to_owned(),
            time => format!("{time} ns {}", self.meta.clock.name()),
        };
        format!(
            "<camlane.Meta {}: {} {}x{}, captured {capture}, missed {}>",
            self.number, layout.format, layout.width, layout.height, self.missed
        )
    }
}

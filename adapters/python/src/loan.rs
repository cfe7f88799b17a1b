//! A slot in Python's hands, to be filled in place.

use std::sync::{Arc, Mutex, PoisonError};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::array::{Memory, View};
use crate::error::{invalid, not_one_array, not_picklable, released};
use crate::producer::Producer;
use crate::shape;
use crate::slot::Slot;
use crate::stamp::{Stamp, with_bytes};

/// A slot to fill: write to `array` or `planes`, then `publish()`; leaving its `with` publishes too, an exception gives
/// the slot back.
#[pyclass(frozen, module = "camlane")]
pub(crate) struct Loan {
    slot: Arc<Slot>,
    /// Arrays handed out: they become read-only when the loan ends.
    arrays: Mutex<Vec<Py<PyAny>>>,
    producer: Py<Producer>,
}

impl Loan {
    pub(crate) fn new(producer: Py<Producer>, loan: camlane::Loan) -> Self {
        Self { slot: Arc::new(Slot::new(loan)), arrays: Mutex::default(), producer }
    }

    fn view<'py>(&self, py: Python<'py>, shape: shape::Shape) -> PyResult<Bound<'py, PyAny>> {
        if self.is_over() {
            return Err(over());
        }
        let array = View::array(py, Memory::Slot(Arc::clone(&self.slot)), shape)?;
        self.arrays.lock().unwrap_or_else(PoisonError::into_inner).push(array.clone().unbind());
        Ok(array)
    }

    fn is_over(&self) -> bool {
        self.slot.is_over()
    }

    /// Takes the loan, and the arrays' right to write with it.
    fn end(&self, py: Python<'_>) -> PyResult<camlane::Loan> {
        let loan = self.slot.take().ok_or_else(over)?;
        let arrays = std::mem::take(&mut *self.arrays.lock().unwrap_or_else(PoisonError::into_inner));
        for array in arrays {
            array.call_method1(py, intern!(py, "setflags"), (false,))?;
        }
        Ok(loan)
    }
}

fn over() -> PyErr {
    released("this loan is over: take another with `loan()`")
}

#[pymethods]
impl Loan {
    /// The slot as one writeable numpy array in the lane's memory itself; shapes as `Frame.array`.
    ///
    /// When the loan ends it becomes read-only. Do not keep slices of it: numpy cannot take their right to write back, and
    /// what is written through one later tears somebody's frame.
    #[getter]
    fn array<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let layout = self.producer.get().layout();
        self.view(py, shape::whole(layout).ok_or_else(|| not_one_array(layout.format))?)
    }

    /// One writeable numpy array for each plane.
    #[getter]
    fn planes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let layout = self.producer.get().layout();
        let shapes = (0..layout.planes().len()).filter_map(|index| shape::plane(layout, index));
        let arrays: PyResult<Vec<_>> = shapes.map(|shape| self.view(py, shape)).collect();
        PyTuple::new(py, arrays?)
    }

    /// Publishes what was filled in, and returns the frame's number. `bytes`: how many a compressed frame has. The others
    /// as `Producer.publish`.
    #[pyo3(signature = (
        *, bytes = None, capture_time_ns = None, clock = "monotonic", reference = "unknown", source_sequence = 0,
        flags = 0, user = None, details = None
    ))]
    #[allow(clippy::too_many_arguments, reason = "keywords in Python")]
    fn publish<'py>(
        &self,
        py: Python<'py>,
        bytes: Option<u32>,
        capture_time_ns: Option<u64>,
        clock: &'py str,
        reference: &'py str,
        source_sequence: u32,
        flags: u32,
        user: Option<&[u8]>,
        details: Option<Bound<'py, PyAny>>,
    ) -> PyResult<u64> {
        let producer = self.producer.get();
        let stamp = Stamp { capture_time_ns, clock, reference, source_sequence, flags, details };
        let layout = *producer.layout();
        let meta = stamp.meta(match bytes {
            None => layout,
            Some(bytes)
                if bytes == layout.bytes
                    || layout.planes[0].stride == 0 && (1..layout.bytes).contains(&bytes) =>
            {
                with_bytes(layout, bytes)
            }
            Some(bytes) => {
                return Err(invalid(format!("bytes={bytes}: a frame of this lane has {}", layout.bytes)));
            }
        })?;
        let loan = self.end(py)?;
        producer.publish_loan(py, loan, meta, user.unwrap_or_default())
    }

    /// Gives the slot back unpublished.
    fn discard(&self, py: Python<'_>) -> PyResult<()> {
        if !self.is_over() {
            drop(self.end(py)?);
        }
        Ok(())
    }

    /// Whether the loan was published or discarded.
    #[getter]
    fn over(&self) -> bool {
        self.is_over()
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*exception))]
    fn __exit__(&self, py: Python<'_>, exception: &Bound<'_, PyTuple>) -> PyResult<()> {
        if self.is_over() {
            return Ok(());
        }
        if exception.get_item(0).is_ok_and(|kind| !kind.is_none()) {
            return self.discard(py);
        }
        self.publish(py, None, None, "unknown", "unknown", 0, 0, None, None).map(drop)
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(not_picklable("loan", "publish it, and open the lane there"))
    }

    fn __repr__(&self) -> String {
        let state = if self.is_over() { "over" } else { "being filled" };
        format!("<camlane.Loan of '{}': {state}>", self.producer.get().name())
    }
}

//! A frame in Python's hands.
#![cfg_attr(feature = "buffer", allow(unsafe_code))] // the buffer protocol hands out a C structure

use std::sync::{Arc, Mutex, PoisonError};

use camlane::{Change, Copied, FrameMeta};
use pyo3::exceptions::{PyBufferError, PyResourceWarning};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};
use pyo3::{ffi::c_str, intern};

use crate::array::{Memory, View};
use crate::convert::{Target, convert};
use crate::error::{forked, invalid, not_one_array, not_picklable, released};
use crate::meta::Meta;
use crate::shape;

/// A frame's bytes, and whatever keeps them from changing: a pin, or a copy of our own.
pub(crate) enum Held {
    Pinned(camlane::Frame),
    Copied(Box<Copied>),
}

impl Held {
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Pinned(frame) => frame,
            Self::Copied(copied) => &copied.pixels,
        }
    }

    pub(crate) fn meta(&self) -> FrameMeta {
        match self {
            Self::Pinned(frame) => frame.meta(),
            Self::Copied(copied) => copied.observed.meta,
        }
    }

    pub(crate) fn user(&self) -> &[u8] {
        match self {
            Self::Pinned(frame) => frame.user(),
            Self::Copied(copied) => &copied.user,
        }
    }

    pub(crate) fn number(&self) -> u64 {
        match self {
            Self::Pinned(frame) => frame.number(),
            Self::Copied(copied) => copied.observed.number,
        }
    }

    /// Frames missed, frames dropped and what changed since the reader's previous frame; a copy has none.
    pub(crate) fn since_previous(&self) -> (u64, u32, Change) {
        match self {
            Self::Pinned(frame) => (frame.missed(), frame.dropped(), frame.change()),
            Self::Copied(_) => (0, 0, Change::default()),
        }
    }

    /// A pin protects the bytes in the process that made it, not in a forked child.
    fn check(&self) -> PyResult<()> {
        match self {
            Self::Pinned(frame) if !frame.is_here() => Err(forked()),
            _ => Ok(()),
        }
    }
}

/// One frame of a lane, read where it lies.
///
/// Its bytes do not change until it is released, which happens when the last of the frame and its arrays is gone, or at
/// once by `release()`. A lane lets each consumer hold a few frames (`pins`, 2 unless its producer says otherwise).
#[pyclass(frozen, module = "camlane")]
pub(crate) struct Frame {
    number: u64,
    held: Mutex<Option<Arc<Held>>>,
}

impl Frame {
    pub(crate) fn new(held: Held) -> Self {
        Self { number: held.number(), held: Mutex::new(Some(Arc::new(held))) }
    }

    fn held(&self) -> PyResult<Arc<Held>> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let held = held.ok_or_else(|| released(format!("frame {} was released", self.number)))?;
        held.check()?;
        Ok(held)
    }

    fn layout(held: &Held) -> PyResult<camlane::FrameLayout> {
        let layout = held.meta().layout;
        let room = u32::try_from(held.bytes().len()).unwrap_or(u32::MAX);
        layout
            .check(room)
            .map_err(|error| invalid(format!("the producer described its frame wrongly: {error}")))?;
        Ok(layout)
    }

    /// Lets go unless arrays are alive; says how many are.
    fn let_go(&self) -> Result<(), usize> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(ours) = held.take() else { return Ok(()) };
        match Arc::try_unwrap(ours) {
            Ok(last) => {
                drop(held);
                drop(last);
                Ok(())
            }
            Err(ours) => {
                let arrays = Arc::strong_count(&ours) - 1;
                *held = Some(ours);
                Err(arrays)
            }
        }
    }
}

#[pymethods]
impl Frame {
    /// The frame as one read-only numpy array in the lane's memory itself, without a copy.
    ///
    /// Shape and type follow the format: `(height, width, 3)` of uint8 for BGR8, `(height, width)` for GRAY8 and Bayer,
    /// `(height, width, 2)` for YUYV, `(bytes,)` for compressed frames, `(height * 3 / 2, width)` for NV12 and I420 whose
    /// planes lie so (`has_array` tells). The array keeps the frame held as long as it lives.
    ///
    /// Raises NotOneArray if only `planes` can show the frame, Released, ForkedError in a forked child.
    #[getter]
    fn array<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let held = self.held()?;
        let layout = Self::layout(&held)?;
        let whole = shape::whole(&layout).ok_or_else(|| not_one_array(layout.format))?;
        View::array(py, Memory::Frame(held), whole)
    }

    /// Whether `array` can show all of the frame.
    #[getter]
    fn has_array(&self) -> PyResult<bool> {
        let held = self.held()?;
        Ok(Self::layout(&held).is_ok_and(|layout| shape::whole(&layout).is_some()))
    }

    /// One read-only numpy array for each plane, as `array`: `(Y, UV)` for NV12, `(Y, U, V)` for I420.
    #[getter]
    fn planes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let held = self.held()?;
        let layout = Self::layout(&held)?;
        let shapes = (0..layout.planes().len()).filter_map(|index| shape::plane(&layout, index));
        let arrays: PyResult<Vec<_>> =
            shapes.map(|shape| View::array(py, Memory::Frame(Arc::clone(&held)), shape)).collect();
        PyTuple::new(py, arrays?)
    }

    /// A writeable copy of `array` that holds no frame.
    fn copy<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.array(py)?.call_method0(intern!(py, "copy"))
    }

    /// All bytes of the frame, padding included, as `bytes`. Needs no numpy.
    fn tobytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, self.held()?.bytes()))
    }

    /// Converts or decodes to a new `(height, width, 3)` array, blue first, as OpenCV wants it.
    ///
    /// Raw formats, JPEG and PNG; CannotConvert says why not. Other threads run meanwhile.
    fn bgr<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        convert(py, &self.held()?, Target::Bgr)
    }

    /// As `bgr()`, red first.
    fn rgb<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        convert(py, &self.held()?, Target::Rgb)
    }

    /// Converts or decodes to a new `(height, width)` array of grey, 0 black to 255 white.
    fn gray<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        convert(py, &self.held()?, Target::Gray)
    }

    /// What the frame says about itself. It stays good after the frame is released.
    #[getter]
    fn meta(&self) -> PyResult<Meta> {
        Ok(Meta::new(&*self.held()?))
    }

    /// Position in the producer's run, counted from 1.
    #[getter]
    const fn number(&self) -> u64 {
        self.number
    }

    /// Name of the pixel format.
    #[getter]
    fn format(&self) -> PyResult<String> {
        Ok(self.held()?.meta().layout.format.to_string())
    }

    /// Pixels across; 0 if nobody knows.
    #[getter]
    fn width(&self) -> PyResult<u32> {
        Ok(self.held()?.meta().layout.width)
    }

    /// Pixels down; 0 if nobody knows.
    #[getter]
    fn height(&self) -> PyResult<u32> {
        Ok(self.held()?.meta().layout.height)
    }

    /// Nanoseconds since the frame was published; None if its producer did not say when.
    #[getter]
    fn age_ns(&self) -> PyResult<Option<u64>> {
        Ok(crate::meta::age(&self.held()?.meta()))
    }

    /// Whether `release()` let go of the frame.
    #[getter]
    fn released(&self) -> bool {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    /// Releases the frame now. Does nothing the second time.
    ///
    /// Raises BufferError if arrays of this frame are alive, as memoryview does.
    fn release(&self) -> PyResult<()> {
        self.let_go().map_err(|arrays| {
            PyBufferError::new_err(format!(
                "{arrays} array(s) of frame {} are alive: `del` them first, or keep a `copy()`",
                self.number
            ))
        })
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    /// Releases the frame; if arrays of it are alive, warns (ResourceWarning) and leaves that to the last of them.
    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, PyTuple>) -> PyResult<()> {
        if self.let_go().is_ok() {
            return Ok(());
        }
        // What the frame's owner holds goes; the arrays go on holding it.
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = None;
        PyErr::warn(
            py,
            &py.get_type::<PyResourceWarning>(),
            c_str!(
                "an array outlives the `with` of its frame and holds it: `del` it inside, or keep a `copy()`"
            ),
            1,
        )
    }

    /// numpy's way to ask for `array`.
    #[pyo3(signature = (dtype = None, copy = None))]
    fn __array__<'py>(
        &self,
        py: Python<'py>,
        dtype: Option<Bound<'py, PyAny>>,
        copy: Option<bool>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let array = self.array(py)?;
        let same = match &dtype {
            Some(dtype) => array.getattr(intern!(py, "dtype"))?.eq(dtype)?,
            None => true,
        };
        match (dtype, copy) {
            (Some(dtype), Some(false)) if !same => Err(pyo3::exceptions::PyValueError::new_err(format!(
                "a view of type {dtype} would need a copy"
            ))),
            (Some(dtype), _) if !same => array.call_method1(intern!(py, "astype"), (dtype,)),
            (_, Some(true)) => array.call_method0(intern!(py, "copy")),
            _ => Ok(array),
        }
    }

    /// A DLPack capsule, as numpy makes it from `array`: only the versioned kind (DLPack 1.0) can say that memory is
    /// read-only; who asks for the old kind gets a BufferError.
    ///
    /// Some libraries do not look at that flag: `torch.from_dlpack(frame)` gives a tensor that kills the program when it is
    /// written to. Use `torch.from_numpy(frame.copy())` for tensors that you change.
    #[pyo3(signature = (**options))]
    fn __dlpack__<'py>(
        &self,
        py: Python<'py>,
        options: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.array(py)?.call_method(intern!(py, "__dlpack__"), (), options)
    }

    /// The processor's memory: `(1, 0)`.
    fn __dlpack_device__(&self) -> (i32, i32) {
        (1, 0)
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(not_picklable("frame", "send `frame.copy()`, or the lane's name, and open the lane there"))
    }

    fn __repr__(&self) -> String {
        match self.held() {
            Ok(held) => {
                let layout = held.meta().layout;
                format!(
                    "<camlane.Frame {}: {} {}x{}>",
                    self.number, layout.format, layout.width, layout.height
                )
            }
            Err(_) => format!("<camlane.Frame {}: released>", self.number),
        }
    }

    #[cfg(feature = "buffer")]
    /// # Safety
    /// Called by Python with a buffer to fill.
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        buffer: *mut pyo3::ffi::Py_buffer,
        flags: std::ffi::c_int,
    ) -> PyResult<()> {
        let held = slf.get().held()?;
        let layout = Self::layout(&held)?;
        let whole = shape::whole(&layout).ok_or_else(|| not_one_array(layout.format))?;
        // SAFETY: as this function; the shape was made from a checked layout of these bytes.
        unsafe { crate::buffer::export(slf.as_any(), buffer, flags, held, whole) }
    }

    #[cfg(feature = "buffer")]
    /// # Safety
    /// Called by Python with a buffer that `__getbuffer__` filled.
    unsafe fn __releasebuffer__(&self, buffer: *mut pyo3::ffi::Py_buffer) {
        // SAFETY: as this function.
        unsafe { crate::buffer::free(buffer) };
    }
}

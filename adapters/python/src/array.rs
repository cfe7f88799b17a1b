//! The bridge to numpy: memory of ours as arrays.
//!
//! The unsafe code here is numpy's array interface in C, `__array_struct__`, and the addresses that travel in it. Where numpy's
//! table of functions is known, arrays are made by that, which is quicker.
#![allow(unsafe_code)]

use std::ffi::{c_char, c_int, c_void};
use std::ptr::NonNull;
use std::sync::Arc;

use pyo3::exceptions::PyImportError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::{ffi, intern};

use crate::frame::Held;
use crate::shape::{Item, Shape};
use crate::slot::Slot;
use crate::table::Table;

/// `PyArrayInterface` of numpy's `ndarraytypes.h`.
#[repr(C)]
pub(crate) struct Interface {
    /// Always 2: proves that this is the structure.
    pub(crate) two: c_int,
    pub(crate) dims: c_int,
    pub(crate) kind: c_char,
    pub(crate) item_size: c_int,
    pub(crate) flags: c_int,
    pub(crate) shape: *mut isize,
    pub(crate) strides: *mut isize,
    pub(crate) data: *mut c_void,
    descr: *mut ffi::PyObject,
}

// numpy/ndarraytypes.h
const ALIGNED: c_int = 0x100;
pub(crate) const NOT_SWAPPED: c_int = 0x200;
const WRITEABLE: c_int = 0x400;
const HAS_DESCR: c_int = 0x800;

/// What an array is over, and what keeps that alive.
pub(crate) enum Memory {
    /// A frame's bytes, read-only.
    Frame(Arc<Held>),
    /// A slot that is being filled.
    Slot(Arc<Slot>),
    /// A picture of its own.
    Owned(Owned),
}

impl Memory {
    fn base(&self) -> *mut u8 {
        match self {
            // Nobody writes through it: the array is not writeable, and numpy lets only a writeable base change that.
            Self::Frame(held) => held.bytes().as_ptr().cast_mut(),
            Self::Slot(slot) => slot.base().as_ptr(),
            Self::Owned(owned) => owned.0.as_ptr().cast(),
        }
    }

    fn is_writeable(&self) -> bool {
        !matches!(self, Self::Frame(_))
    }
}

/// Bytes on the heap that only numpy looks at, so that no reference of Rust's aliases what it writes.
pub(crate) struct Owned(NonNull<[u8]>);

impl Owned {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self(NonNull::from(Box::leak(bytes.into_boxed_slice())))
    }
}

// SAFETY: a box of bytes; numpy's rules for threads hold for what it does with them.
unsafe impl Send for Owned {}
// SAFETY: as above; nothing here looks at the bytes.
unsafe impl Sync for Owned {}

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: leaked from a box by `new`, taken back once; the arrays over it held the view that held this.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

/// The base of every array: while it lives, the array's memory does.
///
/// # Invariants
/// `shape` lies inside `memory`: made only by [`View::array`], whose callers check layouts.
#[pyclass(frozen, module = "camlane")]
pub(crate) struct View {
    memory: Memory,
    shape: Shape,
}

impl View {
    /// Makes a numpy array over `memory`. `shape` must lie inside it.
    pub(crate) fn array<'py>(py: Python<'py>, memory: Memory, shape: Shape) -> PyResult<Bound<'py, PyAny>> {
        static AS_ARRAY: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let flags = if memory.is_writeable() { WRITEABLE } else { 0 };
        let data = memory.base().wrapping_add(shape.offset);
        let view = Bound::new(py, Self { memory, shape })?;
        if let Some(table) = Table::get(py) {
            let lengths = (shape.shape(), shape.strides());
            // SAFETY: 1. numpy made it; 2. `shape` lies inside the memory, which the view keeps, and whose frame, loan or box
            // says who may write it.
            return unsafe { table.array(dtype(py, shape.item)?, lengths, data, flags, view.into_any()) };
        }
        let as_array = AS_ARRAY.get_or_try_init(py, || numpy(py)?.getattr("asarray").map(Bound::unbind))?;
        as_array.bind(py).call1((view,))
    }
}

#[pymethods]
impl View {
    /// numpy's array interface in C.
    #[getter]
    fn __array_struct__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let View { memory, shape } = slf.get();
        let mut export = Box::new(Export {
            interface: Interface {
                two: 2,
                dims: shape.shape().len() as c_int,
                kind: shape.item.kind as c_char,
                item_size: shape.item.size as c_int,
                flags: ALIGNED
                    | if cfg!(target_endian = "little") { NOT_SWAPPED } else { 0 }
                    | if memory.is_writeable() { WRITEABLE } else { 0 }
                    | HAS_DESCR,
                shape: std::ptr::null_mut(),
                strides: std::ptr::null_mut(),
                data: memory.base().wrapping_add(shape.offset).cast(),
                descr: dtype(py, shape.item)?.as_ptr(),
            },
            shape: *shape,
            _view: slf.clone().unbind(),
        });
        export.interface.shape = export.shape.shape().as_ptr().cast_mut();
        export.interface.strides = export.shape.strides().as_ptr().cast_mut();
        let export = Box::into_raw(export);
        // SAFETY: the pointer is not null; numpy asks for a capsule without a name; `free_export` takes the box back.
        let capsule = unsafe { ffi::PyCapsule_New(export.cast(), std::ptr::null(), Some(free_export)) };
        // SAFETY: a new reference, or null with an exception set.
        unsafe { Bound::from_owned_ptr_or_err(py, capsule) }.inspect_err(|_| {
            // SAFETY: no capsule came to be, so nobody else frees it.
            drop(unsafe { Box::from_raw(export) });
        })
    }
}

/// numpy's description of a type; made once, for numpy takes as long to read its name as for all the rest of an array.
fn dtype(py: Python<'_>, item: Item) -> PyResult<&Bound<'_, PyAny>> {
    static KNOWN: [PyOnceLock<Py<PyAny>>; 3] = [const { PyOnceLock::new() }; 3];
    let (known, name) = match (item.kind, item.size) {
        (b'u', 2) => (&KNOWN[1], "<u2"),
        (b'f', _) => (&KNOWN[2], "<f4"),
        _ => (&KNOWN[0], "u1"),
    };
    let dtype = || numpy(py)?.getattr("dtype")?.call1((name,)).map(Bound::unbind);
    known.get_or_try_init(py, dtype).map(|dtype| dtype.bind(py))
}

/// What a capsule points to. The interface is first, for that is what its readers expect there.
#[repr(C)]
struct Export {
    interface: Interface,
    shape: Shape,
    _view: Py<View>,
}

unsafe extern "C" fn free_export(capsule: *mut ffi::PyObject) {
    // SAFETY: called by Python with the capsule that `__array_struct__` made, which has no name.
    let export = unsafe { ffi::PyCapsule_GetPointer(capsule, std::ptr::null()) };
    if !export.is_null() {
        // SAFETY: made by `Box::into_raw`, freed once: a capsule is destroyed once.
        drop(unsafe { Box::from_raw(export.cast::<Export>()) });
    }
}

/// Imports numpy, which only arrays need.
pub(crate) fn numpy(py: Python<'_>) -> PyResult<Bound<'_, PyModule>> {
    py.import(intern!(py, "numpy")).map_err(|_| {
        PyImportError::new_err("arrays need numpy (pip install numpy); without it there is `frame.tobytes()`")
    })
}

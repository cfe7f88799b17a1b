//! The buffer protocol: `memoryview(frame)`. The unsafe code here fills and frees its C structure.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_int};
use std::sync::Arc;

use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;

use crate::frame::Held;
use crate::shape::Shape;

/// What an exported buffer needs until it is released: its numbers, and the frame.
struct Exported {
    shape: Shape,
    format: &'static CStr,
    _held: Arc<Held>,
}

/// Fills a buffer of Python's for a frame.
///
/// # Safety
/// `buffer` can be written; `shape` lies inside the frame.
pub(crate) unsafe fn export(
    owner: &Bound<'_, PyAny>,
    buffer: *mut ffi::Py_buffer,
    flags: c_int,
    held: Arc<Held>,
    shape: Shape,
) -> PyResult<()> {
    let strided = flags & ffi::PyBUF_STRIDES == ffi::PyBUF_STRIDES;
    let (rows, stride) = shape.rows();
    let packed = stride == shape.row_bytes();
    if flags & ffi::PyBUF_WRITABLE != 0 {
        return Err(PyBufferError::new_err("a frame is read-only: write to `frame.copy()`"));
    }
    if !strided && !packed {
        return Err(PyBufferError::new_err(
            "the rows of this frame are padded: ask for a strided buffer, or `frame.copy()`",
        ));
    }
    let format = match (shape.item.kind, shape.item.size) {
        (b'u', 2) => c"<H",
        (b'f', _) => c"<f",
        _ => c"B",
    };
    let data = held.bytes().as_ptr().wrapping_add(shape.offset);
    let exported = Box::into_raw(Box::new(Exported { shape, format, _held: held }));
    // SAFETY: made by `Box::into_raw` just now, freed by `free`.
    let numbers = unsafe { &*exported };
    let asked =
        |flag: c_int, pointer: *mut isize| if flags & flag == flag { pointer } else { std::ptr::null_mut() };
    let filled = ffi::Py_buffer {
        buf: data.cast_mut().cast(),
        obj: owner.clone().into_ptr(),
        len: (rows * shape.row_bytes()) as isize,
        itemsize: shape.item.size as isize,
        readonly: 1,
        ndim: numbers.shape.shape().len() as c_int,
        format: if flags & ffi::PyBUF_FORMAT != 0 {
            numbers.format.as_ptr().cast_mut()
        } else {
            std::ptr::null_mut()
        },
        shape: asked(ffi::PyBUF_ND, numbers.shape.shape().as_ptr().cast_mut()),
        strides: asked(ffi::PyBUF_STRIDES, numbers.shape.strides().as_ptr().cast_mut()),
        suboffsets: std::ptr::null_mut(),
        internal: exported.cast(),
    };
    // SAFETY: the caller's promise.
    unsafe { buffer.write(filled) };
    Ok(())
}

/// Frees what a buffer held.
///
/// # Safety
/// `buffer` was filled by [`export`] and is released once.
pub(crate) unsafe fn free(buffer: *mut ffi::Py_buffer) {
    // SAFETY: the caller's promise.
    let exported = unsafe { (*buffer).internal };
    // SAFETY: made by `Box::into_raw` in `export`.
    drop(unsafe { Box::from_raw(exported.cast::<Exported>()) });
}

//! The bridge from numpy: arrays of others as bytes.
//!
//! The unsafe code here reads numpy's array interface in C, `__array_struct__`, and the memory that it names.
#![allow(unsafe_code)]

use pyo3::prelude::*;
use pyo3::{ffi, intern};

use crate::array::{Interface, NOT_SWAPPED};
use crate::error::invalid;
use crate::shape::Item;

/// An array of somebody else's, to copy from.
pub(crate) struct Foreign<'py> {
    /// Holds the interface below, and that holds the array.
    capsule: Bound<'py, PyAny>,
}

impl<'py> Foreign<'py> {
    /// Looks at an object that has an array interface in C, as numpy's arrays do. `None`: it has not.
    pub(crate) fn new(object: &Bound<'py, PyAny>) -> PyResult<Option<Self>> {
        let py = object.py();
        let Some(capsule) = object.getattr_opt(intern!(py, "__array_struct__"))? else { return Ok(None) };
        let this = Self { capsule };
        match this.interface() {
            Some(interface) if interface.two == 2 && (0..=32).contains(&interface.dims) => Ok(Some(this)),
            _ => Err(invalid("this object's `__array_struct__` is not numpy's")),
        }
    }

    fn interface(&self) -> Option<&Interface> {
        // SAFETY: any object may be asked; what is no capsule without a name gives null and an exception.
        let pointer = unsafe { ffi::PyCapsule_GetPointer(self.capsule.as_ptr(), std::ptr::null()) };
        if pointer.is_null() {
            drop(PyErr::take(self.capsule.py()));
        }
        // SAFETY: by numpy's protocol a capsule under this attribute points to the structure, as long as it lives.
        unsafe { pointer.cast::<Interface>().as_ref() }
    }

    fn numbers(&self, which: impl Fn(&Interface) -> *mut isize) -> &[isize] {
        let Some(interface) = self.interface() else { return &[] };
        if interface.dims == 0 || which(interface).is_null() {
            return &[];
        }
        // SAFETY: by the protocol there are `dims` of them, as long as the capsule lives.
        unsafe { std::slice::from_raw_parts(which(interface), interface.dims as usize) }
    }

    /// Lengths of the axes.
    pub(crate) fn shape(&self) -> &[isize] {
        self.numbers(|interface| interface.shape)
    }

    /// Bytes between elements along the axes.
    pub(crate) fn strides(&self) -> &[isize] {
        self.numbers(|interface| interface.strides)
    }

    /// Type of the elements; `None` if it is none that frames have.
    pub(crate) fn item(&self) -> Option<Item> {
        let interface = self.interface()?;
        let size = usize::try_from(interface.item_size).ok()?;
        let swapped = (interface.flags & NOT_SWAPPED == 0) == cfg!(target_endian = "little");
        (size == 1 || !swapped).then_some(Item { kind: interface.kind as u8, size })
    }

    /// Tells whether the elements of each row follow one another, and the rows too, perhaps with padding.
    pub(crate) fn has_plain_rows(&self) -> bool {
        let Some(item) = self.item() else { return false };
        let (shape, strides) = (self.shape(), self.strides());
        let mut expected = item.size as isize;
        for (axis, (&len, &stride)) in shape.iter().zip(strides).enumerate().rev() {
            let first_of_many = axis == 0 && shape.len() > 1;
            if len > 1 && (if first_of_many { stride < expected } else { stride != expected }) {
                return false;
            }
            expected *= len;
        }
        true
    }

    /// The `len` bytes of row `row`.
    ///
    /// # Safety
    /// [`has_plain_rows`](Self::has_plain_rows), the array has such a row of `len` bytes, and nobody writes it meanwhile
    /// (numpy asks the same of two threads that share an array).
    pub(crate) unsafe fn row(&self, row: usize, len: usize) -> &[u8] {
        let start = self.start_of(row);
        // SAFETY: the caller's promise; the array lives as long as the capsule.
        unsafe { std::slice::from_raw_parts(start, len) }
    }

    /// Copies row `row` element by element, for elements that lie apart or backwards.
    ///
    /// # Safety
    /// The array has such a row, `into` has its bytes, and nobody writes the array meanwhile.
    pub(crate) unsafe fn gather_row(&self, row: usize, into: &mut [u8]) {
        match self.item() {
            // SAFETY: as this function.
            Some(Item { size: 1, .. }) => unsafe { self.gather::<1>(row, into) },
            // SAFETY: as this function.
            Some(Item { size: 2, .. }) => unsafe { self.gather::<2>(row, into) },
            // SAFETY: as this function.
            Some(Item { size: 4, .. }) => unsafe { self.gather::<4>(row, into) },
            _ => {} // no frame has such elements: `source::check_item`
        }
    }

    /// # Safety
    /// As [`gather_row`](Self::gather_row), of elements of `SIZE` bytes.
    unsafe fn gather<const SIZE: usize>(&self, row: usize, into: &mut [u8]) {
        let outer = usize::from(self.shape().len() > 1);
        let (shape, strides) = (&self.shape()[outer..], &self.strides()[outer..]);
        // A frame's rows have pixels, and these perhaps channels; no shape of ours has more axes.
        let (channels, channel_stride) = if shape.len() > 1 { (shape[1], strides[1]) } else { (1, 0) };
        let mut pixel = self.start_of(row);
        for into in into.chunks_exact_mut(SIZE * channels as usize) {
            let mut from = pixel;
            for into in into.as_chunks_mut::<SIZE>().0 {
                // SAFETY: the caller's promise: the indices are inside the shape, and an element has `SIZE` bytes.
                *into = unsafe { from.cast::<[u8; SIZE]>().read() };
                from = from.wrapping_offset(channel_stride);
            }
            pixel = pixel.wrapping_offset(strides[0]);
        }
    }

    fn start_of(&self, row: usize) -> *const u8 {
        let data =
            self.interface().map_or(std::ptr::null(), |interface| interface.data.cast::<u8>().cast_const());
        let stride = if self.shape().len() > 1 { self.strides()[0] } else { 0 };
        data.wrapping_offset(row as isize * stride)
    }
}

//! numpy's table of C functions, for making an array without having numpy find out what it looks at: half the time.
//!
//! The unsafe code here calls two functions of that table.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_uint, c_void};

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

// Places in the table, from numpy's `__multiarray_api.h`. They never change within a version of the binary interface.
const VERSION: usize = 0;
const ARRAY_TYPE: usize = 2;
const NEW_FROM_DESCR: usize = 94;
const SET_BASE_OBJECT: usize = 282;

/// `NPY_VERSION` of numpy 1 and numpy 2.
const VERSIONS: [c_uint; 2] = [0x0100_0009, 0x0200_0000];

type GetVersion = unsafe extern "C" fn() -> c_uint;
type NewFromDescr = unsafe extern "C" fn(
    *mut ffi::PyTypeObject,
    *mut ffi::PyObject,
    c_int,
    *const isize,
    *const isize,
    *mut c_void,
    c_int,
    *mut ffi::PyObject,
) -> *mut ffi::PyObject;
type SetBaseObject = unsafe extern "C" fn(*mut ffi::PyObject, *mut ffi::PyObject) -> c_int;

/// The functions that are used, of a numpy whose table is known.
///
/// # Invariants
/// Read from the table of a numpy of one of [`VERSIONS`], which stays loaded as long as the process lives.
pub(crate) struct Table {
    array_type: *mut ffi::PyTypeObject,
    new_from_descr: NewFromDescr,
    set_base_object: SetBaseObject,
}

// SAFETY: addresses of functions and of a type that live as long as the process; calls are made with the interpreter held.
unsafe impl Send for Table {}
// SAFETY: as above.
unsafe impl Sync for Table {}

impl Table {
    /// Finds the table once. `None`: this numpy's is not known, or cannot be found.
    pub(crate) fn get(py: Python<'_>) -> Option<&'static Self> {
        static TABLE: PyOnceLock<Option<Table>> = PyOnceLock::new();
        TABLE.get_or_init(py, || Self::find(py)).as_ref()
    }

    fn find(py: Python<'_>) -> Option<Self> {
        let module =
            py.import("numpy._core.multiarray").or_else(|_| py.import("numpy.core.multiarray")).ok()?;
        let capsule = module.getattr("_ARRAY_API").ok()?;
        // SAFETY: any object may be asked; what is no capsule without a name gives null and an exception.
        let table = unsafe { ffi::PyCapsule_GetPointer(capsule.as_ptr(), std::ptr::null()) };
        if table.is_null() {
            drop(PyErr::take(py));
            return None;
        }
        // SAFETY: numpy's capsule of this name holds its table, an array of pointers; all versions have these places.
        let entry = |place: usize| unsafe { table.cast::<*mut c_void>().wrapping_add(place).read() };
        // SAFETY: this place has this function in all versions, for it is how the others are told apart.
        let version = unsafe { std::mem::transmute::<*mut c_void, GetVersion>(entry(VERSION)) };
        // SAFETY: it takes nothing and asks for nothing.
        if !VERSIONS.contains(&unsafe { version() }) {
            return None;
        }
        Some(Self {
            array_type: entry(ARRAY_TYPE).cast(),
            // SAFETY: in these versions this place has this function, with these arguments.
            new_from_descr: unsafe {
                std::mem::transmute::<*mut c_void, NewFromDescr>(entry(NEW_FROM_DESCR))
            },
            // SAFETY: as above.
            set_base_object: unsafe {
                std::mem::transmute::<*mut c_void, SetBaseObject>(entry(SET_BASE_OBJECT))
            },
        })
    }

    /// Makes an array of `descr` at `data` that keeps `base` alive. `flags`: numpy's, of which only "writeable" is not
    /// found out by itself.
    ///
    /// # Safety
    /// `descr` is a numpy dtype. Elements of it, as `shape` and `strides` place them from `data` on, are mapped while `base`
    /// lives, and nobody writes them in a way that numpy's own rules for threads forbid; if `flags` say so, they may be
    /// written.
    pub(crate) unsafe fn array<'py>(
        &self,
        descr: &Bound<'py, PyAny>,
        (shape, strides): (&[isize], &[isize]),
        data: *mut u8,
        flags: c_int,
        base: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = descr.py();
        let dims = shape.len().min(strides.len()) as c_int;
        let (shape, strides, descr) = (shape.as_ptr(), strides.as_ptr(), descr.clone().into_ptr());
        // SAFETY: 1. the caller's promises; 2. `dims` lengths and strides are there; 3. numpy takes the reference to `descr`.
        let array = unsafe {
            let none = std::ptr::null_mut();
            (self.new_from_descr)(self.array_type, descr, dims, shape, strides, data.cast(), flags, none)
        };
        // SAFETY: a new reference, or null with an exception set.
        let array = unsafe { Bound::from_owned_ptr_or_err(py, array) }?;
        // SAFETY: 1. an array that was just made and has no base; 2. numpy takes the reference to `base`, also if it fails.
        let done = unsafe { (self.set_base_object)(array.as_ptr(), base.into_ptr()) };
        if done < 0 { Err(PyErr::fetch(py)) } else { Ok(array) }
    }
}

//! Raw objects: what `shm_open`, `open`, `ftruncate` and `shm_unlink` do, with errors by name.

use std::os::fd::{AsFd, AsRawFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use camlane::legacy::{self, Access, Opened};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};

use crate::error::{not_picklable, object_exception, released};

/// An open shared-memory object or regular file; closing it removes nothing.
///
/// "/frames", "frames" and "/dev/shm/frames" are one object; a name with a slash elsewhere is a file. `read_at` and
/// `write_at` see the same bytes as every mapping of the object, and answer with an error, not with SIGBUS, when another
/// program cuts it. `camlane.Window` maps it.
#[pyclass(frozen, module = "camlane", name = "Object")]
pub(crate) struct RawObject {
    name: String,
    open: Mutex<Option<legacy::Object>>,
}

fn name_of(name: &str) -> PyResult<legacy::ObjectName> {
    name.parse().map_err(object_exception)
}

impl RawObject {
    fn new(object: legacy::Object) -> Self {
        Self { name: object.name().to_string(), open: Mutex::new(Some(object)) }
    }

    fn lock(&self) -> MutexGuard<'_, Option<legacy::Object>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, work: impl FnOnce(&legacy::Object) -> Result<T, legacy::Error>) -> PyResult<T> {
        let open = self.lock();
        let object =
            open.as_ref().ok_or_else(|| released(format!("object '{}' was closed here", self.name)))?;
        work(object).map_err(object_exception)
    }
}

#[pymethods]
impl RawObject {
    /// Makes an object of `size` zero bytes, which are reserved, with exactly these permissions. Exactly one of several
    /// creators succeeds, and nobody finds the object shorter. Raises ObjectError: EEXIST, ENOSPC.
    #[staticmethod]
    #[pyo3(signature = (name, size, *, mode = 0o600))]
    fn create_new(py: Python<'_>, name: &str, size: u64, mode: u32) -> PyResult<Self> {
        let name = name_of(name)?;
        py.detach(|| legacy::Object::create_new(&name, size, mode)).map(Self::new).map_err(object_exception)
    }

    /// Opens an object that exists. Raises ObjectError: ENOENT, EACCES, ...
    #[staticmethod]
    #[pyo3(signature = (name, *, write = false))]
    fn open(name: &str, write: bool) -> PyResult<Self> {
        let access = if write { Access::Write } else { Access::Read };
        legacy::Object::open(&name_of(name)?, access).map(Self::new).map_err(object_exception)
    }

    /// Opens the object, or makes it as `create_new` does; one that exists is not changed. Returns it, and whether it was
    /// made by this call.
    #[staticmethod]
    #[pyo3(signature = (name, size, *, mode = 0o600))]
    fn open_or_create(py: Python<'_>, name: &str, size: u64, mode: u32) -> PyResult<(Self, bool)> {
        let name = name_of(name)?;
        let opened =
            py.detach(|| legacy::Object::open_or_create(&name, size, mode)).map_err(object_exception)?;
        Ok((Self::new(opened.0), opened.1 == Opened::Created))
    }

    /// Removes a name; who has the object open or mapped keeps it. Raises ObjectError: ENOENT, EACCES.
    #[staticmethod]
    fn unlink(name: &str) -> PyResult<()> {
        legacy::Object::remove(&name_of(name)?).map_err(object_exception)
    }

    /// The object's name.
    #[getter]
    fn name(&self) -> &str {
        &self.name
    }

    /// Its length in bytes now.
    #[getter]
    fn size(&self) -> PyResult<u64> {
        self.with(legacy::Object::len)
    }

    /// Whether its name still leads to this object.
    #[getter]
    fn is_current(&self) -> PyResult<bool> {
        self.with(|object| Ok(object.is_current()))
    }

    /// Makes it at least `size` bytes long, with the bytes reserved. Never cuts. Raises ObjectError: ENOSPC.
    fn grow(&self, py: Python<'_>, size: u64) -> PyResult<()> {
        py.detach(|| self.with(|object| object.grow(size)))
    }

    /// Cuts it, or lets it grow without reserving. Cutting kills programs that have the lost bytes mapped.
    fn truncate(&self, size: u64) -> PyResult<()> {
        self.with(|object| object.truncate(size))
    }

    /// Copies up to `size` bytes out from `offset` on: as many as there are.
    fn read_at<'py>(&self, py: Python<'py>, offset: u64, size: usize) -> PyResult<Bound<'py, PyBytes>> {
        let there = self.size()?.saturating_sub(offset);
        let mut bytes = vec![0; size.min(usize::try_from(there).unwrap_or(usize::MAX))];
        let count = py.detach(|| self.with(|object| object.read_at(offset, &mut bytes)))?;
        Ok(PyBytes::new(py, &bytes[..count]))
    }

    /// Copies bytes in at `offset`, all or none; the object does not grow.
    fn write_at(&self, py: Python<'_>, offset: u64, data: &[u8]) -> PyResult<()> {
        py.detach(|| self.with(|object| object.write_at(offset, data)))
    }

    /// Has the file system write what it has not: for regular files.
    fn sync(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.with(legacy::Object::sync))
    }

    /// Its descriptor, which stays the object's own.
    fn fileno(&self) -> PyResult<i32> {
        self.with(|object| Ok(object.as_fd().as_raw_fd()))
    }

    /// Closes the object. Mappings of it stay.
    fn close(&self) {
        self.lock().take();
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, _exception: &Bound<'_, PyTuple>) {
        self.close();
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(not_picklable("object", "send its name, and open it there"))
    }

    fn __repr__(&self) -> String {
        format!("<camlane.Object {:?}>", self.name)
    }
}

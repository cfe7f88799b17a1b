//! Raw System V segments: what `shmget`, `shmat` and `shmctl` do, with errors by name.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use camlane::legacy::{self, Access, Key};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};

use crate::error::{invalid, not_picklable, object_exception, released};

/// A System V segment, attached until it is closed. No program can cut it; it outlives all of them until it is removed.
///
/// key: as `shmget` and `ipcs -m` have it; `Segment.key_of` is `ftok`. A lane lives in one as `sysv:KEY`.
#[pyclass(frozen, module = "camlane", name = "Segment")]
pub(crate) struct RawSegment {
    key: Key,
    size: usize,
    attached: Mutex<Option<legacy::Segment>>,
}

/// A key as people write it: also above 2^31, as ipcs prints it.
fn key_of_number(number: i64) -> PyResult<Key> {
    let bits = i32::try_from(number).or_else(|_| u32::try_from(number).map(u32::cast_signed));
    let bits = bits.map_err(|_| invalid(format!("key={number}: a key has 32 bits")))?;
    Key::new(bits).map_err(object_exception)
}

impl RawSegment {
    fn new(segment: legacy::Segment) -> Self {
        Self { key: segment.key(), size: segment.len(), attached: Mutex::new(Some(segment)) }
    }

    fn with<T>(&self, work: impl FnOnce(&mut legacy::Segment) -> PyResult<T>) -> PyResult<T> {
        let mut attached = self.attached.lock().unwrap_or_else(PoisonError::into_inner);
        work(attached.as_mut().ok_or_else(|| released(format!("segment {} was closed here", self.key)))?)
    }
}

#[pymethods]
impl RawSegment {
    /// Makes a segment of `size` zero bytes with these permissions; exactly one of several creators succeeds. Raises
    /// ObjectError: EEXIST, EINVAL (too large), ENOSPC, ENOMEM.
    #[staticmethod]
    #[pyo3(signature = (key, size, *, mode = 0o600))]
    fn create_new(key: i64, size: usize, mode: u32) -> PyResult<Self> {
        legacy::Segment::create_new(key_of_number(key)?, size, mode).map(Self::new).map_err(object_exception)
    }

    /// Attaches a segment that exists. Raises ObjectError: ENOENT, EACCES.
    #[staticmethod]
    #[pyo3(signature = (key, *, write = false))]
    fn open(key: i64, write: bool) -> PyResult<Self> {
        let access = if write { Access::Write } else { Access::Read };
        legacy::Segment::open(key_of_number(key)?, access).map(Self::new).map_err(object_exception)
    }

    /// Frees the key at once and the memory when the last user has detached it. Raises ObjectError: ENOENT, EPERM.
    #[staticmethod]
    fn remove(key: i64) -> PyResult<()> {
        legacy::Segment::remove(key_of_number(key)?).map_err(object_exception)
    }

    /// The key that `ftok(path, project)` gives; project is 1 to 255.
    #[staticmethod]
    fn key_of(path: PathBuf, project: u8) -> PyResult<u32> {
        let key = Key::of_file(&path, project).map_err(object_exception)?.to_string();
        u32::from_str_radix(key.trim_start_matches("0x"), 16).map_err(|_| invalid(key))
    }

    /// Bytes in the segment.
    #[getter]
    fn size(&self) -> usize {
        self.size
    }

    /// How many attachments there are now, in all processes.
    #[getter]
    fn users(&self) -> PyResult<usize> {
        self.with(|segment| segment.users().map_err(object_exception))
    }

    /// Copies up to `size` bytes out from `offset` on: as many as there are.
    fn read_at<'py>(&self, py: Python<'py>, offset: usize, size: usize) -> PyResult<Bound<'py, PyBytes>> {
        let mut bytes = vec![0; size.min(self.size.saturating_sub(offset))];
        let count = self.with(|segment| Ok(segment.read_at(offset, &mut bytes)))?;
        Ok(PyBytes::new(py, &bytes[..count]))
    }

    /// Copies bytes in at `offset`, all or none.
    fn write_at(&self, offset: usize, data: &[u8]) -> PyResult<()> {
        if offset.checked_add(data.len()).is_none_or(|end| end > self.size) {
            return Err(invalid(format!(
                "{} bytes at {offset} do not fit into the segment's {}",
                data.len(),
                self.size
            )));
        }
        self.with(|segment| segment.write_at(offset, data).map(drop).map_err(object_exception))
    }

    /// Detaches it; it stays for others, and for the next to open it, until it is removed.
    fn close(&self) {
        self.attached.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, _exception: &Bound<'_, PyTuple>) {
        self.close();
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(not_picklable("segment", "send its key, and open it there"))
    }

    fn __repr__(&self) -> String {
        format!("<camlane.Segment {}: {} bytes>", self.key, self.size)
    }
}

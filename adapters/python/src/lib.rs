//! The Python package camlane: camera frames in shared memory as numpy arrays, without a copy.
//!
//! ```text
//! ndarray --base--> View --Arc--> camlane::Frame --Arc--> seat and mapping
//!                    ^                  ^
//!     `Frame.array` makes it    the Python `Frame` is one owner of many
//! ```
//!
//! numpy never learns of a pointer without also getting the [`array::View`] that keeps what it points to. So arrays outlive
//! frames and lanes, and `Frame.release` can tell whether an array is still alive. numpy itself is imported at the first
//! array: there is no link to it.

mod array;
#[cfg(feature = "buffer")]
mod buffer;
mod convert;
mod details;
mod error;
mod foreign;
mod frame;
mod lane;
mod list;
mod loan;
mod meta;
mod object;
mod observer;
mod policy;
mod producer;
mod segment;
mod shape;
mod slot;
mod source;
mod stamp;
mod sync;
mod table;

/// The native half of the package; `camlane/__init__.py` is what people import.
#[pyo3::pymodule]
mod _camlane {
    use pyo3::prelude::*;
    use pyo3::types::PyTuple;

    #[pymodule_export]
    use crate::frame::Frame;
    #[pymodule_export]
    use crate::lane::{Lane, open};
    #[pymodule_export]
    use crate::list::{LaneInfo, LaneStatus, list};
    #[pymodule_export]
    use crate::loan::Loan;
    #[pymodule_export]
    use crate::meta::Meta;
    #[pymodule_export]
    use crate::object::RawObject;
    #[pymodule_export]
    use crate::observer::{Observer, observe};
    #[pymodule_export]
    use crate::producer::{Producer, create};
    #[pymodule_export]
    use crate::segment::RawSegment;
    #[pymodule_export]
    use crate::sync::{Synchronizer, synchronize};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        let names = camlane::PixelFormat::ALL.iter().map(|info| info.name);
        module.add("FORMATS", PyTuple::new(module.py(), names)?)
    }
}

//! Rust's errors as the exceptions that `camlane/_errors.py` defines.

use camlane::{Error, FramesetError, ObserveError, WaitError, core::ReadError, legacy};
use camlane_convert::ConvertError;
use pyo3::PyErr;

#[allow(missing_docs)]
mod python {
    use pyo3::import_exception;
    import_exception!(camlane._errors, Error);
    import_exception!(camlane._errors, NoSuchLane);
    import_exception!(camlane._errors, LaneTaken);
    import_exception!(camlane._errors, SeatsTaken);
    import_exception!(camlane._errors, NoSharedMemory);
    import_exception!(camlane._errors, NotPermitted);
    import_exception!(camlane._errors, Invalid);
    import_exception!(camlane._errors, Timeout);
    import_exception!(camlane._errors, Closed);
    import_exception!(camlane._errors, ProducerGone);
    import_exception!(camlane._errors, AllFramesHeld);
    import_exception!(camlane._errors, NoFreeSlot);
    import_exception!(camlane._errors, ForkedError);
    import_exception!(camlane._errors, Released);
    import_exception!(camlane._errors, NotOneArray);
    import_exception!(camlane._errors, CannotConvert);
    import_exception!(camlane._errors, ClocksDiffer);
    import_exception!(camlane._errors, ObjectError);
}

/// Turns an error into the exception that a Python program would catch.
pub(crate) fn exception(error: Error) -> PyErr {
    let text = error.to_string();
    match error {
        Error::NoSuchLane { .. } => python::NoSuchLane::new_err(text),
        Error::Taken { .. } => python::LaneTaken::new_err(text),
        Error::SeatsTaken { .. } => python::SeatsTaken::new_err(text),
        Error::NoSpace { .. } => python::NoSharedMemory::new_err(text),
        Error::Permission { .. } => python::NotPermitted::new_err(text),
        Error::Forked => forked(),
        Error::Read(ReadError::AllPinned { pins }) => python::AllFramesHeld::new_err(format!(
            "this consumer holds all {pins} frames that its seat allows: drop frames and arrays that are done with (`del`, \
             `frame.release()`, `with frame:`), keep `frame.copy()` instead of frames, or create the lane with more pins"
        )),
        Error::Loan(_) => python::NoFreeSlot::new_err(text),
        Error::InvalidName { .. }
        | Error::Geometry(_)
        | Error::Layout(_)
        | Error::Create(_)
        | Error::Publish(_)
        | Error::Size { .. } => python::Invalid::new_err(text),
        _ => python::Error::new_err(text),
    }
}

/// A wait's time-out, with why no frame came where the producer says so.
pub(crate) fn timed_out(pause: Option<camlane::Pause>) -> PyErr {
    let text = WaitError::TimedOut.to_string();
    python::Timeout::new_err(pause.map_or(text.clone(), |pause| format!("{text}: {pause}")))
}

/// As [`exception`], for a wait.
pub(crate) fn wait_exception(error: WaitError) -> PyErr {
    let text = error.to_string();
    match error {
        WaitError::TimedOut => python::Timeout::new_err(text),
        WaitError::Closed => python::Closed::new_err(text),
        WaitError::ProducerGone => python::ProducerGone::new_err(text),
        WaitError::Other(error) => exception(error),
        _ => python::Error::new_err(text),
    }
}

/// A frameset's time-out, with why none came where the lanes' producers say so.
pub(crate) fn set_timed_out(pauses: Option<String>) -> PyErr {
    let text = FramesetError::TimedOut.to_string();
    python::Timeout::new_err(pauses.map_or(text.clone(), |pauses| format!("{text}: {pauses}")))
}

/// As [`exception`], for framesets.
pub(crate) fn frameset_exception(error: FramesetError) -> PyErr {
    let text = error.to_string();
    match error {
        FramesetError::TimedOut => python::Timeout::new_err(text),
        FramesetError::TooFewLanes { .. } => python::Invalid::new_err(text),
        FramesetError::ClocksDiffer { .. } | FramesetError::NoTime { .. } => {
            python::ClocksDiffer::new_err(text)
        }
        FramesetError::Lane { source: WaitError::Closed, .. } => python::Closed::new_err(text),
        FramesetError::Lane { source: WaitError::ProducerGone, .. } => python::ProducerGone::new_err(text),
        FramesetError::Lane { source, .. } => wait_exception(source),
        _ => python::Error::new_err(text),
    }
}

/// An error on a raw object, as an `OSError` with the system's number.
pub(crate) fn object_exception(error: legacy::Error) -> PyErr {
    let text = error.to_string();
    let errno = match &error {
        legacy::Error::System { source, .. } => source.raw_os_error(),
        legacy::Error::NoSpace { .. } => Some(NO_SPACE),
        _ => None,
    };
    match errno {
        Some(errno) => python::ObjectError::new_err((errno, text)),
        None => python::Invalid::new_err(text),
    }
}

/// ENOSPC of Linux's errno-base.h.
const NO_SPACE: i32 = 28;

pub(crate) fn observe_exception(error: ObserveError) -> PyErr {
    python::Error::new_err(error.to_string())
}

pub(crate) fn convert_exception(error: ConvertError) -> PyErr {
    python::CannotConvert::new_err(error.to_string())
}

pub(crate) fn invalid(text: impl Into<String>) -> PyErr {
    python::Invalid::new_err(text.into())
}

pub(crate) fn released(text: impl Into<String>) -> PyErr {
    python::Released::new_err(text.into())
}

pub(crate) fn forked() -> PyErr {
    python::ForkedError::new_err(
        "this handle belongs to the parent process: open the lane again after fork, in the child (pass its name to the child)",
    )
}

pub(crate) fn not_one_array(format: camlane::PixelFormat) -> PyErr {
    python::NotOneArray::new_err(format!(
        "the planes of this {format} frame do not lie so that one array could show them: use `planes`, or convert with `bgr()`"
    ))
}

/// What `pickle`, `copy` and multiprocessing are told.
pub(crate) fn not_picklable(what: &str, instead: &str) -> PyErr {
    pyo3::exceptions::PyTypeError::new_err(format!(
        "a {what} cannot be copied or sent to another process: {instead}"
    ))
}

/// The class of the exception that ends an iteration.
pub(crate) fn closed_class(py: pyo3::Python<'_>) -> pyo3::Bound<'_, pyo3::types::PyType> {
    py.get_type::<python::Closed>()
}

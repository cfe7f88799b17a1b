//! What a program gives to publish: one array, one array for each plane, or plain bytes.
#![allow(unsafe_code)] // reads rows of another library's array

use camlane::{FrameLayout, Loan};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyMemoryView, PyTuple};

use crate::array::numpy;
use crate::error::{exception, invalid};
use crate::foreign::Foreign;
use crate::shape::{self, Item, Shape};

/// Frames from here on are copied while other threads run.
const LONG: usize = 64 << 10;

/// Copies a picture into a slot, and returns the bytes that the frame then has.
pub(crate) fn copy_into(loan: &mut Loan, layout: &FrameLayout, picture: &Bound<'_, PyAny>) -> PyResult<u32> {
    let py = picture.py();
    if let Ok(bytes) = picture.cast::<PyBytes>() {
        return copy_bytes(loan, layout, bytes);
    }
    if picture.is_instance_of::<PyTuple>() || picture.is_instance_of::<PyList>() {
        return copy_planes(loan, layout, picture);
    }
    let Some(array) = foreign(picture)? else {
        let bytes = PyMemoryView::from(picture)?.call_method0(intern!(py, "tobytes"))?;
        return copy_bytes(loan, layout, bytes.cast()?);
    };
    match shape::whole(layout) {
        // Any length up to the greatest: a compressed frame has the bytes that it has.
        Some(whole) if whole.shape().len() > 1 && array.shape() == whole.shape() => {
            check_item(&array, whole.item)?;
            copy_array(py, loan, &array, &whole)?;
            Ok(layout.bytes)
        }
        _ if array.shape().len() == 1 => {
            check_item(&array, Item::BYTE)?;
            let len = flat_len(layout, array.shape()[0] as usize)?;
            copy_array(py, loan, &array, &Shape::bytes(0, len as usize))?;
            Ok(len)
        }
        whole => Err(wrong_shape(layout, whole, &array)),
    }
}

fn copy_bytes(loan: &mut Loan, layout: &FrameLayout, bytes: &Bound<'_, PyBytes>) -> PyResult<u32> {
    let len = flat_len(layout, bytes.as_bytes().len())?;
    copy(bytes.py(), loan, bytes.as_bytes())?;
    Ok(len)
}

fn copy_planes(loan: &mut Loan, layout: &FrameLayout, planes: &Bound<'_, PyAny>) -> PyResult<u32> {
    let (given, count) = (planes.len()?, layout.planes().len());
    if given != count {
        return Err(invalid(format!("{given} planes were given, a {} frame has {count}", layout.format)));
    }
    for (index, given) in planes.try_iter()?.enumerate() {
        let array = foreign(&given?)?.ok_or_else(|| invalid("planes must be arrays"))?;
        let plane = shape::plane(layout, index);
        let Some(plane) = plane.filter(|plane| plane.shape() == array.shape()) else {
            return Err(wrong_shape(layout, plane, &array));
        };
        check_item(&array, plane.item)?;
        copy_array(planes.py(), loan, &array, &plane)?;
    }
    Ok(layout.bytes)
}

/// The array interface of any object that numpy understands. `None`: there is no numpy here.
fn foreign<'py>(picture: &Bound<'py, PyAny>) -> PyResult<Option<Foreign<'py>>> {
    if let Some(array) = Foreign::new(picture)? {
        return Ok(Some(array));
    }
    let py = picture.py();
    match numpy(py) {
        Ok(numpy) => Foreign::new(&numpy.call_method1(intern!(py, "asarray"), (picture,))?),
        Err(_) => Ok(None),
    }
}

fn flat_len(layout: &FrameLayout, len: usize) -> PyResult<u32> {
    let is_blob = shape::plane(layout, 0).is_some_and(|plane| plane.shape().len() == 1);
    match u32::try_from(len) {
        Ok(len) if len == layout.bytes || is_blob && 0 < len && len < layout.bytes => Ok(len),
        _ => {
            let most = if is_blob { "1 to " } else { "" };
            Err(invalid(format!(
                "{len} bytes were given, a {} frame here has {most}{}",
                layout.format, layout.bytes
            )))
        }
    }
}

fn check_item(array: &Foreign<'_>, wanted: Item) -> PyResult<()> {
    match array.item() {
        Some(item) if item == wanted => Ok(()),
        item => {
            let found = item.map_or("another type", Item::name);
            Err(invalid(format!(
                "the lane takes arrays of {}, not of {found}: convert with `astype`",
                wanted.name()
            )))
        }
    }
}

fn wrong_shape(layout: &FrameLayout, wanted: Option<Shape>, array: &Foreign<'_>) -> PyErr {
    let wanted = match wanted {
        Some(shape) => format!("an array of shape {}", tuple(shape.shape())),
        None => format!("a tuple of {} planes", layout.planes().len()),
    };
    invalid(format!(
        "a {} frame of {}x{} needs {wanted}, not {}: to change the size, create the lane again",
        layout.format,
        layout.width,
        layout.height,
        tuple(array.shape())
    ))
}

fn tuple(numbers: &[isize]) -> String {
    format!("{numbers:?}").replace('[', "(").replace(']', ")")
}

/// Copies an array of the right shape and type to its place in the slot.
fn copy_array(py: Python<'_>, loan: &mut Loan, array: &Foreign<'_>, to: &Shape) -> PyResult<()> {
    let (row_bytes, (rows, stride)) = (to.row_bytes(), to.rows());
    let room = loan.len();
    let end = to.offset + rows.saturating_sub(1) * stride + row_bytes;
    if end > room {
        return Err(invalid(format!("the frame needs {end} bytes, a slot of this lane has {room}")));
    }
    if !array.has_plain_rows() {
        for row in 0..rows {
            let at = to.offset + row * stride;
            // SAFETY: the shapes and types are equal; nobody writes meanwhile, as below.
            unsafe { array.gather_row(row, &mut loan[at..at + row_bytes]) };
        }
        return Ok(());
    }
    let packed = rows == 1 || array.strides()[0] as usize == row_bytes;
    if packed && stride == row_bytes && to.offset == 0 {
        // SAFETY: rows follow one another without padding, so that all of them are one; the program that shares the array
        // between threads is asked not to write it, as by numpy.
        let all = unsafe { array.row(0, rows * row_bytes) };
        return copy(py, loan, all);
    }
    for row in 0..rows {
        // SAFETY: the shapes are equal, so there is such a row; otherwise as above.
        let from = unsafe { array.row(row, row_bytes) };
        let at = to.offset + row * stride;
        loan[at..at + row_bytes].copy_from_slice(from);
    }
    Ok(())
}

fn copy(py: Python<'_>, loan: &mut Loan, bytes: &[u8]) -> PyResult<()> {
    if bytes.len() < LONG {
        return loan.copy_from(bytes).map_err(exception);
    }
    py.detach(|| loan.copy_from(bytes)).map_err(exception)
}

//! Pictures of a program's own, made from a frame.

use std::sync::Arc;

use camlane_convert::{Colour, ConvertError, Picture, Pixels, bgr8, gray8, rgb8};
use pyo3::prelude::*;

use crate::array::{Memory, Owned, View};
use crate::error::convert_exception;
use crate::frame::Held;
use crate::shape::Shape;

/// What a frame is converted to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Target {
    Rgb,
    Bgr,
    Gray,
}

/// Converts without holding the interpreter, into a new array.
pub(crate) fn convert<'py>(py: Python<'py>, held: &Arc<Held>, target: Target) -> PyResult<Bound<'py, PyAny>> {
    let Picture { width, height, pixels } = py.detach(|| picture(held, target)).map_err(convert_exception)?;
    let (bytes, channels) = match pixels {
        Pixels::Gray8(bytes) => (bytes, None),
        colours => (colours.into_rgb8(), Some(3)),
    };
    View::array(py, Memory::Owned(Owned::new(bytes)), Shape::picture(width, height, channels))
}

fn picture(held: &Held, target: Target) -> Result<Picture, ConvertError> {
    let meta = held.meta();
    let colour = meta.details.map_or_else(Colour::default, |details| Colour {
        matrix: details.colour.matrix,
        range: details.colour.range,
        significant_bits: details.significant_bits,
    });
    let convert = match target {
        Target::Rgb => rgb8,
        Target::Bgr => bgr8,
        Target::Gray => gray8,
    };
    convert(&meta.layout, held.bytes(), colour)
}

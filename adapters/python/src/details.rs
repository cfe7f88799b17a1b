//! Between Rust's details of a frame and the dataclass of the same name in `camlane/_types.py`.

use camlane::{Colour, FrameDetails, Rect};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyType};

/// A class of `camlane/_types.py`.
pub(crate) fn class<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyType>> {
    Ok(py.import("camlane._types")?.getattr(name)?.cast_into()?)
}

fn from_fixed(value: u32) -> f64 {
    f64::from(value) / 65536.0
}

/// Q16.16; a cast saturates.
fn to_fixed(value: f64) -> u32 {
    (value * 65536.0).round() as u32
}

pub(crate) fn to_python<'py>(py: Python<'py>, details: &FrameDetails) -> PyResult<Bound<'py, PyAny>> {
    let FrameDetails { colour, .. } = *details;
    let named = PyDict::new(py);
    let stated = colour != Colour::default();
    let colour = (colour.primaries, colour.transfer, colour.matrix, colour.range, colour.chroma_site);
    named.set_item("colour", if stated { Some(class(py, "Colour")?.call1(colour)?) } else { None })?;
    named.set_item("significant_bits", details.significant_bits)?;
    named.set_item("orientation", details.orientation)?;
    named.set_item("exposure_ns", details.exposure_ns)?;
    named.set_item("frame_duration_ns", details.frame_duration_ns)?;
    named.set_item("analogue_gain", details.analogue_gain.map(from_fixed))?;
    named.set_item("digital_gain", details.digital_gain.map(from_fixed))?;
    named.set_item(
        "colour_gains",
        details.colour_gains.map(|[red, blue]| (from_fixed(red), from_fixed(blue))),
    )?;
    named.set_item("colour_temperature_k", details.colour_temperature_k)?;
    named.set_item("lens_position_dioptre", details.lens_position.map(from_fixed))?;
    named.set_item("sensor_temperature_c", details.sensor_temperature_mc.map(|mc| f64::from(mc) / 1000.0))?;
    named.set_item("trigger", details.trigger)?;
    let roi = details.region_of_interest.map(|r| (r.x, r.y, r.width, r.height));
    named.set_item("region_of_interest", roi)?;
    named.set_item("binning", details.binning.map(|[x, y]| (x, y)))?;
    named.set_item("black_levels", details.black_levels.map(|[a, b, c, d]| (a, b, c, d)))?;
    named.set_item("upstream", details.upstream)?;
    named.set_item("pts_offset_ns", details.pts_offset_ns)?;
    class(py, "Details")?.call((), Some(&named))
}

pub(crate) fn from_python(details: &Bound<'_, PyAny>) -> PyResult<FrameDetails> {
    /// One field that may be None.
    macro_rules! field {
        ($name:literal: $type:ty) => {
            details.getattr($name)?.extract::<Option<$type>>()?
        };
    }
    let colour = details.getattr("colour")?;
    let colour = if colour.is_none() {
        Colour::default()
    } else {
        let part = |name: &str| colour.getattr(name)?.extract::<u8>();
        Colour {
            primaries: part("primaries")?,
            transfer: part("transfer")?,
            matrix: part("matrix")?,
            range: part("range")?,
            chroma_site: part("chroma_site")?,
        }
    };
    Ok(FrameDetails {
        colour,
        significant_bits: details.getattr("significant_bits")?.extract()?,
        orientation: details.getattr("orientation")?.extract()?,
        exposure_ns: field!("exposure_ns": u64),
        frame_duration_ns: field!("frame_duration_ns": u64),
        analogue_gain: field!("analogue_gain": f64).map(to_fixed),
        digital_gain: field!("digital_gain": f64).map(to_fixed),
        colour_gains: field!("colour_gains": (f64, f64)).map(|(red, blue)| [to_fixed(red), to_fixed(blue)]),
        colour_temperature_k: field!("colour_temperature_k": u32),
        lens_position: field!("lens_position_dioptre": f64).map(to_fixed),
        sensor_temperature_mc: field!("sensor_temperature_c": f64).map(|c| (c * 1000.0).round() as i32),
        trigger: field!("trigger": u32),
        region_of_interest: field!("region_of_interest": (u32, u32, u32, u32))
            .map(|(x, y, width, height)| Rect { x, y, width, height }),
        binning: field!("binning": (u16, u16)).map(|(x, y)| [x, y]),
        black_levels: field!("black_levels": (u32, u32, u32, u32)).map(|(a, b, c, d)| [a, b, c, d]),
        upstream: field!("upstream": (u32, u64)),
        pts_offset_ns: field!("pts_offset_ns": i64),
        ..FrameDetails::default()
    })
}

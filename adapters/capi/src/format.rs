//! Formats and layouts, as numbers and plain structures.

use std::ffi::c_int;

use posix::core::FourCc;
use posix::core::format::FormatInfo;
use posix::{FrameLayout, PixelFormat};

use crate::boundary::{Array, Out, Place, Text, export, store};
use crate::error::Failure;
use crate::types::{Format, Layout, text};

fn layout(
    out: Out<'_, Layout>,
    layout: Result<FrameLayout, posix::core::LayoutError>,
) -> Result<c_int, Failure> {
    let layout = layout.map_err(|error| Failure::invalid(error.to_string()))?;
    store(out, (&layout).into(), "layout")
}

fn number(out: Out<'_, u32>, found: Option<PixelFormat>, what: &str) -> Result<c_int, Failure> {
    let found = found.ok_or_else(|| Failure::new(libc::ENOENT, format!("no pixel format has the {what}")))?;
    store(out, found.0, "format")
}

export! {
    fn camlane_layout_rows(format: u32, width: u32, height: u32, row_align: u32, out: Out<'_, Layout>) {
        layout(out, PixelFormat(format).layout(width, height, row_align))
    }

    fn camlane_layout_strides(
        format: u32, width: u32, height: u32, strides: Array<'_, u32>, count: u32, out: Out<'_, Layout>,
    ) {
        let strides = strides.get(count as usize, "strides")?;
        layout(out, FrameLayout::with_strides(PixelFormat(format), width, height, strides))
    }

    fn camlane_layout_bytes(format: u32, width: u32, height: u32, max_bytes: u32, out: Out<'_, Layout>) {
        layout(out, PixelFormat(format).blob(width, height, max_bytes))
    }

    fn camlane_layout_check(layout: Option<&Layout>, slot_size: u32) {
        let layout: FrameLayout = layout.ok_or_else(|| Failure::null("layout"))?.try_into()?;
        layout.check(slot_size).map_err(|error| Failure::invalid(error.to_string()))?;
        Ok(0)
    }

    fn camlane_format_describe(format: u32, out: Place<'_, Format>) {
        let unknown = || Failure::new(libc::ENOENT, format!("pixel format {} is unknown", PixelFormat(format)));
        let info = PixelFormat(format).info().ok_or_else(unknown)?;
        out.put(&Format::from(info), "info")?;
        Ok(0)
    }

    fn camlane_format_named(name: Text<'_>, out: Out<'_, u32>) {
        let name = name.get("name")?;
        number(out, PixelFormat::from_name(name), &format!("name {name:?}"))
    }

    fn camlane_format_of_v4l2(fourcc: u32, out: Out<'_, u32>) {
        number(out, PixelFormat::from_v4l2(FourCc(fourcc)), &format!("V4L2 code {}", FourCc(fourcc)))
    }

    fn camlane_format_of_drm(fourcc: u32, out: Out<'_, u32>) {
        number(out, PixelFormat::from_drm(FourCc(fourcc)), &format!("DRM code {}", FourCc(fourcc)))
    }
}

impl From<&FormatInfo> for Format {
    fn from(info: &FormatInfo) -> Self {
        Self {
            struct_size: size_of::<Self>() as u32,
            format: info.format.0,
            name: text(info.name),
            ffmpeg: text(info.ffmpeg.unwrap_or_default()),
            gstreamer: text(info.gstreamer.unwrap_or_default()),
            ros: text(info.ros.unwrap_or_default()),
            opencv: text(info.opencv.unwrap_or_default()),
            numpy: text(info.numpy),
            v4l2: info.v4l2.map_or(0, |code| code.0),
            drm: info.drm.map_or(0, |code| code.0),
            planes: info.planes.into(),
            chroma_across: info.chroma.0.into(),
            chroma_down: info.chroma.1.into(),
            significant_bits: info.significant_bits.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_in_the_table_has_room_in_the_structure() {
        for info in PixelFormat::ALL {
            let whole = |field: &[u8], name: Option<&str>| {
                assert_eq!(field.split(|&byte| byte == 0).next(), Some(name.unwrap_or_default().as_bytes()));
                assert_eq!(field.last(), Some(&0));
            };
            let format = Format::from(info);
            whole(&format.name, Some(info.name));
            whole(&format.ffmpeg, info.ffmpeg);
            whole(&format.gstreamer, info.gstreamer);
            whole(&format.ros, info.ros);
            whole(&format.opencv, info.opencv);
            whole(&format.numpy, Some(info.numpy));
        }
    }
}

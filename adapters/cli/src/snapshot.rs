//! One frame as a file: a picture, the bytes, or the description, as the file's name asks.

use std::io::{self, Write};
use std::path::Path;

use anyhow::Context as _;
use camlane::{FrameMeta, PixelFormat};

use crate::commands::Usage;
use crate::describe::FrameFacts;
use crate::image;
use camlane_convert::{self as convert, Colour};

/// What a file shall hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// A picture; a PNG payload as it is.
    Png,
    /// A JPEG payload as it is.
    Jpeg,
    /// The pixels without row padding, plane after plane.
    Raw,
    /// The description.
    Json,
}

impl Kind {
    /// Finds out from a file's name; `-` is a PNG.
    ///
    /// # Errors
    /// [`Usage`] if the name says nothing.
    pub(crate) fn of(path: &Path) -> Result<Self, Usage> {
        let end = path.extension().map(|end| end.to_string_lossy().to_lowercase());
        match end.as_deref() {
            Some("png") => Ok(Self::Png),
            Some("jpg" | "jpeg") => Ok(Self::Jpeg),
            Some("raw" | "bin") => Ok(Self::Raw),
            Some("json") => Ok(Self::Json),
            None if path == Path::new("-") => Ok(Self::Png),
            _ => Err(Usage(format!("{}: the name must end in .png, .jpg, .raw or .json", path.display()))),
        }
    }
}

/// A frame in hand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shot<'f> {
    pub(crate) number: u64,
    pub(crate) meta: &'f FrameMeta,
    pub(crate) payload: &'f [u8],
}

impl Shot<'_> {
    /// Writes the frame to a file, whole or not at all; `-` is standard output.
    ///
    /// # Errors
    /// The frame is no picture, or the file cannot be written.
    pub(crate) fn save(&self, path: &Path, kind: Kind) -> anyhow::Result<()> {
        let bytes = self.encode(kind)?;
        if path == Path::new("-") {
            io::stdout().lock().write_all(&bytes)?;
            return Ok(());
        }
        image::write_whole(path, |out| out.write_all(&bytes))
            .with_context(|| format!("cannot write {}", path.display()))
    }

    fn encode(&self, kind: Kind) -> anyhow::Result<Vec<u8>> {
        let (layout, payload) = (&self.meta.layout, self.payload);
        let mut bytes = Vec::new();
        match (kind, layout.format) {
            (Kind::Png, PixelFormat::PNG) | (Kind::Jpeg, PixelFormat::JPEG) => {
                bytes.extend_from_slice(payload);
            }
            (Kind::Png, _) => {
                let picture = convert::picture(layout, payload, colour(self.meta))?;
                image::encode_png(&mut bytes, &picture)?;
            }
            (Kind::Jpeg, format) => {
                return Err(
                    Usage(format!("the lane's frames are {format}, not JPEG: save them as .png")).into()
                );
            }
            (Kind::Raw, _) => write_packed(&mut bytes, self.meta, payload)?,
            (Kind::Json, _) => {
                serde_json::to_writer_pretty(&mut bytes, &FrameFacts::new(self.number, self.meta))?;
                bytes.push(b'\n');
            }
        }
        Ok(bytes)
    }
}

/// What the description says about colour.
pub(crate) fn colour(meta: &FrameMeta) -> Colour {
    meta.details.map_or_else(Colour::default, |details| Colour {
        matrix: details.colour.matrix,
        range: details.colour.range,
        significant_bits: details.significant_bits,
    })
}

/// Writes the pixels of a frame without row padding, plane after plane; of a compressed frame all bytes.
///
/// # Errors
/// The description contradicts itself, or the writer's.
pub(crate) fn write_packed(out: &mut impl Write, meta: &FrameMeta, payload: &[u8]) -> anyhow::Result<()> {
    let layout = &meta.layout;
    layout
        .check(u32::try_from(payload.len()).unwrap_or(u32::MAX))
        .context("the producer described its frame wrongly")?;
    if layout.is_packed() {
        out.write_all(payload)?;
        return Ok(());
    }
    for (index, plane) in layout.planes().iter().enumerate() {
        let bytes = &payload[plane.offset as usize..][..plane.bytes as usize];
        if plane.stride == 0 {
            out.write_all(bytes)?;
            continue;
        }
        for row in bytes.chunks_exact(plane.stride as usize) {
            out.write_all(&row[..layout.row_bytes(index) as usize])?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn shot(meta: &FrameMeta, payload: &[u8], kind: Kind) -> anyhow::Result<Vec<u8>> {
        Shot { number: 1, meta, payload }.encode(kind)
    }

    #[rstest]
    #[case("a.png", Some(Kind::Png))]
    #[case("A.JPEG", Some(Kind::Jpeg))]
    #[case("frame.raw", Some(Kind::Raw))]
    #[case("frame.json", Some(Kind::Json))]
    #[case("-", Some(Kind::Png))]
    #[case("frame", None)]
    #[case("frame.gif", None)]
    fn the_name_says_what_is_written(#[case] path: &str, #[case] kind: Option<Kind>) {
        assert_eq!(Kind::of(Path::new(path)).ok(), kind);
    }

    #[test]
    fn raw_bytes_have_no_padding() {
        let meta = FrameMeta::new(PixelFormat::GRAY8.layout(3, 2, 8).unwrap());
        let payload: Vec<u8> = (0..16).collect();
        assert_eq!(shot(&meta, &payload, Kind::Raw).unwrap(), [0, 1, 2, 8, 9, 10]);
    }

    #[test]
    fn a_jpeg_payload_is_saved_as_it_is_and_nothing_else_is_called_jpeg() {
        let jpeg = FrameMeta::new(PixelFormat::JPEG.blob(8, 8, 4).unwrap());
        assert_eq!(shot(&jpeg, &[1, 2, 3, 4], Kind::Jpeg).unwrap(), [1, 2, 3, 4]);
        let grey = FrameMeta::new(PixelFormat::GRAY8.layout(2, 2, 1).unwrap());
        assert!(shot(&grey, &[0; 4], Kind::Jpeg).unwrap_err().is::<Usage>());
    }

    #[test]
    fn a_description_that_lies_is_refused() {
        let mut meta = FrameMeta::new(PixelFormat::GRAY8.layout(2, 2, 1).unwrap());
        meta.layout.planes[0].bytes = 400;
        shot(&meta, &[0; 4], Kind::Raw).unwrap_err();
        shot(&meta, &[0; 4], Kind::Png).unwrap_err();
    }
}

//! PNG files, written whole or not at all. Reading is `camlane_convert::image`.

use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use camlane_convert::{Picture, Pixels};

/// Writes a file that appears under its name when it is complete, and never before: it is written beside its place and
/// renamed.
///
/// **Crash safety:** a death leaves `path` as it was, and at most a hidden file that ends in `.part`.
///
/// # Errors
/// The I/O error; nothing is left behind.
pub(crate) fn write_whole(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    let part = Part::beside(path)?;
    let mut out = BufWriter::new(File::create(&part.0)?);
    write(&mut out)?;
    out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    part.rename(path)
}

/// Writes a picture as a PNG file, for tests.
#[cfg(test)]
pub(crate) fn write_png(path: &Path, picture: &Picture) -> io::Result<()> {
    write_whole(path, |out| encode_png(out, picture))
}

/// Encodes a picture as PNG into any writer.
///
/// # Errors
/// The writer's, or a picture that PNG cannot hold.
pub(crate) fn encode_png(out: impl io::Write, picture: &Picture) -> io::Result<()> {
    let mut encoder = png::Encoder::new(out, picture.width, picture.height);
    // A snapshot is waited for: speed before size.
    encoder.set_compression(png::Compression::Fast);
    let (colour, depth) = match picture.pixels {
        Pixels::Gray8(_) => (png::ColorType::Grayscale, png::BitDepth::Eight),
        Pixels::Gray16(_) => (png::ColorType::Grayscale, png::BitDepth::Sixteen),
        Pixels::Rgb8(_) => (png::ColorType::Rgb, png::BitDepth::Eight),
    };
    encoder.set_color(colour);
    encoder.set_depth(depth);
    let mut writer = encoder.write_header()?;
    match &picture.pixels {
        Pixels::Gray8(bytes) | Pixels::Rgb8(bytes) => writer.write_image_data(bytes)?,
        Pixels::Gray16(greys) => {
            // PNG is big-endian.
            let bytes: Vec<u8> = greys.iter().flat_map(|grey| grey.to_be_bytes()).collect();
            writer.write_image_data(&bytes)?;
        }
    }
    writer.finish()?;
    Ok(())
}

/// Names a file that is being written, and removes it unless it reached its place.
struct Part(PathBuf);

impl Part {
    fn beside(path: &Path) -> io::Result<Self> {
        let Some(name) = path.file_name() else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path does not end in a file name"));
        };
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}.part", std::process::id()));
        Ok(Self(path.with_file_name(hidden)))
    }

    fn rename(self, path: &Path) -> io::Result<()> {
        fs::rename(&self.0, path)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // After the rename there is nothing to remove, and before it nobody to tell.
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use camlane::PixelFormat;
    use camlane_convert::image::{Image, ImageError, decode};
    use rstest::rstest;
    use std::io::Cursor;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    fn encoded(pixels: Pixels) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode_png(&mut bytes, &Picture { width: 3, height: 2, pixels }).unwrap();
        bytes
    }

    fn png_of(colour: png::ColorType, data: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 2, 1);
        encoder.set_color(colour);
        encoder.write_header().unwrap().write_image_data(data).unwrap();
        bytes
    }

    #[rstest]
    #[case::grey(Pixels::Gray8((0..6).collect()))]
    #[case::rgb(Pixels::Rgb8((0..18).collect()))]
    fn a_picture_survives_its_file(#[case] pixels: Pixels) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("snap.png");
        let picture = Picture { width: 3, height: 2, pixels };
        write_png(&path, &picture).unwrap();
        assert_eq!(decode(&fs::read(&path).unwrap()).unwrap(), picture);
        assert_eq!(names(folder.path()), ["snap.png"]);
    }

    #[test]
    fn sixteen_bits_of_grey_are_kept() {
        let bytes = encoded(Pixels::Gray16(vec![0, 1, 0x1234, 0x8000, 0xFFFE, 0xFFFF]));
        let mut reader = png::Decoder::new(Cursor::new(&bytes)).read_info().unwrap();
        let mut data = [0; 12];
        reader.next_frame(&mut data).unwrap();
        assert_eq!(data, [0, 0, 0, 1, 0x12, 0x34, 0x80, 0, 0xFF, 0xFE, 0xFF, 0xFF]);
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("snap.png");
        fs::write(&path, "old").unwrap();
        let short = Picture { width: 300, height: 200, pixels: Pixels::Rgb8(vec![0; 5]) };
        write_png(&path, &short).unwrap_err();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(folder.path()), ["snap.png"]);
    }

    #[rstest]
    #[case::in_place(1, false)]
    #[case::padded_rows(16, true)]
    fn a_png_is_decoded_into_the_rows_of_a_slot(#[case] row_align: u32, #[case] copied: bool) {
        let bytes = encoded(Pixels::Rgb8((0..18).collect()));
        let image = Image::open(Cursor::new(&bytes)).unwrap();
        let layout = image.layout(row_align).unwrap();
        let mut slot = vec![0xEE; layout.bytes as usize];
        assert_eq!(image.decode_into(&layout, &mut slot).unwrap(), copied);
        let rows: Vec<u8> =
            slot.chunks(layout.planes()[0].stride as usize).flat_map(|row| &row[..9]).copied().collect();
        assert_eq!(rows, (0..18).collect::<Vec<u8>>());
    }

    #[rstest]
    #[case::grey(png::ColorType::Grayscale, &[7, 8], PixelFormat::GRAY8, &[7, 8])]
    #[case::grey_with_alpha(png::ColorType::GrayscaleAlpha, &[7, 1, 8, 2], PixelFormat::RGBA8, &[7, 7, 7, 1, 8, 8, 8, 2])]
    #[case::rgba(png::ColorType::Rgba, &[1, 2, 3, 4, 5, 6, 7, 8], PixelFormat::RGBA8, &[1, 2, 3, 4, 5, 6, 7, 8])]
    fn each_kind_of_png_has_its_format(
        #[case] colour: png::ColorType,
        #[case] data: &[u8],
        #[case] format: PixelFormat,
        #[case] expected: &[u8],
    ) {
        let bytes = png_of(colour, data);
        let image = Image::open(Cursor::new(&bytes)).unwrap();
        let layout = image.layout(1).unwrap();
        let mut slot = vec![0; layout.bytes as usize];
        image.decode_into(&layout, &mut slot).unwrap();
        assert_eq!((layout.format, &slot[..]), (format, expected));
    }

    #[test]
    fn a_bmp_is_measured_and_not_decoded() {
        let mut bytes = vec![0; 54];
        bytes[..2].copy_from_slice(b"BM");
        bytes[18..22].copy_from_slice(&640i32.to_le_bytes());
        bytes[22..26].copy_from_slice(&(-480i32).to_le_bytes());
        let image = Image::open(Cursor::new(&bytes)).unwrap();
        assert_eq!((image.format(), image.size()), (PixelFormat::BMP, (640, 480)));
        assert!(matches!(image.layout(1), Err(ImageError::NotDecoded(PixelFormat::BMP))));
    }

    #[rstest]
    #[case::empty(0)]
    #[case::magic_only(4)]
    #[case::half(60)]
    fn a_png_that_ends_early_is_damaged(#[case] kept: usize) {
        let bytes = encoded(Pixels::Rgb8((0..18).collect()));
        let error = decode(&bytes[..kept.min(bytes.len() - 1)]).unwrap_err();
        assert!(matches!(error, ImageError::Damaged(_)), "{error}");
    }

    #[test]
    fn a_slot_that_is_too_small_is_refused_with_both_sizes() {
        let bytes = encoded(Pixels::Rgb8((0..18).collect()));
        let image = Image::open(Cursor::new(&bytes)).unwrap();
        let layout = image.layout(1).unwrap();
        let error = image.decode_into(&layout, &mut [0; 17]).unwrap_err();
        assert!(matches!(error, ImageError::TooLarge { needed: 18, room: 17 }), "{error}");
    }
}

//! PNG and JPEG files: written whole or not at all, read straight into a slot.

use crate::convert::{Picture, Pixels};
use camlane::format::{FrameLayout, LayoutError, PixelFormat};
use core::fmt;
use std::fs::{self, File};
use std::io::{self, BufRead, BufWriter, Cursor, Seek};
use std::path::{Path, PathBuf};
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

/// Says why an encoded image cannot be read.
#[derive(Debug)]
pub(crate) enum ImageError {
    /// The bytes are not the image that they should be.
    Damaged(String),
    /// Nothing here decodes the format.
    NotDecoded(PixelFormat),
    /// The file cannot be read.
    Io(io::Error),
    /// No slot can hold an image of this size.
    Layout(LayoutError),
    /// The slot is smaller than the picture.
    TooLarge { needed: usize, room: usize },
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged(reason) => write!(f, "the image is damaged: {reason}"),
            Self::NotDecoded(format) => write!(f, "this program does not decode {}", format.name()),
            Self::Io(reason) => write!(f, "the image cannot be read: {reason}"),
            Self::Layout(reason) => write!(f, "no slot can hold the image: {reason}"),
            Self::TooLarge { needed, room } => {
                write!(
                    f,
                    "the image needs {needed} bytes, the slot has {room}: it grew after it was measured"
                )
            }
        }
    }
}

impl core::error::Error for ImageError {}

impl From<png::DecodingError> for ImageError {
    fn from(error: png::DecodingError) -> Self {
        Self::Damaged(error.to_string())
    }
}

impl From<DecodeErrors> for ImageError {
    fn from(error: DecodeErrors) -> Self {
        Self::Damaged(error.to_string())
    }
}

impl From<io::Error> for ImageError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Damaged("it ends too early".into()),
            _ => Self::Io(error),
        }
    }
}

/// Holds an encoded image whose header has been read: its size is known, its pixels are not.
pub(crate) enum Image<R: BufRead + Seek> {
    Png(Box<png::Reader<R>>),
    Jpeg(Box<JpegDecoder<R>>),
    /// Measured only; nothing here decodes it.
    Bmp {
        width: u32,
        height: u32,
    },
}

impl<R: BufRead + Seek> Image<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// [`ImageError::Damaged`] for all that is neither PNG, JPEG nor BMP.
    pub(crate) fn open(mut input: R) -> Result<Self, ImageError> {
        let mut magic = [0; 2];
        input.read_exact(&mut magic)?;
        input.rewind()?;
        match &magic {
            [0x89, b'P'] => {
                let mut decoder = png::Decoder::new(input);
                decoder.set_transformations(png::Transformations::normalize_to_color8());
                Ok(Self::Png(Box::new(decoder.read_info()?)))
            }
            [0xFF, 0xD8] => {
                let mut decoder = JpegDecoder::new(input);
                decoder.decode_headers()?;
                let grey = decoder.input_colorspace() == Some(ColorSpace::Luma);
                let space = if grey { ColorSpace::Luma } else { ColorSpace::RGB };
                decoder.set_options(DecoderOptions::default().jpeg_set_out_colorspace(space));
                Ok(Self::Jpeg(Box::new(decoder)))
            }
            b"BM" => {
                let mut header = [0; 26];
                input.read_exact(&mut header)?;
                let number = |at: usize| i32::from_le_bytes([0, 1, 2, 3].map(|i| header[at + i]));
                // BITMAPINFOHEADER: the height of a picture stored from the top is negative.
                Ok(Self::Bmp { width: number(18).unsigned_abs(), height: number(22).unsigned_abs() })
            }
            _ => Err(ImageError::Damaged("it is neither PNG, JPEG nor BMP".into())),
        }
    }

    /// Returns the format of the encoded bytes.
    pub(crate) fn format(&self) -> PixelFormat {
        match self {
            Self::Png(_) => PixelFormat::PNG,
            Self::Jpeg(_) => PixelFormat::JPEG,
            Self::Bmp { .. } => PixelFormat::BMP,
        }
    }

    /// Returns width and height in pixels.
    pub(crate) fn size(&self) -> (u32, u32) {
        match self {
            Self::Png(reader) => reader.info().size(),
            Self::Jpeg(decoder) => {
                decoder.info().map_or((0, 0), |info| (info.width.into(), info.height.into()))
            }
            Self::Bmp { width, height } => (*width, *height),
        }
    }

    /// Returns the layout that [`decode_into`](Self::decode_into) fills: GRAY8, RGB8 or RGBA8.
    ///
    /// # Errors
    /// [`ImageError`]: not decodable here, or too large for any slot.
    pub(crate) fn layout(&self, row_align: u32) -> Result<FrameLayout, ImageError> {
        let format = match self {
            Self::Png(reader) => match reader.output_color_type().0 {
                png::ColorType::Grayscale => PixelFormat::GRAY8,
                png::ColorType::Rgb => PixelFormat::RGB8,
                _ => PixelFormat::RGBA8,
            },
            Self::Jpeg(decoder) if decoder.output_colorspace() == Some(ColorSpace::Luma) => {
                PixelFormat::GRAY8
            }
            Self::Jpeg(_) => PixelFormat::RGB8,
            Self::Bmp { .. } => return Err(ImageError::NotDecoded(PixelFormat::BMP)),
        };
        let (width, height) = self.size();
        format.layout(width, height, row_align).map_err(ImageError::Layout)
    }

    /// Decodes into the rows of a slot, laid out by [`layout`](Self::layout), and says whether it had to copy:
    /// without padding the pixels are decoded in place.
    ///
    /// # Errors
    /// [`ImageError`]; the slot then holds part of the image.
    pub(crate) fn decode_into(self, layout: &FrameLayout, slot: &mut [u8]) -> Result<bool, ImageError> {
        let (needed, room) = (layout.bytes as usize, slot.len());
        let slot = slot.get_mut(..needed).ok_or(ImageError::TooLarge { needed, room })?;
        let (stride, row_bytes) = (layout.planes()[0].stride as usize, layout.row_bytes(0) as usize);
        let whole = match self {
            // No raw format has grey with alpha.
            Self::Png(mut reader) if reader.output_color_type().0 == png::ColorType::GrayscaleAlpha => {
                let mut pairs = vec![0; needed];
                let info = reader.next_frame(&mut pairs)?;
                let pairs = pairs[..info.buffer_size()].chunks_exact(2);
                pairs.flat_map(|pair| [pair[0], pair[0], pair[0], pair[1]]).collect()
            }
            Self::Png(mut reader) if stride == row_bytes => {
                reader.next_frame(slot)?;
                return Ok(false);
            }
            Self::Png(mut reader) => {
                let mut whole = vec![0; needed];
                reader.next_frame(&mut whole)?;
                whole
            }
            Self::Jpeg(mut decoder) if stride == row_bytes => {
                decoder.decode_into(slot)?;
                return Ok(false);
            }
            Self::Jpeg(mut decoder) => decoder.decode()?,
            Self::Bmp { .. } => return Err(ImageError::NotDecoded(PixelFormat::BMP)),
        };
        for (row, from) in slot.chunks_mut(stride).zip(whole.chunks_exact(row_bytes)) {
            row[..row_bytes].copy_from_slice(from);
        }
        Ok(true)
    }
}

/// Decodes an image into memory of its own; alpha is dropped.
///
/// # Errors
/// [`ImageError`].
pub(crate) fn decode(encoded: &[u8]) -> Result<Picture, ImageError> {
    let image = Image::open(Cursor::new(encoded))?;
    let layout = image.layout(1)?;
    let mut bytes = vec![0; layout.bytes as usize];
    image.decode_into(&layout, &mut bytes)?;
    let pixels = match layout.format {
        PixelFormat::GRAY8 => Pixels::Gray8(bytes),
        PixelFormat::RGBA8 => {
            Pixels::Rgb8(bytes.chunks_exact(4).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect())
        }
        _ => Pixels::Rgb8(bytes),
    };
    Ok(Picture { width: layout.width, height: layout.height, pixels })
}

/// Writes a picture as PNG. The file appears under its name when it is complete, and never before: it is
/// written beside its place and renamed.
///
/// **Crash safety:** a death leaves `path` as it was, and at most a hidden file that ends in `.part`.
///
/// # Errors
/// The I/O error with the file's name; nothing is left behind.
pub(crate) fn write_png(path: &Path, picture: &Picture) -> io::Result<()> {
    let part = Part::beside(path)?;
    let mut out = BufWriter::new(File::create(&part.0)?);
    encode_png(&mut out, picture)?;
    out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    part.rename(path)
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
    use rstest::rstest;

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

//! PNG and JPEG files, decoded straight into a slot.

use crate::{Picture, Pixels};
use camlane_core::format::{FrameLayout, LayoutError, PixelFormat};
use core::fmt;
use std::io::{self, BufRead, Cursor, Seek};
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

/// Says why an encoded image cannot be read.
#[derive(Debug)]
pub enum ImageError {
    /// The bytes are not the image that they should be.
    Damaged(String),
    /// Nothing here decodes the format.
    NotDecoded(PixelFormat),
    /// The file cannot be read.
    Io(io::Error),
    /// No slot can hold an image of this size.
    Layout(LayoutError),
    /// The slot is smaller than the picture.
    TooLarge {
        /// Bytes needed.
        needed: usize,
        /// Bytes of the slot.
        room: usize,
    },
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged(reason) => write!(f, "the image is damaged: {reason}"),
            Self::NotDecoded(format) => write!(f, "nothing here decodes {}", format.name()),
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
pub enum Image<R: BufRead + Seek> {
    /// A PNG file.
    Png(Box<png::Reader<R>>),
    /// A JPEG file.
    Jpeg(Box<JpegDecoder<R>>),
    /// Measured only; nothing here decodes it.
    Bmp {
        /// Pixels across.
        width: u32,
        /// Pixels down.
        height: u32,
    },
}

impl<R: BufRead + Seek> Image<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// [`ImageError::Damaged`] for all that is neither PNG, JPEG nor BMP.
    pub fn open(mut input: R) -> Result<Self, ImageError> {
        let mut magic = [0; 2];
        input.read_exact(&mut magic)?;
        input.rewind()?;
        match &magic {
            [0x89, b'P'] => {
                let mut decoder = png::Decoder::new(input);
                decoder.set_transformations(png::Transformations::normalize_to_color8());
                let reader = decoder.read_info()?;
                // The decoder believes the length and panics (png 0.18.1, `create_rgba_palette`).
                let odd = |palette: &[u8]| palette.len() > 3 * 256 || !palette.len().is_multiple_of(3);
                if reader.info().palette.as_deref().is_some_and(odd) {
                    return Err(ImageError::Damaged("its palette is not of up to 256 whole colours".into()));
                }
                Ok(Self::Png(Box::new(reader)))
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
    pub fn format(&self) -> PixelFormat {
        match self {
            Self::Png(_) => PixelFormat::PNG,
            Self::Jpeg(_) => PixelFormat::JPEG,
            Self::Bmp { .. } => PixelFormat::BMP,
        }
    }

    /// Returns width and height in pixels.
    pub fn size(&self) -> (u32, u32) {
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
    pub fn layout(&self, row_align: u32) -> Result<FrameLayout, ImageError> {
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
    pub fn decode_into(self, layout: &FrameLayout, slot: &mut [u8]) -> Result<bool, ImageError> {
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
pub fn decode(encoded: &[u8]) -> Result<Picture, ImageError> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    /// A PNG of 3x2 pixels.
    fn encoded(pixels: Pixels) -> Vec<u8> {
        let (colour, data) = match pixels {
            Pixels::Gray8(data) => (png::ColorType::Grayscale, data),
            other => (png::ColorType::Rgb, other.into_rgb8()),
        };
        png_of(colour, 3, 2, &data)
    }

    fn png_of(colour: png::ColorType, width: u32, height: u32, data: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, width, height);
        encoder.set_color(colour);
        encoder.write_header().unwrap().write_image_data(data).unwrap();
        bytes
    }

    #[rstest]
    #[case::grey(Pixels::Gray8((0..6).collect()))]
    #[case::rgb(Pixels::Rgb8((0..18).collect()))]
    fn a_decoded_picture_has_the_pixels_that_were_encoded(#[case] pixels: Pixels) {
        let picture = Picture { width: 3, height: 2, pixels };
        assert_eq!(decode(&encoded(picture.pixels.clone())).unwrap(), picture);
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
        let bytes = png_of(colour, 2, 1, data);
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

    /// Found by fuzzing: the decoder panicked.
    #[rstest]
    #[case::ends_inside_a_colour(49)]
    #[case::longer_than_there_are_indices(3 * 257)]
    fn a_png_with_a_palette_of_no_possible_length_is_damaged(#[case] len: usize) {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 2, 1);
        encoder.set_color(png::ColorType::Indexed);
        encoder.set_palette(vec![7; len]);
        encoder.write_header().unwrap().write_image_data(&[0, 15]).unwrap();
        let error = decode(&bytes).unwrap_err();
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

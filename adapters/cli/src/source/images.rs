//! PNG and JPEG files: decoded into the slot, or published as they are.

use super::{Filled, Source, SourceError, SourceOptions, Stream, fits, input};
use camlane::format::{FrameLayout, PixelFormat};
use camlane_convert::image::{Image, ImageError};
use core::sync::atomic::Ordering;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

/// Frames per second when nobody says: ffmpeg's, for images.
const RATE: (u32, u32) = (25, 1);

/// Shows one image, or those of a folder in the order of their names.
#[derive(Debug)]
pub(crate) struct Images {
    files: Vec<PathBuf>,
    next: usize,
    stream: Stream,
    options: SourceOptions,
    sequence: u32,
}

impl Images {
    /// Measures every image. `None` says that the wanted format or size needs a conversion, ffmpeg's work.
    pub(super) fn open(path: &Path, options: &SourceOptions) -> Result<Option<Self>, SourceError> {
        let ends: &[&str] = match options.format {
            Some(PixelFormat::JPEG) => &["jpg", "jpeg"],
            Some(PixelFormat::PNG) => &["png"],
            Some(PixelFormat::BMP) => &["bmp"],
            _ => &["png", "jpg", "jpeg"],
        };
        let files = if path.is_dir() {
            files(path, ends).map_err(|error| SourceError::Io { name: path.display().to_string(), error })?
        } else {
            vec![path.to_path_buf()]
        };
        let encoded = options.format.is_some_and(PixelFormat::is_compressed);
        let mut layouts = Vec::with_capacity(files.len());
        for file in &files {
            let layout = if encoded {
                blob(file, options)?.1
            } else {
                let image = image(file)?;
                if image.format() == PixelFormat::BMP {
                    return Ok(None);
                }
                image.layout(options.row_align).map_err(|error| wrong(file, error))?
            };
            layouts.push(layout);
        }
        let Some(&layout) = layouts.first() else { return Err(SourceError::NoImages(path.into())) };
        if !encoded && !layouts.iter().all(|layout| fits(layout, options)) {
            return Ok(None);
        }
        let largest = layouts.iter().map(|layout| layout.bytes).max().unwrap_or(layout.bytes);
        let rate = Some(options.rate.unwrap_or(RATE));
        let stream = Stream { layout, largest, rate, name: path.display().to_string(), live: false };
        Ok(Some(Self { files, next: 0, stream, options: options.clone(), sequence: 0 }))
    }

    fn show(&self, path: &Path, slot: &mut [u8]) -> Result<Filled, SourceError> {
        if self.stream.layout.format.is_compressed() {
            let (mut file, layout) = blob(path, &self.options)?;
            let (needed, room) = (layout.bytes as usize, slot.len());
            let slot = slot.get_mut(..needed).ok_or(SourceError::SlotTooSmall { needed, room })?;
            let read = input::read_full(&mut file, slot).map_err(|error| wrong(path, error.into()))?;
            if read < needed {
                return Err(wrong(path, io::Error::from(io::ErrorKind::UnexpectedEof).into()));
            }
            return Ok(Filled::new(layout, self.sequence));
        }
        let image = image(path)?;
        let layout = image.layout(self.options.row_align).map_err(|error| wrong(path, error))?;
        let copied = image.decode_into(&layout, slot).map_err(|error| match error {
            ImageError::TooLarge { needed, room } => SourceError::SlotTooSmall { needed, room },
            error => wrong(path, error),
        })?;
        Ok(Filled { copied, ..Filled::new(layout, self.sequence) })
    }
}

impl Source for Images {
    fn stream(&self) -> &Stream {
        &self.stream
    }

    fn fill(&mut self, slot: &mut [u8]) -> Result<Option<Filled>, SourceError> {
        if self.options.stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        if self.options.repeat && self.next == self.files.len() {
            self.next = 0;
        }
        let Some(path) = self.files.get(self.next) else { return Ok(None) };
        let filled = self.show(path, slot)?;
        self.next += 1;
        self.sequence = self.sequence.wrapping_add(1);
        Ok(Some(filled))
    }
}

/// Lists the files of a folder whose names end in one of `ends`, in capitals or not, sorted by name.
pub(super) fn files(folder: &Path, ends: &[&str]) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in folder.read_dir()? {
        let path = entry?.path();
        let end = path.extension().map(|end| end.to_ascii_lowercase());
        if end.is_some_and(|own| ends.iter().any(|end| own == *end)) && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn wrong(path: &Path, error: ImageError) -> SourceError {
    SourceError::Image { path: path.into(), error }
}

fn image(path: &Path) -> Result<Image<BufReader<File>>, SourceError> {
    let file = File::open(path).map_err(|error| wrong(path, error.into()))?;
    Image::open(BufReader::new(file)).map_err(|error| wrong(path, error))
}

/// Opens an encoded image that is published as it is, and lays it out.
fn blob(path: &Path, options: &SourceOptions) -> Result<(File, FrameLayout), SourceError> {
    let image = image(path)?;
    let format = image.format();
    if let Some(wanted) = options.format.filter(|wanted| *wanted != format) {
        let reason = "the file is of another kind: leave --format away, or convert it";
        return Err(SourceError::Format { name: path.display().to_string(), format: wanted, reason });
    }
    let (width, height) = image.size();
    let opened = File::open(path).and_then(|file| file.metadata().map(|about| (file, about.len())));
    let (file, bytes) = opened.map_err(|error| wrong(path, error.into()))?;
    Ok((file, format.blob(width, height, bytes.try_into().unwrap_or(u32::MAX))?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::write_png;
    use camlane_convert::{Picture, Pixels};
    use rstest::rstest;
    use std::fs;

    fn grey(path: PathBuf, width: u32, height: u32, value: u8) {
        let pixels = Pixels::Gray8(vec![value; (width * height) as usize]);
        write_png(&path, &Picture { width, height, pixels }).unwrap();
    }

    fn folder_of_three() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        grey(folder.path().join("b.png"), 4, 2, 2);
        grey(folder.path().join("a.PNG"), 2, 2, 1);
        grey(folder.path().join("c.png"), 3, 3, 3);
        fs::write(folder.path().join("notes.txt"), "no image").unwrap();
        folder
    }

    #[rstest]
    #[case::once(false, &[1, 2, 3])]
    #[case::repeated(true, &[1, 2, 3, 1, 2])]
    fn a_folder_is_shown_in_order_of_names_each_image_with_its_size(
        #[case] repeat: bool,
        #[case] expected: &[u8],
    ) {
        let folder = folder_of_three();
        let options = SourceOptions { repeat, ..SourceOptions::default() };
        let mut source = Images::open(folder.path(), &options).unwrap().unwrap();
        assert_eq!((source.stream().layout.bytes, source.stream().largest), (4, 9));
        let mut slot = [0; 9];
        for (sequence, value) in expected.iter().enumerate() {
            let filled = source.fill(&mut slot).unwrap().unwrap();
            assert_eq!(filled.sequence as usize, sequence);
            assert_eq!(slot[..filled.bytes as usize], vec![*value; filled.bytes as usize]);
        }
        assert_eq!(source.fill(&mut slot).unwrap().is_some(), repeat);
    }

    #[test]
    fn an_encoded_image_is_published_byte_by_byte() {
        let folder = folder_of_three();
        let options = SourceOptions { format: Some(PixelFormat::PNG), ..SourceOptions::default() };
        let mut source = Images::open(folder.path(), &options).unwrap().unwrap();
        let mut slot = vec![0; source.stream().largest as usize];
        let filled = source.fill(&mut slot).unwrap().unwrap();
        assert_eq!((filled.layout.format, filled.layout.width), (PixelFormat::PNG, 2));
        assert_eq!(slot[..filled.bytes as usize], fs::read(folder.path().join("a.PNG")).unwrap());
    }

    #[test]
    fn another_format_or_size_is_left_to_ffmpeg() {
        let folder = folder_of_three();
        let raw = SourceOptions { format: Some(PixelFormat::NV12), ..SourceOptions::default() };
        assert!(Images::open(folder.path(), &raw).unwrap().is_none());
        let sized = SourceOptions { size: Some((64, 48)), ..SourceOptions::default() };
        assert!(Images::open(folder.path(), &sized).unwrap().is_none());
        let same = SourceOptions { format: Some(PixelFormat::GRAY8), ..SourceOptions::default() };
        assert!(Images::open(folder.path(), &same).unwrap().is_some());
    }

    #[test]
    fn a_folder_without_images_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let error = Images::open(folder.path(), &SourceOptions::default()).unwrap_err();
        assert!(matches!(error, SourceError::NoImages(_)), "{error}");
    }

    #[test]
    fn a_damaged_image_is_named() {
        let folder = folder_of_three();
        fs::write(folder.path().join("b.png"), b"\x89PNG").unwrap();
        let error = Images::open(folder.path(), &SourceOptions::default()).unwrap_err().to_string();
        assert!(error.contains("b.png"), "{error}");
    }

    #[test]
    fn an_image_of_another_kind_is_refused() {
        let folder = folder_of_three();
        let options = SourceOptions { format: Some(PixelFormat::JPEG), ..SourceOptions::default() };
        let error = Images::open(&folder.path().join("b.png"), &options).unwrap_err();
        assert!(matches!(error, SourceError::Format { format: PixelFormat::JPEG, .. }), "{error}");
    }

    #[test]
    fn an_image_that_grew_is_refused_until_the_slot_has_grown() {
        let folder = folder_of_three();
        let mut source = Images::open(folder.path(), &SourceOptions::default()).unwrap().unwrap();
        let mut slot = vec![0; source.stream().largest as usize];
        grey(folder.path().join("a.PNG"), 9, 9, 1);
        let error = source.fill(&mut slot).unwrap_err();
        assert!(matches!(error, SourceError::SlotTooSmall { needed: 81, room: 9 }), "{error}");
        slot.resize(81, 0);
        assert_eq!((source.fill(&mut slot).unwrap().unwrap().bytes, slot[80]), (81, 1));
    }
}

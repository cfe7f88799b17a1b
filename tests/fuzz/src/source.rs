//! What `camlane publish --from` opens: a Y4M file, an image, the words of a pattern.

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use camlane_core::PixelFormat;

fn folder() -> &'static PathBuf {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| FOLDER.get_or_init(|| tempfile::tempdir().expect("a folder")).path().to_owned())
}

/// The first byte says what the others are and how rows are aligned.
pub(crate) fn run(bytes: &[u8]) {
    let Some((how, rest)) = bytes.split_first() else { return };
    let (row_align, repeat) = (1 << (how >> 3 & 7), how & 0x40 != 0);
    let (ending, format) = match how & 7 {
        0..=2 => ("y4m", None),
        // Nothing here decodes it: that would start ffmpeg.
        _ if rest.starts_with(b"BM") => ("bmp", Some(PixelFormat::BMP)),
        3 => ("jpg", None),
        4 => ("png", None),
        5 => ("jpg", Some(PixelFormat::JPEG)),
        6 => ("png", Some(PixelFormat::PNG)),
        _ => {
            let Ok(words) = std::str::from_utf8(rest) else { return };
            return camlane_cli::fuzzing::source(&format!("pattern:{words}"), row_align, repeat, None);
        }
    };
    let path = folder().join("input").with_extension(ending);
    fs::write(&path, rest).expect("a file");
    camlane_cli::fuzzing::source(&path.display().to_string(), row_align, repeat, format);
}

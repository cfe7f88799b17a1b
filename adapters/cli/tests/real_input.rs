//! Real video and photos: what ffmpeg decodes arrives byte for byte in three reader processes at once.
//!
//! Needs ffmpeg and the files that `tests/real-data.sh` fetches; without them it says so and passes, except in CI.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const READERS: usize = 3;

/// The folder of `tests/real-data.sh`, or `None` where something is missing.
fn real_data() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/real-data");
    let missing = if !folder.join("bigbuckbunny.mp4").exists() {
        "the real data (tests/real-data.sh fetches it)"
    } else if Command::new("ffmpeg").arg("-version").output().is_err() {
        "ffmpeg (apt-get install ffmpeg)"
    } else {
        return Some(folder);
    };
    assert!(std::env::var_os("CI").is_none(), "CI has to have {missing}");
    eprintln!("SKIPPED: this test needs {missing}");
    None
}

/// What ffmpeg decodes by itself.
fn decoded(file: &Path, pixel_format: &str) -> Vec<u8> {
    let decoded = Command::new("ffmpeg")
        .args(["-nostdin", "-loglevel", "error", "-i"])
        .arg(file)
        .args(["-f", "rawvideo", "-pix_fmt", pixel_format, "pipe:1"])
        .output()
        .unwrap();
    assert!(decoded.status.success(), "{}", String::from_utf8_lossy(&decoded.stderr));
    decoded.stdout
}

fn camlane(lane: &str, verb: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_camlane"));
    command.arg(verb).arg(lane).args(arguments).stdin(Stdio::null()).stderr(Stdio::inherit());
    command
}

/// Ends a child that a failed test leaves behind.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Publishes `file`, reads every frame of it in three processes at once, and compares each byte.
fn goes_through(lane: &str, file: &Path, pixel_format: &str, align: &str, frames: u32) {
    let expected = decoded(file, pixel_format);
    assert!(!expected.is_empty() && (expected.len() as u32).is_multiple_of(frames));
    let lane = format!("{lane}-{}", std::process::id());
    // Every frame stays readable until all are read, so the test does not depend on anybody's speed.
    let history = frames.to_string();
    let source = file.display().to_string();
    let publish = [
        "--from",
        &source,
        "--format",
        pixel_format,
        "--align",
        align,
        "--rate",
        "500",
        "--history",
        &history,
        "--seats",
        "3",
        "--pins",
        "1",
        "--wait-for",
        "3",
        "--json",
    ];
    let mut producer = Killed(camlane(&lane, "publish", &publish).stdout(Stdio::null()).spawn().unwrap());
    let watch = ["--every", "--raw", "--until-end", "--timeout", "60"];
    let readers: Vec<_> = (0..READERS)
        .map(|_| Killed(camlane(&lane, "watch", &watch).stdout(Stdio::piped()).spawn().unwrap()))
        .collect();
    std::thread::scope(|scope| {
        for mut reader in readers {
            let expected = &expected;
            scope.spawn(move || {
                let mut pixels = Vec::with_capacity(expected.len());
                reader.0.stdout.take().unwrap().read_to_end(&mut pixels).unwrap();
                assert!(reader.0.wait().unwrap().success());
                assert_eq!(pixels.len(), expected.len(), "{pixel_format}: bytes read and decoded");
                let wrong = pixels.iter().zip(expected).position(|(read, decoded)| read != decoded);
                assert_eq!(wrong, None, "{pixel_format}: first byte that differs");
            });
        }
    });
    assert!(producer.0.wait().unwrap().success());
}

#[test]
fn real_video_is_byte_identical_in_three_processes() {
    let Some(data) = real_data() else { return };
    goes_through("video-nv12", &data.join("bigbuckbunny.mp4"), "nv12", "1", 132);
}

#[test]
fn real_video_in_padded_rows_is_byte_identical_too() {
    let Some(data) = real_data() else { return };
    goes_through("video-padded", &data.join("bigbuckbunny.mp4"), "yuv420p", "512", 132);
}

#[test]
fn photos_of_several_sizes_and_odd_widths_are_byte_identical() {
    let Some(data) = real_data() else { return };
    for (photo, pixel_format, align) in [
        ("coffee.png", "rgb24", "1"),
        ("astronaut.png", "bgr24", "64"),
        ("chelsea.png", "rgb24", "64"), // 451 pixels wide
        ("chelsea.png", "gray", "128"),
        ("chelsea.png", "yuv420p", "1"),
        ("chelsea.png", "yuv420p", "64"),
        ("chelsea.png", "nv12", "1"),
        ("chelsea.png", "yuyv422", "1"),
    ] {
        goes_through("photo", &data.join(photo), pixel_format, align, 1);
    }
}

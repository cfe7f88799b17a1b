//! Video of any kind, decoded by the program `ffmpeg` in a child process.

use super::input::Feed;
use super::piped::{Opener, Piped};
use super::{Source as _, SourceError, SourceOptions};
use camlane::format::PixelFormat;
use camlane_convert::shape::{Shape, shape};
use core::time::Duration;
use std::io::{self, Read};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

/// How many bytes of what ffmpeg says are kept: its last lines name the cause.
const LAST_WORDS: usize = 600;

/// Runs ffmpeg. Dropping it ends the child and waits for it.
#[derive(Debug)]
pub(super) struct Decoder {
    child: Child,
    pub(super) output: ChildStdout,
    said: Receiver<String>,
}

impl Decoder {
    fn start(program: &[String], arguments: &[String], name: &str) -> Result<Self, SourceError> {
        let started = Command::new(&program[0])
            .args(&program[1..])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C is for us: the child ends when we drop it, or by SIGPIPE if we are killed.
            .process_group(0)
            .spawn();
        let io = |error| SourceError::Io { name: program[0].clone(), error };
        let mut child = started.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => SourceError::NoDecoder(name.into(), program[0].clone()),
            _ => io(error),
        })?;
        let (Some(output), Some(errors)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(io(io::ErrorKind::BrokenPipe.into()));
        };
        let (sender, said) = channel();
        // Somebody must read them, or a child with much to complain about would stop.
        std::thread::spawn(move || sender.send(last_words(errors)));
        Ok(Self { child, output, said })
    }

    /// Waits for a child whose output has ended.
    ///
    /// # Errors
    /// [`SourceError::Decoder`] with its last words, if it failed.
    pub(super) fn finish(&mut self, name: &str) -> Result<(), SourceError> {
        let name = name.to_string();
        match self.child.wait() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => {
                // A grandchild may hold the pipe open: its words are not worth waiting for.
                let said = self.said.recv_timeout(Duration::from_secs(1)).unwrap_or_default();
                Err(SourceError::Decoder { name, status, said })
            }
            Err(error) => Err(SourceError::Io { name, error }),
        }
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // Both fail only for a child that has been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads to the end and keeps the last whole lines, joined to one.
fn last_words(mut errors: ChildStderr) -> String {
    let (mut tail, mut buffer) = (Vec::new(), [0; 512]);
    while let Ok(bytes @ 1..) = errors.read(&mut buffer) {
        tail.extend_from_slice(&buffer[..bytes]);
        tail.drain(..tail.len().saturating_sub(LAST_WORDS));
    }
    let text = String::from_utf8_lossy(&tail);
    let whole = match text.split_once('\n') {
        Some((_, rest)) if tail.len() == LAST_WORDS && !rest.is_empty() => rest,
        _ => &text,
    };
    whole.lines().map(str::trim).collect::<Vec<_>>().join("; ")
}

/// Opens any input of ffmpeg's. Frames are I420 unless the options say otherwise; size and rate are what the
/// video has. `program` is ffmpeg and arguments to put before its own.
///
/// The size comes from the Y4M header that ffmpeg writes, not from ffprobe: so it is that of the frames which
/// will come, after any rotation that the file asks for.
///
/// # Errors
/// [`SourceError`]: ffmpeg is missing, refuses the input, or cannot give the wanted format.
pub(super) fn open(program: &[&str], spec: &str, options: &SourceOptions) -> Result<Piped, SourceError> {
    let wanted = options.format.unwrap_or(PixelFormat::I420);
    let refuse = |reason| SourceError::Format { name: spec.into(), format: wanted, reason };
    if wanted.is_compressed() {
        return Err(refuse("video is decoded: choose a raw format, or give image files of this format"));
    }
    // ffmpeg has names for Bayer, but only reads it.
    let is_bayer = matches!(shape(wanted), Some(Shape::Mono { bayer: Some(_), .. }));
    let Some(pix_fmt) = wanted.info().and_then(|info| info.ffmpeg).filter(|_| !is_bayer) else {
        return Err(refuse("ffmpeg cannot make it: choose another format"));
    };
    let opener = |container: &str, pix_fmt: &str| -> Opener {
        let program: Vec<String> = program.iter().map(ToString::to_string).collect();
        let (arguments, name) = (arguments(spec, options.size, container, pix_fmt), spec.to_string());
        Box::new(move || Decoder::start(&program, &arguments, &name).map(Feed::Child))
    };
    let live = spec.contains("://") || spec.starts_with("/dev/");
    let is_y4m =
        [PixelFormat::I420, PixelFormat::I422, PixelFormat::I444, PixelFormat::GRAY8].contains(&wanted);
    let mut y4m = opener("yuv4mpegpipe", if is_y4m { pix_fmt } else { "yuv420p" });
    let feed = y4m()?;
    let headed = Piped::y4m(feed, y4m, spec.into(), options)?;
    let rate = headed.stream().rate;
    if is_y4m {
        return Ok(headed.described(live, rate));
    }
    // Y4M cannot carry the format: its header was all we wanted.
    let size = Some((headed.stream().layout.width, headed.stream().layout.height));
    drop(headed);
    let mut raw = opener("rawvideo", pix_fmt);
    let feed = raw()?;
    let described = SourceOptions { size, format: Some(wanted), ..options.clone() };
    Ok(Piped::raw(feed, raw, spec.into(), &described)?.described(live, rate))
}

fn arguments(spec: &str, size: Option<(u32, u32)>, container: &str, pix_fmt: &str) -> Vec<String> {
    let path = Path::new(spec);
    let mut list: Vec<String> = ["-nostdin", "-loglevel", "error"].map(String::from).into();
    if path.is_dir() {
        let glob = format!("{}/*.{}", spec.trim_end_matches('/'), first_extension(path));
        list.extend(["-f", "image2", "-pattern_type", "glob", "-i", &glob].map(String::from));
    } else if path.is_file() {
        // Without a protocol a colon in the name would be taken for the end of one.
        list.extend(["-i".into(), format!("file:{spec}")]);
    } else {
        list.extend(["-i".into(), spec.into()]);
    }
    list.extend(["-map", "0:v:0", "-f", container, "-pix_fmt", pix_fmt].map(String::from));
    if let Some((width, height)) = size {
        list.extend(["-s".into(), format!("{width}x{height}")]);
    }
    list.push("pipe:1".into());
    list
}

/// Returns the extension of the first image of a folder.
fn first_extension(folder: &Path) -> String {
    let files = super::images::files(folder, &["png", "jpg", "jpeg", "bmp"]).unwrap_or_default();
    let end = files.first().and_then(|file| file.extension());
    end.map_or_else(|| "png".into(), |end| end.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    /// Stands in for ffmpeg: a shell that has ffmpeg's arguments as its own.
    fn fake(script: &str) -> [&str; 4] {
        ["sh", "-c", script, "ffmpeg"]
    }

    const TWO_FRAMES: &str = r#"case "$*" in
        *yuv4mpegpipe*) printf 'YUV4MPEG2 W2 H2 F24:1 C420jpeg\nFRAME\nabcdefFRAME\nghijkl';;
        *rawvideo*rgb24*) printf 'ABCDEFGHIJKL';;
        esac"#;

    #[test]
    fn frames_come_as_y4m_when_it_can_carry_them() {
        let mut source = open(&fake(TWO_FRAMES), "rtsp://camera/1", &SourceOptions::default()).unwrap();
        assert_eq!((source.stream().rate, source.stream().live), (Some((24, 1)), true));
        let mut slot = [0; 6];
        source.fill(&mut slot).unwrap().unwrap();
        source.fill(&mut slot).unwrap().unwrap();
        assert_eq!(&slot, b"ghijkl");
        assert_eq!(source.fill(&mut slot).unwrap(), None);
    }

    #[test]
    fn another_format_takes_size_and_rate_from_the_header_and_comes_bare() {
        let options = SourceOptions { format: Some(PixelFormat::RGB8), ..SourceOptions::default() };
        let mut source = open(&fake(TWO_FRAMES), "clip.mp4", &options).unwrap();
        let layout = source.stream().layout;
        assert_eq!((layout.width, layout.height, source.stream().rate), (2, 2, Some((24, 1))));
        let mut slot = [0; 12];
        source.fill(&mut slot).unwrap().unwrap();
        assert_eq!(&slot, b"ABCDEFGHIJKL");
        assert_eq!(source.fill(&mut slot).unwrap(), None);
    }

    #[test]
    fn a_repeated_video_starts_its_decoder_again() {
        let options = SourceOptions { repeat: true, ..SourceOptions::default() };
        let mut source = open(&fake(TWO_FRAMES), "clip.mp4", &options).unwrap();
        let mut slot = [0; 6];
        let numbers: Vec<u32> = (0..5).map(|_| source.fill(&mut slot).unwrap().unwrap().sequence).collect();
        assert_eq!((numbers, &slot), (vec![0, 1, 2, 3, 4], b"abcdef"));
    }

    #[test]
    fn the_last_words_of_a_failed_decoder_are_in_the_error() {
        let script = "echo clip.mp4: moov atom not found >&2; exit 69";
        let error = open(&fake(script), "clip.mp4", &SourceOptions::default()).err().unwrap().to_string();
        assert_eq!(error, "ffmpeg cannot decode clip.mp4 (exit status: 69): clip.mp4: moov atom not found");
    }

    #[test]
    fn a_decoder_that_fails_midway_is_an_error_and_not_an_end() {
        let script = "printf 'YUV4MPEG2 W2 H2\\nFRAME\\nabcdefFRAME\\nghi'; echo lost >&2; exit 1";
        let mut source = open(&fake(script), "clip.mp4", &SourceOptions::default()).unwrap();
        source.fill(&mut [0; 6]).unwrap().unwrap();
        let error = source.fill(&mut [0; 6]).unwrap_err().to_string();
        assert!(error.ends_with("lost"), "{error}");
    }

    #[test]
    fn a_decoder_that_writes_something_else_is_not_waited_for() {
        let error = open(&fake("exec cat /dev/zero"), "clip.mp4", &SourceOptions::default()).err().unwrap();
        assert!(matches!(error, SourceError::Y4m { .. }), "{error}");
    }

    #[test]
    fn a_missing_ffmpeg_is_named_with_the_way_to_install_it() {
        let error =
            open(&["no-such-ffmpeg"], "clip.mp4", &SourceOptions::default()).err().unwrap().to_string();
        assert!(error.contains("`no-such-ffmpeg`") && error.contains("apt install ffmpeg"), "{error}");
    }

    #[test]
    fn dropping_a_decoder_ends_its_child() {
        let program = fake("exec cat /dev/zero").map(String::from);
        let decoder = Decoder::start(&program, &[], "zeros").unwrap();
        let child = nix::unistd::Pid::from_raw(decoder.child.id() as i32);
        assert_eq!(nix::sys::signal::kill(child, None), Ok(()));
        drop(decoder);
        assert_eq!(nix::sys::signal::kill(child, None), Err(nix::errno::Errno::ESRCH));
    }

    #[test]
    fn much_complaint_is_cut_to_its_end() {
        let script = "i=0; while [ $i -lt 3000 ]; do echo complaint $i; i=$((i+1)); done >&2; exit 1";
        let error = open(&fake(script), "clip.mp4", &SourceOptions::default()).err().unwrap().to_string();
        assert!(error.ends_with("complaint 2999") && error.len() < LAST_WORDS + 200, "{error}");
    }

    #[rstest]
    #[case::compressed(PixelFormat::H264, "choose a raw format")]
    #[case::bayer(PixelFormat::BAYER8_RGGB, "ffmpeg cannot make it")]
    #[case::without_a_name(PixelFormat::YV12, "ffmpeg cannot make it")]
    fn a_format_that_ffmpeg_cannot_make_is_refused_before_anything_starts(
        #[case] format: PixelFormat,
        #[case] expected: &str,
    ) {
        let options = SourceOptions { format: Some(format), ..SourceOptions::default() };
        let error = open(&["no-such-ffmpeg"], "clip.mp4", &options).err().unwrap().to_string();
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn size_and_file_names_with_colons_reach_ffmpeg_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a:b.mp4");
        std::fs::write(&path, "").unwrap();
        let list = arguments(path.to_str().unwrap(), Some((64, 48)), "rawvideo", "nv12").join(" ");
        assert!(list.contains(&format!("-i file:{}", path.display())), "{list}");
        assert!(list.ends_with("-f rawvideo -pix_fmt nv12 -s 64x48 pipe:1"), "{list}");
    }
}

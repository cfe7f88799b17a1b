//! Raw frames that follow one another in a stream of bytes, bare or as Y4M.

use super::input::{Feed, Input, packed_bytes, read_frame};
use super::y4m::{self, Header, Problem, Y4mError};
use super::{Filled, Source, SourceError, SourceOptions, Stream};
use camlane::format::FrameLayout;
use core::sync::atomic::Ordering;
use std::fs::File;
use std::io::{self, BufReader};
use std::os::fd::AsFd as _;
use std::path::Path;

/// Room for a header line. Small on purpose: a longer read goes past the buffer, straight into the slot.
const HEADER_BUFFER: usize = 64;

/// Opens the stream from its beginning: once, and again for each repetition.
pub(super) type Opener = Box<dyn FnMut() -> Result<Feed, SourceError> + Send>;

/// Reads frames from a stream of bytes.
pub(crate) struct Piped {
    open: Opener,
    input: BufReader<Input>,
    /// Whether headers stand around the frames.
    y4m: bool,
    stream: Stream,
    options: SourceOptions,
    /// Bytes since the beginning of the stream.
    offset: u64,
    /// Frames since the beginning of the stream.
    pass: u32,
    sequence: u32,
}

impl Piped {
    /// Reads bare frames from standard input; size and format must be given. It counts as live unless a rate
    /// is given, for then whoever writes sets the pace.
    pub(super) fn stdin(options: &SourceOptions) -> Result<Self, SourceError> {
        if options.repeat {
            return Err(SourceError::NoRepeat);
        }
        let name = "standard input".to_string();
        let mut open: Opener = {
            let name = name.clone();
            Box::new(move || match io::stdin().as_fd().try_clone_to_owned() {
                Ok(fd) => Ok(Feed::File(File::from(fd))),
                Err(error) => Err(SourceError::Io { name: name.clone(), error }),
            })
        };
        let feed = open()?;
        Self::raw(feed, open, name, options)
    }

    /// Reads bare frames of the size and format in `options`.
    pub(super) fn raw(
        feed: Feed,
        open: Opener,
        name: String,
        options: &SourceOptions,
    ) -> Result<Self, SourceError> {
        let format = options.format.ok_or(SourceError::Unstated("--format"))?;
        let (width, height) = options.size.ok_or(SourceError::Unstated("--size"))?;
        if format.is_compressed() {
            let reason = "a stream of bytes does not say where a compressed frame ends";
            return Err(SourceError::Format { name, format, reason });
        }
        let layout = format.layout(width, height, options.row_align)?;
        let live = options.rate.is_none();
        let stream = Stream { layout, largest: layout.bytes, rate: options.rate, name, live };
        Ok(Self::new(feed, open, false, stream, options))
    }

    /// Reads a Y4M file.
    pub(super) fn y4m_file(path: &Path, options: &SourceOptions) -> Result<Self, SourceError> {
        let path = path.to_path_buf();
        let name = path.display().to_string();
        let mut open: Opener = Box::new(move || match File::open(&path) {
            Ok(file) => Ok(Feed::File(file)),
            Err(error) => Err(SourceError::Io { name: path.display().to_string(), error }),
        });
        let feed = open()?;
        Self::y4m(feed, open, name, options)
    }

    /// Reads Y4M; the layout is that of its header.
    pub(super) fn y4m(
        feed: Feed,
        open: Opener,
        name: String,
        options: &SourceOptions,
    ) -> Result<Self, SourceError> {
        // The header fills the layout in: until then it is that of the least picture.
        let layout = camlane::format::PixelFormat::I420.layout(1, 1, options.row_align)?;
        let stream = Stream { layout, largest: layout.bytes, rate: None, name, live: false };
        let mut piped = Self::new(feed, open, true, stream, options);
        let header = piped.header()?;
        let layout = header.format.layout(header.width, header.height, options.row_align)?;
        piped.stream.layout = layout;
        piped.stream.largest = layout.bytes;
        piped.stream.rate = options.rate.or(header.rate);
        Ok(piped)
    }

    fn new(feed: Feed, open: Opener, y4m: bool, stream: Stream, options: &SourceOptions) -> Self {
        let input = BufReader::with_capacity(HEADER_BUFFER, Input::new(feed, options.stop));
        let options = options.clone();
        Self { open, input, y4m, stream, options, offset: 0, pass: 0, sequence: 0 }
    }

    /// Says what the name, the pace and the rate are, where the opener knows better than the bytes.
    pub(super) fn described(mut self, live: bool, rate: Option<(u32, u32)>) -> Self {
        self.stream.live = live;
        self.stream.rate = self.options.rate.or(rate);
        self
    }

    fn io(&self, error: io::Error) -> SourceError {
        SourceError::Io { name: self.stream.name.clone(), error }
    }

    fn wrong(&self, error: Y4mError) -> SourceError {
        SourceError::Y4m { name: self.stream.name.clone(), error }
    }

    /// Reads a header line; `None` at the end of the stream. A child that ended is asked why first.
    fn line(&mut self) -> Result<Option<Vec<u8>>, SourceError> {
        match y4m::read_line(&mut self.input, &mut self.offset).map_err(|error| self.io(error))? {
            Some(Ok(line)) => Ok(Some(line)),
            // Still running: to wait for it here would be for ever.
            Some(Err(error)) if error.problem != Problem::CutHeader => Err(self.wrong(error)),
            ended => {
                self.finish()?;
                ended.transpose().map_err(|error| self.wrong(error))
            }
        }
    }

    fn header(&mut self) -> Result<Header, SourceError> {
        let line = self
            .line()?
            .ok_or_else(|| self.wrong(Y4mError { offset: self.offset, problem: Problem::CutHeader }))?;
        y4m::parse_header(&line).map_err(|error| self.wrong(error))
    }

    /// Reads the word before a frame; false at the end of the stream.
    fn frame_line(&mut self) -> Result<bool, SourceError> {
        let start = self.offset;
        let Some(line) = self.line()? else { return Ok(false) };
        y4m::check_frame_line(&line, start).map(|()| true).map_err(|error| self.wrong(error))
    }

    /// Reads one frame; false at the end of the stream.
    fn frame(&mut self, layout: &FrameLayout, slot: &mut [u8]) -> Result<bool, SourceError> {
        if self.y4m && !self.frame_line()? {
            return Ok(false);
        }
        let read = read_frame(&mut self.input, layout, slot).map_err(|error| self.io(error))?;
        self.offset += read;
        let bytes = packed_bytes(layout);
        if read == bytes {
            return Ok(true);
        }
        if read == 0 && !self.y4m {
            return Ok(false);
        }
        self.finish()?;
        let (name, frame) = (self.stream.name.clone(), self.pass);
        Err(SourceError::Partial { name, frame, missing: bytes - read, bytes })
    }

    /// Hears how a child ended, whose output has ended; a file has nothing to say.
    fn finish(&mut self) -> Result<(), SourceError> {
        match &mut self.input.get_mut().feed {
            Feed::File(_) => Ok(()),
            Feed::Child(decoder) => decoder.finish(&self.stream.name),
        }
    }

    fn begin_again(&mut self) -> Result<(), SourceError> {
        let feed = (self.open)()?;
        self.input = BufReader::with_capacity(HEADER_BUFFER, Input::new(feed, self.options.stop));
        (self.offset, self.pass) = (0, 0);
        if self.y4m {
            self.header()?;
        }
        Ok(())
    }

    fn next(&mut self, layout: &FrameLayout, slot: &mut [u8]) -> Result<bool, SourceError> {
        loop {
            if self.frame(layout, slot)? {
                return Ok(true);
            }
            self.finish()?;
            // A stream without frames would be begun again for ever.
            if !self.options.repeat || self.pass == 0 {
                return Ok(false);
            }
            self.begin_again()?;
        }
    }
}

impl Source for Piped {
    fn stream(&self) -> &Stream {
        &self.stream
    }

    fn fill(&mut self, slot: &mut [u8]) -> Result<Option<Filled>, SourceError> {
        let layout = self.stream.layout;
        let (needed, room) = (layout.bytes as usize, slot.len());
        let slot = slot.get_mut(..needed).ok_or(SourceError::SlotTooSmall { needed, room })?;
        let next = self.next(&layout, slot);
        if self.options.stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        if !next? {
            return Ok(None);
        }
        let filled = Filled::new(layout, self.sequence);
        self.sequence = self.sequence.wrapping_add(1);
        self.pass = self.pass.saturating_add(1);
        Ok(Some(filled))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use camlane::format::PixelFormat;
    use core::sync::atomic::AtomicBool;
    use rstest::rstest;
    use std::io::{PipeWriter, Write as _};
    use std::os::fd::OwnedFd;

    fn pipe() -> (Feed, PipeWriter) {
        let (reader, writer) = io::pipe().unwrap();
        (Feed::File(File::from(OwnedFd::from(reader))), writer)
    }

    fn no_more() -> Opener {
        Box::new(|| Err(SourceError::NoRepeat))
    }

    /// Makes a file of frames, each filled with its number from 1.
    fn y4m(folder: &Path, header: &str, frame_bytes: usize, frames: u8) -> std::path::PathBuf {
        let path = folder.join("clip.y4m");
        let mut bytes = format!("{header}\n").into_bytes();
        for number in 1..=frames {
            bytes.extend(if number % 2 == 0 { &b"FRAME Ip\n"[..] } else { b"FRAME\n" });
            bytes.extend(core::iter::repeat_n(number, frame_bytes));
        }
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn sized(width: u32, height: u32, format: PixelFormat) -> SourceOptions {
        SourceOptions { size: Some((width, height)), format: Some(format), ..SourceOptions::default() }
    }

    #[rstest]
    #[case::i420("YUV4MPEG2 W5 H3 F25:1", PixelFormat::I420, 27)]
    #[case::i422("YUV4MPEG2 W5 H3 F25:1 C422", PixelFormat::I422, 33)]
    #[case::i444("YUV4MPEG2 W5 H3 F25:1 C444", PixelFormat::I444, 45)]
    #[case::mono("YUV4MPEG2 W5 H3 F25:1 Cmono", PixelFormat::GRAY8, 15)]
    #[case::larger_than_any_buffer("YUV4MPEG2 W320 H240 F25:1 Cmono", PixelFormat::GRAY8, 76800)]
    fn a_y4m_file_is_read_frame_by_frame(
        #[case] header: &str,
        #[case] format: PixelFormat,
        #[case] frame_bytes: usize,
        #[values(1, 64)] row_align: u32,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = y4m(folder.path(), header, frame_bytes, 3);
        let options = SourceOptions { row_align, ..SourceOptions::default() };
        let mut source = Piped::y4m_file(&path, &options).unwrap();
        let layout = source.stream().layout;
        assert_eq!((layout.format, source.stream().rate), (format, Some((25, 1))));
        let mut slot = vec![0; layout.bytes as usize];
        for number in 1..=3u8 {
            let filled = source.fill(&mut slot).unwrap().unwrap();
            assert_eq!((filled.layout, filled.sequence), (layout, u32::from(number) - 1));
            assert_eq!(slot.iter().filter(|&&byte| byte == number).count(), frame_bytes);
        }
        assert_eq!(source.fill(&mut slot).unwrap(), None);
    }

    #[test]
    fn a_repeated_file_begins_again_and_counts_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = y4m(folder.path(), "YUV4MPEG2 W4 H4 F25:1 Cmono", 16, 2);
        let options = SourceOptions { repeat: true, ..SourceOptions::default() };
        let mut source = Piped::y4m_file(&path, &options).unwrap();
        let mut slot = [0; 16];
        let frames: Vec<_> =
            (0..5).map(|_| (source.fill(&mut slot).unwrap().unwrap().sequence, slot[15])).collect();
        assert_eq!(frames, [(0, 1), (1, 2), (2, 1), (3, 2), (4, 1)]);
    }

    #[test]
    fn a_file_without_frames_ends_even_if_repeated() {
        let folder = tempfile::tempdir().unwrap();
        let path = y4m(folder.path(), "YUV4MPEG2 W4 H4", 16, 0);
        let options = SourceOptions { repeat: true, ..SourceOptions::default() };
        let mut source = Piped::y4m_file(&path, &options).unwrap();
        assert_eq!(source.fill(&mut [0; 64]).unwrap(), None);
    }

    #[test]
    fn a_cut_y4m_frame_says_what_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let path = y4m(folder.path(), "YUV4MPEG2 W4 H4 Cmono", 16, 2);
        let file = File::options().write(true).open(&path).unwrap();
        file.set_len(file.metadata().unwrap().len() - 5).unwrap();
        let mut source = Piped::y4m_file(&path, &SourceOptions::default()).unwrap();
        source.fill(&mut [0; 16]).unwrap().unwrap();
        let error = source.fill(&mut [0; 16]).unwrap_err();
        assert!(matches!(error, SourceError::Partial { frame: 1, missing: 5, bytes: 16, .. }), "{error}");
    }

    #[test]
    fn a_lost_frame_word_is_located() {
        let (feed, mut writer) = pipe();
        writer.write_all(b"YUV4MPEG2 W1 H1 Cmono\nFRAME\nxJUNK\n").unwrap();
        drop(writer);
        let mut source = Piped::y4m(feed, no_more(), "clip".into(), &SourceOptions::default()).unwrap();
        source.fill(&mut [0; 1]).unwrap().unwrap();
        let SourceError::Y4m { error, .. } = source.fill(&mut [0; 1]).unwrap_err() else { panic!() };
        assert_eq!(error, Y4mError { offset: 29, problem: Problem::NoFrame("JUNK".into()) });
    }

    #[test]
    fn an_empty_file_is_no_y4m() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("empty.y4m");
        std::fs::write(&path, "").unwrap();
        let error = Piped::y4m_file(&path, &SourceOptions::default()).err().unwrap();
        assert!(error.to_string().contains("cut off"), "{error}");
    }

    #[test]
    fn bare_frames_arrive_however_the_pipe_cuts_them() {
        let (feed, mut writer) = pipe();
        let options = sized(4, 2, PixelFormat::YUYV);
        let mut source = Piped::raw(feed, no_more(), "pipe".into(), &options).unwrap();
        let writing = std::thread::spawn(move || {
            for piece in (0..48u8).collect::<Vec<_>>().chunks(7) {
                writer.write_all(piece).unwrap();
            }
        });
        let mut slot = [0; 16];
        for number in 0..3u8 {
            source.fill(&mut slot).unwrap().unwrap();
            assert_eq!(slot.to_vec(), (16 * number..16 * number + 16).collect::<Vec<_>>());
        }
        assert_eq!(source.fill(&mut slot).unwrap(), None);
        writing.join().unwrap();
    }

    #[test]
    fn a_bare_frame_that_is_cut_says_what_is_missing() {
        let (feed, mut writer) = pipe();
        let mut source = Piped::raw(feed, no_more(), "pipe".into(), &sized(4, 2, PixelFormat::YUYV)).unwrap();
        writer.write_all(&[0; 27]).unwrap();
        drop(writer);
        source.fill(&mut [0; 16]).unwrap().unwrap();
        let error = source.fill(&mut [0; 16]).unwrap_err().to_string();
        assert_eq!(error, "pipe ends inside frame 1: 5 of its 16 bytes are missing");
    }

    #[test]
    fn a_stopped_source_ends_without_an_error() {
        let (feed, mut writer) = pipe();
        let stop: &'static AtomicBool = Box::leak(Box::default());
        let options = SourceOptions { stop, ..sized(4, 2, PixelFormat::YUYV) };
        let mut source = Piped::raw(feed, no_more(), "pipe".into(), &options).unwrap();
        writer.write_all(&[0; 10]).unwrap();
        let waiting = std::thread::spawn(move || source.fill(&mut [0; 16]).unwrap());
        stop.store(true, Ordering::Relaxed);
        assert_eq!(waiting.join().unwrap(), None);
    }

    #[rstest]
    #[case::no_size(SourceOptions { size: None, ..sized(1, 1, PixelFormat::NV12) }, "--size")]
    #[case::no_format(SourceOptions { format: None, ..sized(1, 1, PixelFormat::NV12) }, "--format")]
    #[case::compressed(sized(64, 64, PixelFormat::JPEG), "where a compressed frame ends")]
    fn bare_frames_must_be_described(#[case] options: SourceOptions, #[case] expected: &str) {
        let error = Piped::raw(pipe().0, no_more(), "pipe".into(), &options).err().unwrap().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

//! The text around the frames of a Y4M file, after mjpegtools' `yuv4mpeg(5)`.

use camlane::format::PixelFormat;
use std::io::{self, BufRead, Read as _};

/// The longest header line that is read: ffmpeg's own limit for the stream header is the same.
const LONGEST_LINE: u64 = 256;

/// Says what is wrong with a Y4M stream, and at which byte.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{problem}, at byte {offset}")]
pub(crate) struct Y4mError {
    /// Bytes from the start of the stream to the first wrong one.
    pub(crate) offset: u64,
    pub(crate) problem: Problem,
}

/// Names what is wrong with a Y4M stream.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(crate) enum Problem {
    #[error("it is no Y4M stream: it does not begin with YUV4MPEG2")]
    NoMagic,
    #[error("a header line has no end within {LONGEST_LINE} bytes")]
    LongLine,
    #[error("the stream header ends early: it is cut off")]
    CutHeader,
    #[error("the header gives no {0}")]
    Missing(&'static str),
    #[error("{0:?} is not a number above 0")]
    BadNumber(String),
    #[error("{0:?} is not a frame rate such as F30:1")]
    BadRate(String),
    #[error("colour space {0:?} has no lane format: convert it with ffmpeg -pix_fmt yuv420p")]
    ColourSpace(String),
    #[error("a frame must begin with FRAME, not with {0:?}")]
    NoFrame(String),
}

/// Holds what a stream header says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Header {
    pub(super) width: u32,
    pub(super) height: u32,
    /// Frames per second as a fraction; `None` for `F0:0`, unknown.
    pub(super) rate: Option<(u32, u32)>,
    pub(super) format: PixelFormat,
}

/// Reads one line, without its end; `None` at the end of the input. `offset` moves on by the bytes read.
pub(super) fn read_line(
    input: &mut impl BufRead,
    offset: &mut u64,
) -> io::Result<Option<Result<Vec<u8>, Y4mError>>> {
    let start = *offset;
    let mut line = Vec::new();
    let bytes = input.take(LONGEST_LINE).read_until(b'\n', &mut line)? as u64;
    *offset += bytes;
    Ok(match line.pop() {
        None => None,
        Some(b'\n') => Some(Ok(line)),
        Some(_) if bytes == LONGEST_LINE => Some(Err(Y4mError { offset: start, problem: Problem::LongLine })),
        Some(_) => Some(Err(Y4mError { offset: *offset, problem: Problem::CutHeader })),
    })
}

/// Reads the stream header: its magic word, then words that begin with a letter each.
///
/// # Errors
/// [`Y4mError`], the offset that of the word.
pub(super) fn parse_header(line: &[u8]) -> Result<Header, Y4mError> {
    let at = |offset: usize, problem| Y4mError { offset: offset as u64, problem };
    let Some(words) = line.strip_prefix(b"YUV4MPEG2") else { return Err(at(0, Problem::NoMagic)) };
    let (mut width, mut height, mut rate, mut format) = (None, None, None, PixelFormat::I420);
    let mut offset = line.len() - words.len();
    for word in words.split(|&byte| byte == b' ') {
        let text = || String::from_utf8_lossy(word).into_owned();
        let value = || text().get(1..).unwrap_or("").to_string();
        let number = || {
            let bad = || at(offset, Problem::BadNumber(text()));
            value().parse::<u32>().ok().filter(|&number| number > 0).ok_or_else(bad)
        };
        match word.first() {
            Some(b'W') => width = Some(number()?),
            Some(b'H') => height = Some(number()?),
            Some(b'F') => {
                let bad = || at(offset, Problem::BadRate(text()));
                let value = value();
                let (frames, seconds) = value.split_once(':').ok_or_else(bad)?;
                let fraction = (frames.parse().map_err(|_| bad())?, seconds.parse().map_err(|_| bad())?);
                rate = (fraction.0 > 0 && fraction.1 > 0).then_some(fraction);
            }
            Some(b'C') => {
                // The three kinds of 420 differ in where chroma sits, not in their bytes.
                format = match &word[1..] {
                    b"420" | b"420jpeg" | b"420mpeg2" | b"420paldv" => PixelFormat::I420,
                    b"422" => PixelFormat::I422,
                    b"444" => PixelFormat::I444,
                    b"mono" => PixelFormat::GRAY8,
                    _ => return Err(at(offset, Problem::ColourSpace(text()))),
                }
            }
            // Interlacing, pixel aspect, comments: nothing that moves a byte.
            _ => {}
        }
        offset += word.len() + 1;
    }
    let missing = |what| at(line.len(), Problem::Missing(what));
    let width = width.ok_or(missing("width (W)"))?;
    let height = height.ok_or(missing("height (H)"))?;
    Ok(Header { width, height, rate, format })
}

/// Checks the line before a frame; its parameters change no byte of the frame.
///
/// # Errors
/// [`Problem::NoFrame`], the offset that of the line, which `offset` is given as.
pub(super) fn check_frame_line(line: &[u8], offset: u64) -> Result<(), Y4mError> {
    match line.strip_prefix(b"FRAME") {
        Some([] | [b' ', ..]) => Ok(()),
        _ => {
            let begins = String::from_utf8_lossy(&line[..line.len().min(16)]).into_owned();
            Err(Y4mError { offset, problem: Problem::NoFrame(begins) })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::no_colour_is_420("YUV4MPEG2 W5 H3 F25:1", PixelFormat::I420)]
    #[case::jpeg("YUV4MPEG2 W5 H3 F25:1 Ip A1:1 C420jpeg", PixelFormat::I420)]
    #[case::mpeg2("YUV4MPEG2 C420mpeg2 W5 H3 F25:1", PixelFormat::I420)]
    #[case::paldv("YUV4MPEG2 W5 H3 F25:1 C420paldv XYSCSS=420PALDV", PixelFormat::I420)]
    #[case::c422("YUV4MPEG2 W5 H3 F25:1 C422", PixelFormat::I422)]
    #[case::c444("YUV4MPEG2 W5 H3 F25:1 C444", PixelFormat::I444)]
    #[case::mono("YUV4MPEG2 W5 H3 F25:1 Cmono", PixelFormat::GRAY8)]
    fn the_header_says_size_rate_and_format(#[case] line: &str, #[case] format: PixelFormat) {
        let expected = Header { width: 5, height: 3, rate: Some((25, 1)), format };
        assert_eq!(parse_header(line.as_bytes()), Ok(expected));
    }

    #[test]
    fn an_unknown_rate_is_no_rate() {
        assert_eq!(parse_header(b"YUV4MPEG2 W5 H3 F0:0").unwrap().rate, None);
        assert_eq!(parse_header(b"YUV4MPEG2 W5 H3").unwrap().rate, None);
    }

    #[rstest]
    #[case::magic("RIFF", 0, Problem::NoMagic)]
    #[case::no_width("YUV4MPEG2 H3", 12, Problem::Missing("width (W)"))]
    #[case::no_height("YUV4MPEG2 W3", 12, Problem::Missing("height (H)"))]
    #[case::zero("YUV4MPEG2 W0 H3", 10, Problem::BadNumber("W0".into()))]
    #[case::letters("YUV4MPEG2 W3 Hx", 13, Problem::BadNumber("Hx".into()))]
    #[case::huge("YUV4MPEG2 W99999999999 H3", 10, Problem::BadNumber("W99999999999".into()))]
    #[case::rate("YUV4MPEG2 W3 H3 F30", 16, Problem::BadRate("F30".into()))]
    #[case::deep("YUV4MPEG2 W3 H3 C420p10", 16, Problem::ColourSpace("C420p10".into()))]
    fn a_wrong_header_is_located(#[case] line: &str, #[case] offset: u64, #[case] problem: Problem) {
        assert_eq!(parse_header(line.as_bytes()), Err(Y4mError { offset, problem }));
    }

    #[rstest]
    #[case::whole(b"FRAME\nrest", Some(Ok(b"FRAME".to_vec())), 13)]
    #[case::end(b"", None, 7)]
    #[case::cut(b"FRA", Some(Err(Y4mError { offset: 10, problem: Problem::CutHeader })), 10)]
    #[case::endless(&[b'x'; 1000], Some(Err(Y4mError { offset: 7, problem: Problem::LongLine })), 263)]
    fn a_line_ends_and_is_counted(
        #[case] mut input: &[u8],
        #[case] expected: Option<Result<Vec<u8>, Y4mError>>,
        #[case] end: u64,
    ) {
        let mut offset = 7;
        assert_eq!(read_line(&mut input, &mut offset).unwrap(), expected);
        assert_eq!(offset, end);
    }

    #[rstest]
    #[case::plain("FRAME", true)]
    #[case::parameters("FRAME Ip XABC", true)]
    #[case::longer_word("FRAMES", false)]
    #[case::pixels("\u{10}\u{80}", false)]
    fn a_frame_begins_with_its_word(#[case] line: &str, #[case] good: bool) {
        assert_eq!(check_frame_line(line.as_bytes(), 0).is_ok(), good);
    }
}

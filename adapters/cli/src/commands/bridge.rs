//! `camlane bridge`: between lanes or streams and the objects of old programs, until it is stopped.

use core::fmt;
use std::process::ExitCode;
use std::time::Instant;

use camlane::legacy::{
    Error, Header24Options, Header24Reader, Header24Writer, ObjectName, Stall, SyncOptions, SyncReader,
    SyncWriter, Writing,
};
use camlane::{
    Address, Consumer, ConsumerOptions, FrameLayout, FrameMeta, LaneName, LaneOptions, Loan, PixelFormat,
    Producer, Read, StreamOptions, StreamReader, StreamWriter, WaitError,
};
use clap::Args;
use serde::Serialize;

use crate::commands::header24::{self, News};
use crate::commands::{self, Usage};
use crate::output::Output;
use crate::{snapshot, stop};
use camlane_convert::{self as convert, Pixels};

/// Bytes of a native stream that the bridge makes.
const CAPACITY: u32 = 1 << 20;
/// Bytes that are carried at once.
const CHUNK: usize = 64 * 1024;

/// Carry frames or bytes between camlane and programs with hand-made shared memory
///
/// FROM and TO are
///   header24:NAME    one picture behind a 24-byte header     with    lane:NAME      a lane
///   sharesync:NAME   bytes behind a pthread mutex            with    stream:NAME    a native byte stream
/// in either order. NAME of an old object is as in C (/frames), in Python (/dev/shm/frames), or a path to a file.
#[derive(Debug, Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  camlane bridge header24:/mmaptest_shm lane:front-door     an old writer's frames, for new readers
  camlane bridge lane:front-door header24:/mmaptest_shm     a lane's frames, for old readers
  camlane bridge sharesync:/hello_mem stream:hello

It goes on when a side is restarted, and ends with Ctrl-C."
)]
pub(crate) struct Bridge {
    /// Where frames or bytes come from
    #[arg(value_parser = end)]
    from: End,
    /// Where they go
    #[arg(value_parser = end)]
    to: End,
    /// End after so many frames, or chunks of bytes
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    frames: Option<u64>,
    /// Permissions of an old program's object that is made, in octal
    #[arg(long, value_name = "MODE", default_value = "600", value_parser = commands::mode)]
    mode: u32,
    /// Take an old program's object even from a program that is using it
    #[arg(long)]
    replace: bool,
    /// Free a mutex whose holder does not run here any more, though other programs have the object open
    #[arg(long)]
    break_lock: bool,
}

#[derive(Clone, Debug)]
enum End {
    Header24(ObjectName),
    Lane(Address),
    ShareSync(ObjectName),
    Stream(LaneName),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header24(name) => write!(f, "header24:{name}"),
            Self::Lane(address) => write!(f, "lane:{address}"),
            Self::ShareSync(name) => write!(f, "sharesync:{name}"),
            Self::Stream(name) => write!(f, "stream:{name}"),
        }
    }
}

fn end(text: &str) -> Result<End, String> {
    match text.split_once(':') {
        Some(("header24", name)) => commands::object(name).map(End::Header24),
        Some(("sharesync", name)) => commands::object(name).map(End::ShareSync),
        Some(("lane", name)) => commands::address(name).map(End::Lane),
        Some(("stream", name)) => LaneName::new(name).map(End::Stream).map_err(|error| error.to_string()),
        _ => Err("give header24:NAME, lane:NAME, sharesync:NAME or stream:NAME".to_owned()),
    }
}

/// What came of it.
#[derive(Debug, Default, Serialize)]
struct Summary {
    frames: u64,
    bytes: u64,
    /// Copies that an old writer overwrote, and that were made again.
    discarded: u64,
    /// Frames of a lane that were published and not carried, because old readers take only the newest.
    skipped: u64,
    /// Mutexes that were taken from dead holders.
    recovered: u32,
}

impl Bridge {
    pub(crate) fn run(self, output: Output) -> anyhow::Result<ExitCode> {
        stop::on_signals()?;
        let began = Instant::now();
        output.note(format_args!("from {} to {}; Ctrl-C ends it", self.from, self.to));
        let mut work = Work { bridge: &self, news: News::new(output), done: Summary::default() };
        match (&self.from, &self.to) {
            (End::Header24(from), End::Lane(to)) => work.header24_to_lane(from, to)?,
            (End::Lane(from), End::Header24(to)) => work.lane_to_header24(from, to)?,
            (End::ShareSync(from), End::Stream(to)) => work.sharesync_to_stream(from, to)?,
            (End::Stream(from), End::ShareSync(to)) => work.stream_to_sharesync(from, to)?,
            _ => return Err(Usage("header24 goes with lane, sharesync with stream".to_owned()).into()),
        }
        let done = work.done;
        if output.json {
            output.value(&done)?;
        } else {
            let Summary { frames, bytes, discarded, .. } = done;
            let seconds = began.elapsed().as_secs_f64();
            output.line(format_args!(
                "{frames} carried in {seconds:.1} s, {bytes} bytes, {discarded} copies discarded"
            ))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

struct Work<'b> {
    bridge: &'b Bridge,
    news: News,
    done: Summary,
}

impl Work<'_> {
    fn is_over(&self) -> bool {
        stop::requested() || self.bridge.frames.is_some_and(|frames| self.done.frames >= frames)
    }

    fn count(&mut self, bytes: usize) {
        self.news.clear();
        self.done.frames += 1;
        self.done.bytes += bytes as u64;
    }

    /// The lane lives while the old writer may write: its end is the lane's.
    fn header24_to_lane(&mut self, from: &ObjectName, to: &Address) -> anyhow::Result<()> {
        let mut reader = Header24Reader::new(from);
        let mut lane = Lane { address: to.to_string(), producer: None };
        while !self.is_over() {
            match reader.next_into(stop::LOOK, |layout| lane.lend(layout)) {
                Ok(frame) => {
                    let meta = frame.meta();
                    self.done.discarded += u64::from(frame.discarded);
                    lane.publish(frame.pixels, &meta)?;
                    self.count(meta.layout.bytes as usize);
                }
                Err(Stall::Other(error @ Error::Lane(_))) => return Err(error.into()),
                Err(stall) => {
                    let ended = matches!(
                        stall,
                        Stall::Gone { .. }
                            | Stall::HalfFrame { writing: Writing::Impossible, .. }
                            | Stall::Stale { writing: Writing::Impossible, .. }
                    );
                    if ended {
                        lane.producer = None;
                    }
                    if header24::lasts(&stall) {
                        self.news.say(header24::kind(&stall), format_args!("{stall}; waiting"));
                    }
                }
            }
        }
        Ok(())
    }

    /// The object stays while the lane is without a producer, with no frame in it: old readers that have it open go on
    /// when frames come again.
    fn lane_to_header24(&mut self, from: &Address, to: &ObjectName) -> anyhow::Result<()> {
        let options = Header24Options::new().mode(self.bridge.mode);
        let options = if self.bridge.replace { options.replace() } else { options };
        let mut consumer: Option<Consumer> = None;
        let mut writer: Option<Header24Writer> = None;
        while !self.is_over() {
            let source = match &mut consumer {
                Some(consumer) => consumer,
                None => match ConsumerOptions::new()
                    .read(Read::Latest)
                    .patience(stop::LOOK)
                    .open(&from.to_string())
                {
                    Ok(opened) => consumer.insert(opened),
                    Err(error @ camlane::Error::NoSuchLane { .. }) => {
                        self.news.say("absent", format_args!("{error}; waiting"));
                        continue;
                    }
                    Err(error) => return Err(error.into()),
                },
            };
            match source.next(stop::LOOK) {
                Ok(frame) => {
                    self.done.skipped += frame.missed();
                    let (layout, pixels) = old_picture(&frame.meta(), &frame)?;
                    let writer = match &mut writer {
                        Some(writer) => writer,
                        none => none.insert(options.create(to, &layout)?),
                    };
                    writer.publish(&layout, pixels.as_deref().unwrap_or(&frame))?;
                    self.count(layout.bytes as usize);
                }
                Err(WaitError::TimedOut) => {}
                Err(WaitError::Other(error)) => return Err(error.into()),
                Err(ended) => {
                    if let Some(writer) = &mut writer {
                        writer.clear()?;
                    }
                    self.news.say("ended", format_args!("lane {from}: {ended}; waiting"));
                }
            }
        }
        Ok(())
    }

    fn sharesync_to_stream(&mut self, from: &ObjectName, to: &LaneName) -> anyhow::Result<()> {
        let mut writer = StreamWriter::create(to.as_str(), &StreamOptions::new(CAPACITY))?;
        let mut reader: Option<SyncReader> = None;
        let mut bytes = vec![0; CHUNK];
        while !self.is_over() {
            let read = match &mut reader {
                None => SyncReader::open(from, stop::LOOK).map(|opened| reader = Some(opened)).map(|()| 0),
                Some(reader) => reader.read(&mut bytes, stop::LOOK),
            };
            match read {
                Ok(0) => {}
                Ok(count) => {
                    let mut rest = &bytes[..count];
                    while !rest.is_empty() && !stop::requested() {
                        match writer.write(rest, stop::LOOK) {
                            Ok(written) => rest = &rest[written..],
                            Err(WaitError::TimedOut) => {}
                            Err(error) => return Err(error.into()),
                        }
                    }
                    self.count(count - rest.len());
                }
                Err(error) => self.old_stream_stands(error, || match &mut reader {
                    Some(reader) => reader.break_lock(),
                    None => Ok(false),
                })?,
            }
        }
        self.done.recovered = reader.map_or(0, |reader| reader.recovered());
        Ok(())
    }

    fn stream_to_sharesync(&mut self, from: &LaneName, to: &ObjectName) -> anyhow::Result<()> {
        let options = SyncOptions::new().mode(self.bridge.mode);
        let options = if self.bridge.replace { options.replace() } else { options };
        let mut writer: SyncWriter = options.create(to)?;
        let mut reader: Option<StreamReader> = None;
        let mut bytes = vec![0; CHUNK];
        while !self.is_over() {
            let source = match &mut reader {
                Some(reader) => reader,
                none => match StreamReader::open(from.as_str(), stop::LOOK) {
                    Ok(opened) => none.insert(opened),
                    Err(error @ camlane::Error::NoSuchLane { .. }) => {
                        self.news.say("absent", format_args!("{error}; waiting"));
                        continue;
                    }
                    Err(error) => return Err(error.into()),
                },
            };
            match source.read(&mut bytes, stop::LOOK) {
                Ok(count) => {
                    while let Err(error) = writer.write(&bytes[..count], stop::LOOK) {
                        self.old_stream_stands(error, || writer.break_lock())?;
                        if stop::requested() {
                            anyhow::bail!(
                                "{count} bytes were read from stream {from} and could not be written to {to}"
                            );
                        }
                    }
                    self.count(count);
                }
                Err(WaitError::TimedOut) => {}
                Err(WaitError::Other(error)) => return Err(error.into()),
                Err(ended) => {
                    reader = None; // the next writer of the name makes a new stream
                    self.news.say("ended", format_args!("stream {from}: {ended}; waiting"));
                    stop::sleep_until(Instant::now() + stop::LOOK); // a dead writer's stream is still there
                }
            }
        }
        self.done.recovered = writer.recovered();
        Ok(())
    }

    /// Says what an old stream waits for, or gives up if it is not worth waiting for.
    fn old_stream_stands(
        &mut self,
        error: Error,
        break_lock: impl FnOnce() -> Result<bool, Error>,
    ) -> anyhow::Result<()> {
        let kind = match &error {
            Error::TimedOut { .. } => return Ok(()),
            Error::HolderGone { .. } if self.bridge.break_lock => {
                break_lock()?;
                return Ok(());
            }
            Error::HolderGone { .. } => "holder-gone",
            Error::Held { .. } => "held",
            Error::Uninitialised { .. } | Error::TooShort { .. } => "not-ready",
            error if error.is_not_found() => "absent",
            _ => return Err(error.into()),
        };
        self.news.say(kind, format_args!("{error}; waiting"));
        Ok(())
    }
}

/// A lane that is made when its first frame comes, and anew when one does not fit.
struct Lane {
    address: String,
    producer: Option<Producer>,
}

impl Lane {
    fn lend(&mut self, layout: &FrameLayout) -> Result<Loan, Error> {
        if self.producer.as_ref().is_some_and(|producer| producer.shape().slot_size() < layout.bytes) {
            self.producer = None; // two producers cannot have the name at once
        }
        let producer = match &mut self.producer {
            Some(producer) => producer,
            none => none.insert(Producer::create(&self.address, &LaneOptions::for_frames(layout).loans(1))?),
        };
        Ok(producer.loan()?)
    }

    fn publish(&self, loan: Loan, meta: &FrameMeta) -> Result<(), camlane::Error> {
        if let Some(producer) = &self.producer {
            producer.publish(loan, meta)?;
        }
        Ok(())
    }
}

/// The frame as the old header can say it. `None`: it is one as it lies.
fn old_picture(meta: &FrameMeta, payload: &[u8]) -> anyhow::Result<(FrameLayout, Option<Vec<u8>>)> {
    if matches!(meta.layout.format, PixelFormat::GRAY8 | PixelFormat::BGR8 | PixelFormat::BGRA8) {
        return Ok((meta.layout, None));
    }
    let picture = convert::picture(&meta.layout, payload, snapshot::colour(meta))?;
    let (format, pixels) = match picture.pixels {
        Pixels::Gray8(grey) => (PixelFormat::GRAY8, grey),
        Pixels::Gray16(grey) => {
            (PixelFormat::GRAY8, grey.into_iter().map(|grey| (grey >> 8) as u8).collect())
        }
        Pixels::Rgb8(mut rgb) => {
            rgb.chunks_exact_mut(3).for_each(|pixel| pixel.swap(0, 2));
            (PixelFormat::BGR8, rgb)
        }
    };
    Ok((format.layout(picture.width, picture.height, 1)?, Some(pixels)))
}

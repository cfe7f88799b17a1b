//! `camlane publish`: frames from a source into a lane, at the source's pace.

mod camera;
mod outlet;

use core::time::Duration;
use std::process::ExitCode;
use std::time::Instant;

use camlane::legacy::ObjectName;
use camlane::{LaneOptions, PixelFormat, Policy, Sharing};
use clap::Args;
use serde::Serialize;

use self::camera::CameraArgs;
use self::outlet::Outlet;
use crate::commands;
use crate::commands::admission::Admission;
use crate::commands::header24::{self, Publishing, Target};
use crate::output::{self, Output, Status};
use crate::source::{self, Source, SourceError, SourceOptions, Stream};
use crate::stop;

/// A source that falls so many periods behind is not hurried any more: its clock starts anew.
const LATEST: u64 = 10;

/// Publish frames into a lane: a camera, a test picture, images, a video, raw bytes
///
/// SOURCE is one of
///   /dev/videoN, camera:NAME    a camera, by its device or (a part of) its name; `camlane cameras` lists them
///   pattern                     a moving test picture; also as pattern:1920x1080,NV12,60
///   FILE.png, FILE.jpg, FOLDER  images, decoded; with --format JPEG as they are
///   FILE.y4m                    uncompressed video
///   -                           raw frames on standard input; needs --size and --format
///   anything else               a video file or URL that the program ffmpeg can open
#[derive(Debug, Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  camlane publish front-door --from /dev/video0 --size 1280x720 --rate 30
  camlane publish front-door --from 'camera:HD Webcam' --format YUYV --control brightness=140
  camlane publish front-door --from pattern
  camlane publish front-door --from pattern:1920x1080,NV12,60 --seats 16
  camlane publish front-door --from recording.mp4 --repeat
  camlane publish front-door --from photos/ --rate 1 --repeat
  camlane publish front-door --from pattern --sealed --allow-user detector
  ffmpeg -i in.mp4 -f rawvideo -pix_fmt nv12 - | camlane publish front-door --from - --size 1280x720 --format NV12

Ctrl-C ends the stream in good order: readers get what was published and are told. A second one ends at once."
)]
pub(crate) struct Publish {
    /// Name of the lane; sealed:NAME for one that readers cannot harm; file:PATH, sysv:KEY; header24:NAME for an old program's object
    #[arg(value_parser = header24::target)]
    lane: Target,
    /// Where the frames come from
    #[arg(long, value_name = "SOURCE", value_hint = clap::ValueHint::AnyPath)]
    from: String,
    /// Width and height in pixels, as in 1280x720
    #[arg(long, value_parser = commands::size)]
    size: Option<(u32, u32)>,
    /// Frames per second, as in 30 or 30000/1001
    #[arg(long, value_parser = commands::rate)]
    rate: Option<(u32, u32)>,
    /// Pixel format, by camlane's or ffmpeg's name, as in NV12 or rgb24
    #[arg(long, value_parser = commands::format)]
    format: Option<PixelFormat>,
    /// Begin again at the end of the source
    #[arg(long)]
    repeat: bool,
    /// End after so many frames
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    frames: Option<u64>,
    /// Publish nothing until so many consumers are there
    #[arg(long, value_name = "N", default_value_t = 0)]
    wait_for: u32,
    /// Consumers that can be there at once
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=4096), help_heading = "Lane")]
    seats: u32,
    /// Frames that each consumer can hold at once
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=8), help_heading = "Lane")]
    pins: u32,
    /// Newest frames that stay readable: how late a reader of every frame may be
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=60_000), help_heading = "Lane")]
    history: u32,
    /// Begin every row at a multiple of so many bytes (a power of two)
    #[arg(long, value_name = "BYTES", default_value_t = 1, value_parser = commands::power_of_two, help_heading = "Lane")]
    align: u32,
    /// Let the owner's group consume, too
    #[arg(long, conflicts_with = "everyone", help_heading = "Lane")]
    group: bool,
    /// Let the owner's group consume and everybody observe
    #[arg(long, help_heading = "Lane")]
    everyone: bool,
    /// Ask for huge pages behind large slots
    #[arg(long, help_heading = "Lane")]
    huge_pages: bool,
    #[command(flatten)]
    camera: CameraArgs,
    #[command(flatten)]
    admission: Admission,
    /// What follows from it.
    #[arg(skip)]
    policy: Option<Policy>,
}

/// What came of it.
#[derive(Debug, Serialize)]
struct Summary {
    lane: String,
    source: String,
    frames: u64,
    dropped: u64,
    seconds: f64,
    rate: f64,
    /// Times that the lane was made anew because a frame did not fit.
    regrown: u32,
    end: &'static str,
}

impl Summary {
    fn show(&self, output: Output) -> std::io::Result<()> {
        if output.json {
            return output.value(self);
        }
        let Self { frames, dropped, seconds, rate, end, .. } = self;
        output.line(format_args!("{frames} frames in {seconds:.1} s, {rate:.2}/s, {dropped} dropped"))?;
        if *frames == 1 && *end == "source" {
            output.note("the source had one frame and the lane has ended with it; --repeat keeps it up");
        }
        Ok(())
    }
}

impl Publish {
    pub(crate) fn run(mut self, output: Output) -> anyhow::Result<ExitCode> {
        self.policy = self.admission.settle(&mut self.lane, self.group || self.everyone)?;
        if let Target::Header24(name) = &self.lane {
            return self.header24(name).run(output);
        }
        if let Some(name) = source::camera::meant(&self.from) {
            return self.camera(name, output);
        }
        stop::on_signals()?;
        let mut source = match source::open(&self.from, &self.source_options()) {
            Ok(source) => source,
            Err(_) if stop::requested() => return Ok(ExitCode::SUCCESS), // a URL that did not answer yet
            Err(error) => return Err(wrong_source(error)),
        };
        let stream = source.stream().clone();
        let mut outlet = Outlet::open(&self, &stream)?;
        let shape = *outlet.producer()?.shape();
        output.note(format_args!(
            "lane {}: {} {}x{} from {}, {} slots, {} of shared memory; Ctrl-C ends it",
            self.lane,
            stream.layout.format,
            stream.layout.width,
            stream.layout.height,
            stream.name,
            shape.slots(),
            output::bytes(shape.footprint()),
        ));
        let mut report = Report::new(output);
        let waited = self.wait_for_consumers(&outlet);
        let played = if waited { self.play(&mut *source, &mut outlet, &mut report) } else { Ok("stopped") };
        drop(report); // takes its line away
        let summary = outlet.summary(&self.lane, &stream, played.as_ref().unwrap_or(&"failed"));
        drop(outlet); // ends the stream before anybody reads about it
        let shown = summary.show(output);
        played?; // the reason counts more than a summary that nobody reads
        shown?;
        Ok(ExitCode::SUCCESS)
    }

    fn header24<'p>(&'p self, name: &'p ObjectName) -> Publishing<'p> {
        let mode = match (self.group, self.everyone) {
            (_, true) => 0o644,
            (true, _) => 0o640,
            _ => 0o600,
        };
        Publishing { name, from: &self.from, source: self.source_options(), frames: self.frames, mode }
    }

    fn source_options(&self) -> SourceOptions {
        SourceOptions {
            size: self.size,
            rate: self.rate,
            format: self.format,
            row_align: self.align,
            repeat: self.repeat,
            stop: stop::flag(),
        }
    }

    fn lane_options(&self, stream: &Stream, slot_size: u32) -> LaneOptions {
        let mut layout = stream.layout;
        layout.bytes = slot_size;
        let (frames, seconds) = stream.rate.unwrap_or((0, 1));
        let options = LaneOptions::for_frames(&layout)
            .seats(self.seats)
            .pins(self.pins)
            .history(self.history)
            .loans(1)
            .rate(frames, seconds)
            .sharing(match (self.group, self.everyone) {
                (_, true) => Sharing::Everyone,
                (true, _) => Sharing::Group,
                _ => Sharing::Owner,
            });
        let options = if self.huge_pages { options.huge_pages() } else { options };
        match &self.policy {
            Some(policy) => options.policy(policy.clone()),
            None => options,
        }
    }

    /// Waits until enough consumers are there; false if the end was asked for.
    fn wait_for_consumers(&self, outlet: &Outlet) -> bool {
        while outlet.consumers() < self.wait_for as usize {
            if stop::sleep_until(Instant::now() + Duration::from_millis(10)) {
                return false;
            }
        }
        true
    }

    /// Publishes until the source or somebody ends it, and says which.
    fn play(
        &self,
        source: &mut dyn Source,
        outlet: &mut Outlet,
        report: &mut Report,
    ) -> anyhow::Result<&'static str> {
        let Stream { rate, live, .. } = *source.stream();
        let rate = rate.filter(|_| !live);
        let mut pace = Pace { start: Instant::now(), turns: 0 };
        loop {
            if self.frames.is_some_and(|frames| outlet.frames >= frames) {
                return Ok("frames");
            }
            if stop::requested() || rate.is_some_and(|rate| pace.sleep(rate)) {
                return Ok("stopped");
            }
            if !outlet.pass_on(self, source)? {
                return Ok(if stop::requested() { "stopped" } else { "source" });
            }
            report.tick(outlet.start, outlet.frames, outlet.dropped(), outlet.consumers());
        }
    }
}

/// Frames are due at start + n / rate: a late one does not make the next one late.
#[derive(Debug)]
struct Pace {
    start: Instant,
    turns: u64,
}

impl Pace {
    /// Sleeps until the next frame is due; true if the end was asked for.
    fn sleep(&mut self, rate: (u32, u32)) -> bool {
        let due = self.start + commands::moment(self.turns, rate);
        self.turns += 1;
        if Instant::now().saturating_duration_since(due) > commands::moment(LATEST, rate) {
            // A machine that slept, or that cannot keep up, shall not be followed by a burst.
            *self = Self { start: Instant::now(), turns: 1 };
            return stop::requested();
        }
        stop::sleep_until(due)
    }
}

/// One line a second.
#[derive(Debug)]
struct Report {
    status: Status,
    shown: Instant,
    frames: u64,
}

impl Report {
    fn new(output: Output) -> Self {
        Self { status: Status::new(output), shown: Instant::now(), frames: 0 }
    }

    fn tick(&mut self, start: Instant, frames: u64, dropped: u64, consumers: usize) {
        let passed = self.shown.elapsed();
        if passed < Duration::from_secs(1) {
            return;
        }
        let rate = (frames - self.frames) as f64 / passed.as_secs_f64();
        self.status.show(&format!(
            "{:6.1} s  {frames} frames  {rate:.1}/s  {dropped} dropped  {consumers} consumers",
            start.elapsed().as_secs_f64(),
        ));
        (self.shown, self.frames) = (Instant::now(), frames);
    }
}

/// Tells mistakes in the arguments from everything else that can be wrong with a source.
fn wrong_source(error: SourceError) -> anyhow::Error {
    match error {
        SourceError::Unstated(_)
        | SourceError::PatternWord(_)
        | SourceError::NoPattern(..)
        | SourceError::NoRepeat => commands::Usage(error.to_string()).into(),
        error => error.into(),
    }
}

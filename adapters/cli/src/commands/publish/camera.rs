//! A camera into a lane: the driver writes into slots where it can, and the lane outlives a pulled cable.

use core::time::Duration;
use std::collections::VecDeque;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context as _;
use camlane::{CopyKind, Flags, Loan, PauseReason, Producer};
use camlane_v4l2::{
    BackOff, Device, Error, Event, Hotplug, Identity, MemoryPath, Picture, Plan, Refused, Statistics,
    Streaming, Suspends,
};
use clap::Args;
use serde::Serialize;

use super::{Publish, Report};
use crate::commands::header24::Target;
use crate::output::{self, Output};
use crate::source::camera::{Remedy, stream, wish};
use crate::stop;

/// Slots that are with the driver at a time: one that is filled, one that is next, and two for a late wake-up.
const WITH_DRIVER: u32 = 4;

/// How long a camera may give no picture before readers are told, and, after the machine slept, before it is started again;
/// or four times as long as a picture takes, where that is longer.
const SILENCE: Duration = Duration::from_secs(2);

/// What concerns cameras alone.
#[derive(Debug, Args)]
#[command(next_help_heading = "Camera")]
pub(super) struct CameraArgs {
    /// Set a control before the camera starts, as in brightness=128 or power_line_frequency="50 Hz"; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = control)]
    control: Vec<(String, String)>,
    /// How pictures come into the slots, in order of preference: dmabuf, userptr, mmap (which copies)
    #[arg(long, value_name = "PATH", value_delimiter = ',', value_parser = memory)]
    memory: Vec<MemoryPath>,
    /// Do not wait for a camera that was unplugged: end instead
    #[arg(long)]
    no_reconnect: bool,
    /// Run in real time, before all ordinary programs, with this priority (1 to 99)
    #[arg(long, value_name = "PRIORITY", value_parser = clap::value_parser!(u8).range(1..=99))]
    realtime: Option<u8>,
    /// Keep this program's memory from being swapped out
    #[arg(long)]
    lock_memory: bool,
}

fn control(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=').map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()));
    parts
        .filter(|(name, _)| !name.is_empty())
        .ok_or_else(|| "give NAME=VALUE, as in brightness=128".to_owned())
}

fn memory(text: &str) -> Result<MemoryPath, String> {
    MemoryPath::from_name(text).ok_or_else(|| "there are dmabuf, userptr and mmap".to_owned())
}

/// What came of it.
#[derive(Debug, Serialize)]
struct Summary {
    lane: String,
    source: String,
    driver: String,
    memory: &'static str,
    copies_per_frame: u32,
    /// Better ways into memory, and why they were not taken.
    refused_memory: Vec<String>,
    frames: u64,
    /// Lost before they reached a slot, for whatever reason.
    dropped: u64,
    lost_by_driver: u64,
    no_room: u64,
    damaged: u64,
    short: u64,
    empty: u64,
    refused_buffers: u64,
    disconnects: u32,
    restarts: u32,
    format_changes: u32,
    seconds: f64,
    rate: f64,
    end: &'static str,
}

/// The camera's side of the lane, over all that happens to the camera.
struct Session<'p> {
    publish: &'p Publish,
    args: &'p CameraArgs,
    output: Output,
    name: &'p str,
    identity: Option<Identity>,
    /// The cameras that were there besides, of which none is ever taken for this one.
    others: Vec<Identity>,
    /// The lane, and the picture that it was made for.
    lane: Option<(Producer, Picture)>,
    /// Why no frames come, if readers were told.
    paused: Option<PauseReason>,
    suspends: Suspends,
    /// The machine slept since the newest frame.
    slept: bool,
    start: Instant,
    frames: u64,
    dropped_before: u64,
    /// Of streams that ended.
    before: Statistics,
    memory: MemoryPath,
    refused: Vec<String>,
    source: String,
    disconnects: u32,
    restarts: u32,
    format_changes: u32,
}

/// Why a stream ended.
enum End {
    /// Everything ends.
    All(&'static str),
    /// The camera, which is here, gets another picture.
    Changed(Option<Device>),
    /// The machine slept, and the camera gives nothing since.
    Slept,
    /// The camera failed.
    Failed(Error),
}

impl Publish {
    /// Publishes a camera until it, or somebody, ends that.
    pub(super) fn camera(&self, name: &str, output: Output) -> anyhow::Result<ExitCode> {
        let args = &self.camera;
        stop::on_signals()?;
        if args.lock_memory {
            camlane_v4l2::lock_memory()
                .context("--lock-memory: run as root, or raise `ulimit -l` (LimitMEMLOCK= of systemd)")?;
        }
        let mut session = Session {
            publish: self,
            args,
            output,
            name,
            identity: None,
            others: Vec::new(),
            lane: None,
            paused: None,
            suspends: Suspends::new(),
            slept: false,
            start: Instant::now(),
            frames: 0,
            dropped_before: 0,
            before: Statistics::default(),
            memory: MemoryPath::Mmap,
            refused: Vec::new(),
            source: name.to_owned(),
            disconnects: 0,
            restarts: 0,
            format_changes: 0,
        };
        let mut report = Report::new(output);
        let played = session.run(&mut report);
        drop(report); // takes its line away
        let summary = session.summary(played.as_ref().unwrap_or(&"failed"));
        drop(session); // ends the stream before anybody reads about it
        let shown = summary.show(output);
        played?; // the reason counts more than a summary that nobody reads
        shown?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Session<'_> {
    /// Opens, streams, and does so again for as long as there is hope; returns what ended it.
    fn run(&mut self, report: &mut Report) -> anyhow::Result<&'static str> {
        let mut here = None;
        let mut back_off = BackOff::default();
        let mut hotplug = None;
        loop {
            let frames = self.frames;
            let ended = match here.take().map_or_else(|| self.open(), Ok) {
                Ok(device) => self.stream(device, report)?,
                Err(error) => End::Failed(error),
            };
            if self.frames > frames {
                back_off = BackOff::default(); // it worked
            }
            let error = match ended {
                End::All(end) => return Ok(end),
                End::Changed(device) => {
                    self.format_changes += 1;
                    here = device;
                    continue;
                }
                End::Slept => {
                    self.restarts += 1;
                    self.tell(PauseReason::SUSPENDED, None);
                    report.status.say(format_args!(
                        "camlane: the machine slept, and the camera gives nothing since: it is started again"
                    ));
                    continue;
                }
                End::Failed(error) => error,
            };
            let remedy = Remedy::against(&error);
            let first = self.identity.is_none();
            if first || self.args.no_reconnect || remedy == Remedy::GiveUp {
                return Err(error.into());
            }
            let (reason, errno) = Remedy::reason(&error);
            self.slept |= self.suspends.happened();
            let reason = if self.slept { PauseReason::SUSPENDED } else { reason };
            let is_news = self.frames > frames || self.paused != Some(reason);
            self.tell(reason, errno);
            match remedy {
                Remedy::Wait if self.frames > frames => self.disconnects += 1,
                Remedy::Restart => self.restarts += 1,
                _ => {}
            }
            if self.frames > frames || (remedy == Remedy::Restart && is_news) {
                report
                    .status
                    .say(format_args!("camlane: {error}; the lane stays, and goes on when the camera does"));
            }
            let wait = back_off.next_wait();
            if hotplug.is_none() && remedy == Remedy::Wait {
                hotplug =
                    Hotplug::new().inspect_err(|error| log::warn!("looking now and then: {error}")).ok();
            }
            if self.pause(wait, hotplug.as_ref().filter(|_| remedy == Remedy::Wait)) {
                return Ok("stopped");
            }
        }
    }

    /// Tells readers why no frames come, from now until the next one.
    fn tell(&mut self, reason: PauseReason, errno: Option<i32>) {
        if let Some((producer, _)) = &self.lane {
            producer.pause(reason, errno);
            self.paused = Some(reason);
        }
    }

    /// Sleeps, or until a device appears; true if the end was asked for.
    fn pause(&self, wait: Duration, hotplug: Option<&Hotplug>) -> bool {
        let deadline = Instant::now() + wait;
        while let Some(hotplug) = hotplug {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || stop::requested() {
                return stop::requested();
            }
            match hotplug.wait(left.min(stop::LOOK)) {
                Ok(true) => return stop::sleep_until(Instant::now() + Remedy::LEAST), // its group comes a little later
                Ok(false) => {}
                Err(_) => break,
            }
        }
        stop::sleep_until(deadline)
    }

    /// Opens the camera, or the same one again under whatever number it has now.
    fn open(&mut self) -> Result<Device, Error> {
        let path = match &self.identity {
            None => camlane_v4l2::find(self.name)?,
            Some(known) => known.find_again(&self.others).ok_or_else(|| Error::NoSuchCamera {
                wanted: known.name.clone(),
                cameras: self.others.iter().map(|other| other.name.clone()).collect(),
            })?,
        };
        let device = Device::open(path)?;
        Ok(device)
    }

    /// Sets the camera, makes a lane if its picture needs another, and publishes until something happens.
    fn stream(&mut self, mut device: Device, report: &mut Report) -> anyhow::Result<End> {
        for (name, value) in &self.args.control {
            match device.set_control(name, value) {
                Ok(_) => {}
                Err(error @ (Error::NoControl { .. } | Error::ControlValue { .. })) => {
                    return Err(crate::commands::Usage(error.to_string()).into());
                }
                Err(error) => return Ok(End::Failed(error)),
            }
        }
        let picture = match device.configure(&wish(&self.publish.source_options())) {
            Ok(picture) => picture,
            Err(error) => return Ok(End::Failed(error)),
        };
        let described = stream(&device, &picture);
        self.source.clone_from(&described.name);
        if self.lane.as_ref().is_none_or(|(_, old)| old.layout != picture.layout) {
            self.make_lane(&described, picture)?;
        }
        let producer = self.producer()?;
        let loans = (0..WITH_DRIVER).map(|_| producer.loan()).collect::<Result<Vec<_>, _>>()?;
        let identity = device.identity().clone();
        let mut camera = match device.stream(picture, &self.plan(), loans) {
            Ok(camera) => camera,
            Err(failed) => return Ok(End::Failed(self.explained(failed.error))),
        };
        if self.identity.is_none() {
            let all = camlane_v4l2::cameras().into_iter().map(|found| found.identity);
            self.others = all.filter(|other| *other != identity).collect();
            self.say_begin(&camera);
            if let Some(priority) = self.args.realtime {
                camlane_v4l2::run_in_real_time(priority)
                    .context("--realtime: run as root, or raise `ulimit -r` (LimitRTPRIO= of systemd)")?;
            }
        }
        self.identity = Some(identity);
        self.memory = camera.memory();
        self.refused = camera.refused().iter().map(|reason| self.why(reason)).collect();
        let ended = self.play(&mut camera, report);
        self.count(camera.statistics());
        Ok(match ended? {
            End::Changed(_) => End::Changed(camera.stop().device),
            other => other,
        })
    }

    /// Says of memory without dma-bufs why it has none: that is the lane's matter, which a camera knows nothing of.
    fn why(&self, reason: &str) -> String {
        if !reason.contains(camlane_v4l2::NO_DMA_BUF) {
            return reason.to_owned();
        }
        match self.lane.as_ref().map(|(producer, _)| (producer.address().socket(), producer.no_dma_bufs())) {
            Some((Some(_), Some(error))) => format!("{reason}: {error}"),
            _ => format!("{reason}, because it has a name: publish sealed:NAME instead"),
        }
    }

    fn explained(&self, error: Error) -> Error {
        match error {
            Error::NoMemoryPath { device, tried } => {
                Error::NoMemoryPath { device, tried: tried.iter().map(|reason| self.why(reason)).collect() }
            }
            other => other,
        }
    }

    fn plan(&self) -> Plan {
        let memory = match self.args.memory.as_slice() {
            [] => MemoryPath::ALL.to_vec(),
            some => some.to_vec(),
        };
        let slots = self.lane.as_ref().map_or(WITH_DRIVER, |(producer, _)| producer.shape().slots());
        Plan {
            memory,
            buffers: slots,
            mmap_buffers: WITH_DRIVER,
            copy: |to, from| camlane::copy::copy(to, from, CopyKind::for_len(from.len())),
        }
    }

    fn make_lane(&mut self, described: &crate::source::Stream, picture: Picture) -> anyhow::Result<()> {
        self.dropped_before = self.dropped();
        // Two producers cannot have the name at once, so there is no lane for a moment.
        let again = self.lane.take().is_some();
        if again {
            let layout = picture.layout;
            self.output.note(format_args!(
                "camlane: the camera now gives {} {}x{}",
                layout.format, layout.width, layout.height
            ));
        }
        let options = self.publish.lane_options(described, picture.slot_bytes).loans(WITH_DRIVER + 1);
        let options = match self.publish.lane {
            Target::Lane(ref address) if address.socket().is_some() => {
                options.dma_bufs(picture.part_offsets())
            }
            _ => options,
        };
        let producer = Producer::create(&self.publish.lane.to_string(), &options)?;
        if let Some(error) = producer.no_dma_bufs() {
            log::info!("the slots have no dma-bufs: {error}");
        }
        (self.lane, self.paused) = (Some((producer, picture)), None);
        while !again && self.producer()?.consumers().len() < self.publish.wait_for as usize {
            if stop::sleep_until(Instant::now() + Duration::from_millis(10)) {
                break;
            }
        }
        Ok(())
    }

    fn say_begin(&self, camera: &Streaming<Loan>) {
        let (picture, copies) = (camera.picture(), camera.memory().copies());
        let shape = self.lane.as_ref().map(|(producer, _)| *producer.shape());
        self.output.note(format_args!(
            "lane {}: {} {}x{} {} from {}, by {} ({}), {} slots, {} of shared memory; Ctrl-C ends it",
            self.publish.lane,
            picture.layout.format,
            picture.layout.width,
            picture.layout.height,
            output::rate(picture.rate.unwrap_or((0, 1))),
            self.source,
            camera.memory(),
            if copies == 0 { "no copy".to_owned() } else { format!("{copies} copy per frame") },
            shape.map_or(0, |shape| shape.slots()),
            output::bytes(shape.map_or(0, |shape| shape.footprint())),
        ));
        for reason in camera.refused() {
            log::info!("not by {}", self.why(reason));
        }
    }

    fn producer(&self) -> anyhow::Result<&Producer> {
        self.lane.as_ref().map(|(producer, _)| producer).context("the lane could not be made")
    }

    /// Publishes frame by frame.
    fn play(&mut self, camera: &mut Streaming<Loan>, report: &mut Report) -> anyhow::Result<End> {
        let mut lost = 0;
        let mut refused = VecDeque::new();
        let (frames, seconds) = camera.picture().rate.unwrap_or((30, 1));
        let silence = SILENCE.max(4 * Duration::from_secs(seconds.into()) / frames.max(1));
        let mut last = Instant::now();
        loop {
            if self.publish.frames.is_some_and(|most| self.frames >= most) {
                return Ok(End::All("frames"));
            }
            if stop::requested() {
                return Ok(End::All("stopped"));
            }
            while camera.loans() < WITH_DRIVER as usize {
                let Ok(loan) = self.producer()?.loan() else { break };
                match camera.queue(loan) {
                    Ok(()) => refused.clear(),
                    // Once is an accident, and the driver has others; without any there is no frame to try again at.
                    Err(Refused { error, .. }) => {
                        refused.push_back(error);
                        break;
                    }
                }
            }
            if refused.len() > WITH_DRIVER as usize
                && let Some(error) = refused.pop_back()
            {
                return Ok(End::Failed(match error {
                    // It took such buffers until now.
                    Error::System { device, operation, .. } => Error::StreamBroken { device, operation },
                    other => other,
                }));
            }
            let frame = match camera.dequeue(stop::LOOK) {
                Ok(Event::Frame(frame)) => frame,
                Ok(Event::SourceChanged) => return Ok(End::Changed(None)),
                Ok(Event::EndOfStream) => return Ok(End::All("source")),
                Ok(_) => {
                    report.tick(self.start, self.frames, self.dropped(), self.consumers());
                    if self.suspends.happened() {
                        (self.slept, last) = (true, Instant::now());
                    }
                    if last.elapsed() >= silence {
                        if self.slept {
                            return Ok(End::Slept);
                        }
                        if self.paused.is_none() {
                            self.tell(PauseReason::SILENT, None);
                        }
                    }
                    continue;
                }
                Err(error) => return Ok(End::Failed(error)),
            };
            let told = camera.statistics();
            let all = told.lost_by_driver + told.no_room + told.empty;
            let producer = self.producer()?;
            producer.count_dropped((all - lost) as u32);
            let mut meta = frame.meta;
            if self.paused.is_some() {
                meta.flags |= Flags::DISCONTINUITY;
                producer.resume();
            }
            producer.publish(frame.loan, &meta)?;
            (lost, self.frames) = (all, self.frames + 1);
            (self.paused, self.slept, last) = (None, false, Instant::now());
            report.tick(self.start, self.frames, self.dropped(), self.consumers());
        }
    }

    fn count(&mut self, told: Statistics) {
        let before = &mut self.before;
        before.lost_by_driver += told.lost_by_driver;
        before.no_room += told.no_room;
        before.damaged += told.damaged;
        before.short += told.short;
        before.empty += told.empty;
        before.refused += told.refused;
    }

    fn dropped(&self) -> u64 {
        self.dropped_before + self.lane.as_ref().map_or(0, |(producer, _)| producer.dropped().into())
    }

    fn consumers(&self) -> usize {
        self.lane.as_ref().map_or(0, |(producer, _)| producer.consumers().len())
    }

    fn summary(&self, end: &'static str) -> Summary {
        let seconds = self.start.elapsed().as_secs_f64();
        Summary {
            lane: self.publish.lane.to_string(),
            source: self.source.clone(),
            driver: self.identity.as_ref().map_or_else(String::new, |identity| identity.driver.clone()),
            memory: self.memory.name(),
            copies_per_frame: self.memory.copies(),
            refused_memory: self.refused.clone(),
            frames: self.frames,
            dropped: self.dropped(),
            lost_by_driver: self.before.lost_by_driver,
            no_room: self.before.no_room,
            damaged: self.before.damaged,
            short: self.before.short,
            empty: self.before.empty,
            refused_buffers: self.before.refused,
            disconnects: self.disconnects,
            restarts: self.restarts,
            format_changes: self.format_changes,
            seconds,
            rate: self.frames as f64 / seconds.max(1e-9),
            end,
        }
    }
}

impl Summary {
    fn show(&self, output: Output) -> std::io::Result<()> {
        if output.json {
            return output.value(self);
        }
        let Self { frames, seconds, rate, memory, lost_by_driver, damaged, .. } = self;
        output.line(format_args!(
            "{frames} frames in {seconds:.1} s, {rate:.2}/s, by {memory}; {lost_by_driver} lost by the driver, {damaged} damaged, \
             {} dropped in all",
            self.dropped
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::plain("brightness=128", Some(("brightness", "128")))]
    #[case::with_spaces("power_line_frequency = 50 Hz", Some(("power_line_frequency", "50 Hz")))]
    #[case::a_button("reset=", Some(("reset", "")))]
    #[case::no_value("brightness", None)]
    #[case::no_name("=1", None)]
    fn a_control_is_a_name_and_a_value(#[case] text: &str, #[case] expected: Option<(&str, &str)>) {
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(control(text).ok(), expected);
    }
}

//! `camlane demo`: four processes, a consumer that is killed, a producer that is killed, and what came of it.

mod message;
mod stage;
mod verdict;
mod worker;

use core::time::Duration;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context as _;
use camlane::{Health, LaneStatus, PixelFormat};
use clap::Args;

use self::message::{Order, Seen};
use self::stage::{Index, Stage};
use self::verdict::{Kill, Restart, Take, Verdict};
use crate::output::Output;
use crate::{commands, stop};

pub(crate) use self::worker::Worker;

/// One for each consumer: the one that replaces a dead one must get the dead one's.
const SEATS: u32 = 3;
/// Frames that a reader of every frame may be late. With this a 1280x720 lane and its successor fit the 64 MiB of
/// shared memory that a container has.
const HISTORY: u32 = 8;
/// Frames that each consumer has checked at least, of each producer, before the demo goes on.
const ENOUGH: u64 = 5;
/// The second producer's first picture.
const SECOND: u64 = 1_000_000;
/// Signal 9 cannot be caught.
const SIGKILL: i32 = 9;

/// Show camlane at work: four processes, two crashes, every byte checked
///
/// One producer process and three consumer processes share a lane of test pictures. One consumer reads every frame,
/// one is slow, one is killed with -9 while it holds a frame, and replaced. Then the producer is killed with -9 and
/// started again. Every consumer compares every byte of every frame, measures the time from publish to frame in hand,
/// and checks that the bytes lie in the lane's own memory.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  camlane demo
  camlane demo --size 1920x1080 --rate 30 --format NV12
  camlane demo --seconds 60 --json > demo.json

Exit status 0 only if no frame was torn, none was copied, every number is accounted for, every slot and seat came
back, and nothing is left in /dev/shm.")]
pub(crate) struct Demo {
    /// Width and height in pixels
    #[arg(long, default_value = "1280x720", value_parser = commands::size)]
    size: (u32, u32),
    /// Frames per second
    #[arg(long, default_value = "60", value_parser = commands::rate)]
    rate: (u32, u32),
    /// How long to publish, in seconds
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    seconds: u32,
    /// Pixel format, by camlane's or ffmpeg's name
    #[arg(long, default_value = "YUYV", value_parser = commands::format)]
    format: PixelFormat,
}

impl Demo {
    pub(crate) fn run(self, output: Output) -> anyhow::Result<ExitCode> {
        let (width, height) = self.size;
        let layout = self.format.layout(width, height, 64).ok().filter(crate::pattern::supports);
        let Some(layout) = layout else {
            let wrong = format!(
                "no test picture in {} at {width}x{height}: choose a raw format, 40x8 or more",
                self.format
            );
            return Err(commands::Usage(wrong).into());
        };
        stop::on_signals()?;
        let descriptors = message::descriptors();
        let lane = format!("demo-{}", std::process::id());
        output.note(format_args!(
            "lane {lane}: {} {width}x{height}, {} bytes a frame, {} frames/s, {} s",
            self.format,
            layout.bytes,
            crate::output::rate(self.rate),
            self.seconds
        ));
        let limit = Duration::from_secs(60 + 4 * u64::from(self.seconds));
        let mut stage = Stage::new(&lane, limit, output);
        let take = self.perform(&lane, &mut stage);
        drop(stage);
        let verdict =
            Verdict::new(&self, &lane, layout.bytes, take?, message::descriptors().abs_diff(descriptors));
        verdict.show(output)?;
        Ok(if verdict.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn start_producer(&self, stage: &mut Stage, name: &'static str, first: u64) -> anyhow::Result<Index> {
        let size = format!("{}x{}", self.size.0, self.size.1);
        let format = self.format.to_string();
        let part = ["produce", "--size", &size, "--format", &format, "--first", &first.to_string()];
        let producer = stage.start(name, self.rate, &part.map(ToOwned::to_owned))?;
        stage.until("the lane", |actors| actors[producer].ready)?;
        Ok(producer)
    }

    fn start_consumer(&self, stage: &mut Stage, name: &'static str, part: &str) -> anyhow::Result<Index> {
        stage.start(name, self.rate, &["consume", part].map(ToOwned::to_owned))
    }

    /// Plays the four acts.
    fn perform(&self, lane: &str, stage: &mut Stage) -> anyhow::Result<Take> {
        let producer = self.start_producer(stage, "producer", 0)?;
        let every = self.start_consumer(stage, "every", "every")?;
        let slow = self.start_consumer(stage, "slow", "slow")?;
        let latest = self.start_consumer(stage, "latest", "latest")?;
        let begun = Instant::now();
        let passed = |part: u32| begun.elapsed() >= Duration::from_secs(self.seconds.into()) * part / 3;
        stage.until("the first frames", |actors| {
            passed(1) && [every, slow, latest].iter().all(|&who| actors[who].frames >= ENOUGH)
        })?;

        let (latest_again, kill) = self.kill_a_consumer(lane, stage, latest)?;
        stage.until("the frames of the new consumer", |actors| {
            passed(2) && actors[latest_again].frames >= ENOUGH
        })?;

        let consumers = [every, slow, latest_again];
        let (second, restart) = self.kill_the_producer(lane, stage, producer, &consumers)?;
        stage.until("the frames of the new producer", |actors| {
            passed(3)
                && consumers.iter().all(|&who| actors[who].run == 2 && actors[who].frames_of_run >= ENOUGH)
        })?;

        let seconds = begun.elapsed().as_secs_f64();
        stage.order(second, Order::Pause)?;
        stage.until("the last frame", |actors| actors[second].paused.is_some())?;
        let mut ended_well = true;
        for who in consumers {
            stage.order(who, Order::Leave)?;
        }
        for who in consumers {
            ended_well &= stage.reap(who)?;
        }
        stage.order(second, Order::Audit)?;
        stage.until("the count of the slots", |actors| actors[second].audit.is_some())?;
        stage.order(second, Order::Leave)?;
        ended_well &= stage.reap(second)?;

        let seen = |who: Index| -> anyhow::Result<Seen> {
            stage.actors[who].seen.clone().with_context(|| format!("{} said nothing", stage.actors[who].name))
        };
        Ok(Take {
            seconds,
            every: seen(every)?,
            slow: seen(slow)?,
            killed: seen(latest)?,
            latest: seen(latest_again)?,
            second: stage.actors[second].published.clone().context("the producer said nothing")?,
            audit: stage.actors[second].audit.context("the producer did not count")?,
            kill,
            restart,
            ended_well,
            // The lock file outlives every producer of a name on purpose; the stage removes it when it falls.
            objects: objects(lane).into_iter().filter(|name| !name.ends_with(".lock")).collect(),
        })
    }

    /// Kills a consumer while it holds a frame and puts another in its place.
    fn kill_a_consumer(&self, lane: &str, stage: &mut Stage, who: Index) -> anyhow::Result<(Index, Kill)> {
        stage.order(who, Order::Hold)?;
        stage.until("a frame that is held", |actors| actors[who].holding.is_some())?;
        let (dead, frame) = (stage.actors[who].pid(), stage.actors[who].holding.unwrap_or(0));
        let killed = Instant::now();
        let signal = stage.kill(who)?;
        stage.say(&format!("killed consumer 'latest' (process {dead}) with -9 while it held frame {frame}"));
        let again = self.start_consumer(stage, "latest", "latest")?;
        let (mut seat_free, mut first_frame) = (None, None);
        stage.until("the seat of the killed consumer", |actors| {
            if seat_free.is_none() && !sits(lane, dead) {
                seat_free = Some(killed.elapsed());
            }
            if first_frame.is_none() && actors[again].frames > 0 {
                first_frame = Some(killed.elapsed());
            }
            seat_free.is_some() && first_frame.is_some()
        })?;
        let (seat_free, first_frame) = (seat_free.unwrap_or_default(), first_frame.unwrap_or_default());
        stage.say(&format!(
            "its seat was free after {seat_free:.1?}; its successor had a frame after {first_frame:.1?}"
        ));
        let kill = Kill {
            process: dead,
            held_frame: frame,
            signal: signal.unwrap_or(0),
            seat_free_ns: seat_free.as_nanos() as u64,
            successor_first_frame_ns: first_frame.as_nanos() as u64,
        };
        Ok((again, kill))
    }

    /// Kills the producer and starts another. The consumers find it by themselves.
    fn kill_the_producer(
        &self,
        lane: &str,
        stage: &mut Stage,
        who: Index,
        consumers: &[Index],
    ) -> anyhow::Result<(Index, Restart)> {
        let killed = Instant::now();
        let dead = stage.actors[who].pid();
        let signal = stage.kill(who)?;
        // The dead producer counts no more, but its object does: every frame that was published is in there.
        let left = LaneStatus::of(lane)?;
        let published = left.lane.as_ref().map_or(0, |lane| u64::from(lane.published));
        stage.say(&format!("killed the producer (process {dead}) with -9 after {published} frames"));
        let second = self.start_producer(stage, "producer", SECOND)?;
        let ready = killed.elapsed();
        stage.until("the consumers at the new producer", |actors| {
            consumers.iter().all(|&who| actors[who].run == 2)
        })?;
        let resumed = killed.elapsed();
        stage.say(&format!(
            "it was started again after {ready:.1?}; all consumers followed within {resumed:.1?}"
        ));
        let restart = Restart {
            process: dead,
            signal: signal.unwrap_or(0),
            published_before: published,
            found_dead: left.health == Health::Stale,
            ready_ns: ready.as_nanos() as u64,
            resumed_ns: resumed.as_nanos() as u64,
        };
        Ok((second, restart))
    }
}

/// Tells whether a process is in a seat of the lane.
fn sits(lane: &str, process: u32) -> bool {
    let seats = LaneStatus::of(lane).ok().and_then(|status| status.lane).and_then(|lane| lane.seats);
    seats.is_none_or(|seats| seats.iter().any(|seat| seat.pid == process))
}

/// What /dev/shm has of the lane.
fn objects(lane: &str) -> Vec<String> {
    let prefix = format!("camlane.{lane}.");
    let entries = std::fs::read_dir("/dev/shm").into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| name.starts_with(&prefix)).collect()
}

//! What is measured: suites of probes, and which figures are taken from each.

use camlane_measure::limits::Effort;
use clap::ValueEnum;
use serde::Serialize;

use super::crew::{Conditions, Outcome, attach, measure};
use super::job::{Fill, Job, Pace, Size, Waiting, Way};

/// A part of the bench.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Suite {
    /// What the machine itself can do
    Limits,
    /// Lending and publishing, by seats and by size
    Publish,
    /// From publish to the reader's first bytes, reader awake
    Polling,
    /// The same, reader asleep
    Asleep,
    /// A camera at 30 and 60 frames a second
    Steady,
    /// From opening a lane to its first frame
    Attach,
    /// Whole frames copied in and read
    Throughput,
}

impl Suite {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Limits => "limits",
            Self::Publish => "publish",
            Self::Polling => "polling",
            Self::Asleep => "asleep",
            Self::Steady => "steady",
            Self::Attach => "attach",
            Self::Throughput => "throughput",
        }
    }

    pub(super) const fn about(self) -> &'static str {
        match self {
            Self::Limits => "what the machine itself can do: cache line, fence, futex, copies, page faults",
            Self::Publish => {
                "loan + publish without filling, by number of seats (each silent, or changing its pin for every frame), and by frame size; borrow + release"
            }
            Self::Polling => {
                "from a stamp before publish until another process has read the first bytes, polling"
            }
            Self::Asleep => {
                "the same with 1, 2 and 4 processes asleep in the kernel; what waking costs the producer"
            }
            Self::Steady => {
                "a source of 30 and 60 frames/s: latency and processor time per frame, sleeping and with the adaptive wait"
            }
            Self::Attach => "from before opening a lane until its first frame's first bytes are read",
            Self::Throughput => {
                "frames per second, each copied in whole and every cache line of it read (or none), by size and kind of copy"
            }
        }
    }
}

/// How many samples are taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Amount {
    quick: bool,
    scale: f64,
}

impl Amount {
    pub(super) const fn new(quick: bool, scale: f64) -> Self {
        Self { quick, scale }
    }

    /// Samples of one probe in one round; never so few that nothing can be said.
    fn of(self, quick: u32, full: u32) -> u32 {
        let amount = f64::from(if self.quick { quick } else { full }) * self.scale;
        (amount as u32).max(10)
    }

    pub(super) fn limits(self) -> Effort {
        let Effort { trips, wakes, copy_bytes, touch_bytes } =
            if self.quick { Effort::QUICK } else { Effort::FULL };
        let scaled = |amount: f64, least: f64| (amount * self.scale).max(least);
        Effort {
            trips: scaled(trips.into(), 100.0) as u32,
            wakes: scaled(wakes.into(), 10.0) as u32,
            copy_bytes: scaled(copy_bytes as f64, 1.0) as u64,
            touch_bytes: scaled(touch_bytes as f64, (1 << 20) as f64) as usize,
        }
    }
}

/// What a figure is taken from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Of {
    Held,
    Touched,
    Publish,
    Borrow,
    Attach,
    /// Frames per second.
    Rate,
    ProducerCpu,
    ConsumerCpu,
}

/// One figure.
#[derive(Clone, Debug)]
pub(super) struct Take {
    pub(super) of: Of,
    pub(super) id: String,
    pub(super) what: String,
    /// The figure to compare it with.
    pub(super) against: Option<String>,
}

#[derive(Clone, Copy, Debug)]
enum Work {
    Send(Job),
    Attach { job: Job, times: u32, populate: bool },
}

/// One measurement and the figures taken from it.
#[derive(Clone, Debug)]
pub(super) struct Probe {
    pub(super) suite: Suite,
    pub(super) name: String,
    work: Work,
    pub(super) takes: Vec<Take>,
}

impl Probe {
    fn new(suite: Suite, name: impl Into<String>, job: Job) -> Self {
        Self { suite, name: name.into(), work: Work::Send(job), takes: Vec::new() }
    }

    /// Takes a figure, to be compared with another.
    fn take(mut self, of: Of, id: impl Into<String>, what: impl Into<String>, against: &str) -> Self {
        let against = (!against.is_empty()).then(|| against.to_owned());
        self.takes.push(Take { of, id: id.into(), what: what.into(), against });
        self
    }

    pub(super) fn run(&self, conditions: &Conditions) -> anyhow::Result<Outcome> {
        match self.work {
            Work::Send(job) => measure(conditions, job),
            Work::Attach { job, times, populate } => attach(conditions, job, times, populate),
        }
    }
}

/// All probes of some suites. What is compared stands together, so that it is measured together.
pub(super) fn probes(suites: &[Suite], amount: Amount) -> Vec<Probe> {
    let mut suites = suites.to_vec();
    suites.sort_unstable();
    suites.dedup();
    let of = |suite: &Suite| match suite {
        Suite::Limits => Vec::new(), // once, not in rounds
        Suite::Publish => publish(amount),
        Suite::Polling => polling(amount),
        Suite::Asleep => asleep(amount),
        Suite::Steady => steady(amount),
        Suite::Attach => attaching(amount),
        Suite::Throughput => throughput(amount),
    };
    suites.iter().flat_map(of).collect()
}

/// Numbers of seats that the cost of publishing is shown for.
pub(super) const SEATS: [u32; 5] = [0, 1, 4, 16, 64];

fn publish(amount: Amount) -> Vec<Probe> {
    let base = Job { from_loan: true, ..Job::new(Way::Lane, Size::Page, amount.of(20_000, 200_000)) };
    let mut probes = Vec::new();
    for (key, words, time_given) in [("silent", "", false), ("given", ", publish time given", true)] {
        for readers in SEATS {
            let seats = readers.max(1);
            let crowd = readers > 0;
            let job = Job { readers, seats, crowd, time_given, pace: Pace::Free, ..base };
            let (id, none) = (format!("publish.{key}.{readers}"), format!("publish.{key}.0"));
            let what = format!("loan + publish, {readers} silent readers{words}");
            let against = if readers > 0 { &none } else { "" };
            probes.push(Probe::new(Suite::Publish, &what, job).take(Of::Publish, id, what, against));
        }
    }
    for readers in SEATS.into_iter().filter(|&readers| readers > 0) {
        let frames = amount.of(1_000, 10_000);
        let pace = Pace::After { micros: 2 };
        let busy = Job { readers, seats: readers, crowd: true, pace, frames, ..base };
        let id = format!("publish.changing.{readers}");
        let what = format!("loan + publish, {readers} readers changing pins");
        let against = if readers > 1 { "publish.changing.1" } else { "" };
        probes.push(Probe::new(Suite::Publish, &what, busy).take(Of::Publish, id, what, against));
    }
    for size in Size::PICTURES {
        let frames = amount.of(1_000, 10_000);
        let pace = Pace::After { micros: 2 };
        let job = Job { readers: 1, crowd: true, pace, frames, size, ..base };
        let name = size.name();
        let [publish, borrow] =
            ["publish.size.VGA", "borrow.size.VGA"].map(|id| if size == Size::Vga { "" } else { id });
        let probe = Probe::new(Suite::Publish, format!("publish and borrow, {name}"), job)
            .take(
                Of::Publish,
                format!("publish.size.{name}"),
                format!("loan + publish, {name} frames"),
                publish,
            )
            .take(
                Of::Borrow,
                format!("borrow.size.{name}"),
                format!("borrow + release, {name} frames"),
                borrow,
            );
        probes.push(probe);
    }
    probes
}

fn polling(amount: Amount) -> Vec<Probe> {
    let frames = amount.of(4_000, 20_000);
    let probe = |name: &str, way, size, wait| {
        Probe::new(Suite::Polling, name, Job { wait, ..Job::new(way, size, frames) })
    };
    let mut probes = vec![probe("cache line", Way::Line, Size::Page, Waiting::Poll).take(
        Of::Touched,
        "polling.line",
        "a cache line that carries the stamp",
        "",
    )];
    for size in Size::PICTURES {
        let name = size.name();
        let ring = format!("polling.ring.{name}");
        probes.push(probe(&format!("raw ring, {name}"), Way::Ring, size, Waiting::Poll).take(
            Of::Touched,
            &ring,
            format!("raw ring without safety, {name}"),
            "polling.line",
        ));
        let lane = probe(&format!("polling, {name}"), Way::Lane, size, Waiting::Poll)
            .take(
                Of::Held,
                format!("polling.held.{name}"),
                format!("camlane, frame held, {name}"),
                "polling.line",
            )
            .take(
                Of::Touched,
                format!("polling.lane.{name}"),
                format!("camlane, first bytes read, {name}"),
                "polling.line",
            )
            .take(
                Of::Publish,
                format!("polling.publish.{name}"),
                format!("publish while one reader polls, {name}"),
                "",
            );
        probes.push(lane);
    }
    probes.push(probe("spinning wait, FHD", Way::Lane, Size::Fhd, Waiting::Spin).take(
        Of::Touched,
        "polling.spin.FHD",
        "camlane, `next` with the spinning wait, FHD",
        "polling.line",
    ));
    probes
}

fn asleep(amount: Amount) -> Vec<Probe> {
    let job = |way, readers, seats| Job {
        readers,
        seats,
        wait: Waiting::Sleep,
        pace: Pace::After { micros: 300 },
        ..Job::new(way, Size::Fhd, amount.of(200, 1_500))
    };
    let mut probes = Vec::new();
    for readers in [1, 2, 4] {
        let ring = format!("asleep.futex.{readers}");
        let ring_publish = format!("asleep.futex-wake.{readers}");
        probes.push(
            Probe::new(
                Suite::Asleep,
                format!("bare futex, {readers} readers"),
                job(Way::Ring, readers, readers),
            )
            .take(Of::Touched, &ring, format!("bare futex on a raw ring, {readers} asleep"), "")
            .take(Of::Publish, &ring_publish, format!("its publish, {readers} asleep"), ""),
        );
        // Lanes have eight seats unless told otherwise, however few are taken.
        for (seats, kind) in [(readers, "exact"), (8, "default")] {
            let what = format!("{readers} asleep, {seats} seats");
            let lane = job(Way::Lane, readers, seats);
            probes.push(
                Probe::new(Suite::Asleep, format!("camlane, {what}"), lane)
                    .take(
                        Of::Touched,
                        format!("asleep.lane.{kind}.{readers}"),
                        format!("camlane, {what}"),
                        &ring,
                    )
                    .take(
                        Of::Publish,
                        format!("asleep.publish.{kind}.{readers}"),
                        format!("its publish, {what}"),
                        &ring_publish,
                    ),
            );
        }
    }
    probes
}

fn steady(amount: Amount) -> Vec<Probe> {
    let mut probes = Vec::new();
    for fps in [30, 60] {
        let job = |way, wait| Job {
            wait,
            pace: Pace::Rate { fps },
            warm_up: 25, // the adaptive wait learns the period meanwhile
            ..Job::new(way, Size::Fhd, amount.of(fps, 5 * fps))
        };
        let ways = [
            ("futex", "bare futex on a raw ring", Way::Ring, Waiting::Sleep),
            ("sleep", "camlane, sleeping", Way::Lane, Waiting::Sleep),
            ("adaptive", "camlane, adaptive wait", Way::Lane, Waiting::Adaptive),
        ];
        for (key, name, way, wait) in ways {
            let id = |what: &str, key: &str| format!("steady.{what}.{key}.{fps}");
            let against = |what: &str| match key {
                "futex" => String::new(),
                "sleep" => id(what, "futex"),
                _ => id(what, "sleep"),
            };
            let text = |what: &str| format!("{what}, {fps} frames/s: {name}");
            probes.push(
                Probe::new(Suite::Steady, text("steady"), job(way, wait))
                    .take(Of::Touched, id("latency", key), text("latency"), &against("latency"))
                    .take(
                        Of::ProducerCpu,
                        id("producer-cpu", key),
                        text("producer CPU"),
                        &against("producer-cpu"),
                    )
                    .take(
                        Of::ConsumerCpu,
                        id("consumer-cpu", key),
                        text("consumer CPU"),
                        &against("consumer-cpu"),
                    ),
            );
        }
    }
    probes
}

fn attaching(amount: Amount) -> Vec<Probe> {
    let times = amount.of(30, 200);
    let job = Job { warm_up: 0, ..Job::new(Way::Lane, Size::Fhd, 1) };
    let probe = |id: &str, what: &str, populate, against: &str| Probe {
        suite: Suite::Attach,
        name: what.to_owned(),
        work: Work::Attach { job, times, populate },
        takes: vec![Take {
            of: Of::Attach,
            id: id.to_owned(),
            what: what.to_owned(),
            against: (!against.is_empty()).then(|| against.to_owned()),
        }],
    };
    vec![
        probe("attach.lazy", "open to first bytes, FHD lane, pages mapped as they are touched", false, ""),
        probe("attach.populated", "open to first bytes, FHD lane, populated", true, "attach.lazy"),
    ]
}

fn throughput(amount: Amount) -> Vec<Probe> {
    let mut probes = Vec::new();
    for size in Size::PICTURES {
        let bytes = amount.of(1 << 29, u32::MAX); // 0.5 GiB, 4 GiB
        let frames = (bytes / size.bytes()).clamp(10, 4_000);
        let job = |way, fill, read| Job {
            pace: Pace::Window { frames: 2 },
            fill,
            read,
            ..Job::new(way, size, frames)
        };
        let name = size.name();
        let id = |key: &str| format!("throughput.{key}.{name}");
        let ways = [
            ("ring.cached", "raw ring, memcpy", Way::Ring, Fill::Cached, true, ""),
            ("lane.cached", "camlane, memcpy", Way::Lane, Fill::Cached, true, "ring.cached"),
            ("ring.streaming", "raw ring, streaming", Way::Ring, Fill::Streaming, true, ""),
            ("lane.streaming", "camlane, streaming", Way::Lane, Fill::Streaming, true, "ring.streaming"),
            ("lane.chosen", "camlane, its own choice", Way::Lane, Fill::Chosen, true, "ring.cached"),
            (
                "lane.untouched",
                "camlane, its own choice, pixels not read",
                Way::Lane,
                Fill::Chosen,
                false,
                "",
            ),
        ];
        for (key, what, way, fill, read, against) in ways {
            let against = if against.is_empty() { String::new() } else { id(against) };
            let what = format!("{name}: {what}");
            probes.push(Probe::new(Suite::Throughput, &what, job(way, fill, read)).take(
                Of::Rate,
                id(key),
                what,
                &against,
            ));
        }
    }
    probes
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn all() -> Vec<Probe> {
        probes(Suite::value_variants(), Amount::new(true, 1.0))
    }

    #[test]
    fn every_figure_has_a_name_of_its_own_and_what_it_is_compared_with_is_measured() {
        let takes: Vec<Take> = all().into_iter().flat_map(|probe| probe.takes).collect();
        let ids: BTreeSet<&str> = takes.iter().map(|take| take.id.as_str()).collect();
        assert_eq!(ids.len(), takes.len());
        for against in takes.iter().filter_map(|take| take.against.as_deref()) {
            assert!(ids.contains(against), "{against}");
        }
    }

    #[test]
    fn a_suite_stands_alone() {
        for suite in Suite::value_variants() {
            let probes = probes(&[*suite, *suite], Amount::new(false, 1.0));
            let ids: BTreeSet<String> =
                probes.iter().flat_map(|probe| &probe.takes).map(|take| take.id.clone()).collect();
            for take in probes.iter().flat_map(|probe| &probe.takes) {
                assert!(take.against.as_ref().is_none_or(|against| ids.contains(against)), "{take:?}");
            }
            assert!(*suite == Suite::Limits || !probes.is_empty());
        }
    }

    #[test]
    fn readers_fit_the_desk_and_the_lanes_seats() {
        for probe in all() {
            let (Work::Send(job) | Work::Attach { job, .. }) = probe.work;
            assert!(
                job.readers <= job.seats.max(1) && job.readers <= super::super::worker::Desk::READERS,
                "{probe:?}"
            );
        }
    }
}

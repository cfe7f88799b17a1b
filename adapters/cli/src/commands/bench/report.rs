//! What people and programs read: the table and the JSON.

use std::io;

use camlane_measure::limits::Limits;
use camlane_measure::{Machine, Timer, Usage, number};
use serde::Serialize;

use super::sheet::{Figure, Sheet, Unit};
use super::suites::Suite;
use super::targets::{self, Target};
use crate::output::{Output, Paint, Table};

/// How it was measured.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Settings {
    pub(super) rounds: usize,
    pub(super) quick: bool,
    pub(super) scale: f64,
    pub(super) pinned: bool,
    pub(super) real_time: bool,
    pub(super) suites: Vec<Suite>,
}

/// Everything that a run found.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    version: &'static str,
    machine: Machine,
    timer: Timer,
    /// What else the machine did meanwhile.
    usage: Usage,
    settings: Settings,
    #[serde(skip_serializing_if = "Option::is_none")]
    limits: Option<Limits>,
    pub(super) figures: Vec<Figure>,
    /// Frames that readers did not get, of all probes.
    missed: u64,
    targets: Vec<Target>,
}

impl Report {
    pub(super) fn new(
        machine: Machine,
        timer: Timer,
        usage: Usage,
        settings: Settings,
        limits: Option<Limits>,
        sheet: &Sheet,
    ) -> Self {
        let figures = sheet.figures();
        let targets = targets::judge(&figures);
        let version = env!("CARGO_PKG_VERSION");
        Self { version, machine, timer, usage, settings, limits, figures, missed: sheet.missed(), targets }
    }

    /// A line under a plot: where its figures come from.
    pub(super) fn source(&self) -> String {
        format!(
            "{}, Linux {}, {} rounds; camlane {}",
            self.machine.cpu, self.machine.kernel, self.settings.rounds, self.version
        )
    }

    /// Writes it for people.
    pub(super) fn print(&self, output: Output) -> io::Result<()> {
        self.print_conditions(output)?;
        if let Some(limits) = &self.limits {
            output.line("")?;
            print_limits(limits, output)?;
        }
        for suite in
            [Suite::Publish, Suite::Polling, Suite::Asleep, Suite::Steady, Suite::Attach, Suite::Throughput]
        {
            let figures: Vec<&Figure> = self.figures.iter().filter(|figure| figure.suite == suite).collect();
            if !figures.is_empty() {
                output.line(format_args!(
                    "\n{}: {}",
                    Paint::stdout().paint("1", suite.name()),
                    suite.about()
                ))?;
                print_figures(&figures, output)?;
            }
        }
        self.print_targets(output)
    }

    fn print_conditions(&self, output: Output) -> io::Result<()> {
        let Self { timer, usage, settings, .. } = self;
        output.line(self.machine.line())?;
        output.line(format_args!(
            "clock: {:?} ({}), two readings take {} ns, contained in each time; steps of {} ns; processors differ by at most {} ns",
            timer.source,
            timer.reason,
            number(timer.cost_ns),
            number(timer.step_ns),
            timer.skew_ns.map_or_else(|| "?".to_owned(), number),
        ))?;
        output.line(format_args!(
            "{} rounds in {:.0} s, {}{}; the machine was {:.0} % busy, {:.1} % stolen, load {:.1}",
            settings.rounds,
            usage.seconds,
            if settings.pinned { "a processor for each end" } else { "not pinned" },
            if settings.real_time { ", real-time priority" } else { "" },
            100.0 * usage.busy,
            100.0 * usage.steal,
            usage.load,
        ))
    }

    fn print_targets(&self, output: Output) -> io::Result<()> {
        if self.targets.is_empty() {
            return Ok(());
        }
        let paint = Paint::stdout();
        output.line("")?;
        let mut table = Table::new(&["TARGET", "", " MEASURED", " WANTED", "MET IN THIS RUN"]);
        for target in &self.targets {
            table.row(vec![
                target.id.to_owned(),
                target.what.to_owned(),
                format!("{} {}", number(target.value), target.unit),
                format!("<= {} {}", number(target.limit), target.unit),
                if target.met { "yes".to_owned() } else { paint.paint("33", "no") },
            ]);
        }
        table.print(output)
    }
}

fn print_limits(limits: &Limits, output: Output) -> io::Result<()> {
    let paint = Paint::stdout();
    output.line(format_args!("{}: {}", paint.paint("1", "limits"), Suite::Limits.about()))?;
    let mut table = Table::new(&["WHAT", " P50", " P90", " P99", " SAMPLES"]);
    for (what, times) in [
        ("cache line, one way (half a ping-pong)", limits.line),
        ("futex, stamp to woken", limits.futex.one_way),
        ("FUTEX_WAKE, one sleeps: cost to the waker", limits.futex.wake_one),
        ("FUTEX_WAKE, nobody sleeps", limits.futex.wake_nobody),
    ] {
        let of = |nanos: u64| nanos_text(nanos as f64);
        table.row(vec![
            what.to_owned(),
            of(times.p50),
            of(times.p90),
            of(times.p99),
            times.samples.to_string(),
        ]);
    }
    for (what, nanos) in [
        ("a store and a full fence", limits.fence.full_ns),
        ("a release store and an acquire load", limits.fence.store_load_ns),
    ] {
        table.row(vec![what.to_owned(), nanos_text(nanos)]);
    }
    for touch in &limits.pages {
        table.row(vec![format!("first touch of 4 KiB, {}", touch.what), nanos_text(touch.page_ns)]);
    }
    table.print(output)?;
    output.line("")?;
    let sizes: Vec<usize> = {
        let mut sizes: Vec<usize> = limits.copies.iter().map(|copy| copy.frame_bytes).collect();
        sizes.sort_unstable();
        sizes.dedup();
        sizes
    };
    let titles: Vec<String> = sizes.iter().map(|bytes| format!(" {:.1} MB", *bytes as f64 / 1e6)).collect();
    let titles: Vec<&str> = ["COPY, GB/s"].into_iter().chain(titles.iter().map(String::as_str)).collect();
    let mut table = Table::new(&titles);
    let mut kinds: Vec<_> = limits.copies.iter().map(|copy| copy.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    for kind in kinds {
        let of = |size: &usize| {
            let copy = limits.copies.iter().find(|copy| copy.kind == kind && copy.frame_bytes == *size);
            copy.map_or_else(String::new, |copy| number(copy.gb_per_s))
        };
        table.row([kind.to_string()].into_iter().chain(sizes.iter().map(of)).collect());
    }
    table.print(output)
}

fn print_figures(figures: &[&Figure], output: Output) -> io::Result<()> {
    let has_times = figures.iter().any(|figure| figure.percentiles.is_some());
    let titles: &[&str] = if has_times {
        &["WHAT", " MEDIAN", " P90", " P99", " SAMPLES", " RATIO", "OF PAIRS", "AGAINST"]
    } else {
        &["WHAT", " MEDIAN", " RATIO", "OF PAIRS", "AGAINST"]
    };
    let mut table = Table::new(titles);
    for figure in figures {
        let mut row = vec![figure.what.clone(), value_text(figure)];
        if has_times {
            row.extend(figure.percentiles.map_or_else(
                || vec![String::new(); 3],
                |times| {
                    vec![
                        nanos_text(times.p90 as f64),
                        nanos_text(times.p99 as f64),
                        times.samples.to_string(),
                    ]
                },
            ));
        }
        if let Some(against) = &figure.against {
            let ratio = &against.ratio;
            row.push(number(ratio.median));
            row.push(format!("{} to {}", number(ratio.low), number(ratio.high)));
            row.push(against.what.clone());
        }
        table.row(row);
    }
    table.print(output)
}

fn value_text(figure: &Figure) -> String {
    match figure.unit {
        Unit::Nanos | Unit::CpuNanos => nanos_text(figure.value),
        Unit::Rate => format!("{}/s", number(figure.value)),
    }
}

/// Nanoseconds with three digits and a unit: `251 ns`, `33.5 us`.
pub(super) fn nanos_text(nanos: f64) -> String {
    match nanos {
        nanos if nanos < 999.5 => format!("{} ns", number(nanos)),
        nanos if nanos < 999_500.0 => format!("{} us", number(nanos / 1e3)),
        nanos => format!("{} ms", number(nanos / 1e6)),
    }
}

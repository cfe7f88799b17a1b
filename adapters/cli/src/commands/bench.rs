//! `camlane bench`: how fast camlane is on this machine, beside what the machine itself can do.

mod charts;
mod consume;
mod crew;
mod job;
mod produce;
mod report;
mod sheet;
mod suites;
mod targets;
mod worker;

use core::time::Duration;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context as _;
use camlane_measure::{Machine, Meter, Rounds, Timer, limits, place};
use clap::{Args, ValueEnum as _};

use self::crew::Conditions;
use self::report::{Report, Settings};
use self::sheet::Sheet;
use self::suites::{Amount, Suite};
use crate::output::{Output, Status};
use crate::stop;

pub(crate) use self::worker::Worker;

/// Measure camlane on this machine, beside what the machine itself can do
///
/// Each figure is taken between separate processes, pinned where there are two processors, in rounds in which camlane and
/// the limit that it is compared with take turns. What is printed is the median of the rounds, and the median of the
/// ratios of neighbours. Other work on the machine makes figures worse, and ratios less so: see the line about the load.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  camlane bench                          everything, a few minutes
  camlane bench --quick                  everything in about 20 s, less exact
  camlane bench polling asleep --rounds 9
  camlane bench --json --svg plots > bench.json
  camlane bench --list

A target that was not met is no failure: exit status 0 says that everything was measured.")]
pub(crate) struct Bench {
    /// What to measure; everything if none is named
    #[arg(value_enum)]
    suites: Vec<Suite>,
    /// Fewer rounds and samples: about 20 seconds for everything
    #[arg(long)]
    quick: bool,
    /// Rounds to take medians of [default: 5; with --quick 2]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: Option<u32>,
    /// Take that many times as many samples in each round
    #[arg(long, default_value_t = 1.0, value_parser = scale)]
    scale: f64,
    /// Do not bind processes to processors
    #[arg(long)]
    unpinned: bool,
    /// Run with real-time priority, so that other programs disturb less; needs root or CAP_SYS_NICE, and may make the
    /// machine slow to respond meanwhile
    #[arg(long)]
    real_time: bool,
    /// Write plots to this folder
    #[arg(long, value_name = "DIR")]
    svg: Option<PathBuf>,
    /// List what can be measured, and measure nothing
    #[arg(long)]
    list: bool,
}

fn scale(text: &str) -> Result<f64, String> {
    let scale = text.parse().ok().filter(|scale| (0.001..=1000.0).contains(scale));
    scale.ok_or_else(|| "give a factor from 0.001 to 1000".to_owned())
}

impl Bench {
    pub(crate) fn run(self, output: Output) -> anyhow::Result<ExitCode> {
        if self.list {
            return list(output).map(|()| ExitCode::SUCCESS);
        }
        stop::on_signals()?;
        if let Some(folder) = &self.svg {
            std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        let report = self.measure(output)?;
        if let Some(folder) = &self.svg {
            charts::write(&report, folder)?;
        }
        let shown = if output.json { output.value(&report) } else { report.print(output) };
        shown?;
        Ok(ExitCode::SUCCESS)
    }

    fn measure(&self, output: Output) -> anyhow::Result<Report> {
        let suites: Vec<Suite> = match self.suites.is_empty() {
            true => Suite::value_variants().to_vec(),
            false => self.suites.clone(),
        };
        let (mut status, meter, machine) = (Status::new(output), Meter::start(), Machine::describe());
        status.show("the timer");
        let timer = Timer::new();
        let pinned = !self.unpinned && place::cpus().len() > 1;
        let conditions = Conditions { timer: timer.clone(), real_time: self.real_time, pinned };
        let amount = Amount::new(self.quick, self.scale);
        let rounds = self.rounds.unwrap_or(if self.quick { 2 } else { 5 }) as usize;

        let limits = suites.contains(&Suite::Limits).then(|| {
            status.show("the machine's limits");
            let sizes = job::Size::PICTURES.map(|size| size.bytes() as usize);
            limits::all(&timer, &sizes, amount.limits())
        });
        let limits = limits.transpose().context("no memory for the limits")?;
        let probes = suites::probes(&suites, amount);
        let mut sheet = Sheet::new();
        let (begun, total) = (Instant::now(), rounds * probes.len());
        // A terminal shows each probe in place of the one before; a log shows now and then how far it is.
        let pause = Duration::from_secs(if status.is_live() { 0 } else { 10 });
        let mut shown: Option<Instant> = None;
        for round in 0..rounds {
            for (index, probe) in Rounds::order(round, &probes).enumerate() {
                if shown.is_none_or(|shown| shown.elapsed() >= pause) {
                    shown = Some(Instant::now());
                    let done = round * probes.len() + index;
                    let left = begun.elapsed().as_secs_f64() / done.max(1) as f64 * (total - done) as f64;
                    let left = if round > 0 { format!(", about {left:.0} s left") } else { String::new() };
                    status.show(&format!("round {} of {rounds}{left}: {}", round + 1, probe.name));
                }
                sheet.add(probe, &probe.run(&conditions)?);
            }
        }
        status.clear();
        let settings = Settings {
            rounds,
            quick: self.quick,
            scale: self.scale,
            pinned,
            real_time: self.real_time,
            suites: suites.clone(),
        };
        Ok(Report::new(machine, timer, meter.usage(), settings, limits, &sheet))
    }
}

fn list(output: Output) -> anyhow::Result<()> {
    let all = Suite::value_variants();
    if output.json {
        let all: Vec<_> =
            all.iter().map(|suite| serde_json::json!({"suite": suite, "about": suite.about()})).collect();
        return Ok(output.value(&all)?);
    }
    for suite in all {
        output.line(format_args!("{:<11} {}", suite.name(), suite.about()))?;
    }
    Ok(())
}

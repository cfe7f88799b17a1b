//! Runs every job of every peer, one after the other, round after round, and writes what it found. `run.sh` builds the
//! programs and starts this.

mod cell;
mod plan;
mod process;
mod results;
mod tables;
mod targets;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use camlane_measure::{Machine, Meter, Rounds, Timer, place};
use clap::Parser;
use peers_drive::Job;

use crate::cell::Cell;
use crate::process::{Bench, Program};
use crate::results::Results;

/// Measures camlane beside other ways to hand frames to processes.
#[derive(Parser)]
struct Options {
    /// A program with entries, and its first arguments; once for each
    #[arg(long, value_name = "COMMAND", required = true)]
    program: Vec<String>,
    /// A peer that cannot take part, and why
    #[arg(long, value_name = "TEXT")]
    missing: Vec<String>,
    /// Only entries whose names contain one of these
    #[arg(long, value_name = "PEER,..", value_delimiter = ',')]
    only: Vec<String>,
    /// Only these jobs
    #[arg(long, value_name = "JOB,..", value_delimiter = ',', value_enum)]
    jobs: Vec<Job>,
    /// How often everything is measured
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// Fewer sizes and readers, shorter, in two rounds
    #[arg(long)]
    quick: bool,
    /// Everything once, as short as can be: shows that it works, measures nothing
    #[arg(long, conflicts_with = "quick")]
    smoke: bool,
    /// Where results go
    #[arg(long, value_name = "FOLDER")]
    results: PathBuf,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(2),
        Err(error) => {
            eprintln!("compare: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Measures, and tells whether everything that was started came to its end.
fn run(options: &Options) -> Result<bool> {
    let cpus = place::cpus(); // before anything is pinned
    ensure!(cpus.len() >= 2, "two processors are needed, one for each side");
    let timer = Timer::new();
    let programs = options.program.iter().map(|command| Program::describe(command));
    let (programs, unusable): (Vec<_>, Vec<_>) = programs.partition(Result::is_ok);
    let programs: Vec<_> = programs.into_iter().flatten().collect();
    let mut missing = options.missing.clone();
    missing.extend(unusable.into_iter().filter_map(Result::err).map(|error| format!("{error:#}")));

    let depth = plan::Depth::of(options.quick, options.smoke);
    let rounds = options.rounds.unwrap_or(depth.rounds);
    let mut cells = plan::cells(&programs, depth);
    cells.retain(|cell| options.jobs.is_empty() || options.jobs.contains(&cell.job));
    cells.retain(|cell| {
        options.only.is_empty()
            || options.only.iter().any(|word| cell.entry.to_lowercase().contains(&word.to_lowercase()))
    });
    ensure!(!cells.is_empty(), "nothing to measure: see --only and --jobs");
    announce(&cells, rounds);

    let bench = Bench::new(timer.clone(), cpus)?;
    let entries = programs.iter().flat_map(|program| program.entries.clone()).collect();
    let mut results = Results::new(Machine::describe(), timer, entries, missing, rounds);
    let meter = Meter::start();
    let began = Instant::now();
    for round in 0..rounds {
        for cell in Rounds::order(round, &cells) {
            if results.has_failed(cell) {
                continue;
            }
            eprint!("\r\x1b[K{} of {rounds}, {} s: {cell}", round + 1, began.elapsed().as_secs());
            match bench.measure(cell) {
                Ok(found) => results.add(cell, &found),
                Err(error) => results.fail(cell, &error),
            }
        }
    }
    eprintln!("\r\x1b[K{} s", began.elapsed().as_secs());
    results.finish(meter.usage());
    if !options.smoke {
        write(&results, &options.results)?;
    }
    println!("{}", tables::all(&results));
    Ok(results.failures().is_empty())
}

fn announce(cells: &[Cell], rounds: usize) {
    let mut whole = Duration::ZERO;
    let mut jobs: Vec<Job> = cells.iter().map(|cell| cell.job).collect();
    jobs.sort_unstable();
    jobs.dedup();
    for job in jobs {
        let of_job = cells.iter().filter(|cell| cell.job == job);
        let (count, time) =
            of_job.fold((0, Duration::ZERO), |(count, time), cell| (count + 1, time + cell.estimate()));
        eprintln!("{:<9} {count:>4} measurements, {:>4} s a round", format!("{job:?}"), time.as_secs());
        whole += time;
    }
    eprintln!("{rounds} rounds: about {} s", (whole * rounds as u32).as_secs());
}

fn write(results: &Results, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let file = |name: &str| folder.join(name);
    std::fs::write(file("results.json"), serde_json::to_string_pretty(results)?)
        .context("write the results")?;
    std::fs::write(file("README.md"), tables::all(results)).context("write the tables")?;
    Ok(())
}

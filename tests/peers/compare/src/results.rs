//! What was found, over all rounds.

use std::collections::BTreeMap;

use anyhow::Error;
use camlane_measure::{Machine, Rounds, Timer, Times, Usage};
use peers_drive::{Description, Job, Outcome};
use serde::Serialize;

use crate::cell::Cell;
use crate::process::Found;

/// All figures, as they go into `results.json`.
#[derive(Debug, Serialize)]
pub(crate) struct Results {
    pub(crate) machine: Machine,
    pub(crate) timer: Timer,
    pub(crate) usage: Usage,
    pub(crate) rounds: usize,
    pub(crate) entries: Vec<Description>,
    /// Peers that took no part, and why.
    pub(crate) missing: Vec<String>,
    failures: Vec<Failure>,
    /// A value for each subject in each round, by what was measured: medians of latencies and costs in ns, microseconds of
    /// processor time per frame, frames per second.
    values: BTreeMap<String, Rounds>,
    /// All times of all rounds, by what was measured and by whom.
    times: BTreeMap<String, BTreeMap<String, Times>>,
    /// Frames whose end was of another frame than their beginning, and frames lost, by subject and what was measured.
    pub(crate) torn: BTreeMap<String, u64>,
    pub(crate) lost: BTreeMap<String, u64>,
}

/// A measurement that did not come to its end; it is not tried again.
#[derive(Debug, Serialize)]
pub(crate) struct Failure {
    pub(crate) measure: String,
    pub(crate) subject: String,
    pub(crate) reason: String,
}

impl Results {
    pub(crate) fn new(
        machine: Machine,
        timer: Timer,
        entries: Vec<Description>,
        missing: Vec<String>,
        rounds: usize,
    ) -> Self {
        Self {
            machine,
            timer,
            usage: Usage::default(),
            rounds,
            entries,
            missing,
            failures: Vec::new(),
            values: BTreeMap::new(),
            times: BTreeMap::new(),
            torn: BTreeMap::new(),
            lost: BTreeMap::new(),
        }
    }

    pub(crate) fn finish(&mut self, usage: Usage) {
        self.usage = usage;
    }

    pub(crate) fn failures(&self) -> &[Failure] {
        &self.failures
    }

    pub(crate) fn fail(&mut self, cell: &Cell, error: &Error) {
        let (measure, subject) = (cell.measure(), cell.subject());
        eprintln!("\r\x1b[K{measure}, {subject}: {error:#}");
        self.failures.push(Failure { measure, subject, reason: format!("{error:#}") });
    }

    pub(crate) fn has_failed(&self, cell: &Cell) -> bool {
        let (measure, subject) = (cell.measure(), cell.subject());
        self.failures.iter().any(|failure| failure.measure == measure && failure.subject == subject)
    }

    pub(crate) fn add(&mut self, cell: &Cell, found: &Found) {
        let merged = |pick: fn(&Outcome) -> &Times| {
            found.consumers.iter().fold(Times::new(), |mut all, outcome| {
                all.merge(pick(outcome));
                all
            })
        };
        let Found { producer, consumers } = found;
        match cell.job {
            Job::Polling | Job::Asleep | Job::Stream => {
                self.add_times(cell, "held", &merged(|outcome| &outcome.held));
                self.add_times(cell, "touched", &merged(|outcome| &outcome.touched));
                self.add_times(cell, "publish", &producer.publish);
            }
            Job::Readers => self.add_times(cell, "publish", &producer.publish),
            Job::Attach => self.add_times(cell, "attach", &merged(|outcome| &outcome.attach)),
            Job::Python => {
                self.add_times(cell, "borrow", &producer.borrow);
                self.add_times(cell, "publish", &producer.publish);
            }
            Job::Rate => {}
        }
        if let Some(cpu) = producer.cpu_us {
            self.add_value(cell, "producer's us", cpu);
        }
        if let Some(cpu) = consumers.iter().filter_map(|outcome| outcome.cpu_us).reduce(f64::max) {
            self.add_value(cell, "consumer's us", cpu);
        }
        if let Some(rate) = consumers.iter().filter_map(|outcome| outcome.rate).reduce(f64::min) {
            self.add_value(cell, "per second", rate);
        }
        let key = format!("{}, {}", cell.measure(), cell.subject());
        let sum = |pick: fn(&Outcome) -> u64| consumers.iter().map(pick).sum::<u64>();
        for (counts, count) in [
            (&mut self.torn, sum(|outcome| outcome.torn)),
            (&mut self.lost, producer.lost + sum(|outcome| outcome.lost)),
        ] {
            if count > 0 {
                *counts.entry(key.clone()).or_default() += count;
            }
        }
    }

    fn add_times(&mut self, cell: &Cell, what: &str, times: &Times) {
        let Some(median) = times.at(0.5) else { return };
        self.add_value(cell, what, median as f64);
        let measure = format!("{} {what}", cell.measure());
        self.times.entry(measure).or_default().entry(cell.subject()).or_default().merge(times);
    }

    fn add_value(&mut self, cell: &Cell, what: &str, value: f64) {
        let measure = format!("{} {what}", cell.measure());
        self.values.entry(measure).or_default().add(&cell.subject(), value);
    }

    /// The median of a subject's rounds.
    pub(crate) fn median(&self, measure: &str, subject: &str) -> Option<f64> {
        self.values.get(measure)?.median(subject)
    }

    /// The median of the rounds' ratios.
    pub(crate) fn ratio(&self, measure: &str, subject: &str, to: &str) -> Option<f64> {
        Some(self.values.get(measure)?.ratio(subject, to)?.median)
    }

    /// A percentile of all times of all rounds.
    pub(crate) fn at(&self, measure: &str, subject: &str, share: f64) -> Option<f64> {
        self.times.get(measure)?.get(subject)?.at(share).map(|nanos| nanos as f64)
    }
}

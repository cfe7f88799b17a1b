//! The figures as they come in, round by round, and what they are compared with.

use std::collections::BTreeMap;

use camlane_measure::{Ratio, Rounds, Summary, Times};
use serde::Serialize;

use super::crew::Outcome;
use super::suites::{Of, Probe, Suite, Take};

/// All figures of a run.
#[derive(Debug, Default)]
pub(super) struct Sheet {
    rounds: Rounds,
    times: BTreeMap<String, Times>,
    takes: Vec<(Suite, Take)>,
    missed: u64,
}

/// A figure as it is reported.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Figure {
    pub(super) suite: Suite,
    pub(super) id: String,
    pub(super) what: String,
    pub(super) unit: Unit,
    /// The median of the rounds: of the medians of times, of rates, of processor time per frame.
    pub(super) value: f64,
    /// What each round said.
    pub(super) rounds: Vec<f64>,
    /// Of all rounds together, for times.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) percentiles: Option<Summary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) against: Option<Against>,
    /// Values and how often each occurred, for plots.
    #[serde(skip)]
    pub(super) times: Times,
}

/// What a figure is compared with, pair by pair of neighbours in time.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Against {
    pub(super) id: String,
    pub(super) what: String,
    #[serde(flatten)]
    pub(super) ratio: Ratio,
}

/// What a figure counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub(super) enum Unit {
    #[serde(rename = "ns")]
    Nanos,
    #[serde(rename = "ns of processor time per frame")]
    CpuNanos,
    #[serde(rename = "frames/s")]
    Rate,
}

impl Sheet {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Adds what a probe measured in the next round.
    pub(super) fn add(&mut self, probe: &Probe, outcome: &Outcome) {
        self.missed += outcome.readers.missed;
        for take in &probe.takes {
            if self.rounds.values(&take.id).is_empty() {
                self.takes.push((probe.suite, take.clone()));
            }
            if let Some(times) = times(take.of, outcome) {
                self.times.entry(take.id.clone()).or_default().merge(times);
            }
            self.rounds.add(&take.id, value(take.of, outcome));
        }
    }

    /// Frames that readers did not get: in a closed loop none may be missed.
    pub(super) const fn missed(&self) -> u64 {
        self.missed
    }

    pub(super) fn figures(&self) -> Vec<Figure> {
        let figure = |(suite, take): &(Suite, Take)| Figure {
            suite: *suite,
            id: take.id.clone(),
            what: take.what.clone(),
            unit: take.of.unit(),
            value: self.rounds.median(&take.id).unwrap_or(0.0),
            rounds: self.rounds.values(&take.id).to_vec(),
            percentiles: self.times.get(&take.id).map(Times::summary),
            against: take.against.as_deref().filter(|against| *against != take.id).and_then(|against| {
                Some(Against {
                    id: against.to_owned(),
                    what: self.takes.iter().find(|(_, other)| other.id == against)?.1.what.clone(),
                    ratio: self.rounds.ratio(&take.id, against)?,
                })
            }),
            times: self.times.get(&take.id).cloned().unwrap_or_default(),
        };
        self.takes.iter().map(figure).collect()
    }
}

impl Of {
    const fn unit(self) -> Unit {
        match self {
            Self::Rate => Unit::Rate,
            Self::ProducerCpu | Self::ConsumerCpu => Unit::CpuNanos,
            Self::Held | Self::Touched | Self::Publish | Self::Borrow | Self::Attach => Unit::Nanos,
        }
    }
}

fn times(of: Of, outcome: &Outcome) -> Option<&Times> {
    let Outcome { producer, readers } = outcome;
    Some(match of {
        Of::Held => &readers.held,
        Of::Touched => &readers.touched,
        Of::Publish => &producer.publish,
        Of::Borrow => &readers.borrow,
        Of::Attach => &readers.attach,
        Of::Rate | Of::ProducerCpu | Of::ConsumerCpu => return None,
    })
}

fn value(of: Of, outcome: &Outcome) -> f64 {
    let Outcome { producer, readers } = outcome;
    let per = |amount: f64, of: f64| if of > 0.0 { amount / of } else { 0.0 };
    match of {
        Of::Rate => per(producer.frames as f64, producer.seconds),
        Of::ProducerCpu => per(producer.cpu_ns as f64, producer.frames as f64),
        Of::ConsumerCpu => per(readers.cpu_ns as f64, readers.frames as f64),
        _ => times(of, outcome).and_then(|times| times.at(0.5)).unwrap_or(0) as f64,
    }
}

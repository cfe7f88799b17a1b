//! Times, as a histogram: from publish to frame in hand.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Collects times in nanoseconds, to three significant digits.
#[derive(Clone, Debug)]
pub(crate) struct Latency(Histogram<u64>);

impl Latency {
    /// No times yet.
    pub(crate) fn new() -> Self {
        // 3 is a number of digits that the library takes, which its type does not say.
        Self(Histogram::new(3).unwrap_or_else(|_| unreachable!("3 digits are supported")))
    }

    /// Adds one time.
    pub(crate) fn record(&mut self, nanos: u64) {
        self.0 += nanos;
    }

    /// Adds all times of another.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.0 += &other.0;
    }

    /// Forgets all times.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// The time that a share of all, 0 to 1, did not exceed; `None` without any times.
    pub(crate) fn at(&self, share: f64) -> Option<u64> {
        (!self.0.is_empty()).then(|| self.0.value_at_quantile(share))
    }

    /// The percentiles that people ask for.
    pub(crate) fn summary(&self) -> Summary {
        let at = |share| self.at(share).unwrap_or(0);
        Summary {
            samples: self.0.len(),
            min: self.0.min(),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            max: self.0.max(),
        }
    }

    /// Values and how often each occurred, to be sent to another process.
    pub(crate) fn to_pairs(&self) -> Vec<(u64, u64)> {
        self.0.iter_recorded().map(|step| (step.value_iterated_to(), step.count_at_value())).collect()
    }

    /// Takes in what [`to_pairs`](Self::to_pairs) gave.
    pub(crate) fn from_pairs(pairs: &[(u64, u64)]) -> Self {
        let mut this = Self::new();
        for &(value, count) in pairs {
            // It grows as needed; only a value that no histogram can hold would be refused.
            let _ = this.0.record_n(value, count);
        }
        this
    }
}

/// Percentiles in nanoseconds; all 0 without samples.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Summary {
    pub(crate) samples: u64,
    pub(crate) min: u64,
    pub(crate) p50: u64,
    pub(crate) p90: u64,
    pub(crate) p99: u64,
    pub(crate) max: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_survive_the_way_to_another_process() {
        let mut sent = Latency::new();
        (1..=1000).for_each(|n| sent.record(n * 1_000));
        let received = Latency::from_pairs(&sent.to_pairs());
        assert_eq!(received.summary(), sent.summary());
        let p50 = received.at(0.5).unwrap();
        assert!((499_000..=501_000).contains(&p50), "{p50}");
    }

    #[test]
    fn merging_adds_the_samples() {
        let (mut one, mut other) = (Latency::new(), Latency::new());
        one.record(10);
        other.record(1_000);
        one.merge(&other);
        let Summary { samples, min, max, .. } = one.summary();
        assert_eq!((samples, min, max), (2, 10, 1_000));
    }

    #[test]
    fn no_times_have_no_percentile() {
        assert_eq!(Latency::new().at(0.5), None);
        assert_eq!(Latency::new().summary(), Summary::default());
    }
}

//! Times, as a histogram, and the percentiles that people ask for.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Collects times in nanoseconds, to three significant digits. As JSON, values and how often each occurred.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(into = "Vec<(u64, u64)>", from = "Vec<(u64, u64)>")]
pub struct Times(Histogram<u64>);

impl Times {
    /// No times yet.
    pub fn new() -> Self {
        // 3 is a number of digits that the library takes, which its type does not say.
        Self(Histogram::new(3).unwrap_or_else(|_| unreachable!("3 digits are supported")))
    }

    /// Adds one time.
    pub fn record(&mut self, nanos: u64) {
        self.0 += nanos;
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.0.len()
    }

    /// Tells whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds all times of another.
    pub fn merge(&mut self, other: &Self) {
        self.0 += &other.0;
    }

    /// Forgets all times.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The time that a share of all, 0 to 1, did not exceed; `None` without any times.
    pub fn at(&self, share: f64) -> Option<u64> {
        (!self.0.is_empty()).then(|| self.0.value_at_quantile(share))
    }

    /// The percentiles that people ask for.
    pub fn summary(&self) -> Summary {
        let at = |share| self.at(share).unwrap_or(0);
        Summary {
            samples: self.0.len(),
            min: self.0.min(),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: self.0.max(),
        }
    }

    /// Points for a plot of times by share of samples, from the least up to where single samples decide.
    pub fn curve(&self) -> Vec<(f64, f64)> {
        let most = 1.0 - 1.0 / self.len().max(1) as f64;
        let shares = (0..=60).map(|step| 1.0 - 10_f64.powf(-f64::from(step) / 10.0));
        shares
            .filter(|share| *share <= most)
            .filter_map(|share| Some((share, self.at(share)? as f64)))
            .collect()
    }

    /// Values and how often each occurred, to be sent to another process.
    pub fn to_pairs(&self) -> Vec<(u64, u64)> {
        self.0.iter_recorded().map(|step| (step.value_iterated_to(), step.count_at_value())).collect()
    }

    /// Takes in what [`to_pairs`](Self::to_pairs) gave.
    pub fn from_pairs(pairs: &[(u64, u64)]) -> Self {
        let mut this = Self::new();
        for &(value, count) in pairs {
            // It grows as needed; only a value that no histogram can hold would be refused.
            let _ = this.0.record_n(value, count);
        }
        this
    }
}

impl Default for Times {
    fn default() -> Self {
        Self::new()
    }
}

impl From<Times> for Vec<(u64, u64)> {
    fn from(times: Times) -> Self {
        times.to_pairs()
    }
}

impl From<Vec<(u64, u64)>> for Times {
    fn from(pairs: Vec<(u64, u64)>) -> Self {
        Self::from_pairs(&pairs)
    }
}

/// Percentiles in nanoseconds; all 0 without samples.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Summary {
    /// How many times there were; percentiles beyond one in as many say nothing.
    pub samples: u64,
    /// The shortest.
    pub min: u64,
    /// Half of all were not longer.
    pub p50: u64,
    /// Nine of ten were not longer.
    pub p90: u64,
    /// 99 of a hundred were not longer.
    pub p99: u64,
    /// 999 of a thousand were not longer.
    pub p999: u64,
    /// The longest.
    pub max: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_survive_the_way_to_another_process() {
        let mut sent = Times::new();
        (1..=1000).for_each(|n| sent.record(n * 1_000));
        let received = Times::from_pairs(&sent.to_pairs());
        assert_eq!(received.summary(), sent.summary());
        let p50 = received.at(0.5).unwrap();
        assert!((499_000..=501_000).contains(&p50), "{p50}");
    }

    #[test]
    fn merging_adds_the_samples() {
        let (mut one, mut other) = (Times::new(), Times::new());
        one.record(10);
        other.record(1_000);
        one.merge(&other);
        let Summary { samples, min, max, .. } = one.summary();
        assert_eq!((samples, min, max), (2, 10, 1_000));
    }

    #[test]
    fn a_curve_rises_and_ends_where_a_single_sample_would_decide() {
        let mut times = Times::new();
        (1..=1000).for_each(|n| times.record(n));
        let curve = times.curve();
        assert_eq!(curve[0], (0.0, 1.0));
        assert!(curve.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1));
        assert!(curve.last().unwrap().0 <= 0.999 && curve.last().unwrap().0 > 0.998);
        assert_eq!(Times::new().curve(), []);
    }

    #[test]
    fn no_times_have_no_percentile() {
        assert_eq!(Times::new().at(0.5), None);
        assert_eq!(Times::new().summary(), Summary::default());
    }
}

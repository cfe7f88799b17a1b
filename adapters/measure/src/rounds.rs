//! Several subjects, measured in turn, round after round: other load on the machine then disturbs all of them alike.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What was measured: a value for each subject in each round.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rounds(BTreeMap<String, Vec<f64>>);

/// How one subject compares with another: the pairs of one round each.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Ratio {
    /// The median of the pairs' ratios; not the ratio of two medians, which may come from different minutes.
    pub median: f64,
    /// The smallest pair.
    pub low: f64,
    /// The largest pair.
    pub high: f64,
    /// How many pairs.
    pub rounds: usize,
}

impl Rounds {
    /// Nothing measured yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a subject's value of the next round.
    pub fn add(&mut self, subject: &str, value: f64) {
        self.0.entry(subject.to_owned()).or_default().push(value);
    }

    /// The values of a subject, a round each.
    pub fn values(&self, subject: &str) -> &[f64] {
        self.0.get(subject).map_or(&[], Vec::as_slice)
    }

    /// The subjects, sorted.
    pub fn subjects(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The median over the rounds; `None` if the subject was not measured.
    pub fn median(&self, subject: &str) -> Option<f64> {
        median(self.values(subject))
    }

    /// Compares a subject with another, pair by pair; `None` without a pair, or if the other was 0.
    pub fn ratio(&self, subject: &str, to: &str) -> Option<Ratio> {
        let pairs = self.values(subject).iter().zip(self.values(to));
        let ratios: Vec<f64> = pairs.filter(|(_, to)| **to != 0.0).map(|(value, to)| value / to).collect();
        Some(Ratio {
            median: median(&ratios)?,
            low: ratios.iter().copied().fold(f64::INFINITY, f64::min),
            high: ratios.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            rounds: ratios.len(),
        })
    }

    /// The order in which to take `subjects` in a round: every second round backwards, so that none always comes first.
    pub fn order<T>(round: usize, subjects: &[T]) -> impl Iterator<Item = &T> {
        let last = subjects.len().wrapping_sub(1);
        (0..subjects.len())
            .map(move |index| &subjects[if round.is_multiple_of(2) { index } else { last - index }])
    }
}

/// The median; of an even number of values the mean of the middle two.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    Some(if sorted.len() % 2 == 1 { upper } else { f64::midpoint(sorted[middle - 1], upper) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::none(&[], None)]
    #[case::one(&[3.0], Some(3.0))]
    #[case::odd(&[9.0, 1.0, 2.0], Some(2.0))]
    #[case::even(&[4.0, 1.0, 2.0, 100.0], Some(3.0))]
    fn the_median_is_in_the_middle(#[case] values: &[f64], #[case] expected: Option<f64>) {
        assert_eq!(median(values), expected);
    }

    #[test]
    fn a_ratio_pairs_what_was_measured_in_one_round() {
        let mut rounds = Rounds::new();
        // The machine was ten times slower in the second round; the subjects did not change.
        for (us, them) in [(1.0, 2.0), (10.0, 20.0), (1.0, 2.2)] {
            rounds.add("us", us);
            rounds.add("them", them);
        }
        let ratio = rounds.ratio("them", "us").unwrap();
        assert_eq!((ratio.median, ratio.low, ratio.high, ratio.rounds), (2.0, 2.0, 2.2, 3));
        assert_eq!(rounds.median("us"), Some(1.0));
        assert_eq!(rounds.ratio("us", "nobody"), None);
    }

    #[test]
    fn a_ratio_to_nothing_is_none() {
        let mut rounds = Rounds::new();
        rounds.add("us", 1.0);
        rounds.add("nothing", 0.0);
        assert_eq!(rounds.ratio("us", "nothing"), None);
    }

    #[test]
    fn every_second_round_goes_backwards() {
        let order = |round| Rounds::order(round, &[1, 2, 3]).copied().collect::<Vec<_>>();
        assert_eq!((order(0), order(1), order(2)), (vec![1, 2, 3], vec![3, 2, 1], vec![1, 2, 3]));
        assert_eq!(Rounds::order::<u8>(1, &[]).count(), 0);
    }
}

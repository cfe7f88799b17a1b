//! What camlane wants to reach, as far as no other library is needed to tell, and whether it did in this run.

use serde::Serialize;

use super::sheet::Figure;

/// One target.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Target {
    pub(super) id: &'static str,
    pub(super) what: &'static str,
    /// What was measured, in the unit of `limit`.
    pub(super) value: f64,
    /// At most this is wanted.
    pub(super) limit: f64,
    pub(super) unit: &'static str,
    pub(super) met: bool,
}

/// The figures by name.
struct Figures<'f>(&'f [Figure]);

impl Figures<'_> {
    fn get(&self, id: &str) -> Option<&Figure> {
        self.0.iter().find(|figure| figure.id == id)
    }

    fn value(&self, id: &str) -> Option<f64> {
        self.get(id).map(|figure| figure.value)
    }

    /// The median ratio to what the figure is compared with.
    fn ratio(&self, id: &str) -> Option<f64> {
        Some(self.get(id)?.against.as_ref()?.ratio.median)
    }

    fn p90(&self, id: &str) -> Option<f64> {
        self.get(id)?.percentiles.map(|percentiles| percentiles.p90 as f64)
    }

    /// How far a ratio is from 1, in either direction.
    fn apart(&self, id: &str) -> Option<f64> {
        self.ratio(id).filter(|ratio| *ratio > 0.0).map(|ratio| ratio.max(1.0 / ratio))
    }
}

/// Judges the targets whose figures were measured.
pub(super) fn judge(figures: &[Figure]) -> Vec<Target> {
    let f = Figures(figures);
    let micros = |nanos: Option<f64>| nanos.map(|nanos| nanos / 1e3);
    let rows = [
        (
            "P1",
            "polling, publish to first bytes, FHD, against one cache line",
            f.ratio("polling.lane.FHD"),
            1.3,
            "x",
        ),
        ("P2", "1 reader asleep, against a bare futex", f.ratio("asleep.lane.exact.1"), 1.1, "x"),
        ("P2", "1 reader asleep, in a lane of 8 seats", f.ratio("asleep.lane.default.1"), 1.1, "x"),
        ("P2", "4 readers asleep, against a bare futex", f.ratio("asleep.lane.exact.4"), 1.1, "x"),
        ("P2", "4 readers asleep, in a lane of 8 seats", f.ratio("asleep.lane.default.4"), 1.1, "x"),
        (
            "P3",
            "adaptive wait at 60 frames/s, median",
            micros(f.value("steady.latency.adaptive.60")),
            2.0,
            "us",
        ),
        ("P3", "adaptive wait at 60 frames/s, p90", micros(f.p90("steady.latency.adaptive.60")), 5.0, "us"),
        ("P3", "its processor time, against sleeping", f.ratio("steady.consumer-cpu.adaptive.60"), 4.0, "x"),
        ("P4", "loan + publish, no readers", f.value("publish.silent.0"), 20.0, "ns"),
        ("P4", "loan + publish, 64 silent readers", f.value("publish.silent.64"), 20.0, "ns"),
        ("P4", "the same, 64 silent readers against none", f.ratio("publish.silent.64"), 1.1, "x"),
        ("P4", "the same, 64 readers changing pins against 1", f.ratio("publish.changing.64"), 1.1, "x"),
        ("P7", "attach to first bytes, not populated", micros(f.value("attach.lazy")), 50.0, "us"),
        ("P9", "loan + publish, UHD against VGA, either way", f.apart("publish.size.UHD"), 1.1, "x"),
        ("P9", "borrow + release, UHD against VGA, either way", f.apart("borrow.size.UHD"), 1.1, "x"),
    ];
    let target = |(id, what, value, limit, unit): (_, _, Option<f64>, f64, _)| {
        let value = value?;
        Some(Target { id, what, value, limit, unit, met: value <= limit })
    };
    rows.into_iter().filter_map(target).collect()
}

#[cfg(test)]
mod tests {
    use super::super::sheet::{Against, Unit};
    use super::super::suites::{self, Amount, Suite};
    use super::*;
    use camlane_measure::{Ratio, Times};
    use clap::ValueEnum as _;

    fn figure(id: &str, value: f64, ratio: Option<f64>) -> Figure {
        let mut times = Times::new();
        times.record(value as u64);
        Figure {
            suite: Suite::Publish,
            id: id.to_owned(),
            what: String::new(),
            unit: Unit::Nanos,
            value,
            rounds: vec![value],
            percentiles: Some(times.summary()),
            against: ratio.map(|median| Against {
                id: String::new(),
                what: String::new(),
                ratio: Ratio { median, low: median, high: median, rounds: 1 },
            }),
            times,
        }
    }

    #[test]
    fn a_target_is_met_up_to_its_limit_and_not_beyond() {
        let met = |value| judge(&[figure("publish.silent.0", value, None)])[0].met;
        assert!(met(20.0));
        assert!(!met(21.0));
    }

    #[test]
    fn cost_that_depends_on_the_size_is_seen_in_both_directions() {
        let met = |ratio| judge(&[figure("borrow.size.UHD", 1.0, Some(ratio))])[0].met;
        assert!(met(1.0) && met(1.05) && met(0.95));
        assert!(!met(1.2) && !met(0.8));
    }

    #[test]
    fn what_was_not_measured_is_not_judged() {
        assert!(judge(&[]).is_empty());
    }

    #[test]
    fn every_target_speaks_of_a_figure_that_the_bench_takes() {
        let probes = suites::probes(Suite::value_variants(), Amount::new(true, 1.0));
        let takes = probes.iter().flat_map(|probe| &probe.takes);
        let figures: Vec<Figure> =
            takes.map(|take| figure(&take.id, 1.0, take.against.as_ref().map(|_| 1.0))).collect();
        assert_eq!(judge(&figures).len(), 15);
    }
}

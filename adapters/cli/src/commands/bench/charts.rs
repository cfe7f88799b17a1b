//! The plots that `--svg` writes.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use camlane_measure::plot::{Axis, Line, Plot};

use super::report::{Report, nanos_text};
use super::suites::SEATS;

/// Writes those plots whose figures were measured.
///
/// # Errors
/// The folder cannot be written.
pub(super) fn write(report: &Report, folder: &Path) -> anyhow::Result<()> {
    for (name, plot) in plots(report).into_iter().filter(|(_, plot)| !plot.lines.is_empty()) {
        let path = folder.join(format!("{name}.svg"));
        fs::write(&path, plot.svg()).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn plots(report: &Report) -> [(&'static str, Plot); 4] {
    let distribution = |title: &str, subtitle: &str, lines: &[(&str, &str, bool)]| Plot {
        title: title.to_owned(),
        subtitle: subtitle.to_owned(),
        x: ("share of frames that were not slower".to_owned(), Axis::Share),
        y: ("time".to_owned(), Axis::Log),
        y_text: power_text,
        lines: lines.iter().filter_map(|(id, name, is_limit)| curve(report, id, name, *is_limit)).collect(),
        source: report.source(),
    };
    let polling = distribution(
        "From publish to the first bytes, reader polling",
        "Full HD frames, two processes; a line further down is faster",
        &[
            ("polling.line", "one cache line (limit)", true),
            ("polling.ring.FHD", "ring without safety", false),
            ("polling.lane.FHD", "camlane", false),
            ("polling.spin.FHD", "camlane, Wait::Spin", false),
        ],
    );
    let asleep = distribution(
        "From publish to the first bytes, readers asleep",
        "Full HD frames, each reader a process that sleeps in the kernel",
        &[
            ("asleep.futex.1", "bare futex, 1 reader (limit)", true),
            ("asleep.lane.exact.1", "camlane, 1 reader", false),
            ("asleep.lane.default.1", "camlane, 1 reader, 8 seats", false),
            ("asleep.lane.exact.4", "camlane, 4 readers", false),
        ],
    );
    let steady = distribution(
        "A camera at 60 frames per second",
        "From publish to the first bytes of a Full HD frame, by how the reader waits",
        &[
            ("steady.latency.futex.60", "bare futex (limit)", true),
            ("steady.latency.sleep.60", "camlane, sleeping", false),
            ("steady.latency.adaptive.60", "camlane, adaptive wait", false),
        ],
    );
    let seats = Plot {
        title: "What readers cost the camera".to_owned(),
        subtitle: "Loan + publish without filling, by the number of readers".to_owned(),
        x: ("readers".to_owned(), Axis::Steps(SEATS.map(f64::from).to_vec())),
        y: ("time for a frame".to_owned(), Axis::Linear),
        y_text: |nanos| format!("{nanos:.0} ns"),
        lines: [
            ("silent", "silent"),
            ("given", "silent, publish time given"),
            ("changing", "changing pins each frame"),
        ]
        .into_iter()
        .filter_map(|(key, name)| by_seats(report, key, name))
        .collect(),
        source: report.source(),
    };
    [("polling", polling), ("asleep", asleep), ("steady-60", steady), ("readers", seats)]
}

/// A power of ten of nanoseconds: `10 us`.
fn power_text(nanos: f64) -> String {
    let text = nanos_text(nanos);
    let (digits, unit) = text.split_once(' ').unwrap_or((&text, ""));
    let digits =
        if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits };
    format!("{digits} {unit}")
}

fn curve(report: &Report, id: &str, name: &str, is_limit: bool) -> Option<Line> {
    let figure = report.figures.iter().find(|figure| figure.id == id)?;
    Some(Line { name: name.to_owned(), points: figure.times.curve(), is_limit })
}

fn by_seats(report: &Report, key: &str, name: &str) -> Option<Line> {
    let point = |readers: u32| {
        let id = format!("publish.{key}.{readers}");
        let figure = report.figures.iter().find(|figure| figure.id == id)?;
        Some((f64::from(readers), figure.value))
    };
    let points: Vec<_> = SEATS.into_iter().filter_map(point).collect();
    (!points.is_empty()).then(|| Line { name: name.to_owned(), points, is_limit: false })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(10.0, "10 ns")]
    #[case(1e2, "100 ns")]
    #[case(1e3, "1 us")]
    #[case(1e8, "100 ms")]
    fn powers_of_ten_are_whole(#[case] nanos: f64, #[case] text: &str) {
        assert_eq!(power_text(nanos), text);
    }
}

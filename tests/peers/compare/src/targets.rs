//! What camlane is meant to reach, and whether it did in this run.

use camlane_measure::{Table, number};
use peers_drive::{Job, Size, Way};

use crate::cell::{readers, subject};
use crate::results::Results;
use peers_drive::Readers;

/// The limit that polling is compared with.
pub(crate) const LINE: &str = "one cache line (limit)";
const FUTEX: &str = "raw ring, bare futex (no safety)";
const US: &str = "camlane";
const ICEORYX2: &str = "iceoryx2";
const PYTHON: &str = "camlane for Python";
const PYTHON_ICEORYX2: &str = "iceoryx2 for Python";

/// A figure, what it should be, and whether it is.
struct Verdict {
    target: &'static str,
    what: String,
    found: f64,
    wanted: Wanted,
}

#[derive(Clone, Copy)]
enum Wanted {
    AtMost(f64),
    AtLeast(f64),
}

impl Verdict {
    fn row(&self) -> [String; 5] {
        let (sign, limit, met) = match self.wanted {
            Wanted::AtMost(limit) => ("<=", limit, self.found <= limit),
            Wanted::AtLeast(limit) => (">=", limit, self.found >= limit),
        };
        let verdict = if met {
            "met".to_owned()
        } else {
            format!("missed by {:.0} %", (self.found / limit - 1.0).abs() * 100.0)
        };
        [
            self.target.into(),
            self.what.clone(),
            number(self.found),
            format!("{sign} {}", number(limit)),
            verdict,
        ]
    }
}

/// The targets of which there are figures.
pub(crate) fn table(results: &Results) -> Option<Table> {
    let mut all = Vec::new();
    polling(results, &mut all);
    asleep(results, &mut all);
    adaptive(results, &mut all);
    publish(results, &mut all);
    rate(results, &mut all);
    python(results, &mut all);
    attach(results, &mut all);
    cpu(results, &mut all);
    size(results, &mut all);
    let mut table = Table::new(&["target", "what", " found", " wanted", "verdict"]);
    all.iter().for_each(|verdict| table.row(verdict.row()));
    (!all.is_empty()).then_some(table)
}

fn add(
    all: &mut Vec<Verdict>,
    target: &'static str,
    what: impl Into<String>,
    found: Option<f64>,
    wanted: Wanted,
) {
    all.extend(found.map(|found| Verdict { target, what: what.into(), found, wanted }));
}

/// The peers, without camlane's own entries and the limits, in all their ways of a job.
fn peers(results: &Results, job: Job, only_default: bool) -> impl Iterator<Item = String> {
    let entries = results.entries.iter().filter(|entry| !entry.limit && !entry.name.starts_with(US));
    entries.flat_map(move |entry| {
        let ways = entry.jobs.iter().filter(move |(can, _)| *can == job).flat_map(|(_, ways)| ways);
        ways.filter(move |way| !only_default || **way == Way::Default).map(|way| subject(&entry.name, *way))
    })
}

/// Of the peers' ratios to camlane's value, or camlane's to theirs, the one that is worst for camlane.
fn worst(
    results: &Results,
    measure: &str,
    among: impl Iterator<Item = String>,
    worse: fn(f64, f64) -> f64,
) -> Option<(f64, String)> {
    let ratios = among.filter_map(|peer| Some((results.ratio(measure, US, &peer)?, peer)));
    ratios.reduce(|one, other| if worse(one.0, other.0) == one.0 { one } else { other })
}

fn polling(results: &Results, all: &mut Vec<Verdict>) {
    let measure = "polling fhd touched";
    let line = results.ratio(measure, US, LINE);
    add(all, "P1", "polling, FHD: times the cache-line limit", line, Wanted::AtMost(1.3));
    let peer = results.ratio(measure, ICEORYX2, US);
    add(all, "P1", "polling, FHD: times faster than iceoryx2", peer, Wanted::AtLeast(2.2));
}

fn asleep(results: &Results, all: &mut Vec<Verdict>) {
    for count in [1, 4] {
        let measure = format!("asleep {count} touched");
        let futex = results.ratio(&measure, US, FUTEX);
        add(all, "P2", format!("asleep, {count}: times a bare futex"), futex, Wanted::AtMost(1.1));
        if let Some((ratio, peer)) = worst(results, &measure, peers(results, Job::Asleep, false), f64::max) {
            let what = format!("asleep, {count}: times the fastest peer ({peer})");
            add(all, "P2", what, Some(ratio), Wanted::AtMost(1.0));
        }
    }
}

fn adaptive(results: &Results, all: &mut Vec<Verdict>) {
    let (us, measure) = (subject(US, Way::Adaptive), "stream 60 touched");
    let median = results.median(measure, &us).map(|nanos| nanos / 1e3);
    add(all, "P3", "adaptive wait at 60 fps: us at the median", median, Wanted::AtMost(2.0));
    let p90 = results.at(measure, &us, 0.9).map(|nanos| nanos / 1e3);
    add(all, "P3", "adaptive wait at 60 fps: us at p90", p90, Wanted::AtMost(5.0));
    let cpu = results.ratio("stream 60 consumer's us", &us, US);
    add(all, "P3", "adaptive wait: the consumer's processor time, times the sleep", cpu, Wanted::AtMost(4.0));
}

fn publish(results: &Results, all: &mut Vec<Verdict>) {
    let timer = results.timer.cost_ns;
    let net = |doing, count, who: &str| {
        Some(results.median(&format!("{} publish", readers(doing, count)), who)? - timer)
    };
    let kinds = [Readers::Silent, Readers::Turning];
    let cells = kinds.iter().flat_map(|doing| [0, 1, 4, 16, 64].map(|count| (*doing, count)));
    let costs: Vec<f64> = cells.filter_map(|(doing, count)| net(doing, count, US)).collect();
    let most = costs.iter().copied().reduce(f64::max);
    add(all, "P4", "loan + publish, 0 to 64 readers: most ns above the timer", most, Wanted::AtMost(20.0));
    let least = costs.iter().copied().reduce(f64::min);
    let spread = most.zip(least).map(|(most, least)| most - least);
    add(
        all,
        "P4",
        "loan + publish, 0 to 64 readers: ns between least and most",
        spread,
        Wanted::AtMost(10.0),
    );
    let peer = net(Readers::Silent, 64, ICEORYX2)
        .zip(net(Readers::Silent, 64, US))
        .map(|(them, us)| them / us.max(1.0));
    add(all, "P4", "loan + publish, 64 readers: times cheaper than iceoryx2", peer, Wanted::AtLeast(50.0));
}

/// Without those that tear: they have one picture, which stays in the cache while it is read and overwritten at once.
fn rate(results: &Results, all: &mut Vec<Verdict>) {
    let whole = |only_default| {
        peers(results, Job::Rate, only_default).filter(|peer| !peer.contains("(tears)")).collect::<Vec<_>>()
    };
    for size in Size::ALL {
        let measure = format!("rate {size} per second").to_lowercase();
        if let Some((ratio, peer)) = worst(results, &measure, whole(false).into_iter(), f64::min) {
            let what = format!("rate, {size}: times the best peer that does not tear ({peer})");
            add(all, "P5", what, Some(ratio), Wanted::AtLeast(0.97));
        }
        if size != Size::Vga {
            if let Some((ratio, peer)) = worst(results, &measure, whole(true).into_iter(), f64::min) {
                let what = format!("rate, {size}: times the best peer's default ({peer})");
                add(all, "P5", what, Some(ratio), Wanted::AtLeast(1.15));
            }
        }
    }
}

fn python(results: &Results, all: &mut Vec<Verdict>) {
    let borrow = results.median("python borrow", PYTHON).map(|nanos| nanos / 1e3);
    add(all, "P6", "Python borrow + view + release: us", borrow, Wanted::AtMost(0.7));
    let peer = results.ratio("python borrow", PYTHON_ICEORYX2, PYTHON);
    add(
        all,
        "P6",
        "Python borrow + view + release: times faster than iceoryx2's",
        peer,
        Wanted::AtLeast(3.5),
    );
}

fn attach(results: &Results, all: &mut Vec<Verdict>) {
    let attach = results.median("attach attach", US).map(|nanos| nanos / 1e3);
    add(all, "P7", "open to first frame, not populated: us", attach, Wanted::AtMost(50.0));
}

fn cpu(results: &Results, all: &mut Vec<Verdict>) {
    let sum = |who: &str| {
        let side = |side| results.median(&format!("stream 30 {side}"), who);
        Some(side("producer's us")? + side("consumer's us")?)
    };
    let best = peers(results, Job::Stream, false).filter_map(|peer| Some((sum(&peer)?, peer)));
    let best = best.reduce(|one, other| if one.0 <= other.0 { one } else { other });
    if let Some((us, (best, peer))) = sum(US).zip(best) {
        let what = format!("processor time per frame at 30 fps: times the best peer ({peer})");
        add(all, "P8", what, Some(us / best), Wanted::AtMost(1.0));
    }
}

fn size(results: &Results, all: &mut Vec<Verdict>) {
    let figure = |size: Size, what| results.median(&format!("polling {size} {what}").to_lowercase(), US);
    for what in ["publish", "held"] {
        let ratio = figure(Size::Uhd, what).zip(figure(Size::Vga, what)).map(|(large, small)| large / small);
        add(all, "P9", format!("{what}, UHD: times VGA"), ratio, Wanted::AtMost(1.1));
    }
}

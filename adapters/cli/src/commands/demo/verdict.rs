//! What came of the demo: the table, the JSON, and whether everything held.

use std::io;

use camlane_measure::{Summary, Times};
use serde::Serialize;

use super::message::{Published, Run, Seen};
use super::{Demo, ENOUGH, SIGKILL, objects};
use crate::output::{self, Output, Paint, Table};

/// Everything that was observed.
#[derive(Debug)]
pub(super) struct Take {
    pub(super) seconds: f64,
    pub(super) every: Seen,
    pub(super) slow: Seen,
    pub(super) killed: Seen,
    pub(super) latest: Seen,
    pub(super) second: Published,
    /// Slots that must be free at the end, slots that were, pins that were left.
    pub(super) audit: (u32, u32, u32),
    pub(super) kill: Kill,
    pub(super) restart: Restart,
    pub(super) ended_well: bool,
    pub(super) objects: Vec<String>,
}

/// How a consumer was killed.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Kill {
    pub(super) process: u32,
    pub(super) signal: i32,
    pub(super) held_frame: u64,
    pub(super) seat_free_ns: u64,
    pub(super) successor_first_frame_ns: u64,
}

/// How the producer was killed.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Restart {
    pub(super) process: u32,
    pub(super) signal: i32,
    pub(super) published_before: u64,
    pub(super) found_dead: bool,
    pub(super) ready_ns: u64,
    pub(super) resumed_ns: u64,
}

/// One consumer's line.
#[derive(Debug, Serialize)]
struct Line {
    name: &'static str,
    frames_checked: u64,
    rate: f64,
    missed: u64,
    missed_why: Why,
    latency_ns: Summary,
    copies: u64,
    torn_frames: u64,
}

/// Why frames were missed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
struct Why {
    /// A newer one was there when the consumer looked, or it came too late for the history.
    skipped: u64,
    /// Published by the new producer before the consumer had found it, or by the old one and never read.
    producer_restarted: u64,
    /// Published between the last frame of the killed consumer and the first of its successor.
    consumer_replaced: u64,
}

/// One claim, and what was found.
#[derive(Debug, Serialize)]
struct Check {
    claim: &'static str,
    held: bool,
    found: String,
}

/// The demo's result.
#[derive(Debug, Serialize)]
pub(super) struct Verdict {
    lane: String,
    format: String,
    size: [u32; 2],
    stated_rate: [u32; 2],
    frame_bytes: u32,
    seconds: f64,
    frames_published: u64,
    frames_checked: u64,
    bytes_checked: u64,
    torn_frames: u64,
    copies: u64,
    leaked_slots: u32,
    leaked_objects: usize,
    leaked_descriptors: usize,
    dropped: u64,
    /// From publish to frame in hand, over the consumers that wait for frames: all but the slow one.
    latency_ns: Summary,
    consumers: Vec<Line>,
    kill: Kill,
    restart: Restart,
    checks: Vec<Check>,
    passed: bool,
}

impl Verdict {
    /// Judges. `descriptors` is how many more files the demo itself has open than before.
    pub(super) fn new(demo: &Demo, lane: &str, frame_bytes: u32, take: Take, descriptors: usize) -> Self {
        let all = [&take.every, &take.slow, &take.killed, &take.latest];
        let (before, after) = (take.restart.published_before, take.second.frames);
        let lines = vec![
            line("every", &[&take.every], before),
            line("slow", &[&take.slow], before),
            line("latest (killed, replaced)", &[&take.killed, &take.latest], before),
        ];
        let mut latency = Times::new();
        [&take.every, &take.killed, &take.latest]
            .iter()
            .for_each(|seen| latency.merge(&Times::from_pairs(&seen.latency)));
        let sum = |of: fn(&Seen) -> u64| all.iter().map(|seen| of(seen)).sum::<u64>();
        let left = objects(lane).len() + take.objects.len();
        // The killed consumer could not count its files at the end.
        let counted = [&take.every, &take.slow, &take.latest].map(|seen| seen.descriptors);
        let opened =
            counted.iter().chain([&take.second.descriptors]).map(|(first, last)| last.abs_diff(*first));
        let (expected, lent, pins) = take.audit;
        let mut this = Self {
            lane: lane.to_owned(),
            format: demo.format.to_string(),
            size: demo.size.into(),
            stated_rate: demo.rate.into(),
            frame_bytes,
            seconds: take.seconds,
            frames_published: before + after,
            frames_checked: sum(|seen| seen.frames),
            bytes_checked: sum(|seen| seen.bytes),
            torn_frames: sum(|seen| seen.torn),
            copies: sum(|seen| seen.copies) + take.second.copies,
            leaked_slots: expected - lent + pins,
            leaked_objects: left,
            leaked_descriptors: opened.sum::<usize>() + descriptors,
            dropped: u64::from(take.second.dropped)
                + all.iter().flat_map(|seen| &seen.runs).map(|run| run.dropped).max().unwrap_or(0),
            latency_ns: latency.summary(),
            consumers: lines,
            kill: take.kill.clone(),
            restart: take.restart.clone(),
            checks: Vec::new(),
            passed: false,
        };
        this.checks = this.judge(&take);
        this.passed = this.checks.iter().all(|check| check.held);
        this
    }

    pub(super) const fn passed(&self) -> bool {
        self.passed
    }

    fn judge(&self, take: &Take) -> Vec<Check> {
        let check = |claim, held, found| Check { claim, held, found };
        let torn = [&take.every, &take.slow, &take.killed, &take.latest]
            .iter()
            .find_map(|seen| seen.first_torn.clone())
            .map_or_else(String::new, |first| format!(", the first: {first}"));
        let accounts = accounts(take);
        let enough = [&take.every, &take.slow, &take.latest]
            .iter()
            .all(|seen| seen.runs.len() == 2 && seen.runs.iter().all(|run| run.frames >= ENOUGH))
            && take.killed.frames >= ENOUGH;
        let Kill { signal, held_frame, seat_free_ns, .. } = self.kill;
        let (expected, lent, pins) = take.audit;
        vec![
            check(
                "no frame is torn: every byte of every frame was compared",
                self.torn_frames == 0 && self.frames_checked > 0,
                format!(
                    "{} torn of {}, {}{torn}",
                    self.torn_frames,
                    self.frames_checked,
                    output::bytes(self.bytes_checked)
                ),
            ),
            check(
                "no frame is copied: all bytes lie in the lane's own object",
                self.copies == 0,
                format!("{} copies", self.copies),
            ),
            check(
                "every frame is accounted for: in hand, or missed and counted",
                accounts.is_ok() && enough,
                accounts.map_or_else(|problem| problem, |()| format!("{} published", self.frames_published)),
            ),
            check(
                "the producer never waits and never drops",
                self.dropped == 0,
                format!("{} dropped", self.dropped),
            ),
            check(
                "a consumer that dies with a frame costs nothing",
                signal == SIGKILL && held_frame > 0,
                format!(
                    "killed with frame {held_frame}, its seat free after {}",
                    output::nanos(seat_free_ns)
                ),
            ),
            check(
                "consumers follow a producer that died",
                self.restart.signal == SIGKILL && self.restart.found_dead && enough,
                format!("all of them after {}", output::nanos(self.restart.resumed_ns)),
            ),
            check(
                "every slot and seat comes back",
                self.leaked_slots == 0,
                format!("{lent} of {expected} slots lent again, {pins} pins left"),
            ),
            check(
                "nothing is left behind",
                self.leaked_objects == 0 && self.leaked_descriptors == 0 && take.ended_well,
                format!(
                    "{} objects in /dev/shm, {} open files",
                    self.leaked_objects, self.leaked_descriptors
                ),
            ),
        ]
    }

    /// Writes the result to standard output.
    ///
    /// # Errors
    /// As [`Output::line`].
    pub(super) fn show(&self, output: Output) -> io::Result<()> {
        if output.json {
            return output.value(self);
        }
        let mut table = Table::new(&[
            "CONSUMER", " FRAMES", " RATE", " MISSED", "WHY", " P50", " P99", " COPIES", " TORN",
        ]);
        for line in &self.consumers {
            table.row(vec![
                line.name.to_owned(),
                line.frames_checked.to_string(),
                format!("{:.1}/s", line.rate),
                line.missed.to_string(),
                line.missed_why.to_string(),
                output::nanos(line.latency_ns.p50),
                output::nanos(line.latency_ns.p99),
                line.copies.to_string(),
                line.torn_frames.to_string(),
            ]);
        }
        table.print(output)?;
        output.line(format_args!(
            "\n{} frames published in {:.1} s; publish to frame in hand p50 {}, p99 {} (without the slow one)\n",
            self.frames_published,
            self.seconds,
            output::nanos(self.latency_ns.p50),
            output::nanos(self.latency_ns.p99),
        ))?;
        let paint = Paint::stdout();
        for Check { claim, held, found } in &self.checks {
            let mark = if *held { paint.paint("32", "ok    ") } else { paint.paint("1;31", "FAILED") };
            output.line(format_args!("{mark}  {claim} ({found})"))?;
        }
        output.line(if self.passed {
            "\nNext: camlane publish front-door --from pattern, and in another terminal: camlane watch front-door"
        } else {
            "\nNot everything held. Look for the reason with: camlane doctor"
        })
    }
}

/// Adds up what one consumer, or a consumer and its successor, saw.
fn line(name: &'static str, seen: &[&Seen], published_before: u64) -> Line {
    let sum = |of: fn(&Seen) -> u64| seen.iter().map(|seen| of(seen)).sum::<u64>();
    let mut why = Why::default();
    for seen in seen {
        why.skipped += seen.runs.iter().map(|run| run.missed).sum::<u64>();
        if let [first, second, ..] = seen.runs.as_slice() {
            why.producer_restarted += published_before.saturating_sub(first.last) + second.missed_before;
        }
    }
    for pair in seen.windows(2) {
        if let (Some(last), Some(first)) = (pair[0].runs.last(), pair[1].runs.first()) {
            why.consumer_replaced += first.first.saturating_sub(last.last + 1);
        }
    }
    let mut latency = Times::new();
    seen.iter().for_each(|seen| latency.merge(&Times::from_pairs(&seen.latency)));
    let (frames, nanos) = (sum(|seen| seen.frames), sum(|seen| seen.nanos));
    Line {
        name,
        frames_checked: frames,
        rate: if nanos == 0 { 0.0 } else { frames as f64 * 1e9 / nanos as f64 },
        missed: why.skipped + why.producer_restarted + why.consumer_replaced,
        missed_why: why,
        latency_ns: latency.summary(),
        copies: sum(|seen| seen.copies),
        torn_frames: sum(|seen| seen.torn),
    }
}

/// Checks that the numbers which consumers report add up to what the producers published.
fn accounts(take: &Take) -> Result<(), String> {
    let (before, after) = (take.restart.published_before, take.second.frames);
    for (name, seen) in
        [("every", &take.every), ("slow", &take.slow), ("killed", &take.killed), ("latest", &take.latest)]
    {
        if let Some(run) = seen.runs.iter().find(|run| !run.is_complete()) {
            return Err(format!("{name}: {run:?} does not add up"));
        }
        if seen.runs.first().is_some_and(|run| run.last > before) {
            return Err(format!("{name}: read a frame that the first producer did not publish"));
        }
        let Some(Run { first, missed_before, last, .. }) = seen.runs.get(1) else { continue };
        if first - 1 != *missed_before || *last != after {
            return Err(format!(
                "{name}: {first} first, {missed_before} missed before it, {last} last of {after}"
            ));
        }
    }
    // The newest frame when the successor came can be the one that the dead consumer held.
    let (killed, latest) = (take.killed.runs.last(), take.latest.runs.first());
    if killed.zip(latest).is_none_or(|(killed, latest)| latest.first < killed.last) {
        return Err("the killed consumer's successor went back behind it".to_owned());
    }
    Ok(())
}

impl core::fmt::Display for Why {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let parts = [
            (self.skipped, "skipped for newer"),
            (self.producer_restarted, "at the restart"),
            (self.consumer_replaced, "while it was replaced"),
        ];
        let parts: Vec<_> = parts
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, why)| format!("{count} {why}"))
            .collect();
        f.write_str(&if parts.is_empty() { "-".to_owned() } else { parts.join(", ") })
    }
}

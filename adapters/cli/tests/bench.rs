//! The bench with few samples: that it measures what it promises and leaves nothing. How fast is not asked here.

mod common;

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::time::{Duration, Instant};

use common::{camlane, json, objects, run, text};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rstest::rstest;
use serde_json::Value;

const SMALL: [&str; 5] = ["bench", "--quick", "--rounds=2", "--scale=0.02", "--quiet"];

fn figure<'v>(report: &'v Value, id: &str) -> &'v Value {
    let figures = report["figures"].as_array().unwrap();
    figures.iter().find(|figure| figure["id"] == id).unwrap_or_else(|| panic!("no figure {id}"))
}

/// Percentiles rise, each round said something, and every sample that was asked for is there.
fn is_plausible(figure: &Value) {
    let value = figure["value"].as_f64().unwrap();
    let rounds: Vec<f64> = figure["rounds"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
    assert_eq!(rounds.len(), 2, "{figure}");
    assert!(value > 0.0 && rounds.iter().all(|round| *round > 0.0), "{figure}");
    if let Some(times) = figure["percentiles"].as_object() {
        let steps = ["min", "p50", "p90", "p99", "p999", "max"].map(|step| times[step].as_u64().unwrap());
        assert!(steps.is_sorted() && times["samples"].as_u64().unwrap() > 0, "{figure}");
    }
    if let Some(against) = figure["against"].as_object() {
        let [low, median, high] = ["low", "median", "high"].map(|step| against[step].as_f64().unwrap());
        assert!(0.0 < low && low <= median && median <= high && against["rounds"] == 2, "{figure}");
    }
}

#[test]
fn every_promised_figure_is_measured_and_no_frame_is_lost() {
    let plots = tempfile::tempdir().unwrap();
    let folder = plots.path().to_str().unwrap();
    let report =
        json(&[&SMALL[..], &["--svg", folder, "limits", "publish", "polling", "asleep", "attach"]].concat());
    let figures = report["figures"].as_array().unwrap();
    let ids: BTreeSet<&str> = figures.iter().map(|figure| figure["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), figures.len());
    figures.iter().for_each(is_plausible);
    assert_eq!(report["missed"], 0, "each frame waits until its readers have the one before");

    for readers in [0, 1, 4, 16, 64] {
        figure(&report, &format!("publish.silent.{readers}"));
    }
    for readers in [1, 2, 4] {
        // Ten frames a round, two rounds, each reader each frame.
        let samples = &figure(&report, &format!("asleep.lane.default.{readers}"))["percentiles"]["samples"];
        assert_eq!(samples, 2 * 10 * readers);
    }
    for size in ["VGA", "FHD", "UHD"] {
        let [held, touched] = ["held", "lane"]
            .map(|end| &figure(&report, &format!("polling.{end}.{size}"))["percentiles"]["samples"]);
        assert_eq!(
            (held, touched),
            (touched, held),
            "every second frame is for the one, the others for the other"
        );
        assert_eq!(figure(&report, &format!("polling.lane.{size}"))["against"]["id"], "polling.line");
        figure(&report, &format!("borrow.size.{size}"));
    }
    figure(&report, "attach.populated");

    let limits = &report["limits"];
    assert!(
        limits["line"]["samples"].as_u64().unwrap() > 0
            && limits["futex"]["one_way"]["p50"].as_u64().unwrap() > 0
    );
    assert!(
        limits["copies"].as_array().unwrap().len() >= 3 && limits["pages"].as_array().unwrap().len() == 2
    );
    let targets: BTreeSet<&str> =
        report["targets"].as_array().unwrap().iter().map(|target| target["id"].as_str().unwrap()).collect();
    assert_eq!(targets, BTreeSet::from(["P1", "P2", "P4", "P7", "P9"]));
    assert!(
        report["machine"]["cpus"].as_u64().unwrap() > 0 && report["timer"]["tick_ns"].as_f64().unwrap() > 0.0
    );

    for plot in ["polling", "asleep", "readers"] {
        let svg = std::fs::read_to_string(plots.path().join(format!("{plot}.svg"))).unwrap();
        assert!(
            svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>") && svg.contains("camlane"),
            "{svg}"
        );
        assert!(svg.matches("<path").count() >= 4, "{plot}: a line and its name each");
    }
    assert!(!plots.path().join("steady-60.svg").exists(), "nothing of it was measured");
}

#[test]
fn a_camera_at_its_rate_accounts_for_every_frame() {
    let report = json(&["bench", "steady", "--quick", "--rounds=1", "--scale=0.2", "--quiet"]);
    let missed = report["missed"].as_u64().unwrap();
    let samples: u64 = report["figures"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|figure| figure["percentiles"]["samples"].as_u64())
        .sum();
    // Ten or twelve frames of each of three ways at each of two rates; a reader that was kept from running may miss some.
    assert_eq!(samples + missed, 3 * (10 + 12), "{report}");
    for way in ["futex", "sleep", "adaptive"] {
        for fps in [30, 60] {
            assert!(
                figure(&report, &format!("steady.consumer-cpu.{way}.{fps}"))["value"].as_f64().unwrap() > 0.0
            );
        }
    }
}

#[test]
fn whole_frames_flow_in_every_size_by_every_kind_of_copy() {
    let report = json(&["bench", "throughput", "--quick", "--rounds=1", "--scale=0.001", "--quiet"]);
    assert_eq!(report["missed"], 0, "at most two frames are under way");
    for size in ["VGA", "FHD", "UHD"] {
        for way in [
            "ring.cached",
            "ring.streaming",
            "lane.cached",
            "lane.streaming",
            "lane.chosen",
            "lane.untouched",
        ] {
            let figure = figure(&report, &format!("throughput.{way}.{size}"));
            assert!(figure["value"].as_f64().unwrap() > 0.0 && figure["unit"] == "frames/s", "{figure}");
        }
    }
}

#[test]
fn people_get_a_table_with_limits_beside_figures() {
    let output = run(&[&SMALL[..], &["attach", "polling"]].concat());
    let table = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    for part in ["polling: ", "AGAINST", "a cache line that carries the stamp", "TARGET", "P7"] {
        assert!(table.contains(part), "{part}: {table}");
    }
    assert!(!table.contains("FUTEX_WAKE"), "limits were not asked for: {table}");
}

#[test]
fn the_list_names_every_suite() {
    let list = json(&["bench", "--list"]);
    let names: Vec<&str> =
        list.as_array().unwrap().iter().map(|suite| suite["suite"].as_str().unwrap()).collect();
    assert_eq!(names, ["limits", "publish", "polling", "asleep", "steady", "attach", "throughput"]);
}

#[rstest]
#[case::unknown_suite(&["bench", "latency"], "polling")]
#[case::no_rounds(&["bench", "--rounds=0"], "1..=1000")]
#[case::no_scale(&["bench", "--scale=0"], "from 0.001")]
fn wrong_usage_says_what_is_right(#[case] arguments: &[&str], #[case] says: &str) {
    let output = run(arguments);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains(says), "{}", text(&output.stderr));
}

/// Workers of a bench that still run.
fn workers(of: u32) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines.filter(|line| text(line).contains(&format!("bench-worker\0--parent\0{of}\0"))).count()
}

#[rstest]
#[case::interrupted(Signal::SIGINT)]
#[case::killed(Signal::SIGKILL)]
fn a_bench_that_ends_early_leaves_nothing(#[case] signal: Signal) {
    let mut child = camlane(&["bench", "attach", "--scale=1000"]).spawn().unwrap();
    let (pid, mut errors) = (child.id(), BufReader::new(child.stderr.take().unwrap()).lines());
    errors.find(|line| line.as_ref().unwrap().contains("round 1")).unwrap().unwrap();
    let patience = Instant::now() + Duration::from_secs(120);
    while workers(pid) < 2 || objects(&format!("bench-{pid}")).len() < 3 {
        assert!(Instant::now() < patience, "no workers with a lane appear");
        std::thread::sleep(Duration::from_millis(10));
    }
    kill(Pid::from_raw(pid.try_into().unwrap()), signal).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), (signal == Signal::SIGINT).then_some(1));
    while workers(pid) > 0 || !objects(&format!("bench-{pid}")).is_empty() {
        assert!(
            Instant::now() < patience,
            "{} workers, {:?}",
            workers(pid),
            objects(&format!("bench-{pid}"))
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

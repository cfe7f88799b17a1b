//! The demo, small enough for an unoptimised build.

mod common;

use std::io::{BufRead as _, BufReader};

use common::{camlane, objects, text};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json as value};

const SMALL: [&str; 6] = ["demo", "--size", "160x120", "--rate", "60", "--seconds"];

/// Processes that were started by another with this number.
fn children(of: u32) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let marked = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        text(&line).contains(&format!("--parent\0{of}\0"))
    };
    numbers.filter(marked).collect()
}

#[test]
fn everything_that_the_demo_claims_holds_and_nothing_is_left() {
    let child = camlane(&[&SMALL[..], &["3", "--json"]].concat()).spawn().unwrap();
    let pid = child.id();
    let output = child.wait_with_output().unwrap();
    let errors = text(&output.stderr);
    assert!(output.status.success(), "{errors}{}", text(&output.stdout));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["passed"], true);
    for zero in ["torn_frames", "copies", "leaked_slots", "leaked_objects", "leaked_descriptors", "dropped"] {
        assert_eq!(report[zero], 0, "{zero}");
    }
    assert!(report["checks"].as_array().unwrap().iter().all(|check| check["held"] == true));
    assert_eq!((&report["kill"]["signal"], &report["restart"]["signal"]), (&value!(9), &value!(9)));
    // Five frames at least of each producer for each of three consumers, and of the first for the one that was killed.
    assert!(report["frames_checked"].as_u64().unwrap() >= 5 * 7, "{report}");
    let bytes = report["frames_checked"].as_u64().unwrap() * report["frame_bytes"].as_u64().unwrap();
    assert_eq!(report["bytes_checked"], bytes);
    assert_eq!(objects(&format!("demo-{pid}")), Vec::<String>::new());
    assert_eq!(children(pid), Vec::<u32>::new());
}

#[test]
fn demos_run_beside_each_other_and_show_a_table() {
    let start = || camlane(&[&SMALL[..], &["1"]].concat()).spawn().unwrap();
    let both = [start(), start()].map(|child| child.wait_with_output().unwrap());
    for output in both {
        let table = text(&output.stdout);
        assert!(output.status.success(), "{table}{}", text(&output.stderr));
        assert!(table.starts_with("CONSUMER") && table.contains("\nNext: camlane publish"), "{table}");
        assert!(!table.contains("FAILED") && !table.contains('\x1b'), "{table}");
    }
}

#[test]
fn a_demo_that_is_interrupted_takes_everything_down() {
    let mut child = camlane(&[&SMALL[..], &["600"]].concat()).spawn().unwrap();
    let (pid, mut errors) = (child.id(), BufReader::new(child.stderr.take().unwrap()).lines());
    // The second line tells that frames flow.
    errors.find(|line| line.as_ref().unwrap().contains("frames: producer")).unwrap().unwrap();
    kill(Pid::from_raw(pid.try_into().unwrap()), Signal::SIGINT).unwrap();
    errors.for_each(drop);
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert_eq!(objects(&format!("demo-{pid}")), Vec::<String>::new());
    assert_eq!(children(pid), Vec::<u32>::new());
}

//! Old programs' objects on the command line: `bridge`, `text`, and `header24:NAME` in place of a lane.

mod common;

use core::time::Duration;
use std::path::PathBuf;
use std::process::Stdio;

use camlane::legacy::{Error, SyncOptions, SyncReader};
use common::{Lane, Running, camlane, json, run, text};
use nix::sys::signal::Signal;
use rstest::rstest;

const LONG: Duration = Duration::from_secs(60);
/// The test picture as old programs have it, so fast that a test need not wait.
const PATTERN: &str = "pattern:64x48,BGR8,100";

/// An old program's object of one test alone, removed at its end.
struct Old(String);

impl Old {
    fn new(test: &str) -> Self {
        Self(format!("/cli-old-{test}-{}", std::process::id()))
    }

    fn header24(&self) -> String {
        format!("header24:{}", self.0)
    }

    fn file(&self) -> PathBuf {
        PathBuf::from(format!("/dev/shm{}", self.0))
    }
}

impl Drop for Old {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.file());
    }
}

fn start(arguments: &[&str]) -> Running {
    Running::start(&mut camlane(arguments), true)
}

#[test]
fn frames_go_from_an_old_object_to_a_lane_and_on_to_another_old_object() {
    let (first, lane, second) = (Old::new("chain-a"), Lane::new("chain"), Old::new("chain-b"));
    let _publish = start(&["publish", &first.header24(), "--from", PATTERN]);
    let _there = start(&["bridge", &first.header24(), &format!("lane:{}", lane.0)]);
    let _back = start(&["bridge", &format!("lane:{}", lane.0), &second.header24()]);
    let watch = ["watch", &second.header24(), "--check", "--frames", "30", "--timeout", "60", "--json"];
    let watched = run(&watch);
    assert!(watched.status.success(), "{}", text(&watched.stderr));
    let out = text(&watched.stdout);
    let summary = out.lines().last().unwrap();
    assert!(summary.contains("\"torn\":0") && summary.contains("\"frames\":30"), "{summary}");
    // In between, the same pixels are a lane's: with the old time, on the clock that it is from.
    let file = tempfile::NamedTempFile::with_suffix(".json").unwrap();
    let saved = json(&["snap", &lane.0, "-o", file.path().to_str().unwrap(), "--timeout", "60"]);
    assert_eq!(saved["frame"]["format"], "BGR8");
    assert!(saved["pattern"].is_array(), "{saved}");
}

#[test]
fn a_lane_of_another_format_is_converted_for_old_readers() {
    let (lane, old) = (Lane::new("convert"), Old::new("convert"));
    let _publish = lane.publish("pattern:64x48,YUYV,100", &[]);
    let _bridge = start(&["bridge", &format!("lane:{}", lane.0), &old.header24(), "--mode", "644"]);
    let file = tempfile::NamedTempFile::with_suffix(".png").unwrap();
    let saved = json(&["snap", &old.header24(), "-o", file.path().to_str().unwrap(), "--timeout", "60"]);
    assert_eq!((&saved["format"], &saved["width"]), (&"BGR8".into(), &64.into()));
    assert_eq!(&std::fs::read(file.path()).unwrap()[1..4], b"PNG");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(old.file()).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o644);
}

#[test]
fn a_killed_writer_is_told_and_the_one_after_it_is_followed() {
    let old = Old::new("killed");
    let publish = start(&["publish", &old.header24(), "--from", PATTERN]);
    let mut watch = Running::start(&mut camlane(&["watch", &old.header24(), "--json"]), false);
    watch.json_until(|event| event["event"] == "frame");
    publish.signal(Signal::SIGKILL);
    publish.finish();
    let stall = watch.json_until(|event| event["event"] == "stall");
    assert!(["stale", "half-frame"].contains(&stall["kind"].as_str().unwrap()), "{stall}");
    assert!(stall["text"].as_str().unwrap().contains("its writer is gone"), "{stall}");
    let publish = start(&["publish", &old.header24(), "--from", PATTERN]);
    watch.json_until(|event| event["event"] == "frame");
    publish.signal(Signal::SIGINT);
    let (status, ..) = publish.finish();
    assert!(status.success() && !old.file().exists());
    assert_eq!(watch.json_until(|event| event["event"] == "stall")["kind"], "gone");
    watch.signal(Signal::SIGTERM);
    assert!(watch.finish().0.success());
}

#[test]
fn the_lane_of_a_bridge_ends_with_its_old_writer_and_comes_again() {
    let (old, lane) = (Old::new("ends"), Lane::new("ends"));
    let _bridge = start(&["bridge", &old.header24(), &format!("lane:{}", lane.0)]);
    let publish = start(&["publish", &old.header24(), "--from", PATTERN]);
    let mut watch = lane.watch(&[]);
    watch.json_until(|event| event["event"] == "frame");
    publish.signal(Signal::SIGKILL);
    publish.finish();
    watch.json_until(|event| event["event"] == "closed");
    let _publish = start(&["publish", &old.header24(), "--from", PATTERN]);
    let frame = watch.json_until(|event| event["event"] == "frame");
    assert_eq!(frame["restarted"], true);
}

#[test]
fn bytes_go_from_an_old_stream_to_a_native_one_and_back() {
    let (first, lane, second) = (Old::new("bytes-a"), Lane::new("bytes"), Old::new("bytes-b"));
    let stream = format!("stream:{}", lane.0);
    let mut writer = SyncOptions::new().create(&first.0.parse().unwrap()).unwrap();
    let _there = start(&["bridge", &format!("sharesync:{}", first.0), &stream]);
    let _back = start(&["bridge", &stream, &format!("sharesync:{}", second.0)]);
    let sent: Vec<u8> = (0..300_000u32).map(|n| (n / 7) as u8).collect();
    for message in sent.chunks(999) {
        writer.write(message, LONG).unwrap();
    }
    let mut reader = SyncReader::open(&second.0.parse().unwrap(), LONG).unwrap();
    let (mut received, mut bytes) = (Vec::new(), vec![0; 64 * 1024]);
    while received.len() < sent.len() {
        let count = reader.read(&mut bytes, LONG).unwrap();
        received.extend_from_slice(&bytes[..count]);
    }
    assert!(received == sent);
    assert!(matches!(reader.read(&mut bytes, Duration::ZERO), Err(Error::TimedOut { .. })));
}

#[test]
fn a_message_is_set_and_got_under_any_spelling_of_its_name() {
    let old = Old::new("text");
    let created = json(&["text", "set", &old.0, "a message"]);
    assert_eq!(created["created"], true);
    for name in [&old.0, old.0.trim_start_matches('/'), old.file().to_str().unwrap()] {
        assert_eq!(text(&run(&["text", "get", name]).stdout), "a message\n");
    }
    let mut set = camlane(&["text", "set", &old.0, "-"]);
    let mut set = Running::start(set.stdin(Stdio::piped()), false);
    std::io::Write::write_all(&mut set.stdin(), b"from standard input").unwrap();
    assert!(set.finish().0.success());
    assert_eq!(json(&["text", "get", &old.0])["text"], "from standard input");
}

#[test]
fn a_message_can_be_waited_for() {
    let old = Old::new("wait");
    let get = Running::start(&mut camlane(&["text", "get", &old.0, "--timeout", "60"]), false);
    assert!(run(&["text", "set", &old.0, ""]).status.success()); // there, and empty
    assert!(run(&["text", "set", &old.0, "now"]).status.success());
    assert_eq!(text(&get.finish().1), "now\n");
}

#[rstest]
#[case::no_object_to_watch(&["watch", "header24:/cli-old-none"], 3, "no object")]
#[case::no_object_to_snap(&["snap", "header24:/cli-old-none", "-o", "x.png"], 3, "no object")]
#[case::no_object_in_time(&["watch", "header24:/cli-old-none", "--timeout", "0.1"], 4, "no frame")]
#[case::no_message(&["text", "get", "/cli-old-none"], 3, "ENOENT")]
#[case::bad_name(&["text", "get", "/"], 2, "names no object")]
#[case::bad_ends(&["bridge", "header24:/a", "stream:b"], 2, "sharesync with stream")]
#[case::bad_end(&["bridge", "front-door", "header24:/a"], 2, "give header24:NAME")]
#[case::bad_mode(&["bridge", "header24:/a", "lane:b", "--mode", "888"], 2, "in octal")]
fn what_cannot_be_done_has_its_status_and_a_reason(
    #[case] arguments: &[&str],
    #[case] status: i32,
    #[case] says: &str,
) {
    let output = run(arguments);
    let error = text(&output.stderr);
    assert_eq!((output.status.code(), error.contains(says)), (Some(status), true), "{error}");
}

#[test]
fn a_name_that_another_program_writes_is_refused() {
    let old = Old::new("taken");
    let _publish = start(&["publish", &old.header24(), "--from", PATTERN]);
    let second = run(&["publish", &old.header24(), "--from", PATTERN]);
    assert_eq!(second.status.code(), Some(1));
    assert!(text(&second.stderr).contains("in use by another camlane writer"), "{}", text(&second.stderr));
}

#[rstest]
#[case::bridge("bridge")]
#[case::text("text")]
fn the_help_of_these_commands_has_examples_too(#[case] command: &str) {
    let help = text(&run(&[command, "--help"]).stdout);
    assert!(help.contains("Examples:") && help.contains(&format!("camlane {command}")), "{help}");
}

#[rstest]
fn a_lane_in_a_file_or_a_segment_is_a_lane_to_every_command(#[values("file", "sysv")] kind: &str) {
    let dir = tempfile::tempdir().unwrap();
    let key = camlane::legacy::Key::of_file(dir.path(), 1).unwrap();
    let lane = match kind {
        "file" => format!("file:{}", dir.path().join("left.lane").display()),
        _ => format!("sysv:{key}"),
    };
    let old = Old::new(&format!("in-place-{kind}"));
    let publish = start(&["publish", &lane, "--from", PATTERN]);
    let watch = ["watch", &lane, "--check", "--frames", "20", "--timeout", "60", "--json"];
    let watched = run(&watch);
    assert!(watched.status.success(), "{}", text(&watched.stderr));
    assert_eq!(json(&["info", &lane])["health"], "running");
    let picture = dir.path().join("now.png");
    assert!(run(&["snap", &lane, "-o", picture.to_str().unwrap(), "--timeout", "60"]).status.success());
    assert!(picture.exists());
    let _bridge = start(&["bridge", &format!("lane:{lane}"), &old.header24()]);
    let watch = ["watch", &old.header24(), "--check", "--frames", "5", "--timeout", "60", "--json"];
    assert!(run(&watch).status.success());

    let refused = run(&["rm", &lane]);
    assert!(!refused.status.success(), "{}", text(&refused.stdout));
    publish.signal(Signal::SIGINT);
    assert!(publish.finish().0.success());
    assert!(run(&["rm", &lane]).status.success());
    assert_eq!(run(&["info", &lane]).status.code(), Some(3));
    let _ = std::fs::remove_file(format!("/dev/shm/camlane.sysv-{key}.lock"));
}

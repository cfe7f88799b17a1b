//! Every command as a person or a script uses it.

mod common;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{Lane, Running, camlane, json, run, text};
use nix::sys::signal::Signal;
use rstest::rstest;
use serde_json::{Value, json as value};

const SMALL: &str = "pattern:64x48,GRAY8,200";

#[rstest]
#[case::demo("demo")]
#[case::publish("publish")]
#[case::watch("watch")]
#[case::snap("snap")]
#[case::ls("ls")]
#[case::info("info")]
#[case::rm("rm")]
#[case::doctor("doctor")]
#[case::bench("bench")]
#[case::completions("completions")]
fn the_help_of_a_command_has_examples(#[case] command: &str) {
    let help = run(&[command, "--help"]);
    assert!(help.status.success());
    let help = text(&help.stdout);
    assert!(
        help.contains("Examples:") && help.contains(&format!("camlane {command}")) && help.contains("--json"),
        "{help}"
    );
    assert!(text(&run(&["--help"]).stdout).contains(&format!("\n  {command} ")));
}

#[rstest]
#[case::no_command(&[], "Usage")]
#[case::unknown_command(&["recrod"], "unrecognized subcommand")]
#[case::bad_name(&["watch", "front/door"], "is not allowed")]
#[case::no_source(&["publish", "x"], "--from")]
#[case::bad_size(&["publish", "x", "--from", "pattern", "--size", "1280"], "as in 1280x720")]
#[case::bad_rate(&["publish", "x", "--from", "pattern", "--rate", "29.97"], "30000/1001")]
#[case::bad_format(&["publish", "x", "--from", "pattern", "--format", "YUYW"], "there are OPAQUE")]
#[case::too_many_pins(&["publish", "x", "--from", "pattern", "--pins", "9"], "1..=8")]
#[case::bad_alignment(&["publish", "x", "--from", "pattern", "--align", "48"], "power of two")]
#[case::undescribed_stdin(&["publish", "x", "--from", "-"], "--format")]
#[case::unknown_pattern(&["publish", "x", "--from", "pattern:fast"], "\"fast\"")]
#[case::unknown_ending(&["snap", "x", "-o", "frame.gif"], ".png")]
#[case::raw_json(&["watch", "x", "--raw", "--json"], "cannot be used with")]
#[case::nothing_to_remove(&["rm"], "LANES")]
#[case::compressed_demo(&["demo", "--format", "JPEG"], "no test picture")]
#[case::tiny_demo(&["demo", "--size", "16x16"], "no test picture")]
fn wrong_usage_is_status_2_and_says_what_is_right(#[case] arguments: &[&str], #[case] says: &str) {
    let output = run(arguments);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains(says), "{}", text(&output.stderr));
    assert!(output.stdout.is_empty());
}

#[rstest]
#[case::watch(&["watch", "LANE"])]
#[case::watch_with_patience(&["watch", "LANE", "--timeout", "0.1"])]
#[case::snap(&["snap", "LANE", "-o", "never.png"])]
#[case::observe(&["snap", "LANE", "-o", "never.png", "--observe"])]
#[case::info(&["info", "LANE"])]
#[case::rm(&["rm", "LANE"])]
fn a_lane_that_is_not_there_is_status_3(#[case] arguments: &[&str]) {
    let lane = Lane::new("absent");
    let arguments: Vec<&str> =
        arguments.iter().map(|&word| if word == "LANE" { &lane.0 } else { word }).collect();
    let output = run(&arguments);
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains(&format!("no lane '{}'", lane.0)), "{}", text(&output.stderr));
}

#[rstest]
#[case::watch(&["watch", "LANE", "--timeout", "0.1"])]
#[case::watch_as_json(&["watch", "LANE", "--timeout", "0.1", "--json"])]
#[case::snap(&["snap", "LANE", "-o", "never.png", "--timeout", "0.1"])]
#[case::observe(&["snap", "LANE", "-o", "never.png", "--observe", "--timeout", "0.1"])]
fn a_lane_without_frames_is_status_4_after_the_time_out(#[case] arguments: &[&str]) {
    let lane = Lane::new("silent");
    let _silent = lane.publish(SMALL, &["--wait-for", "8"]);
    let arguments: Vec<&str> =
        arguments.iter().map(|&word| if word == "LANE" { &lane.0 } else { word }).collect();
    let output = run(&arguments);
    assert_eq!(output.status.code(), Some(4), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("no frame came within 0.1 s"), "{}", text(&output.stderr));
}

#[test]
fn a_source_that_is_missing_is_status_1_and_no_lane_is_made() {
    let lane = Lane::new("missing");
    let output = run(&["publish", &lane.0, "--from", "no-such-file.mp4"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("no-such-file.mp4"));
    assert_eq!(lane.objects(), Vec::<String>::new());
}

#[test]
fn a_published_lane_is_listed_described_saved_and_watched() {
    let folder = tempfile::tempdir().unwrap();
    let lane = Lane::new("roundtrip");
    let publisher = lane.publish("pattern:64x48,NV12,200", &["--seats", "3", "--align", "64"]);
    let checked = json_lines(
        &run(&["watch", &lane.0, "--frames", "20", "--check", "--json", "--timeout", "60"]).stdout,
    );
    let summary = checked.last().unwrap();
    assert_eq!(
        (&summary["frames"], &summary["torn"], &summary["end"]),
        (&value!(20), &value!(0), &value!("frames"))
    );

    let list = json(&["ls"]);
    let listed = list.as_array().unwrap().iter().find(|row| row["lane"] == lane.0.as_str()).unwrap();
    assert_eq!(
        (&listed["health"], &listed["format"], &listed["seats"]),
        (&value!("running"), &value!("NV12"), &value!(3))
    );
    assert!(text(&run(&["ls"]).stdout).contains(&lane.0));

    let info = json(&["info", &lane.0]);
    assert_eq!(info["producer"]["pid"], value!(publisher.pid()));
    let frame = &info["newest_frame"];
    assert_eq!((&frame["width"], &frame["planes"][1]["stride"]), (&value!(64), &value!(64)));
    assert!(text(&run(&["info", &lane.0]).stdout).contains("newest frame"));

    for observe in [&[][..], &["--observe"]] {
        let file = folder.path().join("frame.png");
        let saved = json(&[&["snap", &lane.0, "-o", file.to_str().unwrap()], observe].concat());
        // The number in the pixels is the number in the description.
        assert_eq!(saved["pattern"][0], saved["frame"]["source_sequence"]);
        let picture =
            png::Decoder::new(std::io::BufReader::new(fs::File::open(&file).unwrap())).read_info().unwrap();
        assert_eq!(picture.info().size(), (64, 48));
    }
    let file = folder.path().join("frame.raw");
    json(&["snap", &lane.0, "-o", file.to_str().unwrap()]);
    assert_eq!(fs::metadata(&file).unwrap().len(), 64 * 48 * 3 / 2);
    assert!(run(&["snap", &lane.0, "-o", "-"]).stdout.starts_with(b"\x89PNG"));
}

#[test]
fn a_reader_is_shown_in_its_seat() {
    let lane = Lane::new("reader");
    let _publisher = lane.publish(SMALL, &[]);
    let mut reader = lane.watch(&[]);
    reader.json_until(|line| line["event"] == "frame");
    let info = json(&["info", &lane.0]);
    let consumers = info["consumers"].as_array().unwrap();
    assert_eq!((consumers.len(), &consumers[0]["pid"]), (1, &value!(reader.pid())));
    assert!(consumers[0]["command"].as_str().unwrap().contains("watch"));
    let table = text(&run(&["info", &lane.0]).stdout);
    assert!(table.contains("1 of 8 taken") && table.contains("CONSUMER"), "{table}");
}

#[rstest]
#[case::packed(1, &[])]
#[case::rows_with_padding(64, &[])]
#[case::as_it_lies_in_memory(64, &["--padded"])]
fn a_y4m_file_comes_out_byte_for_byte(#[case] align: u32, #[case] padded: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("clip.y4m");
    let frames = noise(20, 6 * 4 * 3 / 2);
    fs::write(&file, y4m("W6 H4 F100:1 C420jpeg", &frames)).unwrap();

    let lane = Lane::new("y4m");
    let align = align.to_string();
    // The history holds the whole clip, so that a reader which is late misses nothing.
    let publisher =
        lane.publish(file.to_str().unwrap(), &["--wait-for", "1", "--history", "40", "--align", &align]);
    let arguments = ["watch", &lane.0, "--every", "--raw", "--until-end", "--timeout", "60"];
    let read = run(&[&arguments, padded].concat());
    assert!(read.status.success(), "{}", text(&read.stderr));
    if padded.is_empty() {
        assert!(read.stdout == frames.concat());
    } else {
        assert_eq!(read.stdout.len(), 20 * 64 * (4 + 2 + 2));
        assert_eq!(read.stdout[..6], frames[0][..6]);
    }
    assert!(publisher.finish().0.success());
    assert_eq!(lane.objects(), Vec::<String>::new());
}

#[test]
fn raw_frames_go_from_standard_input_to_standard_output() {
    let lane = Lane::new("stdin");
    let described = ["--size", "8x4", "--format", "YUYV", "--wait-for", "1", "--history", "40"];
    let arguments = [&["publish", &lane.0, "--from", "-"], &described[..]].concat();
    let mut publisher = Running::start(camlane(&arguments).stdin(Stdio::piped()), true);
    let mut input = publisher.stdin();
    let frames = noise(20, 8 * 4 * 2).concat();
    let copy = frames.clone();
    let writing = std::thread::spawn(move || input.write_all(&copy).unwrap());
    let read = run(&["watch", &lane.0, "--every", "--raw", "--until-end", "--timeout", "60"]);
    writing.join().unwrap();
    assert!(read.stdout == frames, "{}", text(&read.stderr));
    let (status, out, _) = publisher.finish();
    assert!(status.success() && text(&out).starts_with("20 frames"), "{}", text(&out));
}

#[test]
fn images_of_different_sizes_come_in_order_and_can_be_saved() {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("images");
    fs::create_dir(&images).unwrap();
    for (name, width) in [("a.png", 8), ("b.png", 16), ("c.png", 4)] {
        grey_png(&images.join(name), width);
    }
    let lane = Lane::new("images");
    let publisher = lane.publish(images.to_str().unwrap(), &["--wait-for", "1", "--rate", "100"]);
    let saved = folder.path().join("saved");
    let arguments = ["watch", &lane.0, "--every", "--until-end", "--timeout", "60", "--json", "--save"];
    let lines = json_lines(&run(&[&arguments, &[saved.to_str().unwrap()][..]].concat()).stdout);
    let widths: Vec<_> =
        lines.iter().filter(|line| line["event"] == "frame").map(|line| line["width"].clone()).collect();
    assert_eq!(widths, [8, 16, 4]);
    assert_eq!(fs::read_dir(&saved).unwrap().count(), 3);
    assert!(publisher.finish().0.success());
}

#[test]
fn a_frame_that_grew_beyond_its_slot_makes_a_larger_lane_and_readers_follow() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("image.png");
    grey_png(&file, 8);
    let lane = Lane::new("grows");
    let publisher = lane.publish(file.to_str().unwrap(), &["--repeat", "--rate", "200"]);
    let mut reader = lane.watch(&[]);
    assert_eq!(reader.json_until(|line| line["event"] == "frame")["width"], 8);
    let larger = folder.path().join("larger");
    grey_png(&larger, 800);
    fs::rename(&larger, &file).unwrap();
    let first = reader.json_until(|line| line["event"] == "frame" && line["width"] != 8);
    assert_eq!((&first["width"], &first["restarted"]), (&value!(800), &value!(true)));
    publisher.signal(Signal::SIGTERM);
    let (status, _, errors) = publisher.finish();
    assert!(status.success(), "{errors}");
}

#[rstest]
#[case::interrupted(Signal::SIGINT)]
#[case::terminated(Signal::SIGTERM)]
fn a_signal_ends_the_stream_in_good_order(#[case] signal: Signal) {
    let lane = Lane::new("signal");
    let publisher = lane.publish(SMALL, &["--json"]);
    let mut reader = lane.watch(&["--until-end"]);
    reader.json_until(|line| line["event"] == "frame");
    publisher.signal(signal);
    let (status, out, errors) = publisher.finish();
    assert!(status.success(), "{errors}");
    let summary: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!((&summary["end"], &summary["dropped"]), (&value!("stopped"), &value!(0)));
    assert_eq!(lane.objects(), Vec::<String>::new());
    let end = reader.json_until(|line| line["event"] == "summary");
    assert_eq!(end["end"], "closed");
    assert!(reader.finish().0.success());
}

#[test]
fn a_watcher_that_is_interrupted_sums_up_and_leaves_its_seat() {
    let lane = Lane::new("leaves");
    let _publisher = lane.publish(SMALL, &["--seats", "1"]);
    let mut reader = lane.watch(&["--every"]);
    reader.json_until(|line| line["event"] == "frame");
    reader.signal(Signal::SIGINT);
    assert_eq!(reader.json_until(|line| line["event"] == "summary")["end"], "stopped");
    assert!(reader.finish().0.success());
    assert_eq!(json(&["info", &lane.0])["consumers"], value!([]));
}

#[test]
fn a_reader_of_standard_output_that_leaves_is_no_error() {
    let lane = Lane::new("pipe");
    let _publisher = lane.publish(SMALL, &[]);
    let mut reader = lane.watch(&[]);
    reader.next_json();
    reader.stop_reading();
    let (status, _, errors) = reader.finish();
    assert_eq!((status.code(), errors.as_str()), (Some(0), ""));
}

#[test]
fn a_watcher_follows_a_producer_that_was_killed() {
    let lane = Lane::new("follows");
    let first = lane.publish(SMALL, &[]);
    let mut reader = lane.watch(&[]);
    reader.json_until(|line| line["event"] == "frame");
    first.signal(Signal::SIGKILL);
    drop(first);
    reader.json_until(|line| line["event"] == "gone");
    let _second = lane.publish("pattern:80x48,GRAY8,200", &[]);
    let next = reader.json_until(|line| line["event"] == "frame");
    assert_eq!((&next["restarted"], &next["width"]), (&value!(true), &value!(80)));
    reader.signal(Signal::SIGINT);
    assert_eq!(reader.json_until(|line| line["event"] == "summary")["restarts"], 1);
}

/// Waits until a reader sits in a lane.
fn wait_for_reader(lane: &Lane, reader: &Running) {
    let until = Instant::now() + Duration::from_secs(60);
    while json(&["info", &lane.0])["consumers"][0]["pid"] != value!(reader.pid()) {
        assert!(Instant::now() < until, "the reader does not come");
    }
}

#[test]
fn a_watcher_with_a_time_out_begins_with_the_producer_after_one_that_was_killed() {
    let lane = Lane::new("patient");
    let first = lane.publish(SMALL, &[]);
    lane.watch(&["--frames", "1"]).finish();
    first.signal(Signal::SIGKILL);
    drop(first);
    let mut reader = lane.watch(&[]);
    wait_for_reader(&lane, &reader);
    let _second = lane.publish("pattern:80x48,GRAY8,200", &[]);
    let next = reader.next_json();
    assert_eq!(
        (&next["event"], &next["restarted"], &next["width"]),
        (&value!("frame"), &value!(false), &value!(80))
    );
}

#[test]
fn a_watcher_that_waits_for_a_producer_can_be_interrupted() {
    let lane = Lane::new("interrupted");
    let first = lane.publish(SMALL, &[]);
    first.signal(Signal::SIGKILL);
    drop(first);
    let reader = lane.watch(&[]);
    wait_for_reader(&lane, &reader);
    reader.signal(Signal::SIGINT);
    let (status, out, errors) = reader.finish();
    assert_eq!((status.code(), text(&out).as_str(), errors.as_str()), (Some(0), "", ""));
}

#[test]
fn what_a_killed_producer_left_is_called_stale_and_removed() {
    let lane = Lane::new("stale");
    let publisher = lane.publish(SMALL, &[]);
    let refused = run(&["rm", &lane.0]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("living producer"), "{}", text(&refused.stderr));
    publisher.signal(Signal::SIGKILL);
    drop(publisher);
    assert_eq!(json(&["info", &lane.0])["health"], "stale");
    assert_eq!(json(&["rm", &lane.0])["removed"], value!([lane.0]));
    assert_eq!(lane.objects(), Vec::<String>::new());
}

#[test]
fn a_second_producer_is_refused() {
    let lane = Lane::new("taken");
    let first = lane.publish(SMALL, &[]);
    let output = run(&["publish", &lane.0, "--from", SMALL]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains(&first.pid().to_string()), "{}", text(&output.stderr));
}

#[test]
fn frames_that_are_not_the_test_picture_fail_the_check() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("grey.png");
    grey_png(&file, 64);
    let lane = Lane::new("check");
    let _publisher = lane.publish(file.to_str().unwrap(), &["--repeat"]);
    let output = run(&["watch", &lane.0, "--frames", "2", "--check", "--timeout", "60"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("2 of 2 frames are not the test picture"),
        "{}",
        text(&output.stderr)
    );
}

#[rstest]
#[case("bash")]
#[case("zsh")]
#[case("fish")]
#[case("elvish")]
#[case("powershell")]
fn a_shell_gets_its_completions(#[case] shell: &str) {
    let script = text(&run(&["completions", shell]).stdout);
    assert!(script.contains("publish") && !script.contains("demo-worker"), "{script}");
    assert_eq!(json(&["completions", shell])["script"], script.as_str());
}

#[test]
fn the_doctor_says_what_to_do_about_whatever_is_not_right() {
    let output = run(&["doctor", "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.success(), report["passed"] == true);
    let checks = report["checks"].as_array().unwrap();
    assert!(
        checks.iter().any(|check| check["what"] == "a frame goes through" && check["verdict"] == "ok"),
        "{report}"
    );
    assert!(checks.iter().all(|check| check["verdict"] == "ok" || check["do"].is_string()), "{report}");
}

fn json_lines(bytes: &[u8]) -> Vec<Value> {
    text(bytes).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Frames of bytes that do not repeat soon (xorshift).
fn noise(frames: usize, bytes: usize) -> Vec<Vec<u8>> {
    let mut state = 0x2545_F491_u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    };
    (0..frames).map(|_| (0..bytes).map(|_| next()).collect()).collect()
}

fn y4m(header: &str, frames: &[Vec<u8>]) -> Vec<u8> {
    let mut file = format!("YUV4MPEG2 {header}\n").into_bytes();
    frames.iter().for_each(|frame| file.extend([b"FRAME\n", &frame[..]].concat()));
    file
}

/// A square grey picture.
fn grey_png(path: &Path, width: u32) {
    let mut encoder = png::Encoder::new(fs::File::create(path).unwrap(), width, width);
    encoder.set_color(png::ColorType::Grayscale);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&vec![width as u8; (width * width) as usize]).unwrap();
}

#[test]
fn lanes_in_step_give_sets_and_an_account_of_every_frame() {
    let (left, right) = (Lane::new("step-left"), Lane::new("step-right"));
    let _left = left.publish("pattern:64x48,GRAY8,100", &["--pins", "4"]);
    let _right = right.publish("pattern:64x48,GRAY8,50", &["--pins", "4"]);
    let both = format!("{},{}", left.0, right.0);
    let watched = run(&[
        "watch",
        "--sync",
        &both,
        "--tolerance",
        "0.02",
        "--frames",
        "20",
        "--timeout",
        "60",
        "--json",
    ]);
    assert!(watched.status.success(), "{}", text(&watched.stderr));
    let lines: Vec<Value> =
        text(&watched.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let sets = lines.iter().filter(|line| line["event"] == "frameset");
    let within = |set: &Value| {
        set["spread_ns"].as_u64().unwrap() <= 20_000_000 && set["frames"].as_array().unwrap().len() == 2
    };
    assert_eq!(sets.inspect(|set| assert!(within(set), "{set}")).count(), 20);
    let summary = lines.last().unwrap();
    for lane in summary["lanes"].as_array().unwrap() {
        let count = |key: &str| lane[key].as_u64().unwrap();
        assert_eq!(count("paired"), 20);
        assert_eq!(count("delivered"), count("paired") + count("unpaired") + count("waiting"), "{lane}");
    }
    assert_eq!(run(&["watch", "--sync", &left.0, "--timeout", "1"]).status.code(), Some(1));
    assert_eq!(run(&["watch", "--sync", &both, &left.0]).status.code(), Some(2));
    assert_eq!(run(&["watch"]).status.code(), Some(2));
}

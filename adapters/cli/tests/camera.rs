//! The program with a camera: the kernel's virtual one, vivid, in the machine that `tests/camera.sh` boots. Elsewhere these
//! tests are skipped, aloud, unless `CAMLANE_REQUIRE_CAMERA=1` forbids that.

mod common;

use std::io::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use camlane_v4l2::{Device, Found, cameras};
use common::{Lane, Running, camlane, json, run, text};
use nix::sys::signal::Signal;
use serde_json::Value;

/// A single-planar vivid camera, for one test at a time.
struct Vivid(Found, #[allow(dead_code, reason = "held")] MutexGuard<'static, ()>);

impl Vivid {
    fn find() -> Option<Self> {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let found =
            cameras().into_iter().find(|found| found.identity.driver == "vivid" && !found.multiplanar);
        let demanded = std::env::var_os("CAMLANE_REQUIRE_CAMERA").is_some_and(|value| value == "1");
        assert!(found.is_some() || !demanded, "CAMLANE_REQUIRE_CAMERA is set, and there is no vivid camera");
        if found.is_none() {
            let _ = writeln!(
                std::io::stderr(),
                "SKIPPED: no vivid camera here; tests/camera.sh boots a machine that has one"
            );
        }
        found.map(|found| Self(found, alone))
    }

    fn path(&self) -> &str {
        self.0.path.to_str().unwrap()
    }

    fn set(&self, name: &str, value: &str) {
        Device::open(&self.0.path).unwrap().set_control(name, value).unwrap();
    }
}

const SMALL: [&str; 6] = ["--size", "320x180", "--rate", "30", "--format", "YUYV"];

#[test]
fn cameras_are_listed_with_what_they_can_do() {
    let Some(vivid) = Vivid::find() else { return };
    let listed = json(&["cameras"]);
    let found = listed.as_array().unwrap().iter().find(|camera| camera["device"] == vivid.path()).unwrap();
    assert_eq!((&found["driver"], &found["multiplanar"]), (&"vivid".into(), &false.into()));
    assert!(found["memory"].as_array().unwrap().contains(&"userptr".into()), "{found}");
    let yuyv = found["formats"].as_array().unwrap().iter().find(|format| format["fourcc"] == "YUYV").unwrap();
    let sizes = yuyv["sizes"].as_array().unwrap();
    assert!(sizes.iter().any(|size| size["width"] == 1280 && size["height"] == 720), "{yuyv}");
    assert!(found["controls"].as_array().unwrap().iter().any(|control| control["name"] == "brightness"));
    let one = text(&run(&["cameras", vivid.path()]).stdout);
    assert!(one.contains("YUYV") && one.contains("1280x720") && one.contains("brightness"), "{one}");
}

#[test]
fn a_camera_is_published_without_a_copy_and_its_frames_say_what_they_are() {
    let Some(vivid) = Vivid::find() else { return };
    let lane = Lane::new("camera");
    let publisher =
        lane.publish(vivid.path(), &[&SMALL[..], &["--control", "brightness=140", "--json"]].concat());
    let mut watcher = lane.watch(&["--frames", "5", "--every"]);
    for _ in 0..5 {
        let frame = watcher.next_json();
        assert_eq!(
            (&frame["format"], &frame["width"], &frame["height"]),
            (&"YUYV".into(), &320.into(), &180.into())
        );
        assert_eq!((&frame["clock"], &frame["reference"]), (&"monotonic".into(), &"end-of-frame".into()));
        assert!(!frame["flags"].as_array().unwrap().contains(&"COPIED".into()), "{frame}");
        assert_ne!(frame["details"]["colour"][0], 2, "vivid states its colours");
    }
    let info = text(&run(&["info", &lane.0]).stdout);
    assert!(info.contains("copies      0") && info.contains("memory path userptr"), "{info}");
    let brightness = Device::open(vivid.path()).unwrap().controls().unwrap();
    assert_eq!(brightness.iter().find(|control| control.name == "brightness").unwrap().value, Some(140));
    publisher.signal(Signal::SIGINT);
    let (status, out, errors) = publisher.finish();
    let summary: Value = serde_json::from_slice(&out).unwrap();
    assert!(status.success(), "{errors}");
    assert_eq!(
        (&summary["memory"], &summary["copies_per_frame"]),
        (&"userptr".into(), &0.into()),
        "{summary}"
    );
    assert_eq!(summary["end"], "stopped");
}

#[test]
fn a_copy_is_made_only_if_asked_for_here_and_then_told() {
    let Some(vivid) = Vivid::find() else { return };
    let lane = Lane::new("copied");
    let publisher = lane.publish(vivid.path(), &[&SMALL[..], &["--memory", "mmap"]].concat());
    let frame = lane.watch(&["--frames", "1"]).next_json();
    assert!(frame["flags"].as_array().unwrap().contains(&"COPIED".into()), "{frame}");
    assert_eq!((&frame["memory"], &frame["copies"]), (&"mmap".into(), &1.into()));
    let info = text(&run(&["info", &lane.0]).stdout);
    assert!(info.contains("copies      1") && info.contains("memory path mmap"), "{info}");
    drop(publisher);
}

#[test]
fn a_sealed_lane_is_filled_through_dma_bufs_and_a_named_one_says_why_not() {
    let Some(vivid) = Vivid::find() else { return };
    let folder = tempfile::tempdir().unwrap();
    let lane = Lane(format!("sealed:{}/camera.sock", folder.path().display()));
    if std::path::Path::new("/dev/udmabuf").exists() {
        let publisher = lane.publish(vivid.path(), &[&SMALL[..], &["--memory", "dmabuf", "--json"]].concat());
        let frame = lane.watch(&["--frames", "1"]).next_json();
        assert_eq!((&frame["memory"], &frame["copies"]), (&"dmabuf".into(), &0.into()), "{frame}");
        assert_eq!(json(&["info", &lane.0])["newest_frame"]["memory"], "dmabuf");
        publisher.signal(Signal::SIGINT);
        let (_, out, _) = publisher.finish();
        assert_eq!(serde_json::from_slice::<Value>(&out).unwrap()["memory"], "dmabuf");
    } else {
        // Debian's kernel 6.1: the reason is the kernel's, not the lane's.
        let refused = run(&["publish", &lane.0, "--from", vivid.path(), "--memory", "dmabuf"]);
        let said = text(&refused.stderr);
        assert!(refused.status.code() == Some(1) && said.contains("/dev/udmabuf"), "{said}");
    }

    let named = Lane::new("no-dmabuf");
    let refused = run(&["publish", &named.0, "--from", vivid.path(), "--memory", "dmabuf"]);
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("the memory has no dma-buf, because it has a name: publish sealed:NAME"), "{said}");
    assert_eq!(said.matches("takes none of the memory paths").count(), 1, "{said}");
}

#[test]
fn a_camera_that_is_taken_says_by_whom() {
    let Some(vivid) = Vivid::find() else { return };
    let lane = Lane::new("holder");
    let publisher = lane.publish(vivid.path(), &SMALL);
    lane.watch(&["--frames", "1"]).next_json();
    let second = camlane(&["publish", "cli-second", "--from", vivid.path()]).output().unwrap();
    let said = text(&second.stderr);
    assert_eq!(second.status.code(), Some(1));
    assert!(said.contains("is busy") && said.contains(&format!("(process {})", publisher.pid())), "{said}");
}

#[test]
fn what_a_camera_cannot_do_is_said_with_what_it_can() {
    let Some(vivid) = Vivid::find() else { return };
    for (arguments, expected, status) in [
        (["--control", "colour=7"], "it has brightness", 2),
        (["--control", "brightness=999"], "it takes 0 to 255", 2),
        (["--format", "H265"], "it has YUYV", 1),
    ] {
        let output = run(&[&["publish", "cli-refused", "--from", vivid.path()], &arguments[..]].concat());
        let said = text(&output.stderr);
        assert!(output.status.code() == Some(status) && said.contains(expected), "{arguments:?}: {said}");
    }
}

/// A frame that was taken after the publisher had said something, which it says between two streams.
///
/// Once this was looked for in the driver's own count, which begins again with each stream: that of a stream which broke down
/// after its first frame cannot fall, and the test waited for ever.
fn a_frame_from_after(what: &str, publisher: &Running, lane: &Lane, watcher: &mut Running) -> Value {
    publisher.says(what);
    let newest = json(&["info", &lane.0])["newest_frame"]["number"].as_u64().unwrap();
    watcher.json_until(|line| line["number"].as_u64() > Some(newest)) // a line may tell of a pause, too
}

#[test]
fn a_stream_that_breaks_down_goes_on_in_the_same_lane() {
    let Some(vivid) = Vivid::find() else { return };
    let lane = Lane::new("broken");
    let publisher = lane.publish(vivid.path(), &[&SMALL[..], &["--json"]].concat());
    let mut watcher = lane.watch(&["--every"]);
    watcher.next_json();
    vivid.set("inject_fatal_streaming_error", "1");
    let after = a_frame_from_after("the lane stays", &publisher, &lane, &mut watcher);
    assert_eq!(after["restarted"], false, "the lane is the same: {after}");
    publisher.signal(Signal::SIGINT);
    let (_, out, errors) = publisher.finish();
    let summary: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(summary["restarts"], 1, "{summary}");
    assert!(errors.contains("broke down") && errors.contains("the lane stays"), "{errors}");
}

#[test]
fn a_camera_that_was_unplugged_comes_back_into_the_same_lane() {
    let Some(vivid) = Vivid::find() else { return };
    let lane = Lane::new("unplugged");
    let publisher = lane.publish(vivid.path(), &[&SMALL[..], &["--json"]].concat());
    let mut watcher = lane.watch(&["--every"]);
    watcher.next_json();
    vivid.set("disconnect", "1"); // vivid puts it back as soon as nobody has it open
    let after = a_frame_from_after("the lane stays", &publisher, &lane, &mut watcher);
    assert_eq!(after["restarted"], false, "the lane is the same: {after}");
    publisher.signal(Signal::SIGINT);
    let (_, out, errors) = publisher.finish();
    let summary: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(summary["disconnects"], 1, "{summary}");
    assert!(errors.contains("is gone"), "{errors}");
}

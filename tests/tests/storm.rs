//! One minute of the kill storm; `src/bin/storm` says what it proves, and runs for as long as one likes.

use std::process::{Command, Stdio};

use serde_json::Value;

#[test]
fn in_a_storm_no_frame_is_torn_none_is_miscounted_and_nothing_is_left_over() {
    let output = Command::new(env!("CARGO_BIN_EXE_storm"))
        .args(["--minutes", "1", "--json"])
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let facts: Value = serde_json::from_str(&text).unwrap_or_default();
    assert!(output.status.success() && facts["ok"] == true, "{}: {text}", output.status);
    let number = |name: &str| facts[name].as_u64().unwrap_or_else(|| panic!("no {name} in {text}"));
    let event = |name: &str| facts["events"][name].as_u64().unwrap_or_else(|| panic!("no {name} in {text}"));
    // It did happen.
    assert!(event("readers_killed") > 20 && event("readers_stopped") > 20, "{text}");
    assert!(event("producers_killed") + event("producers_restarted") > 0, "{text}");
    assert!(number("frames_checked") > 1000 && number("copies_checked") > 100, "{text}");
    assert!(number("seats_proved_free") > 0 && number("slots_proved_free") > 0, "{text}");
}

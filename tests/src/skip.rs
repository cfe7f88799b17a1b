//! Saying aloud that a test did not happen.

use std::io::Write;

/// Tells people that a test skips something here, and why. The test runner hides what the print macros say in tests
/// that pass, so this does not use them.
pub fn skipped(why: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {why}");
}

//! Where log lines go: to standard error, as many as `-v` asked for.

use std::io::Write as _;

use log::{LevelFilter, Log, Metadata, Record};

struct Stderr;

static STDERR: Stderr = Stderr;

impl Log for Stderr {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            // A log that cannot be written is no reason to stop.
            let _ =
                writeln!(std::io::stderr(), "{}: {}", record.level().as_str().to_lowercase(), record.args());
        }
    }

    fn flush(&self) {}
}

/// Shows warnings, and with each `-v` one level more; below 0 only errors.
pub(crate) fn start(verbosity: i8) {
    let level = match verbosity {
        ..0 => LevelFilter::Error,
        0 => LevelFilter::Warn,
        1 => LevelFilter::Info,
        2 => LevelFilter::Debug,
        _ => LevelFilter::Trace,
    };
    // Fails only if there is a logger already, and this is the one call.
    if log::set_logger(&STDERR).is_ok() {
        log::set_max_level(level);
    }
}

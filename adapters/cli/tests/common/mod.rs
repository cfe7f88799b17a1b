//! The program under test, and lanes that nothing is left of.
#![allow(dead_code, reason = "each test program uses its part")]

use core::sync::atomic::{AtomicU32, Ordering};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// How long to wait for what should happen soon: the machine may be emulated, and its host busy.
const PATIENCE: Duration = Duration::from_secs(120);

/// The program with arguments, nothing inherited that could change what it says.
pub(crate) fn camlane(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_camlane"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs it to its end.
pub(crate) fn run(arguments: &[&str]) -> Output {
    camlane(arguments).output().unwrap()
}

/// Runs it to its end, which must be good, and reads its JSON.
pub(crate) fn json(arguments: &[&str]) -> Value {
    let output = run(&[arguments, &["--json"]].concat());
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", text(&output.stdout)))
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A lane's name that no other test has.
pub(crate) struct Lane(pub(crate) String);

impl Lane {
    pub(crate) fn new(test: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        // The cases of one table run side by side.
        Self(format!("cli-{test}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)))
    }

    /// What /dev/shm has of it, apart from the lock file, which stays.
    pub(crate) fn objects(&self) -> Vec<String> {
        objects(&self.0).into_iter().filter(|object| !object.ends_with(".lock")).collect()
    }

    /// Starts a producer and waits until the lane is there.
    pub(crate) fn publish(&self, from: &str, more: &[&str]) -> Running {
        let arguments = [&["publish", &self.0, "--from", from], more].concat();
        Running::start(&mut camlane(&arguments), true)
    }

    /// Starts a watcher with JSON output; `more` decides when it ends.
    pub(crate) fn watch(&self, more: &[&str]) -> Running {
        let arguments = [&["watch", &self.0, "--json", "--timeout", "60"], more].concat();
        Running::start(&mut camlane(&arguments), false)
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        for object in objects(&self.0) {
            let _ = std::fs::remove_file(Path::new("/dev/shm").join(object));
        }
    }
}

/// What /dev/shm has of a lane.
pub(crate) fn objects(lane: &str) -> Vec<String> {
    let prefix = format!("camlane.{lane}.");
    let names =
        std::fs::read_dir("/dev/shm").unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with(&prefix)).collect()
}

/// A program that runs beside the test, and not longer.
pub(crate) struct Running {
    child: Child,
    lines: Option<BufReader<ChildStdout>>,
    said: Arc<Said>,
    ear: Option<std::thread::JoinHandle<()>>,
}

/// What a program has written on standard error so far.
#[derive(Default)]
struct Said {
    text: Mutex<String>,
    more: Condvar,
}

impl Running {
    /// Starts a program; `says` waits for its first line on standard error.
    pub(crate) fn start(command: &mut Command, says: bool) -> Self {
        let mut child = command.spawn().unwrap();
        let lines = child.stdout.take().map(BufReader::new);
        let mut errors = BufReader::new(child.stderr.take().unwrap());
        let mut first = String::new();
        if says {
            errors.read_line(&mut first).unwrap();
        }
        let said = Arc::new(Said { text: Mutex::new(first), more: Condvar::new() });
        let ear = std::thread::spawn({
            let said = Arc::clone(&said);
            move || {
                for line in errors.lines() {
                    *said.text.lock().unwrap() += &(line.unwrap() + "\n");
                    said.more.notify_all();
                }
            }
        });
        Self { child, lines, said, ear: Some(ear) }
    }

    /// Waits until it has written something on standard error.
    pub(crate) fn says(&self, what: &str) {
        let text = self.said.text.lock().unwrap();
        let (text, waited) =
            self.said.more.wait_timeout_while(text, PATIENCE, |text| !text.contains(what)).unwrap();
        assert!(!waited.timed_out(), "it did not say {what:?}, but: {text}");
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn stdin(&mut self) -> std::process::ChildStdin {
        self.child.stdin.take().unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    /// The next line that it writes, which must be JSON.
    pub(crate) fn next_json(&mut self) -> Value {
        let mut line = String::new();
        self.lines.as_mut().unwrap().read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    /// Reads lines until one is as wanted.
    pub(crate) fn json_until(&mut self, mut wanted: impl FnMut(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let value = self.next_json();
            if wanted(&value) {
                return value;
            }
            assert!(began.elapsed() < PATIENCE, "waited in vain; the last line: {value}");
        }
    }

    /// Closes its standard output, as `head` does when it has enough.
    pub(crate) fn stop_reading(&mut self) {
        self.lines = None;
    }

    /// Waits for its end; gives what it wrote and had not been read.
    pub(crate) fn finish(mut self) -> (ExitStatus, Vec<u8>, String) {
        let mut out = Vec::new();
        if let Some(lines) = &mut self.lines {
            lines.read_to_end(&mut out).unwrap();
        }
        let status = self.child.wait().unwrap();
        self.ear.take().unwrap().join().unwrap();
        (status, out, std::mem::take(&mut self.said.text.lock().unwrap()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only for a program that has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

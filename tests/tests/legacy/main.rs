//! Programs that people already have, beside camlane: peers in C, C++ and Python that work as such programs do, in both
//! directions, restarted, killed, and at full speed.
//!
//! adapters/posix/LEGACY.md says which requirement each test covers.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use camlane::legacy::{Object, ObjectName};
use camlane_tests::peer::Peer;

mod header24;
mod in_place;
mod pages;
mod sharesync;
mod text;
mod window;

/// Long enough for a wait that shall end in vain, and for nothing else.
const SHORT: Duration = Duration::from_millis(50);
/// As long as anything may take that shall succeed.
const LONG: Duration = camlane_tests::wait::PATIENCE;

/// The name of a shared-memory object of one test alone, removed at its end.
#[derive(Debug)]
struct TestObject(ObjectName);

impl TestObject {
    fn new() -> Self {
        Self(format!("/{}", unique()).parse().unwrap())
    }

    /// As C has it.
    fn text(&self) -> String {
        self.0.to_string()
    }
}

impl std::ops::Deref for TestObject {
    type Target = ObjectName;
    fn deref(&self) -> &ObjectName {
        &self.0
    }
}

impl Drop for TestObject {
    fn drop(&mut self) {
        let _ = Object::remove(&self.0);
    }
}

fn unique() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("camlane-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A regular file of one test alone.
fn file() -> (tempfile::TempDir, ObjectName) {
    let dir = tempfile::tempdir().unwrap();
    let name = dir.path().join("file").to_str().unwrap().parse().unwrap();
    (dir, name)
}

fn source(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/legacy/peers").join(file)
}

/// Builds a peer, once in this process, and tells where it is.
fn program(source_file: &'static str) -> PathBuf {
    static BUILT: Mutex<Vec<&str>> = Mutex::new(Vec::new());
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("legacy");
    std::fs::create_dir_all(&dir).unwrap();
    let binary = dir.join(source_file).with_extension("");
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    if !built.contains(&source_file) {
        let (compiler, standard) =
            if source_file.ends_with(".cpp") { ("g++", "-std=c++17") } else { ("gcc", "-std=c11") };
        let fresh = binary.with_extension(std::process::id().to_string());
        let mut command = Command::new(compiler);
        command.args([standard, "-O2", "-Wall", "-Wextra", "-Werror", "-pthread", "-o"]);
        let done = command.arg(&fresh).arg(source(source_file)).arg("-lrt").status();
        assert!(done.is_ok_and(|status| status.success()), "{compiler} cannot build {source_file}");
        std::fs::rename(&fresh, &binary).unwrap(); // another run of these tests may be executing the old one
        built.push(source_file);
    }
    binary
}

/// Starts a peer and waits until it has what it opens at its start.
#[track_caller]
fn run(source_file: &'static str, arguments: &[&str]) -> Peer {
    let mut command = match source_file.strip_suffix(".py") {
        Some(_) => {
            let mut python = Command::new("python3");
            python.arg(source(source_file));
            python
        }
        None => Command::new(program(source_file)),
    };
    let mut peer = Peer::run(command.args(arguments));
    let ready = peer.answer().map(|reply| reply.0).unwrap_or_default();
    assert!(ready.starts_with("ok"), "{source_file} {arguments:?}: {ready:?}");
    peer
}

/// Ends the other threads of a test when it ends, also by a panic: a scope would wait for them for ever.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Kills a process that this test holds no `Peer` of any more when it returns.
fn kill(mut peer: Peer) {
    peer.kill();
}

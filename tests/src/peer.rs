//! The other process: starts the program `peer`, tells it what to do line by line, and kills it.

use std::fmt;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::wait::PATIENCE;

/// A process that does as it is told; `src/bin/peer.rs` lists what it understands. Dropping this kills it.
#[derive(Debug)]
pub struct Peer {
    child: Child,
    stdin: ChildStdin,
    replies: Receiver<String>,
}

impl Peer {
    /// Starts `program`, which is `env!("CARGO_BIN_EXE_peer")`: only tests know it.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn spawn(program: &str) -> Self {
        Self::run(&mut Command::new(program))
    }

    /// As [`spawn`](Self::spawn); or another build of the same program, which the environment variable `CAMLANE_PEER` names,
    /// with an emulator and its arguments before it if need be.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn of_some_build(program: &str) -> Self {
        let other = std::env::var("CAMLANE_PEER").unwrap_or_default();
        let mut words = other.split_ascii_whitespace();
        let mut command = Command::new(words.next().unwrap_or(program));
        Self::run(command.args(words))
    }

    /// Starts it by another program, such as strace, that becomes it or runs it.
    ///
    /// # Panics
    /// If that cannot be started.
    #[must_use]
    pub fn run(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("start a peer");
        let (stdin, stdout) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
        let (sender, replies) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self { child, stdin, replies }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Gives an order and does not wait for the answer. One that was just killed does not hear it.
    pub fn tell(&mut self, order: &str) {
        // In one piece: who counts the peer's system calls must find one read.
        let _ = self.stdin.write_all(format!("{order}\n").as_bytes());
    }

    /// Waits for an answer; `None` if the process ended without one.
    ///
    /// # Panics
    /// If none comes in time.
    #[track_caller]
    pub fn answer(&mut self) -> Option<Reply> {
        self.answer_within(PATIENCE).unwrap_or_else(|silent| panic!("{silent}"))
    }

    /// As [`answer`](Self::answer), for as long as the caller has patience.
    ///
    /// # Errors
    /// What the silent process is doing, as the system sees it.
    pub fn answer_within(&mut self, patience: Duration) -> Result<Option<Reply>, Silent> {
        match self.replies.recv_timeout(patience) {
            Ok(line) => Ok(Some(Reply(line))),
            Err(mpsc::RecvTimeoutError::Disconnected) => Ok(None),
            Err(mpsc::RecvTimeoutError::Timeout) => {
                let told =
                    |file| fs::read_to_string(format!("/proc/{}/{file}", self.pid())).unwrap_or_default();
                let status = told("status");
                let state =
                    status.lines().find(|line| line.starts_with("State")).unwrap_or_default().to_owned();
                Err(Silent { pid: self.pid(), state, call: told("syscall").trim_end().to_owned() })
            }
        }
    }

    /// What it has said and nobody has heard yet.
    pub fn heard(&mut self) -> impl Iterator<Item = Reply> {
        self.replies.try_iter().map(Reply)
    }

    /// How it ended, if it has.
    ///
    /// # Panics
    /// If the system does not say.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("look at a peer")
    }

    /// Gives an order and waits for the answer.
    ///
    /// # Panics
    /// If none comes in time, or the process ends.
    #[track_caller]
    pub fn ask(&mut self, order: &str) -> Reply {
        self.tell(order);
        match self.answer() {
            Some(reply) => reply,
            None => panic!("the peer ended at {order:?} with {:?}", self.child.wait()),
        }
    }

    /// As [`ask`](Self::ask), for what must succeed.
    ///
    /// # Panics
    /// If the answer is not `ok`.
    #[track_caller]
    pub fn must(&mut self, order: &str) -> Reply {
        let reply = self.ask(order);
        assert!(reply.0.starts_with("ok"), "{order:?}: {reply:?}");
        reply
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// If the process is not there.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid().cast_signed()), signal).expect("signal a peer");
    }

    /// Ends it as `kill -9` does, and waits for its end.
    ///
    /// # Panics
    /// If the system refuses.
    pub fn kill(&mut self) -> ExitStatus {
        self.child.kill().expect("kill a peer");
        self.child.wait().expect("wait for a peer")
    }

    /// Waits for it to end by itself.
    ///
    /// # Panics
    /// If it does not.
    #[track_caller]
    pub fn end(mut self) -> ExitStatus {
        self.tell("quit");
        while self.answer().is_some() {}
        self.child.wait().expect("wait for a peer")
    }

    /// The signal that it dies by, once its output has ended.
    ///
    /// # Panics
    /// If it does not end.
    #[track_caller]
    pub fn death(mut self) -> Option<i32> {
        while self.answer().is_some() {}
        self.child.wait().expect("wait for a peer").signal()
    }

    /// How it sees an object in its memory: a line of proc_pid_maps(5) per mapping.
    #[must_use]
    pub fn mappings(&self, part: &str) -> Vec<String> {
        let maps = fs::read_to_string(format!("/proc/{}/maps", self.pid())).unwrap_or_default();
        maps.lines().filter(|line| line.ends_with(part)).map(ToOwned::to_owned).collect()
    }

    /// How many descriptors it has open of what has this in its name.
    #[must_use]
    pub fn opened(&self, name: &str) -> usize {
        let open = fs::read_dir(format!("/proc/{}/fd", self.pid())).into_iter().flatten().flatten();
        let names = open.filter_map(|entry| fs::read_link(entry.path()).ok());
        names.filter(|link| link.to_string_lossy().contains(name)).count()
    }

    /// How many descriptors it has open.
    #[must_use]
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).into_iter().flatten().count()
    }
}

/// A process that should have answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Silent {
    pid: u32,
    state: String,
    /// What proc_pid_syscall(5) says.
    call: String,
}

impl fmt::Display for Silent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pid, state, call } = self;
        write!(f, "no answer from process {pid}; {state}; system call {call}")
    }
}

impl std::error::Error for Silent {}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A line that a peer wrote: a word, and facts as `name=value`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply(pub String);

impl Reply {
    /// The first word.
    #[must_use]
    pub fn word(&self) -> &str {
        self.0.split(' ').next().unwrap_or_default()
    }

    /// A number among the facts.
    ///
    /// # Panics
    /// If it is not there.
    #[must_use]
    #[track_caller]
    pub fn number(&self, name: &str) -> u64 {
        let value = self.0.split(' ').find_map(|fact| fact.strip_prefix(name)?.strip_prefix('='));
        match value.and_then(|value| value.parse().ok()) {
            Some(number) => number,
            None => panic!("no number {name:?} in {self:?}"),
        }
    }

    /// Tells whether the line has these words somewhere.
    #[must_use]
    pub fn says(&self, text: &str) -> bool {
        self.0.contains(text)
    }
}

//! Every system call of an operation refused, or the last one of its process, in turn: by strace(1).

use std::fs;
use std::ops::Range;
use std::process::{Command, Stdio};

use crate::lane::TestLane;
use crate::peer::Peer;
use crate::skip::skipped;

/// The system calls of one order to a peer, as strace(1) counts them.
#[derive(Debug)]
pub struct Calls {
    /// Lines of the trace, one per call, from the first of the process on.
    lines: Vec<String>,
    /// Those between the order and the answer; then comes the call that answers.
    order: Range<usize>,
    program: &'static str,
}

impl Calls {
    /// Traces an order; `None` where that cannot be done.
    ///
    /// # Panics
    /// If the order fails even without faults.
    pub fn of(program: &'static str, order: &str) -> Option<Self> {
        let calls = Self::after(program, &[], order)?;
        assert!(calls.order.len() > 10, "{:?}", calls.lines);
        Some(calls)
    }

    /// Traces an order that comes after others, which whoever surveys must give first, too.
    ///
    /// # Panics
    /// If one of the others fails even without faults.
    pub fn after(program: &'static str, others: &[&str], order: &str) -> Option<Self> {
        let able =
            Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).stderr(Stdio::null()).status();
        if !able.is_ok_and(|status| status.success()) {
            skipped("strace is missing or may not trace (apt install strace)");
            return None;
        }
        let log = std::env::temp_dir().join(format!("{}.trace", TestLane::new("strace").name()));
        let mut peer = Peer::run(Command::new("strace").arg("-qq").arg("-o").arg(&log).arg(program));
        others.iter().for_each(|other| assert_ne!(peer.ask(other).word(), "error", "{other}"));
        peer.ask(order);
        peer.end();
        let lines: Vec<String> = fs::read_to_string(&log).unwrap().lines().map(ToOwned::to_owned).collect();
        fs::remove_file(log).unwrap();
        // The order is read from descriptor 0, and the answer written to 1.
        let verb = order.split(' ').next().unwrap();
        let first =
            lines.iter().rposition(|line| line.starts_with(&format!("read(0, \"{verb}"))).unwrap() + 1;
        let len = lines[first..].iter().position(|line| line.starts_with("write(1, \"")).unwrap();
        Some(Self { lines, order: first..first + len, program })
    }

    /// The name of call `index`, and how many of that name there were up to it: so strace counts what it injects.
    fn name_and_turn(&self, index: usize) -> (&str, usize) {
        let mut names = self.lines[..=index].iter().map(|line| line.split('(').next().unwrap_or_default());
        let name = names.next_back().unwrap_or_default();
        (name, names.filter(|&earlier| earlier == name).count() + 1)
    }

    /// Runs `survey` with a peer that dies at each call in turn, the answer included, and a text that says at which.
    pub fn kill_at_each(&self, mut survey: impl FnMut(Peer, &str)) {
        for index in self.order.start..=self.order.end {
            let (name, turn) = self.name_and_turn(index);
            survey(
                tampered(self.program, &format!("{name}:signal=SIGKILL:when={turn}")),
                &format!("killed at {}", self.lines[index]),
            );
        }
    }

    /// Runs `survey` with a peer to which each call in turn fails once, with each of some errors.
    pub fn refuse_each(&self, errnos: &[&'static str], mut survey: impl FnMut(Peer, &Refused)) {
        for index in self.order.clone() {
            let (line, (call, turn)) = (&self.lines[index], self.name_and_turn(index));
            // A process that cannot get memory for itself ends: that is Rust's rule and no lane's business.
            let own = line.contains("MAP_PRIVATE") && !line.contains("MAP_STACK");
            if own || ["mprotect", "munmap", "brk", "close"].contains(&call) {
                continue;
            }
            for &errno in errnos {
                // There is nothing else that sleeping could want; the C library ends a process that is told so.
                if (call.ends_with("nanosleep") || call == "futex") && errno != "EINTR" {
                    continue;
                }
                let at = format!("{errno} at {line}");
                survey(
                    tampered(self.program, &format!("{call}:error={errno}:when={turn}")),
                    &Refused { call, errno, at },
                );
            }
        }
    }
}

/// A peer to which strace does something at one system call.
fn tampered(program: &str, inject: &str) -> Peer {
    let inject = format!("inject={inject}");
    Peer::run(Command::new("strace").args(["-qq", "-o", "/dev/null", "-e", &inject, program]))
}

/// A system call that failed.
#[derive(Debug)]
pub struct Refused<'c> {
    /// Which.
    pub call: &'c str,
    /// How.
    pub errno: &'static str,
    /// The same for people.
    pub at: String,
}

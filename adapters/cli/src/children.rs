//! Other processes of one command: this program again, with a hidden command, never left behind.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;
use serde::Serialize;

use crate::stop;

/// This program with a hidden command, which [`belong_to`] tells whose it is. Its standard input and output are pipes.
///
/// # Errors
/// This program's own file cannot be found.
pub(crate) fn command(hidden: &str) -> anyhow::Result<Command> {
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let mut command = Command::new(program);
    command
        .args([hidden, "--parent", &std::process::id().to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .process_group(0); // Ctrl-C is for the parent, which then takes the children down
    Ok(command)
}

/// Reads what a child says, on a thread of its own: a call for each line, the last one with `None`. A call that returns
/// false ends it.
pub(crate) fn listen(child: &mut Child, mut hear: impl FnMut(Option<String>) -> bool + Send + 'static) {
    let voice = child.stdout.take();
    std::thread::spawn(move || {
        let lines = voice.into_iter().flat_map(|voice| BufReader::new(voice).lines().map_while(Result::ok));
        for line in lines {
            if !hear(Some(line)) {
                return;
            }
        }
        hear(None);
    });
}

/// In a child: ends in good order when the parent dies. `false`: it is dead already.
///
/// # Errors
/// The system's.
pub(crate) fn belong_to(parent: u32) -> anyhow::Result<bool> {
    // Before the look at the parent: one that died in between would go unnoticed (PR_SET_PDEATHSIG(2const)).
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGTERM)?;
    if nix::unistd::getppid().as_raw().cast_unsigned() != parent {
        return Ok(false);
    }
    stop::on_signals_as_a_child()?;
    Ok(true)
}

/// In a child: says something to the parent, a line of JSON.
///
/// # Errors
/// The system's: the parent is gone.
pub(crate) fn say(said: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_string(said)?;
    line.push('\n');
    let mut out = io::stdout().lock();
    out.write_all(line.as_bytes())?;
    out.flush()
}

/// Removes what processes that were killed left of a lane whose name no other command uses, so that nobody misses its lock
/// file either.
pub(crate) fn forget_lane(lane: &str) {
    let _ = camlane::remove(lane, true);
    let _ = std::fs::remove_file(format!("/dev/shm/camlane.{lane}.lock"));
}

//! The program around the entries: what `compare` starts.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use camlane_measure::place::pin;

use crate::board::Board;
use crate::outcome::{Outcome, Report};
use crate::peer::{Description, Peer, Produce as _};
use crate::spec::Spec;
use crate::{consume, produce};

/// A peer, as one row of the tables.
pub struct Entry {
    describe: fn() -> Description,
    produce: fn(&Spec, &Board) -> Result<Outcome>,
    consume: fn(&Spec, &Board) -> Result<Outcome>,
}

/// Makes an entry of a peer.
pub const fn entry<P: Peer>() -> Entry {
    Entry { describe: P::describe, produce: produce_as::<P>, consume: consume_as::<P> }
}

fn produce_as<P: Peer>(spec: &Spec, board: &Board) -> Result<Outcome> {
    let mut producer = P::producer(&spec.place).context("open the producer")?;
    say(&Report::Ready)?;
    while !board.has_started() {
        producer.admit()?;
        std::thread::sleep(Duration::from_micros(200));
    }
    producer.admit()?;
    let outcome = produce::run::<P>(spec, board, &mut producer);
    board.stop();
    say(&Report::Done(Box::new(outcome?)))?;
    // Its memory and sockets stay until the consumers have gone: `compare` closes this process's input then.
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(Outcome::default())
}

fn consume_as<P: Peer>(spec: &Spec, board: &Board) -> Result<Outcome> {
    consume::run::<P>(spec, board, || say(&Report::Ready)).and_then(|outcome| {
        say(&Report::Done(Box::new(outcome)))?;
        Ok(Outcome::default())
    })
}

fn say(report: &Report) -> Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, report)?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}

/// Runs `describe`, `produce SPEC` or `consume SPEC`.
pub fn main(entries: &[Entry]) -> ExitCode {
    match run(entries, &std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(entries: &[Entry], arguments: &[String]) -> Result<()> {
    let [side, rest @ ..] = arguments else { bail!("usage: describe | produce SPEC | consume SPEC") };
    if side == "describe" {
        let all: Vec<_> = entries.iter().map(|entry| (entry.describe)()).collect();
        println!("{}", serde_json::to_string(&all)?);
        return Ok(());
    }
    let [spec] = rest else { bail!("{side}: a measurement as JSON is missing") };
    let spec: Spec = serde_json::from_str(spec).context("read the measurement")?;
    let entry = entries.iter().find(|entry| (entry.describe)().name == spec.entry);
    let entry = entry.with_context(|| format!("there is no entry '{}' here", spec.entry))?;
    pin(spec.cpu).with_context(|| format!("pin to processor {}", spec.cpu))?;
    let board = Board::open(&spec.board.to_string_lossy()).context("open the board")?;
    match side.as_str() {
        "produce" => (entry.produce)(&spec, &board)?,
        "consume" => (entry.consume)(&spec, &board)?,
        _ => bail!("unknown: {side}"),
    };
    Ok(())
}

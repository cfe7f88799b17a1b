//! The program `camlane`: publish, watch and inspect camera frames in shared memory.
//!
//! Data goes to standard output, everything else to standard error. Exit status: 0 done, 1 failed, 2 wrong usage,
//! 3 no such lane, 4 no frame in time.
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

mod children;
mod commands;
mod describe;
mod image;
mod logging;
mod output;
mod pattern;
mod snapshot;
mod source;
mod stop;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let program = commands::Program::parse();
    logging::start(program.verbosity());
    match program.run() {
        Ok(code) => code,
        Err(error) if output::nobody_reads(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::error(&error);
            commands::exit_code(&error)
        }
    }
}

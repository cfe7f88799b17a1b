//! The program `camlane`: publish, watch and inspect camera frames in shared memory.
//!
//! Data goes to standard output, everything else to standard error. Exit status: 0 done, 1 failed, 2 wrong usage,
//! 3 no such lane, 4 no frame in time.
//!
//! It is a library for its fuzz targets alone: `main.rs` calls [`main`], and nothing else here is for others.
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

mod children;
mod commands;
mod describe;
#[doc(hidden)]
pub mod fuzzing;
mod image;
mod logging;
mod output;
mod pattern;
mod snapshot;
mod source;
mod stop;

use std::process::ExitCode;

use clap::Parser as _;

/// Runs the program with the arguments of this process.
pub fn main() -> ExitCode {
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

//! What people write by hand, and what the machine itself can do: rings, sockets, a mutex, a header with a valid flag.

mod header24;
mod line;
mod memfd;
mod mutex;
mod ring;
mod socket;

use std::process::ExitCode;

use peers_drive::entry;

fn main() -> ExitCode {
    peers_drive::main(&[
        entry::<line::Line>(),
        entry::<ring::Ring>(),
        entry::<memfd::Memfd>(),
        entry::<header24::Header24>(),
        entry::<mutex::Mutex>(),
        entry::<socket::Socket>(),
    ])
}

//! camlane for C: what `include/camlane.h` declares, over the Rust crate of the same name.
//!
//! ```text
//! camlane.h ── boundary (the one file with unsafe: pointers from C become references; panics stop here)
//!                  │
//!     producer consumer observer stream lane format   (safe; one file for each noun)
//!                  │
//!               types (plain structures), error (errno and message)
//! ```
//! The tests compile the header and compare it with this code: see `drift`.

mod boundary;
mod consumer;
#[cfg(test)]
mod drift;
mod error;
mod format;
mod lane;
mod observer;
mod producer;
mod stream;
mod sync;
mod types;

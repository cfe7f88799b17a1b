//! Every door through which bytes come in that nobody meant: a function of bytes each, which must come back and find
//! what is claimed to hold. libFuzzer drives them (`tests/fuzz.sh`); the inputs worth keeping are in `corpus`, and
//! `tests/corpus.rs` replays them without it.

mod access;
mod broker;
mod client;
mod command;
#[path = "../../../core/tests/common/mod.rs"]
mod common;
mod consumer;
mod convert;
pub mod corpus;
mod header;
mod image;
mod legacy;
mod meta;
mod model;
mod producer;
mod region;
mod source;
mod stream;

use arbitrary::{Result, Unstructured};

/// What takes an input, must come back, and panics where something that is claimed does not hold.
pub type Target = fn(&[u8]);

/// All targets by their names, which are those of the files in `corpus`.
pub const TARGETS: &[(&str, Target)] = &[
    ("header", header::run),
    ("region", region::run),
    ("consumer", consumer::run),
    ("producer", producer::run),
    ("model", model::run),
    ("stream", stream::run),
    ("meta", meta::run),
    ("broker", broker::run),
    ("client", client::run),
    ("legacy", legacy::run),
    ("convert", convert::run),
    ("image", image::run),
    ("source", source::run),
    ("command", command::run),
];

/// The target of that name.
#[must_use]
pub fn target(name: &str) -> Option<Target> {
    TARGETS.iter().find(|(own, _)| *own == name).map(|(_, run)| *run)
}

/// Takes an input apart; one that ends too early ends the run.
fn with(bytes: &[u8], run: impl FnOnce(&mut Unstructured<'_>) -> Result<()>) {
    let _ = run(&mut Unstructured::new(bytes));
}

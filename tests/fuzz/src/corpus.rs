//! The kept inputs of a target: `corpus/TARGET.hex`, an input in each line, two digits a byte; what follows `#` says which
//! fault it found.

use std::fs;
use std::path::{Path, PathBuf};

/// The folder of all of them.
#[must_use]
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

/// Reads the inputs of a target.
///
/// # Panics
/// If the file is missing or has something else in it.
#[must_use]
pub fn of(target: &str) -> Vec<Vec<u8>> {
    let file = folder().join(target).with_extension("hex");
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let digits = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    digits.filter(|line| !line.is_empty()).map(|line| bytes(line).expect("two digits a byte")).collect()
}

fn bytes(line: &str) -> Option<Vec<u8>> {
    let pairs = line.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

//! The bytes of hand-made shared-memory programs, so that lanes can be put beside them.
//!
//! Values only: what the bytes mean and whether they make sense. Mapping them is an adapter's work.

pub mod header24;
pub mod sharesync;

pub use header24::{Header24, Header24Error};
pub use sharesync::{Mark, Side};

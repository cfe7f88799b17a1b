//! posix
pub use camlane_core as core;

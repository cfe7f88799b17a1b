//! What the tests in `tests/` share.

pub mod digest;
pub mod faults;
pub mod lane;
pub mod orders;
pub mod pattern;
pub mod peer;
pub mod random;
pub mod raw;
pub mod reader;
pub mod skip;
pub mod wait;

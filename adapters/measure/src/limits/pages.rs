//! What it costs to touch memory for the first time.

use std::io;
use std::sync::atomic::Ordering::Relaxed;

use serde::{Deserialize, Serialize};

use crate::shared::Shared;
use crate::timer::Timer;

const PAGE: usize = 4096;

/// The cost of a page fault.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct PageTouch {
    /// What was touched.
    pub what: String,
    /// Nanoseconds for 4 KiB.
    pub page_ns: f64,
    /// How many pages.
    pub pages: usize,
}

/// Touches shared memory that exists through a mapping that is new, as a consumer does after it attached: once with page
/// faults left for the touch, once with all of them taken while mapping.
///
/// # Errors
/// The system's: no memory.
pub fn page_touch(timer: &Timer, bytes: usize) -> io::Result<Vec<PageTouch>> {
    let object = Shared::create(bytes)?;
    let mut touches = Vec::new();
    for (what, populate) in [("not populated", false), ("populated", true)] {
        let fresh = object.again(populate)?;
        let pages = bytes / PAGE;
        let start = timer.ticks();
        for page in 0..pages {
            std::hint::black_box(fresh.word(page * PAGE).load(Relaxed));
        }
        let page_ns = timer.since(start) as f64 / pages.max(1) as f64;
        touches.push(PageTouch { what: what.to_owned(), page_ns, pages });
    }
    Ok(touches)
}

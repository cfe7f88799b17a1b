//! Measures how fast processes hand things to each other, beside what the machine itself can do.
//!
//! ```text
//!  Timer     the processor's counter, where it is invariant and the same on all processors; knows its own cost
//!  place     pinning, real-time scheduling
//!  Times     percentiles with the number of samples (hdrhistogram)
//!  Rounds    subjects measured in turn: medians, and ratios of neighbours in time
//!  Machine   processor, kernel, governor, load, steal: what a figure is worth without is nothing
//!  limits    cache line, futex, fences, copies, pages: what no program can beat
//!  Ring      the shortest hand-over there is, without any safety, to compare with
//!  plot      SVG, for light and dark paper
//!  Table     plain text that is Markdown too
//! ```
//!
//! It knows nothing of camlane, so that camlane and its peers are measured by the same hands.
//!
//! ```
//! use camlane_measure::{Rounds, Timer, Times};
//!
//! let timer = Timer::new();
//! let mut rounds = Rounds::new();
//! for _ in 0..5 {
//!     for (name, size) in [("small", 1_000), ("large", 100_000)] {
//!         let mut times = Times::new();
//!         for _ in 0..20 {
//!             let start = timer.ticks();
//!             std::hint::black_box(vec![1_u8; size]);
//!             times.record(timer.since(start));
//!         }
//!         rounds.add(name, times.at(0.5).unwrap_or(0) as f64);
//!     }
//! }
//! let ratio = rounds.ratio("large", "small").unwrap();
//! println!("{:.0} ns, {:.1} times the small one", rounds.median("large").unwrap(), ratio.median);
//! ```

mod futex;
pub mod limits;
mod machine;
pub mod place;
pub mod plot;
mod ring;
mod rounds;
mod shared;
mod table;
mod timer;
mod times;

pub use machine::{Machine, Meter, Usage, cpu_time};
pub use ring::{Ring, Taken};
pub use rounds::{Ratio, Rounds, median};
pub use shared::Shared;
pub use table::{Table, number};
pub use timer::{Source, Timer};
pub use times::{Summary, Times};

//! Time in nanoseconds from the processor's counter, if that can be trusted. The unsafe code here reads it.
#![allow(unsafe_code)]

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::place;

/// Where time comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// The time stamp counter of x86-64, behind an `lfence`: what stands before it in the program is done.
    Tsc,
    /// The virtual counter of AArch64, behind an `isb`. Coarser than others: see [`Timer::tick_ns`].
    Cntvct,
    /// `clock_gettime(CLOCK_MONOTONIC_RAW)`.
    ClockGettime,
}

/// A clock that all processes of this machine share: made once, handed to the others as JSON.
///
/// Stamps taken by one process are compared with stamps of another; [`skew_ns`](Self::skew_ns) says how far that goes.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Timer {
    /// What is read.
    pub source: Source,
    /// Nanoseconds per tick.
    pub tick_ns: f64,
    /// The median of two readings right after each other: contained in each time that is measured.
    pub cost_ns: f64,
    /// The smallest step between two readings. Some processors count many ticks at once: 10 ns on recent AMD ones.
    pub step_ns: f64,
    /// How far the counters of two processors are apart at most, as two threads see them; `None` with one processor.
    pub skew_ns: Option<f64>,
    /// Why this source.
    pub reason: String,
}

impl Timer {
    /// Chooses a source and measures it, for about 50 ms. Call it before threads are pinned: it uses two processors.
    pub fn new() -> Self {
        let (source, reason) = choose(&cpu_flags(), &clock_sources());
        let this = Self::of(source, reason);
        match this.skew_ns {
            Some(skew) if source == Source::Tsc && skew > 1_000.0 => Self::of(
                Source::ClockGettime,
                format!("the counters of two processors are {skew:.0} ns apart"),
            ),
            _ => this,
        }
    }

    fn of(source: Source, reason: String) -> Self {
        let tick_ns = if source == Source::ClockGettime { 1.0 } else { calibrate(source) };
        let (cost_ns, step_ns) = readings(source);
        let (cost_ns, step_ns) = (cost_ns * tick_ns, step_ns * tick_ns);
        let skew_ns = skew(source).map(|ticks| ticks * tick_ns);
        Self { source, tick_ns, cost_ns, step_ns, skew_ns, reason }
    }

    /// The present moment, in ticks.
    #[inline]
    pub fn ticks(&self) -> u64 {
        read(self.source)
    }

    /// A number of ticks as nanoseconds.
    #[inline]
    pub fn nanos(&self, ticks: u64) -> u64 {
        (ticks as f64 * self.tick_ns) as u64
    }

    /// A time as ticks.
    pub fn ticks_of(&self, time: Duration) -> u64 {
        (time.as_nanos() as f64 / self.tick_ns) as u64
    }

    /// Nanoseconds since a moment; 0 if that lies in the future, as a stamp of another processor may by the skew.
    #[inline]
    pub fn since(&self, start: u64) -> u64 {
        self.between(start, self.ticks())
    }

    /// Nanoseconds from one moment to another; 0 if they are the other way round.
    #[inline]
    pub fn between(&self, start: u64, end: u64) -> u64 {
        self.nanos(end.saturating_sub(start))
    }

    /// Spins until a moment, without a system call; for pacing where a sleep would cost or be late.
    pub fn spin_until(&self, moment: u64) {
        while self.ticks() < moment {
            std::hint::spin_loop();
        }
    }
}

impl Default for Timer {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether the counter runs at one speed in all states (`constant_tsc`, `nonstop_tsc`), and the kernel, which checks it
/// against other clocks all the time, still offers it as a clock source: it drops one that is unstable or not the same on
/// all processors (Documentation/virt/kvm/x86/timekeeping.rst in Linux).
fn choose(flags: &str, sources: &str) -> (Source, String) {
    let has = |text: &str, word: &str| text.split_ascii_whitespace().any(|each| each == word);
    if cfg!(target_arch = "aarch64") {
        return (Source::Cntvct, "every AArch64 has one counter for all processors".to_owned());
    } else if !cfg!(target_arch = "x86_64") {
        return (Source::ClockGettime, "no counter is known for this processor".to_owned());
    }
    for flag in ["constant_tsc", "nonstop_tsc"] {
        if !has(flags, flag) {
            return (Source::ClockGettime, format!("the processor does not claim {flag}"));
        }
    }
    if !has(sources, "tsc") {
        return (Source::ClockGettime, "the kernel does not trust the counter".to_owned());
    }
    (Source::Tsc, "constant, never stops, trusted by the kernel".to_owned())
}

fn cpu_flags() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    info.lines().find(|line| line.starts_with("flags")).unwrap_or_default().to_owned()
}

fn clock_sources() -> String {
    std::fs::read_to_string("/sys/devices/system/clocksource/clocksource0/available_clocksource")
        .unwrap_or_default()
}

#[inline]
fn read(source: Source) -> u64 {
    match source {
        #[cfg(target_arch = "x86_64")]
        Source::Tsc => {
            // SAFETY: every x86-64 has SSE2, which brought this fence.
            unsafe { std::arch::x86_64::_mm_lfence() };
            // SAFETY: every x86-64 has the counter; Linux lets programs read it unless asked to forbid that.
            unsafe { std::arch::x86_64::_rdtsc() }
        }
        #[cfg(target_arch = "aarch64")]
        Source::Cntvct => {
            let ticks: u64;
            // SAFETY: reads a register that Linux lets programs read; touches neither memory nor flags.
            unsafe {
                std::arch::asm!("isb", "mrs {}, cntvct_el0", out(reg) ticks, options(nomem, nostack, preserves_flags));
            }
            ticks
        }
        _ => monotonic_raw(),
    }
}

fn monotonic_raw() -> u64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC_RAW).map_or(0, |time| Duration::from(time).as_nanos() as u64)
}

/// Nanoseconds per tick, from 20 ms of both clocks. Of several readings of the pair the closest together counts.
fn calibrate(source: Source) -> f64 {
    let pair = || {
        let readings = (0..20).map(|_| {
            let before = read(source);
            let nanos = monotonic_raw();
            (read(source) - before, before, nanos)
        });
        readings.min_by_key(|(width, ..)| *width).unwrap_or_default()
    };
    let (width, ticks, nanos) = pair();
    std::thread::sleep(Duration::from_millis(20));
    let (later_width, later_ticks, later_nanos) = pair();
    let ticks = (later_ticks + later_width / 2).saturating_sub(ticks + width / 2).max(1);
    later_nanos.saturating_sub(nanos).max(1) as f64 / ticks as f64
}

/// The median difference of many pairs of readings and the smallest that is not 0, in ticks.
fn readings(source: Source) -> (f64, f64) {
    let mut last = read(source);
    let mut costs: Vec<u64> = (0..10_001)
        .map(|_| {
            let now = read(source);
            now.saturating_sub(std::mem::replace(&mut last, now))
        })
        .collect();
    costs.sort_unstable();
    // The step shows in how the differences differ; they are multiples of it.
    let step = costs.iter().fold(0, |step, cost| greatest_common_divisor(step, *cost));
    (costs[costs.len() / 2] as f64, step as f64)
}

const fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

/// The most that the counters of two processors can be apart, in ticks.
///
/// A stamp that travels from one to the other arrives later than it was taken by the time of travel plus the difference
/// of the counters, and on the way back by the time of travel minus that difference: half of what the two ways differ.
fn skew(source: Source) -> Option<f64> {
    const TRIPS: u64 = 20_000;
    let cpus = place::cpus();
    let (&here, &there) = (cpus.first()?, cpus.get(1)?);
    let (to, fro) = (AtomicU64::new(0), AtomicU64::new(0));
    let give_up = Instant::now() + Duration::from_secs(2);
    // Waits for the other's next stamp and returns how long ago that was, as this processor's counter sees it.
    let receive = |word: &AtomicU64, last: &mut u64| -> Option<i64> {
        for turn in 1_u32.. {
            let stamp = word.load(Ordering::Acquire);
            if stamp != *last {
                *last = stamp;
                return Some(read(source).wrapping_sub(stamp).cast_signed());
            }
            std::hint::spin_loop();
            if turn % 4096 == 0 {
                if Instant::now() > give_up {
                    return None; // somebody else has the processor; the trips made until now count
                }
                std::thread::yield_now();
            }
        }
        None
    };
    let (mut there_min, mut back_min) = (i64::MAX, i64::MAX);
    std::thread::scope(|scope| {
        let echo = scope.spawn(|| {
            let _ = place::pin(there);
            let (mut last, mut least) = (0, i64::MAX);
            for _ in 0..TRIPS {
                let Some(age) = receive(&to, &mut last) else { break };
                least = least.min(age);
                fro.store(read(source), Ordering::Release);
            }
            least
        });
        let call = scope.spawn(|| {
            let _ = place::pin(here);
            let (mut last, mut least) = (0, i64::MAX);
            for _ in 0..TRIPS {
                to.store(read(source), Ordering::Release);
                let Some(age) = receive(&fro, &mut last) else { break };
                least = least.min(age);
            }
            least
        });
        there_min = echo.join().unwrap_or(i64::MAX);
        back_min = call.join().unwrap_or(i64::MAX);
    });
    let both = there_min != i64::MAX && back_min != i64::MAX;
    both.then(|| (there_min - back_min).abs() as f64 / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const GOOD: &str = "flags : fpu tsc constant_tsc nonstop_tsc";

    #[cfg(target_arch = "x86_64")]
    #[rstest]
    #[case::good(GOOD, "tsc kvm-clock", Source::Tsc)]
    #[case::changes_its_speed("flags : fpu tsc nonstop_tsc", "tsc", Source::ClockGettime)]
    #[case::stops_in_deep_sleep("flags : fpu tsc constant_tsc", "tsc", Source::ClockGettime)]
    #[case::given_up_by_the_kernel(GOOD, "hpet acpi_pm", Source::ClockGettime)]
    #[case::a_longer_word("flags : constant_tsc_x nonstop_tsc", "tsc", Source::ClockGettime)]
    fn the_counter_is_used_only_where_it_is_invariant(
        #[case] flags: &str,
        #[case] sources: &str,
        #[case] expected: Source,
    ) {
        assert_eq!(choose(flags, sources).0, expected);
    }

    #[test]
    fn the_timer_agrees_with_the_systems_clock() {
        let timer = Timer::new();
        // Another's turn on this processor between two of these readings makes one attempt useless, not all.
        let agrees = (0..20).any(|_| {
            let (start, clock) = (timer.ticks(), Instant::now());
            std::thread::sleep(Duration::from_millis(5));
            let (nanos, clock) = (timer.since(start), clock.elapsed().as_nanos() as u64);
            nanos.abs_diff(clock) < clock / 100
        });
        assert!(agrees, "{timer:?}");
        assert!(timer.cost_ns >= 0.0 && timer.tick_ns > 0.0, "{timer:?}");
    }

    #[test]
    fn a_timer_that_travelled_to_another_process_counts_as_before() {
        let timer = Timer::new();
        let text = serde_json::to_string(&timer).unwrap();
        let there: Timer = serde_json::from_str(&text).unwrap();
        assert_eq!((there.source, &there.reason), (timer.source, &timer.reason));
        // A number may lose its last bit on the way: nothing in an hour.
        let hour = timer.ticks_of(Duration::from_secs(3600));
        assert!(there.nanos(hour).abs_diff(timer.nanos(hour)) <= 1);
    }

    #[rstest]
    #[case(0, 7, 7)]
    #[case(26, 52, 26)]
    #[case(26, 39, 13)]
    fn the_step_divides_all_differences(#[case] a: u64, #[case] b: u64, #[case] step: u64) {
        assert_eq!(greatest_common_divisor(a, b), step);
    }

    #[test]
    fn ticks_and_nanoseconds_are_two_names_of_one_time() {
        let timer = Timer {
            source: Source::ClockGettime,
            tick_ns: 0.5,
            cost_ns: 0.0,
            step_ns: 1.0,
            skew_ns: None,
            reason: String::new(),
        };
        assert_eq!(timer.nanos(10), 5);
        assert_eq!(timer.ticks_of(Duration::from_micros(1)), 2_000);
        assert_eq!(timer.between(30, 10), 0, "a stamp of another processor may lie in the future");
    }
}

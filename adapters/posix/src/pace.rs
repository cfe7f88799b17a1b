//! Learns the rhythm of a source, to be awake just before the next frame is due.

use std::time::Duration;

use crate::clock;

/// Frames that must agree before anything is planned.
const ENOUGH: u32 = 8;
/// What a timer and the scheduler need to wake a thread, with room to spare, as long as this thread's own is not known; and
/// for how long a frame may be late that is still spun for.
const WAKE_UP: u64 = 200_000;
/// What is added to how late this thread has been, and the most that comes of it.
const ROOM: u64 = 20_000;
const LATEST: u64 = 2 * WAKE_UP;
/// Periods below this are spun through: sleeping costs more than it saves.
const SHORTEST: u64 = 400_000;

/// Period and jitter of a source's publish times, in nanoseconds, as running means.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    last: Option<(u64, u64)>,
    period: u64,
    jitter: u64,
    samples: u32,
    /// How late this thread woke: the most of late.
    late: Option<u64>,
}

/// How to spend the time until the next frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Plan {
    /// Sleep at most that long first.
    pub(crate) sleep: Duration,
    /// Then spin that long.
    pub(crate) spin: Duration,
}

impl Pace {
    /// Notes when a frame was published.
    pub(crate) fn note(&mut self, number: u64, publish_ns: u64) {
        if self.samples == 0 && self.last.is_none() {
            least_timer_slack();
        }
        let Some((last_number, last_ns)) = self.last.replace((number, publish_ns)) else { return };
        if number <= last_number || publish_ns <= last_ns {
            return;
        }
        let period = (publish_ns - last_ns) / (number - last_number);
        if self.samples == 0 {
            (self.period, self.jitter) = (period, 0);
        } else {
            let off = period.abs_diff(self.period);
            self.jitter = mean(self.jitter, off);
            self.period = mean(self.period, period);
        }
        self.samples = self.samples.saturating_add(1);
    }

    /// Notes how late a timer woke this thread: at once if it is later than before, else little by little.
    pub(crate) fn woke(&mut self, late: Duration) {
        let late = u64::try_from(late.as_nanos()).unwrap_or(u64::MAX).min(LATEST);
        self.late =
            Some(self.late.map_or(late, |before| late.max(before - before.saturating_sub(late) / 16)));
    }

    /// Plans the wait for the frame after the last one noted. `None`: not regular enough, or overdue by much.
    pub(crate) fn plan(&self, limit: Duration) -> Option<Plan> {
        self.plan_at(clock::monotonic_ns(), limit)
    }

    fn plan_at(&self, now: u64, limit: Duration) -> Option<Plan> {
        let (_, last) = self.last?;
        if self.samples < ENOUGH || self.jitter > self.period / 4 {
            return None;
        }
        let slack = self.jitter.saturating_mul(4);
        // A producer may say any time: sums end at the end of time.
        let due = last.saturating_add(self.period);
        let late = due.saturating_add(slack.saturating_add(WAKE_UP));
        if now >= late {
            return None; // this one is late beyond the usual: sleep until it comes
        }
        let wake_up = self.late.map_or(WAKE_UP, |late| (late + late / 4 + ROOM).min(LATEST));
        let wake =
            if self.period < SHORTEST { now } else { due.saturating_sub(slack.saturating_add(wake_up)) };
        let sleep = Duration::from_nanos(wake.saturating_sub(now)).min(limit);
        let spin = Duration::from_nanos(late - now).min(limit).saturating_sub(sleep);
        Some(Plan { sleep, spin })
    }
}

/// A running mean of the last eight or so.
const fn mean(before: u64, now: u64) -> u64 {
    before - before / 8 + now / 8
}

/// Timers of this thread may otherwise be 50 us late (PR_SET_TIMERSLACK(2const)).
fn least_timer_slack() {
    let _ = nix::sys::prctl::set_timerslack(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn steady(frames: u64, period: u64) -> Pace {
        let mut pace = Pace::default();
        (1..=frames).for_each(|n| pace.note(n, n * period));
        pace
    }

    #[test]
    fn a_steady_source_is_slept_for_and_spun_for_at_the_end() {
        let plan = steady(20, 16 * MS).plan_at(20 * 16 * MS + MS, Duration::MAX).unwrap();
        assert!(plan.sleep > Duration::from_millis(14) && plan.sleep < Duration::from_millis(15));
        assert!(plan.spin >= Duration::from_micros(400) && plan.spin < Duration::from_millis(1));
    }

    #[test]
    fn who_wakes_on_time_sleeps_longer_and_who_woke_late_wakes_earlier() {
        let spin = |pace: &Pace| pace.plan_at(20 * 16 * MS + MS, Duration::MAX).unwrap().spin;
        let mut pace = steady(20, 16 * MS);
        let unknown = spin(&pace);
        pace.woke(Duration::from_micros(60));
        assert!(spin(&pace) + Duration::from_micros(90) < unknown);
        pace.woke(Duration::from_micros(250));
        assert!(spin(&pace) > unknown + Duration::from_micros(100));
        (0..100).for_each(|_| pace.woke(Duration::from_micros(60)));
        assert!(spin(&pace) + Duration::from_micros(90) < unknown, "it is forgotten");
        pace.woke(Duration::from_secs(9));
        assert!(spin(&pace) <= Duration::from_millis(1), "nobody spins for a wake-up that was that late");
    }

    #[test]
    fn missed_frames_do_not_change_the_period() {
        let mut pace = Pace::default();
        (1..=20).for_each(|n| pace.note(n * 3, n * 3 * 10 * MS));
        assert_eq!(pace.period, 10 * MS);
    }

    #[test]
    fn an_irregular_or_silent_source_is_left_to_the_bell() {
        let mut pace = Pace::default();
        (1..=20).for_each(|n| pace.note(n, n * 10 * MS + (n % 2) * 8 * MS));
        assert_eq!(pace.plan_at(201 * MS, Duration::MAX), None);
        assert_eq!(steady(20, 16 * MS).plan_at(20 * 16 * MS + 100 * MS, Duration::MAX), None);
        assert_eq!(steady(3, 16 * MS).plan_at(49 * MS, Duration::MAX), None);
    }

    #[test]
    fn a_fast_source_is_spun_for() {
        let plan = steady(20, MS / 10).plan_at(2 * MS, Duration::MAX).unwrap();
        assert_eq!(plan.sleep, Duration::ZERO);
    }

    /// A consumer's process once ended here: sums of what a producer had said went past the end of time.
    #[test]
    fn times_that_a_producer_made_up_are_only_times() {
        for step in [1 << 58, 1 << 60, u64::MAX / 9, u64::MAX / 10 - 1] {
            let mut pace = steady(9, step);
            for (number, time) in [(10, u64::MAX), (u64::MAX, u64::MAX), (1, 0), (2, u64::MAX)] {
                pace.note(number, time);
                for now in [0, 1, u64::MAX / 2, u64::MAX] {
                    if let Some(plan) = pace.plan_at(now, Duration::from_secs(1)) {
                        assert!(plan.sleep + plan.spin <= Duration::from_secs(1));
                    }
                }
            }
        }
    }
}

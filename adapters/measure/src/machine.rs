//! What a figure depends on: the processor, the kernel, and what else the machine does meanwhile.

use std::fs;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::place;

/// The machine, as far as it matters for speed. Read from proc(5) and sysfs(5); what cannot be read is empty or `None`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's name.
    pub cpu: String,
    /// Vendor, family, model, stepping: names of virtual processors say little.
    pub cpu_id: String,
    /// Processors that this process may use.
    pub cpus: usize,
    /// Caches of the first processor: `L1d 32K, L2 1024K, L3 32768K`.
    pub caches: String,
    /// The kernel's release.
    pub kernel: String,
    /// Whether the processor says that a hypervisor runs it.
    pub virtual_machine: bool,
    /// Frequency governor; `None` where the machine does not show one, as in most virtual machines.
    pub governor: Option<String>,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Whether shared memory may have huge pages.
    pub shm_huge_pages: String,
    /// Whether this process may have real-time priority.
    pub real_time: bool,
    /// Seconds since 1970.
    pub time: u64,
}

impl Machine {
    /// Looks at this machine.
    pub fn describe() -> Self {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let field = |name: &str| {
            let line = info.lines().find(|line| line.split(':').next().is_some_and(|key| key.trim() == name));
            line.and_then(|line| line.split_once(':')).map_or("", |(_, value)| value.trim()).to_owned()
        };
        let [vendor, family, model, stepping] = ["vendor_id", "cpu family", "model", "stepping"].map(field);
        let memory = read("/proc/meminfo");
        let total = memory.lines().find_map(|line| line.strip_prefix("MemTotal:"));
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Self {
            cpu: field("model name"),
            cpu_id: format!("{vendor} family {family} model {model} stepping {stepping}"),
            cpus: place::cpus().len(),
            caches: caches(),
            kernel: read("/proc/sys/kernel/osrelease"),
            virtual_machine: field("flags").split_ascii_whitespace().any(|flag| flag == "hypervisor"),
            governor: Some(read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"))
                .filter(|governor| !governor.is_empty()),
            memory_mib: total
                .and_then(|line| line.split_ascii_whitespace().next()?.parse::<u64>().ok())
                .map_or(0, |kib| kib / 1024),
            shm_huge_pages: chosen(&read("/sys/kernel/mm/transparent_hugepage/shmem_enabled")),
            real_time: std::thread::spawn(|| place::real_time().is_ok()).join().unwrap_or(false),
            time: now.map_or(0, |time| time.as_secs()),
        }
    }

    /// One line for people.
    pub fn line(&self) -> String {
        let kind = if self.virtual_machine { "virtual, " } else { "" };
        let governor =
            self.governor.as_ref().map_or(String::new(), |governor| format!(", governor {governor}"));
        format!(
            "{} ({}), {kind}{} processors, {}, {} MiB, Linux {}{governor}",
            self.cpu, self.cpu_id, self.cpus, self.caches, self.memory_mib, self.kernel
        )
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

fn caches() -> String {
    let cache = |index: u32| {
        let path = |file: &str| format!("/sys/devices/system/cpu/cpu0/cache/index{index}/{file}");
        let (level, kind, size) = (read(&path("level")), read(&path("type")), read(&path("size")));
        let letter = match kind.as_str() {
            "Data" => "d",
            "Instruction" => return None,
            _ => "",
        };
        (!size.is_empty()).then(|| format!("L{level}{letter} {size}"))
    };
    (0..8).filter_map(cache).collect::<Vec<_>>().join(", ")
}

/// The word in brackets: `always [never]` is never.
fn chosen(text: &str) -> String {
    let words = text.split_ascii_whitespace();
    words.filter_map(|word| word.strip_prefix('[')?.strip_suffix(']')).next().unwrap_or_default().to_owned()
}

/// Watches what else the machine does while something is measured.
#[derive(Debug)]
pub struct Meter {
    begun: Instant,
    times: Option<[u64; 8]>,
}

/// What else the machine did meanwhile. Figures with much of it are worth little; ratios within a round suffer less.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Usage {
    /// How long it was watched.
    pub seconds: f64,
    /// Processor time that the hypervisor gave to other machines, as a share of all.
    pub steal: f64,
    /// Processor time that was used at all, by the measured programs too, as a share of all.
    pub busy: f64,
    /// Load average over a minute, at the end (proc_loadavg(5)).
    pub load: f64,
}

impl Meter {
    /// Begins.
    pub fn start() -> Self {
        Self { begun: Instant::now(), times: processor_times(&read("/proc/stat")) }
    }

    /// What happened since.
    pub fn usage(&self) -> Usage {
        let load = read("/proc/loadavg").split_ascii_whitespace().next().and_then(|load| load.parse().ok());
        let (steal, busy) = match (self.times, processor_times(&read("/proc/stat"))) {
            (Some(before), Some(after)) => shares(before, after),
            _ => (0.0, 0.0),
        };
        let seconds = self.begun.elapsed().as_secs_f64();
        Usage { seconds, steal, busy, load: load.unwrap_or(0.0) }
    }
}

/// The first eight numbers: user, nice, system, idle, iowait, irq, softirq, steal of all processors (proc_stat(5)).
fn processor_times(stat: &str) -> Option<[u64; 8]> {
    let words = stat.lines().next()?.strip_prefix("cpu ")?.split_ascii_whitespace();
    let numbers: Vec<u64> = words.take(8).map_while(|word| word.parse().ok()).collect();
    numbers.try_into().ok()
}

fn shares(before: [u64; 8], after: [u64; 8]) -> (f64, f64) {
    let passed: Vec<u64> =
        before.iter().zip(&after).map(|(before, after)| after.saturating_sub(*before)).collect();
    let all = passed.iter().sum::<u64>().max(1) as f64;
    let (idle, steal) = (passed[3] + passed[4], passed[7]);
    (steal as f64 / all, 1.0 - (idle + steal) as f64 / all)
}

/// Processor time that this process has used so far, of all its threads, in the kernel too.
pub fn cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stolen_and_used_time_are_shares_of_what_passed() {
        let before = [100, 0, 50, 800, 50, 0, 0, 0];
        let after = [130, 0, 60, 830, 60, 0, 0, 20];
        assert_eq!(shares(before, after), (0.2, 0.4));
    }

    #[test]
    fn the_first_line_of_stat_is_read() {
        let text = "cpu  115196 4399 36975 67060 466 0 79 57 0 0\ncpu0 1 2 3 4 5 6 7 8 9 10\n";
        assert_eq!(processor_times(text), Some([115_196, 4_399, 36_975, 67_060, 466, 0, 79, 57]));
        assert_eq!(processor_times("cpu  1 2 3\n"), None);
    }

    #[test]
    fn this_machine_has_a_processor_and_a_kernel() {
        let machine = Machine::describe();
        assert!(machine.cpus > 0 && machine.memory_mib > 0 && !machine.kernel.is_empty(), "{machine:?}");
        assert!(machine.line().contains(&machine.kernel));
    }

    #[test]
    fn time_spent_computing_is_counted_and_time_spent_asleep_is_not() {
        let before = cpu_time();
        std::thread::sleep(Duration::from_millis(1));
        while cpu_time() < before + Duration::from_millis(2) {
            std::hint::spin_loop();
        }
    }
}

//! The checks: each looks at one thing and says what to do about it.

use core::time::Duration;
use std::fs;

use camlane::{Consumer, FrameMeta, Health, LaneOptions, LaneStatus, PixelFormat, Producer};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::statfs::{TMPFS_MAGIC, statfs};

use super::Check;
use crate::output;

const SHM: &str = "/dev/shm";

/// Looks at everything, what matters most first.
pub(super) fn all() -> Vec<Check> {
    let container = container();
    vec![
        shm_kind(),
        shm_room(container),
        a_frame_goes_through(),
        in_a_container(container),
        kernel(),
        clock(),
        open_files(),
        locked_memory(),
        huge_pages(),
        leftovers(),
        remove_ipc(),
        ffmpeg(),
    ]
}

fn shm_kind() -> Check {
    const WHAT: &str = "shared memory";
    match statfs(SHM) {
        Err(error) => Check::fail(
            WHAT,
            format!("{SHM} cannot be used: {error}"),
            "mount it: mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs /dev/shm",
        ),
        Ok(stat) if stat.filesystem_type() == TMPFS_MAGIC => Check::ok(WHAT, format!("{SHM} is a tmpfs")),
        Ok(_) => Check::warn(
            WHAT,
            format!("{SHM} is no tmpfs, so frames may be written to a disk"),
            "mount one: mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs /dev/shm",
        ),
    }
}

/// Shared memory that a default lane of 1920x1080 YUYV takes.
fn full_hd() -> u64 {
    let layout = PixelFormat::YUYV.layout(1920, 1080, 64);
    let shape = layout.ok().and_then(|layout| LaneOptions::for_frames(&layout).shape().ok());
    shape.map_or(0, |shape| shape.footprint())
}

fn shm_room(container: Option<&str>) -> Check {
    const WHAT: &str = "room in shared memory";
    let Ok(space) = camlane::space() else { return Check::fail(WHAT, "unknown", "see above") };
    let found = format!("{} of {} free", output::bytes(space.free), output::bytes(space.total));
    let needed = full_hd();
    if space.free >= needed {
        return Check::ok(WHAT, format!("{found}; a default 1080p lane takes {}", output::bytes(needed)));
    }
    let enlarge = match container {
        Some(_) => {
            "give the container more: docker run --shm-size=1g; in Kubernetes an emptyDir with medium: Memory at /dev/shm"
        }
        None => "remove stale lanes (camlane rm --stale), or enlarge it: mount -o remount,size=4G /dev/shm",
    };
    let found = format!("{found}; a default 1080p lane takes {}", output::bytes(needed));
    if space.free < 1 << 20 { Check::fail(WHAT, found, enlarge) } else { Check::warn(WHAT, found, enlarge) }
}

/// Makes a small lane and sends a frame to itself: permissions, locks and mappings in one go.
fn a_frame_goes_through() -> Check {
    const WHAT: &str = "a frame goes through";
    let lane = format!("doctor-{}", std::process::id());
    let sent = send_a_frame(&lane);
    // Nobody else knows the name, so nobody misses its lock file.
    let _ = fs::remove_file(format!("{SHM}/camlane.{lane}.lock"));
    match sent {
        Ok(age) => Check::ok(WHAT, format!("in hand after {}", output::nanos(age.as_nanos() as u64))),
        Err(error) => Check::fail(
            WHAT,
            format!("{error:#}"),
            "see above, and who may write to it: ls -ld /dev/shm (should be drwxrwxrwt)",
        ),
    }
}

fn send_a_frame(lane: &str) -> anyhow::Result<Duration> {
    let producer = Producer::create(lane, &LaneOptions::for_bytes(4096).seats(1))?;
    let mut consumer = Consumer::open(lane)?;
    let mut loan = producer.loan()?;
    loan.fill(0xA5);
    producer.publish(loan, &FrameMeta::bytes(4096))?;
    let frame = consumer.next(Duration::from_secs(5))?;
    anyhow::ensure!(frame.iter().all(|&byte| byte == 0xA5), "other bytes arrived than were sent");
    Ok(frame.age().unwrap_or_default())
}

/// The kind of container that this process is in, as far as it shows.
fn container() -> Option<&'static str> {
    let has = |path: &str| fs::exists(path).unwrap_or(false);
    let groups = fs::read_to_string("/proc/1/cgroup").unwrap_or_default();
    let named = |words: &[&str]| words.iter().any(|word| groups.contains(word));
    match () {
        () if has("/run/.containerenv") => Some("podman"),
        () if named(&["kubepods"]) || has("/var/run/secrets/kubernetes.io") => Some("Kubernetes"),
        () if has("/.dockerenv") || named(&["docker", "containerd"]) => Some("Docker"),
        () if named(&["lxc"]) => Some("LXC"),
        () => None,
    }
}

fn in_a_container(container: Option<&str>) -> Check {
    const WHAT: &str = "container";
    match container {
        None => Check::ok(WHAT, "none"),
        Some(kind) => Check {
            advice: Some(
                "containers see each other's lanes only if they share /dev/shm: --ipc=host, --ipc=container:NAME, or a common volume"
                    .to_owned(),
            ),
            ..Check::ok(WHAT, kind)
        },
    }
}

fn kernel() -> Check {
    const WHAT: &str = "kernel";
    let Ok(name) = nix::sys::utsname::uname() else {
        return Check::warn(WHAT, "unknown", "camlane needs Linux");
    };
    let release = name.release().to_string_lossy().into_owned();
    match version(&release) {
        None => Check::warn(WHAT, release, "its version cannot be read; camlane needs Linux 3.15"),
        Some(version) if version < (3, 15) => {
            Check::fail(WHAT, release, "open-file-description locks came with Linux 3.15: upgrade")
        }
        Some(version) if version < (4, 14) => Check::warn(
            WHAT,
            release,
            "before 4.14 a forked child is not told from its parent: do not fork with open lanes",
        ),
        Some(version) if version < (5, 1) => Check::warn(WHAT, release, "sealed lanes need 5.1"),
        Some(version) if version < (5, 16) => {
            Check::warn(WHAT, release, "before 5.16 a wait for several lanes at once looks every millisecond")
        }
        Some(_) => Check::ok(WHAT, release),
    }
}

/// Reads `6.1.0-18-amd64` as (6, 1).
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn clock() -> Check {
    const WHAT: &str = "clock source";
    let source = fs::read_to_string("/sys/devices/system/clocksource/clocksource0/current_clocksource");
    match source.as_deref().map(str::trim) {
        Err(_) => Check::ok(WHAT, "not shown here"),
        Ok(slow @ ("hpet" | "acpi_pm" | "jiffies" | "refined-jiffies" | "pit")) => Check::warn(
            WHAT,
            slow,
            "each look at the clock is a system call of microseconds: see dmesg why the kernel left the processor's counter",
        ),
        Ok(source) => Check::ok(WHAT, source),
    }
}

fn open_files() -> Check {
    const WHAT: &str = "open files";
    match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok((soft, _)) if soft < 256 => Check::warn(
            WHAT,
            format!("at most {soft}"),
            "a program with many lanes needs three each: ulimit -n 1024",
        ),
        Ok((soft, _)) => Check::ok(WHAT, format!("at most {soft}")),
        Err(error) => Check::warn(WHAT, format!("unknown: {error}"), "see getrlimit(2)"),
    }
}

fn locked_memory() -> Check {
    const WHAT: &str = "locked memory";
    const UNLIMITED: u64 = u64::MAX;
    match getrlimit(Resource::RLIMIT_MEMLOCK) {
        Ok((UNLIMITED, _)) => Check::ok(WHAT, "no limit"),
        Ok((soft, _)) => Check::ok(
            WHAT,
            format!(
                "at most {}; only programs that mlock their lanes against swapping need more",
                output::bytes(soft)
            ),
        ),
        Err(error) => Check::warn(WHAT, format!("unknown: {error}"), "see getrlimit(2)"),
    }
}

fn huge_pages() -> Check {
    const WHAT: &str = "huge pages for shared memory";
    let path = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";
    let Ok(text) = fs::read_to_string(path) else {
        return Check::ok(WHAT, "not in this kernel: --huge-pages has no effect");
    };
    match chosen(&text) {
        Some(mode @ ("always" | "within_size" | "advise" | "force")) => Check::ok(WHAT, mode),
        mode => Check {
            advice: Some(format!("if you want them: echo advise | sudo tee {path}")),
            ..Check::ok(WHAT, format!("{}: --huge-pages has no effect", mode.unwrap_or("unknown")))
        },
    }
}

/// The word in brackets: `always [never]` is never.
fn chosen(text: &str) -> Option<&str> {
    text.split_ascii_whitespace().find_map(|word| word.strip_prefix('[')?.strip_suffix(']'))
}

fn leftovers() -> Check {
    const WHAT: &str = "lanes";
    let lanes = LaneStatus::all();
    let of = |health| -> Vec<String> {
        lanes.iter().filter(|lane| lane.health == health).map(|lane| lane.address.to_string()).collect()
    };
    let (stale, unusable) = (of(Health::Stale), of(Health::Unusable));
    if !stale.is_empty() {
        return Check::warn(
            WHAT,
            format!("left by producers that died: {}", stale.join(", ")),
            "camlane rm --stale",
        );
    }
    if !unusable.is_empty() {
        let found = format!("cannot be used: {}", unusable.join(", "));
        return Check::warn(WHAT, found, "see why: camlane ls; remove: camlane rm --force LANE");
    }
    Check::ok(WHAT, format!("{} running, nothing left behind", of(Health::Running).len()))
}

/// logind deletes a user's shared memory at logout (logind.conf(5)), except a system user's.
fn remove_ipc() -> Check {
    const WHAT: &str = "shared memory after logout";
    const FIRST_USER: u32 = 1000;
    let user = nix::unistd::getuid().as_raw();
    if !fs::exists("/run/systemd/seats").unwrap_or(false) {
        return Check::ok(WHAT, "kept: no logind here");
    } else if user < FIRST_USER {
        return Check::ok(WHAT, format!("kept: user {user} is a system user"));
    }
    let mut files = vec!["/etc/systemd/logind.conf".into()];
    let mut more: Vec<_> = ["/usr/lib/systemd/logind.conf.d", "/etc/systemd/logind.conf.d"]
        .iter()
        .flat_map(|dir| fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()))
        .collect();
    more.sort();
    files.append(&mut more);
    let texts: Vec<String> =
        files.iter().filter_map(|file: &std::path::PathBuf| fs::read_to_string(file).ok()).collect();
    if removes_ipc(&texts) {
        Check::warn(
            WHAT,
            "deleted when your last session ends (RemoveIPC)",
            "run camera services as a system user, or set RemoveIPC=no in /etc/systemd/logind.conf",
        )
    } else {
        Check::ok(WHAT, "kept: RemoveIPC=no")
    }
}

/// The last setting counts; without any, logind removes.
fn removes_ipc(texts: &[String]) -> bool {
    let settings = texts.iter().flat_map(|text| text.lines());
    let last = settings.filter_map(|line| line.trim().strip_prefix("RemoveIPC=")).next_back();
    last.is_none_or(|value| !["no", "false", "off", "0"].contains(&value.trim()))
}

fn ffmpeg() -> Check {
    const WHAT: &str = "ffmpeg";
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join("ffmpeg")).find(|file| file.is_file());
    match found {
        Some(file) => Check::ok(WHAT, file.display().to_string()),
        None => Check::warn(
            WHAT,
            "not installed",
            "only to publish compressed video: apt install ffmpeg (Fedora: dnf install ffmpeg-free)",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::debian("6.1.0-18-amd64", Some((6, 1)))]
    #[case::jetson("5.15.136-tegra", Some((5, 15)))]
    #[case::plain("4.4", Some((4, 4)))]
    #[case::nothing("unknown", None)]
    fn a_kernel_has_a_version(#[case] release: &str, #[case] expected: Option<(u32, u32)>) {
        assert_eq!(version(release), expected);
    }

    #[rstest]
    #[case::advise("always within_size [advise] never deny force\n", Some("advise"))]
    #[case::none("always never", None)]
    fn the_chosen_mode_stands_in_brackets(#[case] text: &str, #[case] expected: Option<&str>) {
        assert_eq!(chosen(text), expected);
    }

    #[rstest]
    #[case::no_word(&["[Login]\n"], true)]
    #[case::commented(&["#RemoveIPC=no\n"], true)]
    #[case::off(&["[Login]\nRemoveIPC=no\n"], false)]
    #[case::overridden(&["RemoveIPC=no\n", "RemoveIPC=yes\n"], true)]
    fn the_last_setting_of_logind_counts(#[case] texts: &[&str], #[case] removes: bool) {
        let texts: Vec<String> = texts.iter().map(ToString::to_string).collect();
        assert_eq!(removes_ipc(&texts), removes);
    }
}

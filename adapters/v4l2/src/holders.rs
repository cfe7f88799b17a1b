//! Who else has a device open, as far as proc(5) shows it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Names other processes that have the device open: `ffmpeg (process 4711)`. Processes of other users are seen by root
/// only.
pub(crate) fn of(device: &Path) -> Vec<String> {
    let Ok(own) = fs::metadata(device) else { return Vec::new() };
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let mut found = Vec::new();
    for process in processes.flatten() {
        let name = process.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        if pid == std::process::id() {
            continue;
        }
        let Ok(open) = fs::read_dir(process.path().join("fd")) else { continue };
        // The same node under any name; a path that is a link's text would miss those in other namespaces.
        let is_ours = |found: fs::Metadata| (found.rdev(), found.mode()) == (own.rdev(), own.mode());
        if open.flatten().any(|fd| fs::metadata(fd.path()).is_ok_and(is_ours)) {
            let command = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            found.push(format!("{} (process {pid})", command.trim()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    #[test]
    fn another_process_that_has_a_device_open_is_named_and_this_one_is_not() {
        let own = std::fs::File::open("/dev/full").unwrap();
        let device = std::path::Path::new("/dev/full");
        let before = super::of(device);
        let mut child =
            Command::new("cat").stdin(own.try_clone().unwrap()).stdout(Stdio::null()).spawn().unwrap();
        let found = super::of(device);
        child.kill().unwrap();
        child.wait().unwrap();
        let named = format!("(process {})", child.id());
        assert!(found.iter().any(|holder| holder.ends_with(&named)), "{found:?}");
        assert!(!before.iter().any(|holder| holder.contains(&std::process::id().to_string())), "{before:?}");
    }
}

//! The systemd files of `examples/`, as systemd's own tools judge them; without the tools these tests are skipped, aloud.

mod common;

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::{run, text};

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/systemd")
}

/// What a tool says; `None`, aloud, where it is not installed.
fn tool(name: &str, arguments: &[&str]) -> Option<Output> {
    match Command::new(name).args(arguments).output() {
        Ok(output) => Some(output),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "SKIPPED: {name}: {error}");
            None
        }
    }
}

/// A folder with the unit in it, for one instance, that starts the program under test.
fn unit(folder: &Path) -> (PathBuf, String) {
    let text = std::fs::read_to_string(examples().join("camlane-camera@.service")).unwrap();
    assert!(text.contains("ExecStart=/usr/bin/camlane publish"));
    let text = text.replace("/usr/bin/camlane", env!("CARGO_BIN_EXE_camlane"));
    let path = folder.join("camlane-camera@front-door.service");
    std::fs::write(&path, &text).unwrap();
    (path, text)
}

#[test]
fn systemd_finds_nothing_wrong_with_the_unit() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = unit(folder.path());
    let Some(told) = tool("systemd-analyze", &["verify", path.to_str().unwrap()]) else { return };
    let said = text(&told.stderr) + &text(&told.stdout);
    let about_it: Vec<&str> = said.lines().filter(|line| line.contains("camlane")).collect();
    assert!(told.status.success() && about_it.is_empty(), "{said}");
}

/// A command line that the program does not understand would be told by nobody before the machine's next start.
#[test]
fn the_units_command_line_is_one_that_the_program_understands() {
    let folder = tempfile::tempdir().unwrap();
    let (_, text_of_unit) = unit(folder.path());
    let line = text_of_unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    let line = line.replace("%i", "cli-systemd").replace("${CAMERA}", "camera:none-of-that-name");
    // All that the unit speaks of.
    let options = "--size 640x480 --rate 30 --realtime 50 --lock-memory";
    let line = line.replace("$OPTIONS", options);
    let arguments: Vec<&str> = line.split_whitespace().skip(1).collect();
    let told = run(&arguments);
    let said = text(&told.stderr);
    // 1, not 2: it looked for the camera. Locking memory may be what this user must not.
    assert_eq!(told.status.code(), Some(1), "{said}");
    assert!(said.contains("none-of-that-name") || said.contains("--lock-memory"), "{said}");
}

#[test]
fn the_user_and_the_folders_are_made_as_the_unit_needs_them() {
    let root = tempfile::tempdir().unwrap();
    let etc = root.path().join("etc");
    std::fs::create_dir(&etc).unwrap();
    std::fs::write(etc.join("passwd"), "root:x:0:0:root:/root:/bin/sh\n").unwrap();
    std::fs::write(etc.join("group"), "root:x:0:\nvideo:x:44:\n").unwrap();
    let at = format!("--root={}", root.path().display());
    let file = |name: &str| examples().join(name).canonicalize().unwrap().to_str().unwrap().to_owned();
    let Some(users) = tool("systemd-sysusers", &[&at, &file("camlane.sysusers.conf")]) else { return };
    assert!(users.status.success(), "{}", text(&users.stderr));
    let groups = std::fs::read_to_string(etc.join("group")).unwrap();
    assert!(groups.lines().any(|line| line.starts_with("video:") && line.ends_with(":camlane")), "{groups}");
    if !nix::unistd::geteuid().is_root() {
        return; // the folders belong to that user, whom only root may make their owner
    }
    let Some(made) = tool("systemd-tmpfiles", &[&at, "--create", &file("camlane.tmpfiles.conf")]) else {
        return;
    };
    assert!(made.status.success(), "{}", text(&made.stderr));
    let mode = |path: &str| std::fs::metadata(root.path().join(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("run/camlane"), mode("etc/camlane")), (0o2775, 0o755));
}

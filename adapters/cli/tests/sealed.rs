//! Sealed lanes on the command line: made, listed, opened to others, and read from a container.

mod common;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use common::{Running, camlane, json, run, text};
use rstest::rstest;

const SMALL: &str = "pattern:64x48,GRAY8,200";

/// A directory that every user may enter, for sockets.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    folder
}

/// The address of a sealed lane there.
fn address(folder: &Path) -> String {
    format!("sealed:{}/cam.sock", folder.display())
}

fn publish(lane: &str, more: &[&str]) -> Running {
    Running::start(&mut camlane(&[&["publish", lane, "--from", SMALL], more].concat()), true)
}

/// The program as another user, if this is root. It runs from `folder`: that of the build may be closed to others.
fn as_user(id: u32, folder: &Path, arguments: &[&str]) -> Option<Command> {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("SKIPPED: needs root, to become other users");
        return None;
    }
    let program = folder.join("camlane");
    if !program.exists() {
        // Not by this process: a child that another test forks meanwhile would keep the copy open for writing (ETXTBSY).
        let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_camlane")).arg(&program).status().unwrap();
        assert!(copied.success());
    }
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.uid(id).gid(id); // and no other groups
    Some(command)
}

#[test]
fn a_sealed_lane_is_listed_and_described_beside_the_named_ones() {
    let folder = folder();
    let here = |arguments: &[&str]| {
        let mut command = camlane(arguments);
        command.env("XDG_RUNTIME_DIR", folder.path());
        command
    };
    let mut publishing = Running::start(&mut here(&["publish", "left", "--sealed", "--from", SMALL]), true);
    let listed = here(&["ls", "--json"]).output().unwrap();
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    let ours = listed.as_array().unwrap().iter().find(|lane| lane["lane"] == "sealed:left").unwrap();
    assert_eq!((&ours["health"], &ours["format"]), (&"running".into(), &"GRAY8".into()));
    let socket = folder.path().join("camlane/left.sock");
    assert_eq!(ours["socket"], socket.to_str().unwrap());
    let described = text(&here(&["info", "sealed:left"]).output().unwrap().stdout);
    assert!(described.contains(&format!("joined at {}", socket.display())), "{described}");
    let watched = here(&["watch", "sealed:left", "--frames", "5", "--check"]).output().unwrap();
    assert!(watched.status.success(), "{}", text(&watched.stderr));
    let shot = folder.path().join("now.raw");
    let observed =
        here(&["snap", "sealed:left", "--observe", "-o", shot.to_str().unwrap()]).output().unwrap();
    assert!(observed.status.success(), "{}", text(&observed.stderr));
    publishing.stop_reading();
    drop(publishing); // killed
    let listed = text(&here(&["ls"]).output().unwrap().stdout);
    assert!(listed.lines().any(|line| line.contains("sealed:left") && line.contains("stale")), "{listed}");
    assert!(here(&["rm", "sealed:left"]).output().unwrap().status.success());
    assert!(!socket.exists());
}

#[rstest]
#[case::who_is_not_named(&[], Some(1), Some(1))]
#[case::a_user(&["--allow-user", "4242"], Some(0), Some(0))]
#[case::a_group(&["--allow-group", "4242"], Some(0), Some(0))]
#[case::anybody(&["--allow-anybody"], Some(0), Some(0))]
#[case::anybody_without_seats(&["--allow-anybody", "--seats-per-user", "0"], Some(1), Some(0))]
#[case::observers(&["--allow-observers"], Some(1), Some(0))]
fn another_user_reads_if_the_publisher_says_so(
    #[case] allowed: &[&str],
    #[case] reads: Option<i32>,
    #[case] observes: Option<i32>,
) {
    let folder = folder();
    let lane = address(folder.path());
    let shot = tempfile::tempdir().unwrap();
    std::fs::set_permissions(shot.path(), Permissions::from_mode(0o777)).unwrap();
    let shot = shot.path().join("now.raw");
    let _publishing = publish(&lane, allowed);
    let watch = ["watch", &lane, "--frames", "3", "--check", "--timeout", "20", "--trust-user", "0"];
    let Some(mut watch) = as_user(4242, folder.path(), &watch) else { return };
    let watched = watch.output().unwrap();
    assert_eq!(watched.status.code(), reads, "{}", text(&watched.stderr));
    let snap = ["snap", &lane, "--observe", "-o", shot.to_str().unwrap()];
    let observed = as_user(4242, folder.path(), &snap).unwrap().output().unwrap();
    assert_eq!(observed.status.code(), observes, "{}", text(&observed.stderr));
}

#[test]
fn frames_of_another_user_are_believed_only_on_request() {
    let folder = folder();
    let lane = address(folder.path());
    std::fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
    let arguments = ["publish", &lane, "--from", SMALL, "--allow-user", "root"];
    let Some(mut command) = as_user(4242, folder.path(), &arguments) else { return };
    let _publishing = Running::start(&mut command, true);
    let refused = run(&["watch", &lane, "--frames", "1"]);
    assert!(!refused.status.success() && text(&refused.stderr).contains("served by user 4242"));
    let watched = run(&["watch", &lane, "--frames", "1", "--check", "--trust-user", "4242"]);
    assert!(watched.status.success(), "{}", text(&watched.stderr));
}

#[rstest]
#[case::single_users_of_a_named_lane(&["publish", "x", "--from", "pattern", "--allow-user", "root"], "--sealed")]
#[case::modes_of_a_sealed_lane(&["publish", "sealed:x", "--from", "pattern", "--everyone"], "--allow-observers")]
#[case::an_old_programs_object(&["publish", "header24:x", "--from", "pattern", "--sealed"], "cannot be sealed")]
#[case::nobody(&["publish", "x", "--sealed", "--from", "pattern", "--allow-user", "no such"], "no such user")]
fn options_of_the_other_kind_are_wrong_usage(#[case] arguments: &[&str], #[case] says: &str) {
    let output = run(arguments);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains(says), "{}", text(&output.stderr));
}

/// Mount, pid and ipc namespaces of its own, an empty `/dev/shm`, and the socket's directory bind-mounted elsewhere.
#[test]
fn a_reader_in_a_container_needs_nothing_but_the_socket() {
    let (folder, inside) = (folder(), folder());
    let _publishing = publish(&address(folder.path()), &["--repeat"]);
    let script = r#"mount -t tmpfs shm /dev/shm && mount --bind "$1" "$2" && mount -t tmpfs none "$1" &&
        ! "$0" info "$3" 2>/dev/null && test -z "$(ls /dev/shm)" &&
        "$0" info "$4" --json && "$0" watch "$4" --frames 20 --check && test -z "$(ls /dev/shm)""#;
    let unshare = || {
        let mut unshare = Command::new("unshare");
        let user = if nix::unistd::geteuid().is_root() { None } else { Some("-Ur") };
        unshare.args(["-m", "-p", "-i", "-f", "--mount-proc", "--kill-child"]).args(user);
        unshare
    };
    if !unshare().arg("true").output().is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: no namespaces here");
        return;
    }
    let mut contained = unshare();
    contained
        .args(["sh", "-ec", script, env!("CARGO_BIN_EXE_camlane")])
        .arg(folder.path())
        .arg(inside.path());
    let output = contained.arg(address(folder.path())).arg(address(inside.path())).output().unwrap();
    assert!(output.status.success(), "{} {}", text(&output.stdout), text(&output.stderr));
    assert!(text(&output.stdout).contains("\"health\":\"running\""), "{}", text(&output.stdout));
    assert_eq!(json(&["info", &address(folder.path())])["health"], "running");
}

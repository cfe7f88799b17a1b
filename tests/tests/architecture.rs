//! The architecture, as far as a program can see it: reads manifests and sources and fails where they leave it.
//!
//! A rule that stands in the way may be wrong: change it here, and say why in the commit.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rstest::rstest;
use serde_json::{Value, json};

/// What a package may depend on: packages of ours and, for what others link into their programs, crates of others.
struct Rule {
    package: &'static str,
    ours: &'static [&'static str],
    others: Option<&'static [&'static str]>,
}

impl Rule {
    /// Judges a dependency as `cargo metadata` describes it. Tests may use what crates of others they like.
    fn allows(&self, dependency: &Value) -> bool {
        let name = text(&dependency["name"]);
        match (dependency["path"].is_string(), self.others) {
            (true, _) => self.ours.contains(&name),
            (false, Some(others)) => dependency["kind"] == "dev" || others.contains(&name),
            (false, None) => true,
        }
    }
}

/// Arrows point towards core, and siblings do not know each other. Libraries that everybody links name every crate that
/// they bring along; the others are leaves, and may take what they need.
const RULES: &[Rule] = &[
    Rule { package: "camlane-core", ours: &[], others: Some(&["zerocopy", "heapless", "defmt", "loom"]) },
    Rule {
        package: "camlane",
        ours: &["camlane-core"],
        others: Some(&["libc", "log", "nix", "thiserror", "zerocopy"]),
    },
    Rule {
        package: "camlane-v4l2",
        ours: &["camlane-core"],
        others: Some(&["libc", "log", "nix", "thiserror"]),
    },
    Rule { package: "camlane-convert", ours: &["camlane-core"], others: None },
    // Measures camlane and its peers by the same hands, so it knows none of them.
    Rule { package: "camlane-measure", ours: &[], others: None },
    Rule { package: "camlane-capi", ours: &["camlane-core", "camlane"], others: Some(&["libc", "log"]) },
    Rule { package: "camlane-python", ours: &["camlane-core", "camlane", "camlane-convert"], others: None },
    Rule {
        package: "camlane-cli",
        ours: &["camlane-core", "camlane", "camlane-convert", "camlane-measure", "camlane-v4l2"],
        others: None,
    },
    Rule { package: "camlane-gst", ours: &["camlane-core", "camlane"], others: None },
    Rule { package: "camlane-zenoh", ours: &["camlane-core", "camlane"], others: None },
];

/// Lines of code in core's own files: without tests, comments, blank lines, the loom model, and the folders `format` and
/// `legacy`, which know other people's bytes. 2,640 when this was written. What does not fit belongs in an adapter.
const CORE_BUDGET: usize = 2_900;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All files below a folder of the repository, by their paths in it; without build results and hidden folders.
fn files(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let link = path.is_symlink();
            if path.is_dir() && !link && !name.starts_with('.') && name != "target" && name != "node_modules"
            {
                folders.push(path);
            } else if path.is_file() && !link {
                found.push(path.strip_prefix(root()).unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

fn read(path: &Path) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

fn is_rust(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "rs")
}

/// The code of a source: numbered lines without comments and blank lines, up to the tests, which stand last in a file.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .take_while(|line| !line.starts_with("#[cfg(test") && !line.starts_with("#[cfg(all(test"))
        .map(|line| line.split("//").next().unwrap_or_default())
        .enumerate()
        .map(|(index, line)| (index + 1, line))
        .filter(|(_, line)| !line.trim().is_empty())
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// Where the code of a source has one of some words, as `file:line: word`.
fn uses(path: &Path, text: &str, forbidden: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for (number, line) in code(text) {
        for word in words(line).filter(|word| forbidden.contains(word)) {
            found.push(format!("{}:{number}: {word}", path.display()));
        }
    }
    found
}

/// Core's sources, without the model, which runs under loom only.
fn core_sources() -> impl Iterator<Item = (PathBuf, String)> {
    files("core/src").into_iter().filter(|path| is_rust(path) && !path.ends_with("model.rs")).map(|path| {
        let text = read(&path);
        (path, text)
    })
}

/// What cargo makes of a manifest and those of its workspace.
fn packages(manifest: &Path) -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version=1", "--manifest-path"])
        .arg(root().join(manifest))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}: {}", manifest.display(), String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

/// All packages of the repository that are neither examples nor tests, those with a workspace of their own too.
fn shipped_packages() -> Vec<Value> {
    let mut all = packages(Path::new("Cargo.toml"));
    for manifest in files("adapters").into_iter().filter(|path| path.ends_with("Cargo.toml")) {
        let path = root().join(&manifest).canonicalize().unwrap();
        if !all.iter().any(|package| Path::new(text(&package["manifest_path"])) == path) {
            all.extend(packages(&manifest));
        }
    }
    all.retain(|package| !matches!(text(&package["name"]), "camlane-examples" | "camlane-tests"));
    all
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn dependencies(package: &Value) -> &[Value] {
    package["dependencies"].as_array().map_or(&[], Vec::as_slice)
}

#[test]
fn arrows_between_packages_point_towards_core() {
    let packages = shipped_packages();
    assert!(packages.len() >= 3, "only {} packages were found", packages.len());
    for package in &packages {
        let name = text(&package["name"]);
        let rule = RULES.iter().find(|rule| rule.package == name);
        let rule = rule.unwrap_or_else(|| panic!("{name} is new: give it a row in RULES"));
        for dependency in dependencies(package) {
            let on = text(&dependency["name"]);
            assert!(rule.allows(dependency), "{name} may not depend on {on}: see RULES");
        }
    }
}

#[test]
fn core_brings_nothing_along_that_was_not_asked_for() {
    let packages = shipped_packages();
    let core = packages.iter().find(|package| package["name"] == "camlane-core").unwrap();
    for dependency in dependencies(core) {
        match text(&dependency["name"]) {
            "defmt" => assert_eq!(dependency["optional"], true, "features are asked for"),
            "loom" => assert_eq!(dependency["target"], "cfg(loom)", "a model checker is for models"),
            _ => {}
        }
    }
    let default = &core["features"]["default"];
    assert!(default.is_null() || default.as_array().is_some_and(Vec::is_empty), "{default}");
}

#[test]
fn every_package_obeys_the_lints_about_unsafe_code() {
    for package in shipped_packages() {
        let manifest = fs::read_to_string(text(&package["manifest_path"])).unwrap();
        let lints =
            manifest.contains("[lints]\nworkspace = true") || manifest.contains("unsafe_code = \"deny\"");
        assert!(lints, "{}: inherit the workspace's lints", package["name"]);
    }
}

#[test]
fn core_has_one_file_with_unsafe_code() {
    let files: Vec<String> = core_sources()
        .filter(|(path, text)| !uses(path, text, &["unsafe"]).is_empty())
        .map(|(path, _)| path.display().to_string())
        .collect();
    assert_eq!(files, ["core/src/region.rs"]);
}

#[test]
fn the_camera_crate_has_two_files_with_unsafe_code() {
    let sources = files("adapters/v4l2/src").into_iter().filter(|path| is_rust(path));
    let found: Vec<String> = sources
        .filter(|path| !uses(path, &read(path), &["unsafe"]).is_empty())
        .map(|path| path.display().to_string())
        .collect();
    assert_eq!(found, ["adapters/v4l2/src/memory.rs", "adapters/v4l2/src/sys.rs"]);
}

#[test]
fn core_names_atomics_in_one_file_so_that_loom_sees_them_all() {
    let elsewhere = core_sources().filter(|(path, _)| !path.ends_with("sync.rs"));
    let found: Vec<String> =
        elsewhere.flat_map(|(path, text)| uses(&path, &text, &["atomic", "AtomicU32"])).collect();
    assert!(found.is_empty(), "import from `crate::sync`: {found:#?}");
}

#[test]
fn core_needs_neither_std_nor_alloc_and_panics_on_nothing_shared() {
    let forbidden = ["std", "alloc", "unwrap", "expect", "panic", "unreachable", "todo", "unimplemented"];
    let found: Vec<String> = core_sources().flat_map(|(path, text)| uses(&path, &text, &forbidden)).collect();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn core_stays_within_its_budget() {
    let own = core_sources().filter(|(path, _)| path.parent() == Some(Path::new("core/src")));
    let lines: usize = own.map(|(_, text)| code(&text).count()).sum();
    assert!(lines > 1_000 && lines <= CORE_BUDGET, "{lines} lines of code, {CORE_BUDGET} are allowed");
}

/// Types of fields that every peer lays out alike, whatever its word size, language and compiler.
const SHARED_TYPES: &[&str] = &["u8", "u32", "Wide", "Word", "MetaWord", "NAME_LEN", "MAX_PINS"];

/// Fields of structures in shared memory that are of another type, and structures without `repr(C)`.
fn odd_fields(text: &str) -> Vec<String> {
    let mut odd = Vec::new();
    let (mut repr_c, mut inside) = (false, false);
    for (number, line) in code(text) {
        if line == "}" {
            (repr_c, inside) = (false, false);
        } else if line == "#[repr(C)]" {
            repr_c = true;
        } else if line.starts_with("pub struct") {
            inside = true;
            if !repr_c {
                odd.push(format!("{number}: no repr(C): {line}"));
            }
        } else if inside && let Some((_, types)) = line.split_once(": ") {
            let known = |word: &str| SHARED_TYPES.contains(&word) || word.parse::<usize>().is_ok();
            odd.extend(words(types).filter(|word| !known(word)).map(|word| format!("{number}: {word}")));
        }
    }
    odd
}

#[test]
fn shared_structures_are_in_one_file_and_hold_words_of_fixed_width() {
    let text = read(Path::new("core/src/layout.rs"));
    assert!(code(&text).filter(|(_, line)| line.starts_with("pub struct")).count() >= 5);
    assert_eq!(odd_fields(&text), [""; 0]);
    let elsewhere = core_sources().filter(|(path, text)| {
        let foreign = path.starts_with("core/src/legacy");
        !foreign && !path.ends_with("layout.rs") && code(text).any(|(_, line)| line.contains("repr(C)"))
    });
    assert_eq!(elsewhere.map(|(path, _)| path).collect::<Vec<_>>(), [""; 0].map(PathBuf::from));
}

/// The measuring library is outside: what it measures with, a bare futex for one, is not what it measures.
#[test]
fn only_posix_asks_the_system_for_shared_memory_sleep_and_locks() {
    let calls = ["shm_open", "memfd_create", "SYS_futex", "FUTEX_WAIT", "F_OFD_SETLK", "F_ADD_SEALS"];
    let (posix, others): (Vec<PathBuf>, Vec<PathBuf>) = [files("core/src"), files("adapters")]
        .concat()
        .into_iter()
        .filter(|path| is_rust(path) && !path.starts_with("adapters/measure"))
        .partition(|path| path.starts_with("adapters/posix"));
    assert!(posix.iter().any(|path| !uses(path, &read(path), &calls).is_empty()));
    let found: Vec<String> = others.iter().flat_map(|path| uses(path, &read(path), &calls)).collect();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn the_reader_of_the_golden_files_knows_nothing_of_camlane() {
    let path = Path::new("tests/src/reader.rs");
    assert_eq!(uses(path, &read(path), &["camlane_core", "use", "extern", "crate"]), [""; 0]);
}

#[test]
fn no_file_knows_the_machine_it_was_written_on() {
    let homes = ["work", "root", "home"].map(|folder| format!("/{folder}/"));
    let mut looked_at = 0;
    for path in files(".") {
        let Ok(text) = fs::read_to_string(root().join(&path)) else { continue }; // not text
        if path == Path::new(".git") {
            continue; // in a linked work tree it is a file, which names the repository's place; git made it
        }
        looked_at += 1;
        for (index, line) in text.lines().enumerate() {
            let named = homes.iter().find(|home| line.contains(home.as_str()));
            assert!(named.is_none(), "{}:{}: {named:?}", path.display(), index + 1);
        }
    }
    assert!(looked_at > 50, "only {looked_at} files were looked at");
}

/// Tells whether a page means this function: `...` stands for what it left out.
fn is_meant(name: &str, function: &str) -> bool {
    let mut parts = name.split("...");
    let Some(mut rest) = function.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut ends = rest.is_empty();
    for part in parts {
        let Some(at) = rest.rfind(part) else { return false };
        rest = &rest[at + part.len()..];
        ends = part.is_empty() || rest.is_empty();
    }
    ends
}

#[test]
fn every_test_that_the_page_of_old_programs_names_is_there() {
    let sources = ["core", "adapters", "tests"].map(files).concat();
    let sources: String = sources.iter().filter(|path| is_rust(path)).map(|path| read(path)).collect();
    let functions: Vec<&str> = sources.split("fn ").filter_map(|rest| words(rest).next()).collect();
    let page = read(Path::new("adapters/posix/LEGACY.md"));
    let quoted = page.split('`').skip(1).step_by(2).filter_map(|quoted| quoted.split("::").next());
    let tests: Vec<&str> =
        quoted.filter(|name| name.matches('_').count() > 2 || name.ends_with("_...")).collect();
    assert!(tests.len() > 80, "{tests:?}");
    for name in tests {
        assert!(functions.iter().any(|function| is_meant(name, function)), "there is no test {name}");
    }
}

#[rstest]
#[case::whole("a_test", "a_test", true)]
#[case::of_another_end("a_test", "a_test_of", false)]
#[case::of_another_begin("a_test", "not_a_test", false)]
#[case::without_its_end("a_...", "a_test", true)]
#[case::without_its_begin("..._test", "a_test", true)]
#[case::without_its_middle("a_..._of", "a_test_of", true)]
#[case::of_another_middle("a_..._of", "a_test_if", false)]
#[case::of_another_end_yet("..._tes", "a_test", false)]
fn a_test_is_known_by_a_part_of_its_name(#[case] name: &str, #[case] function: &str, #[case] meant: bool) {
    assert_eq!(is_meant(name, function), meant);
}

#[rstest]
#[case::listed("camlane", json!({"name": "libc", "kind": null}), true)]
#[case::not_listed("camlane", json!({"name": "tokio", "kind": null}), false)]
#[case::for_tests("camlane", json!({"name": "tempfile", "kind": "dev"}), true)]
#[case::towards_core("camlane-v4l2", json!({"name": "camlane-core", "kind": null, "path": "core"}), true)]
#[case::to_a_sibling("camlane-v4l2", json!({"name": "camlane", "kind": null, "path": "posix"}), false)]
#[case::to_a_sibling_for_tests("camlane-v4l2", json!({"name": "camlane", "kind": "dev", "path": "posix"}), false)]
#[case::away_from_core("camlane-core", json!({"name": "camlane", "kind": null, "path": "posix"}), false)]
#[case::of_a_leaf("camlane-cli", json!({"name": "clap", "kind": null}), true)]
fn a_dependency_is_judged(#[case] package: &str, #[case] dependency: Value, #[case] allowed: bool) {
    let rule = RULES.iter().find(|rule| rule.package == package).unwrap();
    assert_eq!(rule.allows(&dependency), allowed);
}

#[rstest]
#[case::in_code("let x = unsafe { y };", 1)]
#[case::in_a_comment("// unsafe\nlet x = 1; // unsafe", 0)]
#[case::as_a_part_of_a_word("#![allow(unsafe_code)]", 0)]
#[case::in_tests("fn a() {}\n#[cfg(test)]\nmod tests { unsafe {} }", 0)]
#[case::in_tests_without_loom("#[cfg(all(test, not(loom)))]\nmod tests { unsafe {} }", 0)]
#[case::before_tests("unsafe fn a() {}\n#[cfg(test)]\nmod tests {}", 1)]
fn a_word_is_found_in_code_alone(#[case] text: &str, #[case] times: usize) {
    assert_eq!(uses(Path::new("x.rs"), text, &["unsafe"]).len(), times);
}

#[rstest]
#[case::words(
    "#[repr(C)]\npub struct A {\n    pub a: [u32; 4],\n    pub(crate) b: [[MetaWord; 4]; 4],\n}",
    0
)]
#[case::a_size("#[repr(C)]\npub struct A {\n    pub a: usize,\n}", 1)]
#[case::a_bool("#[repr(C)]\npub struct A {\n    pub a: [bool; 4],\n    pub b: u64,\n}", 2)]
#[case::no_layout("pub struct A {\n    pub a: u32,\n}", 1)]
#[case::not_a_field("impl A {\n    fn a(b: usize) {}\n}", 0)]
fn an_odd_field_is_found(#[case] text: &str, #[case] times: usize) {
    assert_eq!(odd_fields(text).len(), times, "{:?}", odd_fields(text));
}

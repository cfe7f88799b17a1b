//! The pages beside the code: LEGACY.md names every requirement and tests that exist, MIGRATING.md has code that compiles.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn page(name: &str) -> String {
    std::fs::read_to_string(repository().join("adapters/posix").join(name)).unwrap()
}

/// Rows that each text has: what its program does (S), and what is wrong with it (B).
const ROWS: [(&str, u32); 10] = [
    ("S000", 23),
    ("S001", 14),
    ("S002", 12),
    ("S003", 12),
    ("S004", 13),
    ("B000", 17),
    ("B001", 8),
    ("B002", 8),
    ("B003", 7),
    ("B004", 9),
];

/// Reads `S000-7, 13, 20` and `S000-14 to 17`.
fn rows(cell: &str) -> Vec<(String, u32)> {
    let Some((text, numbers)) = cell.split_once('-') else { return Vec::new() };
    if !ROWS.iter().any(|(known, _)| *known == text) {
        return Vec::new();
    }
    let range = |part: &str| {
        let (first, last) = part.split_once(" to ").unwrap_or((part, part));
        first.trim().parse().unwrap()..=last.trim().parse::<u32>().unwrap()
    };
    numbers.split(',').flat_map(range).map(|number| (text.to_owned(), number)).collect()
}

#[test]
fn every_requirement_has_its_row() {
    let page = page("LEGACY.md");
    let mut found: Vec<_> =
        page.lines().filter_map(|line| line.split('|').nth(1)).flat_map(|cell| rows(cell.trim())).collect();
    found.sort();
    let mut expected: Vec<_> = ROWS
        .iter()
        .flat_map(|&(text, count)| (1..=count).map(move |number| (text.to_owned(), number)))
        .collect();
    expected.sort();
    assert_eq!(found, expected);
}

#[test]
fn every_test_that_the_page_names_exists() {
    let mut tests = BTreeSet::new();
    for dir in ["core/src/legacy", "adapters/posix/src/legacy", "adapters/cli/tests", "tests/tests/legacy"] {
        let mut folders = vec![repository().join(dir)];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().flatten() {
                if entry.path().is_dir() {
                    folders.push(entry.path());
                } else if let Ok(source) = std::fs::read_to_string(entry.path()) {
                    let names =
                        source.lines().filter_map(|line| line.trim().strip_prefix("fn ")?.split('(').next());
                    tests.extend(names.map(ToOwned::to_owned));
                }
            }
        }
    }
    // Names of tests are sentences: three words and more.
    let is_test = |name: &&str| {
        name.matches('_').count() > 2
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_.:".contains(c))
    };
    let page = page("LEGACY.md");
    let named: Vec<&str> = page.split('`').skip(1).step_by(2).filter(is_test).collect();
    assert!(named.len() > 60, "{named:?}");
    for name in named {
        let name = name.split("::").next().unwrap_or_default();
        // `...` stands for words that are left out.
        let parts: Vec<&str> = name.split("...").collect();
        let (first, last) = (parts[0], parts[parts.len() - 1]);
        let exists = tests.iter().any(|test| match parts.len() {
            1 => test == name,
            _ => test.starts_with(first) && test.ends_with(last),
        });
        assert!(exists, "LEGACY.md names {name:?}, and there is no such test");
    }
}

/// The blocks of one language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    page.split(&fence).skip(1).filter_map(|rest| Some(rest.split_once("\n```")?.0.to_owned())).collect()
}

fn accepts(command: &mut Command, source: &str) -> bool {
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), source.as_bytes()).unwrap();
    child.wait().unwrap().success()
}

#[test]
fn the_new_programs_of_the_migration_page_compile() {
    let page = page("MIGRATING.md");
    let include = repository().join("adapters/capi/include");
    let cpp: Vec<_> =
        blocks(&page, "cpp").into_iter().filter(|block| block.contains("camlane.hpp")).collect();
    assert_eq!(cpp.len(), 2);
    for block in cpp {
        let mut compiler = Command::new("g++");
        compiler
            .args(["-std=c++17", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-x", "c++", "-I"])
            .arg(&include);
        assert!(accepts(compiler.arg("-"), &block), "{block}");
    }
    for block in blocks(&page, "c") {
        let program = format!("#include <camlane.h>\nint main(void) {{\n{block}\nreturn 0;\n}}\n");
        let mut compiler = Command::new("gcc");
        compiler
            .args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-x", "c", "-I"])
            .arg(&include);
        assert!(accepts(compiler.arg("-"), &program), "{block}");
    }
    for block in blocks(&page, "python") {
        assert!(
            accepts(
                Command::new("python3").args(["-c", "import ast, sys; ast.parse(sys.stdin.read())"]),
                &block
            ),
            "{block}"
        );
    }
}

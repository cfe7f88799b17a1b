//! camlane.h is written by hand. These tests compile it and fail where it and the code behind it disagree: every field's
//! place and type, every function's prototype, every number, every pixel format, every structure in shared memory.
//!
//! After a change of the table of formats, `CAMLANE_BLESS=1 cargo test -p camlane-capi` writes that part anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use posix::core::layout;
use posix::{Clock, Flags, PauseReason, PixelFormat, Reference};

use crate::types::detail;
use crate::{consumer, lane, producer, types};

const HEADER: &str = include_str!("../include/camlane.h");
const SOURCES: [&str; 8] = [
    include_str!("consumer.rs"),
    include_str!("error.rs"),
    include_str!("format.rs"),
    include_str!("lane.rs"),
    include_str!("observer.rs"),
    include_str!("producer.rs"),
    include_str!("stream.rs"),
    include_str!("sync.rs"),
];

fn include_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("include")
}

/// Compiles `text` without a warning, or fails with the compiler's words. Without a compiler nothing is tested, loudly.
fn compiles(compiler: &str, flags: &[&str], ending: &str, text: &str) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(format!("drift.{ending}"));
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new(compiler);
    command.args(["-Wall", "-Wextra", "-pedantic", "-Werror", "-fsyntax-only"]).args(flags);
    match command.arg("-I").arg(include_dir()).arg(&file).output() {
        Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr)),
        // Not by a print macro: the test runner would hide it.
        Err(error) => std::io::Write::write_fmt(
            &mut std::io::stderr(),
            format_args!("SKIPPED, nothing was checked: {compiler}: {error}\n"),
        )
        .unwrap(),
    }
}

fn must_hold(facts: &mut String, fact: &str) {
    writeln!(facts, "CAMLANE_ASSERT({fact}, {:?});", fact.replace('"', "'")).unwrap();
}

#[test]
fn the_header_alone_compiles_as_c11_and_as_cpp17_without_a_warning() {
    let strict = ["-Wconversion", "-Wshadow", "-Wundef"];
    compiles(
        "cc",
        &[&["-std=c11", "-Wstrict-prototypes"], &strict[..]].concat(),
        "c",
        "#include <camlane.h>\n",
    );
    compiles("c++", &[&["-std=c++17"], &strict[..]].concat(), "cpp", "#include <camlane.h>\n");
}

#[test]
fn every_field_has_the_place_and_the_type_that_rust_gives_it() {
    let mut facts = "#include <camlane.h>\n".to_owned();
    for (name, size, fields) in [types::CHECKED, producer::CHECKED, consumer::CHECKED].concat() {
        must_hold(&mut facts, &format!("sizeof({name}) == {size}"));
        for (field, offset, ty) in fields {
            must_hold(&mut facts, &format!("offsetof({name}, {field}) == {offset}"));
            let same = format!("__builtin_types_compatible_p(__typeof__((({name} *)0)->{field}), {ty})");
            must_hold(&mut facts, &same);
        }
    }
    compiles("cc", &["-std=c11"], "c", &facts);
}

/// The C type of a Rust argument's.
fn c_type(rust: &str) -> String {
    let inner = |rust: &str| match rust.trim_end_matches("<'_>") {
        "u8" => "uint8_t".to_owned(),
        "u32" => "uint32_t".to_owned(),
        "u64" => "uint64_t".to_owned(),
        "usize" => "size_t".to_owned(),
        "c_int" => "int".to_owned(),
        "Lane" => "camlane_lane_info".to_owned(),
        "Format" => "camlane_format_info".to_owned(),
        name => {
            let mut c = "camlane".to_owned();
            for letter in name.chars() {
                if letter.is_ascii_uppercase() {
                    c.push('_');
                }
                c.push(letter.to_ascii_lowercase());
            }
            c
        }
    };
    const HANDLES: [&str; 7] =
        ["Synchronizer", "Producer", "Consumer", "Observer", "Lanes", "StreamWriter", "StreamReader"];
    let between =
        |before: &str, after: &str| rust.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
    if let Some(handle) = between("Slot<'_, ", ">") {
        format!("{} **", inner(handle))
    } else if let Some(handle) = between("Option<Box<", ">>") {
        format!("{} *", inner(handle))
    } else if let Some(ty) = between("Out<'_, ", ">")
        .or(between("Place<'_, ", ">"))
        .or(between("Places<'_, ", ">"))
        .or(between("Option<&mut ", ">"))
    {
        format!("{} *", inner(ty))
    } else if rust == "Array<'_, Text<'_>>" {
        "const char *const *".to_owned()
    } else if between("Array<'_, Option<&", ">>").is_some() {
        "camlane_consumer *const *".to_owned()
    } else if let Some(ty) = between("Given<'_, ", ">").or(between("Array<'_, ", ">")) {
        format!("const {} *", inner(ty))
    } else if let Some("Lanes") = between("Option<&", ">") {
        "const camlane_lanes *".to_owned()
    } else if let Some(ty) = between("Option<&", ">") {
        if HANDLES.contains(&ty) { format!("{} *", inner(ty)) } else { format!("const {} *", inner(ty)) }
    } else {
        match rust {
            "Text<'_>" => "const char *".to_owned(),
            "Room<'_>" => "uint8_t *".to_owned(),
            "*const c_char" => "const char *".to_owned(),
            "()" => "void".to_owned(),
            plain => inner(plain),
        }
    }
}

/// The types of a list of arguments, split where no angle bracket is open.
fn arguments_of(list: &str) -> impl Iterator<Item = &str> {
    let mut open = 0;
    let parts = list.split(move |letter| {
        open += i32::from(letter == '<') - i32::from(letter == '>');
        letter == ',' && open == 0
    });
    parts.filter_map(|part| part.split_once(": ")).map(|(_, ty)| ty.trim())
}

/// Every exported function: its name and its prototype, from the sources of this crate.
fn prototypes() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for source in SOURCES {
        for part in source.split("\n    fn camlane_").skip(1) {
            let (name, rest) = part.split_once('(').unwrap();
            let (arguments, rest) = rest.split_once(") ").unwrap_or_else(|| panic!("{name}"));
            let answer = rest.strip_prefix("-> ").map_or("c_int", |rest| rest.split_once(" {").unwrap().0);
            let arguments: Vec<String> = arguments_of(arguments).map(c_type).collect();
            let arguments = if arguments.is_empty() { "void".to_owned() } else { arguments.join(", ") };
            let name = format!("camlane_{name}");
            found.insert(name.clone(), format!("extern {} {name}({arguments});", c_type(answer)));
        }
    }
    found
}

#[test]
fn every_function_has_the_prototype_that_rust_gives_it_and_none_is_missing() {
    let prototypes = prototypes();
    let declared: BTreeSet<&str> = HEADER
        .split("\nCAMLANE_API ")
        .skip(1)
        .filter_map(|part| part.split_once('(')?.0.rsplit([' ', '*']).next())
        .collect();
    let exported: BTreeSet<&str> = prototypes.keys().map(String::as_str).collect();
    assert_eq!(declared, exported);
    // C refuses a second declaration of another type.
    let text = prototypes.values().fold("#include <camlane.h>\n".to_owned(), |text, line| text + line + "\n");
    compiles("cc", &["-std=c11"], "c", &text);
}

#[test]
fn every_number_in_the_header_is_the_one_in_rust() {
    let mut numbers: BTreeMap<String, u32> = BTreeMap::new();
    macro_rules! numbers {
        ($prefix:literal, $($name:ident = $value:expr),* $(,)?) => {
            $(numbers.insert(format!("CAMLANE_{}{}", $prefix, stringify!($name)), $value);)*
        };
    }
    macro_rules! of {
        ($prefix:literal, $scope:path, $($name:ident),*) => {{
            use $scope as Scope;
            numbers!($prefix, $($name = Scope::$name.0.into()),*);
        }};
    }
    of!(
        "FLAG_",
        Flags,
        KEY,
        DELTA,
        CORRUPT,
        STARTUP,
        TRUNCATED,
        DISCONTINUITY,
        TOP_FIELD,
        BOTTOM_FIELD,
        INTERLACED,
        END_OF_STREAM,
        DUPLICATE,
        COPIED,
        PARAMETERS,
        DMABUF,
        USERPTR,
        MMAP
    );
    of!("PAUSE_", PauseReason, UNPLUGGED, BUSY, FAILED, NO_SIGNAL, SUSPENDED, SILENT, INTENDED);
    of!("CLOCK_", Clock, UNKNOWN, MONOTONIC, BOOTTIME, REALTIME, TAI, PTP, DEVICE);
    of!(
        "REFERENCE_",
        Reference,
        UNKNOWN,
        START_OF_EXPOSURE,
        MIDDLE_OF_EXPOSURE,
        END_OF_FRAME,
        DEQUEUED,
        SYNTHETIC
    );
    numbers!(
        "DETAIL_",
        EXPOSURE = detail::EXPOSURE,
        FRAME_DURATION = detail::FRAME_DURATION,
        ANALOGUE_GAIN = detail::ANALOGUE_GAIN,
        DIGITAL_GAIN = detail::DIGITAL_GAIN,
        COLOUR_GAINS = detail::COLOUR_GAINS,
        COLOUR_TEMPERATURE = detail::COLOUR_TEMPERATURE,
        LENS_POSITION = detail::LENS_POSITION,
        SENSOR_TEMPERATURE = detail::SENSOR_TEMPERATURE,
        TRIGGER = detail::TRIGGER,
        REGION_OF_INTEREST = detail::REGION_OF_INTEREST,
        BINNING = detail::BINNING,
        BLACK_LEVELS = detail::BLACK_LEVELS,
        UPSTREAM = detail::UPSTREAM,
        PTS_OFFSET = detail::PTS_OFFSET
    );
    numbers!(
        "",
        ABI_VERSION = lane::ABI_VERSION,
        LAYOUT_VERSION = layout::LAYOUT,
        NO_USER_BYTES = lane::NO_USER_BYTES,
        SEATS_UNSEEN = types::Lane::unknown("", 0).seats_in_use
    );
    numbers!(
        "SHARING_",
        OWNER = lane::SHARING[0].0,
        GROUP = lane::SHARING[1].0,
        EVERYONE = lane::SHARING[2].0
    );
    numbers!(
        "LANE_",
        HUGE_PAGES = lane::HUGE_PAGES,
        ALWAYS_WAKE = lane::ALWAYS_WAKE,
        ANYBODY = lane::ANYBODY,
        OBSERVERS = lane::OBSERVERS
    );
    numbers!("READ_", LATEST = consumer::READ[0].0, EVERY = consumer::READ[1].0);
    numbers!(
        "WAIT_",
        SLEEP = consumer::WAIT[0].0,
        ADAPTIVE = consumer::WAIT[1].0,
        SPIN = consumer::WAIT[2].0
    );
    numbers!("CONSUMER_", POPULATE = consumer::POPULATE, TRUST_USER = consumer::TRUST_USER);
    numbers!("CHANGE_", RESTARTED = consumer::RESTARTED, FORMAT = consumer::FORMAT, SIZE = consumer::SIZE);
    numbers!(
        "HEALTH_",
        UNKNOWN = lane::health_number(posix::Health::Unknown),
        RUNNING = lane::health_number(posix::Health::Running),
        STALE = lane::health_number(posix::Health::Stale),
        UNUSABLE = lane::health_number(posix::Health::Unusable)
    );
    use posix::LaneState;
    numbers!(
        "STATE_",
        INIT = LaneState::Init as u32,
        LIVE = LaneState::Live as u32,
        CLOSED = LaneState::Closed as u32,
        SUPERSEDED = LaneState::Superseded as u32
    );
    numbers!(
        "SHM_",
        ALWAYS_WAKE = layout::FLAG_ALWAYS_WAKE,
        IN_PLACE = layout::FLAG_IN_PLACE,
        STREAM = layout::FLAG_STREAM,
        SEAT_MAGIC = layout::SEAT_MAGIC
    );
    for info in PixelFormat::ALL {
        numbers.insert(format!("CAMLANE_{}", info.name), info.format.0);
    }

    let defined: BTreeSet<&str> = HEADER
        .lines()
        .filter_map(|line| line.strip_prefix("#define ")?.split_once(' '))
        .filter(|(name, _)| !name.contains('(') && *name != "CAMLANE_API")
        .map(|(name, _)| name)
        .collect();
    assert_eq!(defined, numbers.keys().map(String::as_str).collect());
    let mut facts = "#include <camlane.h>\n".to_owned();
    for (name, value) in &numbers {
        must_hold(&mut facts, &format!("{name} == {value}u"));
    }
    compiles("cc", &["-std=c11"], "c", &facts);
}

#[test]
fn the_formats_are_those_of_the_table() {
    let (begin, end) = ("/* generated: formats */\n", "/* end of generated */");
    let mut text = String::new();
    for info in PixelFormat::ALL {
        writeln!(text, "#define CAMLANE_{} {:#06x}u", info.name, info.format.0).unwrap();
    }
    text += "/* Applies a macro to the name of every format. */\n#define CAMLANE_FORMATS(each)";
    for row in PixelFormat::ALL.chunks(5) {
        let row: Vec<String> = row.iter().map(|info| format!("each({})", info.name)).collect();
        write!(text, " \\\n    {}", row.join(" ")).unwrap();
    }
    text.push('\n');
    let (before, rest) = HEADER.split_once(begin).unwrap();
    let (found, after) = rest.split_once(end).unwrap();
    if std::env::var_os("CAMLANE_BLESS").is_some() && found != text {
        std::fs::write(include_dir().join("camlane.h"), format!("{before}{begin}{text}{end}{after}"))
            .unwrap();
    } else {
        assert_eq!(found, text, "CAMLANE_BLESS=1 cargo test -p camlane-capi writes it anew");
    }
}

#[test]
fn every_structure_in_shared_memory_is_the_one_in_core() {
    let source = include_str!("../../../core/src/layout.rs");
    let mut facts = "#include <camlane.h>\n".to_owned();
    let sizes = [
        ("Header", size_of::<layout::Header>()),
        ("Live", size_of::<layout::Live>()),
        ("Info", size_of::<layout::Info>()),
        ("Descriptor", size_of::<layout::Descriptor>()),
        ("Seat", size_of::<layout::Seat>()),
    ];
    for (name, size) in sizes {
        let c = format!("camlane_shm_{}", name.to_lowercase());
        let (_, rest) = source.split_once(&format!("pub struct {name} {{\n")).unwrap();
        let (fields, _) = rest.split_once("\n}").unwrap();
        let mut offset = 0;
        for field in fields.lines() {
            let field = field.trim().trim_start_matches("pub(crate) ").trim_start_matches("pub ");
            let (field, ty) = field.trim_end_matches(',').split_once(": ").unwrap();
            must_hold(&mut facts, &format!("offsetof({c}, {}) == {offset}", field.trim_start_matches('_')));
            offset += bytes_of(ty);
        }
        assert_eq!(offset, size, "{name}: this test understands all of its fields");
        must_hold(&mut facts, &format!("sizeof({c}) == {size}"));
    }
    must_hold(&mut facts, &format!("sizeof(((camlane_shm_seat *)0)->cells) == {}", 4 * layout::MAX_PINS));
    compiles("cc", &["-std=c11"], "c", &facts);
}

/// The size of a type of `layout.rs`.
fn bytes_of(ty: &str) -> usize {
    if let Some((element, count)) =
        ty.strip_prefix('[').and_then(|ty| ty.strip_suffix(']')?.rsplit_once("; "))
    {
        let count = match count {
            "NAME_LEN" => layout::NAME_LEN,
            "MAX_PINS" => layout::MAX_PINS,
            number => number.parse().unwrap(),
        };
        return bytes_of(element) * count;
    }
    match ty {
        "u8" => 1,
        "u32" | "Word" | "MetaWord" => 4,
        "Wide" => 8,
        other => panic!("{other}: a type that this test does not know"),
    }
}

#[test]
fn every_module_that_exports_is_looked_at() {
    // `prototypes` reads sources; a module that it leaves out would go unchecked.
    let modules = include_str!("lib.rs").lines().filter(|line| line.starts_with("mod ")).count();
    assert_eq!(modules, SOURCES.len() + ["boundary", "drift", "types"].len());
}

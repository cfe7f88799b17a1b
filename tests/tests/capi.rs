//! libcamlane as C and C++ programs use it: installed into a prefix of its own, compiled against, linked, run, killed.
//!
//! Without a C compiler nothing here can be tested: each test then says so and passes. CI has one.
//! The environment may give further words for the compiler and before each program: `CAMLANE_CFLAGS="-fsanitize=address,undefined"`,
//! `CAMLANE_RUN="valgrind -q --error-exitcode=9"`.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::time::Duration;

use camlane::{
    Consumer, ConsumerOptions, FrameDetails, FrameMeta, Health, LaneOptions, LaneStatus, PixelFormat,
    Producer, Read, StreamOptions, StreamReader, StreamWriter, WaitError,
};
use camlane_tests::lane::{TestLane, is_asleep};
use camlane_tests::peer::Peer;
use camlane_tests::skip::skipped;
use camlane_tests::wait::{PATIENCE, wait_until};
use rstest::rstest;

const STRICT: [&str; 4] = ["-Wall", "-Wextra", "-pedantic", "-Werror"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Where this run's results go.
fn out() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("capi")
}

/// Tells whether all programs are there; complains of those that are not.
fn have(programs: &[&str]) -> bool {
    let missing: Vec<&&str> =
        programs.iter().filter(|program| Command::new(program).arg("--version").output().is_err()).collect();
    if !missing.is_empty() {
        skipped(&format!("{missing:?} not found, see tests/install-packages.sh"));
    }
    missing.is_empty()
}

#[track_caller]
fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (said, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{said}{complained}", output.status);
    output
}

/// What an environment variable holds, word by word.
fn words_of(variable: &str) -> Vec<String> {
    std::env::var(variable).unwrap_or_default().split_ascii_whitespace().map(ToOwned::to_owned).collect()
}

/// Starts a program that was compiled here; through a tool, if one is asked for.
fn command(program: &Path) -> Command {
    let mut words = words_of("CAMLANE_RUN");
    words.push(program.display().to_string());
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    command
}

/// The prefix with libcamlane in it, installed once for all tests of this run as a person would do it.
fn prefix() -> &'static Path {
    static PREFIX: OnceLock<PathBuf> = OnceLock::new();
    PREFIX.get_or_init(|| {
        let prefix = out().join("prefix");
        let _ = fs::remove_dir_all(&prefix);
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
        run(Command::new("make")
            .args(["-C", "adapters/capi", "install", "PROFILE=dev"])
            .arg(format!("PREFIX={}", prefix.display()))
            .arg(format!("CARGO={}", env!("CARGO")))
            .env("CARGO_TARGET_DIR", target)
            .current_dir(root()));
        prefix
    })
}

/// Compiles a program of `tests/capi/` or `examples/` without a warning.
#[track_caller]
fn compile(compiler: &str, flags: &[&str], source: &str, program: &str) -> PathBuf {
    let library = prefix().join("lib");
    let program = out().join(program);
    run(Command::new(compiler)
        .args(STRICT)
        .args(flags)
        .args(words_of("CAMLANE_CFLAGS"))
        .arg(root().join(source))
        .args([OsStr::new("-o"), program.as_os_str(), OsStr::new("-I")])
        .arg(prefix().join("include"))
        .arg("-L")
        .arg(&library)
        .arg(format!("-Wl,-rpath,{}", library.display()))
        .args(["-lcamlane", "-lpthread"]));
    program
}

fn c_peer() -> Option<Peer> {
    static PEER: OnceLock<Option<PathBuf>> = OnceLock::new();
    let program = PEER.get_or_init(|| {
        have(&["cc", "make"]).then(|| compile("cc", &["-std=c11", "-O1"], "tests/tests/capi/peer.c", "peer"))
    });
    program.as_ref().map(|program| Peer::run(&mut command(program)))
}

/// A producer of frames whose bytes are `16 n + i`, as the C programs expect them.
struct Source {
    producer: Producer,
    bytes: u32,
}

impl Source {
    fn create(lane: &TestLane) -> Self {
        Self::at(lane.name())
    }

    fn at(address: &str) -> Self {
        let layout = PixelFormat::GRAY8.layout(50, 40, 1).unwrap();
        let options = LaneOptions::for_frames(&layout).seats(3).pins(1).history(3);
        Self { producer: Producer::create(address, &options).unwrap(), bytes: layout.bytes }
    }

    fn shoot(&self) -> u64 {
        let number = self.producer.published() + 1;
        let mut loan = self.producer.loan().unwrap();
        let bytes = &mut loan[..self.bytes as usize];
        bytes.iter_mut().enumerate().for_each(|(at, byte)| *byte = (16 * number + at as u64) as u8);
        loan.user_mut()[..8].copy_from_slice(&number.to_le_bytes());
        let mut meta = FrameMeta::new(PixelFormat::GRAY8.layout(50, 40, 1).unwrap());
        meta.user_len = 8;
        meta.details = Some(FrameDetails { exposure_ns: Some(7_000_000), ..FrameDetails::default() });
        self.producer.publish(loan, &meta).unwrap()
    }
}

#[test]
fn frames_of_a_c_producer_reach_a_rust_consumer_whole() {
    let (lane, Some(mut peer)) = (TestLane::new("c-producer"), c_peer()) else { return };
    peer.must(&format!("create {} 9", lane.name()));
    let mut consumer = ConsumerOptions::new().read(Read::Every).open(lane.name()).unwrap();
    assert_eq!((consumer.shape().seats(), consumer.info().unwrap().frame_id.as_str()), (4, "c_optical"));
    for number in 1..=20 {
        assert_eq!(peer.must("shoot").number("number"), number);
        let frame = consumer.next(PATIENCE).unwrap();
        assert_eq!((frame.number(), frame.missed(), frame.user()), (number, 0, &number.to_le_bytes()[..]));
        let layout = frame.meta().layout;
        assert_eq!(layout, PixelFormat::NV12.layout(9, 6, 1).unwrap());
        assert!(frame.iter().enumerate().all(|(at, &byte)| byte == (16 * number + at as u64) as u8));
        assert_eq!(frame.meta().details.and_then(|details| details.exposure_ns), Some(8_000_000));
        assert!(frame.age().is_some_and(|age| age < PATIENCE));
    }
    assert!(peer.must(&format!("lanes {}", lane.name())).says("health=1 seats=4 taken=1 frame_id=c_optical"));
    peer.must("close");
    assert!(matches!(consumer.next(PATIENCE), Err(WaitError::Closed)));
}

#[test]
fn frames_of_a_rust_producer_reach_a_c_consumer_whole() {
    let (lane, Some(mut peer)) = (TestLane::new("c-consumer"), c_peer()) else { return };
    let source = Source::create(&lane);
    peer.must(&format!("open {} 1", lane.name())); // every frame
    for number in 1..=20 {
        source.shoot();
        let frame = peer.must("next - 20000");
        assert_eq!((frame.number("number"), frame.number("missed"), frame.number("wrong")), (number, 0, 0));
        assert_eq!((frame.number("bytes"), frame.number("user")), (2_000, number));
        assert_eq!(frame.number("exposure"), 7_000_000);
        assert!(frame.says("format=GRAY8 planes=1"));
    }
    for _ in 0..5 {
        source.shoot();
    }
    let frame = peer.must("next - 20000"); // the history reaches back three
    assert_eq!((frame.number("number"), frame.number("missed")), (23, 2));
    let copy = peer.must(&format!("observe {}", lane.name()));
    assert_eq!((copy.number("number"), copy.number("wrong"), copy.number("user")), (25, 0, 25));
    drop(source);
    assert_eq!(peer.must("next - 20000").number("number"), 24);
    assert_eq!(peer.must("next - 20000").number("number"), 25);
    assert!(peer.ask("next - 20000").says(&format!("error {}", -nix::libc::EPIPE)));
}

#[test]
fn a_c_consumer_follows_a_producer_that_starts_anew() {
    let (lane, Some(mut peer)) = (TestLane::new("c-follows"), c_peer()) else { return };
    let source = Source::create(&lane);
    source.shoot();
    peer.must(&format!("open {} 0", lane.name()));
    assert_eq!(peer.must("next - 20000").number("change"), 0);
    drop(source);
    assert!(peer.ask("next - 20000").says(&format!("error {}", -nix::libc::EPIPE)));
    let source = Source::create(&lane);
    peer.tell("next - 20000");
    source.shoot();
    let frame = peer.answer().unwrap();
    assert_eq!((frame.number("number"), frame.number("change")), (1, 1));
}

#[test]
fn a_patient_c_consumer_waits_for_the_producer_that_comes_after_one_that_was_killed() {
    let (lane, Some(mut first), Some(mut peer)) = (TestLane::new("c-patient"), c_peer(), c_peer()) else {
        return;
    };
    first.must(&format!("create {} 16", lane.name()));
    first.must("shoot");
    first.kill();
    peer.must(&format!("await {} 30", lane.name()));
    assert_eq!(peer.must("next - 0").number("bytes"), 16 * 6 * 3 / 2, "what the first one left");
    peer.must("close");
    peer.tell(&format!("await {} 20000", lane.name()));
    wait_until("it sits in what the first one left", || {
        let details = LaneStatus::of(lane.name()).unwrap().lane.unwrap();
        details.seats.unwrap().iter().any(|seat| seat.pid == peer.pid())
    });
    let source = Source::create(&lane);
    source.shoot();
    assert_eq!(peer.answer().unwrap().word(), "ok");
    let frame = peer.must("next - 20000");
    assert_eq!((frame.number("bytes"), frame.number("wrong"), frame.number("change")), (2_000, 0, 0));
}

#[test]
fn a_killed_c_consumer_loses_its_seat_and_the_producer_never_notices() {
    let (lane, Some(mut peer)) = (TestLane::new("c-killed"), c_peer()) else { return };
    let source = Source::create(&lane);
    source.shoot();
    peer.must(&format!("open {} 0", lane.name()));
    assert_eq!(peer.must("hold - 20000").number("number"), 1);
    for _ in 0..50 {
        source.shoot();
    }
    assert_eq!(peer.must("held - 0").number("wrong"), 0);
    peer.kill();
    for _ in 0..50 {
        source.shoot();
    }
    let seats = [(); 3].map(|()| Consumer::open(lane.name()).unwrap());
    assert_eq!(seats.len(), source.producer.shape().seats() as usize);
}

#[test]
fn a_killed_c_producer_is_told_apart_from_one_that_ended() {
    let (lane, Some(mut peer)) = (TestLane::new("c-producer-killed"), c_peer()) else { return };
    peer.must(&format!("create {} 16", lane.name()));
    peer.must("shoot");
    let mut consumer = Consumer::open(lane.name()).unwrap();
    peer.kill();
    assert_eq!(consumer.next(PATIENCE).unwrap().number(), 1);
    assert!(matches!(consumer.next(PATIENCE), Err(WaitError::ProducerGone)));
    assert_eq!(LaneStatus::of(lane.name()).unwrap().health, Health::Stale);
}

#[test]
fn a_c_program_sleeps_in_poll_until_a_frame_comes() {
    let (lane, Some(mut peer)) = (TestLane::new("c-poll"), c_peer()) else { return };
    let source = Source::create(&lane);
    peer.must(&format!("open {} 0", lane.name()));
    for number in 1..=3 {
        peer.tell("poll - 20000");
        wait_until("the notifier sleeps", || is_asleep(lane.name()));
        source.shoot();
        assert_eq!(peer.answer().unwrap().number("number"), number);
    }
    peer.tell("poll - 20000");
    drop(source);
    assert!(peer.answer().unwrap().says(&format!("error {}", -nix::libc::EPIPE)));
}

#[test]
fn a_c_consumer_reads_a_sealed_lane_by_its_address() {
    let Some(mut peer) = c_peer() else { return };
    let socket = std::env::temp_dir().join(format!("camlane-capi-{}.sock", std::process::id()));
    let address = format!("sealed:{}", socket.display());
    let source = Source::at(&address);
    peer.must(&format!("open {address} 0"));
    source.shoot();
    let frame = peer.must("next - 20000");
    assert_eq!((frame.number("number"), frame.number("wrong")), (1, 0));
    drop(source);
    assert!(peer.ask("next - 20000").says(&format!("error {}", -nix::libc::EPIPE)));
}

#[test]
fn a_byte_stream_runs_between_c_and_rust_both_ways() {
    let (lane, Some(mut peer)) = (TestLane::new("c-stream"), c_peer()) else { return };
    peer.must(&format!("write-stream {} 0", lane.name()));
    let mut reader = StreamReader::open(lane.name(), Duration::ZERO).unwrap();
    assert_eq!(peer.must("write from-c 0").number("written"), 6);
    let mut bytes = [0; 16];
    assert_eq!(reader.read(&mut bytes, PATIENCE).unwrap(), 6);
    assert_eq!(&bytes[..6], b"from-c");
    let long = "x".repeat(200); // more than the 64 bytes that the ring has
    peer.tell(&format!("write {long} 20000"));
    let mut total = 0;
    while total < 200 {
        total += reader.read(&mut bytes, PATIENCE).unwrap();
    }
    assert_eq!(peer.answer().unwrap().number("written"), 200);
    peer.kill();
    assert!(matches!(reader.read(&mut bytes, PATIENCE), Err(WaitError::ProducerGone)));
    drop(reader);

    let mut peer = c_peer().unwrap();
    let mut writer = StreamWriter::create(lane.name(), &StreamOptions::new(64)).unwrap();
    peer.must(&format!("read-stream {}", lane.name()));
    peer.tell("read - 20000");
    writer.write(b"from-rust", PATIENCE).unwrap();
    assert!(peer.answer().unwrap().says("text=from-rust"));
    drop(writer);
    assert!(peer.ask("read - 20000").says(&format!("error {}", -nix::libc::EPIPE)));
}

#[test]
fn whatever_a_c_program_does_wrong_it_is_told() {
    if !have(&["cc", "make"]) {
        return;
    }
    let lane = TestLane::new("c-misuse");
    let program = compile("cc", &["-std=gnu11", "-O1"], "tests/tests/capi/misuse.c", "misuse");
    run(command(&program).arg(lane.name()));
}

/// Compiles the program that loads the library by itself, and starts it.
fn unloader(lane: &TestLane, how: &[&str]) -> Option<Peer> {
    static PROGRAM: OnceLock<Option<PathBuf>> = OnceLock::new();
    let program = PROGRAM.get_or_init(|| {
        let build = || {
            compile(
                "cc",
                &["-std=c11", "-O1", "-Wl,--as-needed", "-ldl"],
                "tests/tests/capi/unload.c",
                "unload",
            )
        };
        have(&["cc", "make"]).then(build)
    });
    let library = prefix().join("lib/libcamlane.so");
    let mut command = Command::new(program.as_ref()?);
    Some(Peer::run(command.arg(library).arg(lane.name()).args(how)))
}

#[test]
fn a_program_may_close_the_library_while_a_lane_is_open() {
    let lane = TestLane::new("c-unload");
    let Some(mut program) = unloader(&lane, &["open"]) else { return };
    assert_eq!(program.answer().unwrap().number("threads"), 3, "the program's own, keeper, notifier");
    let mut consumer = ConsumerOptions::new().read(Read::Every).open(lane.name()).unwrap();
    assert_eq!(consumer.next(PATIENCE).unwrap().number(), 1);
    let mut dead = c_peer().unwrap();
    dead.must(&format!("open {} 0", lane.name()));
    let pid = dead.pid();
    dead.kill();
    wait_until("the keeper clears up after the dead", || {
        let seats = LaneStatus::of(lane.name()).unwrap().lane.unwrap().seats.unwrap();
        seats.iter().all(|seat| seat.pid != pid)
    });
    for number in 2..=20 {
        program.tell("shoot");
        assert_eq!(program.answer().unwrap().number("number"), number);
        assert_eq!(consumer.next(PATIENCE).unwrap().number(), number);
    }
    assert!(program.end().success());
    assert!(matches!(consumer.next(PATIENCE), Err(WaitError::ProducerGone)), "it ended nothing");
}

#[test]
fn a_library_that_is_loaded_and_closed_a_hundred_times_leaves_no_thread_and_no_descriptor() {
    let lane = TestLane::new("c-reload");
    let Some(mut program) = unloader(&lane, &["often", "100"]) else { return };
    let (early, late) = (program.answer().unwrap(), program.answer().unwrap());
    assert_eq!((early.number("threads"), late.number("threads")), (1, 1));
    assert_eq!(early.number("descriptors"), late.number("descriptors"));
    assert!(program.end().success());
    assert_eq!(lane.parts(), ["lock"]);
}

#[rstest]
#[case::with_exceptions(&["-std=c++17"], "ends")]
#[case::without_exceptions(&["-std=c++17", "-fno-exceptions", "-fno-rtti"], "ends-without")]
#[case::as_cpp20(&["-std=c++20"], "ends-20")]
fn the_cpp_header_owns_moves_and_shapes(#[case] flags: &[&str], #[case] program: &str) {
    if !have(&["c++", "make"]) {
        return;
    }
    let lane = TestLane::new("cpp");
    let program = compile("c++", flags, "tests/tests/capi/ends.cpp", program);
    let output = run(command(&program).arg(lane.name()));
    let shapes = String::from_utf8(output.stdout).unwrap();
    let expected: String =
        PixelFormat::ALL.iter().map(|info| expected_matrices(info.format) + "\n").collect();
    assert_eq!(shapes, expected);
}

/// What `ends.cpp` should say of a format: type, rows, columns, offset and step of each plane of a 7 x 5 picture.
fn expected_matrices(format: PixelFormat) -> String {
    let info = format.info().unwrap();
    let mut line = info.name.to_owned();
    let (Ok(layout), Some(types)) = (format.layout(7, 5, 16), info.opencv) else { return line };
    for (index, (plane, kind)) in layout.planes().iter().zip(types.split(',')).enumerate() {
        let columns = if index == 0 { 7 } else { 7u32.div_ceil(info.chroma.0.into()) };
        line += &format!(" {kind}:{}x{columns}@{}+{}", plane.rows, plane.offset, plane.stride);
    }
    line
}

#[rstest]
#[case::plain(&["-O2"], "reader")]
#[case::sanitized(&["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"], "reader-sanitized")]
fn the_header_only_reader_reads_the_golden_bytes_and_survives_damaged_ones(
    #[case] flags: &[&str],
    #[case] program: &str,
) {
    if !have(&["cc", "make"]) {
        return;
    }
    let golden = root().join("tests/golden");
    let output = run(command(&compile_reader(flags, program))
        .arg("golden")
        .args([golden.join("lane-v1.bin"), golden.join("stream-v1.bin")]));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.ends_with("as the text says\n"), "{said}");
}

/// Compiles the reader's program. It does not link the library: that is its point.
fn compile_reader(flags: &[&str], program: &str) -> PathBuf {
    let program = out().join(program);
    fs::create_dir_all(out()).unwrap();
    run(Command::new("cc")
        .args(STRICT)
        .args(["-std=c11", "-Wconversion", "-Wshadow"])
        .args(flags)
        .arg(root().join("tests/tests/capi/reader.c"))
        .args([OsStr::new("-o"), program.as_os_str(), OsStr::new("-I")])
        .arg(root().join("adapters/capi/include")));
    program
}

#[test]
fn the_header_only_reader_reads_a_running_lane_and_holds_its_frame() {
    if !have(&["cc"]) {
        return;
    }
    let lane = TestLane::new("reader");
    let source = Source::create(&lane);
    let mut reader = Peer::run(command(&compile_reader(&["-O2"], "reader-live")).args(["live", lane.name()]));
    assert_eq!(reader.ask("copy").word(), "none");
    assert_eq!(reader.ask("next").word(), "none");
    source.shoot();
    let copy = reader.must("copy");
    assert_eq!((copy.number("number"), copy.number("wrong"), copy.number("user")), (1, 0, 1));
    assert_eq!(reader.must("next").number("number"), 1);
    for _ in 0..50 {
        source.shoot();
    }
    assert_eq!(reader.must("held").number("wrong"), 0);
    reader.must("release");
    let frame = reader.must("next");
    assert_eq!((frame.number("number"), frame.number("missed"), frame.number("wrong")), (49, 47, 0));
    reader.must("release");

    reader.tell("storm");
    for _ in 0..20_000 {
        source.shoot();
    }
    drop(source);
    let storm = reader.answer().unwrap();
    assert_eq!(storm.number("torn"), 0, "{storm:?}");
    assert!(reader.end().success());
}

#[test]
fn the_c_example_reads_a_lane_and_is_built_by_one_line_with_pkg_config() {
    if !have(&["cc", "make", "pkg-config"]) {
        return;
    }
    let folder = out().join("outside");
    fs::create_dir_all(&folder).unwrap();
    fs::copy(root().join("examples/read.c"), folder.join("read.c")).unwrap();
    run(Command::new("sh")
        .args(["-c", "cc $STRICT -std=c11 read.c -o read $(pkg-config --cflags --libs camlane)"])
        .env("PKG_CONFIG_PATH", prefix().join("lib/pkgconfig"))
        .env("STRICT", STRICT.join(" "))
        .current_dir(&folder));
    let lane = TestLane::new("c-example");
    let source = Source::create(&lane);
    source.shoot();
    let output = run(Command::new(folder.join("read"))
        .args([lane.name(), "1"])
        .env("LD_LIBRARY_PATH", prefix().join("lib")));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.starts_with("frame 1: GRAY8 50x40, mean "), "{said}");
}

#[test]
fn a_cmake_project_elsewhere_finds_the_library_shared_and_static() {
    if !have(&["cc", "c++", "make", "cmake"]) {
        return;
    }
    let folder = out().join("cmake-project");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    let ends = root().join("tests/tests/capi/ends.cpp");
    let project = format!(
        "cmake_minimum_required(VERSION 3.16)\n\
         project(outside C CXX)\n\
         find_package(camlane 0.1 CONFIG REQUIRED)\n\
         set(CMAKE_CXX_STANDARD 17)\n\
         find_package(Threads REQUIRED)\n\
         add_executable(shared {0})\n\
         target_link_libraries(shared camlane::camlane Threads::Threads)\n\
         add_executable(static {0})\n\
         target_link_libraries(static camlane::static Threads::Threads)\n",
        ends.display()
    );
    fs::write(folder.join("CMakeLists.txt"), project).unwrap();
    let built = folder.join("build");
    let place = format!("-DCMAKE_PREFIX_PATH={}", prefix().display());
    run(Command::new("cmake").arg("-S").arg(&folder).arg("-B").arg(&built).arg(place));
    run(Command::new("cmake").arg("--build").arg(&built));
    for program in ["shared", "static"] {
        let lane = TestLane::new("cmake");
        run(Command::new(built.join(program)).arg(lane.name()));
    }
    let other =
        fs::read_to_string(folder.join("CMakeLists.txt")).unwrap().replace("camlane 0.1", "camlane 1.0");
    fs::write(folder.join("CMakeLists.txt"), other).unwrap();
    let refused =
        Command::new("cmake").arg("-S").arg(&folder).arg("-B").arg(folder.join("other")).output().unwrap();
    assert!(!refused.status.success(), "version 1.0 was asked for, and 0.1 found good");
}

#[test]
fn the_shared_library_has_its_soname_and_shows_nothing_but_the_interface() {
    if !have(&["cc", "make", "readelf", "nm"]) {
        return;
    }
    let library = prefix().join("lib/libcamlane.so");
    let dynamic = run(Command::new("readelf").arg("-d").arg(&library)).stdout;
    assert!(String::from_utf8(dynamic).unwrap().contains("[libcamlane.so.0]"));
    let symbols =
        String::from_utf8(run(Command::new("nm").args(["-D", "--defined-only"]).arg(&library)).stdout)
            .unwrap();
    let names: Vec<&str> = symbols.lines().filter_map(|line| line.split(' ').nth(2)).collect();
    let header = fs::read_to_string(prefix().join("include/camlane.h")).unwrap();
    let declared = header.lines().filter(|line| line.starts_with("CAMLANE_API ")).count();
    assert_eq!(names.len(), declared, "{names:?}");
    assert!(names.iter().all(|name| name.starts_with("camlane_")), "{names:?}");
}

#[test]
fn c_reads_lanes_in_step_and_says_whom_a_sealed_lane_admits() {
    if !have(&["cc", "make"]) {
        return;
    }
    let (left, right) = (TestLane::new("c-left"), TestLane::new("c-right"));
    let dir = tempfile::tempdir().unwrap();
    let program = compile("cc", &["-std=c11", "-O1"], "tests/tests/capi/in_step.c", "in_step");
    run(command(&program).args([left.name(), right.name()]).arg(dir.path().join("lane.sock")));
}

/// Starts a C++ program that reads lanes in step.
fn sets(tolerance_ms: u32, lanes: &[&TestLane]) -> Peer {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    let program =
        PROGRAM.get_or_init(|| compile("c++", &["-std=c++17", "-O1"], "tests/tests/capi/sets.cpp", "sets"));
    let mut command = Command::new(program);
    command.arg(tolerance_ms.to_string()).args(lanes.iter().map(|lane| lane.name()));
    let mut peer = Peer::run(&mut command);
    assert!(peer.answer().unwrap().says("ok ready"));
    peer
}

#[test]
fn cpp_reads_three_lanes_in_step_and_what_it_holds_does_not_change() {
    if !have(&["c++", "make"]) {
        return;
    }
    let lanes = ["cpp-left", "cpp-middle", "cpp-right"].map(TestLane::new);
    let layout = PixelFormat::GRAY8.layout(8, 8, 1).unwrap();
    let producers = lanes
        .each_ref()
        .map(|lane| Producer::create(lane.name(), &LaneOptions::for_frames(&layout).pins(4)).unwrap());
    let shoot = |index: usize, ms: u64, value: u8| {
        let mut loan = producers[index].loan().unwrap();
        loan[..64].fill(value);
        let mut meta = FrameMeta::new(layout);
        (meta.capture_ns, meta.clock) = (ms * 1_000_000, camlane::Clock::MONOTONIC);
        producers[index].publish(loan, &meta).unwrap();
    };
    let mut reader = sets(1, &lanes.each_ref());
    shoot(0, 10, 1);
    shoot(2, 10, 3);
    assert!(reader.ask("next 0").says(&format!("error {}", nix::libc::ETIMEDOUT)));
    reader.tell("next 20000");
    shoot(1, 11, 2);
    assert_eq!(reader.answer().unwrap().0, "ok 1:1@10000000 1:2@11000000 1:3@10000000");
    shoot(0, 20, 9); // no partner in the other lanes
    for (index, ms) in [(0, 31), (1, 30), (2, 31)] {
        shoot(index, ms, 4);
    }
    assert_eq!(reader.must("next 20000").0, "ok 3:4@31000000 2:4@30000000 2:4@31000000");
    assert_eq!(reader.must("totals").0, "ok 2/1/0 2/0/0 2/0/0");
    for round in 0..30 {
        (0..3).for_each(|index| shoot(index, 40 + round, 200));
    }
    assert_eq!(reader.must("held").0, "ok 1 2 3 4 4 4");
    reader.must("drop");
    assert!(reader.must("next 20000").says(":200@"));
}

#[test]
fn a_camera_that_is_killed_is_named_to_cpp_and_its_successor_is_paired_again() {
    if !have(&["c++", "cc", "make"]) {
        return;
    }
    let lanes = ["cpp-lives", "cpp-killed"].map(TestLane::new);
    let camera = |lane: &TestLane| {
        let mut camera = c_peer().unwrap();
        camera.must(&format!("create {} 9", lane.name()));
        camera
    };
    let [mut lives, mut killed] = lanes.each_ref().map(camera);
    let mut reader = sets(3_600_000, &lanes.each_ref());
    lives.must("shoot");
    killed.must("shoot");
    assert!(reader.must("next 20000").says(" 1:"));
    lives.must("shoot"); // waits for a partner
    killed.kill();
    let told = reader.ask("next 20000");
    assert!(told.says(" gone ") && told.says(lanes[1].name()), "{told:?}");
    let mut successor = camera(&lanes[1]);
    reader.tell("next 20000");
    successor.must("shoot");
    let set = reader.answer().unwrap();
    assert!(set.says("ok 2:") && set.says(" 1:"), "{set:?}");
    assert_eq!(reader.must("totals").0, "ok 2/0/0 2/0/0");
    drop(lives);
    let told = reader.ask("next 20000");
    assert!(told.says(" gone ") && told.says(lanes[0].name()), "{told:?}");
}

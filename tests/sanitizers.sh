#!/usr/bin/env bash
# Memory and thread sanitizers, valgrind and Miri over the tests, each as far as it can see.
#
#   tests/sanitizers.sh address     AddressSanitizer: core, the adapter for POSIX, lanes between processes; the C programs, and
#                                   UndefinedBehaviorSanitizer there
#   tests/sanitizers.sh valgrind    memcheck: the C programs with libcamlane inside, the adapter for POSIX
#   tests/sanitizers.sh threads     ThreadSanitizer: the threads of the adapter for POSIX, and of lanes in one process
#   tests/sanitizers.sh miri        Miri: core
#   tests/sanitizers.sh all
#
# Each begins with a program that has the very fault: a tool that does not report it proves nothing, and fails here. Sanitizers
# work with the stable compiler; what can not be had on this machine (Miri, the source of std) is said, and is no failure.
set -euo pipefail
cd "$(dirname "$0")/.."
out=$PWD/target/sanitizers
logs=$out/logs
mkdir -p "$logs" "$out/planted"
triple=$(rustc -vV | sed -n 's/^host: //p')
failed=0
export CARGO_PROFILE_DEV_OPT_LEVEL=1 RUST_BACKTRACE=0

say() { echo "sanitizers: $*"; }

# Runs a command that runs tests; prints how many there were. What a tool reports ends the program, or the test that it is in;
# the exit code and the log count, not the harness's last line.
run() { # name, command...
  local name=$1 log=$logs/$1.log began=$SECONDS code=0
  shift
  "$@" >"$log" 2>&1 || code=$?
  local reports
  reports=$(grep -cE '^(==[0-9]+==)?(ERROR: |WARNING: ThreadSanitizer|==[0-9]+==ERROR)|Undefined Behavior:|runtime error:' "$log") || true
  awk -v name="$name" -v seconds=$((SECONDS - began)) -v reports="$reports" '
    /^test result/ { for (i = 2; i <= NF; i++) { if ($i ~ /^passed/) passed += $(i - 1); if ($i ~ /^failed/) broken += $(i - 1) } }
    /^SKIPPED/ { skipped++ }
    END { printf "sanitizers: %-18s %4d passed, %d failed, %d skipped themselves, %d reports  %4d s\n",
      name, passed, broken, skipped, reports, seconds; exit passed == 0 }' "$log" || code=1
  if ((code != 0 || reports != 0)); then
    say "$name: exit code $code, see $log" >&2
    grep -E 'ERROR: |WARNING: Thread|Undefined Behavior|runtime error|^error|panicked at|^test .*FAILED' -A 12 "$log" | head -n 60 >&2 || true
    failed=$((failed + 1))
  fi
}

# A program with a fault, which must be told of by these words, within ten runs: a race is not seen each time.
planted() { # name, the report, command...
  local name=$1 report=$2 turn
  shift 2
  for turn in {1..10}; do
    if ! "$@" >"$logs/planted-$name.log" 2>&1 && grep -q "$report" "$logs/planted-$name.log"; then
      say "planted $name: reported (run $turn)"
      return
    fi
  done
  say "planted $name: NOT reported, see $logs/planted-$name.log" >&2
  failed=$((failed + 1))
}

rust_planted() { # name, compiler's options...: a program from the standard input
  cat >"$out/planted/$1.rs"
  RUSTC_BOOTSTRAP=1 rustc --edition 2024 --target "$triple" -o "$out/planted/$1" "${@:2}" "$out/planted/$1.rs"
}

address() {
  rust_planted overflow -Zsanitizer=address <<'END'
fn main() {
    let bytes = vec![1u8; 16];
    let at = bytes.as_ptr().wrapping_add(std::env::args().count() + 15);
    println!("{}", unsafe { at.read_volatile() });
}
END
  planted overflow 'AddressSanitizer: heap-buffer-overflow' "$out/planted/overflow"

  export ASAN_OPTIONS=detect_stack_use_after_return=1
  local sanitized=(env RUSTC_BOOTSTRAP=1 CARGO_PROFILE_DEV_DEBUG=line-tables-only CARGO_TARGET_DIR="$out/address"
    RUSTFLAGS=-Zsanitizer=address cargo test --target "$triple")
  run address-core "${sanitized[@]}" -p camlane-core --lib --tests
  run address-posix "${sanitized[@]}" -p camlane --lib --tests
  # Some of these require that a program ends by SIGBUS or SIGSEGV, so those are left to it; and some fork with threads at work,
  # whose memory nobody refers to in the child: leaks are what the two above look for. Not `faults`, which counts the system
  # calls of a program, nor what counts its mappings, for the sanitizer makes some of its own; nor `surroundings`, which bounds
  # memory, of which it reserves terabytes.
  ASAN_OPTIONS+=:handle_segv=0:handle_sigbus=0:detect_leaks=0 run address-processes "${sanitized[@]}" --no-fail-fast \
    -p camlane-tests --lib --test golden --test mixed --test named --test sealed -- \
    --skip faults:: --skip surroundings:: --skip leave
  # Not the program that closes the library while its lane is open, which nobody refers to then.
  c_programs address CAMLANE_CFLAGS="-g -fsanitize=address,undefined -fno-sanitize-recover=all" --skip while_a_lane_is_open
}

c_programs() { # name, variable, options of the tests...
  tests/install-packages.sh cc=gcc,libc6-dev c++=g++ make=make cmake=cmake pkg-config=pkg-config nm=binutils >/dev/null
  run "$1-c" env -u CARGO_PROFILE_DEV_OPT_LEVEL "$2" cargo test --no-fail-fast -p camlane-tests --test capi -- "${@:3}"
}

valgrind_all() {
  tests/install-packages.sh valgrind=valgrind,libc6-dbg cc=gcc,libc6-dev >/dev/null
  # Fair, or a thread that spins is the only one that runs.
  local memcheck="valgrind -q --fair-sched=try --error-exitcode=9 --exit-on-first-error=yes"
  printf '#include <stdlib.h>\nint main(void) { int *p = malloc(4); return *p ? 1 : 2; }\n' >"$out/planted/unset.c"
  cc -O0 -g -o "$out/planted/unset" "$out/planted/unset.c"
  planted uninitialised 'uninitialised value' $memcheck "$out/planted/unset"
  # A process that is killed, or that still runs when its test ends, has leaked nothing that could be counted.
  # The header-only reader has a case with AddressSanitizer, which cannot be had within valgrind.
  c_programs valgrind CAMLANE_RUN="$memcheck --leak-check=no" --skip sanitized
  # It does not know futex_waitv(2), so what needs that cannot be seen.
  run valgrind-posix env CARGO_TARGET_DIR="$PWD/target" CARGO_PROFILE_DEV_OPT_LEVEL=0 \
    "CARGO_TARGET_$(tr a-z- A-Z_ <<<"$triple")_RUNNER=$memcheck" cargo test -p camlane --lib --tests -- --skip a_changed_word
}

threads() {
  rust_planted race -Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer <<'END'
static mut COUNT: u64 = 0;
fn main() {
    let add = || (0..100_000).for_each(|_| unsafe { COUNT += 1 });
    let other = std::thread::spawn(add);
    add();
    other.join().unwrap();
}
END
  planted race 'ThreadSanitizer: data race' "$out/planted/race"
  local source
  source=$(rustc --print sysroot)/lib/rustlib/src/rust/library
  if [[ ! -e $source ]] && ! timeout 120 rustup component add rust-src >/dev/null 2>&1; then
    say "threads: not run: std must be built with the sanitizer, and its source (rustup component add rust-src) can not be had here"
    return
  fi
  # Not core: its tests share one buffer between threads, ordered by fences, which this sanitizer does not see. In these, each end
  # has a mapping of its own, which are different memory to it: it judges what the threads of one process share besides.
  # A broker puts another page where a seat's was (mmap with MAP_FIXED) while the producer looks there: it sees one or the other,
  # but the sanitizer takes it for a write of all the bytes.
  echo 'race:camlane::sealed::memory::SeatTable' >"$out/threads.supp"
  local sanitized=(env RUSTC_BOOTSTRAP=1 CARGO_PROFILE_DEV_DEBUG=line-tables-only CARGO_TARGET_DIR="$out/threads"
    RUSTFLAGS=-Zsanitizer=thread "TSAN_OPTIONS=halt_on_error=0 handle_segv=0 handle_sigbus=0 suppressions=$out/threads.supp"
    cargo test -Zbuild-std --no-fail-fast --target "$triple")
  run threads-posix "${sanitized[@]}" -p camlane --lib --tests
  # Not those that count mappings, of which the sanitizer makes some, that start threads in a forked child, which it refuses, or
  # that need thousands of threads, which are slow with it.
  run threads-lanes "${sanitized[@]}" -p camlane-tests --test named --test sealed -- threads:: waiting:: waiters:: life:: \
    --skip leave --skip child --skip two_thousand
  run threads-mixed "${sanitized[@]}" -p camlane-tests --test mixed
}

miri() {
  local toolchain=nightly
  if ! cargo "+$toolchain" miri --version >/dev/null 2>&1 &&
    ! timeout 180 rustup component add miri rust-src --toolchain "$toolchain" >/dev/null 2>&1; then
    say "miri: not run: rustup component add miri rust-src --toolchain nightly fails here"
    return
  fi
  say "miri: $(cargo "+$toolchain" miri --version)"
  printf 'fn main() { let at = { let x = 5u8; &raw const x }; println!("{}", unsafe { *at }); }\n' >"$out/planted/dangling.rs"
  local sysroot
  sysroot=$(cargo "+$toolchain" miri setup --print-sysroot)
  planted dangling 'Undefined Behavior' rustup run "$toolchain" miri --sysroot "$sysroot" --edition 2024 "$out/planted/dangling.rs"
  # The tests that repeat something ten thousand times, and those of taking over, would take hours; of what proptest makes up, it
  # gets a few, and proptest looks for a file.
  run miri-core env -u CARGO_PROFILE_DEV_OPT_LEVEL CARGO_TARGET_DIR="$out/miri" PROPTEST_CASES=4 \
    MIRIFLAGS=-Zmiri-disable-isolation cargo "+$toolchain" miri test --no-fail-fast -p camlane-core \
    --lib --test lane --test publish --test seats --test observer --test wrap --test objects -- \
    --skip thousands --skip large --skip while_a_producer_runs
}

case "${1:-}" in
  address) address ;;
  valgrind) valgrind_all ;;
  threads) threads ;;
  miri) miri ;;
  all)
    address
    valgrind_all
    threads
    miri
    ;;
  *)
    sed -n '2,12p' "$0" >&2
    exit 2
    ;;
esac
((failed == 0))

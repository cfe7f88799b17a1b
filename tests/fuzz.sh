#!/usr/bin/env bash
# Fuzzing with coverage: libFuzzer and AddressSanitizer drive the targets of tests/fuzz, on the stable compiler.
#
#   tests/fuzz.sh test              replays the kept inputs; needs no libFuzzer
#   tests/fuzz.sh [SECONDS]         each target for so long (default 3); what breaks one is kept under target/fuzz
#   tests/fuzz.sh runs N [TARGET]   each target N times, or one: the long run
#   tests/fuzz.sh keep              the smallest set of inputs that reaches what those found so far reach: new corpus
#   tests/fuzz.sh replay TARGET FILE...
#   tests/fuzz.sh planted [NAME]    a bug planted under each target (tests/planted.txt): the kept inputs must find it
#
# New inputs are collected in target/fuzz/found; tests/fuzz/corpus changes by `keep` only. Needs a C++ compiler.
set -euo pipefail
cd "$(dirname "$0")/.."

triple=$(rustc -vV | sed -n 's/^host: //p')
out=$PWD/target/fuzz
binary=$out/$triple/release/fuzz
mapfile -t targets < <(sed -nE 's/^    \("([a-z]+)", .*/\1/p' tests/fuzz/src/lib.rs)

# What cargo-fuzz passes. Sanitizers and coverage are unstable options; std is not instrumented, which costs coverage only.
export CARGO_TARGET_DIR=$out
flags="--cfg fuzzing -Zsanitizer=address -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
  -Cllvm-args=-sanitizer-coverage-trace-compares -Cllvm-args=-simplifycfg-branch-fold-threshold=0 -Cdebug-assertions"
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS=true

build() {
  tests/install-packages.sh c++=g++ python3=python3
  cp Cargo.lock tests/fuzz
  RUSTC_BOOTSTRAP=1 RUSTFLAGS=$flags cargo build --quiet --release --target "$triple" \
    --manifest-path tests/fuzz/Cargo.toml --features libfuzzer --bin fuzz
}

# The kept inputs of a target as files, for libFuzzer: target/fuzz/kept/TARGET.
unpack() {
  rm -rf "${out:?}/kept/$1"
  mkdir -p "$out/kept/$1" "$out/found/$1"
  python3 - "tests/fuzz/corpus/$1.hex" "$out/kept/$1" <<'END'
import pathlib, sys
for number, line in enumerate(open(sys.argv[1])):
    if digits := line.split("#")[0].strip():
        pathlib.Path(sys.argv[2], str(number)).write_bytes(bytes.fromhex(digits))
END
}

# The other way: what reaches something new becomes the kept inputs, after those that found a fault.
pack() { # target, folder
  python3 - "tests/fuzz/corpus/$1.hex" "$2" <<'END'
import pathlib, sys
file, folder = map(pathlib.Path, sys.argv[1:])
faults = [line.rstrip() for line in (file.read_text().splitlines() if file.exists() else []) if "#" in line]
lines = sorted((path.read_bytes().hex() for path in folder.iterdir()), key=lambda line: (len(line), line))
lines = [line for line in lines if line and len(line) <= 1024]
file.write_text("".join(line + "\n" for line in faults + lines))
END
}

fuzz() { # target, libFuzzer's arguments...
  local target=$1
  shift
  mkdir -p "$out/broken"
  CAMLANE_FUZZ=$target "$binary" -artifact_prefix="$out/broken/$target-" -timeout=20 -rss_limit_mb=4096 \
    -max_len=4096 -print_final_stats=1 "$@"
}

# One target; prints a line. Its log stays.
run() { # target, libFuzzer's limit
  local target=$1 log=$out/$1.log began=$SECONDS
  unpack "$target"
  if ! fuzz "$target" "$2" "$out/found/$target" "$out/kept/$target" >"$log" 2>&1; then
    tail -n 60 "$log" >&2
    echo "fuzz: $target: broken by an input under $out/broken: see above, and $log" >&2
    return 1
  fi
  local executions points
  executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  points=$(grep -o 'cov: [0-9]*' "$log" | tail -n 1)
  printf 'fuzz: %-9s %9d runs %5d s  %s  inputs %d\n' "$target" "$executions" $((SECONDS - began)) "$points" \
    "$(find "$out/kept/$target" "$out/found/$target" -type f | wc -l)"
}

case "${1:-3}" in
  test)
    cp Cargo.lock tests/fuzz
    export CARGO_TARGET_DIR=$PWD/target # what `cargo test --workspace` built serves here, too
    cargo fmt --check --manifest-path tests/fuzz/Cargo.toml
    cargo clippy --quiet --all-targets --manifest-path tests/fuzz/Cargo.toml -- -D warnings
    cargo test --quiet --manifest-path tests/fuzz/Cargo.toml
    ;;
  runs)
    build
    for target in ${3:-"${targets[@]}"}; do run "$target" "-runs=${2:?how many?}"; done
    ;;
  keep)
    build
    for target in "${targets[@]}"; do
      unpack "$target"
      rm -rf "$out/merged"
      mkdir -p "$out/merged"
      fuzz "$target" -merge=1 "$out/merged" "$out/kept/$target" "$out/found/$target" >"$out/$target.log" 2>&1
      pack "$target" "$out/merged"
      wc -lc "tests/fuzz/corpus/$target.hex"
    done
    ;;
  planted)
    python3 tests/mutants.py planted "${@:2}"
    ;;
  replay)
    build
    fuzz "${2:?which target?}" "${@:3}"
    ;;
  [0-9]*)
    build
    for target in "${targets[@]}"; do run "$target" "-max_total_time=${1:-3}"; done
    ;;
  *)
    sed -n '2,12p' "$0" >&2
    exit 2
    ;;
esac

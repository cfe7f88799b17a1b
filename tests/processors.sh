#!/usr/bin/env bash
# The tests on other processors than this machine's: other widths, alignments, system calls, C libraries.
#
#   tests/processors.sh short         the quick part: i686 whole, core on aarch64, mixed with i686, s390x
#   tests/processors.sh all           each of those below
#   tests/processors.sh aarch64 | armv7 | riscv64 | i686      core, the adapter for POSIX, and tests with processes
#   tests/processors.sh mixed         programs of 32 bits and of 64 on one lane, each as producer and as reader
#   tests/processors.sh s390x         big-endian is refused
#
# i686 runs on the processor itself, the others under qemu's user mode, which keeps x86's strong memory order: an ordering that
# is missing passes there (tests/loom.sh and tests/models.sh litmus are for those), and its times mean nothing.
# Takes rustup's targets where they can be had. Else, or with DEBIAN_RUST=1, Debian's compiler, unpacked into target/cross, which
# builds the standard library from source. Linkers and qemu are Debian's, and are installed if they are missing.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR=$PWD/target/processors/build CARGO_PROFILE_DEV_DEBUG=0 CARGO_PROFILE_DEV_OPT_LEVEL=1 RUST_BACKTRACE=0
logs=$PWD/target/processors/logs
mkdir -p "$logs"
failed=0

say() { echo "processors: $*"; }

# Sets triple, gnu (the name of the tools) and emulator, and has cargo use them.
choose() { # processor
  local qemu root upper
  case $1 in
    aarch64) triple=aarch64-unknown-linux-gnu gnu=aarch64-linux-gnu qemu=aarch64 libc=arm64 ;;
    armv7) triple=armv7-unknown-linux-gnueabihf gnu=arm-linux-gnueabihf qemu=arm libc=armhf ;;
    riscv64) triple=riscv64gc-unknown-linux-gnu gnu=riscv64-linux-gnu qemu=riscv64 libc=riscv64 ;;
    i686) triple=i686-unknown-linux-gnu gnu=i686-linux-gnu qemu=i386 libc=i386 ;;
    s390x) triple=s390x-unknown-linux-gnu gnu=s390x-linux-gnu qemu=s390x libc=s390x ;;
  esac
  tests/install-packages.sh "$gnu-gcc=gcc-$gnu,libc6-dev-$libc-cross" "qemu-$qemu-static=qemu-user-static" >/dev/null
  root=/usr/$gnu
  upper=$(tr a-z- A-Z_ <<<"$triple")
  emulator="qemu-$qemu-static -L $root"
  export "CARGO_TARGET_${upper}_LINKER=$gnu-gcc"
  if [[ $1 == i686 ]] && "$root/lib/ld-linux.so.2" --version >/dev/null 2>&1; then
    emulator=
    # The loader is not where programs of this processor look for it.
    export "CARGO_TARGET_${upper}_RUSTFLAGS=-Clink-arg=-Wl,--dynamic-linker=$root/lib/ld-linux.so.2 -Clink-arg=-Wl,-rpath,$root/lib"
  else
    export "CARGO_TARGET_${upper}_RUNNER=$emulator"
  fi
  local sysroot
  sysroot=$(rustc --print sysroot)
  if [[ -z ${DEBIAN_RUST:-} ]] && { compgen -G "$sysroot/lib/rustlib/$triple/lib/libstd-*.rlib" >/dev/null ||
    timeout 120 rustup target add "$triple" >/dev/null 2>&1; }; then
    compiler="$(rustc --version), rustup's"
    arguments=(--target "$triple")
    return
  fi
  local debian
  debian=$(tests/unpack-debian.sh bookworm-security amd64 rustc-web libstd-rust-web-1.96 libllvm22 libstd-rust-web-dev rust-web-src)
  export RUSTC=$debian/usr/bin/rustc RUSTDOC=$debian/usr/bin/rustdoc RUSTC_BOOTSTRAP=1
  LD_LIBRARY_PATH=$(dirname "$debian"/usr/lib/*/librustc_driver-*.so)
  export LD_LIBRARY_PATH
  arguments=(-Zbuild-std --target "$triple")
  compiler="$("$RUSTC" --version), Debian's"
}

# Runs tests of these packages, which are always built together: else their dependencies are built once more for each.
test_of=(-p camlane-core -p camlane -p camlane-tests)
core=(--test hostile_bytes --test lane --test model_based --test objects --test observer --test publish --test stream --test stress
  --test takeover --test wrap --test seats)

# Runs tests for the chosen processor; prints how many there were of each kind.
run() { # name, cargo's arguments...
  local name=$1 log=$logs/$1.log began=$SECONDS bad=''
  shift
  if ! cargo test --no-fail-fast "${arguments[@]}" "$@" >"$log" 2>&1; then
    bad=' FAILED'
    failed=$((failed + 1))
    grep -E '^error|panicked at|^test .*FAILED' -A 3 "$log" | head -n 60 >&2
  fi
  awk -v name="$name" -v seconds=$((SECONDS - began)) -v bad="$bad" '
    /^test result/ { for (i = 2; i <= NF; i++) { if ($i ~ /^passed/) passed += $(i - 1); if ($i ~ /^failed/) broken += $(i - 1) } }
    /^SKIPPED/ { skipped++ }
    END { printf "processors: %-22s %4d passed, %d failed, %d skipped themselves  %4d s%s\n",
      name, passed, broken, skipped, seconds, bad; exit passed == 0 }' "$log" || failed=$((failed + 1))
}

# All of core and of the adapter, and lanes between processes. Not under an emulator: the named and sealed attacks. They look at
# system calls with strace(1) and at mappings and threads in /proc, which would be the emulator's, and start programs by their
# path as other users and in other namespaces, which would need the emulator there. Nor, natively: `faults`, which counts system
# calls that have other names here.
whole() { # processor
  choose "$1"
  say "$1: $compiler; ${emulator:-runs here natively}"
  # qemu's user mode has neither process_vm_readv(2) nor futex_waitv(2), without which these have nothing to test.
  local attacks=(--test named) lacking=()
  if [[ -n $emulator ]]; then
    attacks=()
    lacking=(--skip a_changed_word --skip it_is_the_system_that_copies --skip the_system_copies)
  fi
  cargo test --quiet "${arguments[@]}" "${test_of[@]}" --bins --no-run
  # `sealed` and `seats` are tests of the adapter and of camlane-tests or core.
  CAMLANE_PEER="$emulator $CARGO_TARGET_DIR/$triple/debug/peer" run "$1" "${test_of[@]}" --lib "${core[@]}" \
    --test frameset --test golden --test mixed "${attacks[@]}" -- --skip faults:: --skip surroundings:: "${lacking[@]}"
  if [[ -z $emulator ]]; then
    run "$1-sealed" "${test_of[@]}" --test sealed -- --skip faults::
  else
    run "$1-sealed" "${test_of[@]}" --test sealed -- --exact \
      $(sed -n '/may_still_observe/d; s/^fn \([a-z_0-9]*\)() {$/\1/p' adapters/posix/tests/sealed.rs)
  fi
}

# Programs of this machine and of another processor on one lane, in both directions: what is a peer in one run is the test in
# the other.
mixed() { # processor
  choose "$1"
  cargo test --quiet "${arguments[@]}" "${test_of[@]}" --bins --no-run
  local theirs="$emulator $CARGO_TARGET_DIR/$triple/debug/peer" ours=$PWD/target/debug/peer
  # What is of this machine is built as `cargo test --workspace` builds it, and mostly is already.
  (
    unset CARGO_TARGET_DIR CARGO_PROFILE_DEV_DEBUG CARGO_PROFILE_DEV_OPT_LEVEL RUSTC RUSTDOC RUSTC_BOOTSTRAP LD_LIBRARY_PATH
    arguments=()
    CAMLANE_PEER=$theirs run "here-with-$1" --workspace --test mixed
    exit "$failed"
  ) || failed=$((failed + 1))
  CAMLANE_PEER=$ours run "$1-with-here" "${test_of[@]}" --test mixed
}

# The bytes of a lane are little-endian and used in place, so there is nothing that a big-endian program could do with them.
refused() {
  choose s390x
  local log=$logs/s390x.log
  if cargo check "${arguments[@]}" -p camlane-core >"$log" 2>&1; then
    say "s390x: core builds for a big-endian processor" >&2
    failed=$((failed + 1))
  elif grep -q 'big-endian targets are not supported' "$log"; then
    say "s390x: refused when it is compiled: $(grep -m1 -o "camlane's shared bytes.*" "$log")"
  else
    tail -n 20 "$log" >&2
    failed=$((failed + 1))
  fi
}

case "${1:-}" in
  aarch64 | armv7 | riscv64 | i686) whole "$1" ;;
  mixed)
    mixed i686
    mixed armv7
    ;;
  s390x) refused ;;
  short)
    refused
    whole i686
    mixed i686
    choose aarch64
    say "aarch64: $compiler; $emulator"
    run aarch64-core -p camlane-core --lib --tests
    ;;
  all)
    refused
    for processor in i686 aarch64 armv7 riscv64; do whole "$processor"; done
    mixed i686
    mixed armv7
    ;;
  *)
    sed -n '2,13p' "$0" >&2
    exit 2
    ;;
esac
((failed == 0))

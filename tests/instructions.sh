#!/usr/bin/env bash
# Counts the instructions of every operation on a frame's way (tests/src/bin/instructions.rs) with callgrind and compares
# them with tests/instructions.txt: one that takes over a tenth more fails. Counts, unlike times, are the same on a busy
# machine. On x86-64 it also fails if the compiler makes core's fences `mfence`, which takes twice as long as `lock or`.
#
#   tests/instructions.sh            compares
#   tests/instructions.sh --record   writes the record anew: commit it with the change that made the difference
set -euo pipefail
cd "$(dirname "$0")/.."
out=target/instructions
program=target/release/instructions

tests/install-packages.sh valgrind=valgrind objdump=binutils python3=python3 >/dev/null
cargo build --quiet --release -p camlane-tests --bin instructions
mkdir -p "$out"
valgrind --quiet --tool=callgrind --callgrind-out-file="$out/callgrind.out" "$program"
python3 tests/instructions.py "$out/callgrind.out" tests/instructions.txt "$(rustc --version), $(uname -m)" "$@"

if [[ $(uname -m) == x86_64 ]]; then
  objdump -d -C --no-show-raw-insn "$program" | awk '
    /^[0-9a-f]+ </ { ours = /<(camlane|instructions)/; name = $0 }
    ours && /mfence/ { print "mfence in " name; wrong = 1 }
    ours && /lock or/ { fences++ }
    END { if (!fences) print "no fence at all?"; exit wrong || !fences }'
fi

#!/usr/bin/env bash
# The shipping state machine under loom, and the proof that each of its orderings counts.
#
#   tests/loom.sh               runs the model: every case must pass
#   tests/loom.sh mutants       weakens one thing at a time (tests/mutants.txt): the case named there must fail
#   tests/loom.sh mutant NAME   the same for one of them
#
# Mutants are made in copies under target/loom, never in the tree.
set -euo pipefail
cd "$(dirname "$0")/.."
export RUSTFLAGS="--cfg loom" CARGO_PROFILE_DEV_OPT_LEVEL=2 CARGO_PROFILE_DEV_DEBUG=0 RUST_BACKTRACE=0

case "${1:-model}" in
  model)
    export CARGO_TARGET_DIR=target/loom/model
    cargo test --quiet -p camlane-core --test loom --no-run
    log=$CARGO_TARGET_DIR/cases.log
    # A line per case as it ends; what a failing one says follows at the end.
    cargo test --quiet -p camlane-core --test loom -- --nocapture 2>&1 | tee "$log" | sed -un 's/.*loom: //p' || {
      cat "$log" >&2
    }
    sed -n 's/^test result: [^.]*\. \([0-9]* passed\); \([0-9]* failed\).*/model: \1, \2/p' "$log"
    grep -q '^test result: ok' "$log"
    ;;
  mutants) exec python3 tests/mutants.py mutants ;;
  mutant) exec python3 tests/mutants.py mutants "${2:?which one?}" ;;
  *)
    sed -n '2,8p' "$0" >&2
    exit 2
    ;;
esac

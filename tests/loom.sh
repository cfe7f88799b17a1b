#!/usr/bin/env bash
# The shipping state machine under loom, and the proof that each of its orderings counts.
#
#   tests/loom.sh               runs the model: every case must pass
#   tests/loom.sh mutants       weakens one thing at a time (tests/mutants.txt): every case named there must fail
#   tests/loom.sh mutant NAME   the same for one of them
#
# Mutants are made in copies under target/loom, never in the tree.
set -euo pipefail
cd "$(dirname "$0")/.."
export RUSTFLAGS="--cfg loom" CARGO_PROFILE_DEV_OPT_LEVEL=2 CARGO_PROFILE_DEV_DEBUG=0 RUST_BACKTRACE=0

case "${1:-model}" in
  model)
    CARGO_TARGET_DIR=target/loom/model cargo test --quiet -p camlane-core --test loom -- --nocapture
    ;;
  mutants) exec python3 tests/mutants.py ;;
  mutant) exec python3 tests/mutants.py "${2:?which one?}" ;;
  *)
    sed -n '2,8p' "$0" >&2
    exit 2
    ;;
esac

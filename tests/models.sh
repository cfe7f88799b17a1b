#!/usr/bin/env bash
# Models of the protocol beside the shipping code, which tests/loom.sh runs.
#
#   tests/models.sh spin [NAME]     crash and take-over logic, all interleavings: tests/models/cases.txt
#
# Needs Debian's packages spin and gcc, which it installs if they are missing.
set -euo pipefail
cd "$(dirname "$0")/.."
out=$PWD/target/models
mkdir -p "$out"

spin_case() { # name, model, options..., [-> text that the failure must contain]
  local name=$1 model=$2 options=() expected='' reduction=() began=$SECONDS dir=$out/$1
  shift 2
  while (($#)) && [[ $1 != '->' ]]; do
    options+=("-D$1")
    shift
  done
  if (($#)); then expected=${*:2}; fi
  if [[ $name == *-none ]]; then reduction=(-DNOREDUCE); fi
  rm -rf "$dir"
  mkdir -p "$dir"
  cp "tests/models/$model.pml" "$dir"
  (cd "$dir" && spin -a "${options[@]}" "$model.pml" >spin.log && gcc -O2 -w -DSAFETY -DCOLLAPSE -DMEMLIM=6000 \
    -DVECTORSZ=2048 -DNOFAIR "${reduction[@]}" -o pan pan.c)
  (cd "$dir" && ./pan -m400000 -w24 >pan.log 2>&1) || true
  local errors states said
  errors=$(grep -oE 'errors: [0-9]+' "$dir/pan.log" || echo "no result")
  states=$(awk '/states, stored/ { print $1 }' "$dir/pan.log")
  said=$(grep -m1 '^pan:1:' "$dir/pan.log" || true)
  printf 'spin: %-26s %-10s %10s states %4d s  %s\n' "$name" "$errors" "$states" $((SECONDS - began)) "$said"
  if [[ -z $expected ]]; then
    [[ $errors == "errors: 0" ]] && ! grep -qE 'Search not completed|out of memory|max search depth' "$dir/pan.log"
  else
    [[ $errors == "errors: 1" && $said == *"$expected"* ]]
  fi
}

spin_all() {
  local failed=0 ran=0 line
  tests/install-packages.sh spin=spin gcc=gcc,libc6-dev
  while read -r line; do
    if [[ -z $line || $line == '#'* || (-n ${1:-} && ${line%% *} != "$1") ]]; then continue; fi
    ran=$((ran + 1))
    # shellcheck disable=SC2086 # a line is words
    if ! spin_case $line </dev/null; then
      echo "spin: ${line%% *} did not end as tests/models/cases.txt says" >&2
      failed=$((failed + 1))
    fi
  done <tests/models/cases.txt
  echo "spin: $((ran - failed)) as expected, $failed not"
  ((ran > 0 && failed == 0))
}

case "${1:-}" in
  spin) spin_all "${2:-}" ;;
  *)
    sed -n '2,6p' "$0" >&2
    exit 2
    ;;
esac

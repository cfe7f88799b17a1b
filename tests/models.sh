#!/usr/bin/env bash
# Models of the protocol beside the shipping code, which tests/loom.sh runs.
#
#   tests/models.sh spin [NAME]     crash and take-over logic, all interleavings: tests/models/cases.txt
#   tests/models.sh litmus [NAME]   orderings, all that C11 and AArch64 allow: tests/models/litmus
#
# Needs Debian's packages spin and gcc, which it installs if they are missing; litmus needs herd7, and unpacks Debian's if
# there is none (41 MB to fetch, once). What a litmus file asks for must never be seen, and no race. Each of its lines
# `weaker NAME: OLD => NEW` is a mutant, in which it must be seen.
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

find_herd() {
  herd=(herd7)
  library=$(dirname "$(command -v herd7 || echo /usr/bin/herd7)")/../share/herdtools7/herd
  if ! command -v herd7 >/dev/null; then
    # Its program needs a later libc than Debian 12 has: run by that libc's own loader.
    local debian
    debian=$(tests/unpack-debian.sh sid amd64 herdtools7 libc6 libgmp10)
    library=$debian/usr/share/herdtools7/herd
    herd=("$debian/usr/lib64/ld-linux-x86-64.so.2" --library-path "$debian/usr/lib/x86_64-linux-gnu"
      "$debian/usr/bin/herd7" -set-libdir "$library")
  fi
  # herd's repaired C11, with the release sequences of C++20 (its head and read-modify-writes only, P0982), which are Rust's,
  # and with races told instead of hidden.
  mkdir -p "$out/litmus"
  sed -e 's/^C RC11/C RC20/' -e 's/^undefined_unless empty dr as Dr/flag ~empty dr as DataRace/' \
    -e 's/^let rs = .*/let rs = [W \& (RLX | REL | ACQ_REL | ACQ | SC)]; (rf; myrmw)*/' \
    "$library/rc11.cat" >"$out/litmus/rc20.cat"
  if (($(diff "$library/rc11.cat" "$out/litmus/rc20.cat" | grep -c '^>') != 3)); then
    echo "litmus: herd's rc11.cat is not the one that we know how to change" >&2
    return 1
  fi
}

observe() { # name, text: prints "never", "seen", "race" or "seen+race"; or what herd said, and fails
  local file=$out/litmus/$1.litmus model=() said verdict=never
  printf '%s\n' "$2" >"$file"
  if [[ $2 == 'C '* ]]; then model=(-I "$out/litmus" -model rc20.cat); fi
  said=$("${herd[@]}" "${model[@]}" "$file" 2>&1) || true
  if grep -qE '^Observation \S+ (Sometimes|Always)' <<<"$said"; then
    verdict=seen
  elif ! grep -qE '^Observation \S+ Never' <<<"$said"; then
    echo "$said"
    return 1
  fi
  if grep -q '^Flag DataRace' <<<"$said"; then verdict=${verdict/never/}+race; fi
  echo "${verdict#+}"
}

litmus_file() { # file
  local text head body name verdict weaker=0 failed=0 line pattern='^ *weaker ([A-Za-z0-9-]+): (.*) => ?(.*)$'
  name=$(basename "$1" .litmus)
  text=$(cat "$1")
  head=${text%%'*)'*}
  body=${text#*'*)'}
  verdict=$(observe "$name" "$text") || { echo "litmus: $name: $verdict" >&2 && return 1; }
  if [[ $verdict != never ]]; then
    echo "litmus: $name: $verdict, as it is" >&2
    failed=1
  fi
  while IFS= read -r line; do
    if [[ ! $line =~ $pattern ]]; then continue; fi
    local mutant=${BASH_REMATCH[1]} old=${BASH_REMATCH[2]} new=${BASH_REMATCH[3]% } before after
    before=${body%%"$old"*}
    after=${body#*"$old"}
    if [[ $before == "$body" || $after == *"$old"* ]]; then
      echo "litmus: $name: $mutant: not exactly once there: $old" >&2
      failed=1
      continue
    fi
    verdict=$(observe "$name-$mutant" "${text%%$'\n'*}"$'\n'"$before$new$after") || true
    if [[ $verdict != seen && $verdict != race && $verdict != seen+race ]]; then
      echo "litmus: $name: the mutant $mutant is not caught: $verdict" >&2
      failed=1
    fi
    weaker=$((weaker + 1))
  done <<<"$head"
  printf 'litmus: %-20s %2d mutants\n' "$name" "$weaker"
  mutants=$((mutants + weaker))
  ((failed == 0 && weaker > 0))
}

litmus_all() {
  local file failed=0 ran=0 mutants=0
  find_herd
  for file in tests/models/litmus/${1:-*}.litmus; do
    ran=$((ran + 1))
    if ! litmus_file "$file"; then failed=$((failed + 1)); fi
  done
  echo "litmus: $((ran - failed)) as expected, $failed not; $mutants mutants"
  ((failed == 0))
}

case "${1:-}" in
  litmus) litmus_all "${2:-}" ;;
  spin) spin_all "${2:-}" ;;
  *)
    sed -n '2,9p' "$0" >&2
    exit 2
    ;;
esac

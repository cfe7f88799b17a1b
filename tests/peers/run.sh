#!/usr/bin/env bash
# Builds camlane and its peers, measures them in turn, and writes results/: every sample as JSON (not kept in the repository), the tables as Markdown.
# A peer that cannot be built is named in the tables and does not stop the others. Installs the Debian packages it needs and,
# under target/, a Python environment. Needs a Rust toolchain, python3 with pip and venv, and the network the first time.
# usage: run.sh [--quick | --smoke] [--only PEER,..] [--jobs JOB,..] [--rounds N] [--check]
#   --quick  3 minutes in place of 12;  --smoke  everything once, measures nothing;  --check  only builds
#   without --only, figures are written to results/, or to target/quick/ with --quick, --only or --jobs
set -euo pipefail
cd "$(dirname "$0")"

arguments=() only="" check=""
results=results
while (($#)); do
  case $1 in
    --only) only=$2 results=target/quick && arguments+=("$1" "$2") && shift ;;
    --jobs) results=target/quick && arguments+=("$1" "$2") && shift ;;
    --rounds) arguments+=("$1" "$2") && shift ;;
    --quick | --smoke) results=target/quick && arguments+=("$1") ;;
    --check) check=yes ;;
    *) sed -n '2,/^set/s/^# \?//p' "$0" >&2 && exit 2 ;;
  esac
  shift
done
mkdir -p target

programs=() missing=()
absent() { # what why
  echo "$1: $2" >&2
  missing+=(--missing "$1: $2")
}

wanted() { # names of the entries...: whether --only asks for one of them
  [[ -z $only ]] && return
  local word name
  for word in ${only//,/ }; do
    for name; do [[ ${name,,} == *"${word,,}"* ]] && return; done
  done
  return 1
}

rust() { # package entries...
  local package=$1
  shift
  wanted "$@" || return 0
  echo "building $package" >&2
  if nice cargo build --release --quiet -p "$package" 2>"target/$package.log"; then
    programs+=(--program "target/release/$package")
  else
    absent "$1" "does not build: $(grep -m1 -E '^error|missing' "target/$package.log" || tail -n1 "target/$package.log")"
  fi
}

library() { # pkg-config's name, Debian packages
  pkg-config --exists "$1" 2>/dev/null || ../install-packages.sh "$1.pc=$2" >&2 || true # the build says what is missing
}

python() { # module entry
  wanted "$2" || return 0
  programs+=(--program "target/python/bin/python python/worker.py $1")
}

environment() {
  python3 -m venv --without-pip target/python &&
    python3 -m pip --python target/python/bin/python install --quiet --disable-pip-version-check \
      numpy==2.4.1 iceoryx2==0.10.0 maturin==1.16.0 &&
    CARGO_TARGET_DIR=$PWD/target nice target/python/bin/maturin build --quiet --release --locked \
      --manifest-path ../../adapters/python/Cargo.toml --out target/wheels &&
    python3 -m pip --python target/python/bin/python install --quiet --disable-pip-version-check \
      --force-reinstall --no-deps target/wheels/camlane-*.whl
}

../install-packages.sh cc=gcc,libc6-dev c++=g++ pkg-config=pkg-config python3=python3 pip3=python3-pip >&2 || true
nice cargo build --release --quiet -p peers-compare
rust peer-camlane camlane "camlane, sealed"
rust peer-classic "one cache line (limit)" "raw ring, bare futex (no safety)" "memfd ring + socket" \
  "24-byte header, valid flag (tears)" "pthread mutex in shared memory" "Unix socket (copies)"
rust peer-iceoryx2 iceoryx2
rust peer-shmem-ipc shmem-ipc
rust peer-mmap-sync mmap-sync
if wanted zeromq; then
  library libzmq libzmq3-dev
  rust peer-zeromq "ZeroMQ (copies)"
fi
if wanted "gstreamer shmsink, zero copy" "gstreamer shmsink, copy"; then
  library gstreamer-app-1.0 libgstreamer-plugins-base1.0-dev,gstreamer1.0-plugins-bad
  rust peer-gstreamer "GStreamer shmsink, zero copy" "GStreamer shmsink, copy"
fi
rust peer-zenoh "Zenoh, shared memory"
if wanted "camlane for Python" "iceoryx2 for Python" "SharedMemory + Event (Python)" "numpy alone (limit)"; then
  echo "building the Python environment" >&2
  if environment >target/python.log 2>&1; then
    python camlane_entry "camlane for Python"
    python iceoryx2_entry "iceoryx2 for Python"
    python shared_memory_entry "SharedMemory + Event (Python)"
    python numpy_entry "numpy alone (limit)"
  else
    absent "the Python packages" "$(tail -n1 target/python.log)"
  fi
fi
missing+=(--missing "EdgeFirst VideoStream 2.6.1: its crate and its Python package load a libvideostream.so that no package \
registry has: neither contains the C library nor its source")

[[ -n $check ]] && exit
exec target/release/peers-compare "${programs[@]}" "${missing[@]}" --results "$results" "${arguments[@]}"

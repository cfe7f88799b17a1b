#!/usr/bin/env bash
# Runs what adapters/posix/MIGRATING.md says, step by step: its programs and commands are taken out of the page itself.
#
#   tests/migrating.sh
#
# Needs a Rust toolchain, a C++ compiler, and python3 with pip and the network for numpy and maturin.
set -euo pipefail
cd "$(dirname "$0")/.."
if (($#)); then
  sed -n '2,6p' "$0" >&2
  exit 2
fi

tests/install-packages.sh cc=gcc,libc6-dev c++=g++ make=make python3=python3 pip3=python3-pip
out=$PWD/target/migrating
rm -rf "$out"
mkdir -p "$out"
make -C adapters/capi install PROFILE=dev PREFIX="$out/prefix" >/dev/null
cargo build --quiet -p camlane-cli
camlane=$(readlink -f "${CARGO_TARGET_DIR:-target}/debug/camlane")

python3 -m venv --without-pip "$out/python"
pip() { python3 -m pip --python "$out/python/bin/python" install --quiet --disable-pip-version-check "$@"; }
pip maturin==1.16.0 numpy
CARGO_TARGET_DIR=$PWD/target/python "$out/python/bin/python" -m maturin build --quiet --release --locked \
  --manifest-path adapters/python/Cargo.toml --out "$out/wheel"
pip "$out"/wheel/*.whl

"$out/python/bin/python" tests/migrating.py adapters/posix/MIGRATING.md "$camlane" "$out"

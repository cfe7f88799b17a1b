#!/usr/bin/env bash
# What converting a frame costs beside OpenCV: builds the Python package, installs opencv-python-headless beside it, and
# prints the table of adapters/convert/README.md.
#
#   tests/convert.sh
#
# Needs a Rust toolchain, and python3 with pip and the network.
set -euo pipefail
cd "$(dirname "$0")/.."
if (($#)); then
  sed -n '2,7p' "$0" >&2
  exit 2
fi

export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target/python}
out=$PWD/target/convert
rm -rf "$out"
mkdir -p "$out"
python3 -m venv --without-pip "$out/python"
pip() { python3 -m pip --python "$out/python/bin/python" install --quiet --disable-pip-version-check "$@"; }
pip maturin==1.16.0 numpy opencv-python-headless
"$out/python/bin/python" -m maturin build --quiet --release --locked --manifest-path adapters/python/Cargo.toml --out "$out/wheel"
pip "$out"/wheel/*.whl
"$out/python/bin/python" tests/convert.py

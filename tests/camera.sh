#!/usr/bin/env bash
# Proves the camera adapter on real drivers, on a machine without a camera: boots an unmodified Debian kernel under QEMU and
# runs `camlane` there against vivid, v4l2loopback and uvcvideo. One command:
#   tests/camera.sh all              every suite, every format; 30 packages and 130 MB are fetched the first time
#   tests/camera.sh short            what belongs into every run of the tests: all but clients and sleep, common formats
#   tests/camera.sh SUITE...         some suites in full: vivid, loopback, uvc, sync (two cameras in step), crate (the tests
#                                    of crate and program), clients (ffmpeg, GStreamer, ustreamer, OpenCV), sleep (the
#                                    machine sleeps while cameras stream)
#   tests/camera.sh table            put the last results into adapters/v4l2/README.md, and where another kernel's differ
#   tests/camera.sh fetch            install, fetch and build what the others need, and no more
#   tests/camera.sh run COMMAND...   run a command in the machine, in this folder; vivid is there, a virtual camera
# As a runner of cargo, which boots once for each test program:
#   CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="$PWD/tests/camera.sh run" cargo test -p camlane-v4l2 --test NAME
# CAMERA_MACHINE: the folder of the machine, default target/vm; the results are in its folder results. Another kernel:
#   CAMERA_MACHINE=target/vm-6.1 CAMERA_DEBIAN=bookworm tests/camera.sh all
set -euo pipefail
called_in=$PWD
cd "$(dirname "$0")/.."
machine=$(realpath -m "${CAMERA_MACHINE:-target/vm}")

say() { # what takes a while
  echo "camera: $*" >&2
}

fetch() {
  say "packages and kernel, if they are not here"
  tests/install-packages.sh busybox=busybox-static cpio=cpio zstd=zstd xz=xz-utils modprobe=kmod v4l2-ctl=v4l-utils
  tests/camera/install-qemu.sh
  mkdir -p "$machine"
  tests/camera/kernel.sh "$machine" "${CAMERA_DEBIAN:-bookworm-backports}" amd64 "$(command -v busybox)" virtio_pci 9pnet_virtio 9p overlay
}

fetch_for_suites() {
  fetch
  tests/install-packages.sh ffmpeg=ffmpeg python3=python3
  tests/real-data.sh >/dev/null
  say "pictures"
  python3 tests/camera/formats.py "$machine/pictures"
  if [[ " $* " == *" loopback "* ]]; then
    say "v4l2loopback"
    tests/camera/v4l2loopback.sh "$machine"
  fi
  if [[ " $* " == *" clients "* ]]; then
    tests/install-packages.sh ustreamer=ustreamer gst-launch-1.0=gstreamer1.0-tools,gstreamer1.0-plugins-base,gstreamer1.0-plugins-good
    if [[ ! -d $machine/opencv ]]; then
      python3 -m pip install --quiet --disable-pip-version-check --no-deps --only-binary=:all: --target "$machine/opencv" \
        opencv-python-headless==4.12.0.88 numpy==2.2.6
    fi
    export CAMERA_OPENCV=$machine/opencv
  fi
  say "building"
  if [[ " $* " == *" crate "* ]]; then
    CAMERA_TESTS=$(cargo test --package camlane-tests --package camlane-cli --test camera --no-run 2>&1 |
      sed -n "s|^ *Executable \([^ ]*\) (\(.*\))\$|\1=$PWD/\2|p" | xargs)
    export CAMERA_TESTS=${CAMERA_TESTS:?the tests were not built}
  fi
  cargo build --quiet --package camlane-cli
}

suites() { # short|long SUITE...
  fetch_for_suites "$@"
  export CAMERA_PICTURES=$machine/pictures CAMERA_CAMLANE=${CARGO_TARGET_DIR:-$PWD/target}/debug/camlane
  export CAMERA_VIVID=none CAMERA_TIMEOUT=${CAMERA_TIMEOUT:-1800} PYTHONDONTWRITEBYTECODE=1
  local code=0 together=() suite
  for suite in "${@:2}"; do
    [[ $suite == sleep ]] || together+=("$suite")
  done
  if ((${#together[@]})); then
    in_one_machine "$1" "${together[@]}" || code=$?
  fi
  # On its own, as that machine has no files after it; with one processor, as a second one that the host does not run at
  # once is given up by the kernel when it wakes.
  if [[ " $* " == *" sleep "* ]]; then
    CAMERA_PROCESSORS=1 in_one_machine "$1" sleep || code=$?
  fi
  return $code
}

in_one_machine() { # short|long SUITE...
  local code=0
  say "a machine for ${*:2}"
  tests/camera/boot.sh "$machine" python3 tests/camera/suites.py "$@" || code=$?
  mkdir -p "$machine/results"
  cp "$machine"/out/*.tsv "$machine/results/" || true # a machine that died may have left none
  return $code
}

case ${1:-} in
all) suites long crate vivid loopback uvc sync clients sleep ;;
short) suites short crate vivid loopback uvc sync ;;
crate | vivid | loopback | uvc | sync | clients | sleep) suites long "$@" ;;
table) python3 tests/camera/table.py adapters/v4l2/README.md "$machine"{,-*}/results ;;
fetch) fetch_for_suites crate vivid loopback uvc sync clients sleep ;;
run)
  fetch >&2
  here=$PWD
  cd "$called_in"
  exec "$here/tests/camera/boot.sh" "$machine" "${@:2}"
  ;;
*)
  sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "$0" >&2
  exit 2
  ;;
esac

#!/usr/bin/env bash
# Proves the camera adapter on real drivers, on a machine that has no camera: boots an unmodified Debian kernel under QEMU.
#   tests/camera.sh fetch            install the packages, fetch the kernel, build the machine; the others do it too
#   tests/camera.sh run COMMAND...   run a command in the machine, in this folder; vivid is there, a virtual camera
# As a runner of cargo, which boots once for each test program:
#   CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="$PWD/tests/camera.sh run" cargo test -p camlane-v4l2 --test NAME
# CAMERA_MACHINE: the folder of the machine, default target/vm (250 MB; 106 MB are downloaded once).
set -euo pipefail
called_in=$PWD
cd "$(dirname "$0")/.."
machine=$(realpath -m "${CAMERA_MACHINE:-target/vm}")

fetch() {
  tests/install-packages.sh busybox=busybox-static cpio=cpio zstd=zstd xz=xz-utils modprobe=kmod v4l2-ctl=v4l-utils
  tests/camera/install-qemu.sh
  mkdir -p "$machine"
  (flock 9 && tests/camera/kernel.sh "$machine" bookworm-backports amd64 "$(command -v busybox)" \
    virtio_pci 9pnet_virtio 9p overlay) 9>"$machine/lock"
}

case ${1:-} in
fetch)
  fetch
  ;;
run)
  fetch >&2
  shift
  here=$PWD
  cd "$called_in"
  exec "$here/tests/camera/boot.sh" "$machine" "$@"
  ;;
*)
  sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
  exit 2
  ;;
esac

#!/usr/bin/env bash
# Installs the programs that the tests use and that are missing here. Does nothing, and needs no root, if none is.
# usage: install-packages.sh PROGRAM=DEBIAN-PACKAGE[,PACKAGE]...
set -euo pipefail

missing=()
for pair; do
  if ! command -v "${pair%%=*}" >/dev/null; then
    IFS=, read -ra packages <<<"${pair#*=}"
    missing+=("${packages[@]}")
  fi
done
if ((${#missing[@]} == 0)); then
  echo "all there"
  exit
fi

as_root=()
if ((EUID != 0)); then
  as_root=(sudo -n)
fi
if ! command -v apt-get >/dev/null || ! "${as_root[@]}" true; then
  echo "install-packages: please install what these Debian packages hold: ${missing[*]}" >&2
  exit 1
fi

export DEBIAN_FRONTEND=noninteractive
# One unreachable mirror must not stop us: the lists of the others may do.
"${as_root[@]}" apt-get -qq update </dev/null || echo "install-packages: going on with the package lists that are here" >&2
"${as_root[@]}" apt-get -qq -y --no-remove --no-install-recommends install "${missing[@]}" </dev/null

#!/usr/bin/env bash
# Installs qemu-system-x86 (or the PACKAGE named), unless PROGRAM is here.
# usage: install-qemu.sh [PROGRAM PACKAGE]
#
# The trap: where another package of QEMU came from backports, the system's own qemu-system-x86 conflicts with it and apt
# would silently remove that one. So nothing is ever removed here; if that stops apt, QEMU is taken from backports too,
# through a source list of our own.
set -euo pipefail
program=${1:-qemu-system-x86_64} package=${2:-qemu-system-x86}
if command -v "$program" >/dev/null; then
  exit
fi

as_root=()
if ((EUID != 0)); then
  as_root=(sudo -n)
fi
export DEBIAN_FRONTEND=noninteractive
install=(-qq -y --no-remove --no-install-recommends -o DPkg::Lock::Timeout=300 install "$package")

"${as_root[@]}" apt-get -qq update </dev/null || echo "install-qemu: going on with the package lists that are here" >&2
if "${as_root[@]}" apt-get --simulate "${install[@]}" >/dev/null 2>&1 </dev/null; then
  "${as_root[@]}" apt-get "${install[@]}" </dev/null
  exit
fi

echo "install-qemu: the system's $package does not go with what is installed; taking it from backports"
apt=$(mktemp -d)
trap '"${as_root[@]}" rm -rf "$apt"' EXIT
mkdir -p "$apt/lists/partial"
apt-get indextargets --format 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(REPO_URI) $(RELEASE) main' \
  'Created-By: Packages' | grep '/debian' | sort -u >"$apt/sources.list"
sed -n 's/ \([a-z]*\) main$/ \1-backports main/p' "$apt/sources.list" | head -n 1 >"$apt/backports"
cat "$apt/backports" >>"$apt/sources.list"
release=$(awk '{ print $4 }' "$apt/backports")
ours=(-o Dir::Etc::sourcelist="$apt/sources.list" -o Dir::Etc::sourceparts=/nonexistent
  -o Dir::State::Lists="$apt/lists" -o APT::Sandbox::User=root)
"${as_root[@]}" apt-get "${ours[@]}" -qq update </dev/null
"${as_root[@]}" apt-get "${ours[@]}" -t "$release" "${install[@]}" </dev/null

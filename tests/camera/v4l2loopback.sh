#!/usr/bin/env bash
# Builds the module v4l2loopback for the kernel in FOLDER, outside its tree: FOLDER/v4l2loopback/v4l2loopback.ko.
# Nothing is installed but gcc and make. Does nothing if it is there.
# usage: loopback.sh FOLDER
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=$(realpath "$1")
version=$(<"$folder/kernel/VERSION")
module=$folder/v4l2loopback
if [[ -f $module/$version ]]; then
  exit
fi

tests/install-packages.sh gcc=gcc,libc6-dev make=make
headers=$(mktemp -d)
trap 'rm -rf "$headers"' EXIT
fetch() { tests/camera/debian.sh "$folder/debs" "$@" | while read -r file; do dpkg -x "$file" "$headers"; done; }
fetch "$(<"$folder/kernel/SUITE")" amd64 "linux-headers-$version" "linux-headers-${version%-*}-common" "linux-kbuild-${version%-*}"
fetch trixie amd64 v4l2loopback-dkms # the first release that knows kernel 6.12

tree=$headers/usr/src/linux-headers-$version
echo "include $headers/usr/src/linux-headers-${version%-*}-common/Makefile" >"$tree/Makefile" # was: the same in /usr/src
rm -rf "$module"
cp -r "$headers"/usr/src/v4l2loopback-* "$module"
make -s -C "$tree" M="$module" CONFIG_DEBUG_INFO_BTF_MODULES= modules # type information would need pahole
touch "$module/$version"

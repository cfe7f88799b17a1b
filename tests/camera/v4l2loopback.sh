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
fetch() { # SUITE PACKAGE...: unpacks them, and prints what else they want
  tests/camera/debian.sh "$folder/debs" "$1" amd64 "${@:2}" | while read -r file; do
    dpkg -x "$file" "$headers"
    dpkg-deb -f "$file" Depends
  done
}
suite=$(<"$folder/kernel/SUITE")
wanted=$(fetch "$suite" "linux-headers-$version" "linux-headers-${version%-*}-common")
kbuild=$(grep -o 'linux-kbuild-[^ ,]*' <<<"$wanted" | head -n 1) # called by the whole version, or by 6.1 alone
fetch "$suite" "$kbuild" >/dev/null
fetch trixie v4l2loopback-dkms >/dev/null # the first release that knows kernel 6.12

tree=$headers/usr/src/linux-headers-$version
echo "include $headers/usr/src/linux-headers-${version%-*}-common/Makefile" >"$tree/Makefile" # was: the same in /usr/src
rm -rf "$module"
cp -r "$headers"/usr/src/v4l2loopback-* "$module"
make -s -C "$tree" M="$module" CONFIG_DEBUG_INFO_BTF_MODULES= modules # type information would need pahole
touch "$module/$version"

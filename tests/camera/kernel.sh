#!/usr/bin/env bash
# Makes FOLDER ready to boot: fetches a Debian kernel into FOLDER/kernel, builds the initramfs FOLDER/initrd.zst from
# busybox, our init and the modules named, with all that they depend on. Does nothing if that is there.
# usage: kernel.sh FOLDER SUITE PROCESSOR BUSYBOX MODULE...
# Other modules are loaded inside the machine: modprobe -d FOLDER/kernel NAME
set -euo pipefail
here=$(realpath "$(dirname "$0")")
folder=$1 suite=$2 processor=$3 busybox=$4
shift 4
PATH=$PATH:/usr/sbin:/sbin

if [[ ! -f $folder/kernel/VERSION ]]; then
  package=$("$here/debian.sh" "$folder/debs" "$suite" "$processor" newest-kernel)
  rm -rf "$folder/kernel"
  mkdir "$folder/kernel"
  dpkg -x "$package" "$folder/kernel"
  rm "$package"
  if [[ ! -d $folder/kernel/lib ]]; then # newer kernels keep their modules in usr/lib; modprobe -d wants lib
    ln -s usr/lib "$folder/kernel/lib"
  fi
  version=$(ls "$folder/kernel/lib/modules")
  depmod -b "$folder/kernel" "$version"
  echo "$suite" >"$folder/kernel/SUITE"
  echo "$version" >"$folder/kernel/VERSION"
fi
version=$(<"$folder/kernel/VERSION")

if [[ $folder/initrd.zst -nt $here/init && $folder/initrd.zst -nt $folder/kernel/VERSION ]]; then
  exit
fi
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root"/{bin,proc,sys,dev,modules}
cp "$busybox" "$root/bin/busybox"
install -m 755 "$here/init" "$root/init"
touch "$root/modules/order"
for module; do # what the kernel has built in needs no file
  modprobe -d "$folder/kernel" -S "$version" --show-depends "$module"
done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' | while read -r file; do
  name=$(basename "${file%.xz}")
  case $file in
  *.xz) xz -dc "$file" ;;
  *) cat "$file" ;;
  esac >"$root/modules/$name"
  echo "$name" >>"$root/modules/order"
done
(cd "$root" && find . -print0 | cpio --null -o -H newc -R 0:0 --quiet) | zstd -q -3 -f -o "$folder/initrd.zst"

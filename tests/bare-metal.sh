#!/usr/bin/env bash
# Proves that camlane-core needs no operating system and no allocator, and that it is small: builds tests/bare-metal for
# processors without either, then links the functions that it exports, and only what they reach, for a Cortex-M4.
#
# Uses rustup's targets where they are installed. Else takes Debian's compiler, unpacked into target/cross and not
# installed (140 MB to fetch, once), and builds the language's `core` from source: `alloc` and `std` do not exist there.
set -euo pipefail
cd "$(dirname "$0")/.."

measured=thumbv7em-none-eabihf
required=("$measured" x86_64-unknown-none)
# thumbv6m has no compare-and-swap: the protocol needs only loads, stores and fences.
others=(thumbv6m-none-eabi aarch64-unknown-none riscv32imac-unknown-none-elf)
limit=16384 # bytes of code and constants, producer and consumer together

package=$PWD/tests/bare-metal
cross=$PWD/target/cross
debian=$cross/debian
sysroot=$(rustc --print sysroot)

say() { echo "bare-metal: $*"; }

installed() { compgen -G "$sysroot/lib/rustlib/$1/lib/libcore-*.rlib" >/dev/null; }

unpack_debian() {
  local debs=$cross/debs as_root=() deb
  if [[ -e $debian/complete ]]; then return; fi
  if ! command -v apt-get >/dev/null; then
    say "no bare-metal target here; please run: rustup target add ${required[*]}" >&2
    return 1
  fi
  if ((EUID != 0)); then as_root=(sudo -n); fi
  "${as_root[@]}" apt-get -qq update </dev/null || say "going on with the package lists that are here" >&2
  rm -rf "$debian" "$debs"
  mkdir -p "$debian" "$debs/partial"
  # A folder of our own needs neither root nor apt's lock; apt finds the libraries whose names carry version numbers.
  apt-get -qq -y --no-install-recommends --download-only -o "Dir::Cache::archives=$debs" -o Debug::NoLocking=1 \
    -o "APT::Sandbox::User=$(id -un)" install rustc-web rust-web-src binutils-arm-none-eabi </dev/null
  for deb in "$debs"/*.deb; do dpkg -x "$deb" "$debian"; done
  rm -rf "$debs"
  touch "$debian/complete"
}

build() { # cargo's options...; for all of `targets`
  cp Cargo.lock "$package"
  (cd "$package" && CARGO_TARGET_DIR=$cross/build cargo build --release "$@" "${targets[@]/#/--target=}")
}

size_of() { # file, section: its bytes, 0 if it has none
  local hex
  hex=$(readelf -SW "$1" | awk -v name="$2" '{ sub(/^ *\[ *[0-9]+\] */, "") } $1 == name { print $5 }')
  echo $((16#${hex:-0}))
}

panic_calls() { # file: a line "count function" for every function of ours from which a panic can be reached directly
  {
    readelf -sW "$1" | awk '$4 == "FUNC" { print $2, 0, $8 }'
    readelf -rW "$1" | awk '$3 ~ /CALL|JUMP/ { print $1, 1, $NF }'
  } | awk '# The lowest bit of a Thumb function is a mark, not a part of its address.
    { $1 = substr($1, 1, 7) substr("0022446688aaccee", index("0123456789abcdef", substr($1, 8)), 1); print }' | sort |
    awk 'function panics(name) { return name ~ /4core.*(panic|_fail)/ }
      $2 == 0 { inside = $3 }
      $2 == 1 && panics($3) && !panics(inside) { calls[inside]++ }
      END { for (name in calls) print calls[name], name }' | sort -rn | c++filt
}

targets=()
for target in "${required[@]}" "${others[@]}"; do
  if installed "$target"; then targets+=("$target"); fi
done
if installed "${required[0]}" && installed "${required[1]}"; then
  build
  linker=("$(compgen -G "$sysroot/lib/rustlib/*/bin/rust-lld")" -flavor gnu)
else
  unpack_debian
  targets=("${required[@]}" "${others[@]}")
  LD_LIBRARY_PATH=$(dirname "$debian"/usr/lib/*/librustc_driver-*.so)
  export LD_LIBRARY_PATH
  RUSTC=$debian/usr/bin/rustc RUSTC_BOOTSTRAP=1 build -Zbuild-std=core
  linker=("$debian/usr/bin/arm-none-eabi-ld")
fi
for target in "${targets[@]}"; do say "builds for $target"; done

# Every exported function is a root; the linker throws away what none of them reaches.
mapfile -t roots < <(sed -nE 's/.*extern "C" fn ([a-z0-9_]+).*/\1/p' "$package/src/lib.rs")
if ((${#roots[@]} == 0)); then
  say "tests/bare-metal/src/lib.rs exports nothing to measure" >&2
  exit 1
fi
elf=$cross/sized.elf
"${linker[@]}" --gc-sections --emit-relocs --entry=0 "${roots[@]/#/--undefined=}" -o "$elf" \
  "$cross/build/$measured/release/libcamlane_bare_metal.a"
for root in "${roots[@]}"; do
  if ! readelf -sW "$elf" | awk -v name="$root" '$4 == "FUNC" && $8 == name { found = 1 } END { exit !found }'; then
    say "the function $root is not in the library: is it no_mangle?" >&2
    exit 1
  fi
done

text=$(size_of "$elf" .text)
rodata=$(size_of "$elf" .rodata)
say "$measured, opt-level s, exported functions: ${#roots[@]}"
say ".text $text + .rodata $rodata = $((text + rodata)) bytes (limit $limit)"
say "calls of a panic that the compiler could not remove: $(panic_calls "$elf" | awk '{ n += $1 } END { print n + 0 }')"
panic_calls "$elf" | sed 's/^/  /'
if ((text + rodata > limit)); then
  say "too large" >&2
  exit 1
fi

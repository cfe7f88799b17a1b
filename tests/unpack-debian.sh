#!/usr/bin/env bash
# Unpacks Debian packages into target/cross/SUITE, and prints that folder; installs nothing. Uses the mirrors that apt knows, and
# asks its usual one for suites that it does not follow. What is there already is not fetched again.
#
# usage: unpack-debian.sh SUITE "ARCHITECTURE ..." PACKAGE[:ARCHITECTURE]...     the first architecture is this machine's
set -euo pipefail
if (($# < 3)); then
  sed -n '2,5p' "$0" >&2
  exit 2
fi
cd "$(dirname "$0")/.."
suite=$1 architectures=$2
shift 2
folder=$PWD/target/cross/$suite
stamp=$folder/unpacked-$(sha256sum <<<"$architectures $*" | cut -c1-12)
if [[ -e $stamp ]]; then
  echo "$folder"
  exit
fi
if ! command -v apt-get >/dev/null; then
  echo "unpack-debian: no apt here; please install what these Debian packages hold: $*" >&2
  exit 1
fi

# apt with lists, cache and state of its own: no root, no lock, and what is installed on this machine does not matter.
apt=$folder.apt
rm -rf "$apt"
mkdir -p "$folder" "$apt"/{lists,cache/archives,debs}/partial
: >"$apt/status"
mirror=$(apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' |
  awk -v suite="$suite" '$1 == suite { own = $2 } $1 !~ /-/ { usual = $2 } END { print own ? own : usual }')
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$apt/sources.list"
options=(-qq -o "Dir::Etc::sourcelist=$apt/sources.list" -o Dir::Etc::sourceparts=/nonexistent
  -o "Dir::State::Lists=$apt/lists" -o "Dir::State::status=$apt/status" -o "Dir::Cache=$apt/cache"
  -o Acquire::Languages=none -o "APT::Sandbox::User=$(id -un)"
  -o "APT::Architecture=${architectures%% *}" -o "APT::Architectures=${architectures// /,}")
apt-get "${options[@]}" update >&2 || echo "unpack-debian: going on without the lists that failed" >&2
(cd "$apt/debs" && apt-get "${options[@]}" download "$@" >&2)
for deb in "$apt"/debs/*.deb; do dpkg -x "$deb" "$folder"; done
rm -rf "$apt"
touch "$stamp"
echo "$folder"

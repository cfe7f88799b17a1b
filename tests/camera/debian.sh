#!/usr/bin/env bash
# Downloads Debian packages of any suite and processor, without installing them and without touching the system's own apt:
# its sources, its lists and its idea of what is installed are left alone. Prints the path of each downloaded file.
# usage: debian.sh FOLDER SUITE PROCESSOR PACKAGE...     a package "newest-kernel" stands for the newest linux-image
set -euo pipefail
suite=$2 processor=$3
mkdir -p "$1"
folder=$(realpath "$1")
shift 3

# The mirror that this system uses for that suite, or else for its main one.
mirror=$(apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' |
  awk -v suite="$suite" '$1 == suite { exact = $2 } $1 == "bookworm" || !any { any = $2 } END { print exact ? exact : any }')

state=$folder/apt/$suite-$processor
mkdir -p "$state"/{lists,cache/archives}/partial
: >"$state/status"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$state/sources.list"
ours=(-qq -o Dir::Etc::sourcelist="$state/sources.list" -o Dir::Etc::sourceparts=/nonexistent
  -o Dir::State::Lists="$state/lists" -o Dir::State::status="$state/status" -o Dir::Cache="$state/cache"
  -o Acquire::Languages=none -o Acquire::Retries=3 -o Acquire::http::Timeout=30 -o APT::Sandbox::User=root
  -o APT::Architecture="$processor" -o APT::Architectures="$processor")
apt-get "${ours[@]}" update

cd "$folder"
for package; do
  if [[ $package == newest-kernel ]]; then # linux-image-PROCESSOR is an empty package that depends on the newest
    package=$(apt-cache "${ours[@]}" show "linux-image-$processor" |
      sed -n 's/^Depends: \(linux-image-[^ ,]*\).*/\1/p' | head -n 1)
  fi
  apt-get "${ours[@]}" download "$package"
  ls -td "$folder/$package"_*.deb | head -n 1
done

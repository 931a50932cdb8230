#!/usr/bin/env bash
# Installs the Debian packages of the given groups that are missing.
#
#   scripts/install_packages.sh GROUP...            groups: build, test, pytorch, plot, lint, clang
#   scripts/install_packages.sh --list GROUP...     only prints the packages
#
# Needs root or sudo. On systems without apt it installs nothing and prints the required libraries.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

declare -A packages=(
  [build]="g++ cmake ninja-build pkg-config libfmt-dev nlohmann-json3-dev libcli11-dev libdnnl-dev libssl-dev zlib1g-dev libstb-dev mpich libmpich-dev"
  [test]="libgtest-dev python3 python3-numpy python3-pil dataset-fashion-mnist"
  [pytorch]="python3 python3-numpy python3-torch"
  [plot]="python3 python3-numpy python3-matplotlib"
  [lint]="git python3 clang-format clang-tidy"
  [clang]="clang lld libclang-rt-dev libomp-dev"
)
declare -A libraries=(
  [build]="a C++20 compiler, CMake 3.25, Ninja, pkg-config, fmt, nlohmann-json, CLI11, oneDNN 2.6 or newer, OpenSSL, zlib, stb_image and MPICH"
  [test]="GoogleTest, and Python 3 with NumPy and Pillow"
  [pytorch]="Python 3 with NumPy and PyTorch"
  [plot]="Python 3 with NumPy and matplotlib"
  [lint]="git, Python 3, clang-format 14 and clang-tidy 14"
  [clang]="clang, its sanitizers, lld, libFuzzer and OpenMP library"
)

list_only=no
if [[ ${1:-} == --list ]]; then list_only=yes; shift; fi
if (( $# == 0 )) || [[ $1 == -* ]]; then usage >&2; exit 2; fi
wanted=() in_words=()
for group in "$@"; do
  [[ -v packages[$group] ]] || die "no group '$group'; groups: build, test, pytorch, plot, lint, clang"
  read -ra names <<<"${packages[$group]}"
  wanted+=("${names[@]}")
  in_words+=("${libraries[$group]}")
done
if [[ $list_only == yes ]]; then printf '%s\n' "${wanted[@]}" | sort -u; exit; fi

if ! have dpkg-query || ! have apt-get; then
  say "not a Debian system, nothing installed; required: $(printf '%s; ' "${in_words[@]}" | sed 's/; $//')"
  exit
fi

missing=()
for package in "${wanted[@]}"; do
  status="$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)"
  if [[ $status != installed && " ${missing[*]} " != *" $package "* ]]; then missing+=("$package"); fi
done
if (( ${#missing[@]} == 0 )); then exit; fi

as_root=()
if (( EUID != 0 )); then
  have sudo || die "missing packages, and no sudo: run 'apt-get install ${missing[*]}' as root, then run this again"
  as_root=(sudo)
fi
say "installing ${missing[*]}"
install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0)
log="$(mktemp)"
trap 'rm -f "$log"' EXIT
if ! { "${install[@]}" update && "${install[@]}" install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
  tail -n 20 "$log" >&2
  die "apt-get could not install ${missing[*]} (the end of its output is above)"
fi
say "installed ${#missing[@]} packages and their dependencies"

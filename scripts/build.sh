#!/usr/bin/env bash
# Release build into build/: the program build/apam and the benchmarks build/bench/*.
#
#   scripts/build.sh [CMAKE ARGUMENT...]     e.g. -DAPAM_ONEDNN=OFF
#
# On Debian, missing packages are installed first (as root or with sudo).
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
case "${1:-}" in -h | --help) usage; exit ;; esac

"$root/scripts/install_packages.sh" build
cd "$root"
options=(-DAPAM_BENCH=ON)
[[ -f build/CMakeCache.txt ]] || options+=(-DAPAM_TESTS=OFF -DAPAM_UNITY=ON)  # an existing build keeps its settings
cmake --preset release "${options[@]}" "$@"
cmake --build --preset release --target apam benches
say "build/apam and build/bench/{$(cd build/bench && find . -maxdepth 1 -type f -executable -printf '%f\n' | sort | paste -sd,)} are up to date"

#!/usr/bin/env bash
# Builds everything and runs all tests. The output ends with CTest's summary.
#
#   scripts/test.sh [CTEST ARGUMENT...]     e.g. -R conv2d, -L mpi
#
# On Debian, missing packages are installed first (as root or with sudo).
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
case "${1:-}" in -h | --help) usage; exit ;; esac

"$root/scripts/install_packages.sh" build test pytorch plot
cd "$root"
cmake --preset release -DAPAM_TESTS=ON -DAPAM_BENCH=ON -DAPAM_PCH=TESTS -DAPAM_UNITY=ON
cmake --build --preset release
ctest --preset release --parallel "$(($(nproc) + 1))" "$@"  # tests often wait for processes and messages

#!/usr/bin/env bash
# Builds the fuzz targets (tests/fuzz) with clang and runs each for some seconds. The first failure ends the script; its
# input is kept in build-fuzz.
#
#   scripts/fuzz.sh [SECONDS] [NAME...]     default: 60, all targets
#
# Inputs that reach new code are kept in build-fuzz/corpus/NAME, so that the next run continues from there.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$root"
case "${1:-}" in -h | --help) usage; exit ;; esac
seconds="${1:-60}"
[[ $seconds =~ ^[1-9][0-9]*$ ]] || { usage >&2; exit 2; }
names=("${@:2}")
if (( ${#names[@]} == 0 )); then
  for source in tests/fuzz/fuzz_*.cpp; do source="${source##*/fuzz_}"; names+=("${source%.cpp}"); done
fi

cmake --preset fuzz >/dev/null
cmake --build --preset fuzz --target "${names[@]/#/fuzz_}"
for name in "${names[@]}"; do
  work="build-fuzz/corpus/$name"
  python3 tests/fuzz/seeds.py "$name" "build-fuzz/seeds/$name"
  mkdir -p "$work"
  log="build-fuzz/$name.log"
  say "$name for $seconds s"
  if ! build-fuzz/tests/fuzz/"fuzz_$name" -max_total_time="$seconds" -rss_limit_mb=1024 -timeout=10 -print_final_stats=1 \
    -artifact_prefix="build-fuzz/$name-" "$work" "build-fuzz/seeds/$name" >"$log" 2>&1; then
    tail -n 60 "$log" >&2
    die "$name failed: the input is a file build-fuzz/$name-*, the output is $log"
  fi
  grep '^stat::' "$log"
done

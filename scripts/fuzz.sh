#!/usr/bin/env bash
# Builds the fuzz targets (tests/fuzz) with clang and runs them for some seconds, all at once. An input that makes one fail is
# kept in build-fuzz, and the script ends with exit code 1.
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
say "${names[*]} for $seconds s"
runs=()
for name in "${names[@]}"; do
  work="build-fuzz/corpus/$name"
  python3 tests/fuzz/seeds.py "$name" "build-fuzz/seeds/$name"
  mkdir -p "$work"
  build-fuzz/tests/fuzz/"fuzz_$name" -max_total_time="$seconds" -rss_limit_mb=1024 -timeout=10 -print_final_stats=1 \
    -artifact_prefix="build-fuzz/$name-" "$work" "build-fuzz/seeds/$name" >"build-fuzz/$name.log" 2>&1 &
  runs+=($!)
done
failed=()
for i in "${!names[@]}"; do
  name="${names[i]}"
  if wait "${runs[i]}"; then
    echo "$name"
    grep '^stat::' "build-fuzz/$name.log"
  else
    tail -n 60 "build-fuzz/$name.log" >&2
    failed+=("$name")
  fi
done
(( ${#failed[@]} == 0 )) || die "${failed[*]} failed: the inputs are build-fuzz/NAME-*, the output is build-fuzz/NAME.log"

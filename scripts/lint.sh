#!/usr/bin/env bash
# Checks the wording of the prose (scripts/check_words.py), the layout (clang-format) and common mistakes (clang-tidy).
# Any finding is an error.
#
#   scripts/lint.sh              wording of the whole tree; the rest for files that differ from main (on main: from HEAD)
#   scripts/lint.sh --all        everything for every file (clang-tidy is slow)
#   scripts/lint.sh --format     only the layout, of every file
#
# Needs version 14 of both tools (Debian 12), because other versions format differently. clang-tidy compiles every file by itself,
# as configured in build-lint/; scripts/test.sh compiles several as one.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$root"
mode="${1:-}"
case "$mode" in -h | --help) usage; exit ;; "" | --all | --format) ;; *) usage >&2; exit 2 ;; esac

if [[ $mode != --format ]]; then scripts/check_words.py; fi

# tool NAME: prints the command of version 14.
tool() {
  local candidate
  for candidate in "$1-14" "$1"; do
    if have "$candidate" && [[ "$("$candidate" --version)" == *"version 14."* ]]; then echo "$candidate"; return; fi
  done
  die "$1 version 14 is required (Debian 12: scripts/install_packages.sh lint)"
}

sources() { grep -E '\.(h|cpp|cu|cuh)$' || true; }
if [[ -n $mode ]]; then
  mapfile -t files < <(git ls-files | sources)
else
  base="$(git merge-base HEAD main 2>/dev/null || git rev-parse HEAD)"
  mapfile -t files < <({ git diff --name-only --diff-filter=d "$base"; git ls-files --others --exclude-standard; } | sort -u | sources)
fi
if (( ${#files[@]} == 0 )); then say "no changed sources"; exit; fi

format="$(tool clang-format)"
"$format" --dry-run -Werror "${files[@]}"
say "$format: ${#files[@]} files, no findings"
if [[ $mode == --format ]]; then exit; fi

tidy="$(tool clang-tidy)"
cmake --preset release -B build-lint -DAPAM_TESTS=ON -DAPAM_BENCH=ON >/dev/null
mapfile -t units < <(for file in "${files[@]}"; do grep -qF "\"file\": \"$root/$file\"" build-lint/compile_commands.json && echo "$file"; done)
if (( ${#units[@]} == 0 )); then say "none of these files is compiled: nothing for clang-tidy"; exit; fi
printf '%s\0' "${units[@]}" | xargs -0 -n 1 -P "$(nproc)" "$tidy" -p build-lint --quiet
say "$tidy: ${#units[@]} files, no findings"

#!/usr/bin/env bash
# Checks layout (clang-format) and searches for mistakes (clang-tidy); any finding is an error.
#
#   scripts/lint.sh              files that differ from the branch main, or from HEAD on main itself
#   scripts/lint.sh --all        every file (clang-tidy takes its time)
#   scripts/lint.sh --format     layout alone, of every file
#
# Both tools in version 14, Debian 12's: other versions lay out differently. clang-tidy reads build/compile_commands.json,
# so scripts/test.sh must have run once.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$root"
mode="${1:-}"
case "$mode" in -h | --help) usage; exit ;; "" | --all | --format) ;; *) usage >&2; exit 2 ;; esac

# tool NAME: its version 14.
tool() {
  local candidate
  for candidate in "$1-14" "$1"; do
    if have "$candidate" && "$candidate" --version | grep -q 'version 14\.'; then echo "$candidate"; return; fi
  done
  die "$1 in version 14 is needed (Debian 12: scripts/install_packages.sh lint)"
}

sources() { grep -E '\.(h|cpp|cu|cuh)$' || true; }
if [[ -n $mode ]]; then
  mapfile -t files < <(git ls-files | sources)
else
  base="$(git merge-base HEAD main 2>/dev/null || git rev-parse HEAD)"
  mapfile -t files < <({ git diff --name-only --diff-filter=d "$base"; git ls-files --others --exclude-standard; } | sort -u | sources)
fi
if (( ${#files[@]} == 0 )); then say "no sources have changed"; exit; fi

format="$(tool clang-format)"
"$format" --dry-run -Werror "${files[@]}"
say "$format: ${#files[@]} files are laid out as they should be"
if [[ $mode == --format ]]; then exit; fi

tidy="$(tool clang-tidy)"
[[ -f build/compile_commands.json ]] || die "build/compile_commands.json is not there: run scripts/test.sh first"
mapfile -t units < <(for file in "${files[@]}"; do grep -qF "\"file\": \"$root/$file\"" build/compile_commands.json && echo "$file"; done)
if (( ${#units[@]} == 0 )); then say "none of them is compiled in build/"; exit; fi
printf '%s\0' "${units[@]}" | xargs -0 -n 1 -P "$(nproc)" "$tidy" -p build --quiet
say "$tidy: ${#units[@]} files, nothing to object to"

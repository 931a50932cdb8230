#!/usr/bin/env bash
# Runs a compiler and fails if ptxas notes that it inserted waits among products of warpgroups (wgmma), which would take most of
# their speed: to ptxas this is no warning.
#
#   scripts/refuse_ptxas_notes.sh COMPILER ARGUMENTS...      as CUDA_COMPILER_LAUNCHER of a target
set -euo pipefail
messages="$(mktemp)"
trap 'rm -f "$messages"' EXIT
status=0
"$@" 2> "$messages" || status=$?
cat "$messages" >&2
if grep -q '(C75[0-9][0-9])' "$messages"; then
  echo "refuse_ptxas_notes.sh: products of warpgroups are not asynchronous, see above" >&2
  exit 1
fi
exit "$status"

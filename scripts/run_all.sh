#!/usr/bin/env bash
# Runs the published experiments, draws their pictures, and writes results/index.html with the published figures next to ours.
#
#   scripts/run_all.sh [--scale smoke|small|published] [--only NAME,...] [--dry-run] [--out DIR]
#                      [--data-root NAME=DIR]... [--oversubscribe]
#
# smoke (default): all experiments on the bundled sample, in minutes; small: hours on a workstation; published: the published
# settings. --help explains all options. docs/experiments.md describes the experiments. Builds build/apam if it does not exist.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

for argument in "$@"; do
  case "$argument" in
    -h | --help | --dry-run) exec python3 "$root/scripts/experiments.py" "$@" ;;
  esac
done
"$root/scripts/install_packages.sh" build plot
if [[ ! -x $root/build/apam ]]; then build_program; fi
python="$(python_with matplotlib numpy)"
launcher="$(mpich_launcher)"
exec "$python" "$root/scripts/experiments.py" --mpiexec "$launcher" "$@"

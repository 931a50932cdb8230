#!/usr/bin/env bash
# From a fresh clone to a trained network: builds the program, trains AllCNN with 1 master and 2 workers on the bundled sample
# of CIFAR-10 (2,500 training and 500 test images), plots the curves and prints the test accuracy.
#
#   scripts/quickstart.sh
#
# Takes a few minutes on two cores. On Debian, missing packages are installed first (as root or with sudo).
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
case "${1:-}" in "") ;; -h | --help) usage; exit ;; *) usage >&2; exit 2 ;; esac
cd "$root"
run=runs/quickstart

scripts/install_packages.sh build plot
SECONDS=0
say "building build/apam (about two minutes on two cores)"
options=()
[[ -f build/CMakeCache.txt ]] || options=(-DAPAM_TESTS=OFF -DAPAM_BENCH=OFF)  # an existing build keeps its settings
mkdir -p build
if ! { cmake --preset release "${options[@]}" && cmake --build --preset release --target apam; } >build/quickstart.log 2>&1; then
  tail -n 30 build/quickstart.log >&2
  die "the build failed; its full output is in build/quickstart.log"
fi
say "built in $SECONDS s"

train=("$(mpich_launcher)" -n 3 build/apam train --net allcnn --data cifar10 --exchange async --optimizer amsgrad
  --lr 2e-3 --batch 25 --epochs 2 --eval-every 50 --out "$run" --overwrite)
say "training with 1 master and 2 workers: ${train[*]}"
"${train[@]}"

python="$(python_with matplotlib numpy)"
"$python" scripts/plot.py "$run" --out "$run/curve.png"
"$python" - "$run/summary.json" <<'PYTHON'
import json, sys
summary = json.load(open(sys.argv[1]))
print(f"quickstart.sh: test accuracy {summary['test_accuracy']:.1%} after {summary['updates']} updates "
      "(random guessing: 10.0%)")
PYTHON
say "curves: $run/curve.png, model: $run/model.safetensors; build and training took $SECONDS s"

#!/usr/bin/env bash
# From a fresh clone to a trained network: builds the program, trains AllCNN with 1 master and 2 workers on the bundled sample
# of CIFAR-10 (2,500 training and 500 test images), prints the test accuracy after each epoch, and plots the curves.
#
#   scripts/quickstart.sh
#
# Takes 4 to 8 minutes on two cores. On Debian, missing packages are installed first (as root or with sudo).
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
case "${1:-}" in "") ;; -h | --help) usage; exit ;; *) usage >&2; exit 2 ;; esac
cd "$root"
run=runs/quickstart

scripts/install_packages.sh build plot
SECONDS=0
build_program

train=("$(mpich_launcher)" -n 3 build/apam train --net allcnn --data cifar10 --exchange async --optimizer amsgrad
  --lr 1e-3 --lr-schedule cosine --batch 25 --epochs 5 --out "$run" --overwrite)
say "training with 1 master and 2 workers: ${train[*]}"
"${train[@]}"

python="$(python_with matplotlib numpy)"
say "test accuracy by epoch (random guessing: 10 %)"
"$python" scripts/plot.py text "$run"
"$python" scripts/plot.py "$run" --out "$run/curve.png"
say "curves: $run/curve.png, model: $run/model.safetensors; build and training took $SECONDS s"

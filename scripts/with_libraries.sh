#!/usr/bin/env bash
# Runs a program with the libraries of a bundle (scripts/bundle.sh) and those of CUDA that the machine has.
#
#   scripts/with_libraries.sh PROGRAM [ARGUMENT...]
#   scripts/with_libraries.sh --list             prints the folders, one per line, in the order of the search
#
# PROGRAM without a slash is one of the bundle's bin/ or on PATH. cuDNN, NCCL and cuBLAS are looked for in the CUDA toolkit
# ($CUDA_HOME, /usr/local/cuda) and in the packages of the Python that `python3` is (nvidia/*/lib, which PyTorch installs).
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
case "${1:-}" in "" | -h | --help) usage; exit ;; esac

folders=()
for folder in "$root/lib" "${CUDA_HOME:-/usr/local/cuda}/lib64"; do
  if [[ -d $folder ]]; then folders+=("$folder"); fi
done
if have python3; then
  packages="$(python3 -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])' 2>/dev/null || true)"
  for folder in "$packages"/nvidia/*/lib /usr/local/lib/python3*/dist-packages/nvidia/*/lib; do
    if [[ -d $folder ]]; then folders+=("$folder"); fi
  done
fi
if [[ $1 == --list ]]; then printf '%s\n' "${folders[@]}"; exit; fi

path="$(IFS=:; echo "${folders[*]}")"
export LD_LIBRARY_PATH="$path${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
if [[ $1 != */* && -x $root/bin/$1 ]]; then
  program="$root/bin/$1"
  shift
  exec "$program" "$@"
fi
exec "$@"

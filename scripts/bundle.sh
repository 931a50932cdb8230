#!/usr/bin/env bash
# Packs what a GPU machine needs to run and check apam into one relocatable archive, build/apam-bundle-COMMIT.tar.xz: the
# programs of build-cuda (apam, bench/step, bench/kernels, the tests on a GPU), MPICH's launcher, the shared libraries that a
# bare system lacks, the sample of CIFAR-10, and scripts/gpu_check.sh with the programs for PyTorch.
#
#   scripts/bundle.sh              builds what is missing (cmake --preset cuda), then packs
#   scripts/bundle.sh --no-build   packs build-cuda as it is
#
# The archive needs Linux on x86-64 with glibc 2.36 or newer. The CUDA runtime is linked statically; the driver, and cuDNN and
# cuBLAS where they are used, are the machine's own (scripts/with_libraries.sh).
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
build_first=yes
case "${1:-}" in "") ;; --no-build) build_first=no ;; -h | --help) usage; exit ;; *) usage >&2; exit 2 ;; esac
cd "$root"

limit_mib=60
programs=(apam bench/step bench/kernels tests/kernels/cuda/gpu/kernels_cuda_gpu tests/kernels/cudnn/kernels_cudnn_gpu)
if [[ $build_first == yes ]]; then
  say "building build-cuda"
  cmake --preset cuda >/dev/null
  cmake --build --preset cuda --target apam bench_step bench_kernels kernels_cuda_gpu kernels_cudnn_gpu
fi
for program in "${programs[@]}"; do [[ -x build-cuda/$program ]] || die "build-cuda/$program does not exist: run without --no-build"; done

name="apam-bundle-$(git describe --always --dirty)"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
bundle="$work/$name"
mkdir -p "$bundle"/{bin,lib,share/apam,scripts,bench/pytorch,tests/pytorch} build

for program in "${programs[@]}"; do install -s "build-cuda/$program" "$bundle/bin/"; done
launcher="$(readlink -f "$(command -v "$(mpich_launcher)")")"
install "$launcher" "$bundle/bin/mpiexec.hydra"
install "$(dirname "$launcher")/hydra_pmi_proxy" "$bundle/bin/"

# Every library of the programs except those of glibc and of the compiler, which any system with glibc 2.36 has.
for file in "$bundle"/bin/*; do ldd "$file"; done | awk '$2 == "=>" { print $1, $3 }' | sort -u >"$work/libraries"
while read -r library path; do
  case "$library" in
    libc.so.* | libm.so.* | libdl.so.* | libpthread.so.* | librt.so.* | libresolv.so.* | libstdc++.so.* | libgcc_s.so.*) ;;
    *)
      [[ -f $path ]] || die "$library was not found on this machine"
      install -s -m 644 "$path" "$bundle/lib/$library"
      ;;
  esac
done <"$work/libraries"
cp -r data/sample "$bundle/share/apam/"
cp scripts/{common.sh,gpu_check.sh,with_libraries.sh} "$bundle/scripts/"
cp bench/pytorch/step.py "$bundle/bench/pytorch/"
cp tests/pytorch/models.py "$bundle/tests/pytorch/"
git describe --always --dirty >"$bundle/COMMIT"

archive="build/$name.tar.xz"
tar -C "$work" --owner=0 --group=0 -cf - "$name" | xz -T0 -6 >"$archive"
bytes="$(stat -c %s "$archive")"
(( bytes < limit_mib << 20 )) || die "$archive has $bytes bytes, at most $limit_mib MiB are allowed"
say "$archive: $(( (bytes + 524288) / 1048576 )) MiB, $(du -sm "$bundle" | cut -f1) MiB unpacked"

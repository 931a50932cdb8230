# Sourced by the scripts of this folder: `root`, the repository's folder, and a few helper functions.
# shellcheck shell=bash
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

say() { echo "$(basename "$0"): $*"; }
die() { echo "$(basename "$0"): $*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# usage: prints the comment at the top of the calling script.
usage() { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; }

# python_with MODULE...: prints a Python that can import all of these modules. The system's Python is tried first, because
# install_packages.sh installs packages for it; python3 on PATH may be a different one.
python_with() {
  local python imports
  imports="$(printf 'import %s; ' "$@")"
  for python in /usr/bin/python3 python3; do
    if have "$python" && "$python" -c "$imports" >/dev/null 2>&1; then
      echo "$python"
      return
    fi
  done
  die "neither /usr/bin/python3 nor python3 can import all of: $*"
}

# mpich_launcher: prints MPICH's mpiexec. The mpiexec of another MPI would start each rank as a separate world of size 1.
# Not by a pipe to grep -q: that ends at the first match, and with pipefail a launcher that still writes would count as failed.
mpich_launcher() {
  local launcher
  for launcher in mpiexec.mpich mpiexec.hydra mpiexec; do
    if have "$launcher" && [[ "$("$launcher" --version 2>&1)" == *HYDRA* ]]; then
      echo "$launcher"
      return
    fi
  done
  die "MPICH's mpiexec was not found (Debian: apt-get install mpich)"
}

# build_program: builds build/apam. Its output is in build/build.log.
build_program() {
  local options=() start=$SECONDS
  say "building build/apam (3 to 7 minutes on two cores)"
  # An existing build keeps its settings.
  [[ -f $root/build/CMakeCache.txt ]] || options=(-DAPAM_TESTS=OFF -DAPAM_BENCH=OFF -DAPAM_UNITY=ON)
  mkdir -p "$root/build"
  if ! (cd "$root" && cmake --preset release "${options[@]}" && cmake --build --preset release --target apam) \
    >"$root/build/build.log" 2>&1; then
    tail -n 30 "$root/build/build.log" >&2
    die "the build failed; its full output is in build/build.log"
  fi
  say "built in $((SECONDS - start)) s"
}

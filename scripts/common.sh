# Shared by the scripts of this folder, which source it: `root`, the repository's folder, and a few questions to the machine.
# shellcheck shell=bash
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

say() { echo "$(basename "$0"): $*"; }
die() { echo "$(basename "$0"): $*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# usage: the comment at the head of the calling script.
usage() { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; }

# python_with MODULE...: an interpreter that can import all of them. The system's comes first, since its packages are the
# ones that install_packages.sh installs; the python3 of PATH may be another.
python_with() {
  local python imports
  imports="$(printf 'import %s; ' "$@")"
  for python in /usr/bin/python3 python3; do
    if have "$python" && "$python" -c "$imports" >/dev/null 2>&1; then
      echo "$python"
      return
    fi
  done
  die "neither /usr/bin/python3 nor python3 has: $*"
}

# mpich_launcher: MPICH's mpiexec. Another MPI's would start every rank as a world of its own.
mpich_launcher() {
  local launcher
  for launcher in mpiexec.mpich mpiexec.hydra mpiexec; do
    if have "$launcher" && "$launcher" --version 2>&1 | grep -q HYDRA; then
      echo "$launcher"
      return
    fi
  done
  die "MPICH's mpiexec was not found (Debian: apt-get install mpich)"
}

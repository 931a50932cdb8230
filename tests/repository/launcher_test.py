#!/usr/bin/env python3
"""scripts/common.sh finds MPICH's launcher by what it prints, also one that prints more than a pipe holds."""

import os
import pathlib
import subprocess
import tempfile
import unittest

COMMON = pathlib.Path(__file__).resolve().parents[2] / "scripts/common.sh"


def found_with(launchers):
    """What mpich_launcher prints, with programs of these names that print these texts first in the path."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in launchers.items():
            program = pathlib.Path(folder) / name
            program.write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\n")
            program.chmod(0o755)
        process = subprocess.run(["bash", "-c", 'set -euo pipefail; . "$1"; mpich_launcher', "bash", COMMON],
                                 capture_output=True, text=True, env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"})
        return process.stdout.strip()


class Launcher(unittest.TestCase):
    def test_one_that_prints_more_than_a_pipe_holds_is_found(self):
        self.assertEqual(found_with({"mpiexec.mpich": "HYDRA build details:\n" + "and so forth\n" * 100_000}), "mpiexec.mpich")

    def test_another_mpi_is_passed_over(self):
        launchers = {"mpiexec.mpich": "mpiexec (OpenRTE) 4.1.4", "mpiexec.hydra": "HYDRA build details:"}
        self.assertEqual(found_with(launchers), "mpiexec.hydra")


if __name__ == "__main__":
    unittest.main()

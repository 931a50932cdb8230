"""The table of scripts/policy_accuracy.py, from runs that are finished."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "policy_accuracy.py"


class Table(unittest.TestCase):
    def test_has_medians_with_the_least_and_the_largest_of_the_seeds(self):
        with tempfile.TemporaryDirectory() as folder:
            for seed, accuracy in enumerate((0.25, 0.125, 0.5)):
                run = pathlib.Path(folder) / f"ringmaster-8-seed{seed}"
                run.mkdir()
                summary = {"updates": 200, "test_accuracy": accuracy, "train_loss": 2.5 - seed, "staleness": {"mean": 6 + seed},
                           "leases": {"refused": seed, "cancelled": 2}}
                (run / "summary.json").write_text(json.dumps(summary))
            interrupted = pathlib.Path(folder) / "none-seed0"
            interrupted.mkdir()
            (interrupted / "summary.json").write_text(json.dumps({**summary, "updates": 199}))
            process = subprocess.run([sys.executable, SCRIPT, "--table", "--out", folder], capture_output=True, text=True)
        self.assertEqual(process.returncode, 0, process.stderr)
        self.assertEqual(process.stdout.splitlines()[2:],
                         ["| ringmaster 8 | 25.0 (12.5 to 50.0) | 1.500 (0.500 to 2.500) | 7.0 | 3 |"])

    def test_numbers_are_at_least_one(self):
        for option in ("--updates", "--workers", "--seeds"):
            process = subprocess.run([sys.executable, SCRIPT, option, "0"], capture_output=True, text=True)
            self.assertEqual(process.returncode, 2)
            self.assertIn(f"argument {option}: expected a whole number from 1 on, got '0'", process.stderr.splitlines()[-1])

    def test_a_relative_folder_is_that_of_the_caller(self):
        """A stand-in for mpiexec.mpich writes the summary of a run."""
        with tempfile.TemporaryDirectory() as folder:
            mpiexec = pathlib.Path(folder) / "mpiexec.mpich"
            summary = {"updates": 7, "test_accuracy": 0.5, "train_loss": 2, "staleness": {"mean": 0}, "leases": {"refused": 0, "cancelled": 0}}
            mpiexec.write_text(f"""#!{sys.executable}
import pathlib, sys
out = pathlib.Path(sys.argv[sys.argv.index("--out") + 1])
out.mkdir(parents=True)
(out / "summary.json").write_text({json.dumps(summary)!r})
""")
            mpiexec.chmod(0o755)
            process = subprocess.run([sys.executable, SCRIPT, "--updates", "7", "--seeds", "1", "--out", "here"], capture_output=True,
                                     text=True, cwd=folder, env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"})
            self.assertEqual(process.returncode, 0, process.stderr)
            self.assertEqual(len(list((pathlib.Path(folder) / "here").iterdir())), 11)
        self.assertEqual(len(process.stdout.splitlines()), 2 + 11)


if __name__ == "__main__":
    unittest.main()

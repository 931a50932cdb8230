#!/usr/bin/env python3
"""The programs of bench/: mistakes are one line with exit code 2, and output that cannot be written is an error."""

import os
import pathlib
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BENCH = pathlib.Path(os.environ.get("APAM_BENCH", ROOT / "build" / "bench"))
MPIEXEC = os.environ.get("APAM_MPIEXEC", "mpiexec.mpich")

# Arguments -> a part of the line.
MISTAKES = [
    (["loader", "--seconds", "nan"], "--seconds: expected a number from 0.001 to 3600, got 'nan'"),
    (["loader", "--seconds", "inf"], "--seconds: expected a number from 0.001 to 3600, got 'inf'"),
    (["loader", "--seconds", "0"], "--seconds: expected a number from 0.001 to 3600, got '0'"),
    (["loader", "--threads", "-1"], "--threads: expected a number from 0 to 1024, got '-1'"),
    (["kernels", "--milliseconds", "nan"], "--milliseconds: expected a number from 0 to 1000000, got 'nan'"),
    (["kernels", "--provider", "foo"], "--provider: foo not in"),
    (["step", "--steps", "0"], "--steps: expected a number from 1 to 1048576, got '0'"),
    (["exchange_sim"], "OPTIONS is required"),
]
MISTAKES_OF_RANKS = [
    (["exchange", "--compute-ms", "nan"], "--compute-ms: expected a number from 0 to 1000000, got 'nan'"),
    (["exchange", "--updates", "0"], "--updates: expected a number from 1 to"),
    (["exchange", "--bogus"], "not expected: --bogus"),
    (["exchange", "--masters", "3"], "needs 3 masters and a worker, got 3 ranks"),
    (["exchange", "--masters", "2", "--mode", "serial"], "--masters 2: the mode serial has 1 master"),
    (["all_reduce", "--floats", "nan"], "--floats: expected a number from 1 to"),
    (["all_reduce", "--rounds", "0"], "--rounds: expected a number from 1 to"),
]


def call(*arguments, ranks=None, stdout=subprocess.PIPE):
    command = [str(BENCH / arguments[0]), *map(str, arguments[1:])]
    if ranks:
        command = [MPIEXEC, "-n", str(ranks), *command]
    return subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=60)


class CommandLine(unittest.TestCase):
    def assert_refused(self, process, name, fragment, status):
        lines = [line for line in process.stderr.splitlines() if line.startswith(f"{name}: ")]
        self.assertEqual(len(lines), 1, process.stderr)
        self.assertIn(fragment, lines[0])
        self.assertFalse(lines[0].startswith(f"{name}: {name}:"), lines[0])
        self.assertEqual(process.returncode, status, process.stderr)

    def test_mistakes(self):
        for arguments, fragment in MISTAKES:
            with self.subTest(arguments):
                self.assert_refused(call(*arguments), arguments[0], fragment, 2)

    def test_one_rank_reports_mistakes(self):
        for arguments, fragment in MISTAKES_OF_RANKS:
            with self.subTest(arguments):
                self.assert_refused(call(*arguments, ranks=3), arguments[0], fragment, 2)

    def test_a_failure_has_the_name_of_the_program_once(self):
        process = call("kernels", "--net", "allcnn", "--op", "scale", "--pass", "sideways", "--threads", "1")
        self.assert_refused(process, "kernels", "no problem of net allcnn has op scale with pass sideways", 1)
        process = call("kernels", "--net", "allcnn", "--op", "scale", "--provider", "tma", "--threads", "1", "--no-auto")
        self.assert_refused(process, "kernels", "no problem of net allcnn has op scale with pass all by provider tma", 1)

    def test_malformed_simulations_are_named(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "options.json"
            for text in ("{", '{"workers": "many"}', ""):
                path.write_text(text)
                self.assert_refused(call("exchange_sim", path), "exchange_sim", f"simulation: {path}: ", 1)

    def test_output_that_cannot_be_written_is_an_error(self):
        full = "standard output cannot be written: No space left on device"
        with tempfile.TemporaryDirectory() as folder, open("/dev/full", "w") as device:
            options = pathlib.Path(folder) / "options.json"
            options.write_text('{"workers": 2, "updates": 10}')
            for command in (["exchange_sim", options], ["exchange_sim", "--help"], ["loader", "--rounds", "1", "--seconds", "0.01"],
                            ["all_reduce", "--floats", "100", "--rounds", "1"]):
                with self.subTest(command):
                    self.assertEqual(call(*command).returncode, 0)
                    self.assert_refused(call(*command, stdout=device), command[0], full, 1)


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/env python3
"""bench/pytorch/compare.py: the report on given timings, the order of runs, and error messages.

Two small programs stand in for build/bench/step and for a Python with PyTorch, and return given timings. The last test runs
both real programs on a small batch; it is skipped without PyTorch.
"""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
COMPARE = ROOT / "bench" / "pytorch" / "compare.py"
STEP = os.environ.get("APAM_BENCH_STEP", str(ROOT / "build" / "bench" / "step"))

# Appends a letter to `log` per run, a capital one in bf16; the n-th run of a side in a precision returns the n-th of its rates
# there, in images/s.
STAND_IN = """#!{python}
import json, pathlib, sys
sys.stdin.read() if {reads} else None
if "-c" in sys.argv: sys.exit()  # the probe for PyTorch
log = pathlib.Path({log!r})
runs = log.read_text() if log.exists() else ""
letter = {letter!r}.upper() if "bf16" in sys.argv else {letter!r}
log.write_text(runs + letter)
rate = {rates}[letter][runs.count(letter)]
result = {{"images_per_second": rate, "memory_mib": {{"resident_peak": rate + 1000}}, "gflops": 2 * rate,
           "fma_peak_gflops": 400, "cpu": "Some CPU", "pytorch": "9.9", "layout": "channels_last"}}
if "--json" in sys.argv: pathlib.Path(sys.argv[sys.argv.index("--json") + 1]).write_text(json.dumps(result))
else: print("a warning\\n" + json.dumps(result))
"""


def compare(*arguments):
    return subprocess.run([sys.executable, str(COMPARE), *map(str, arguments)], capture_output=True, text=True)


class CompareTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def stand_in(self, name, letter, rates, reads, rates_bf16=()):
        rates = {letter: rates, letter.upper(): list(rates_bf16)}
        path = self.folder / name
        log = str(self.folder / "log")
        path.write_text(STAND_IN.format(python=sys.executable, log=log, letter=letter, rates=rates, reads=reads))
        path.chmod(0o755)
        return path

    def test_pairs_alternate_and_the_median_ratio_is_reported(self):
        step = self.stand_in("step", "o", [1, 100, 80, 120], False)  # the first run only fills the kernel cache
        python = self.stand_in("python", "t", [50, 20, 40], True)
        out = self.folder / "out.json"
        done = compare("--net", "resnet18", "--pairs", 3, "--step", step, "--python", f"env A=b {python}", "--json", out)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual((self.folder / "log").read_text(), "o" + "ot" + "to" + "ot")
        (result,) = json.loads(out.read_text())
        self.assertEqual([pair["ratio"] for pair in result["pairs"]], [2, 4, 3])
        self.assertEqual([pair["first"] for pair in result["pairs"]], ["apam", "pytorch", "apam"])
        self.assertEqual(result["ratio"], {"median": 3, "min": 2, "max": 4})
        self.assertEqual(result["images_per_second"], {"apam": 100, "pytorch": 40})
        self.assertEqual(result["resident_peak_mib"], {"apam": 1120, "pytorch": 1050})
        self.assertEqual(result["share_of_fma_peak"], 0.5)
        self.assertEqual((result["batch"], result["classes"]), (80, 10))
        self.assertIn("ratio: median 3.00, 2.00 .. 4.00; images/s apam 100.0, PyTorch 40.0", done.stdout)

    def test_bf16_has_four_sides(self):
        step = self.stand_in("step", "o", [1, 100, 110], False, [1, 300, 240])
        python = self.stand_in("python", "t", [50, 120], True, [100, 40])
        out = self.folder / "out.json"
        done = compare("--net", "allcnn", "--precision", "bf16", "--pairs", 2, "--step", step, "--python", python, "--json", out)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual((self.folder / "log").read_text(), "Oo" + "OTto" + "otTO")
        (result,) = json.loads(out.read_text())
        self.assertEqual(result["precision"], "bf16")
        self.assertEqual([pair["ratio"] for pair in result["pairs"]], [3, 2])  # to autocast, then to float32
        self.assertEqual(result["ratios"]["pytorch"], {"median": 4, "min": 2, "max": 6})
        self.assertEqual(result["ratios"]["pytorch_bf16"], {"median": 4.5, "min": 3, "max": 6})
        self.assertEqual(result["images_per_second"],
                         {"apam": 270, "pytorch_bf16": 70, "pytorch": 85, "apam_float32": 105})
        self.assertIn("ratio: median 2.50, 2.00 .. 3.00; images/s apam 270.0, PyTorch autocast 70.0", done.stdout)
        self.assertIn("to PyTorch 4.00, 2.00 .. 6.00", done.stdout)

    def test_all_nets_with_their_batch_sizes(self):
        step = self.stand_in("step", "o", [100] * 6, False)
        python = self.stand_in("python", "t", [50] * 3, True)
        out = self.folder / "out.json"
        self.assertEqual(compare("--pairs", 1, "--step", step, "--python", python, "--json", out).returncode, 0)
        problems = [(result["net"], result["batch"], result["classes"]) for result in json.loads(out.read_text())]
        self.assertEqual(problems, [("allcnn", 100, 10), ("resnet18", 80, 10), ("wrn28-5", 100, 1000)])

    def assert_refused(self, done, *fragments):
        self.assertEqual(done.returncode, 1)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        for fragment in ("compare: ", *fragments):
            self.assertIn(fragment, done.stderr)

    def test_without_pytorch(self):
        self.assert_refused(compare("--python", "env A=b no-such-python"), "no PyTorch in env A=b no-such-python", "--python")

    def test_without_the_step_program(self):
        python = self.stand_in("python", "t", [50], True)
        self.assert_refused(compare("--python", python, "--step", self.folder / "none"), "cannot run", "No such file")

    def test_a_failing_step_program(self):
        python = self.stand_in("python", "t", [50], True)
        self.assert_refused(compare("--python", python, "--step", "/bin/false"), "/bin/false", "exit code 1")

    @unittest.skipUnless(importlib.util.find_spec("torch"), "PyTorch is not installed")
    def test_real_programs_on_a_small_batch(self):
        out = self.folder / "out.json"
        done = compare("--net", "allcnn", "--batch", 2, "--pairs", 1, "--steps", 1, "--kernels", "native", "--step", STEP,
                       "--python", sys.executable, "--precision", "bf16", "--json", out)
        self.assertEqual(done.returncode, 0, done.stderr)
        (result,) = json.loads(out.read_text())
        (pair,) = result["pairs"]
        self.assertEqual(pair["apam"]["parameters"], pair["pytorch"]["parameters"])
        self.assertEqual(pair["pytorch"]["layout"], "channels_last")
        # An untrained net guesses among 10 classes: all losses are near log(10).
        for side, precision in (("apam", "bf16"), ("pytorch_bf16", "bf16"), ("pytorch", "float32"), ("apam_float32", "float32")):
            self.assertEqual(pair[side]["precision"], precision)
            self.assertLess(abs(pair[side]["last_loss"] - 2.3), 1.0)
            self.assertGreater(result["resident_peak_mib"][side], 1)
        self.assertGreater(result["ratio"]["median"], 0)
        self.assertGreater(result["fma_peak_gflops"], 0)


if __name__ == "__main__":
    unittest.main()

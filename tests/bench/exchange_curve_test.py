#!/usr/bin/env python3
"""scripts/exchange_curve.py: from runs that follow the model it finds the model's parameters, and predicts the other runs. The
curves of scripts/simulated_curves.py and scripts/published_curve.py follow the laws of the modes."""

import contextlib
import copy
import io
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
import exchange_curve as curve  # noqa: E402  (after the path is set)
import published_curve  # noqa: E402
import simulated_curves  # noqa: E402

simulated_curves.SIMULATOR = os.environ.get("APAM_EXCHANGE_SIM", simulated_curves.SIMULATOR)
simulated_curves.CURVE, simulated_curves.LISTED = [1, 2, 8, 64], [1, 8]  # the others take seconds
published_curve.UPDATES = 4000

# Seconds. A pass takes 20 % longer in the exchange than without one.
FIRST, FURTHER, OVER = 3e-3, 1e-3, 1.2
RECEIVE, REPLY = {"serial": 2e-3, "pipelined": 0, "shared": 0}, {"serial": 4e-3, "pipelined": 5e-4, "shared": 1e-5}
COMPUTE, FETCH, LATENCY = 0.05, 1.5e-3, 1e-3  # of pipelined: fetch and latency
CORES = 2
PARAMETERS = 1_000_000
TRANSFERS = {"link": {"bytes_per_second": 4 * PARAMETERS / RECEIVE["serial"]}, "gradient_bytes": 4 * PARAMETERS,
             "worker_receive": FETCH, "compute": {"mean": COMPUTE + LATENCY}}


def options_of(mode, workers):
    return {"mode": mode, "workers": workers, "updates": 30 * workers, "first_update": OVER * FIRST,
            "further_update": OVER * FURTHER, "receive": RECEIVE[mode], "reply": REPLY[mode], "compute": {"mean": COMPUTE},
            "cores": CORES, **(TRANSFERS if mode == "pipelined" else {})}


def emulated(workers):
    """What bench/exchange would report."""
    modes = {}
    for mode in curve.MODES:
        (result,) = curve.simulate([options_of(mode, workers)])
        of_worker = 30 * (2e-4 + (FETCH if mode == "pipelined" else 0))
        modes[mode] = {"rounds": [{"updates_per_second": result["updates_per_second"], "update_ms": 1e3 * OVER * FIRST,
                                   "receive_ms": 1e3 * RECEIVE[mode] if mode == "serial" else 0, "reply_ms": 1e3 * REPLY[mode],
                                   "processor_seconds_by_rank": [0.1 * workers] + workers * [of_worker],
                                   "bare_pass_ms": [1e3 * (FIRST + FURTHER * k) if k < workers else 0 for k in range(8)]}]}
    return {"commit": "", "cpu": "", "parameters": PARAMETERS, "compute_ms": 1e3 * COMPUTE, "workers": workers,
            "updates": 30 * workers, "modes": modes}


class ExchangeCurve(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.original = {"settings": {"cores": CORES}, "points": [{"workers": n, "rounds": [emulated(n)]} for n in (1, 4, 16)]}

    def setUp(self):
        self.runs = copy.deepcopy(self.original)

    def test_predicts_runs_that_follow_the_model(self):
        models, rows = curve.compare(self.runs)
        self.assertAlmostEqual(models["shared"]["first_update"], OVER * FIRST, places=9)
        self.assertAlmostEqual(models["shared"]["further_update"], OVER * FURTHER, places=9)
        self.assertAlmostEqual(models["serial"]["receive"], RECEIVE["serial"], places=9)
        self.assertAlmostEqual(models["pipelined"]["link"]["bytes_per_second"], TRANSFERS["link"]["bytes_per_second"], places=3)
        self.assertAlmostEqual(models["serial"]["compute"]["mean"], COMPUTE, places=4)
        self.assertAlmostEqual(models["pipelined"]["worker_receive"], FETCH, places=9)
        self.assertAlmostEqual(models["pipelined"]["compute"]["mean"], COMPUTE + LATENCY, places=4)
        self.assertEqual(models["pipelined"]["cores"], CORES)
        self.assertEqual(len(rows), 9)
        for row in rows:
            self.assertAlmostEqual(row["ratio"], 1, delta=0.005, msg=str(row))

    def test_a_fetch_takes_at_most_what_the_cycle_leaves(self):
        for a_round in self.runs["points"][0]["rounds"]:
            a_round["modes"]["pipelined"]["rounds"][0]["processor_seconds_by_rank"][1] = 1
        models, _ = curve.compare(self.runs)
        self.assertAlmostEqual(models["pipelined"]["worker_receive"], FETCH + LATENCY, places=4)
        self.assertAlmostEqual(models["pipelined"]["compute"]["mean"], COMPUTE, places=4)

    def test_a_warm_up_leaves_the_start_out(self):
        def run(updates):  # a start of 1 s of which the worker computes 0.2 s, then 0.1 s per update
            rate = updates / (1 + 0.1 * updates)
            one = {"updates_per_second": rate, **{key: (1000 + 5 * updates) / updates for key in curve.PER_UPDATE},
                   "bare_pass_ms": [3], "processor_seconds_by_rank": [0.01 * updates, 0.2 + 0.002 * updates]}
            return {"updates": updates, "modes": {mode: {"rounds": [dict(one)]} for mode in curve.MODES}}

        result = curve.difference(run(10), run(60))
        self.assertEqual((result["warm_up"], result["updates"]), (10, 50))
        for mode in curve.MODES:
            (one,) = result["modes"][mode]["rounds"]
            self.assertAlmostEqual(one["updates_per_second"], 10)
            self.assertAlmostEqual(one["update_ms"], 5)
            self.assertAlmostEqual(one["processor_seconds_by_rank"][1], 0.002 * 50)
            self.assertEqual(one["bare_pass_ms"], [3])
        with self.assertRaisesRegex(RuntimeError, "10 updates took .* more than 60"):
            curve.difference(run(60), run(10))

    def test_predicts_what_follows_a_warm_up(self):
        # All workers begin at once, so the first update is later than the average one: the rest is faster than the whole.
        options = options_of("shared", 8)
        (whole,), (rest,) = curve.predict([(options, 0, 240)]), curve.predict([(options, 32, 208)])
        self.assertGreater(rest, 1.01 * whole)
        self.assertLessEqual(rest, 8 / (COMPUTE + OVER * FIRST) * 1.001)

    def test_reports_the_deviations_of_several_workers(self):
        rows = [{"workers": 1, "ratio": 3}, {"workers": 2, "ratio": 1.02}, {"workers": 4, "ratio": 0.9}, {"workers": 8, "ratio": 1.03}]
        median, worst = curve.summary(rows)
        self.assertAlmostEqual(median, 0.03)
        self.assertAlmostEqual(worst, 0.1)

    def test_a_file_of_runs_predicts_the_same(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "runs.json"
            one = self.runs["points"][0]["rounds"][0]
            path.write_text(curve.text_of({"points": [{"workers": 1, "rounds": [{**one, "seconds": [1, 2]}]}]}))
            self.assertIn('"seconds": [ 1, 2 ]', path.read_text())
            self.assertEqual(curve.used(json.loads(path.read_text())["points"][0]["rounds"][0]), one)


class SimulatedCurves(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        runs = {"settings": {"cores": CORES}, "points": [{"workers": n, "rounds": [emulated(n)]} for n in (1, 8)]}
        cls.models, cls.rows = curve.compare(runs)
        cls.rates = simulated_curves.simulated(cls.models)

    def rate(self, panel, label, workers):
        return self.rates[panel][label][simulated_curves.CURVE.index(workers)]

    def test_equal_workers(self):
        equal = simulated_curves.EQUAL
        self.assertLessEqual(self.rate(equal, "serial", 64), 1 / (RECEIVE["serial"] + OVER * FIRST + REPLY["serial"]) * 1.001)
        self.assertGreater(self.rate(equal, "shared", 64), 3 * self.rate(equal, "serial", 64))
        all_reduce = 2 * 63 / 64 * RECEIVE["serial"]
        self.assertAlmostEqual(self.rate(equal, "sync", 64), 1 / (COMPUTE / 64 + all_reduce + OVER * FIRST), delta=0.5)
        for workers in (2, 64):
            self.assertLess(self.rate(equal, "sync", workers), self.rate(equal, "shared", workers))

    def test_a_slow_worker_delays_only_sync(self):
        equal, slow = simulated_curves.EQUAL, simulated_curves.SLOW
        lost = 1 - 1 / simulated_curves.STRAGGLER
        self.assertGreater(self.rate(slow, "shared", 8), 0.98 * (8 - lost) / 8 * self.rate(equal, "shared", 8))
        self.assertLess(self.rate(slow, "sync", 8), 0.5 * self.rate(equal, "sync", 8))
        self.assertEqual(self.rate(slow, "sync, N - 1 of N", 8), self.rate(equal, "sync, N - 1 of N", 8))

    def test_several_masters_matter_when_one_is_busy(self):
        several = simulated_curves.SEVERAL
        # With the reply, which only one master makes, the others save at most a half and three quarters.
        for mode in ("pipelined", "shared"):
            one, two, four = (self.rate(several, f"{mode}, {m} master{'s' if m > 1 else ''}", 64) for m in simulated_curves.MASTERS)
            self.assertTrue(1.2 * one < two <= 2.001 * one, (mode, one, two))
            self.assertTrue(1.1 * two < four <= 2.001 * two, (mode, two, four))

    def test_every_row_of_a_table_names_its_kind(self):
        for _, listed in simulated_curves.rates_listed(self.models, self.rows):
            for label, values in listed:
                self.assertRegex(label, ", (simulated|emulated)$")
                self.assertEqual(len(values), len(simulated_curves.LISTED))
        with contextlib.redirect_stdout(io.StringIO()) as output:
            simulated_curves.print_table("x", [1, 2], [("a, emulated", [1234.5, None])])
        self.assertEqual(output.getvalue(), "| x; workers: | 1 | 2 |\n| --- | --- | --- |\n| a, emulated | 1234 |  |\n")

    def test_sync_loses_with_a_slow_worker_and_with_varying_times(self):
        ratios = dict(simulated_curves.sync_to_asynchronous(self.models))
        equal, slow = (ratios[f"sync to shared, {panel}"] for panel in (simulated_curves.EQUAL, simulated_curves.SLOW))
        self.assertAlmostEqual(equal[0], 1, delta=0.01)
        self.assertLess(slow[1], 0.5 * equal[1])
        self.assertGreater(ratios[f"sync, N - 1 of N, to shared, {simulated_curves.SLOW}"][1], 2 * slow[1])
        self.assertLess(ratios["sync to shared, equal workers, lognormal, V = 0.5"][1], 0.8 * equal[1])


class PublishedCurve(unittest.TestCase):
    def test_simulated_is_between_the_law_and_the_bound(self):
        rows = dict(published_curve.rows_of(0.1, [0.5]))
        self.assertEqual(rows["bound"], [5, 10, 10])
        for law, simulated, bound in zip(rows["closed network"], rows["simulated, lognormal, V = 0.5"], rows["bound"]):
            self.assertTrue(0.96 * law <= simulated <= 1.04 * bound, (law, simulated, bound))
        for simulated, bound in zip(rows["simulated, constant"], rows["bound"]):
            self.assertTrue(0.99 * bound <= simulated <= 1.000001 * bound, (simulated, bound))

    def test_a_table_that_cannot_be_written_is_one_line(self):
        command = [sys.executable, str(ROOT / "scripts" / "published_curve.py"), "--spread", "0.5"]
        with tempfile.TemporaryDirectory() as folder:  # simulates nothing
            stand_in = pathlib.Path(folder) / "program.py"
            stand_in.write_text("import sys, runpy\nsys.path.insert(0, sys.argv[1])\nimport simulated_curves\n"
                                "simulated_curves.rates = lambda options: [1.0 for _ in options]\n"
                                "sys.argv = sys.argv[2:]\nrunpy.run_path(sys.argv[0], run_name='__main__')\n")
            with open("/dev/full", "w") as full:
                process = subprocess.run([sys.executable, str(stand_in), str(ROOT / "scripts"), *command[1:]], stdout=full,
                                         stderr=subprocess.PIPE, text=True)
        self.assertEqual((process.returncode, process.stderr),
                         (1, "published_curve: standard output cannot be written: No space left on device\n"))

    def test_published_hours_are_those_of_the_experiments(self):
        rows = dict(published_curve.published())
        self.assertEqual([round(value, 1) for value in rows["published, ResNet18 on CINIC-10"]], [4.6, 7.2, 10.5])


if __name__ == "__main__":
    unittest.main()

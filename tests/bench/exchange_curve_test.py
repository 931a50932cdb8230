#!/usr/bin/env python3
"""scripts/exchange_curve.py: from runs that follow the model it finds the model's parameters, and predicts the other runs."""

import copy
import importlib.util
import os
import pathlib
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
spec = importlib.util.spec_from_file_location("exchange_curve", ROOT / "scripts" / "exchange_curve.py")
curve = importlib.util.module_from_spec(spec)
spec.loader.exec_module(curve)
curve.SIMULATOR = os.environ.get("APAM_EXCHANGE_SIM", curve.SIMULATOR)

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


def measured(workers):
    """What bench/exchange would report."""
    modes = {}
    for mode in curve.MODES:
        (result,) = curve.simulate([options_of(mode, workers)])
        of_worker = 30 * (2e-4 + (FETCH if mode == "pipelined" else 0))
        modes[mode] = {"rounds": [{"updates_per_second": result["updates_per_second"], "update_ms": 1e3 * OVER * FIRST,
                                   "receive_ms": 1e3 * RECEIVE[mode] if mode == "serial" else 0, "reply_ms": 1e3 * REPLY[mode],
                                   "processor_seconds_by_rank": [0.1 * workers] + workers * [of_worker],
                                   "bare_pass_ms": [1e3 * (FIRST + FURTHER * k) if k < workers else 0 for k in range(8)]}]}
    return {"updates": 30 * workers, "parameters": PARAMETERS, "modes": modes}


class ExchangeCurve(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.original = {"settings": {"cores": CORES}, "points": [{"workers": n, "rounds": [measured(n)]} for n in (1, 4, 16)]}

    def setUp(self):
        self.measurements = copy.deepcopy(self.original)

    def test_predicts_runs_that_follow_the_model(self):
        models, rows = curve.compare(self.measurements)
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
        for a_round in self.measurements["points"][0]["rounds"]:
            a_round["modes"]["pipelined"]["rounds"][0]["processor_seconds_by_rank"][1] = 1
        models, _ = curve.compare(self.measurements)
        self.assertAlmostEqual(models["pipelined"]["worker_receive"], FETCH + LATENCY, places=4)
        self.assertAlmostEqual(models["pipelined"]["compute"]["mean"], COMPUTE, places=4)

    def test_a_warm_up_leaves_the_start_out(self):
        def run(updates):  # a start of 1 s of which the worker computes 0.2 s, then 0.1 s per update
            rate = updates / (1 + 0.1 * updates)
            one = {"updates_per_second": rate, **{key: (1000 + 5 * updates) / updates for key in curve.PER_UPDATE},
                   "bare_pass_ms": [3], "processor_seconds_by_rank": [0.01 * updates, 0.2 + 0.002 * updates]}
            return {"updates": updates, "modes": {mode: {"rounds": [dict(one)], "service_ms": {}} for mode in curve.MODES}}

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

    def test_curves_of_every_mode_and_of_several_masters(self):
        models, _ = curve.compare(self.measurements)
        speedup = lambda options: curve.simulate([options])[0]["updates_per_second"]
        panels = curve.curves_of(models)
        last = lambda panel, label: panels[panel][label][-1]  # 64 workers
        eight = lambda panel, label: panels[panel][label][curve.CURVE.index(8)]
        self.assertEqual(last("equal workers", "shared")["workers"], curve.CURVE[-1])
        self.assertGreater(speedup(last("several masters", "shared, 4 masters")), speedup(last("several masters", "shared, 1 master")))
        slow = "one worker 5 x slower"
        self.assertGreater(speedup(eight(slow, "sync, N - 1 of N")), 1.5 * speedup(eight(slow, "sync")))


if __name__ == "__main__":
    unittest.main()

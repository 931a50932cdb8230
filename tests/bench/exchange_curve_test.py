#!/usr/bin/env python3
"""scripts/exchange_curve.py: from runs that follow the model it finds the model's parameters, and predicts the other runs."""

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
COMPUTE = 0.05
PARAMETERS = 1_000_000
TRANSFERS = {"link": {"bytes_per_second": 4 * PARAMETERS / RECEIVE["serial"]}, "gradient_bytes": 4 * PARAMETERS,
             "weight_bytes": 4 * PARAMETERS}


def options_of(mode, workers):
    return {"mode": mode, "workers": workers, "updates": 30 * workers, "first_update": OVER * FIRST,
            "further_update": OVER * FURTHER, "receive": RECEIVE[mode], "reply": REPLY[mode], "compute": {"mean": COMPUTE},
            **(TRANSFERS if mode == "pipelined" else {})}


def measured(workers):
    """What bench/exchange would report."""
    modes = {}
    for mode in curve.MODES:
        (result,) = curve.simulate([options_of(mode, workers)])
        modes[mode] = {"rounds": [{"updates_per_second": result["updates_per_second"], "update_ms": 1e3 * OVER * FIRST,
                                   "receive_ms": 1e3 * RECEIVE[mode] if mode == "serial" else 0, "reply_ms": 1e3 * REPLY[mode],
                                   "bare_pass_ms": [1e3 * (FIRST + FURTHER * k) if k < workers else 0 for k in range(8)]}]}
    return {"updates": 30 * workers, "parameters": PARAMETERS, "modes": modes}


class ExchangeCurve(unittest.TestCase):
    def setUp(self):
        self.measurements = {"points": [{"workers": n, "rounds": [measured(n)]} for n in (1, 4, 16)]}

    def test_predicts_runs_that_follow_the_model(self):
        models, rows = curve.compare(self.measurements)
        self.assertAlmostEqual(models["shared"]["first_update"], OVER * FIRST, places=9)
        self.assertAlmostEqual(models["shared"]["further_update"], OVER * FURTHER, places=9)
        self.assertAlmostEqual(models["serial"]["receive"], RECEIVE["serial"], places=9)
        self.assertAlmostEqual(models["pipelined"]["link"]["bytes_per_second"], TRANSFERS["link"]["bytes_per_second"], places=3)
        self.assertAlmostEqual(models["serial"]["compute"]["mean"], COMPUTE, places=4)
        self.assertEqual(len(rows), 9)
        for row in rows:
            self.assertAlmostEqual(row["ratio"], 1, delta=0.005, msg=str(row))

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

#!/usr/bin/env python3
"""Emulates training with 1 to N workers, predicts the same runs by simulation, and compares.

usage: exchange_curve.py [--parameters P] [--compute-ms T] [--workers N ...] [--rounds R] [--json FILE] [--plot FILE]
       exchange_curve.py --predict FILE [--plot FILE] [--table]        predicts again from the runs in FILE, of --json

  measured     with ranks that compute: none here
  emulated     by build/bench/exchange: master and exchange are real, the workers sleep in place of computing
  simulated    by build/bench/exchange_sim, in virtual time

The prediction of a mode uses only its run with one worker, those of the other modes, and the times of passes without an exchange:

  S(k)             bare passes of k gradients: first + further (k - 1), least squares, times service / bare of one worker
  receive, reply   of the master's thread, from the run of one worker
  computation      the cycle of one worker less the above: T, wake-ups, and for serial the transfer of weights to a worker
  cores            of the machine, for passes, receives and fetches

In pipelined, the receiver copies from the memory of the other rank (MPI on one host): gradients in the master's progress
thread, one after the other, weights in the workers, at the same time. So its computation is that of shared, and the rest of
its cycle has three parts:

  transfer         of a gradient: the receive of serial, next to updates
  fetch            of the weights by the worker: its processor time, pipelined less shared, at most what is left
  latency          what is left then: polls that sleep. It needs no core

A run with many workers begins with costs that a long one does not have: each worker's first weights, its first gradient in the
master and one version per worker go into memory that has never been used, which takes longer than the transfer. So each point
is the difference of two runs, which begin alike: of W warm-up updates per worker, and of W more updates than are asked for.
The prediction is the same difference. Runs without a warm-up keep that time in their rates.

Rounds of all numbers of workers follow one another, and the median of a point over its rounds is compared, so that a
disturbance of the machine does not decide; the largest is the round that was disturbed least. Workers sleep, so that two cores
are enough while processor time per second (the column `cores`) stays well below two. It has the master of serial, which waits
busily and so always takes one.

--plot and --table show 1 to 64 workers by the same models, with enough cores (scripts/simulated_curves.py), next to the emulated
points.
"""
import argparse
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

import simulated_curves
from simulated_curves import simulate

BENCH = str(simulated_curves.ROOT / "build" / "bench" / "exchange")
MODES = ("serial", "pipelined", "shared")  # of both programs


def run_exchange(options, workers, updates):
    """All modes with this number of workers."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "result.json"
        command = [*options.launcher.split(), "-n", str(workers + 1), BENCH,
                   "--parameters", str(options.parameters), "--compute-ms", str(options.compute_ms), "--updates", str(updates),
                   "--mode", *MODES, "--json", str(path)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=600)
        return used(json.loads(path.read_text()))


OF_RUN = ("commit", "cpu", "parameters", "compute_ms", "workers", "updates")
OF_MODE = ("updates_per_second", "bare_pass_ms", "receive_ms", "update_ms", "reply_ms", "processor_seconds_by_rank")
PER_UPDATE = ("receive_ms", "update_ms", "reply_ms")


def difference(warm_up, longer):
    """The longer run without as many updates as the warm-up has: rates, times per update and processor time."""
    result = json.loads(json.dumps(longer))
    few, many = warm_up["updates"], longer["updates"]
    result |= {"warm_up": few, "updates": many - few}
    for mode, of_mode in result["modes"].items():
        before, all_of_it = warm_up["modes"][mode]["rounds"][0], longer["modes"][mode]["rounds"][0]
        seconds = many / all_of_it["updates_per_second"] - few / before["updates_per_second"]
        if seconds <= 0:
            raise RuntimeError(f"{mode}: {many} updates took {seconds:.3f} s more than {few}, expected a longer time")
        rest = {"updates_per_second": (many - few) / seconds}
        for key in PER_UPDATE:
            rest[key] = (many * all_of_it[key] - few * before[key]) / (many - few)
        key = "processor_seconds_by_rank"
        rest[key] = [b - a for a, b in zip(before[key], all_of_it[key], strict=True)]
        result["modes"][mode] = {"rounds": [of_mode["rounds"][0] | rest]}
    return result


def used(result):
    """The part of a run that predictions and comparisons read."""
    modes = {mode: {"rounds": [{key: of_mode["rounds"][0][key] for key in OF_MODE}]} for mode, of_mode in result["modes"].items()}
    return {**{key: result[key] for key in OF_RUN}, "modes": modes}


def emulate(options, workers):
    """One round."""
    warm_up = options.warm_up_per_worker * workers
    updates = max(options.updates_per_worker * workers, 30)
    if warm_up == 0:
        return run_exchange(options, workers, updates)
    return difference(run_exchange(options, workers, warm_up), run_exchange(options, workers, warm_up + updates))


def emulate_all(options):
    points = {workers: [] for workers in options.workers}
    for number in range(options.rounds):
        for workers in options.workers:
            points[workers].append(emulate(options, workers))
            print(f"round {number + 1}, {workers} workers", file=sys.stderr)
    settings = {key: getattr(options, key) for key in ("parameters", "compute_ms", "updates_per_worker", "warm_up_per_worker",
                                                       "rounds")}
    settings["cores"] = len(os.sched_getaffinity(0))
    return {"settings": settings, "points": [{"workers": workers, "rounds": rounds} for workers, rounds in points.items()]}


def text_of(runs):
    """JSON with a line per list of numbers."""
    return re.sub(r"\[[^\[\]{}]*\]", lambda match: " ".join(match[0].split()), json.dumps(runs, indent=1)) + "\n"


def median_of(point, mode, key):
    return statistics.median(a_round["modes"][mode]["rounds"][0][key] for a_round in point["rounds"])


def pass_seconds(points):
    """(first, further) of the bare passes: a line by least squares through the medians of 1 to 8 gradients."""
    times = {}
    for point in points:
        for a_round in point["rounds"]:
            for mode in MODES:
                for k, ms in enumerate(a_round["modes"][mode]["rounds"][0]["bare_pass_ms"]):
                    if ms > 0:
                        times.setdefault(k, []).append(1e-3 * ms)
    line = sorted((k, statistics.median(values)) for k, values in times.items())
    mean_k, mean_t = (statistics.fmean(values) for values in zip(*line))
    spread = sum((k - mean_k) ** 2 for k, _ in line)
    further = sum((k - mean_k) * (t - mean_t) for k, t in line) / spread if spread > 0 else 0
    return mean_t - further * mean_k, further


def model_of(points, cores=0):
    """Mode -> options of the simulator without workers and updates."""
    one = next(point for point in points if point["workers"] == 1)
    first, further = pass_seconds(points)
    models = {}
    for mode in MODES:
        seconds = lambda key, source=mode: 1e-3 * median_of(one, source, key)
        scale = seconds("update_ms") / first
        receive = seconds("receive_ms", "serial") if mode == "serial" else 0
        cycle = receive + seconds("update_ms") + seconds("reply_ms")
        models[mode] = {"mode": mode, "first_update": scale * first, "further_update": scale * further,
                        "receive": receive, "reply": seconds("reply_ms"), "cores": cores,
                        "compute": {"mean": 1 / median_of(one, mode, "updates_per_second") - cycle}}
    add_transfers(models, one)
    return models


def add_transfers(models, one):
    """Divides what pipelined adds to the cycle of one worker: transfer of a gradient, fetch of the weights, and latency."""
    def of_worker(mode):
        return statistics.median(a_round["modes"][mode]["rounds"][0]["processor_seconds_by_rank"][1] / a_round["updates"]
                                 for a_round in one["rounds"])

    model, model_bytes = models["pipelined"], 4 * one["rounds"][0]["parameters"]
    transfer, compute = models["serial"]["receive"], models["shared"]["compute"]["mean"]
    rest = max(0, model["compute"]["mean"] - transfer - compute)
    fetch = min(rest, max(0, of_worker("pipelined") - of_worker("shared")))
    model |= {"link": {"bytes_per_second": model_bytes / transfer}, "gradient_bytes": model_bytes, "worker_receive": fetch,
              "compute": {"mean": model["compute"]["mean"] - transfer - fetch}}


def predict(cases):
    """Updates per second after the warm-up, for options of the simulator and the numbers of updates (warm-up, counted)."""
    runs = [{**options, "updates": updates}
            for options, warm_up, counted in cases for updates in (warm_up or 1, warm_up + counted)]
    seconds = [result["seconds"] for result in simulate(runs)]
    return [counted / (all_of_it - (before if warm_up else 0))
            for (_, warm_up, counted), before, all_of_it in zip(cases, seconds[::2], seconds[1::2], strict=True)]


def compare(runs):
    """The prediction of every point, and the deviations of those with several workers."""
    points = runs["points"]
    models = model_of(points, runs.get("settings", {}).get("cores", 0))
    rows = [(mode, point) for mode in MODES for point in points]
    predicted = predict([({**models[mode], "workers": point["workers"]}, point["rounds"][0].get("warm_up", 0),
                          point["rounds"][0]["updates"]) for mode, point in rows])
    result = []
    for (mode, point), rate in zip(rows, predicted, strict=True):
        rates = sorted(a_round["modes"][mode]["rounds"][0]["updates_per_second"] for a_round in point["rounds"])
        emulated = statistics.median(rates)
        busy = statistics.median(sum(one["processor_seconds_by_rank"]) * one["updates_per_second"] / a_round["updates"]
                                 for a_round in point["rounds"] for one in a_round["modes"][mode]["rounds"])
        result.append({"mode": mode, "workers": point["workers"], "emulated": emulated, "least": rates[0], "largest": rates[-1],
                       "predicted": rate, "ratio": rate / emulated, "ratio_to_largest": rate / rates[-1], "cores": busy})
    return models, result


def summary(rows):
    """Median and worst deviation of the predictions for several workers."""
    deviations = [abs(row["ratio"] - 1) for row in rows if row["workers"] > 1]
    return statistics.median(deviations), max(deviations)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parameters", type=int, default=1_750_000)
    parser.add_argument("--compute-ms", type=float, default=100)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8, 12, 16])
    parser.add_argument("--updates-per-worker", type=int, default=25)
    parser.add_argument("--warm-up-per-worker", type=int, default=4, help="updates that are not counted")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--launcher", default="mpiexec.mpich")
    parser.add_argument("--predict", metavar="FILE", type=pathlib.Path)
    parser.add_argument("--json", metavar="FILE", type=pathlib.Path)
    parser.add_argument("--plot", metavar="FILE", type=pathlib.Path)
    parser.add_argument("--table", action="store_true", help="tables of 1 to 64 workers, as Markdown")
    options = parser.parse_args()
    if options.warm_up_per_worker < 0:
        parser.error(f"--warm-up-per-worker {options.warm_up_per_worker}: expected 0 or more")
    if options.predict is None and 1 not in options.workers:
        parser.error(f"--workers {options.workers}: the run with 1 worker gives the parameters of the model")
    runs = json.loads(options.predict.read_text()) if options.predict else emulate_all(options)
    if options.json:
        options.json.write_text(text_of(runs))
    models, rows = compare(runs)
    print(f"{'mode':9} {'workers':>7} {'emulated':>9} {'least':>8} {'largest':>8} {'simulated':>9} {'ratio':>6} {'to largest':>10} "
          f"{'cores':>5}")
    for row in rows:
        print(f"{row['mode']:9} {row['workers']:7} {row['emulated']:9.2f} {row['least']:8.2f} {row['largest']:8.2f} "
              f"{row['predicted']:9.2f} {row['ratio']:6.3f} {row['ratio_to_largest']:10.3f} {row['cores']:5.2f}")
    for mode in MODES:
        median, worst = summary([row for row in rows if row["mode"] == mode])
        print(f"{mode}: deviation {100 * median:.1f} % median, {100 * worst:.1f} % worst")
    median, worst = summary(rows)
    print(f"all: deviation {100 * median:.1f} % median, {100 * worst:.1f} % worst, without the points of 1 worker")
    if options.table:
        simulated_curves.print_tables(models, rows)
    if options.plot:
        simulated_curves.draw(models, rows, options.plot)


if __name__ == "__main__":
    main()

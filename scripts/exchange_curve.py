#!/usr/bin/env python3
"""Measures the exchange with 1 to N sleeping workers, predicts the same runs by simulation, and compares.

usage: exchange_curve.py [--parameters P] [--compute-ms T] [--workers N ...] [--rounds R] [--json FILE] [--plot FILE]
       exchange_curve.py --predict FILE [--json FILE] [--plot FILE]        predicts again from the measurements in FILE

Every number comes from build/bench/exchange (measured, with workers that sleep) and build/bench/exchange_sim (predicted). The
prediction of a mode uses only its run with one worker and the times of passes without an exchange:

  S(k)             bare passes of k gradients: first + further (k - 1), least squares, times service / bare of one worker
  receive, reply   of the master's thread, from the run of one worker
  transfers        of pipelined, next to updates, in each direction: at the bandwidth of the receive of serial
  computation      the cycle of one worker less the above: T, wake-ups, and for serial the transfer of weights to a worker

Rounds of all numbers of workers follow one another, and the median of a point over its rounds is compared, so that a
disturbance of the machine does not decide. Workers sleep, so that two cores are enough.

--plot draws speed-ups of 1 to 64 workers by the same models, and lists them: equal workers, one that is 5 times slower, and
synchronous training, with all-reduces of 2 (N - 1) / N of the model at the bandwidth of a receive; several masters have a part of
the model each, and so a part of the master's times. Markers are the measured points.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
BENCH, SIMULATOR = (str(ROOT / "build" / "bench" / name) for name in ("exchange", "exchange_sim"))
MODES = ("serial", "pipelined", "shared")  # of both programs


def measure(options, workers):
    """One round of all modes with this number of workers."""
    updates = max(options.updates_per_worker * workers, 30)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "result.json"
        command = [*options.launcher.split(), "-n", str(workers + 1), BENCH,
                   "--parameters", str(options.parameters), "--compute-ms", str(options.compute_ms), "--updates", str(updates),
                   "--mode", *MODES, "--json", str(path)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=600)
        return json.loads(path.read_text())


def measure_all(options):
    points = {workers: [] for workers in options.workers}
    for number in range(options.rounds):
        for workers in options.workers:
            points[workers].append(measure(options, workers))
            print(f"round {number + 1}, {workers} workers", file=sys.stderr)
    settings = {key: getattr(options, key) for key in ("parameters", "compute_ms", "updates_per_worker", "rounds")}
    return {"settings": settings, "points": [{"workers": workers, "rounds": rounds} for workers, rounds in points.items()]}


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


def model_of(points):
    """Mode -> options of the simulator without workers and updates."""
    one = next(point for point in points if point["workers"] == 1)
    first, further = pass_seconds(points)
    models = {}
    for mode in MODES:
        seconds = lambda key, source=mode: 1e-3 * median_of(one, source, key)
        scale = seconds("update_ms") / first
        transfer = seconds("receive_ms", "serial")
        receive = transfer if mode == "serial" else 0
        cycle = receive + seconds("update_ms") + seconds("reply_ms") + (2 * transfer if mode == "pipelined" else 0)
        models[mode] = {"mode": mode, "first_update": scale * first, "further_update": scale * further,
                        "receive": receive, "reply": seconds("reply_ms"),
                        "compute": {"mean": 1 / median_of(one, mode, "updates_per_second") - cycle}}
        if mode == "pipelined":
            model_bytes = 4 * one["rounds"][0]["parameters"]
            models[mode] |= {"link": {"bytes_per_second": model_bytes / transfer}, "gradient_bytes": model_bytes,
                             "weight_bytes": model_bytes}
    return models


def simulate(list_of_options):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "options.json"
        path.write_text(json.dumps(list_of_options))
        output = subprocess.run([SIMULATOR, str(path)], check=True, capture_output=True, text=True)
    return json.loads(output.stdout)


def compare(measurements):
    """The prediction of every point, and the deviations of those with several workers."""
    points = measurements["points"]
    models = model_of(points)
    rows = [(mode, point) for mode in MODES for point in points]
    predicted = simulate([{**models[mode], "workers": point["workers"], "updates": point["rounds"][0]["updates"]}
                          for mode, point in rows])
    result = []
    for (mode, point), prediction in zip(rows, predicted, strict=True):
        rates = sorted(a_round["modes"][mode]["rounds"][0]["updates_per_second"] for a_round in point["rounds"])
        measured = statistics.median(rates)
        result.append({"mode": mode, "workers": point["workers"], "measured": measured, "least": rates[0], "largest": rates[-1],
                       "predicted": prediction["updates_per_second"], "ratio": prediction["updates_per_second"] / measured})
    return models, result


def summary(rows):
    """Median and worst deviation of the predictions for several workers."""
    deviations = [abs(row["ratio"] - 1) for row in rows if row["workers"] > 1]
    return statistics.median(deviations), max(deviations)


CURVE = [1, 2, 4, 8, 12, 16, 20, 24, 32, 40, 48, 64]
STRAGGLER = 5


def curves_of(models):
    """Panel -> label -> options of the simulator for each number of workers in CURVE."""
    compute = models["shared"]["compute"]
    receive, first = models["serial"]["receive"], models["shared"]["first_update"]

    def of_mode(mode, **more):
        return [{**models[mode], "workers": n, "updates": 60 * n, **more} for n in CURVE]

    def synchronous(slow, left_out=0):
        options = []
        for n in CURVE:
            k = max(1, n - left_out)
            options.append({"mode": "k_of_n" if k < n else "sync", "workers": n, "updates": 200, "compute": compute,
                            "first_update": first, "all_reduce": 2 * (n - 1) / n * receive,
                            **({"first_of": k} if k < n else {}), **({"slowdown": [STRAGGLER]} if slow else {})})
        return options

    def part(masters):
        less = {key: models["shared"][key] / masters for key in ("first_update", "further_update", "receive", "reply")}
        return of_mode("shared", **less)

    slow = {"slowdown": [STRAGGLER]}
    return {
        "equal workers": {**{mode: of_mode(mode) for mode in MODES}, "sync": synchronous(False), "sync, N - 1 of N": synchronous(False, 1)},
        "one worker 5 x slower": {**{mode: of_mode(mode, **slow) for mode in MODES}, "sync": synchronous(True),
                                  "sync, N - 1 of N": synchronous(True, 1)},
        "several masters": {f"shared, {m} master{'s' if m > 1 else ''}": part(m) for m in (1, 2, 4)},
    }


def draw_curves(models, rows, path):
    """Simulates the curves, prints them, and draws them with the measured points."""
    from plots import scaling  # pylint: disable=import-outside-toplevel

    curves = {}
    print(f"{'simulated speed-up':40}" + "".join(f"{n:7}" for n in CURVE))
    for panel, lines in curves_of(models).items():
        curves[panel] = {}
        for label, options in lines.items():
            alone = simulate([{**options[0], "workers": 1, "slowdown": []}])[0]["updates_per_second"]
            rates = [result["updates_per_second"] / alone for result in simulate(options)]
            curves[panel][label] = rates
            print(f"{panel + ': ' + label:40}" + "".join(f"{rate:7.2f}" for rate in rates))
    one = {row["mode"]: row["measured"] for row in rows if row["workers"] == 1}
    points = {"equal workers": {mode: [(row["workers"], row["measured"] / one[mode]) for row in rows if row["mode"] == mode]
                                for mode in MODES}}
    scaling.draw(curves, points, CURVE).savefig(path, dpi=90)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parameters", type=int, default=2_500_000)
    parser.add_argument("--compute-ms", type=float, default=100)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8, 12, 16])
    parser.add_argument("--updates-per-worker", type=int, default=25)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--launcher", default="mpiexec.mpich")
    parser.add_argument("--predict", metavar="FILE", type=pathlib.Path)
    parser.add_argument("--json", metavar="FILE", type=pathlib.Path)
    parser.add_argument("--plot", metavar="FILE", type=pathlib.Path)
    options = parser.parse_args()
    if options.predict is None and 1 not in options.workers:
        parser.error(f"--workers {options.workers}: the run with 1 worker gives the parameters of the model")
    measurements = json.loads(options.predict.read_text()) if options.predict else measure_all(options)
    models, rows = compare(measurements)
    print(f"{'mode':9} {'workers':>7} {'measured':>9} {'least':>8} {'largest':>8} {'predicted':>9} {'ratio':>6}")
    for row in rows:
        print(f"{row['mode']:9} {row['workers']:7} {row['measured']:9.2f} {row['least']:8.2f} {row['largest']:8.2f} "
              f"{row['predicted']:9.2f} {row['ratio']:6.3f}")
    for mode in MODES:
        median, worst = summary([row for row in rows if row["mode"] == mode])
        print(f"{mode}: deviation {100 * median:.1f} % median, {100 * worst:.1f} % worst")
    median, worst = summary(rows)
    print(f"all: deviation {100 * median:.1f} % median, {100 * worst:.1f} % worst, without the points of 1 worker")
    if options.plot:
        draw_curves(models, rows, options.plot)
    if options.json:
        options.json.write_text(json.dumps({**measurements, "models": models, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()

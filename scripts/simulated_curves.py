"""Curves of 1 to 64 workers for scripts/exchange_curve.py, simulated by build/bench/exchange_sim with enough cores.

A model has the options of the simulator for a mode with one worker. An update has one mini-batch in every mode, so updates per
second are comparable, but not how fast a loss falls: that depends on staleness too. Compute times are constant unless stated.

  several masters   each has a part of the model, and they need no time to wake each other. The computation is FASTER times as
                    fast here: otherwise one master is enough. The program has several masters in shared memory only
  sync              every worker computes 1 / N of a mini-batch in 1 / N of the time; then an all-reduce of 2 (N - 1) / N of the
                    model at the bandwidth of a receive, and the update of the whole model by every worker
  sync, N - 1 of N  the same with 1 / (N - 1) of a mini-batch; the last worker is not waited for
"""
import json
import pathlib
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
SIMULATOR = str(ROOT / "build" / "bench" / "exchange_sim")
CURVE = [1, 2, 4, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48, 64]
LISTED = [1, 2, 4, 8, 10, 16, 20, 32, 64]
MASTERS = (1, 2, 4)
STRAGGLER, FASTER = 5, 8
EQUAL, SLOW, SEVERAL = "equal workers", f"one worker {STRAGGLER} x slower", f"several masters, computation {FASTER} x faster"
SPREADS = (0.25, 0.5)  # of compute times: standard deviation of their logarithm


def simulate(list_of_options):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "options.json"
        path.write_text(json.dumps(list_of_options))
        output = subprocess.run([SIMULATOR, str(path)], check=True, capture_output=True, text=True)
    return json.loads(output.stdout)


def rates(list_of_options):
    return [result["updates_per_second"] for result in simulate(list_of_options)]


def asynchronous(model, workers, **more):
    return {**model, "cores": 0, "workers": workers, "updates": max(500 * workers, 2000), **more}


def synchronous(models, workers, left_out=0, **more):
    k = max(1, workers - left_out)
    mode = {"mode": "k_of_n", "first_of": k} if k < workers else {"mode": "sync"}
    times = {key: models["shared"][key] for key in ("compute", "first_update")}
    all_reduce = 2 * (workers - 1) / workers * models["serial"]["receive"]
    return {**mode, **times, "all_reduce": all_reduce, "workers": workers, "updates": 2000, **more}


def curves_of(models):
    """Panel -> label -> options of the simulator for each number of workers in CURVE."""
    def of_modes(**more):
        lines = {mode: [asynchronous(model, n, **more) for n in CURVE] for mode, model in models.items()}
        return lines | {"sync": [synchronous(models, n, **more) for n in CURVE],
                        "sync, N - 1 of N": [synchronous(models, n, 1, **more) for n in CURVE]}

    def with_masters(mode, masters):
        compute = models[mode]["compute"]
        faster = {**compute, "mean": compute["mean"] / FASTER}
        return [asynchronous(models[mode], n, masters=masters, compute=faster) for n in CURVE]

    return {EQUAL: of_modes(), SLOW: of_modes(slowdown=[STRAGGLER]),
            SEVERAL: {f"{mode}, {m} master{'s' if m > 1 else ''}": with_masters(mode, m)
                      for mode in ("pipelined", "shared") for m in MASTERS}}


def simulated(models):
    """Panel -> label -> updates per second for each number of workers in CURVE."""
    return {panel: {label: rates(options) for label, options in lines.items()} for panel, lines in curves_of(models).items()}


def emulated(rows):
    """Panel -> label -> [(workers, updates per second)]."""
    points = {}
    for row in rows:
        points.setdefault(row["mode"], []).append((row["workers"], row["emulated"]))
    return {EQUAL: points}


def sync_to_asynchronous(models):
    """(label, [ratio of updates per second, sync to asynchronous, by LISTED])."""
    mean, slow = models["shared"]["compute"]["mean"], {"slowdown": [STRAGGLER]}
    cases = [("serial", EQUAL, 0, {}), ("shared", EQUAL, 0, {})]
    for spread in SPREADS:
        compute = {"distribution": "lognormal", "mean": mean, "spread": spread}
        cases.append(("shared", f"{EQUAL}, lognormal, V = {spread:g}", 0, {"compute": compute}))
    cases += [("shared", SLOW, left_out, slow) for left_out in (0, 1)]
    for mode, label, left_out, more in cases:
        sync = rates([synchronous(models, n, left_out, **more) for n in LISTED])
        other = rates([asynchronous(models[mode], n, **more) for n in LISTED])
        yield f"sync{', N - 1 of N,' if left_out else ''} to {mode}, {label}", [a / b for a, b in zip(sync, other, strict=True)]


def print_table(head, workers, rows):
    """As Markdown. rows: (label, [value, or None]) by workers."""
    def line(*cells):
        print("| " + " | ".join(cells) + " |")

    line(f"{head}; workers:", *map(str, workers))
    line("---", *("---" for _ in workers))
    for label, values in rows:
        line(label, *("" if value is None else f"{value:.0f}" if value >= 1000 else f"{value:.3g}" for value in values))


def rates_listed(models, rows):
    """(panel, [(label, updates per second by LISTED)]), emulated rates after the simulated ones of the same line."""
    for panel, lines in simulated(models).items():
        points = emulated(rows).get(panel, {})
        listed = []
        for label, values in lines.items():
            listed.append((f"{label}, simulated", [values[CURVE.index(n)] for n in LISTED]))
            if label in points:
                listed.append((f"{label}, emulated", [dict(points[label]).get(n) for n in LISTED]))
        yield panel, listed


def print_tables(models, rows):
    for panel, listed in rates_listed(models, rows):
        print(f"\n{panel}\n")
        print_table("updates/s", LISTED, listed)
    print("\nupdates/s of sync relative to those of asynchronous training\n")
    print_table("ratio, simulated", LISTED, sync_to_asynchronous(models))


def draw(models, rows, path):
    from plots import scaling  # pylint: disable=import-outside-toplevel

    scaling.draw(simulated(models), emulated(rows), CURVE).savefig(path, dpi=90)

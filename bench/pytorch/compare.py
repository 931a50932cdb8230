#!/usr/bin/env python3
"""Compares a training step of apam (build/bench/step) with the same step in PyTorch (step.py in this folder).

Each run is a separate process. Runs alternate in rounds (apam, PyTorch, then PyTorch, apam), so that other load and the
temperature of the machine affect all sides alike. Prints the ratio of images/s of every round, its median and range, the
median rates and peak resident memory of all sides, and apam's effective GFLOP/s (operations of the direct method) as a
share of the cores' FMA peak, which build/bench/step measures.

With --precision bf16 a round has four sides: apam and PyTorch (autocast), each in bf16 and in float32. The ratio is that of
apam in bf16 to the faster of PyTorch's two; the summary has the ratios to all three other sides.

By default a Python with PyTorch is searched for. --python selects one and may include a launcher:
--python 'chroot /srv/other python3'. It reads its program from standard input and needs no access to these files.
"""

import argparse
import functools
import json
import os
import pathlib
import shlex
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
# net -> batch size, classes: those of the published runs.
NETS = {"allcnn": (100, 10), "resnet18": (80, 10), "wrn28-5": (100, 1000)}

TITLES = {"apam": "apam", "pytorch": "PyTorch", "apam_float32": "apam float32", "pytorch_bf16": "PyTorch autocast"}


class CompareError(Exception):
    pass


def run(command, text=""):
    """Runs a command with `text` on its standard input and returns its output. An error has the last line of its output."""
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True)
    except OSError as error:
        raise CompareError(f"cannot run {shlex.join(command)}: {error.strerror}") from None
    if done.returncode != 0:
        lines = (done.stderr + done.stdout).strip().splitlines() or ["no output"]
        raise CompareError(f"{shlex.join(command)} failed with exit code {done.returncode}: {lines[-1]}")
    return done.stdout


def has_torch(python):
    try:
        run([*python, "-c", "import torch"])
    except CompareError:
        return False
    return True


def find_python(named):
    """The command of a Python with PyTorch, as a list of words."""
    candidates = [named] if named else [sys.executable, "python3", "/usr/bin/python3"]
    for candidate in candidates:
        if has_torch(shlex.split(candidate)):
            return shlex.split(candidate)
    raise CompareError(f"no PyTorch in {', '.join(candidates)}; select a Python that has it with --python")


def pytorch_program():
    """models.py and step.py as one program, to be read from standard input."""
    models = (ROOT / "tests" / "pytorch" / "models.py").read_text()
    step = (ROOT / "bench" / "pytorch" / "step.py").read_text()
    as_module = f"import sys, types\nmodels = types.ModuleType('models')\nexec({models!r}, models.__dict__)\n"
    return f"{as_module}sys.modules['models'] = models\nexec(compile({step!r}, 'step.py', 'exec'))\n"


class Comparison:
    """The runs of one net."""

    def __init__(self, options, net, python):
        batch, classes = NETS[net]
        self.options, self.net, self.python = options, net, python
        self.batch, self.classes = options.batch or batch, classes
        self.problem = ["--net", net, "--batch", str(self.batch), "--classes", str(classes), "--threads", str(options.threads)]
        self.pairs = []

    def sides(self):
        """The sides of a round, by name, in the order of the first round."""
        if self.options.precision == "float32":
            return {"apam": self.ours, "pytorch": self.pytorch}
        return {"apam": functools.partial(self.ours, precision="bf16"),
                "pytorch_bf16": functools.partial(self.pytorch, precision="bf16"),
                "pytorch": self.pytorch,
                "apam_float32": self.ours}

    def ours(self, steps=None, warm_up=2, precision="float32"):
        with tempfile.TemporaryDirectory(prefix="apam-compare-") as folder:
            result = pathlib.Path(folder) / "step.json"
            run([str(self.options.step), *self.problem, "--precision", precision, "--kernels", self.options.kernels,
                 "--steps", str(steps or self.options.steps), "--warm-up", str(warm_up), "--profile", "0",
                 "--json", str(result)])
            return json.loads(result.read_text())

    def pytorch(self, precision="float32"):
        layout = ["--contiguous"] if self.options.contiguous else []
        text = run([*self.python, "-", *self.problem, "--precision", precision, "--steps", str(self.options.steps), *layout],
                   pytorch_program())
        return json.loads(text.strip().splitlines()[-1])

    def measure(self):
        sides = self.sides()
        for side, measure in sides.items():
            if side.startswith("apam"):
                measure(steps=1, warm_up=0)  # fills the kernel cache of `auto`
        for number in range(self.options.pairs):
            order = list(sides) if number % 2 == 0 else list(reversed(sides))
            results = {side: sides[side]() for side in order}
            rates = {side: results[side]["images_per_second"] for side in sides}
            ratio = rates["apam"] / max(rate for side, rate in rates.items() if side.startswith("pytorch"))
            self.pairs.append({"first": order[0], "ratio": ratio, **results})
            if number == 0:
                self.print_heading(rates)
            columns = "".join(f"{rate:>18.1f}" for rate in rates.values())
            print(f"{number + 1:>6}{order[0]:>14}{columns}{ratio:>10.2f}", flush=True)

    def print_heading(self, rates):
        theirs = self.pairs[0]["pytorch"]
        print(f"{self.net}, batch {self.batch}, {self.classes} classes, {self.options.threads} threads, "
              f"{self.options.steps} steps per run; kernels {self.options.kernels}; PyTorch {theirs['pytorch']}, {theirs['layout']}; "
              f"images/s, and apam to PyTorch{' at its best' if len(rates) > 2 else ''}")
        print(f"{'round':>6}{'first':>14}{''.join(f'{TITLES[side]:>18}' for side in rates)}{'ratio':>10}")

    def summary(self):
        sides = list(self.sides())

        def of_all(value, over=statistics.median):
            return {side: over([value(pair[side]) for pair in self.pairs]) for side in sides}

        def spread(values):
            return {"median": statistics.median(values), "min": min(values), "max": max(values)}

        def rate(pair, side):
            return pair[side]["images_per_second"]

        gflops = statistics.median(pair["apam"]["gflops"] for pair in self.pairs)
        peak = max(pair["apam"]["fma_peak_gflops"] for pair in self.pairs)
        return {
            "net": self.net,
            "batch": self.batch,
            "classes": self.classes,
            "threads": self.options.threads,
            "steps": self.options.steps,
            "precision": self.options.precision,
            "kernels": self.options.kernels,
            "cpu": self.pairs[0]["apam"]["cpu"],
            "pytorch": self.pairs[0]["pytorch"]["pytorch"],
            "layout": self.pairs[0]["pytorch"]["layout"],
            "ratio": spread([pair["ratio"] for pair in self.pairs]),
            "ratios": {side: spread([rate(pair, "apam") / rate(pair, side) for pair in self.pairs])
                       for side in sides if side != "apam"},
            "images_per_second": of_all(lambda side: side["images_per_second"]),
            "resident_peak_mib": of_all(lambda side: side["memory_mib"]["resident_peak"], max),
            "gflops": gflops,
            "fma_peak_gflops": peak,
            "share_of_fma_peak": gflops / peak,
            "pairs": self.pairs,
        }


def print_summary(result):
    ratio, rates, memory = result["ratio"], result["images_per_second"], result["resident_peak_mib"]
    print(f"  ratio: median {ratio['median']:.2f}, {ratio['min']:.2f} .. {ratio['max']:.2f}; images/s "
          + ", ".join(f"{TITLES[side]} {rate:.1f}" for side, rate in rates.items()))
    if len(result["ratios"]) > 1:
        print("  " + "; ".join(f"to {TITLES[side]} {spread['median']:.2f}, {spread['min']:.2f} .. {spread['max']:.2f}"
                               for side, spread in result["ratios"].items()))
    print("  peak resident memory: " + ", ".join(f"{TITLES[side]} {mib:.0f} MiB" for side, mib in memory.items())
          + f"; {result['gflops']:.0f} effective GFLOP/s, {result['share_of_fma_peak']:.2f} of the FMA peak of "
          f"{result['fma_peak_gflops']:.0f}\n", flush=True)


def count(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"got {value}, expected at least 1")
    return value


def parse(arguments):
    description, _, epilog = __doc__.partition("\n\n")
    parser = argparse.ArgumentParser(description=description, epilog=epilog)
    parser.add_argument("--net", action="append", choices=NETS, help="may be repeated [all three]")
    parser.add_argument("--threads", type=count, default=len(os.sched_getaffinity(0)), help="[all cores]")
    parser.add_argument("--pairs", type=count, default=3, help="runs of each side [3]")
    parser.add_argument("--steps", type=count, default=5, help="timed steps per run, after 2 warm-up steps [5]")
    parser.add_argument("--batch", type=count, help="batch size [allcnn 100, resnet18 80, wrn28-5 100]")
    parser.add_argument("--precision", choices=["float32", "bf16"], default="float32", help="type of activations [float32]")
    parser.add_argument("--kernels", default="auto", help="providers of apam's kernels, as for build/bench/step [auto]")
    parser.add_argument("--contiguous", action="store_true", help="PyTorch with memory layout (N, C, H, W) instead of channels last")
    parser.add_argument("--python", metavar="COMMAND", help="a Python with PyTorch [this one, python3 or /usr/bin/python3]")
    parser.add_argument("--step", type=pathlib.Path, default=ROOT / "build" / "bench" / "step", help="[build/bench/step]")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="also write all results to this file")
    return parser.parse_args(arguments)


def main(arguments):
    options = parse(arguments)
    results = []
    try:
        python = find_python(options.python)
        for net in options.net or NETS:
            comparison = Comparison(options, net, python)
            comparison.measure()
            results.append(comparison.summary())
            print_summary(results[-1])
        if options.json:
            options.json.write_text(json.dumps(results, indent=2) + "\n")
    except (CompareError, OSError) as error:
        print(f"compare: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

#!/usr/bin/env python3
"""Compares a training step of apam (build/bench/step) with the same step in PyTorch (step.py in this folder).

Each run is a separate process. Runs alternate in pairs (apam, PyTorch, then PyTorch, apam), so that other load and the
temperature of the machine affect both sides alike. Prints the ratio of images/s of every pair, its median and range, the
median rates and peak resident memory of both sides, and apam's effective GFLOP/s (operations of the direct method) as a
share of the cores' FMA peak, which build/bench/step measures.

By default a Python with PyTorch is searched for. --python selects one and may include a launcher:
--python 'chroot /srv/other python3'. It reads its program from standard input and needs no access to these files.
"""

import argparse
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

    def ours(self, steps=None, warm_up=2):
        with tempfile.TemporaryDirectory(prefix="apam-compare-") as folder:
            result = pathlib.Path(folder) / "step.json"
            run([str(self.options.step), *self.problem, "--kernels", self.options.kernels, "--steps",
                 str(steps or self.options.steps), "--warm-up", str(warm_up), "--profile", "0", "--json", str(result)])
            return json.loads(result.read_text())

    def pytorch(self):
        layout = ["--contiguous"] if self.options.contiguous else []
        text = run([*self.python, "-", *self.problem, "--steps", str(self.options.steps), *layout], pytorch_program())
        return json.loads(text.strip().splitlines()[-1])

    def measure(self):
        self.ours(steps=1, warm_up=0)  # fills the kernel cache of `auto`
        for pair in range(self.options.pairs):
            order = ["apam", "pytorch"] if pair % 2 == 0 else ["pytorch", "apam"]
            sides = {side: self.ours() if side == "apam" else self.pytorch() for side in order}
            ratio = sides["apam"]["images_per_second"] / sides["pytorch"]["images_per_second"]
            self.pairs.append({"first": order[0], "ratio": ratio, **sides})
            if pair == 0:
                self.print_heading()
            rates = [sides[side]["images_per_second"] for side in ("apam", "pytorch")]
            print(f"{pair + 1:>6}{order[0]:>10}{rates[0]:>18.1f}{rates[1]:>18.1f}{ratio:>10.2f}", flush=True)

    def print_heading(self):
        theirs = self.pairs[0]["pytorch"]
        print(f"{self.net}, batch {self.batch}, {self.classes} classes, {self.options.threads} threads, "
              f"{self.options.steps} steps per run; kernels {self.options.kernels}; PyTorch {theirs['pytorch']}, {theirs['layout']}")
        print(f"{'pair':>6}{'first':>10}{'apam images/s':>18}{'PyTorch images/s':>18}{'ratio':>10}")

    def summary(self):
        def of_both(value, over=statistics.median):
            return {side: over([value(pair[side]) for pair in self.pairs]) for side in ("apam", "pytorch")}

        ratios = [pair["ratio"] for pair in self.pairs]
        gflops = statistics.median(pair["apam"]["gflops"] for pair in self.pairs)
        peak = max(pair["apam"]["fma_peak_gflops"] for pair in self.pairs)
        return {
            "net": self.net,
            "batch": self.batch,
            "classes": self.classes,
            "threads": self.options.threads,
            "steps": self.options.steps,
            "kernels": self.options.kernels,
            "cpu": self.pairs[0]["apam"]["cpu"],
            "pytorch": self.pairs[0]["pytorch"]["pytorch"],
            "layout": self.pairs[0]["pytorch"]["layout"],
            "ratio": {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)},
            "images_per_second": of_both(lambda side: side["images_per_second"]),
            "resident_peak_mib": of_both(lambda side: side["memory_mib"]["resident_peak"], max),
            "gflops": gflops,
            "fma_peak_gflops": peak,
            "share_of_fma_peak": gflops / peak,
            "pairs": self.pairs,
        }


def print_summary(result):
    ratio, rates, memory = result["ratio"], result["images_per_second"], result["resident_peak_mib"]
    print(f"  ratio: median {ratio['median']:.2f}, {ratio['min']:.2f} .. {ratio['max']:.2f}; "
          f"images/s {rates['apam']:.1f}, PyTorch {rates['pytorch']:.1f}")
    print(f"  peak resident memory: {memory['apam']:.0f} MiB, PyTorch {memory['pytorch']:.0f} MiB; "
          f"{result['gflops']:.0f} effective GFLOP/s, {result['share_of_fma_peak']:.2f} of the FMA peak of "
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

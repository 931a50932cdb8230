#!/usr/bin/env python3
"""Compares staleness policies at equal updates: trains with each of them, for several seeds, and prints a table as Markdown.

usage: policy_accuracy.py [--updates U] [--workers N] [--seeds K] [--out FOLDER] [--table] [-- TRAIN OPTION...]

Each round has a run of every policy with one seed, so that all policies meet the same machine. Runs in FOLDER that have made U
updates are kept, and --table only reads them. Accuracy is that after the last update, with recalibrated batch norm. Columns are
medians over the seeds, with the least and the largest.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys

import printing

ROOT = pathlib.Path(__file__).resolve().parent.parent
TRAIN = ["--net", "resnet18", "--data", "cifar10", "--batch", "40", "--lr", "1e-3", "--kernels", "native", "--threads", "1", "--bn",
         "recalibrate", "--bn-images", "1000"]


def policy(name, bound=None, factor=None):
    options = ["--staleness-policy", name]
    options += ["--staleness-bound", bound] if bound else []
    return options + (["--staleness-factor", factor] if factor else [])


def rows(workers):
    """(title, masters and workers, options)."""
    several = 1 + workers
    return [("one worker", 2, []),
            ("none", several, policy("none")),
            ("bound 8", several, policy("bound", "8")),
            ("ringmaster 8", several, policy("ringmaster", "8")),
            ("ssp 1", several, policy("ssp", "1")),
            ("scaled 0.25", several, policy("scaled", factor="0.25")),
            ("fadas 4", several, policy("fadas", "4")),
            ("cgad 16, 0.1", several, policy("cgad", "16", "0.1")),
            ("compensated 0.5", several, policy("compensated", factor="0.5")),
            ("rescaled", several, policy("rescaled")),
            ("none, 2 masters, free", several + 1, ["--masters", "2", "--master-order", "free"])]


def train(folder, ranks, options):
    command = ["mpiexec.mpich", "-n", str(ranks), str(ROOT / "build" / "apam"), "train", "--exchange", "async", "--out", str(folder),
               "--overwrite", *options]
    process = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    if process.returncode != 0:
        sys.exit(f"policy_accuracy.py: {' '.join(command)}\n{process.stderr}")


def finished(folder, updates):
    """The summary of a run that has made all updates, or None."""
    path = folder / "summary.json"
    summary = json.loads(path.read_text()) if path.exists() else None
    return summary if summary and summary["updates"] == updates else None


def spread(values, form):
    return f"{form % statistics.median(values)} ({form % min(values)} to {form % max(values)})"


def print_table(out, titles, updates):
    print("| policy | test accuracy | train loss | staleness | refused or cancelled |\n| --- | --- | --- | --- | --- |")
    for title in titles:
        runs = [summary for folder in sorted(out.glob(f"{slug(title)}-seed*")) if (summary := finished(folder, updates))]
        if runs:
            lost = [run["leases"]["refused"] + run["leases"]["cancelled"] for run in runs]
            print("|", title, "|", spread([100 * run["test_accuracy"] for run in runs], "%.1f"), "|",
                  spread([run["train_loss"] for run in runs], "%.3f"), "|",
                  f"{statistics.median(run['staleness']['mean'] for run in runs):.1f}", "|", f"{statistics.median(lost):.0f}", "|")


def slug(title):
    return title.replace(" ", "-").replace(",", "")


def positive(text):
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 on, got '{text}'")
    return int(text)


def main():
    arguments = sys.argv[1:]
    split = arguments.index("--") if "--" in arguments else len(arguments)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--updates", type=positive, default=200)
    parser.add_argument("--workers", type=positive, default=8)
    parser.add_argument("--seeds", type=positive, default=3)
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "runs" / "policies")
    parser.add_argument("--table", action="store_true", help="print the table of finished runs")
    options = parser.parse_args(arguments[:split])
    out = options.out.resolve()  # training starts in another folder
    table = rows(options.workers)
    for seed in range(0 if options.table else options.seeds):
        for title, ranks, more in table:
            folder = out / f"{slug(title)}-seed{seed}"
            if finished(folder, options.updates) is None:
                train(folder, ranks, [*TRAIN, "--max-updates", str(options.updates), "--eval-every", str(options.updates), "--seed",
                                      str(seed), *more, *arguments[split + 1:]])
                summary = finished(folder, options.updates)
                if summary is None:
                    sys.exit(f"policy_accuracy.py: {folder}: fewer updates than {options.updates}")
                print(f"{folder.name}: {summary['test_accuracy']:.4f}", file=sys.stderr, flush=True)
    print_table(out, [title for title, _, _ in table], options.updates)


if __name__ == "__main__":
    printing.exit_after("policy_accuracy.py", main)

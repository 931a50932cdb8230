#!/usr/bin/python3
"""Plots test accuracy and loss of one or more runs over epochs and over time.

    scripts/plot.py runs/a runs/b --out curves.png

Each RUN is a run folder of `apam train`, finished or still running. Reads metrics.jsonl, and config.json for the title.
Needs matplotlib (Debian: python3-matplotlib).
"""

import argparse
import json
import math
import os
import pathlib
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402  (after the backend is set)
from matplotlib.ticker import MaxNLocator, PercentFormatter  # noqa: E402

# A colour-blind safe palette (Okabe and Ito, 2008).
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]


class Run:
    """The metrics of one run folder: its lines of type evaluation and train."""

    def __init__(self, folder, label):
        self.label = label
        self.evaluations, self.training = [], []
        self.title = describe_config(folder / "config.json")
        path = folder / "metrics.jsonl"
        lines = path.read_bytes().split(b"\n")  # the last one is empty, unless a write was interrupted
        for number, text in enumerate(lines, 1):
            if number == len(lines) and not text:
                break
            try:
                self.add(json.loads(text.decode()))
            except (ValueError, KeyError, TypeError, OverflowError) as error:
                if number < len(lines):
                    raise ValueError(f"{path}, line {number}: invalid metrics ({error})") from None
                print(f"plot: {path}, line {number}: skipped, incomplete", file=sys.stderr)
        if not self.evaluations and not self.training:
            raise ValueError(f"{path}: no metrics yet")
        # Concurrent evaluations are written when they finish, possibly out of order.
        self.evaluations.sort(key=lambda line: line["update"])

    def add(self, line):
        if line["event"] == "evaluation":
            self.evaluations.append(checked(line, "test_accuracy", "test_loss"))
        elif line["event"] == "train":
            self.training.append(checked(line, "train_loss"))


def checked(line, *values):
    """Returns the line, with NaN for each of `values` that is missing or not finite. Its position must be finite."""
    for key in ("update", "epoch", "seconds"):
        if not is_number(line[key]) or not math.isfinite(line[key]):
            raise TypeError(f"{key} is not a finite number")
    for key in values:
        if line.get(key) is not None and not is_number(line[key]):
            raise TypeError(f"{key} is not a number")
        line[key] = line[key] if line.get(key) is not None and math.isfinite(line[key]) else math.nan
    return line


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def describe_config(path):
    """E.g. "allcnn on cifar10, async, 3 ranks, batch 100, amsgrad, lr 0.001"."""
    try:
        config = json.loads(path.read_text())
        ranks = f", {config['ranks']} ranks" if config["ranks"] > 1 else ""
        return "{net} on {data}, {exchange}{0}, batch {batch}, {optimizer}, lr {lr:g}".format(ranks, **config)
    except (OSError, ValueError, KeyError, TypeError):
        return None  # plot without a title


def series(lines, x, y):
    """The points of a curve. NaN leaves a gap."""
    return [line[x] for line in lines], [line[y] for line in lines]


def plain(text):
    """Escapes text for matplotlib: "$" does not start a formula, and bytes that are not UTF-8 are replaced."""
    return os.fsencode(text).decode(errors="replace").replace("$", r"\$")


def time_unit(runs):
    longest = max(line["seconds"] for run in runs for line in run.evaluations + run.training)
    for name, seconds, enough in (("h", 3600, 2 * 3600), ("min", 60, 2 * 60)):
        if longest >= enough:
            return name, seconds
    return "s", 1


def draw(runs, title):
    unit, seconds = time_unit(runs)
    figure, axes = plt.subplots(2, 2, figsize=(10, 6.4), sharex="col", sharey="row", constrained_layout=True)
    for run, colour in zip(runs, (COLOURS[i % len(COLOURS)] for i in range(len(runs)))):
        marker = {"marker": "o", "markersize": 3.5} if len(run.evaluations) <= 40 else {}
        for column, (x, scale) in enumerate((("epoch", 1), ("seconds", seconds))):
            for row, (lines, y, style) in enumerate(
                (
                    (run.evaluations, "test_accuracy", marker),
                    (run.evaluations, "test_loss", marker),
                )
            ):
                xs, ys = series(lines, x, y)
                axes[row][column].plot([v / scale for v in xs], ys, color=colour, linewidth=1.8, **style)
            xs, ys = series(run.training, x, "train_loss")
            axes[1][column].plot([v / scale for v in xs], ys, color=colour, linewidth=1.0, alpha=0.45)

    axes[0][0].set_ylabel("test accuracy")
    axes[0][0].yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
    axes[1][0].set_ylabel("loss (cross-entropy)")
    axes[1][0].set_xlabel("epoch")
    axes[1][1].set_xlabel(f"training time [{unit}]")
    for axis in axes.flat:
        axis.grid(True, color="#dddddd", linewidth=0.6)
        axis.set_axisbelow(True)
        axis.set_xlim(left=0)
        axis.xaxis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 5, 10]))
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    handles = [
        plt.Line2D([], [], color="#444444", linewidth=1.8, label="test"),
        plt.Line2D([], [], color="#444444", linewidth=1.0, alpha=0.45, label="train"),
    ]
    axes[1][1].legend(handles=handles, loc="upper right", frameon=False)
    if len(runs) > 1:
        # Set the texts afterwards, because legend() drops labels that start with an underscore.
        legend = axes[0][0].legend(axes[0][0].lines, ["run"] * len(runs), loc="lower right", fontsize="small", framealpha=0.85,
                                   edgecolor="none")
        for text, run in zip(legend.get_texts(), runs):
            text.set_text(plain(run.label))
    if title:
        figure.suptitle(plain(title))
    return figure


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=pathlib.Path, metavar="RUN", help="run folder")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("curves.png"), metavar="FILE",
                        help="output file: .png, .svg or .pdf (default: %(default)s)")
    parser.add_argument("--labels", nargs="+", metavar="TEXT", help="legend labels (default: the folder names)")
    parser.add_argument("--title", metavar="TEXT", help="title of the figure")
    arguments = parser.parse_args()
    labels = arguments.labels or [folder.resolve().name for folder in arguments.runs]
    if len(labels) != len(arguments.runs):
        parser.error(f"{len(labels)} labels for {len(arguments.runs)} runs")
    try:
        runs = [Run(folder, label) for folder, label in zip(arguments.runs, labels)]
        figure = draw(runs, arguments.title or (runs[0].title if len(runs) == 1 else None))
        figure.savefig(arguments.out, dpi=150)
    except OSError as error:
        sys.exit(f"plot: {error.filename}: {error.strerror}")
    except ValueError as error:
        sys.exit(f"plot: {error}")
    print(f"wrote {arguments.out}")


if __name__ == "__main__":
    main()

#!/usr/bin/python3
"""Plots runs.

    scripts/plot.py runs/a runs/b --out curves.png             accuracy and loss over epochs and over time
    scripts/plot.py delay RUN... --out delay.svg               train and test accuracy by artificial delay
    scripts/plot.py time RUN... --out time.svg                 time of an epoch by number of workers, async against sync
    scripts/plot.py speedup RUN... --out speedup.svg           speed-up by number of workers
    scripts/plot.py accuracy RUN... --out accuracy.svg         train and test accuracy, top-1 and top-5, by number of workers
    scripts/plot.py staleness RUN... --out staleness.svg       histograms of staleness
    scripts/plot.py text RUN...                                test accuracy in the terminal

Each RUN is a run folder of `apam train`, finished or still running; only staleness needs finished runs. Published figures are
added if the runs belong to a published experiment (scripts/experiments/). A run folder with the name of a picture is written
with a slash: ./time.
Needs matplotlib (Debian: python3-matplotlib), except for text.
"""

import argparse
import pathlib
import sys

import experiment_list
import printing
from plots import text
from plots.runs import Run

PICTURES = ("curves", "delay", "time", "accuracy", "speedup", "staleness")


def drawing(picture):
    """The function (runs, experiment) -> figure of a picture. Imports matplotlib."""
    from plots import curves, delay, staleness, workers  # pylint: disable=import-outside-toplevel

    return {
        "curves": curves.draw,
        "delay": delay.draw,
        "time": workers.draw_time,
        "accuracy": workers.draw_accuracy,
        "speedup": workers.draw_speedup,
        "staleness": staleness.draw,
    }[picture]


def draw(picture, runs, experiment, title):
    function = drawing(picture)
    from plots.style import plain  # pylint: disable=import-outside-toplevel

    figure = function(runs, experiment)
    if picture == "curves" and title is None and len(runs) == 1:
        title = runs[0].title
    if title:
        figure.suptitle(plain(title))
    return figure


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
                                     usage="plot.py [PICTURE] RUN... [--out FILE]...")
    parser.add_argument("runs", nargs="+", type=pathlib.Path, metavar="RUN", help="run folder")
    parser.add_argument("--out", action="append", type=pathlib.Path, metavar="FILE",
                        help="output file: .png, .svg or .pdf; may be repeated (default: PICTURE.png)")
    parser.add_argument("--labels", nargs="+", metavar="TEXT", help="legend labels of curves (default: the folder names)")
    parser.add_argument("--title", metavar="TEXT", help="title of the figure")
    parser.add_argument("--experiment", metavar="NAME", choices=list(experiment_list.all_experiments()),
                        help="the experiment whose published figures are added (default: by net, data set, device and exchange)")
    picture = arguments[0] if arguments and arguments[0] in (*PICTURES, "text") else None
    parsed = parser.parse_args(arguments[1:] if picture else arguments)
    parsed.picture = picture or "curves"
    parsed.out = parsed.out or [pathlib.Path(parsed.picture + ".png")]
    parsed.labels = parsed.labels or [folder.resolve().name for folder in parsed.runs]
    if len(parsed.labels) != len(parsed.runs):
        parser.error(f"{len(parsed.labels)} labels for {len(parsed.runs)} runs")
    return parsed


def find_experiment(name, runs):
    if name:
        return experiment_list.all_experiments()[name]
    found = [experiment_list.experiment_of(run.config) if run.config else None for run in runs]
    return found[0] if all(experiment is found[0] for experiment in found) else None


def main():
    try:
        arguments = parse(sys.argv[1:])
        runs = [Run(folder, label) for folder, label in zip(arguments.runs, arguments.labels)]
        if arguments.picture == "text":
            print("\n".join(line for run in runs for line in text.lines(run)))
            return
        figure = draw(arguments.picture, runs, find_experiment(arguments.experiment, runs), arguments.title)
        for path in arguments.out:
            figure.savefig(path, dpi=150)
            print(f"wrote {path}")
    except OSError as error:
        if error.filename is None:  # of standard output
            raise
        sys.exit(f"plot: {error.filename}: {error.strerror}")
    except ValueError as error:
        sys.exit(f"plot: {error}")


if __name__ == "__main__":
    printing.exit_after("plot", main)

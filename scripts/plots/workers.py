"""Pictures by number of workers, asynchronous against synchronous: time of an epoch, speed-up, accuracy.

Times are those of an epoch of the published data set: the time of a run on fewer images is multiplied by the ratio.
"""

import math
import statistics

from plots.runs import series
from plots.style import (ASYNC, COLOURS, SYNC, count_ticks, footnote, legend, line_style, new_figure, percent, plt)

COLOUR_OF = {"async": ASYNC, "sync": SYNC, "local": COLOURS[2]}
MARKER_OF = {"async": "o", "sync": "s", "local": "^"}
MARK = "*"  # of oversubscribed runs


def by_workers(runs, images):
    """Exchange -> workers -> (mean hours per epoch, whether any run was oversubscribed)."""
    found = {}
    for run in runs:
        found.setdefault(run.exchange, {}).setdefault(run.workers, []).append(run)
    return {
        exchange: {
            workers: (statistics.fmean(run.hours_per_epoch(images) for run in same), any(run.oversubscribed for run in same))
            for workers, same in sorted(found[exchange].items())
        }
        for exchange in COLOUR_OF if exchange in found
    }


def notes(runs, images):
    """The text under a picture of times."""
    own = {run.setting("train_images") for run in runs}
    partial = any(max((line["epoch"] for line in run.training), default=1) < 1 for run in runs)
    texts = []
    if own != {images} or partial:
        texts.append("times of fewer images are scaled to an epoch")
    if any(run.oversubscribed for run in runs):
        texts.append(f"{MARK} oversubscribed: more ranks than cores")
    return "; ".join(texts)


def images_of(runs, experiment):
    return experiment.published.train_images if experiment else max(run.setting("train_images") for run in runs)


def draw_time(runs, experiment=None):
    """Bars of hours or minutes per epoch. Published bars are hatched."""
    images = images_of(runs, experiment)
    bars = []  # (label, colour, hatch, workers -> (hours, oversubscribed))
    for exchange, times in by_workers(runs, images).items():
        bars.append((exchange, COLOUR_OF[exchange], None, times))
    for exchange in ("async", "sync") if experiment else ():
        times = {n: (hours, False) for n, hours in experiment.published.hours_per_epoch(exchange).items()}
        if times:
            bars.append((f"{exchange}, published", COLOUR_OF[exchange], "////", times))
    bars.sort(key=lambda bar: (list(COLOUR_OF).index(bar[0].split(",")[0]), bar[2] or ""))

    longest = max((hours for *_, times in bars for hours, _ in times.values() if not math.isnan(hours)), default=0)
    unit, scale = ("hours", 1) if longest >= 1 else ("minutes", 60)
    workers = sorted({n for *_, times in bars for n in times})
    figure, axes = new_figure(1, 1, width=8)
    axis = axes[0][0]
    axis.grid(False, axis="x")
    width, handles = 0.8, []
    for label, colour, hatch, times in bars:
        face = "white" if hatch else colour
        handles.append(plt.Rectangle((0, 0), 1, 1, facecolor=face, edgecolor=colour, hatch=hatch, linewidth=1.2))
    for position, n in enumerate(workers):
        present = [bar for bar in bars if n in bar[3]]
        step = width / len(bars)
        for place, (label, colour, hatch, times) in enumerate(present):
            hours, oversubscribed = times[n]
            x = position + (place - (len(present) - 1) / 2) * step
            axis.bar(x, hours * scale, width=0.9 * step, facecolor="white" if hatch else colour, edgecolor=colour, hatch=hatch,
                     linewidth=1.2)
            text = f"{hours * scale:.{4 if hatch else 3}g}{MARK if oversubscribed else ''}"
            axis.annotate(text, (x, hours * scale), xytext=(0, 2), textcoords="offset points", ha="center", fontsize="x-small")
    axis.margins(y=0.1)
    axis.set_xticks(range(len(workers)), [str(n) for n in workers])
    axis.set_xlabel("workers")
    axis.set_ylabel(f"{unit} per epoch of {images:,} images")
    legend(axis, handles, [label for label, *_ in bars], loc="upper right")
    if text := notes(runs, images):
        footnote(figure, text)
    return figure


def speedups(times):
    """Exchange -> workers -> speed-up over the asynchronous run with one worker, or else over another run with one worker."""
    for exchange in ("async", "sync", "local"):
        if 1 in times.get(exchange, {}):
            base = times[exchange][1]
            return {e: {n: base / hours for n, hours in of.items() if hours > 0} for e, of in times.items()}
    return {}


def draw_speedup(runs, experiment=None):
    """Time of an epoch with one asynchronous worker, divided by the time with N workers. Hollow markers: published."""
    images = images_of(runs, experiment)
    measured = by_workers(runs, images)
    ours = speedups({exchange: {n: hours for n, (hours, _) in times.items()} for exchange, times in measured.items()})
    if not ours:
        raise ValueError("speedup: needs a run with one worker")
    theirs = {}
    if experiment:
        theirs = speedups({exchange: experiment.published.hours_per_epoch(exchange) for exchange in ("async", "sync")})
    figure, axes = new_figure(1, 1, width=8)
    axis = axes[0][0]
    most = max(n for of in (ours, theirs) for points in of.values() for n in points)
    ideal = axis.plot([1, most], [1, most], color="#888888", linewidth=1.0, linestyle=":")
    lines, labels = ideal, ["linear"]
    for exchange, points in ours.items():
        colour, marker = COLOUR_OF[exchange], MARKER_OF[exchange]
        lines += axis.plot(list(points), list(points.values()), color=colour, marker=marker, linewidth=1.8)
        labels.append(exchange)
        for n, speedup in points.items():
            if measured[exchange][n][1]:
                axis.annotate(MARK, (n, speedup), xytext=(4, 4), textcoords="offset points")
    for exchange, points in theirs.items():
        if points:
            lines += axis.plot(list(points), list(points.values()), color=COLOUR_OF[exchange], marker=MARKER_OF[exchange],
                               linestyle=(0, (5, 1.6)), linewidth=1.2, markerfacecolor="white", markersize=7)
            labels.append(f"{exchange}, published")
    axis.set_xlim(left=0)
    axis.set_ylim(bottom=0)
    count_ticks(axis.xaxis)
    axis.set_xlabel("workers")
    axis.set_ylabel("speed-up")
    legend(axis, lines, labels, loc="upper left")
    if any(run.oversubscribed for run in runs):
        footnote(figure, f"{MARK} oversubscribed: more ranks than cores")
    return figure


def label_of(run):
    return run.exchange if run.exchange == "local" else f"{run.exchange}, {run.workers} worker{'s' if run.workers > 1 else ''}"


def draw_accuracy(runs, experiment=None):
    """Train and test accuracy over epochs, top-1 and top-5 as far as recorded, one line per run. Dotted: published."""
    runs = sorted(runs, key=lambda run: (run.exchange, run.workers))
    keys = [[f"{part}_{score}" for part in ("train", "test")] for score in ("accuracy", "top5")]
    curves = {key: [curve_of(run, key) for run in runs] for row in keys for key in row}
    recorded = {key for key, lines in curves.items() if any(not math.isnan(y) for _, ys in lines for y in ys)}
    keys = [row for row in keys if recorded.intersection(row)]
    if not keys:
        raise ValueError("accuracy: no accuracies yet")
    figure, axes = new_figure(len(keys), 2, height=1.0 + 3.2 * len(keys))
    lines, has_published = [], False
    for axis, key in zip(axes.flat, (key for row in keys for key in row)):
        axis.set_visible(key in recorded)
        lines.append([axis.plot(xs, ys, **line_style(index, len(xs)))[0] for index, (xs, ys) in enumerate(curves[key])])
        for value in published_values(runs, experiment, key):
            axis.axhline(value, color="#555555", linewidth=1.2, linestyle=":")
            has_published = True
        axis.set_title(key.replace("_accuracy", " top-1").replace("_top5", " top-5"))
        axis.set_xlabel("epoch")
        axis.set_xlim(left=0)
        count_ticks(axis.xaxis)
        percent(axis)
    place = 1 if "test_accuracy" in recorded else 0
    legend(axes[0][place], lines[place], [label_of(run) for run in runs], loc="best")
    if has_published:
        footnote(figure, f"dotted: published, after {experiment.published.epochs} epochs")
    return figure


def curve_of(run, key):
    if key.startswith("train"):
        return run.training_by_epoch(key)
    return series(run.evaluations, "epoch", key)


def published_values(runs, experiment, key):
    """The distinct published values of these runs; none if they train on another number of images."""
    if experiment is None or any(run.setting("train_images") != experiment.published.train_images for run in runs):
        return []
    figures = [figure for run in runs for figure in experiment.published.of(run.exchange, run.workers, run.max_delay)]
    return sorted({figure[key] for figure in figures if key in figure and "epoch" not in figure})

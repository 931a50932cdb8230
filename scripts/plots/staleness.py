"""Histograms of staleness, one per run. Theory: a mean of N - 1 with N asynchronous workers, and of (D - 1) / 2 with artificial
delay D."""

import math

from plots.style import COLOURS, count_ticks, new_figure, percent, plain
from plots.workers import label_of

WIDE = 60  # bins; above this, bars would be thinner than their gaps


def draw(runs, experiment=None):
    del experiment  # published staleness is unknown
    runs = sorted(runs, key=lambda run: (run.max_delay or 0, run.exchange, run.workers))
    columns = min(4, len(runs))
    rows = math.ceil(len(runs) / columns)
    figure, axes = new_figure(rows, columns, width=max(5, 3 * columns), height=0.6 + 2.4 * rows)
    for axis, run in zip(axes.flat, runs):
        histogram = run.staleness()
        updates = sum(histogram)
        shares = [count / updates for count in histogram] if updates else histogram
        if len(shares) <= WIDE:
            axis.bar(range(len(shares)), shares, width=0.85, color=COLOURS[0])
        else:
            axis.stairs(shares, [tau - 0.5 for tau in range(len(shares) + 1)], fill=True, color=COLOURS[0])
        mean = sum(tau * share for tau, share in enumerate(shares))
        axis.axvline(mean, color="#000000", linestyle=(0, (5, 1.6)), linewidth=1.2)
        name = f"D = {run.max_delay}" if run.max_delay else label_of(run)
        axis.set_title(plain(f"{name}\nmean {mean:.3g}, theory {expected_mean(run):.3g}"), fontsize="medium")
        axis.set_xlim(-0.6, max(len(shares) - 0.4, 1.6))
        count_ticks(axis.xaxis)
        axis.xaxis.get_major_locator().set_params(integer=True)
        percent(axis)
    for axis in axes.flat[len(runs):]:
        axis.set_visible(False)
    for axis in axes[:, 0]:
        axis.set_ylabel("updates")
    figure.supxlabel("staleness", fontsize="medium")
    return figure


def expected_mean(run):
    if run.max_delay:
        return (run.max_delay - 1) / 2
    if run.exchange != "async":
        return 0
    return 2 * run.workers - 1 if run.config.get("prefetch_weights") else run.workers - 1

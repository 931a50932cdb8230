"""The look of all pictures: readable in grey print and without colour vision. Lines differ in colour, dashes and marker, bars in
colour and hatching."""

import os

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402  (after the backend is set)
from matplotlib.ticker import MaxNLocator, PercentFormatter  # noqa: E402

# A colour-blind safe palette (Okabe and Ito, 2008), without its yellow, which is too light for lines.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
DASHES = ["-", (0, (5, 1.6)), (0, (1.2, 1.2)), (0, (6, 1.6, 1.2, 1.6))]
MARKERS = ["o", "s", "^", "D", "v", "P", "X", "*"]
ASYNC, SYNC = COLOURS[0], COLOURS[1]
MANY_POINTS = 40  # longer curves have fewer markers than points


def line_style(index, points):
    """Keywords of plot() for line number `index`. Long lines have a marker every few points."""
    step = 1 if points <= MANY_POINTS else points // 10
    return {
        "color": COLOURS[index % len(COLOURS)],
        "linestyle": DASHES[index % len(DASHES)],
        "linewidth": 1.6,
        "marker": MARKERS[index % len(MARKERS)],
        "markersize": 4.5,
        "markevery": (index * step // len(MARKERS) % step, step),
    }


def published_style(index):
    """Keywords of plot() for published points that belong to line number `index`: hollow markers."""
    return {
        "color": COLOURS[index % len(COLOURS)],
        "linestyle": "none",
        "marker": MARKERS[index % len(MARKERS)],
        "markersize": 9,
        "markerfacecolor": "none",
        "markeredgewidth": 1.4,
    }


def new_figure(rows, columns, width=10, height=4.4, **keywords):
    figure, axes = plt.subplots(rows, columns, figsize=(width, height), constrained_layout=True, squeeze=False, **keywords)
    for axis in axes.flat:
        axis.grid(True, color="#dddddd", linewidth=0.6)
        axis.set_axisbelow(True)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    return figure, axes


def percent(axis):
    axis.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))


def count_ticks(axis):
    axis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 5, 10]))


def plain(text):
    """Escapes text for matplotlib: "$" does not start a formula, and bytes that are not UTF-8 are replaced."""
    return os.fsencode(text).decode(errors="replace").replace("$", r"\$")


def legend(axis, handles, labels, **keywords):
    """A legend with literal texts. They are set afterwards, because legend() drops labels that start with an underscore."""
    made = axis.legend(handles, ["run"] * len(labels), fontsize="small", framealpha=0.85, edgecolor="none", **keywords)
    for text, label in zip(made.get_texts(), labels):
        text.set_text(plain(label))
    return made


def footnote(figure, text):
    figure.supxlabel(text, fontsize="small", color="#555555")

"""Pictures of scripts/exchange_curve.py: updates per second by number of workers. Lines are simulated, markers are emulated: runs
with workers that sleep in place of computing."""

from plots.style import COLOURS, DASHES, MARKERS, count_ticks, footnote, legend, new_figure

NOTE = "simulated: in virtual time; emulated: master and exchange are real, workers sleep in place of computing; measured: none"


def draw(curves, points, workers):
    """curves: panel -> label -> [updates per second, by workers]. points: panel -> label of a line -> [(workers, updates per
    second)]."""
    figure, axes = new_figure(1, len(curves), width=13, height=4.6)
    for axis, (panel, lines) in zip(axes.flat, curves.items()):
        emulated = points.get(panel, {})
        for number, (label, values) in enumerate(lines.items()):
            colour, dashes, marker = (looks[number % len(looks)] for looks in (COLOURS, DASHES, MARKERS))
            axis.plot(workers, values, color=colour, linestyle=dashes, linewidth=1.6, label=f"{label}, simulated")
            if label in emulated:
                axis.plot(*zip(*emulated[label]), color=colour, linestyle="none", marker=marker, markersize=6, markerfacecolor="none",
                          label=f"{label}, emulated")
        axis.set_title(panel, fontsize=10)
        axis.set_xlabel("workers")
        axis.set_xlim(0, max(workers))
        axis.set_ylim(0, None)
        count_ticks(axis.xaxis)
        legend(axis, *axis.get_legend_handles_labels(), loc="upper left")
    axes.flat[0].set_ylabel("updates per second")
    footnote(figure, NOTE)
    return figure

"""Pictures of scripts/exchange_curve.py: updates per second by number of workers, relative to one worker. Lines are simulated,
markers are runs with workers that sleep."""

from plots.style import COLOURS, DASHES, MARKERS, count_ticks, legend, new_figure

PANELS = ("equal workers", "one worker 5 x slower", "several masters")


def draw(curves, points, workers):
    """curves: panel -> label -> [speed-up by workers]. points: panel -> label of its line -> [(workers, speed-up)]."""
    figure, axes = new_figure(1, len(PANELS), width=13, height=4.2)
    for axis, panel in zip(axes.flat, PANELS):
        for number, (label, values) in enumerate(curves[panel].items()):
            colour = COLOURS[number % len(COLOURS)]
            axis.plot(workers, values, color=colour, linestyle=DASHES[number % len(DASHES)], linewidth=1.6, label=label)
            emulated = points.get(panel, {}).get(label, [])
            if emulated:
                axis.plot(*zip(*emulated), color=colour, linestyle="none", marker=MARKERS[number % len(MARKERS)], markersize=5,
                          markerfacecolor="white")
        axis.plot(workers, workers, color="#999999", linewidth=0.8)
        axis.set_title(panel, fontsize=10)
        axis.set_xlabel("workers")
        axis.set_xlim(0, max(workers))
        axis.set_ylim(0, max(workers))
        count_ticks(axis.xaxis)
        legend(axis, *axis.get_legend_handles_labels())
    axes.flat[0].set_ylabel("updates per second / those of one worker")
    return figure

"""Test accuracy and loss of one or more runs over epochs and over time."""

from plots.runs import series
from plots.style import COLOURS, MANY_POINTS, count_ticks, legend, new_figure, percent, plt


def time_unit(runs):
    longest = max(line["seconds"] for run in runs for line in run.evaluations + run.training)
    for name, seconds, enough in (("h", 3600, 2 * 3600), ("min", 60, 2 * 60)):
        if longest >= enough:
            return name, seconds
    return "s", 1


def draw(runs, experiment=None):
    del experiment  # has no published curves over time
    unit, seconds = time_unit(runs)
    figure, axes = new_figure(2, 2, height=6.4, sharex="col", sharey="row")
    for index, run in enumerate(runs):
        colour = COLOURS[index % len(COLOURS)]
        marker = {"marker": "o", "markersize": 3.5} if len(run.evaluations) <= MANY_POINTS else {}
        for column, (x, scale) in enumerate((("epoch", 1), ("seconds", seconds))):
            for row, y in enumerate(("test_accuracy", "test_loss")):
                xs, ys = series(run.evaluations, x, y)
                axes[row][column].plot([v / scale for v in xs], ys, color=colour, linewidth=1.8, **marker)
            xs, ys = series(run.training, x, "train_loss")
            axes[1][column].plot([v / scale for v in xs], ys, color=colour, linewidth=1.0, alpha=0.45)

    axes[0][0].set_ylabel("test accuracy")
    percent(axes[0][0])
    axes[1][0].set_ylabel("loss (cross-entropy)")
    axes[1][0].set_xlabel("epoch")
    axes[1][1].set_xlabel(f"training time [{unit}]")
    for axis in axes.flat:
        axis.set_xlim(left=0)
        count_ticks(axis.xaxis)
    handles = [
        plt.Line2D([], [], color="#444444", linewidth=1.8, label="test"),
        plt.Line2D([], [], color="#444444", linewidth=1.0, alpha=0.45, label="train"),
    ]
    axes[1][1].legend(handles=handles, loc="upper right", frameon=False)
    if len(runs) > 1:
        legend(axes[0][0], axes[0][0].lines, [run.label for run in runs], loc="lower right")
    return figure

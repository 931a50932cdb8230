"""Train and test accuracy over epochs, one line per artificial delay. Hollow markers are published test accuracies. They are
drawn only for runs on as many training images as the published ones, because an epoch of another set is not comparable."""

from plots.runs import series
from plots.style import count_ticks, footnote, legend, line_style, new_figure, percent, published_style


def draw(runs, experiment=None):
    runs = sorted(runs, key=lambda run: run.max_delay or 0)
    figure, axes = new_figure(1, 2, sharey=True)
    train, test = axes[0]
    lines, has_published = [], False
    for index, run in enumerate(runs):
        xs, ys = run.training_by_epoch("train_accuracy")
        train.plot(xs, ys, **line_style(index, len(xs)))
        xs, ys = series(run.evaluations, "epoch", "test_accuracy")
        lines += test.plot(xs, ys, **line_style(index, len(xs)))
        for figure_ in published_points(run, experiment):
            test.plot([figure_["epoch"]], [figure_["test_accuracy"]], **published_style(index))
            has_published = True
    for axis, title in ((train, "train"), (test, "test")):
        axis.set_title(title)
        axis.set_xlabel("epoch")
        axis.set_xlim(left=0)
        count_ticks(axis.xaxis)
    percent(train)
    train.set_ylabel("accuracy")
    labels = [f"D = {run.max_delay}" if run.max_delay else run.label for run in runs]
    legend(test, lines, labels, loc="best", ncols=1 if len(runs) <= 5 else 2)
    if has_published:
        footnote(figure, "hollow markers: published")
    return figure


def published_points(run, experiment):
    """The published figures of a run up to its last epoch."""
    if experiment is None or run.config is None or run.setting("train_images") != experiment.published.train_images:
        return []
    last = max((line["epoch"] for line in run.evaluations), default=0)
    figures = experiment.published.of(run.exchange, run.workers, run.max_delay)
    return [figure for figure in figures if "epoch" in figure and figure["epoch"] <= last + 1e-9]

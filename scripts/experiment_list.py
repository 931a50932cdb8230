"""The published experiments, read from scripts/experiments/*.json.

A file describes one experiment:

    name, title, reproduces     for the command line and the results page
    net, data, device           the same for all runs
    options                     options of `apam train` without the dashes; the same for all runs
    scales                      smoke, small and published: further options, and groups of runs
    plots                       subcommands of scripts/plot.py
    published                   the published figures: machine, note, training images, epochs, and one entry per figure

A group of runs is an exchange with options. One of them, or the number of workers, may be a list: one run per value.
"""

import dataclasses
import functools
import json
import pathlib

FOLDER = pathlib.Path(__file__).resolve().parent / "experiments"
ORDER = ("delay", "cinic10", "imagenet32", "cinic10-gpu", "imagenet32-gpu")
SCALES = ("smoke", "small", "published")


@dataclasses.dataclass(frozen=True)
class Run:
    """One run of an experiment."""

    name: str  # e.g. "async-5", "delay-21"
    exchange: str
    workers: int
    options: dict  # of `apam train`, without the dashes

    @property
    def ranks(self):
        """Processes: an asynchronous run has a master in addition to its workers."""
        return self.workers + 1 if self.exchange == "async" else self.workers


@dataclasses.dataclass(frozen=True)
class Published:
    """The published figures of an experiment."""

    machine: str
    note: str
    train_images: int
    epochs: int
    figures: tuple  # of dicts: exchange; workers or max_delay; any of epoch, hours, test_accuracy, test_top5

    def of(self, exchange, workers, max_delay):
        """The figures for a run with these settings."""
        def matches(figure):
            if figure["exchange"] != exchange:
                return False
            return max_delay == figure["max_delay"] if "max_delay" in figure else workers == figure["workers"]

        return [figure for figure in self.figures if matches(figure)]

    def hours_per_epoch(self, exchange):
        """Number of workers -> hours per epoch."""
        return {f["workers"]: f["hours"] / self.epochs for f in self.figures if f["exchange"] == exchange and "hours" in f}


@dataclasses.dataclass(frozen=True)
class Experiment:
    name: str
    title: str
    reproduces: str
    net: str
    data: str
    device: str
    plots: tuple
    options: dict
    scales: dict
    published: Published

    def runs(self, scale):
        return [run for group in self.scales[scale]["runs"] for run in self._expand(scale, group)]

    def _expand(self, scale, group):
        lists = [key for key, value in group.items() if isinstance(value, list)]
        if len(lists) > 1:
            raise ValueError(f"{self.name}: {' and '.join(lists)} are lists, expected at most one")
        for value in group[lists[0]] if lists else [None]:
            one = {**group, lists[0]: value} if lists else dict(group)
            exchange, workers = one.pop("exchange"), one.pop("workers", 1)
            name = f"delay-{one['max-delay']}" if "max-delay" in one else f"{exchange}-{workers}"
            yield Run(name, exchange, workers, {**one, **self.options, **self.scales[scale]["options"]})


def read(path):
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        published = content.pop("published")
        published["figures"] = tuple(published["figures"])
        content["plots"] = tuple(content["plots"])
        return Experiment(**content, published=Published(**published))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from None


@functools.cache
def all_experiments():
    """All experiments, by name."""
    found = {experiment.name: experiment for experiment in map(read, sorted(FOLDER.glob("*.json")))}
    names = [name for name in ORDER if name in found] + [name for name in found if name not in ORDER]
    return {name: found[name] for name in names}


def experiment_of(config):
    """The experiment with the net, data set, kind of device and exchange of a run, given its config.json, or None."""
    for experiment in all_experiments().values():
        same = all(config.get(key) == getattr(experiment, key) for key in ("net", "data"))
        device = str(config.get("device", "")).startswith(experiment.device)
        exchange = any(figure["exchange"] == config.get("exchange") for figure in experiment.published.figures)
        if same and device and exchange:
            return experiment
    return None

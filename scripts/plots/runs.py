"""Reads run folders of `apam train`, finished or still running."""

import json
import math
import sys


class Run:
    """A run folder: the lines of metrics.jsonl of type evaluation and train, and config.json and summary.json, or None."""

    def __init__(self, folder, label=None):
        self.folder = folder
        self.label = label
        self.config = read_object(folder / "config.json")
        self.summary = read_object(folder / "summary.json")
        self.evaluations, self.training = [], []
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
            self.evaluations.append(checked(line, "test_accuracy", "test_loss", "test_top5"))
        elif line["event"] == "train":
            self.training.append(checked(line, "train_loss", "train_accuracy", "train_top5"))

    @property
    def title(self):
        """E.g. "allcnn on cifar10, async, 3 ranks, batch 100, amsgrad, lr 0.001", or "... sgd, momentum 0.9, lr 0.1"; None without a
        complete config.json."""
        try:
            ranks = f", {self.config['ranks']} ranks" if self.config["ranks"] > 1 else ""
            momentum = f", momentum {self.config['momentum']:g}" if self.config.get("momentum") else ""
            return "{net} on {data}, {exchange}{0}, batch {batch}, {optimizer}{1}, lr {lr:g}".format(ranks, momentum, **self.config)
        except (ValueError, KeyError, TypeError):
            return None

    def setting(self, key):
        """A value of config.json."""
        if self.config is None or key not in self.config:
            raise ValueError(f"{self.folder / 'config.json'}: {'no ' + key if self.config else 'missing or incomplete'}")
        return self.config[key]

    @property
    def exchange(self):
        return self.setting("exchange")

    @property
    def workers(self):
        """Ranks that compute gradients."""
        if self.exchange != "async" or self.config.get("colocate"):
            return self.setting("ranks")
        return self.setting("ranks") - self.config.get("masters", 1)  # older runs had one

    @property
    def max_delay(self):
        """The artificial delay of a local run; 1: none. None for runs of several processes."""
        return self.config.get("max_delay", 1) if self.config and self.exchange == "local" else None

    @property
    def oversubscribed(self):
        return self.setting("ranks") > self.setting("cores")

    def hours_per_epoch(self, images=None):
        """Hours of an epoch of `images` images (default: of the run's own), at the run's speed; NaN before the first update."""
        seconds, epochs = max(((line["seconds"], line["epoch"]) for line in self.training), default=(0, 0))
        if seconds <= 0 or epochs <= 0:
            return math.nan
        own = self.setting("train_images")
        return seconds / epochs / 3600 * ((own if images is None else images) / own)

    def training_by_epoch(self, key):
        """Means of a value over each epoch that has started, as two lists: positions and means, weighted by updates. Over tenths
        of epochs if there are at most three."""
        last = max((line["epoch"] for line in self.training), default=0)
        parts = 10 if last <= 3 else 1
        sums = {}
        update = 0
        for line in self.training:
            weight, update = line["update"] - update, line["update"]
            part = math.ceil(line["epoch"] * parts - 1e-9)
            _, total, count = sums.get(part, (0, 0, 0))
            sums[part] = (line["epoch"], total + weight * line[key], count + weight)
        points = [(end, total / count) for end, total, count in sums.values() if count > 0]
        return [x for x, _ in points], [y for _, y in points]

    def staleness(self):
        """Number of updates by staleness, from summary.json."""
        try:
            histogram = self.summary["staleness"]["histogram"]
            if not histogram or not all(is_number(count) for count in histogram):
                raise TypeError
        except (KeyError, TypeError):
            raise ValueError(f"{self.folder / 'summary.json'}: no staleness (the run is not finished)") from None
        return histogram


def read_object(path):
    """A JSON object; None if the file is missing or incomplete."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


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


def series(lines, x, y):
    """The points of a curve. NaN leaves a gap."""
    return [line[x] for line in lines], [line[y] for line in lines]

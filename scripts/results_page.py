"""The results page: one HTML file without references to other files or the network. Pictures are data URIs.

Per experiment: settings, a table of the runs with the published figures next to ours, pictures and commands. Then the machine,
and the skipped and failed runs.
"""

import base64
import datetime
import html
import math

from plots.runs import Run, is_number

STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.45 system-ui, sans-serif; color: #1c1c1c; background: #fff; max-width: 1240px; margin: 0 auto;
  padding: 24px; }
h1 { font-size: 1.7em; margin: 0 0 .2em; } h2 { margin: 2em 0 .3em; border-bottom: 1px solid #ccc; padding-bottom: .2em; }
p { margin: .4em 0; } .quiet { color: #555; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: .8em 0; font-variant-numeric: tabular-nums; font-size: .93em; }
th, td { padding: .25em .6em; border-bottom: 1px solid #ddd; text-align: right; vertical-align: bottom; }
td { white-space: nowrap; }
thead th { border-bottom: 1px solid #888; font-weight: 600; } th:first-child, td:first-child { text-align: left; }
td.published { color: #555; font-style: italic; }
table.settings td { text-align: left; white-space: normal; }
table.settings td:first-child { font-weight: 600; white-space: nowrap; }
.pictures { display: flex; flex-wrap: wrap; gap: 16px; align-items: flex-start; }
figure { margin: 0; flex: 1 1 440px; max-width: 100%; } figure.full { flex-basis: 100%; }
figure img { width: 100%; height: auto; border: 1px solid #e4e4e4; } figure.full img { width: auto; max-width: 100%; }
figcaption { font-size: .9em; color: #555; }
details { margin: .8em 0; } summary { cursor: pointer; } code { font-size: .88em; overflow-wrap: anywhere; }
li { margin: .3em 0; } .failed { color: #a00000; font-weight: 600; }
@media print { body { max-width: none; padding: 0; } figure, tr { break-inside: avoid; } }
"""
CAPTIONS = {
    "delay": "Train and test accuracy by artificial delay D: the number of latest versions that weights are picked from.",
    "time": "Time of an epoch, asynchronous against synchronous, by number of workers. Hatched: published.",
    "speedup": "Speed-up over one asynchronous worker. Hollow markers: published.",
    "accuracy": "Train and test accuracy by number of workers.",
    "staleness": "Staleness of the updates: the number of updates between the weights of a gradient and the update itself.",
}
FULL_WIDTH = ("delay", "accuracy", "staleness")
MACHINE = ("cpu", "cores", "cpus", "cpu_quota", "gpus", "host", "mpi", "onednn", "compiler", "build_type", "version", "commit")
DASH = "–"


def escape(value):
    return html.escape(str(value))


def unit_of(hours):
    """The unit for a column of times, and its number per hour."""
    longest = max((value for value in hours if value is not None and not math.isnan(value)), default=0)
    return next((unit for unit in (("h", 1), ("min", 60)) if longest * unit[1] >= 1), ("s", 3600))


def duration(hours, unit, digits=3):
    if hours is None or math.isnan(hours):
        return DASH
    return f"{hours * unit[1]:.{digits}g} {unit[0]}"


def share(value):
    return f"{value:.1%}" if is_number(value) and math.isfinite(value) else DASH


def number(value, text="{:.3g}"):
    return text.format(value) if is_number(value) and math.isfinite(value) else DASH


class Row:
    """A run with results, and its published figures."""

    def __init__(self, job, run):
        self.job, self.run = job, run
        self.summary = run.summary or {}
        planned = job.run
        self.figures = job.experiment.published.of(planned.exchange, planned.workers, planned.options.get("max-delay"))

    def published(self, key, epoch=None):
        """A published figure; at the end, or after `epoch` epochs. None if unknown."""
        return next((figure[key] for figure in self.figures if key in figure and figure.get("epoch") == epoch), None)

    @property
    def hours(self):
        return self.run.hours_per_epoch(self.job.experiment.published.train_images)

    @property
    def published_hours(self):
        total = self.published("hours")
        return None if total is None else total / self.job.experiment.published.epochs

    def accuracy_after(self, epoch):
        return next((line["test_accuracy"] for line in self.run.evaluations if abs(line["epoch"] - epoch) < 1e-9), None)

    @property
    def marks(self):
        marks = ["oversubscribed"] if self.run.oversubscribed else []
        if self.run.setting("train_images") != self.job.experiment.published.train_images:
            marks.append(f"{self.run.setting('train_images'):,} images")
        if (self.summary.get("epochs") or 0) < 1:
            marks.append(f"{number(self.summary.get('epochs'), '{:.2g}')} epochs")
        return ", ".join(marks)


def base_hours(rows):
    """The hours per epoch of the asynchronous run with one worker: ours, published."""
    for row in rows:
        if row.job.run.exchange == "async" and row.job.run.workers == 1:
            return row.hours, row.published_hours
    return None, None


def columns_of(experiment, rows):
    """(heading, whether published, row -> text) of each column."""
    unit = unit_of([hours for row in rows for hours in (row.hours, row.published_hours)])
    columns = [("run", False, lambda row: row.job.run.name), ("", False, lambda row: row.marks),
               ("epochs", False, lambda row: number(row.summary.get("epochs"))),
               ("images/s", False, lambda row: number(row.summary.get("images_per_second"), "{:.0f}")),
               ("time of an epoch", False, lambda row: duration(row.hours, unit))]
    figures = experiment.published.figures
    if any("hours" in figure for figure in figures):
        ours, theirs = base_hours(rows)

        def ratio(base, hours):
            return number(base / hours) if base and hours and not math.isnan(base / hours) else DASH

        columns.append(("published", True, lambda row: duration(row.published_hours, unit, digits=4)))
        columns.append(("speed-up", False, lambda row: ratio(ours, row.hours)))
        columns.append(("published", True, lambda row: ratio(theirs, row.published_hours)))
    for epoch in sorted({figure["epoch"] for figure in figures if "epoch" in figure}):
        columns.append((f"test top-1 after {epoch} epochs", False, lambda row, e=epoch: share(row.accuracy_after(e))))
        columns.append(("published", True, lambda row, e=epoch: share(row.published("test_accuracy", e))))
    for heading, key in (("test top-1", "test_accuracy"), ("test top-5", "test_top5")):
        columns.append((heading, False, lambda row, k=key: share(row.summary.get(k))))
        if any(key in figure and "epoch" not in figure for figure in figures):
            columns.append(("published", True, lambda row, k=key: share(row.published(k))))
    columns.append(("train top-1", False, lambda row: share(row.summary.get("train_accuracy"))))
    columns.append(("staleness mean, max", False, staleness_text))
    columns.append(("MiB per process", False, memory_text))
    return columns


def memory_text(row):
    return number(max(row.summary.get("peak_memory_mib") or [math.nan]), "{:.0f}")


def staleness_text(row):
    staleness = row.summary.get("staleness") or {}
    return f"{number(staleness.get('mean'))}, {number(staleness.get('max'), '{:.0f}')}"


def table_of(experiment, rows):
    columns = columns_of(experiment, rows)
    lines = ['<div class="wide"><table><thead><tr>']
    lines += [f"<th>{escape(heading)}</th>" for heading, _, _ in columns] + ["</tr></thead><tbody>"]
    for row in rows:
        cells = [f'<td{" class=published" if published else ""}>{escape(text(row))}</td>' for _, published, text in columns]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return "".join(lines) + "</tbody></table></div>"


def settings_of(experiment, scale):
    options = {**experiment.options, **experiment.scales[scale]["options"]}
    published = {**experiment.options, **experiment.scales["published"]["options"]}

    def text(values):
        return ", ".join(f"{key} {value}" for key, value in values.items())

    rows = [("net, data", f"{experiment.net}, {experiment.data}, {experiment.device}"), (f"scale {scale}", text(options))]
    if scale != "published":
        rows.append(("scale published", text(published)))
    rows.append(("published figures", f"{experiment.published.machine}. {experiment.published.note}"))
    return settings_table(rows)


def settings_table(rows):
    cells = "".join(f"<tr><td>{escape(key)}</td><td>{escape(value)}</td></tr>" for key, value in rows)
    return f'<table class="settings"><tbody>{cells}</tbody></table>'


def picture(folder, experiment, name):
    path = folder / experiment.name / f"{name}.svg"
    try:
        content = base64.b64encode(path.read_bytes()).decode()
    except OSError:
        return ""
    full = ' class="full"' if name in FULL_WIDTH else ""
    return (f'<figure{full}><img alt="{escape(f"{experiment.title}: {name}")}" src="data:image/svg+xml;base64,{content}">'
            f"<figcaption>{escape(CAPTIONS[name])}</figcaption></figure>")


def section(experiment, jobs, rows, scale, folder):
    lines = [f'<section id="{experiment.name}"><h2>{escape(experiment.title)}</h2>', f"<p>{escape(experiment.reproduces)}.</p>",
             settings_of(experiment, scale)]
    if rows:
        lines.append(table_of(experiment, rows))
        pictures = "".join(picture(folder, experiment, name) for name in experiment.plots)
        lines.append(f'<div class="pictures">{pictures}</div>')
    else:
        lines.append('<p class="quiet">No results; see the end of this page.</p>')
    commands = "".join(f"<li><code>{escape(job.text)}</code></li>" for job in jobs)
    return "\n".join([*lines, f"<details><summary>Commands</summary><ul>{commands}</ul></details></section>"])


def machine_of(rows, info):
    """From config.json of the runs; values that differ between runs are all listed."""
    configs = [row.run.config or {} for row in rows] or [info]
    settings = []
    for key in MACHINE:
        values = list(dict.fromkeys(str(config[key]) for config in configs if config.get(key) not in (None, "", [])))
        if values:
            settings.append((key.replace("_", " "), "; ".join(values)))
    return settings_table(settings)


def rows_of(jobs, root, failures):
    """The runs with results. Appends those that cannot be read to `failures`."""
    rows = []
    for job in jobs:
        if job.has_results:
            try:
                run = Run(root / job.folder)
                run.setting("cores")
                rows.append(Row(job, run))
            except (OSError, ValueError) as error:
                failures.append(f"{job.name}: {error}")
    return rows


def problems_of(jobs, failures):
    lines = []
    for state in ("failed", "skipped"):
        for job in jobs:
            if job.state == state:
                lines.append(f'<li><span class="{state}">{state}</span> {escape(job.name)}: {escape(job.reason)}</li>')
    lines += [f'<li><span class="failed">failed</span> {escape(failure)}</li>' for failure in failures]
    return f"<ul>{''.join(lines)}</ul>" if lines else "<p>None.</p>"


def page(scale, jobs, root, folder, info, failures):
    """The page of one scale. `folder` has the pictures, `info` is the output of apam info."""
    failures = list(failures)
    rows = rows_of(jobs, root, failures)
    experiments = {job.experiment.name: job.experiment for job in jobs}.values()
    date = datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")
    sections = [section(experiment, [job for job in jobs if job.experiment is experiment],
                        [row for row in rows if row.job.experiment is experiment], scale, folder) for experiment in experiments]
    return "\n".join([
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
        f"<title>apam: published experiments, scale {scale}</title><style>{STYLE}</style></head><body>",
        f"<h1>Published experiments, scale {escape(scale)}</h1>",
        f'<p class="quiet">{len(rows)} of {len(jobs)} runs have results. {escape(date)}</p>',
        "<p>Times are those of an epoch of the published data set: times of runs on fewer images are scaled. "
        "Published figures are in italics.</p>",
        *sections,
        f'<section id="machine"><h2>Machine</h2>{machine_of(rows, info)}</section>',
        f'<section id="problems"><h2>Skipped and failed runs</h2>{problems_of(jobs, failures)}</section>',
        "</body></html>\n",
    ])

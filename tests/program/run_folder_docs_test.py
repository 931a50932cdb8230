#!/usr/bin/env python3
"""docs/run_folder.md and docs/json_output.md name every key of every file, and no other.

A section whose tables begin with the column `name` has the keys of one file or event, in the file's order. Names of nested keys
have dots, `[]` is an element of an array, `<text>` is any key, and a name followed by (some) need not be in these runs.
"""

import importlib.util
import re
import shlex
import signal
import sys

from support import *

PAGES = [ROOT / "docs" / name for name in ("run_folder.md", "json_output.md")]
SHORT = replace(TRAIN, ["--eval-every", "4", "--log-every", "2"])


def key_paths(value, prefix=()):
    """The keys of a JSON value and of those within it, as tuples, in order."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield (*prefix, key)
            yield from key_paths(inner, (*prefix, key))
    elif isinstance(value, list):
        for element in value:
            yield from key_paths(element, (*prefix[:-1], prefix[-1] + "[]"))


def row_of(path, rows):
    """The number of the row of a key: that with its name, else one with <text> in place of it; None without."""
    fits = lambda row: len(row) == len(path) and all(name == key or name[0] == "<" for name, key in zip(row, path))
    return rows.index(path) if path in rows else next((i for i, row in enumerate(rows) if fits(row)), None)


class Pages:
    """The names in the tables of the pages, by section. Names are tuples, as of key_paths()."""

    def __init__(self, text):
        self.sections, self.optional = {}, set()
        section, header = None, None
        for line in text.splitlines():
            if line.startswith("#"):
                section, header = line.lstrip("#").strip().replace("`", ""), None
            elif not line.startswith("|"):
                header = None
            elif header is None:
                header = [cell.strip() for cell in line.strip("|").split("|")]
            elif header[0] == "name" and not line.startswith("| ---"):
                self.add_row(section, header, [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))])

    def add_row(self, section, header, cells):
        names = [tuple(name.split(".")) for name in re.findall("`([^`]+)`", cells[0])]
        assert names, f"{section}: a row without a name: {cells}"
        if header[1] == "args":  # of an event of a trace
            names += [(*names[0], arg) for arg in re.findall("`([^`]+)`", cells[1])]
        rows = self.sections.setdefault(section, [])
        assert not set(names) & set(rows), f"{section}: {cells[0]} twice"
        rows += names
        if cells[0].endswith("(some)"):
            self.optional |= {(section, name) for name in names}


class Found:
    """The keys that the runs of the test have, by section."""

    def __init__(self):
        self.paths = {}  # section -> list of objects, each a list of paths

    def add(self, section, value):
        self.paths.setdefault(section, []).append(list(dict.fromkeys(key_paths(value))))

    def add_run(self, folder):
        for path in sorted(folder.iterdir()):
            if path.suffix == ".json":
                self.add(path.name, json.loads(path.read_text()))
            elif path.name == "metrics.jsonl":
                for line in map(json.loads, path.read_text().splitlines()):
                    self.add(f"metrics.jsonl: {line['event']}", line)
            elif path.name == "order.jsonl":
                for call_of_master in map(json.loads, path.read_text().splitlines()):
                    for event in call_of_master:
                        self.add(path.name, event if isinstance(event, dict) else {})
            elif path.name == "epochs.csv":
                self.add(path.name, dict.fromkeys(path.read_text().splitlines()[0].split(",")))
            elif path.suffix == ".safetensors":
                self.add_safetensors(path)
            else:
                raise AssertionError(f"the pages have no section {path.name}")

    def add_safetensors(self, path):
        with open(path, "rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        metadata = header.pop("__metadata__")
        tensors = [(name,) if path.name != "model.safetensors" else kind_of(name) for name in header]
        self.paths.setdefault(path.name, []).append([*dict.fromkeys(tensors), *key_paths({"__metadata__": metadata})])
        if "apam" in metadata:
            self.add(f"{path.name}: apam", json.loads(metadata["apam"]))

    def add_trace(self, path):
        trace = json.loads(path.read_text())
        for event in trace.pop("traceEvents"):
            self.add("Events of a trace", {event["name"]: event["args"]})
            self.add("Trace", {"traceEvents": [dict.fromkeys(event)]})
        self.add("Trace", trace)


def kind_of(tensor):
    """`bn1.running_mean` -> (`<norm>`, `running_mean`); other tensors of a net are its parameters."""
    last = tensor.rsplit(".", 1)[-1]
    return ("<norm>", last) if last in ("running_mean", "running_var", "num_batches_tracked") else ("<parameter>",)


class RunFolderDocs(Early):
    def run_kinds(self):
        """Short runs of every kind. Returns their keys."""
        found = Found()

        def train(name, *options, ranks=None, trace=False, code=0):
            more = ["--trace", self.folder / f"{name}.json"] if trace else []
            process = call(*replace(SHORT, options), *more, "--out", self.folder / name, ranks=ranks)
            self.assertEqual(process.returncode, code, process.stderr)
            found.add_run(self.folder / name)
            self.check_relations(Run(self.folder / name))
            if trace:
                found.add_trace(self.folder / f"{name}.json")

        asynchronous, synchronous = ["--exchange", "async"], ["--exchange", "sync"]
        train("local", "--lr-schedule", "step", "--lr-step-epochs", "1", "--optimizer", "sgd", trace=True)
        train("recalibrated", "--net", "resnet18", "--bn", "recalibrate", "--precision", "bf16", "--max-updates", "2")
        # With checkpoints of epochs of one update, the last of which waits for an evaluation; see ending_test.py.
        train("diverged", "--optimizer", "sgd", "--lr", "30", "--weight-decay", "30", "--train-images", "2", "--epochs", "50",
              "--eval-every", "2", "--checkpoint-every", "3", code=3)
        train("shared", *asynchronous, "--staleness-policy", "scaled", "--staleness-factor", "0.1", ranks=3, trace=True)
        train("messages", *asynchronous, "--transport", "mpi", "--prefetch-weights", "--wire", "bf16", "--sync-warmup", "1", ranks=3)
        train("masters", *asynchronous, "--masters", "2", "--master-order", "free", ranks=4)
        train("sync", *synchronous, ranks=2, trace=True)
        train("backup", *synchronous, "--sync-backup", "1", ranks=3)
        self.run_in_two_parts(found)
        self.run_without_a_worker(found)
        self.run_other_commands(found)
        return found

    def check_relations(self, run):
        """Section Relations of the page."""
        summary, train, updates = run.summary, run.lines("train"), run.summary["updates"]
        self.assertEqual(updates, sum(summary["staleness"]["histogram"]))
        self.assertEqual(updates, sum(summary["updates_by_worker"]))
        self.assertEqual((updates, summary["seconds"]), (train[-1]["update"], train[-1]["seconds"]))
        lengths = [line["update"] - before for line, before in zip(train, [0, *(line["update"] for line in train)])]
        for name in ("staleness", "publish_lag"):
            if f"{name}_mean" in train[0]:
                total = sum(length * line[f"{name}_mean"] for length, line in zip(lengths, train))
                self.assertAlmostEqual(summary[name]["mean"], total / updates, places=9)
                self.assertEqual(summary[name]["max"], max(line[f"{name}_max"] for line in train))
        self.assertEqual({line["images"] for line in run.lines("evaluation")} - {run.config["test_images"]}, set())
        for name in ("workers", "places", "ranks"):
            if any(name in line for line in train):
                self.assertEqual([len(line[name]) for line in train], lengths)
        if "workers" in train[0]:
            workers = [worker for line in train for worker in line["workers"]]
            self.assertEqual([workers.count(i) for i, _ in enumerate(summary["updates_by_worker"])], summary["updates_by_worker"])
        if leases := summary["leases"]:
            self.assertEqual(2 * leases["granted"], sum(leases.values()))
        self.assertEqual(summary["interrupted"], summary["ending"] == "interrupted")
        if summary["ending"] == "complete":
            self.assertEqual(updates, run.config["updates"])
            planned = {*range(run.config["eval_every"], updates, run.config["eval_every"]), updates}
            self.assertEqual(planned, {line["update"] for line in run.lines("evaluation") + run.lines("evaluation left out")})
            self.assertEqual(run.evaluations()[updates], (summary["test_accuracy"], summary["test_loss"]))

    def run_recipes(self, run):
        """The Python of the page, on a run. Returns what it prints."""
        printed = []
        for code in re.findall("```python\n(.*?)```", PAGES[0].read_text(encoding="utf-8"), re.DOTALL):
            if "import pandas" not in code or importlib.util.find_spec("pandas"):
                self.assertIn("runs/a", code)
                process = subprocess.run([sys.executable, "-c", code.replace("runs/a", str(run.path))], capture_output=True, text=True)
                self.assertEqual(process.returncode, 0, process.stderr)
                printed += [process.stdout]
        return "".join(printed)

    def run_in_two_parts(self, found):
        options = replace(SHORT, ["--max-delay", "3", "--epochs", "1000000", "--out", self.folder / "parts"])
        process = start(*options)
        self.wait_for(self.folder / "parts" / "metrics.jsonl", '"update":6,', process)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=120)
        self.assertEqual(process.returncode, 128 + signal.SIGTERM)
        found.add_run(self.folder / "parts")
        process = start(*options, "--resume")
        self.wait_for(self.folder / "parts" / "config.json", '"until_update"', process)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=120)
        found.add_run(self.folder / "parts")
        self.check_relations(Run(self.folder / "parts"))

    def run_without_a_worker(self, found):
        """A worker dies, and evaluations take longer than the updates between them."""
        folder = self.folder / "left"
        arguments = replace(SHORT, ["--exchange", "async", "--transport", "shared", "--epochs", "20", "--eval-every", "1",
                                    "--test-images", "60", "--eval-batch", "20", "--out", folder])
        shell = f'"$@" || until [ -e {folder}/summary.json ]; do sleep 0.1; done'  # see ending_test.py
        process = subprocess.Popen([MPIEXEC, "-n", "3", "sh", "-c", shell, "sh", PROGRAM, *map(str, arguments)],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.wait_for(folder / "metrics.jsonl", '"update":2', process)
        os.kill(self.process_of_rank(2), signal.SIGKILL)
        process.communicate(timeout=120)
        found.add_run(folder)
        self.assertEqual(Run(folder).summary["ending"], "complete")
        self.check_relations(Run(folder))

    def run_other_commands(self, found):
        def output(*arguments):
            process = call(*arguments)
            self.assertEqual(process.returncode, 0, process.stderr)
            return process.stdout

        scores = self.folder / "scores.json"
        output("eval", "--net", "allcnn", "--weights", self.folder / "local" / "model.safetensors", *DATA, *MACHINE, "--json", scores)
        found.add("apam eval --json FILE", json.loads(scores.read_text()))
        timed = ["--net", "allcnn", "--batch", "1", "--threads", "1", "--kernels", "avg_pool=auto,*=native", "--kernel-cache", ""]
        found.add("apam info --json", json.loads(output("info", "--json", *timed)))
        found.add("apam data check --json", json.loads(output("data", "check", *DATA, "--any-size", "--json")))

    def test_tables_have_the_keys_of_the_files(self):
        pages = Pages("\n".join(path.read_text(encoding="utf-8") for path in PAGES))
        found = self.run_kinds()
        mistakes = []
        for section in sorted({*pages.sections, *found.paths}):
            rows, used = pages.sections.get(section, []), set()
            for paths in found.paths.get(section, []):
                places = {path: row_of(path, rows) for path in paths}
                used |= {*places.values()}
                mistakes += [f"{section}: no row {'.'.join(path)}" for path, place in places.items() if place is None]
                order = [place for path, place in places.items() if len(path) == 1 and place is not None]
                if order != sorted(order):
                    mistakes += [f"{section}: the order is {', '.join(path[0] for path in paths if len(path) == 1)}"]
            mistakes += [f"{section}: no run has {'.'.join(row)}" for i, row in enumerate(rows)
                         if i not in used and (section, row) not in pages.optional]
        self.assertEqual(mistakes, [], "\n" + "\n".join(dict.fromkeys(mistakes)))

    def test_recipes(self):
        run = self.train("a", "--net", "resnet18", "--exchange", "sync", ranks=2)
        (command,) = self.run_recipes(run).splitlines()
        self.assertEqual(shlex.split(command), ["mpiexec.mpich", "-n", "2", *run.config["command"]])
        again = call(*replace(run.config["command"][1:], ["--out", self.folder / "again"]), ranks=2)
        self.assertEqual(again.returncode, 0, again.stderr)
        self.assertEqual(Run(self.folder / "again").sha256(), run.sha256())


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/env python3
"""Runs scripts/experiments.py with a made-up apam: commands, skipped runs, failures, the results page."""

import base64
import html.parser
import shlex
import shutil
import signal
import time

from support import *

SCRIPT = ROOT / "scripts" / "experiments.py"

# Writes the files of a finished run. Its folder has machine.json (the output of apam info), and optionally failing, interrupting
# and sleeping: parts of the names of runs that end in that way.
APAM = """
import json, os, pathlib, sys, time
here = pathlib.Path(__file__).parent
arguments = sys.argv[1:]
def listed(name):
    return (here / name).exists() and any(part in arguments[-1 - (arguments[-1] in ("--overwrite", "--resume"))]
                                          for part in (here / name).read_text().split())
if arguments[0] == "info":
    print((here / "machine.json").read_text())
    sys.exit()
with open(here / "calls", "a") as calls:
    calls.write(json.dumps(arguments) + "\\n")
if listed("failing"):
    print("apam: made-up failure", file=sys.stderr)
    sys.exit(1)
options = dict(zip(arguments[2 if arguments[0] == "data" else 1::2], arguments[3 if arguments[0] == "data" else 2::2]))
out = pathlib.Path(options["--out"])
out.mkdir(exist_ok=True)
if arguments[0] == "data":
    sys.exit()
if listed("sleeping"):
    time.sleep(60)
machine = json.loads((here / "machine.json").read_text())
ranks = int(os.environ.get("MADE_UP_RANKS", 1))
images, updates = 1000, 10
config = {"command": sys.argv, "ranks": ranks, "updates": updates, "train_images": images, "lr": float(options["--lr"])}
config |= {key: options["--" + key] for key in ("net", "data", "exchange", "optimizer", "batch", "device")}
config |= {"cpu": "made-up CPU", "cores": machine["cores"], "commit": "1234567", "max_delay": int(options.get("--max-delay", 0))}
workers = ranks - (options["--exchange"] == "async")
lines = []
for update in range(1, updates + 1):
    at = {"update": update, "epoch": update / updates, "seconds": update * 36.0 / workers}
    lines.append({"event": "train", **at, "train_loss": 2.0, "train_accuracy": update / 20})
    lines.append({"event": "evaluation", **at, "test_loss": 2.0, "test_accuracy": update / 25, "test_top5": update / 15})
(out / "metrics.jsonl").write_text("".join(json.dumps(line) + "\\n" for line in lines))
(out / "config.json").write_text(json.dumps(config))
interrupted = listed("interrupting")
if interrupted:
    (out / "checkpoint.safetensors").touch()
(out / "summary.json").write_text(json.dumps({
    "updates": updates, "epochs": 1.0, "interrupted": interrupted, "diverged": False, "test_accuracy": 0.4, "test_top5": 0.6,
    "train_accuracy": 0.5, "images_per_second": 10.0, "peak_memory_mib": [100.0] * ranks,
    "staleness": {"mean": 0.5, "max": 1, "histogram": [5, 5]}}))
sys.exit(130 if interrupted else 0)
"""

# From the paper and the reference program: net, data, exchange, ranks, options.
DELAYS = (1, 6, 11, 21, 51, 101, 201, 401)
ASYNC, SYNC = (1, 5, 10, 20), (5, 10, 20)
PUBLISHED = [
    ("allcnn", "cifar10", "local", 1, {"max-delay": str(d), "batch": "100", "lr": "1e-4", "epochs": "400", "device": "cpu"})
    for d in DELAYS
]
for net, data, batch, rate, gpu_epochs in (("resnet18", "cinic10", "80", "1e-4", "200"),
                                           ("wrn28-5", "imagenet32", "100", "1e-3", "40")):
    settings = {"batch": batch, "lr": rate, "epochs": "1", "device": "cpu"}
    PUBLISHED += [(net, data, "async", n + 1, settings) for n in ASYNC] + [(net, data, "sync", n, settings) for n in SYNC]
    PUBLISHED += [(net, data, "async", n + 1, {**settings, "epochs": gpu_epochs, "device": "cuda"}) for n in (1, 2, 5, 10)]


class Page(html.parser.HTMLParser):
    """The parts of a page; checks that its tags are balanced."""

    def __init__(self, text):
        super().__init__()
        self.open, self.sources, self.headings, self.cells, self.items = [], [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attributes):
        self.sources += [value for key, value in attributes if key in ("src", "href")]
        if tag not in ("meta", "img"):
            self.open.append(tag)
        for name, texts in (("h2", self.headings), ("td", self.cells), ("li", self.items)):
            if tag == name:
                texts.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, tag

    def handle_data(self, data):
        for name, texts in (("h2", self.headings), ("td", self.cells), ("li", self.items)):
            if name in self.open:
                texts[-1] += data


class Experiments(ProgramTest):
    def setUp(self):
        super().setUp()
        self.out = self.folder / "out"
        self.program, self.mpiexec = self.folder / "apam", self.folder / "mpiexec"
        self.script(self.program, f"#!{sys.executable}\n{APAM}")
        self.script(self.mpiexec, '#!/bin/sh\nexport MADE_UP_RANKS=$2\nshift 2\nexec "$@"\n')
        self.set_machine(cores=64)
        self.sets = {}
        for name in ("cifar10", "cinic10", "imagenet32"):
            self.sets[name] = self.folder / "sets" / name
            self.sets[name].mkdir(parents=True)

    def script(self, path, text):
        path.write_text(text)
        path.chmod(0o755)

    def set_machine(self, **machine):
        (self.folder / "machine.json").write_text(json.dumps(machine))

    def command(self, *arguments, sets=None):
        sets = self.sets if sets is None else sets
        places = {"--program": self.program, "--mpiexec": self.mpiexec, "--out": self.out}
        words = [str(word) for option in places.items() for word in option]
        words += [word for name, folder in sets.items() for word in ("--data-root", f"{name}={folder}")]
        return [sys.executable, str(SCRIPT), *words, *map(str, arguments)]

    def run_all(self, *arguments, code=0, sets=None):
        process = subprocess.run(self.command(*arguments, sets=sets), capture_output=True, text=True, timeout=240)
        self.assertEqual(process.returncode, code, process.stdout + process.stderr)
        return process

    def calls(self):
        """The calls of apam since the last one of this function, as names of run folders."""
        path = self.folder / "calls"
        lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        path.unlink(missing_ok=True)
        return [pathlib.Path(line[line.index("--out") + 1]).name for line in lines]

    def page(self):
        return Page((self.out / "index.html").read_text())

    # Commands

    def parsed(self, line):
        """net, data, exchange, ranks and options of a command line."""
        words = shlex.split(line)
        ranks = 1
        if words[0] != str(self.program):
            self.assertEqual(words[:2], [str(self.mpiexec), "-n"])
            ranks, words = int(words[2]), words[3:]
        self.assertEqual(words[:2], [str(self.program), "train"])
        options = {key[2:]: value for key, value in zip(words[2::2], words[3::2])}
        return options, ranks

    def test_published_commands(self):
        lines = self.run_all("--scale", "published", "--dry-run").stdout.splitlines()
        self.assertEqual(len(lines), 30)
        found, folders = [], set()
        for line in lines:
            options, ranks = self.parsed(line)
            self.assertEqual(options.pop("optimizer"), "amsgrad")
            self.assertEqual(options.pop("data-root"), str(self.sets[options["data"]]))
            folders.add(options.pop("out"))
            threads = options.pop("threads", None)
            self.assertEqual(threads, "1" if options["device"] == "cpu" and ranks > 1 else None)
            found.append((options.pop("net"), options.pop("data"), options.pop("exchange"), ranks, options))
        self.assertEqual(len(folders), 30)
        self.assertCountEqual(found, PUBLISHED)

    def test_a_dry_run_starts_nothing(self):
        process = self.run_all("--scale", "small", "--dry-run", "--program", "/does/not/exist", sets={})
        self.assertIn("--data-root data-root/cinic10 ", process.stdout)
        self.assertEqual(self.calls(), [])
        self.assertFalse(self.out.exists())

    def test_the_shell_script(self):
        command = [ROOT / "scripts" / "run_all.sh", "--scale", "published", "--dry-run"]
        process = subprocess.run(command, capture_output=True, text=True)
        self.assertEqual(process.returncode, 0, process.stderr)
        lines = process.stdout.splitlines()
        self.assertEqual(len(lines), 30)
        for line in lines:
            self.assertIn("build/apam train --data ", line)

    def test_mistakes(self):
        for arguments, fragment in ((["--only", "delay,none"], "no experiment 'none'"), (["--scale", "large"], "large"),
                                    (["--data-root", "cifar10"], "NAME=DIR"), (["--data-root", "none=/"], "no data set 'none'")):
            process = self.run_all(*arguments, code=2, sets={})
            self.assertIn(fragment, process.stderr)
        process = self.run_all("--only", "delay", "--program", "/does/not/exist", code=1)
        self.assertIn("/does/not/exist", process.stderr)
        self.assertFalse(self.out.exists())

    # Runs

    def test_finished_runs_are_skipped(self):
        arguments = ("--scale", "smoke", "--only", "delay")
        self.run_all(*arguments)
        names = ["delay-1", "delay-11", "delay-51"]
        self.assertEqual(self.calls(), names)
        process = self.run_all(*arguments)
        self.assertEqual(self.calls(), [])
        self.assertEqual(process.stdout.count(": finished"), 3)

        folder = self.out / "smoke" / "delay"
        (folder / "delay-1" / "summary.json").unlink()
        for run, name, key, value in ((11, "summary", "interrupted", True), (51, "summary", "updates", 9)):
            self.change(folder / f"delay-{run}" / f"{name}.json", key, value)
        self.run_all(*arguments)
        self.assertEqual(self.calls(), names)
        self.change(folder / "delay-1" / "config.json", "command", ["apam", "train", "--lr", "1"])
        self.change(folder / "delay-11" / "config.json", "ranks", 2)
        self.change(folder / "delay-51" / "summary.json", "diverged", True)
        self.run_all(*arguments)
        self.assertEqual(self.calls(), names)

    def test_interrupted_runs_are_continued(self):
        (self.folder / "interrupting").write_text("delay-11\n")
        arguments = ("--scale", "smoke", "--only", "delay")
        self.run_all(*arguments, code=1)
        folder = self.out / "smoke" / "delay" / "delay-11"
        self.change(folder / "config.json", "ranks", 2)
        for option in ("--overwrite", "--resume"):  # after a run with other ranks, and after one of the same command
            (self.folder / "calls").unlink()
            self.run_all(*arguments, code=1)
            (call,) = map(json.loads, (self.folder / "calls").read_text().splitlines())
            self.assertEqual(call[-3:], ["--out", str(folder), option])

    def change(self, path, key, value):
        content = json.loads(path.read_text())
        content[key] = value
        path.write_text(json.dumps(content))

    def test_failures_do_not_stop_the_others(self):
        (self.folder / "failing").write_text("delay-1\n")
        (self.folder / "interrupting").write_text("delay-51\n")
        shutil.rmtree(self.out, ignore_errors=True)
        process = self.run_all("--scale", "small", "--only", "delay", code=1)
        # delay-1 is also part of the names of delay-11 and delay-101
        self.assertEqual(self.calls(), ["delay-1", "delay-11", "delay-21", "delay-51", "delay-101"])
        failed = [line for line in process.stdout.splitlines() if line.startswith("run_all: failed: ")]
        self.assertEqual(len(failed), 4, process.stdout)
        self.assertIn("delay/delay-1: exit code 1: apam: made-up failure", failed[0])
        self.assertIn("delay/delay-51: exit code 130", failed[2])
        self.assertEqual(sum("made-up failure" in item for item in self.page().items), 3)
        (self.folder / "failing").unlink()
        (self.folder / "interrupting").unlink()
        self.run_all("--scale", "small", "--only", "delay")
        self.assertEqual(self.calls(), ["delay-1", "delay-11", "delay-51", "delay-101"])

    def test_more_ranks_than_cores(self):
        self.set_machine(cores=2)
        process = self.run_all("--scale", "smoke", "--only", "cinic10")
        self.assertEqual([name for name in self.calls() if name.startswith(("async", "sync"))], ["async-1", "sync-2"])
        self.assertIn("async-2: skipped: 3 ranks, but 2 cores", process.stdout)
        self.assertTrue(any("async-2" in item and "2 cores" in item for item in self.page().items))
        self.assertNotIn("oversubscribed", "".join(self.page().cells))
        self.run_all("--scale", "smoke", "--only", "cinic10", "--oversubscribe")
        self.assertEqual(self.calls(), ["async-2"])
        self.assertEqual("".join(self.page().cells).count("oversubscribed"), 1)

    def test_gpus(self):
        process = self.run_all("--scale", "small", "--only", "cinic10-gpu")
        self.assertEqual(self.calls(), [])
        self.assertEqual(process.stdout.count("skipped: no GPU"), 4)
        self.assertIn("\nrun_all: nothing was run: all 4 runs were skipped\n", process.stdout)
        self.set_machine(cores=4, gpus=["made-up GPU"])
        process = self.run_all("--scale", "small", "--only", "cinic10-gpu")
        self.assertEqual(self.calls(), ["async-1", "async-2"])
        self.assertEqual(process.stdout.count("skipped: 6 ranks, but 4 cores"), 1)
        self.assertNotIn("nothing was run", process.stdout)

    def test_missing_data(self):
        process = self.run_all("--scale", "small", "--only", "cinic10", sets={"cinic10": self.folder / "nowhere"})
        self.assertEqual(self.calls(), [])
        self.assertEqual(process.stdout.count("scripts/get_data.sh cinic10"), 14)
        self.assertTrue(any("scripts/get_data.sh cinic10" in item for item in self.page().items))

    def test_an_interruption(self):
        (self.folder / "sleeping").write_text("delay-11\n")
        process = subprocess.Popen(self.command("--scale", "smoke", "--only", "delay"), stdout=subprocess.PIPE, text=True)
        log = self.out / "smoke" / "delay" / "delay-11.log"
        deadline = time.monotonic() + 60
        while not log.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 128 + signal.SIGTERM, output)
        self.assertIn("run_all: failed: delay/delay-11: interrupted", output)
        self.assertIn("run_all: skipped: delay/delay-51: interrupted before its start", output)
        self.assertTrue(any("delay-51" in item for item in self.page().items))

    # The page

    def test_the_page(self):
        self.run_all("--scale", "published", "--only", "cinic10,delay")
        self.assertEqual(len(self.calls()), 15)
        page = self.page()
        self.assertEqual(page.headings[0], "AllCNN on CIFAR-10 with artificial delay")
        self.assertEqual(page.headings[-2:], ["Machine", "Skipped and failed runs"])
        self.assertEqual(len(page.headings), 7)
        self.assertIn("made-up CPU", page.cells)
        self.assertEqual(len(page.sources), 2 + 4)
        for source in page.sources:
            self.assertTrue(source.startswith("data:image/svg+xml;base64,"))
            self.assertIn(b"<svg", base64.b64decode(source.split(",")[1]))
        for figure in ("1.79 h", "0.17 h", "1.08 h"):
            self.assertIn(figure, page.cells)
        self.assertIn("10.5", page.cells)  # 1.79 / 0.17, published
        self.assertEqual(page.cells.count("56.0%"), 1)  # delay 401, epoch 50
        # 1000 images in 360 s by 1 worker, 90,000 images by 5: 90 * 360 s / 5 = 1.8 h
        self.assertIn("1.8 h", page.cells)
        text = (self.out / "index.html").read_text()
        self.assertNotIn("http://", text)
        self.assertNotIn("https://", text)
        self.assertEqual(sum("not in --only" in item for item in page.items), 15)
        for name in ("time", "speedup", "accuracy", "staleness"):
            for end, magic in (("png", b"\x89PNG"), ("svg", b"<?xml")):
                content = (self.out / "published" / "cinic10" / f"{name}.{end}").read_bytes()
                self.assertEqual(content[:len(magic)], magic)

    def test_smoke_trains_on_the_sample(self):
        self.run_all("--scale", "smoke", sets={})
        page = self.page()
        self.assertEqual(page.headings[-1], "Skipped and failed runs")
        self.assertEqual(sum("no GPU" in item for item in page.items), 4)
        self.assertEqual(len(page.sources), 2 + 4 + 4)
        for arguments in self.run_all("--scale", "smoke", "--dry-run", sets={}).stdout.splitlines():
            options, _ = self.parsed(arguments)
            self.assertNotIn("data-root/", options.get("data-root", ""))


if __name__ == "__main__":
    unittest.main()

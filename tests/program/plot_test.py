#!/usr/bin/env python3
"""Draws synthetic runs with scripts/plot.py."""

import html
import re

from support import *

PLOT = ROOT / "scripts" / "plot.py"


class PlotTest(ProgramTest):
    """Made-up runs and the texts of pictures."""

    def run_folder(self, name, lines):
        (self.folder / name).mkdir()
        (self.folder / name / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        return self.folder / name

    def made_up(self, name):
        at = lambda update: {"update": update, "epoch": update / 4, "seconds": 10.0 * update}
        lines = [{"event": "train", **at(u), "train_loss": 2.3 - u / 10} for u in range(1, 9)]
        lines += [{"event": "evaluation", **at(u), "test_loss": None if u == 4 else 2.2, "test_accuracy": u / 10} for u in (8, 4)]
        return self.run_folder(name, lines)

    def plot(self, *arguments):
        return subprocess.run([sys.executable, PLOT, *map(str, arguments)], capture_output=True, text=True)

    def assert_drawn(self, process, picture):
        self.assertEqual(process.returncode, 0, process.stderr)
        self.assertGreater(picture.stat().st_size, 5000)

    def texts(self, picture):
        """The texts of an SVG file: matplotlib draws glyphs, with the text in a comment before them."""
        return [html.unescape(text) for text in re.findall(r"<!-- (.*?) -->", picture.read_text())]


class Curves(PlotTest):
    def test_draws_one_run_and_several(self):
        one, two = self.made_up("one"), self.made_up("two")
        for runs, name, magic in (([one], "a.png", b"\x89PNG"), ([one, two], "b.svg", b"<?xml")):
            process = self.plot(*runs, "--out", self.folder / name)
            self.assertEqual(process.returncode, 0, process.stderr)
            self.assertEqual((self.folder / name).read_bytes()[: len(magic)], magic)
        self.assertIn("two", (self.folder / "b.svg").read_text())  # the legend, as a comment next to its glyphs

    def test_text_that_cannot_be_written_is_one_line(self):
        text = [sys.executable, PLOT, "text", self.made_up("one")]
        for redirection, reason in ((">/dev/full", "No space left on device"), (">&-", "Bad file descriptor")):
            process = subprocess.run(["sh", "-c", f'"$@" {redirection}', "sh", *map(str, text)], stderr=subprocess.PIPE, text=True)
            self.assertEqual((process.returncode, process.stderr), (1, f"plot: standard output cannot be written: {reason}\n"))

    def test_names_of_runs_are_literal(self):
        # matplotlib would read the first as a formula, the third as an invalid one, and hide the second.
        names = ["$x_1$ {", "_hidden", r"a$\frac{b$", r"back\$lash", "$", "{0}"]
        picture = self.folder / "a.svg"
        process = self.plot(*(self.made_up(name) for name in names), "--out", picture)
        self.assert_drawn(process, picture)
        self.assertEqual(process.stderr, "")
        texts = self.texts(picture)
        for name in names:
            self.assertIn(name, texts)
        process = self.plot(self.made_up("plain"), "--title", r"$\nothing{$", "--out", picture)
        self.assert_drawn(process, picture)
        self.assertIn(r"$\nothing{$", self.texts(picture))

    def test_the_title_of_one_run_has_its_settings(self):
        config = {"net": "allcnn", "data": "cifar10", "exchange": "sync", "ranks": 2, "batch": 100, "optimizer": "sgd", "lr": 0.1}
        for momentum, text in (({}, "sgd"), ({"momentum": 0.0}, "sgd"), ({"momentum": 0.9}, "sgd, momentum 0.9")):
            run = self.made_up(f"run{len(text)}{len(momentum)}")
            (run / "config.json").write_text(json.dumps({**config, **momentum}))
            picture = self.folder / "a.svg"
            self.assert_drawn(self.plot(run, "--out", picture), picture)
            self.assertIn(f"allcnn on cifar10, sync, 2 ranks, batch 100, {text}, lr 0.1", self.texts(picture))

    def test_names_that_are_not_text(self):
        folder = pathlib.Path(os.fsdecode(os.fsencode(self.folder) + b"/\xff"))
        self.made_up("one").rename(folder)
        process = self.plot(folder, self.made_up("two"), "--out", self.folder / "a.png")
        self.assert_drawn(process, self.folder / "a.png")

    def test_an_incomplete_last_line_is_skipped(self):
        for end in (b'{"event": "train", "update": 9', b'"\xc3'):
            torn = self.made_up(f"torn{len(end)}")
            with open(torn / "metrics.jsonl", "ab") as file:
                file.write(end)
            process = self.plot(torn, "--out", self.folder / "a.png")
            self.assert_drawn(process, self.folder / "a.png")
            self.assertEqual(len(process.stderr.splitlines()), 1, process.stderr)
            self.assertIn(f"plot: {torn}/metrics.jsonl, line 11: ", process.stderr)
        whole = self.made_up("whole")
        (whole / "metrics.jsonl").write_text((whole / "metrics.jsonl").read_text().rstrip("\n"))
        self.assertEqual(self.plot(whole, "--out", self.folder / "a.png").stderr, "")

    def test_values_that_are_not_finite_are_gaps(self):
        lines = []
        for update, value in enumerate(("NaN", "Infinity", "-Infinity", "null", "1.5", "0.5"), 1):
            at = f'"update": {update}, "epoch": {update}, "seconds": {update}'
            lines.append(f'{{"event": "train", {at}, "train_loss": {value}}}')
            lines.append(f'{{"event": "evaluation", {at}, "test_loss": {value}, "test_accuracy": {value}}}')
        (self.folder / "a").mkdir()
        for count in (len(lines), 2):
            (self.folder / "a" / "metrics.jsonl").write_text("\n".join(lines[:count]) + "\n")
            process = self.plot(self.folder / "a", "--out", self.folder / "a.png")
            self.assert_drawn(process, self.folder / "a.png")
            self.assertEqual(process.stderr, "")

    def test_a_run_without_evaluations(self):
        at = {"update": 1, "epoch": 1, "seconds": 2}
        young = self.run_folder("young", [{"event": "train", **at, "train_loss": 2.3}])
        for runs in ([young], [young, self.made_up("old")]):
            process = self.plot(*runs, "--out", self.folder / "a.png")
            self.assert_drawn(process, self.folder / "a.png")

    def test_mistakes_are_one_line(self):
        torn = self.made_up("torn")
        with open(torn / "metrics.jsonl", "a") as file:
            file.write('{"event": "tra\n{"event": "other"}')
        at = {"epoch": 1, "seconds": 2}
        strange = self.run_folder("strange", [{"event": "train", "update": 1, **at, "train_loss": "low"}])
        nowhere = self.run_folder("nowhere", [{"event": "train", "update": float("nan"), **at, "train_loss": 1}])
        empty = self.run_folder("empty", [])
        for arguments, fragment in (
            ([self.folder / "none"], "No such file or directory"),
            ([torn], "torn/metrics.jsonl, line 11: "),
            ([strange], "strange/metrics.jsonl, line 1: invalid metrics (train_loss "),
            ([nowhere], "nowhere/metrics.jsonl, line 1: invalid metrics (update "),
            ([empty], "empty/metrics.jsonl: no metrics"),
            ([self.made_up("a"), "--out", self.folder / "a.xyz"], "xyz"),
        ):
            process = self.plot(*arguments)
            self.assertEqual(process.returncode, 1)
            self.assertEqual(len(process.stderr.splitlines()), 1, process.stderr)
            self.assertIn(fragment, process.stderr)

    def test_several_files(self):
        self.assert_drawn(self.plot(self.made_up("a"), "--out", self.folder / "a.png", "--out", self.folder / "a.svg"),
                          self.folder / "a.png")
        self.assertIn("test accuracy", self.texts(self.folder / "a.svg"))


class Pictures(PlotTest):
    """The pictures of experiments."""

    def made_up_run(self, exchange="async", ranks=2, delay=None, seconds=100.0, epochs=10, images=90000, cores=64, **more):
        """A finished run of ResNet18 on CINIC-10."""
        lines = []
        for epoch in range(1, epochs + 1):
            for half in (0.5, 0):
                at = {"update": round(100 * (epoch - half)), "epoch": epoch - half, "seconds": seconds * (epoch - half)}
                lines.append({"event": "train", **at, "train_loss": 2.0, "train_accuracy": (epoch - half) / 20, **more})
            lines.append({"event": "evaluation", **at, "test_loss": 2.0, "test_accuracy": epoch / 20, "test_top5": epoch / 11})
        name = f"delay-{delay}" if delay else f"{exchange}-{ranks}"
        folder = self.run_folder(name, lines)
        config = {"net": "allcnn" if delay else "resnet18", "data": "cifar10" if delay else "cinic10", "exchange": exchange,
                  "ranks": ranks, "cores": cores, "train_images": images, "device": "cpu", "max_delay": delay or 0}
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "summary.json").write_text(json.dumps({"staleness": {"histogram": [10, 30, 60]}}))
        return folder

    def drawn(self, picture, runs, *arguments):
        """Draws a picture and returns its texts."""
        path = self.folder / f"{picture}.svg"
        process = self.plot(picture, *runs, "--out", path, *arguments)
        self.assert_drawn(process, path)
        self.assertEqual(process.stderr, "")
        return self.texts(path)

    def test_delay(self):
        runs = [self.made_up_run("local", 1, delay, images=50000) for delay in (401, 1, 21)]
        texts = self.drawn("delay", runs)
        self.assertEqual([text for text in texts if text.startswith("D = ")], ["D = 1", "D = 21", "D = 401"])
        self.assertIn("hollow markers: published", texts)
        other = [self.made_up_run("local", 1, 51, images=2500)]
        self.assertNotIn("hollow markers: published", self.drawn("delay", other))

    def test_time(self):
        runs = [self.made_up_run("async", n + 1, seconds=3600 / n) for n in (1, 5)] + [self.made_up_run("sync", 5, seconds=1800)]
        texts = self.drawn("time", runs)
        for text in ("1", "0.2", "0.5", "1.79", "0.39", "0.68", "hours per epoch of 90,000 images", "async, published"):
            self.assertIn(text, texts)
        self.assertFalse(any("scaled" in text for text in texts))

    def test_times_of_fewer_images_are_scaled(self):
        # 2 s for 1,000 images are 180 s for 90,000.
        runs = [self.made_up_run("async", 2, seconds=2.0, images=1000, cores=1)]
        texts = self.drawn("time", runs)
        self.assertIn("0.05*", texts)
        self.assertTrue(any("scaled" in text and "oversubscribed" in text for text in texts))

    def test_speedup(self):
        runs = [self.made_up_run("async", n + 1, seconds=100 / n) for n in (1, 2, 5)]
        texts = self.drawn("speedup", runs)
        for text in ("linear", "async", "async, published", "sync, published"):
            self.assertIn(text, texts)
        process = self.plot("speedup", *runs[1:], "--out", self.folder / "a.svg")
        self.assertEqual(process.returncode, 1)
        self.assertIn("one worker", process.stderr)

    def test_accuracy(self):
        runs = [self.made_up_run("async", n + 1, train_top5=0.5) for n in (1, 2)]
        texts = self.drawn("accuracy", runs, "--experiment", "cinic10-gpu")
        for text in ("train top-1", "test top-1", "train top-5", "test top-5", "async, 1 worker", "async, 2 workers"):
            self.assertIn(text, texts)
        self.assertTrue(any(text.startswith("dotted: published") for text in texts))
        texts = self.drawn("accuracy", [self.made_up_run("sync", 2)])
        self.assertNotIn("train top-5", texts)

    def test_staleness(self):
        texts = self.drawn("staleness", [self.made_up_run("async", 3), self.made_up_run("local", 1, delay=3)])
        self.assertIn("mean 1.5, theory 1", " ".join(texts))

    def test_staleness_of_workers_that_compute_ahead_or_are_masters_too(self):
        for ranks, option, mean in ((4, "colocate", 3), (5, "prefetch_weights", 7)):
            run = self.made_up_run("async", ranks)
            config = json.loads((run / "config.json").read_text())
            (run / "config.json").write_text(json.dumps({**config, option: True}))
            self.assertIn(f"mean 1.5, theory {mean}", " ".join(self.drawn("staleness", [run])))

    def test_text(self):
        run = self.made_up_run(epochs=2)
        process = self.plot("text", run)
        self.assertEqual(process.returncode, 0, process.stderr)
        self.assertEqual([line.split()[-2:] for line in process.stdout.splitlines()], [["5.0%", "##"], ["10.0%", "#####"]])

    def test_pictures_need_a_config(self):
        for picture in ("time", "speedup", "staleness"):
            process = self.plot(picture, self.made_up(picture), "--out", self.folder / "a.svg")
            self.assertEqual(process.returncode, 1)
            self.assertEqual(len(process.stderr.splitlines()), 1, process.stderr)
            self.assertIn(f"{picture}/", process.stderr)


if __name__ == "__main__":
    unittest.main()

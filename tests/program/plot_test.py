#!/usr/bin/env python3
"""Draws synthetic runs with scripts/plot.py."""

import html
import re

from support import *

PLOT = ROOT / "scripts" / "plot.py"


class Plot(ProgramTest):
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

    def test_draws_one_run_and_several(self):
        one, two = self.made_up("one"), self.made_up("two")
        for runs, name, magic in (([one], "a.png", b"\x89PNG"), ([one, two], "b.svg", b"<?xml")):
            process = self.plot(*runs, "--out", self.folder / name)
            self.assertEqual(process.returncode, 0, process.stderr)
            self.assertEqual((self.folder / name).read_bytes()[: len(magic)], magic)
        self.assertIn("two", (self.folder / "b.svg").read_text())  # the legend, as a comment next to its glyphs

    def assert_drawn(self, process, picture):
        self.assertEqual(process.returncode, 0, process.stderr)
        self.assertGreater(picture.stat().st_size, 5000)

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

    def texts(self, picture):
        """The texts of an SVG file: matplotlib draws glyphs, with the text in a comment before them."""
        return [html.unescape(text) for text in re.findall(r"<!-- (.*?) -->", picture.read_text())]

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


if __name__ == "__main__":
    unittest.main()

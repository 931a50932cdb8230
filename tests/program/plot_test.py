#!/usr/bin/env python3
"""Draws made-up runs with scripts/plot.py."""

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
        self.assertIn("two", (self.folder / "b.svg").read_text())  # the legend, as a comment beside its glyphs

    def test_mistakes_are_one_line(self):
        torn = self.made_up("torn")
        with open(torn / "metrics.jsonl", "a") as file:
            file.write('{"event": "tra')
        empty = self.run_folder("empty", [])
        for arguments, fragment in (
            ([self.folder / "none"], "No such file or directory"),
            ([torn], "line 11: not a line of metrics"),
            ([empty], "holds no metrics yet"),
            ([self.made_up("a"), "--out", self.folder / "a.xyz"], "xyz"),
        ):
            process = self.plot(*arguments)
            self.assertEqual(process.returncode, 1)
            self.assertEqual(len(process.stderr.splitlines()), 1, process.stderr)
            self.assertIn(fragment, process.stderr)


if __name__ == "__main__":
    unittest.main()

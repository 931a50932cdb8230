"""Shared by the tests of the program: running it, with and without mpiexec, on a small synthetic data set. Plain Python."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = os.environ.get("APAM_PROGRAM", str(ROOT / "build" / "apam"))
MPIEXEC = os.environ.get("APAM_MPIEXEC", "mpiexec.mpich")

# Eight training images: an epoch is four updates. The provider is named, so nothing is timed and all runs use the same kernels.
# Under AddressSanitizer it is a library's, which is not slowed down by it: the tests of kernels/ check our own.
DATA = ["--data", "synthetic", "--train-images", "8", "--test-images", "6"]
PROVIDER = os.environ.get("APAM_PROVIDER", "native")
MACHINE = ["--kernels", "native" if PROVIDER == "native" else f"*={PROVIDER}", "--threads", "1"]
TRAIN = ["train", *DATA, *MACHINE, "--batch", "2", "--lr", "1e-3", "--eval-batch", "3", "--eval-every", "2", "--log-every", "1"]
UPDATES = 4


def replace(arguments, more):
    """`arguments`, with the options in `more` replacing the same options."""
    named = {option for option in more if str(option).startswith("--")}
    kept = []
    arguments = [str(argument) for argument in arguments]
    for i, argument in enumerate(arguments):
        if argument in named or (not argument.startswith("--") and i > 0 and arguments[i - 1] in named):
            continue
        kept.append(argument)
    return [*kept, *more]


def call(*arguments, ranks=None, environment=None, cwd=None):
    """Runs apam and returns the finished process, its output as text."""
    command = [PROGRAM, *map(str, arguments)]
    if ranks is not None:
        command = [MPIEXEC, "-n", str(ranks), *command]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, cwd=cwd, env={**os.environ, **(environment or {})})


def complaints(process):
    """The lines of apam on stderr, without those of the launcher."""
    return [line for line in process.stderr.splitlines() if line.startswith("apam: ")]


class Run:
    """A run folder."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.config = json.loads((self.path / "config.json").read_text())
        self.summary = json.loads((self.path / "summary.json").read_text())
        self.metrics = [json.loads(line) for line in (self.path / "metrics.jsonl").read_text().splitlines()]

    def lines(self, event):
        """Of the metrics."""
        return [m for m in self.metrics if m["event"] == event]

    def evaluations(self):
        """Update -> (accuracy, loss)."""
        return {m["update"]: (m["test_accuracy"], m["test_loss"]) for m in self.lines("evaluation")}

    def sha256(self):
        return self.summary["weights_sha256"]


class ProgramTest(unittest.TestCase):
    """A test with its own folder."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def train(self, name, *more, ranks=None):
        process = call(*replace(TRAIN, more), "--out", self.folder / name, ranks=ranks)
        self.assertEqual(process.returncode, 0, process.stderr)
        return Run(self.folder / name)

    def assert_replays(self, run):
        """The order of events is all that a replay of an asynchronous run needs."""
        process = call("replay", "--run", run.path)
        self.assertEqual(process.returncode, 0, process.stderr)
        self.assertIn(f"{run.summary['updates']} updates replayed", process.stdout)
        self.assertIn("the state of the run, bit for bit", process.stdout)
        self.assertIn(run.summary["weights_sha256"], process.stdout)

    def assert_refused(self, process, fragment, status):
        self.assertEqual(len(complaints(process)), 1, process.stderr)
        self.assertIn(fragment, complaints(process)[0])
        self.assertEqual(process.returncode, status, process.stderr)
        self.assertEqual(process.stdout, "")


def start(*arguments, ranks=None):
    """Starts apam and returns the process, its output as text."""
    command = [PROGRAM, *map(str, arguments)]
    if ranks is not None:
        command = [MPIEXEC, "-n", str(ranks), *command]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            preexec_fn=lambda: signal.signal(signal.SIGXFSZ, signal.SIG_IGN))


class Early(ProgramTest):
    def wait_for(self, path, text, process):
        deadline = time.monotonic() + 120
        while not (path.exists() and text in path.read_text()):
            self.assertLess(time.monotonic(), deadline)
            self.assertIsNone(process.poll(), "ended before it was interrupted")
            time.sleep(0.02)

    def process_of_rank(self, rank):
        """The process id of a rank of the job that writes below this test's folder, which is not that of a shell."""
        for process in pathlib.Path("/proc").iterdir():
            try:
                command = (process / "cmdline").read_bytes()
                mine = str(self.folder).encode() in command and command.startswith(str(PROGRAM).encode())
                if mine and f"PMI_RANK={rank}".encode() in (process / "environ").read_bytes().split(b"\0"):
                    return int(process.name)
            except OSError:  # not a process, or gone
                continue
        self.fail(f"no process has rank {rank}")

#!/usr/bin/env python3
"""Runs that are stopped or killed and continued: they must end like runs that were not."""

import re

from support import *

ALL = 24  # updates, six epochs
LONG = replace(TRAIN, ["--max-updates", ALL, "--epochs", "6"])
MOMENTUM = ["--optimizer", "sgd", "--lr", "1e-2", "--momentum", "0.9"]
TIMES = re.compile(r'"(evaluation_)?seconds": ?[^,}]*|"images_per_second": ?[^,}]*')  # differ from run to run


class Resume(Early):
    def whole(self, name, *more, ranks=None):
        process = call(*replace(LONG, more), "--out", self.folder / name, ranks=ranks)
        self.assertEqual(process.returncode, 0, process.stderr)
        return Run(self.folder / name)

    def stop(self, name, number, *more, ranks=None, update=7):
        """Starts a run, and sends it a signal some time after an update."""
        process = start(*replace(LONG, more), "--out", self.folder / name, ranks=ranks)
        self.wait_for(self.folder / name / "metrics.jsonl", f'"update":{update},', process)
        process.send_signal(number)
        _, errors = process.communicate(timeout=120)
        self.assertNotEqual(process.returncode, 0, errors)
        self.assertTrue((self.folder / name / "checkpoint.safetensors").exists(), errors)

    def resume(self, name, *more, ranks=None):
        process = call(*replace(LONG, more), "--out", self.folder / name, "--resume", ranks=ranks)
        self.assertEqual(process.returncode, 0, process.stderr)
        self.assertRegex(process.stderr, r"continues at update \d+, from ")
        run = Run(self.folder / name)
        self.assertFalse((run.path / "checkpoint.safetensors").exists())
        self.assertEqual(run.summary["updates"], ALL)
        self.assertEqual([part["until_update"] for part in run.config["resumed"]], [self.begin(process)])
        return run

    @staticmethod
    def begin(process):
        return int(re.search(r"continues at update (\d+)", process.stderr).group(1))

    def assert_same_training(self, run, whole):
        for key in ("weights_sha256", "state_sha256", "train_loss", "train_accuracy", "test_loss", "staleness", "publish_lag"):
            self.assertEqual(run.summary[key], whole.summary[key], key)
        lines, expected = ([TIMES.sub("", json.dumps(line)) for line in each.lines("train")] for each in (run, whole))
        self.assertEqual(lines, expected)

    def assert_same(self, run, whole):
        self.assert_same_training(run, whole)
        lines, expected = ([TIMES.sub("", line) for line in (each.path / "metrics.jsonl").read_text().splitlines()]
                           for each in (run, whole))
        self.assertEqual(lines, expected)
        rows, expected = ([row.split(",") for row in (each.path / "epochs.csv").read_text().splitlines()] for each in (run, whole))
        self.assertEqual([row[:2] + row[3:] for row in rows], [row[:2] + row[3:] for row in expected])
        seconds = [float(row[2]) for row in rows[1:]]
        self.assertEqual(seconds, sorted(seconds))

    def test_has_the_bits_of_a_run_that_was_not_stopped(self):
        for name, number, options in (("stopped", signal.SIGTERM, []),
                                      ("killed", signal.SIGKILL, ["--checkpoint-every", "3"]),
                                      ("delayed", signal.SIGTERM, ["--max-delay", "5", "--optimizer", "adam"]),
                                      ("scheduled", signal.SIGKILL, ["--optimizer", "sgd", "--lr-schedule", "cosine",
                                                                     "--checkpoint-every", "5", "--eval-every", "3"]),
                                      ("momentum", signal.SIGKILL, [*MOMENTUM, "--checkpoint-every", "4"]),
                                      ("delayed momentum", signal.SIGTERM, [*MOMENTUM, "--nesterov", "--max-delay", "3"])):
            with self.subTest(name):
                self.stop(name, number, *options)
                self.assert_same(self.resume(name, *options), self.whole(f"whole {name}", *options))

    def test_of_one_worker(self):
        whole = self.whole("whole")
        for name, number, options in (("shared", signal.SIGTERM, ["--transport", "shared"]),
                                      ("messages", signal.SIGKILL, ["--transport", "mpi", "--checkpoint-every", "4"])):
            with self.subTest(name):
                self.stop(name, number, "--exchange", "async", *options, ranks=2)
                run = self.resume(name, "--exchange", "async", *options, ranks=2)
                self.assertEqual(run.sha256(), whole.sha256())
                self.assertEqual(run.summary["leases"]["applied"], ALL)
                # A contribution and weights per update of all parts; the last ones before the checkpoint may not have left.
                moved = run.summary["copied_bytes"] / (4 * run.config["parameters"])
                self.assertTrue(moved == 0 if name == "shared" else 2 * ALL - 4 <= moved <= 2 * ALL + 4, moved)

    def test_of_several_workers_applies_every_batch_once(self):
        initial = self.train("initial", "--max-updates", "1")
        for name, options in (("plain", []), ("averages", ["--staleness-policy", "rennala", "--staleness-gradients", "3"])):
            with self.subTest(name):
                weights = ["--init", initial.path / "model.safetensors"]
                more = ["--exchange", "async", "--epochs", "30", "--max-updates", "0", *weights, *options]
                updates = 40 if options else 120
                process = start(*replace(LONG, more), "--out", self.folder / name, ranks=3)
                self.wait_for(self.folder / name / "metrics.jsonl", '"update":7,', process)
                process.send_signal(signal.SIGTERM)
                process.communicate(timeout=120)
                stopped = Run(self.folder / name)
                self.assertTrue(stopped.summary["interrupted"])
                process = call(*replace(LONG, more), "--out", self.folder / name, "--resume", ranks=4)  # one more worker
                self.assertEqual(process.returncode, 0, process.stderr)
                self.assertEqual(self.begin(process), stopped.summary["updates"])
                run = Run(self.folder / name)
                self.assertEqual(run.config["init_sha256"], initial.summary["state_sha256"])
                leases = run.summary["leases"]
                self.assertEqual((run.summary["updates"], leases["applied"]), (updates, 120))
                self.assertEqual(leases["granted"], sum(leases.values()) - leases["granted"])
                self.assertEqual(sum(run.summary["updates_by_worker"]), updates)
                self.assertEqual(sum(len(line["workers"]) for line in run.lines("train")), updates)
                self.assert_replays(run)

    def test_of_synchronous_ranks(self):
        for transport, optimizer in (("shared", []), ("mpi", [*MOMENTUM, "--nesterov"])):
            with self.subTest(transport):
                options = ["--exchange", "sync", "--transport", transport, *optimizer]
                whole = self.whole(f"whole {transport}", *options, ranks=2)
                self.stop(transport, signal.SIGTERM, *options, ranks=2)
                # Evaluations in the background that had not ended are lost.
                self.assert_same_training(self.resume(transport, *options, ranks=2), whole)

    def test_begins_without_a_checkpoint(self):
        new = call(*LONG, "--out", self.folder / "new", "--resume")
        self.assertEqual(new.returncode, 0, new.stderr)
        self.assertEqual(Run(self.folder / "new").config["resumed"], [])
        process = start(*LONG, "--out", self.folder / "early", "--checkpoint-every", "0")
        self.wait_for(self.folder / "early" / "metrics.jsonl", '"update":2,', process)
        process.kill()
        process.communicate()
        early = call(*LONG, "--out", self.folder / "early", "--resume")
        self.assertEqual(early.returncode, 0, early.stderr)
        self.assertEqual(Run(self.folder / "early").sha256(), Run(self.folder / "new").sha256())

    def test_is_refused_for_another_training(self):
        self.stop("a", signal.SIGTERM)
        folder = self.folder / "a"
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        for option, had, wanted in (("--seed", 0, 1), ("--batch", 2, 4), ("--train-images", 8, 6), ("--optimizer", "amsgrad", "sgd"),
                                    ("--net", "allcnn", "resnet18"), ("--epochs", 6, 7)):
            with self.subTest(option):
                process = call(*replace(LONG, [option, wanted]), "--out", folder, "--resume")
                self.assert_refused(process, f"--resume: {option}: the checkpoint has {had}, got {wanted}", 2)
        process = call(*LONG, "--out", folder, "--resume", "--overwrite")
        self.assert_refused(process, "--resume: continues the run in ", 2)
        for more, ranks in ((["--exchange", "async", "--masters", "2"], 3), (["--exchange", "sync", "--sync-backup", "1"], 2)):
            process = call(*replace(LONG, more), "--out", folder, "--resume", ranks=ranks)
            self.assert_refused(process, "--resume: is for one master, or sync without backup ranks", 2)
        self.assertEqual(before, {path.name: path.read_bytes() for path in folder.iterdir()})
        self.assert_refused(call(*LONG, "--resume"), "--resume requires --out", 2)

    def test_is_refused_with_another_momentum(self):
        self.stop("a", signal.SIGTERM, *MOMENTUM)
        for option, more, had, wanted in (("--momentum", ["--momentum", "0.8"], "0.9", "0.8"), ("--nesterov", ["--nesterov"], "no", "yes")):
            process = call(*replace(LONG, replace(MOMENTUM, more)), "--out", self.folder / "a", "--resume")
            self.assert_refused(process, f"--resume: {option}: the checkpoint has {had}, got {wanted}", 2)

    def test_is_refused_for_a_complete_run(self):
        self.whole("a")
        process = call(*LONG, "--out", self.folder / "a", "--resume")
        self.assert_refused(process, "has a summary, but no checkpoint: the run is complete", 1)

    def test_is_refused_with_a_malformed_checkpoint(self):
        self.stop("a", signal.SIGTERM)
        path = self.folder / "a" / "checkpoint.safetensors"
        whole = path.read_bytes()
        for content, fragment in ((whole[:-5], "checkpoint.safetensors"), (b"nothing", "checkpoint.safetensors"),
                                  (whole.replace(b'"moments"', b'"momentum"'), "checkpoint.safetensors"),
                                  ((self.folder / "a" / "model.safetensors").read_bytes(), "is no checkpoint: has no tensor states")):
            path.write_bytes(content)
            self.assert_refused(call(*LONG, "--out", self.folder / "a", "--resume"), fragment, 1)
        path.write_bytes(whole)
        metrics = self.folder / "a" / "metrics.jsonl"
        metrics.write_bytes(metrics.read_bytes()[:20])
        process = call(*LONG, "--out", self.folder / "a", "--resume")
        self.assertIn("metrics.jsonl: has 20 bytes, expected at least the ", process.stderr)
        self.assertEqual(process.returncode, 1)


if __name__ == "__main__":
    unittest.main()

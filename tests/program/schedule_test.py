#!/usr/bin/env python3
"""Artificial delay, schedules of the learning rate, momentum, the images of evaluations, and epochs.csv."""

import csv
import math

from support import *


def epochs(run):
    """The rows of epochs.csv: numbers, None where a field is empty."""
    with open(run.path / "epochs.csv", newline="") as file:
        return [{key: float(value) if value else None for key, value in row.items()} for row in csv.DictReader(file)]


def of_updates(run, key):
    return [m[key] for m in run.metrics if m["event"] == "train"]


class Delay(ProgramTest):
    def test_one_version_is_local_training(self):
        for net in ("allcnn", "resnet18"):
            local = self.train(f"{net}-a", "--net", net)
            one = self.train(f"{net}-b", "--net", net, "--max-delay", "1")
            self.assertEqual(one.sha256(), local.sha256())
            self.assertEqual(one.summary["state_sha256"], local.summary["state_sha256"])
            self.assertEqual(one.summary["weight_history_bytes"], 0)

    def test_delay_is_recorded_and_reproducible(self):
        for net in ("allcnn", "resnet18"):
            options = ["--net", net, "--epochs", "3", "--max-delay", "4", "--eval-every", "4"]
            run, again = self.train(f"{net}-a", *options), self.train(f"{net}-b", *options)
            self.assertEqual(run.summary["state_sha256"], again.summary["state_sha256"])
            self.assertNotEqual(run.sha256(), self.train(f"{net}-c", "--net", net, "--epochs", "3").sha256())
            tau = of_updates(run, "staleness_max")
            self.assertEqual(tau, of_updates(again, "staleness_max"))
            self.assertEqual(tau[0], 0)
            self.assertTrue(all(0 <= t < min(4, u + 1) for u, t in enumerate(tau)), tau)
            staleness = run.summary["staleness"]
            self.assertEqual(staleness["histogram"], [tau.count(t) for t in range(max(tau) + 1)])
            self.assertEqual(staleness["max"], max(tau))
            self.assertGreater(staleness["max"], 0)
            self.assertEqual([row["staleness_max"] for row in epochs(run)], [max(tau[i : i + 4]) for i in (0, 4, 8)])

    def test_the_seed_chooses_the_versions(self):
        delays = {tuple(of_updates(self.train(f"s{seed}", "--epochs", "3", "--max-delay", "8", "--seed", seed), "staleness_max"))
                  for seed in ("1", "2")}
        self.assertEqual(len(delays), 2)

    def test_its_memory_is_reported(self):
        process = call(*replace(TRAIN, ["--max-delay", "5"]), "--out", self.folder / "a")
        self.assertEqual(process.returncode, 0, process.stderr)
        run = Run(self.folder / "a")
        self.assertEqual(run.config["max_delay"], 5)
        memory = run.config["weight_history_bytes"]
        self.assertEqual(run.summary["weight_history_bytes"], memory)
        self.assertEqual(memory % (5 * 64), 0)
        self.assertGreaterEqual(memory, 5 * 4 * run.config["parameters"])
        self.assertLess(memory, 1.01 * 5 * 4 * run.config["parameters"])
        self.assertIn(f"last 5 versions of the weights ({memory / 2**20:.1f} MiB)", process.stderr)
        self.assertRegex(process.stdout, r"staleness \d")

    def test_memory_that_does_not_fit(self):
        # 100000 versions of WRN-28-5 are 3.3 TiB.
        process = call(*replace(TRAIN, ["--net", "wrn28-5", "--max-delay", "100000"]), "--out", self.folder / "a")
        self.assert_refused(process, "--max-delay 100000: 100000 versions of ", 1)
        self.assertFalse((self.folder / "a").exists())

    def test_continues_and_ends_like_local_training(self):
        first = self.train("a", "--max-delay", "3")
        more = self.train("b", "--max-delay", "3", "--init", first.path / "model.safetensors")
        self.assertEqual(of_updates(more, "staleness_max")[0], 0)
        process = call(*replace(TRAIN, ["--optimizer", "sgd", "--lr", "1e30", "--max-delay", "3"]), "--out", self.folder / "c")
        self.assertEqual(process.returncode, 3, process.stderr)


class Momentum(ProgramTest):
    def test_sgd(self):
        options = {"plain": [], "zero": ["--momentum", "0"], "heavy": ["--momentum", "0.9"],
                   "nesterov": ["--momentum", "0.9", "--nesterov"], "less": ["--momentum", "0.8", "--nesterov"]}
        sgd = ["--optimizer", "sgd", "--weight-decay", "5e-4"]
        runs = {name: self.train(name, *sgd, *more) for name, more in options.items()}
        self.assertEqual(runs["zero"].sha256(), runs["plain"].sha256())
        self.assertEqual(len({run.sha256() for run in runs.values()}), 4)
        settings = {name: tuple(run.config[key] for key in ("optimizer", "momentum", "nesterov", "beta1")) for name, run in runs.items()}
        self.assertEqual(settings, {"plain": ("sgd", 0, False, None), "zero": ("sgd", 0, False, None), "heavy": ("sgd", 0.9, False, None),
                                    "nesterov": ("sgd", 0.9, True, None), "less": ("sgd", 0.8, True, None)})
        alone = self.train("async", *sgd, *options["nesterov"], "--exchange", "async", ranks=2)
        self.assertEqual(alone.sha256(), runs["nesterov"].sha256())
        self.assertIsNone(self.train("amsgrad").config["momentum"])


class Rates(ProgramTest):
    def rates(self, name, *options, ranks=None):
        run = self.train(name, "--epochs", "2", "--lr", "0.5", "--optimizer", "sgd", "--eval-every", "8", *options, ranks=ranks)
        self.assertEqual([row["lr"] for row in epochs(run)], of_updates(run, "lr")[3::4])
        return of_updates(run, "lr")

    def test_values(self):
        self.assertEqual(self.rates("a"), [0.5] * 8)
        self.assertEqual(self.rates("b", "--lr-schedule", "step", "--lr-step-epochs", "1"), [0.5] * 4 + [0.5 * 0.1] * 4)
        self.assertEqual(self.rates("c", "--lr-schedule", "step", "--lr-step-epochs", "1", "--lr-step-factor", "0.5",
                                    "--warmup-updates", "2"), [0.25, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25])
        cosine = self.rates("d", "--lr-schedule", "cosine")
        for update, rate in enumerate(cosine):
            self.assertAlmostEqual(rate, 0.25 * (1 + math.cos(math.pi * update / 8)), places=14)

    def test_every_exchange_uses_them(self):
        options = ["--lr-schedule", "cosine", "--warmup-updates", "3", "--epochs", "2", "--eval-every", "8"]
        local = self.train("local", *options)
        self.assertNotEqual(local.sha256(), self.train("constant", "--epochs", "2").sha256())
        for exchange, ranks in (("async", 2), ("sync", 1)):
            other = self.train(exchange, *options, "--exchange", exchange, ranks=ranks)
            self.assertEqual(other.sha256(), local.sha256(), exchange)
            self.assertEqual(of_updates(other, "lr"), of_updates(local, "lr"), exchange)
        two = self.train("two", *options, "--exchange", "sync", ranks=2)  # replicas are compared
        self.assertEqual(of_updates(two, "lr"), of_updates(local, "lr"))

    def test_a_factor_of_one_keeps_the_bits(self):
        plain = self.train("a")
        for name, options in (("b", ["--lr-schedule", "constant", "--warmup-updates", "1"]),
                              ("c", ["--lr-schedule", "step", "--lr-step-epochs", "1"])):  # its first reduction is after the run
            self.assertEqual(self.train(name, *options).sha256(), plain.sha256())


class Evaluation(ProgramTest):
    def test_on_training_images(self):
        run = self.train("a", "--eval-split", "train")
        self.assertEqual(run.summary["eval_split"], "train")
        self.assertEqual(run.config["eval_split"], "train")
        self.assertIn(run.summary["test_accuracy"], [i / 8 for i in range(9)])
        scores = self.folder / "scores.json"
        process = call("eval", "--net", "allcnn", "--weights", run.path / "model.safetensors", *DATA, *MACHINE, "--batch", "3",
                       "--eval-split", "train", "--json", scores)
        self.assertEqual(process.returncode, 0, process.stderr)
        self.assertRegex(process.stdout, r"^train accuracy .* top-5 .*\(8 images")
        scores = json.loads(scores.read_text())
        self.assertEqual(scores["images"], 8)
        self.assertEqual(scores["test_accuracy"], run.summary["test_accuracy"])
        self.assertEqual(scores["test_top5"], run.summary["test_top5"])

    def test_eval_names_its_data_and_warns_if_they_are_others(self):
        run = self.train("a", "--max-updates", "1")
        evaluate = ["eval", "--net", "allcnn", "--weights", run.path / "model.safetensors", *MACHINE]
        process = call(*evaluate, *DATA)
        self.assertIn("synthetic: 8 training and 6 test images of 32x32x3 in 10 classes, from ", process.stderr)
        self.assertEqual(complaints(process), [])
        trained = f"apam: warning: eval: {run.path / 'config.json'}: trained on synthetic, 8 training and 6 test images from "
        for data, source in ((["--data", "cifar10"], "cifar10: 2500 training and 500 test images"),
                             (replace(DATA, ["--test-images", "7"]), "synthetic: 8 training and 7 test images")):
            process = call(*evaluate, *data)
            self.assertEqual(process.returncode, 0, process.stderr)
            self.assertIn(source, process.stderr)
            (warning,) = complaints(process)
            self.assertTrue(warning.startswith(trained) and warning.endswith("; evaluated on other data"), warning)
        for other in ("{", "[]", '{"data": 5}', ""):
            (run.path / "config.json").write_text(other)
            self.assertEqual(complaints(call(*evaluate, *DATA)), [])

    def test_a_split_that_does_not_exist(self):
        run = self.train("a", "--max-updates", "1")
        self.assert_refused(call(*replace(TRAIN, ["--eval-split", "valid"]), cwd=self.folder), "--eval-split valid: synthetic has", 2)
        process = call("eval", "--net", "allcnn", "--weights", run.path / "model.safetensors", *DATA, "--eval-split", "valid")
        self.assert_refused(process, "--eval-split valid: synthetic has", 2)


class Epochs(ProgramTest):
    def test_has_a_row_per_epoch(self):
        run = self.train("a", "--epochs", "3", "--max-updates", "10", "--eval-every", "0")
        rows = epochs(run)
        self.assertEqual([row["epoch"] for row in rows], [1, 2, 2.5])
        self.assertEqual([row["update"] for row in rows], [4, 8, 10])
        losses, evaluations = of_updates(run, "train_loss"), run.evaluations()
        for row, begin in zip(rows, (0, 4, 8)):
            part = losses[begin : int(row["update"])]
            self.assertAlmostEqual(row["train_loss"], sum(part) / len(part), places=12)
            self.assertEqual((row["test_accuracy"], row["test_loss"]), evaluations[row["update"]])
            self.assertGreaterEqual(row["test_top5"], row["test_accuracy"])
            self.assertGreaterEqual(row["train_top5"], row["train_accuracy"])
            self.assertEqual(row["staleness_mean"], 0)
        self.assertEqual(rows[2]["test_top5"], run.summary["test_top5"])

    def test_of_a_fraction_of_an_update(self):
        policy = ["--staleness-policy", "rennala", "--staleness-gradients", "3"]
        run = self.train("a", "--exchange", "async", "--epochs", "3", "--eval-every", "0", "--log-every", "100", *policy, ranks=3)
        self.assertEqual(UPDATES, 4)
        self.assertEqual(run.config["updates_per_epoch"], 4 / 3)
        rows = [(1.5, 2), (2.25, 3), (3, 4)]  # the updates that complete 4, 8 and 12 mini-batches
        for event in ("train", "evaluation"):
            self.assertEqual([(line["epoch"], line["update"]) for line in run.lines(event)], rows)
        self.assertEqual([(row["epoch"], row["update"]) for row in epochs(run)], rows)
        self.assertEqual(run.summary["epochs"], 3)

    def test_of_a_synchronous_warm_up(self):
        run = self.train("a", "--exchange", "async", "--epochs", "2", "--eval-every", "0", "--sync-warmup", "1", ranks=3)
        # The first update has 2 mini-batches, the others 1.
        self.assertEqual([(row["epoch"], row["update"]) for row in epochs(run)], [(1, 3), (2, 7)])
        self.assertEqual(run.config["updates_per_epoch"], UPDATES)

    def test_rows_without_an_evaluation(self):
        rows = epochs(self.train("a", "--epochs", "3", "--eval-every", "8"))
        self.assertEqual([row["test_loss"] is None for row in rows], [True, False, False])

    def test_evaluations_in_the_background(self):
        run = self.train("a", "--epochs", "3", "--eval-every", "0", "--exchange", "async", ranks=3)
        rows = epochs(run)
        self.assertEqual([row["update"] for row in rows], [4, 8, 12])
        for row in rows:
            self.assertEqual((row["test_accuracy"], row["test_loss"]), run.evaluations().get(row["update"], (None, None)))
        self.assertIsNotNone(rows[2]["test_loss"])


if __name__ == "__main__":
    unittest.main()

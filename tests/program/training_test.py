#!/usr/bin/env python3
"""Trains, evaluates and continues with the program, with and without MPI, and checks the files it writes."""

import hashlib
import signal
import subprocess
import time

from support import *


class Local(ProgramTest):
    def test_leaves_a_complete_run_folder(self):
        run = self.train("a", "--seed", "3")
        self.assertEqual({p.name for p in run.path.iterdir()},
                         {"config.json", "metrics.jsonl", "epochs.csv", "summary.json", "model.safetensors"})
        summary = run.summary
        self.assertEqual(summary["updates"], UPDATES)
        self.assertEqual(summary["epochs"], 1)
        self.assertEqual(summary["seed"], 3)
        self.assertEqual(summary["ranks"], 1)
        self.assertEqual(summary["staleness"], {"mean": 0, "max": 0, "histogram": [UPDATES]})
        self.assertRegex(summary["weights_sha256"], "^[0-9a-f]{64}$")
        self.assertGreater(summary["images_per_second"], 0)
        self.assertGreater(summary["train_loss"], 0)
        self.assertGreater(summary["peak_memory_mib"][0], 10)
        self.assertIn(summary["test_accuracy"], [i / 6 for i in range(7)])
        self.assertGreaterEqual(summary["test_top5"], summary["test_accuracy"])
        self.assertGreaterEqual(summary["train_top5"], summary["train_accuracy"])
        ran = {(k["op"], k["pass"], k["provider"]) for k in summary["kernels"]}
        self.assertIn(("conv2d", "backward_weight", PROVIDER), ran)
        self.assertIn(("optimizer_step", "update", "native"), ran)
        self.assertEqual(run.config["parameters"], 1681268)
        self.assertEqual(run.config["lr"], 1e-3)
        info = json.loads(call("info", "--json").stdout)
        self.assertRegex(run.config["commit"], "^([0-9a-f]{7,}(-dirty)?|unknown)$")
        for name in ("version", "commit", "compiler", "instruction_set", "amx", "onednn", "cuda"):
            self.assertEqual(run.config[name], info[name])
        self.assertEqual(run.config["build_type"], info["build"])
        self.assertEqual(run.config["gpus"], [])  # computed on the CPU

        self.assertEqual([m["update"] for m in run.metrics if m["event"] == "train"], [1, 2, 3, 4])
        self.assertEqual(list(run.evaluations()), [2, 4])
        self.assertEqual(run.evaluations()[4], (summary["test_accuracy"], summary["test_loss"]))
        # The last epoch is the whole run, and every batch has two images.
        losses = [m["train_loss"] for m in run.metrics if m["event"] == "train"]
        self.assertAlmostEqual(summary["train_loss"], sum(losses) / UPDATES, places=12)

    def test_is_reproducible_and_depends_on_the_seed(self):
        first, again, other = self.train("a"), self.train("b", "--loader-threads", "3"), self.train("c", "--seed", "1")
        self.assertEqual(first.sha256(), again.sha256())
        self.assertEqual(first.evaluations(), again.evaluations())
        self.assertNotEqual(first.sha256(), other.sha256())

    def test_ends_after_epochs_or_updates_whichever_is_less(self):
        for options, updates in ((["--epochs", "2"], 8), (["--epochs", "2", "--max-updates", "3"], 3), (["--max-updates", "5"], 5)):
            run = self.train("a", *options, "--overwrite")
            self.assertEqual(run.summary["updates"], updates, options)
            self.assertEqual(max(run.evaluations()), updates, options)

    def test_evaluates_at_the_end_of_each_epoch_by_default(self):
        self.assertEqual(list(self.train("a", "--epochs", "2", "--eval-every", "0").evaluations()), [4, 8])

    def test_eval_agrees_with_the_summary(self):
        run = self.train("a")
        process = call("eval", "--net", "allcnn", "--weights", run.path / "model.safetensors", *DATA, *MACHINE, "--batch", "3",
                       "--json", self.folder / "scores.json")
        self.assertEqual(process.returncode, 0, process.stderr)
        scores = json.loads((self.folder / "scores.json").read_text())
        for key in ("test_accuracy", "test_top5", "test_loss", "weights_sha256", "state_sha256"):
            self.assertEqual(scores[key], run.summary[key], key)
        for key in ("label_order", "data_sha256", "data_source", "device", "threads", "precision", "instruction_set"):
            self.assertEqual(scores[key], run.config[key], key)
        self.assertIn(f"test accuracy {100 * scores['test_accuracy']:.2f} %", process.stdout)

    def test_recalibrated_batch_norm(self):
        options = ["--net", "resnet18", "--bn", "recalibrate", "--bn-images", "5"]
        plain = self.train("plain", "--net", "resnet18")
        local = self.train("local", *options)
        self.assertEqual(local.config["bn_images"], 4)  # two whole batches
        self.assertEqual(local.sha256(), plain.sha256())
        self.assertNotEqual(local.summary["state_sha256"], plain.summary["state_sha256"])
        self.assertEqual(list(local.evaluations()), list(plain.evaluations()))
        for update, (_, loss) in local.evaluations().items():
            self.assertNotEqual(loss, plain.evaluations()[update][1])
        alone = self.train("async", *options, "--exchange", "async", ranks=2)
        self.assertEqual(alone.evaluations(), local.evaluations())
        self.assertEqual((alone.path / "model.safetensors").read_bytes(), (local.path / "model.safetensors").read_bytes())
        # The saved model is the one that was evaluated last.
        for run in (local, self.train("sync", *options, "--exchange", "sync", ranks=2)):
            scores = self.folder / "scores.json"
            process = call("eval", "--net", "resnet18", "--weights", run.path / "model.safetensors", *DATA, *MACHINE, "--batch", "3", "--json", scores)
            self.assertEqual(process.returncode, 0, process.stderr)
            for key in ("test_accuracy", "test_loss", "state_sha256"):
                self.assertEqual(json.loads(scores.read_text())[key], run.summary[key], key)

    def test_hashes_are_those_of_the_file(self):
        for net in ("allcnn", "resnet18"):
            run = self.train(net, "--net", net, "--max-updates", "1")
            content = (run.path / "model.safetensors").read_bytes()
            length = int.from_bytes(content[:8], "little")
            header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
            header.pop("__metadata__")
            parts = {name: data[slice(*tensor["data_offsets"])] for name, tensor in header.items()}
            statistics = [name for name in parts if name.endswith((".running_mean", ".running_var"))]
            weights = [name for name in parts if name not in statistics and not name.endswith(".num_batches_tracked")]
            self.assertEqual(run.sha256(), hashlib.sha256(b"".join(parts[name] for name in weights)).hexdigest())
            state = hashlib.sha256(b"".join(parts[name] for name in weights + statistics)).hexdigest()
            self.assertEqual(run.summary["state_sha256"], state)
            self.assertEqual(state == run.sha256(), net == "allcnn")

    def test_continues_from_a_saved_model(self):
        # Plain SGD has no state but the weights, so one update and then another equal two updates. Batches of eight are the whole
        # set, so both have the same image order.
        steady = ["--optimizer", "sgd", "--batch", "8", "--order", "sequential", "--augment", "none", "--net", "resnet18"]
        two = self.train("two", *steady, "--max-updates", "2")
        self.train("one", *steady, "--max-updates", "1")
        on = self.train("on", *steady, "--max-updates", "1", "--init", self.folder / "one" / "model.safetensors")
        self.assertEqual(on.sha256(), two.sha256())
        self.assertEqual(on.evaluations()[1], two.evaluations()[2])  # the running statistics continued too
        # The files have the same bytes, including the number of batches in the statistics.
        self.assertEqual((on.path / "model.safetensors").read_bytes(), (two.path / "model.safetensors").read_bytes())

    def test_a_signal_ends_it_and_saves_everything_so_far(self):
        process = subprocess.Popen([PROGRAM, *TRAIN, "--epochs", "1000", "--out", self.folder / "a"], stderr=subprocess.PIPE,
                                   stdout=subprocess.PIPE, text=True)
        metrics = self.folder / "a" / "metrics.jsonl"
        deadline = time.monotonic() + 120
        while not (metrics.exists() and '"update":2' in metrics.read_text()):
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=120)
        self.assertEqual(process.returncode, 128 + signal.SIGTERM, errors)
        run = Run(self.folder / "a")
        self.assertTrue(run.summary["interrupted"])
        self.assertIsNone(run.summary["test_accuracy"] if run.summary["updates"] % 2 else None)
        self.assertGreaterEqual(run.summary["updates"], 2)
        evaluated = call("eval", "--net", "allcnn", "--weights", run.path / "model.safetensors", *DATA, *MACHINE)
        self.assertEqual(evaluated.returncode, 0, evaluated.stderr)

    def test_reads_cifar10_files_and_names_the_folder_after_the_run(self):
        record = lambda i: bytes([i % 10]) + bytes((i * 37 + j) % 256 for j in range(3072))
        (self.folder / "data_batch_1.bin").write_bytes(b"".join(map(record, range(8))))
        (self.folder / "test_batch.bin").write_bytes(b"".join(map(record, range(6))))
        options = replace(TRAIN, ["--data", "cifar10", "--data-root", self.folder, "--max-updates", "1"])
        process = call(*options, cwd=self.folder)
        self.assertEqual(process.returncode, 0, process.stderr)
        (folder,) = (self.folder / "runs").iterdir()
        self.assertRegex(folder.name, r"^allcnn-cifar10-local-\d{8}-\d{6}$")
        run = Run(folder)
        self.assertEqual((run.config["train_images"], run.config["test_images"]), (8, 6))
        self.assertIn(folder.name, process.stdout)


class Ranks(ProgramTest):
    def test_one_asynchronous_worker_is_local_training(self):
        # Without and with running statistics, in both types.
        cases = (("allcnn", "float32", "auto"), ("resnet18", "float32", "shared"), ("resnet18", "float32", "mpi"), ("resnet18", "bf16", "auto"))
        for net, precision, transport in cases:
            options = ["--net", net, "--precision", precision, "--overwrite"]
            local = self.train(f"{net}-{precision}-local", *options)
            alone = self.train(f"{net}-{precision}-async", *options, "--exchange", "async", "--transport", transport,
                               "--master-threads", "2", ranks=2)
            self.assertEqual(alone.config["precision"], precision)
            self.assertEqual(alone.sha256(), local.sha256(), net)
            self.assertEqual(alone.evaluations(), local.evaluations(), net)
            self.assertEqual((alone.path / "model.safetensors").read_bytes(), (local.path / "model.safetensors").read_bytes(), net)
            self.assertEqual(alone.summary["staleness"], {"mean": 0, "max": 0, "histogram": [UPDATES]})
            self.assertEqual(alone.summary["ranks"], 2)
            name = "mpi (host buffers)" if transport == "mpi" else "shared memory"
            self.assertEqual((alone.config["transport"], alone.summary["transport"]), (name, name))
            self.assertEqual((alone.config["master_threads"], alone.summary["master_threads"]), (2, 2))
            ran = {(k["op"], k["pass"]) for k in alone.summary["kernels"]}  # on the master and on the worker
            self.assertLessEqual({("optimizer_step", "update"), ("conv2d", "backward_weight")}, ran)

    def test_two_asynchronous_workers_share_the_updates(self):
        run = self.train("a", "--exchange", "async", "--epochs", "3", ranks=3)
        staleness = run.summary["staleness"]
        self.assertEqual(run.summary["updates"], 3 * UPDATES)
        self.assertEqual(sum(staleness["histogram"]), 3 * UPDATES)
        self.assertEqual(sum(run.summary["updates_by_worker"]), 3 * UPDATES)
        self.assertGreater(min(run.summary["updates_by_worker"]), 0)
        self.assertEqual(staleness["max"], len(staleness["histogram"]) - 1)
        tau = sum(t * n for t, n in enumerate(staleness["histogram"]))
        self.assertAlmostEqual(staleness["mean"], tau / (3 * UPDATES))
        # tau + 1, summed over a worker's updates, is the number of its last one: at most the number of all updates.
        self.assertGreaterEqual(tau, 0)
        self.assertLessEqual(tau, 3 * UPDATES)
        self.assertEqual(len(run.summary["peak_memory_mib"]), 3)
        self.assertEqual(run.evaluations()[3 * UPDATES][0], run.summary["test_accuracy"])

    def test_an_asynchronous_run_depends_only_on_the_order_of_arrival(self):
        for net in ("resnet18", "allcnn"):
            options = ["--net", net, "--exchange", "async", "--epochs", "3", "--log-every", "5"]
            transport = {"resnet18": "shared", "allcnn": "mpi"}[net]
            run = self.train(net, *options, "--transport", transport, ranks=3)
            arrivals = [worker for m in run.metrics if m["event"] == "train" for worker in m["workers"]]
            self.assertEqual(len(arrivals), 3 * UPDATES)
            self.assertEqual([arrivals.count(w) for w in (0, 1)], run.summary["updates_by_worker"])
            self.assert_replays(run)

    def test_prefetched_weights(self):
        # Through messages; the result depends only on the order of arrival.
        options = ["--net", "resnet18", "--exchange", "async", "--prefetch-weights", "--epochs", "3", "--log-every", "5"]
        process = call(*replace(TRAIN, options), "--transport", "mpi", "--out", self.folder / "a", ranks=3)
        self.assertEqual(process.returncode, 0, process.stderr)
        run = Run(self.folder / "a")
        summary = run.summary
        self.assertEqual((run.config["prefetch_weights"], summary["prefetch_weights"]), (True, True))
        self.assertEqual(summary["updates"], 3 * UPDATES)
        # Without passes of several gradients the means are 2 N - 1 and N, but for the start; a lag is a part of a staleness.
        lag, staleness = summary["publish_lag"], summary["staleness"]
        self.assertGreaterEqual(lag["max"], 1)
        self.assertGreater(lag["mean"], 0)
        self.assertLessEqual(lag["mean"], staleness["mean"])
        self.assertLessEqual(staleness["mean"], 3)
        self.assertIn(f"publish lag {lag['mean']:.2f} (max {lag['max']})", process.stdout)
        leases = summary["leases"]
        self.assertEqual(leases["applied"], 3 * UPDATES)
        self.assertEqual(leases["granted"], sum(leases.values()) - leases["granted"])
        self.assert_replays(run)
        # Two states of 42.7 MiB.
        self.assertRegex(process.stderr, r"transport: mpi \(host buffers\), weights are prefetched \(85\.\d MiB per worker: second weights")

    def test_publish_lag_is_zero_without_prefetching(self):
        summary = self.train("a", "--exchange", "async", "--transport", "mpi", ranks=3).summary
        self.assertEqual(summary["publish_lag"], {"mean": 0, "max": 0})
        self.assertFalse(summary["prefetch_weights"])

    def test_staleness_policies(self):
        for policy, more, check in (
            ("bound", ["--staleness-bound", "1"], lambda run: self.assertLessEqual(run.summary["staleness"]["max"], 1)),
            ("ringmaster", ["--staleness-bound", "1"], lambda run: self.assertEqual(run.summary["staleness"]["max"], 0)),
            ("ssp", ["--staleness-bound", "1"], lambda run: self.assertEqual(run.summary["updates"], 3 * UPDATES)),
            ("rennala", ["--staleness-gradients", "2"], lambda run: self.assertEqual(run.summary["updates"], 3 * UPDATES / 2)),
            ("cgad", ["--staleness-bound", "9", "--staleness-factor", "0.1"], lambda run: None),
            ("compensated", ["--staleness-factor", "0.1"], lambda run: None),
            ("none", ["--sync-warmup", "2"], lambda run: self.assertEqual(run.summary["updates"], 3 * UPDATES - 2)),
        ):
            with self.subTest(policy):
                run = self.train(policy, "--exchange", "async", "--epochs", "3", "--staleness-policy", policy, *more, ranks=3)
                check(run)
                self.assert_replays(run)
                self.assertEqual(run.config["staleness_policy"], policy)
                self.assertEqual(run.summary["staleness_policy"], policy)
                leases = run.summary["leases"]
                self.assertEqual(leases["applied"], 3 * UPDATES)
                self.assertEqual(leases["granted"], sum(leases.values()) - leases["granted"])
                self.assertEqual(run.summary["epochs"], 3)

    def test_a_policy_without_its_parameters_is_refused(self):
        for options, words in (
            (["--exchange", "async", "--staleness-policy", "bound"], "needs a bound"),
            (["--exchange", "async", "--staleness-bound", "3"], "has no bound"),
            (["--staleness-policy", "bound", "--staleness-bound", "3"], "is for --exchange async"),
            (["--sync-warmup", "3"], "--sync-warmup 3: is for --exchange async"),
        ):
            process = call(*replace(TRAIN, options), "--out", self.folder / "a", ranks=2 if "async" in options else None)
            self.assertEqual(process.returncode, 2)
            self.assertIn(words, process.stderr)

    def test_ranks_of_one_host_copy_nothing(self):
        run = self.train("a", "--exchange", "async", ranks=3)
        self.assertEqual(run.summary["transport"], "shared memory")
        self.assertEqual(run.summary["copied_bytes"], 0)
        self.assertIsNone(run.config["no_shared_memory"])
        # The formula of docs/protocol.md, for two workers.
        pages = lambda size: (size + 4095) // 4096 * 4096
        versions = run.config["weight_history_bytes"]
        contributions = run.summary["shared_memory_bytes"] - 4096 - 4096 - pages(versions)
        state = contributions // 2
        self.assertEqual(contributions, 2 * pages(state))
        self.assertGreaterEqual(state, 4 * run.config["parameters"])
        self.assertGreaterEqual(versions // state, 3)
        process = call(*TRAIN, "--exchange", "async", "--out", self.folder / "b", ranks=3)
        self.assertIn(f"transport: shared memory, {run.summary['shared_memory_bytes'] / 2**20:.1f} MiB", process.stderr)

    def test_several_masters_are_one(self):
        # Without running statistics and with them; 3 masters and 1 worker are local training, 2 and 2 replay on one.
        local = self.train("local")
        three = self.train("three", "--exchange", "async", "--masters", "3", ranks=4)
        self.assertEqual(three.summary["state_sha256"], local.summary["state_sha256"])
        self.assertEqual(three.evaluations(), local.evaluations())
        self.assertEqual((three.summary["masters"], three.config["masters"]), (3, 3))
        options = ["--net", "resnet18", "--exchange", "async", "--epochs", "3"]
        two = self.train("two", *options, "--masters", "2", ranks=4)
        self.assertEqual(sum(two.summary["updates_by_worker"]), 3 * UPDATES)
        self.assertEqual(len(two.summary["updates_by_worker"]), 2)
        self.assertEqual(two.summary["copied_bytes"], 0)
        self.assert_replays(two)
        first, last = two.summary["shards"]
        self.assertEqual((first["begin"], first["end"]), (0, last["begin"]))
        self.assertGreater(last["end"], two.config["parameters"])  # running statistics too
        self.assertEqual(local.summary["shards"], [])

    def test_several_masters_that_exchange_messages_are_one(self):
        # As above. Every float of weights and contributions is moved once, whichever master has it.
        mpi = ["--exchange", "async", "--transport", "mpi"]
        one = self.train("one", *mpi, ranks=2)
        three = self.train("three", *mpi, "--masters", "3", ranks=4)
        self.assertEqual(three.summary["state_sha256"], one.summary["state_sha256"])
        self.assertEqual(three.evaluations(), one.evaluations())
        self.assertEqual(three.summary["copied_bytes"], one.summary["copied_bytes"])
        self.assertEqual((three.summary["masters"], three.summary["transport"]), (3, "mpi (host buffers)"))
        half = [*mpi, "--wire", "bf16"]
        rounded = self.train("rounded", *half, ranks=2)
        self.assertEqual(self.train("both", *half, "--masters", "2", ranks=3).sha256(), rounded.sha256())
        options = ["--net", "resnet18", *mpi, "--epochs", "3", "--eval-every", "5", "--prefetch-weights"]
        two = self.train("two", *options, "--masters", "2", ranks=4)
        self.assertEqual(len(two.summary["updates_by_worker"]), 2)
        self.assert_replays(two)

    def test_masters_with_orders_of_their_own(self):
        # One worker has one order everywhere, and an evaluation then has one version of all ranges.
        free = ["--exchange", "async", "--master-order", "free"]
        one = self.train("one", "--exchange", "async", "--transport", "mpi", "--eval-every", "5", ranks=2)
        three = self.train("three", *free, "--masters", "3", "--eval-every", "5", ranks=4)
        self.assertEqual(three.summary["state_sha256"], one.summary["state_sha256"])
        self.assertEqual(three.config["no_shared_memory"], "--master-order free is for messages")
        self.assertEqual((three.config["master_order"], three.summary["master_order"]), ("free", "free"))
        evaluations = three.lines("evaluation")
        self.assertEqual([line["versions"] for line in evaluations], [3 * [line["update"]] for line in evaluations])
        self.assertFalse(any("versions" in line for line in one.lines("evaluation")))
        self.assertEqual((three.summary["staleness_by_master"], one.summary["staleness_by_master"]), ([0, 0, 0], None))
        half = ["--transport", "mpi", "--wire", "bf16"]
        rounded = self.train("rounded", "--exchange", "async", *half, ranks=2)
        self.assertEqual(self.train("both", *free, *half, "--masters", "2", ranks=3).sha256(), rounded.sha256())
        options = ["--net", "resnet18", *free, "--masters", "2", "--epochs", "3", "--eval-every", "5"]
        for name, more in (("two", []), ("ahead", ["--prefetch-weights", *half])):
            two = self.train(name, *options, *more, ranks=4)
            self.assertEqual(sum(two.summary["updates_by_worker"]), 3 * UPDATES)
            for line in two.lines("evaluation"):
                here, there = line["versions"]
                self.assertEqual(here, line["update"])
                self.assertGreaterEqual(there, here)
            self.assertEqual(two.lines("evaluation")[-1]["versions"], 2 * [3 * UPDATES])

    def test_masters_in_the_ranks_of_workers(self):
        # One rank that is both is local training, with running statistics too; of several ranks, the order of arrival is all that a
        # replay needs.
        local = self.train("local", "--net", "resnet18")
        for transport in ("shared", "mpi"):
            colocated = ["--exchange", "async", "--colocate", "--transport", transport]
            one = self.train(f"one-{transport}", "--net", "resnet18", *colocated, ranks=1)
            self.assertEqual(one.summary["state_sha256"], local.summary["state_sha256"])
            self.assertEqual(one.evaluations(), local.evaluations())
            self.assertEqual((one.config["colocate"], one.summary["colocate"], one.summary["ranks"]), (True, True, 1))
            ran = {(k["op"], k["pass"]) for k in one.summary["kernels"]}
            self.assertLessEqual({("optimizer_step", "update"), ("conv2d", "backward_weight")}, ran)
            for masters in ("1", "2"):
                options = [*colocated, "--masters", masters, "--epochs", "3"]
                two = self.train(f"{masters}-{transport}", *options, ranks=2)
                self.assertEqual(len(two.summary["updates_by_worker"]), 2)
                self.assertEqual(two.summary["copied_bytes"] == 0, transport == "shared")
                self.assert_replays(two)
        free = ["--exchange", "async", "--colocate", "--masters", "2", "--master-order", "free"]
        three = self.train("three", *free, "--epochs", "3", ranks=3)
        self.assertEqual(sum(three.summary["updates_by_worker"]), 3 * UPDATES)
        self.assertEqual(three.lines("evaluation")[-1]["versions"], 2 * [3 * UPDATES])

    def test_messages_are_counted(self):
        run = self.train("a", "--exchange", "async", "--transport", "mpi", ranks=2)
        self.assertEqual(run.summary["shared_memory_bytes"], 0)
        # A version goes to the worker before each of its gradients. AllCNN has no statistics, so both have the same size.
        self.assertEqual(run.summary["copied_bytes"] % (2 * UPDATES), 0)
        self.assertGreaterEqual(run.summary["copied_bytes"], 2 * UPDATES * 4 * run.config["parameters"])
        self.assertEqual(self.train("local").summary["copied_bytes"], 0)
        half = self.train("half", "--exchange", "async", "--transport", "mpi", "--wire", "bf16", ranks=2)
        self.assertEqual(half.config["wire"], "bf16")
        self.assertEqual(2 * half.summary["copied_bytes"], run.summary["copied_bytes"])
        self.assertNotEqual(half.sha256(), run.sha256(), "the worker computes on rounded weights")

    def test_synchronous_ranks(self):
        alone = self.train("one", "--exchange", "sync", ranks=1)
        self.assertEqual(alone.sha256(), self.train("local").sha256())
        two = self.train("two", "--exchange", "sync", ranks=2)
        self.assertEqual(two.summary["transport"], "shared memory")
        messages = self.train("messages", "--exchange", "sync", "--transport", "mpi", ranks=2)
        self.assertIn("mpi", messages.summary["transport"])
        self.assertEqual(messages.sha256(), two.sha256())  # a sum of two has one order
        self.assertEqual(two.summary["updates"], UPDATES)
        self.assertEqual(two.summary["staleness"]["max"], 0)
        self.assertEqual(two.config["ranks"], 2)
        # The last batch of an epoch may be short: here it has one image for three ranks.
        short = self.train("three", "--exchange", "sync", "--train-images", "7", "--batch", "3", ranks=3)
        self.assertEqual(short.summary["updates"], 3)

    def test_the_cores_are_divided(self):
        process = call(*TRAIN[:TRAIN.index("--threads")], "--batch", "2", "--max-updates", "2", "--exchange", "async", "--out",
                       self.folder / "a", ranks=3)
        self.assertEqual(process.returncode, 0, process.stderr)
        run = Run(self.folder / "a")
        self.assertEqual(run.config["threads"], max(1, run.config["cores"] // 2))


if __name__ == "__main__":
    unittest.main()

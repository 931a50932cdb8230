#!/usr/bin/env python3
"""Runs that end early: by divergence, signals, ranks with different options, or an error on one rank."""

import fcntl
import resource
import signal
import time

from support import *

# A step size that makes every weight overflow.
DIVERGES = ["--optimizer", "sgd", "--lr", "1e20"]


class Divergence(Early):
    def diverged(self, name, *options, ranks=None):
        base = replace(TRAIN, [*DIVERGES, "--eval-every", "1", "--out", self.folder / name])
        process = call(*replace(base, options), ranks=ranks)
        return process, Run(self.folder / name)

    def test_ends_a_run_with_exit_code_3_and_one_line(self):
        for name, options, ranks in (("local", [], None), ("async", ["--exchange", "async"], 3), ("sync", ["--exchange", "sync"], 2),
                                     ("masters", ["--exchange", "async", "--masters", "2"], 3),
                                     ("messages", ["--exchange", "async", "--masters", "2", "--transport", "mpi"], 3),
                                     ("free", ["--exchange", "async", "--masters", "2", "--master-order", "free"], 3),
                                     ("colocated", ["--exchange", "async", "--masters", "2", "--colocate"], 2),
                                     ("backup", ["--exchange", "sync", "--sync-backup", "1"], 3),
                                     ("backup by messages", ["--exchange", "sync", "--sync-backup", "1", "--transport", "mpi"], 3)):
            with self.subTest(name):
                process, run = self.diverged(name, *options, ranks=ranks)
                self.assertEqual(process.returncode, 3, process.stderr)
                (line,) = complaints(process)
                where = run.summary["divergence"]
                self.assertIn(f"diverged at update {where['update']} (worker {where['worker']}): {where['what']}", line)
                self.assertRegex(where["what"], "the loss is -?(nan|inf)|is not finite")
                self.assertTrue(run.summary["diverged"])
                self.assertEqual((run.summary["ending"], run.summary["signal"]), ("diverged", None))
                self.assertLess(run.summary["updates"], UPDATES)
                self.assertIsNone(run.summary["test_accuracy"])
                self.assertNotIn("test accuracy", process.stdout)

    def test_keeps_the_last_finite_evaluation(self):
        # Every update multiplies the weights by -1e6. Batch norm undoes that until they overflow.
        process, run = self.diverged("bad", "--lr", "1e3", "--weight-decay", "1e3", "--epochs", "50")
        finite = [m for m in run.metrics if m["event"] == "evaluation" and m["test_loss"] is not None]
        self.assertEqual(process.returncode, 3, process.stderr)
        last = run.summary["last_evaluation"]
        self.assertGreater(last["update"], 0)
        self.assertEqual(last["update"], finite[-1]["update"])
        self.assertEqual(last["test_loss"], finite[-1]["test_loss"])

    def test_continues_on_request(self):
        process, run = self.diverged("on", "--keep-going")
        self.assertEqual(process.returncode, 0, process.stderr)
        self.assertEqual(run.summary["updates"], UPDATES)
        self.assertTrue(run.summary["diverged"])
        self.assertEqual(run.summary["ending"], "complete")
        self.assertEqual(len(complaints(process)), 1)
        self.assertIsNone(run.summary["test_loss"])
        self.assertNotIn("100.00 %", process.stdout)

    def test_weights_that_are_not_finite_are_neither_evaluated_nor_trained(self):
        self.diverged("on", "--keep-going")
        model = self.folder / "on" / "model.safetensors"
        self.assert_refused(call("eval", "--net", "allcnn", "--weights", model, *DATA, *MACHINE), "is not finite", 1)
        self.assert_refused(call(*TRAIN, "--init", model, "--out", self.folder / "next"), "is not finite", 1)

    def test_eval_of_a_model_without_a_finite_loss_fails(self):
        _, run = self.diverged("bad")  # its weights are finite, but results computed from them overflow
        process = call("eval", "--net", "allcnn", "--weights", run.path / "model.safetensors", *DATA, *MACHINE)
        self.assert_refused(process, "the loss of 6 images is", 3)
        self.assertNotIn("100.00 %", process.stdout)


class Agreement(Early):
    def both(self, first, second, *third):
        command = [MPIEXEC]
        for options in (first, second, *third):
            command += [*([":"] if len(command) > 1 else []), "-n", "1", PROGRAM, *map(str, options)]
        begin = time.monotonic()
        process = subprocess.run(command, capture_output=True, text=True, timeout=60)
        self.assertLess(time.monotonic() - begin, 15)
        return process

    def test_ranks_with_different_options_are_an_error(self):
        base = replace(TRAIN, ["--exchange", "async", "--out", self.folder / "a"])
        for option, mine, theirs in (("--seed", 1, 2), ("--batch", 2, 4), ("--augment", "none", "standard"),
                                     ("--train-images", 8, 9), ("--lr", 0.001, 0.002), ("--net", "allcnn", "resnet18")):
            for exchange in ("async", "sync"):
                with self.subTest([option, exchange]):
                    first, second = (replace(base, ["--exchange", exchange, option, value]) for value in (mine, theirs))
                    process = self.both(first, second)
                    self.assert_refused(process, f"ranks disagree on {option}: rank 0 has {mine}, rank 1 has {theirs}", 2)
        self.assertFalse((self.folder / "a").exists())

    def test_the_rank_that_differs_is_named(self):
        ranks = [replace(TRAIN, ["--exchange", "sync", "--seed", seed]) for seed in (5, 5, 5, 6)]
        self.assert_refused(self.both(*ranks), "ranks disagree on --seed: rank 0 has 5, rank 3 has 6", 2)

    def test_replicas_that_would_round_differently_are_an_error(self):
        options = replace(TRAIN, ["--exchange", "sync", "--out", self.folder / "a"])
        rank = lambda isa: ["-n", "1", "env", f"APAM_ISA={isa}", PROGRAM, *map(str, options)]
        sets = json.loads(call("info", "--json").stdout)["instruction_sets"]
        if "avx2" not in sets:
            self.skipTest("one instruction set")
        train = lambda *isas: subprocess.run([MPIEXEC, *rank(isas[0]), ":", *rank(isas[1])], capture_output=True, text=True, timeout=120)
        self.assert_refused(train("avx2", "portable"), "ranks disagree on fused multiply-add in synchronous training: rank 0 has it "
                            "(avx2), rank 1 has none (portable)", 2)
        self.assertFalse((self.folder / "a").exists())
        if "avx512" in sets:
            process = train("avx2", "avx512")
            self.assertEqual(process.returncode, 0, process.stderr)
            config = Run(self.folder / "a").config
            self.assertEqual((config["instruction_set_by_rank"], config["instruction_set"]), (["avx2", "avx512"], "avx2"))

    def test_exchanges_do_not_mix(self):
        for mine, theirs in (("async", "sync"), ("sync", "async")):
            process = self.both(*(replace(TRAIN, ["--exchange", e, "--out", self.folder / "a"]) for e in (mine, theirs)))
            self.assert_refused(process, f"ranks disagree on --exchange: rank 0 has {mine}, rank 1 has {theirs}", 2)
        process = self.both(replace(TRAIN, ["--exchange", "async"]), replace(TRAIN, ["--exchange", "local"]))
        self.assert_refused(process, "trains in one process", 2)

    def test_a_mistake_on_one_rank_ends_all(self):
        good = replace(TRAIN, ["--exchange", "async", "--out", self.folder / "a"])
        self.assert_refused(self.both(good, [*good, "--bogus"]), "rank 1: The following argument was not expected: --bogus", 2)
        self.assert_refused(self.both([*good, "--bogus"], good), "not expected: --bogus", 2)

    def test_ranks_with_different_data_are_an_error(self):
        record = lambda label: bytes([label % 10]) + bytes([label // 10]) * 3072
        options = {}
        for name, labels in (("here", [1, 2, 3, 4]), ("there", [1, 2, 4, 3]), ("shaded", [1, 2, 13, 4])):
            (self.folder / name).mkdir()
            for file in ("data_batch_1.bin", "test_batch.bin"):
                (self.folder / name / file).write_bytes(b"".join(map(record, labels)))
            options[name] = ["train", *MACHINE, "--data-root", self.folder / name, "--batch", "2", "--exchange", "async"]
        for other, kind in (("there", "labels"), ("shaded", "images")):
            refused = self.both(options["here"], options[other])
            self.assert_refused(refused, f"ranks disagree on the hash of its training {kind}", 2)


class Signals(Early):
    def interrupt(self, name, sent, *options, ranks=None, at='"update":2'):
        arguments = replace(TRAIN, ["--epochs", "1000000", *options, "--out", self.folder / name])
        process = start(*arguments, ranks=ranks)
        self.wait_for(self.folder / name / "metrics.jsonl", at, process)
        begin = time.monotonic()
        process.send_signal(sent)
        output, errors = process.communicate(timeout=120)
        self.assertLess(time.monotonic() - begin, 20)
        self.assertEqual(process.returncode, 128 + sent, errors)
        run = Run(self.folder / name)
        self.assertTrue(run.summary["interrupted"])
        self.assertEqual((run.summary["ending"], run.summary["signal"]), ("interrupted", sent))
        self.assertFalse(run.summary["diverged"])
        self.assertGreater(run.summary["updates"], 0)
        evaluated = call("eval", "--net", "allcnn", "--weights", run.path / "model.safetensors", *DATA, *MACHINE)
        self.assertEqual(evaluated.returncode, 0, evaluated.stderr)
        return run

    def test_leave_everything_so_far(self):
        self.interrupt("local", signal.SIGHUP)
        for exchange, ranks in (("async", 3), ("sync", 2)):
            for sent in (signal.SIGINT, signal.SIGTERM):
                self.interrupt(f"{exchange}-{sent}", sent, "--exchange", exchange, ranks=ranks)
        masters = ["--exchange", "async", "--masters", "2"]
        self.interrupt("masters", signal.SIGTERM, *masters, ranks=3)
        self.interrupt("messages", signal.SIGTERM, *masters, "--transport", "mpi", ranks=3)
        self.interrupt("free", signal.SIGTERM, *masters, "--master-order", "free", ranks=3)
        self.interrupt("colocated", signal.SIGTERM, *masters, "--colocate", ranks=2)
        self.interrupt("colocated-messages", signal.SIGTERM, *masters, "--colocate", "--transport", "mpi", ranks=2)

    def test_are_handled_during_an_evaluation(self):
        long = ["--test-images", "1000000", "--eval-every", "1"]
        self.interrupt("async", signal.SIGTERM, "--exchange", "async", *long, ranks=3)
        run = self.interrupt("last", signal.SIGTERM, "--exchange", "async", "--max-updates", "2", *long, ranks=2)
        self.assertEqual(run.summary["updates"], 2)
        run = self.interrupt("local", signal.SIGTERM, *long, at='"update":1')
        self.assertIsNone(run.summary["test_accuracy"])

    def interrupt_one_rank(self, name, *options):
        """SIGTERM to rank 1 of 3 ends an asynchronous run that would never end."""
        arguments = replace(TRAIN, ["--epochs", "1000000", "--exchange", "async", "--out", self.folder / name, *options])
        process = start(*arguments, ranks=3)
        self.wait_for(self.folder / name / "metrics.jsonl", '"update":2', process)
        os.kill(self.process_of_rank(1), signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 128 + signal.SIGTERM, errors)
        self.assertTrue(Run(self.folder / name).summary["interrupted"])

    def test_to_one_worker_stop_all(self):
        # Queued evaluations are abandoned when training ends.
        self.interrupt_one_rank("a", "--test-images", "1000000", "--eval-every", "1")

    def test_to_one_of_several_masters_stop_all(self):
        self.interrupt_one_rank("a", "--masters", "2")
        self.interrupt_one_rank("messages", "--masters", "2", "--transport", "mpi")
        self.interrupt_one_rank("free", "--masters", "2", "--master-order", "free")

    def test_end_the_set_up_too(self):
        # A lock that is never released blocks the choice of kernels.
        cache = self.folder / "cache"
        call("info", "--net", "allcnn", "--batch", "2", "--threads", "1", "--kernel-cache", cache)
        (lock,) = cache.glob("*.lock")
        for name, options, ranks in (("local", [], None), ("async", ["--exchange", "async"], 3)):
            with self.subTest(name), open(lock) as held:
                fcntl.flock(held, fcntl.LOCK_EX)
                arguments = replace(TRAIN, ["--kernels", "auto", "--kernel-cache", cache, "--batch", "4", *options, "--out", self.folder / name])
                process = start(*arguments, ranks=ranks)
                time.sleep(3)  # by now it waits for the lock
                self.assertIsNone(process.poll())
                begin = time.monotonic()
                process.send_signal(signal.SIGTERM)
                _, errors = process.communicate(timeout=60)
                self.assertLess(time.monotonic() - begin, 10)
                self.assertEqual(process.returncode, 128 + signal.SIGTERM, errors)
                self.assertIn("interrupted by signal 15 before training began", errors)
                self.assertFalse((self.folder / name).exists())

    def test_a_second_one_ends_at_once(self):
        # The first one would take effect after the evaluation's batch, which takes far longer than this test.
        arguments = replace(TRAIN, ["--test-images", "100000", "--eval-batch", "20000", "--eval-every", "1", "--out", self.folder / "a"])
        process = start(*arguments)
        self.wait_for(self.folder / "a" / "metrics.jsonl", '"update":1', process)
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        time.sleep(1)
        self.assertIsNone(process.poll())
        begin = time.monotonic()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        self.assertLess(time.monotonic() - begin, 2)
        self.assertEqual(process.returncode, 128 + signal.SIGINT)


class Departures(Early):
    def kill_the_last_rank(self, name, *options, ranks):
        """Kills worker 1 during an asynchronous run. Returns output and errors."""
        # The launcher ends all ranks once it sees a process die. It sees that of a shell, which outlives its killed rank.
        folder = self.folder / name
        arguments = replace(replace(TRAIN, ["--exchange", "async", "--transport", "shared", "--epochs", "10", "--eval-every", "100000",
                                            "--out", folder]), options)
        # When that ends too, rank 0 has printed its last lines.
        shell = f'"$@" || {{ until [ -e {folder}/summary.json ]; do sleep 0.1; done; sleep 2; }}'
        process = subprocess.Popen([MPIEXEC, "-n", str(ranks), "sh", "-c", shell, "sh", PROGRAM, *map(str, arguments)],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.wait_for(folder / "metrics.jsonl", '"update":2', process)
        os.kill(self.process_of_rank(ranks - 1), signal.SIGKILL)
        return process.communicate(timeout=120)

    def test_a_worker_that_ends_is_reported_and_not_waited_for(self):
        for name, options, ranks in (("a", [], 3), ("masters", ["--masters", "2"], 4), ("colocated", ["--colocate"], 2)):
            with self.subTest(name):
                output, errors = self.kill_the_last_rank(name, *options, ranks=ranks)
                run = Run(self.folder / name)
                self.assertEqual(run.summary["updates"], 10 * UPDATES, errors)
                self.assertEqual(run.summary["departed"], 1)
                self.assertEqual([memory is None for memory in run.summary["peak_memory_mib"]], [*(ranks - 1) * [False], True])
                (line,) = [line for line in errors.splitlines() if line.startswith("apam: ")]
                self.assertRegex(line, rf"update \d+: worker 1 \(rank {ranks - 1}\) has left: its process has ended")
                (event,) = (m for m in run.metrics if m["event"] == "departure")
                self.assertEqual(event["worker"], 1)
                self.assertIn(f"{10 * UPDATES} updates", output)
                self.assert_replays(run)


    def test_a_run_whose_workers_have_all_left_can_be_continued(self):
        more = ["--epochs", "1000000"]
        _, errors = self.kill_the_last_rank("a", *more, ranks=2)
        run = Run(self.folder / "a")
        self.assertEqual((run.summary["ending"], run.summary["signal"]), ("deserted", None), errors)
        self.assertFalse(run.summary["interrupted"] or run.summary["diverged"])
        self.assertLess(run.summary["updates"], run.config["updates"])
        process = start(*replace(run.config["command"][1:], ["--resume"]), ranks=2)
        self.wait_for(run.path / "config.json", '"until_update"', process)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 128 + signal.SIGTERM, errors)
        again = Run(self.folder / "a")
        self.assertEqual((again.summary["ending"], again.summary["departed"]), ("interrupted", 1))


class Errors(Early):
    def test_an_error_on_rank_0_does_not_wait_for_an_evaluation(self):
        arguments = replace(TRAIN, ["--epochs", "1000000", "--exchange", "async", "--test-images", "1000000", "--eval-every", "1",
                                    "--out", self.folder / "a"])
        process = start(*arguments, ranks=3)
        self.wait_for(self.folder / "a" / "metrics.jsonl", '"update":2', process)  # an evaluation of update 1 runs
        resource.prlimit(self.process_of_rank(0), resource.RLIMIT_FSIZE, (1, 1))  # no file may grow
        for line in process.stderr:
            if line.startswith("apam: "):
                break
        self.assertRegex(line, r"metrics.jsonl: \d+ bytes cannot be written: .*; training continues, the run folder gets no more lines")
        process.send_signal(signal.SIGTERM)
        begin = time.monotonic()
        _, rest = process.communicate(timeout=60)
        self.assertLess(time.monotonic() - begin, 1)
        self.assertNotEqual(process.returncode, 0)
        self.assertIn("model.safetensors", rest)


if __name__ == "__main__":
    unittest.main()

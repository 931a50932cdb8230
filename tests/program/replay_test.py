#!/usr/bin/env python3
"""apam replay: recorded asynchronous runs are repeated with the same bits, and a record that was changed is noticed."""

import re
import shutil

from support import *

ASYNC = ["--exchange", "async", "--epochs", "3", "--log-every", "3"]


class Replay(Early):
    def replay(self, run, *options):
        return call("replay", "--run", run.path, *options)

    def changed(self, run, change, name="order.jsonl"):
        """The reply to a copy of the run in which the lines of a file were changed."""
        folder = self.folder / "changed"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(run.path, folder)
        lines = (folder / name).read_text().splitlines()
        change(lines)
        (folder / name).write_text("".join(line + "\n" for line in lines))
        return call("replay", "--run", folder)

    def test_values_that_travel_in_bfloat16(self):
        messages = ["--transport", "mpi", "--wire", "bf16", "--prefetch-weights", "--eval-every", "1000"]
        self.assert_replays(self.train("a", *ASYNC, "--net", "resnet18", *messages, ranks=3))

    def test_activations_in_bfloat16(self):
        self.assert_replays(self.train("a", *ASYNC, "--precision", "bf16", ranks=3))

    def test_ranks_with_other_numbers_of_threads(self):
        command = [MPIEXEC]
        for threads in (1, 1, 2):
            arguments = replace(TRAIN, [*ASYNC, "--threads", threads, "--out", self.folder / "a"])
            command += ["-n", "1", PROGRAM, *map(str, arguments), ":"]
        process = subprocess.run(command[:-1], capture_output=True, text=True)
        self.assertEqual(process.returncode, 0, process.stderr)
        run = Run(self.folder / "a")
        self.assertEqual(run.config["threads_by_rank"], [1, 1, 2])
        self.assert_replays(run)

    def test_any_number_of_gradients_at_a_time(self):
        policy = ["--staleness-policy", "ringmaster", "--staleness-bound", "2"]
        for name, options in (("a", policy), ("ahead", ["--transport", "mpi", "--prefetch-weights"])):
            run = self.train(name, *ASYNC, *options, ranks=4)
            for jobs in (1, 2, 5):
                process = self.replay(run, "--jobs", jobs)
                self.assertEqual(process.returncode, 0, process.stderr)
                self.assertIn("the state of the run, bit for bit", process.stdout)

    def test_stops_at_an_update(self):
        run = self.train("a", *ASYNC, ranks=3)
        model = self.folder / "w.safetensors"
        process = self.replay(run, "--update", "5", "--weights", model)
        self.assertEqual(process.returncode, 0, process.stderr)
        # Updates of one pass make one version of the weights.
        updates = int(re.match(r"(\d+) updates replayed in .*: the losses of the run, bit for bit\n", process.stdout).group(1))
        self.assertIn(updates, (5, 6))
        self.assertNotIn(run.sha256(), process.stdout)
        evaluation = call("eval", "--net", "allcnn", *DATA, "--weights", model, "--batch", "3")
        self.assertEqual(evaluation.returncode, 0, evaluation.stderr)
        process = self.replay(run, "--weights", model)
        self.assertIn("the state of the run, bit for bit", process.stdout, process.stderr)
        self.assertEqual(model.read_bytes(), (run.path / "model.safetensors").read_bytes())

    def test_a_killed_run(self):
        process = start(*replace(TRAIN, [*replace(ASYNC, ["--epochs", "10000"]), "--out", self.folder / "a"]), ranks=3)
        self.wait_for(self.folder / "a" / "metrics.jsonl", '"update":9,', process)
        process.kill()
        process.communicate(timeout=120)
        with open(self.folder / "a" / "order.jsonl", "a") as file:
            file.write("[0")  # of a line that was being written
        process = call("replay", "--run", self.folder / "a", "--update", "9")
        self.assertRegex(process.stdout, r"^(9|10) updates replayed in .*: the losses of the run, bit for bit\n", process.stderr)

    def test_other_orders_are_noticed(self):
        run = self.train("a", *ASYNC, "--net", "resnet18", ranks=3)
        calls = [json.loads(line) for line in (run.path / "order.jsonl").read_text().splitlines()]
        self.assertEqual(calls[0], [{"workers": 2}])
        # The last update, and what the other worker had in flight.
        self.assertIn(sum(map(len, calls[1:])), (3 * UPDATES, 3 * UPDATES + 1))

        def exchanged(lines):
            lines[1:] = [json.dumps([1 - worker for worker in one]) for one in calls[1:]]

        process = self.changed(run, exchanged)
        self.assertEqual(process.returncode, 1)
        self.assertRegex(process.stderr, r"apam: replay: the mean training loss of updates 1 to 3 is [\d.]+, the run had [\d.]+\n")

        def shorter(lines):
            del lines[-3:]

        process = self.changed(run, shorter)
        self.assertRegex(process.stderr, r"apam: replay: the recorded order makes \d+ updates, the run made 12\n")
        self.assertEqual(process.returncode, 1)

        def other_hash(lines):
            lines[:] = [line.replace(run.summary["state_sha256"], 64 * "0") for line in lines]

        process = self.changed(run, other_hash, "summary.json")
        self.assertIn(f"apam: replay: state_sha256 after update 12 is {run.summary['state_sha256']}, the run had 000", process.stderr)
        self.assertEqual(process.returncode, 1)

        # A difference names what else is not as it was.
        self.changed(run, exchanged)
        config = self.folder / "changed" / "config.json"
        config.write_text(config.read_text().replace('"instruction_set_by_rank": [', '"instruction_set_by_rank": ["other", '))
        process = call("replay", "--run", config.parent)
        self.assertEqual(process.returncode, 1)
        self.assertRegex(process.stderr, r"the run had [\d.]+; instruction_set_by_rank, rank 0: the run had other, this program has \w+\n")

    def test_impossible_records_are_refused(self):
        run = self.train("a", *ASYNC, ranks=3)
        for name, line, text, words in (
            ("order.jsonl", 1, '[{"departed":5}]', "replay: departure of worker 5, there are 2"),
            ("order.jsonl", 1, "[0,0]", "replay: a gradient of worker 0, which waits for a reply"),
            ("order.jsonl", 1, '[{"cancelled":0}]', "worker 0 has given up batch 0, but was not asked to"),
            ("order.jsonl", 1, '[{"workers":2}]', "order.jsonl: 2 starts of 1 in config.json"),
            ("order.jsonl", 0, '[{"workers":3}]', "replay: 3 workers start in order.jsonl, config.json has ranks for 2"),
            ("order.jsonl", 1, "[0", "order.jsonl: line 2: "),
            ("order.jsonl", 1, "0", "order.jsonl: line 2: 0, expected an array of events"),
            ("order.jsonl", 1, '[{"arrived":0}]', "order.jsonl: line 2: "),
            ("metrics.jsonl", 0, '{"event":"train"}', "metrics.jsonl: "),
            ("config.json", 0, "", "config.json: is not an object of JSON"),
        ):
            def change(lines):
                lines[line] = text

            with self.subTest(words):
                self.assert_refused(self.changed(run, change, name), words, 1)
        for name in ("config.json", "order.jsonl", "metrics.jsonl"):
            folder = self.folder / f"without {name}"
            shutil.copytree(run.path, folder)
            (folder / name).unlink()
            self.assert_refused(call("replay", "--run", folder), f"{name}: cannot be opened", 1)

    def test_of_data_and_options_that_are_not_the_runs(self):
        run = self.train("a", *ASYNC, ranks=3)

        def images(lines):
            lines[:] = [line.replace('"train_images": ', '"train_images": 1') for line in lines]

        self.assert_refused(self.changed(run, images, "config.json"), "config.json: train_labels_hash is", 1)
        for key in ("train_labels_hash", "train_pixels_hash"):
            def other_data(lines):
                lines[:] = [line.replace(run.config[key], 16 * "0") for line in lines]

            words = f'config.json: {key} is "0000000000000000", of the data found it is "{run.config[key]}"'
            self.assert_refused(self.changed(run, other_data, "config.json"), words, 1)
        local = self.train("local")
        self.assert_refused(self.replay(local), "--exchange local with --master-order sequenced has no order of events to replay", 1)
        self.assertFalse((local.path / "order.jsonl").exists())
        free = self.train("free", *ASYNC, "--masters", "2", "--master-order", "free", ranks=3)
        self.assert_refused(self.replay(free), "--exchange async with --master-order free has no order of events to replay", 1)
        self.assertFalse((free.path / "order.jsonl").exists())
        self.assert_refused(call("replay", "--run", self.folder / "none"), "none/config.json: cannot be opened", 1)
        self.assert_refused(call("replay"), "--run", 2)

    def test_of_other_initial_weights(self):
        first, other = (self.train(name, "--net", "resnet18", "--seed", name, "--max-updates", "1") for name in ("1", "2"))
        weights = [run.path / "model.safetensors" for run in (first, other)]
        run = self.train("a", *ASYNC, "--net", "resnet18", "--init", weights[0], ranks=3)
        digests = [each.summary["state_sha256"] for each in (first, other)]
        self.assertEqual(run.config["init_sha256"], digests[0])
        self.assert_replays(run)
        words = f'config.json: init_sha256 is "{digests[0]}", of --init {weights[1]} it is "{digests[1]}"'
        self.assert_refused(self.replay(run, "--init", weights[1]), words, 1)
        weights[0].write_bytes(weights[1].read_bytes())
        self.assert_refused(self.replay(run), words.replace(str(weights[1]), str(weights[0])), 1)

    def test_a_signal_ends_it(self):
        run = self.train("a", *replace(ASYNC, ["--epochs", "12"]), "--net", "resnet18", "--eval-every", "1000", ranks=3)
        for seconds in (0, 0.5):
            process = start("replay", "--run", run.path, "--jobs", "1", "--weights", self.folder / "w.safetensors")
            self.wait_for(pathlib.Path(f"/proc/{process.pid}/status"), "SigBlk:\t0000000000004003", process)  # HUP, INT, TERM
            time.sleep(seconds)
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=60)
            self.assertEqual(process.returncode, 128 + signal.SIGTERM, errors)
            self.assertIn("interrupted by signal 15", errors)
            self.assertFalse((self.folder / "w.safetensors").exists())

    def test_a_signal_before_the_first_update_ends_it(self):
        run = self.train("a", *ASYNC, ranks=3)

        def pending():
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
            os.kill(os.getpid(), signal.SIGTERM)

        process = subprocess.run([PROGRAM, "replay", "--run", run.path], capture_output=True, text=True, timeout=60, preexec_fn=pending)
        self.assert_refused(process, "interrupted by signal 15 after update 0", 128 + signal.SIGTERM)


if __name__ == "__main__":
    unittest.main()

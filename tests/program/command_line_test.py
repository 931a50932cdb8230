#!/usr/bin/env python3
"""Invalid command lines and files: one line, an exit code, and nothing lost."""

from support import *

# Arguments -> a part of the line. Exit code 2.
MISTAKES = [
    ([], "a command is needed"),
    (["bake"], "not expected: bake"),
    (["train", "--bogus"], "not expected: --bogus"),
    (["train", "extra"], "not expected: extra"),
    (["train", "--batch"], "--batch: 1 required IMAGES missing"),
    (["train", "--batch", "0"], "--batch: 0 is too small, expected at least 1"),
    (["train", "--batch", "1.5"], "--batch: expected a whole number from 1 on, got '1.5'"),
    (["train", "--batch", "2501"], "--batch 2501: cifar10 has 2500 training images"),
    (["train", "--epochs", "0"], "--epochs: 0 is too small"),
    (["train", "--epochs", "99999999999999999999"], "--epochs: 99999999999999999999 is too large"),
    (["train", "--epochs", "9223372036854775807"], "--epochs 9223372036854775807: too many, at 25 updates each"),
    (["train", "--max-updates", "-1"], "--max-updates: -1 is too small"),
    (["train", "--eval-every", "x"], "--eval-every: expected a whole number from 0 on, got 'x'"),
    (["train", "--seed", "-1"], "--seed: expected a whole number from 0 on, got '-1'"),
    (["train", "--threads", "0"], "--threads: 0 is too small"),
    (["train", "--loader-threads", "100000"], "--loader-threads: 100000 is too large, expected at most 1024"),
    (["train", "--test-images", "1000000000000"], "--test-images: 1000000000000 is too large, expected at most 2147483647"),
    (["train", "--train-images", "2147483648"], "--train-images: 2147483648 is too large, expected at most 2147483647"),
    (["train", "--eval-batch", "9223372036854775807"], "--eval-batch: 9223372036854775807 is too large"),
    (["train", "--batch", "3000000000"], "--batch: 3000000000 is too large, expected at most 2147483647"),
    (["train", "--train-images", "2501"], "--train-images 2501: cifar10 has 2500 training images"),
    (["train", "--test-images", "501"], "--test-images 501: cifar10 has 500 test images"),
    (["data", "pack", "--out", "o", "--train-images", "10"], "--train-images 10: is for --data synthetic, got cifar10"),
    (["data", "check", "--test-images", "10"], "--test-images 10: is for --data synthetic, got cifar10"),
    (["info", "--batch", "1000000000000"], "--batch: 1000000000000 is too large, expected at most 2147483647"),
    (["eval", "--batch", "2147483648"], "--batch: 2147483648 is too large"),
    (["train", "--loader-threads", "-1"], "--loader-threads: -1 is too small"),
    (["train", "--lr", "fast"], "--lr: expected a finite number, got 'fast'"),
    (["train", "--lr", "nan"], "--lr: expected a finite number, got 'nan'"),
    (["train", "--lr", "0"], "the learning rate must be above 0, got 0"),
    (["train", "--lr", "1e-46"], "the learning rate must be a normal float32 number, 1.18e-38 to 3.4e+38, got 1e-46"),
    (["train", "--lr", "1e-40", "--optimizer", "sgd"], "the learning rate must be a normal float32 number"),
    (["train", "--lr", "1e39"], "the learning rate must be a normal float32 number, 1.18e-38 to 3.4e+38, got 1e+39"),
    (["train", "--lr", "1e38"], "the learning rates of all steps must be normal float32 numbers, 1.18e-38 to 3.4e+38, got "
                                "3.16e+36 to 1e+39"),
    (["train", "--lr", "2e-38"], "the learning rates of all steps must be normal float32 numbers"),
    (["train", "--lr", "1", "--lr", "2"], "--lr is given twice"),
    (["train", "--lr", "1", "--lr", "2", "--lr", "2"], "--lr is given 3 times"),
    (["train", "--lrr", "1"], "The following arguments were not expected: --lrr 1"),
    (["data", "pack", "--out", "o", "a", "--bogus", "b"], "The following arguments were not expected: a --bogus b"),
    (["train", "--beta1", "1"], "beta1 must be in [0, 1), got 1"),
    (["train", "--beta1", "0.99999999"], "beta1 must be below 1 in float32, at most 0.99999994, got 0.99999999"),
    (["train", "--beta2", "0.99999999"], "beta2 must be below 1 in float32, at most 0.99999994, got 0.99999999"),
    (["train", "--beta1", "1e-46"], "beta1 must be a normal float32 number, 1.18e-38 to 3.4e+38, got 1e-46"),
    (["train", "--beta2", "-0.1"], "beta2 must be in [0, 1), got -0.1"),
    (["train", "--eps", "0"], "eps must be above 0, got 0"),
    (["train", "--eps", "1e-46"], "eps must be a normal float32 number, 1.18e-38 to 3.4e+38, got 1e-46"),
    (["train", "--eps", "1e39"], "eps must be a normal float32 number, 1.18e-38 to 3.4e+38, got 1e+39"),
    (["train", "--weight-decay", "1e-46"], "weight decay must be a normal float32 number, 1.18e-38 to 3.4e+38, got 1e-46"),
    (["train", "--weight-decay", "1e39"], "weight decay must be a normal float32 number"),
    (["train", "--optimizer", "sgd", "--beta1", "0.5"], "--beta1 0.5: is for --optimizer amsgrad and adam, got sgd"),
    (["train", "--optimizer", "sgd", "--beta2", "0.5"], "--beta2 0.5: is for --optimizer amsgrad and adam, got sgd"),
    (["train", "--optimizer", "sgd", "--eps", "1e-8"], "--eps 1e-08: is for --optimizer amsgrad and adam, got sgd"),
    (["train", "--momentum", "0.9"], "--momentum 0.9: is for --optimizer sgd, got amsgrad"),
    (["train", "--optimizer", "adam", "--momentum", "0"], "--momentum 0: is for --optimizer sgd, got adam"),
    (["train", "--nesterov"], "--nesterov: is for --optimizer sgd, got amsgrad"),
    (["train", "--optimizer", "adam", "--nesterov"], "--nesterov: is for --optimizer sgd, got adam"),
    (["train", "--optimizer", "sgd", "--nesterov"], "--nesterov: needs --momentum above 0, got 0"),
    (["train", "--optimizer", "sgd", "--nesterov", "--momentum", "0"], "--nesterov: needs --momentum above 0, got 0"),
    (["train", "--optimizer", "sgd", "--momentum", "1"], "momentum must be in [0, 1), got 1"),
    (["train", "--optimizer", "sgd", "--momentum", "-0.9"], "momentum must be in [0, 1), got -0.9"),
    (["train", "--optimizer", "sgd", "--momentum", "0.99999999"], "momentum must be below 1 in float32, at most 0.99999994, got 0.99999999"),
    (["train", "--optimizer", "sgd", "--momentum", "1e-46", "--nesterov"], "momentum must be a normal float32 number, 1.18e-38 to 3.4e+38, got 1e-46"),
    (["train", "--optimizer", "sgd", "--momentum", "inf"], "--momentum: expected a finite number, got 'inf'"),
    (["train", "--optimizer", "momentum"], "--optimizer: expected one of amsgrad, adam, sgd, got 'momentum'"),
    (["train", "--weight-decay", "-1"], "weight decay must not be negative, got -1"),
    (["train", "--net", "vgg"], "--net: expected one of allcnn, resnet18, wrn28-5, got 'vgg'"),
    (["train", "--classes", "5"], "--classes 5: cifar10 has 10 classes"),
    (["train", "--data", "mnist"], "--data: expected one of cifar10, cinic10, imagenet32, fashion-mnist, synthetic, got 'mnist'"),
    (["train", "--optimizer", "lion"], "--optimizer: expected one of amsgrad, adam, sgd, got 'lion'"),
    (["train", "--exchange", "ring"], "--exchange: expected one of local, async, sync, got 'ring'"),
    (["train", "--order", "random"], "--order: expected one of shuffled, sequential, got 'random'"),
    (["train", "--augment", "heavy"], "--augment: expected one of standard, none, got 'heavy'"),
    (["train", "--device", "tpu"], "device: expected cpu, cuda or cuda:INDEX, got 'tpu'"),
    (["train", "--precision", "half"], "float32"),
    (["train", "--kernels", "conv2d=magic"], "this build has no provider 'magic' for 'conv2d'"),
    (["train", "--kernels", "bake=native"], "no operation 'bake'"),
    (["train", "--kernels", "conv2d="], "expected PROVIDER or OP=PROVIDER"),
    (["train", "--max-delay", "0"], "--max-delay: 0 is too small, expected at least 1"),
    (["train", "--max-delay", "100001"], "--max-delay: 100001 is too large, expected at most 100000"),
    (["train", "--prefetch-weights"], "--prefetch-weights: is for --exchange async, got local"),
    (["train", "--sync-backup", "1"], "--sync-backup 1: is for --exchange sync, got local"),
    (["train", "--sync-backup", "-1"], "--sync-backup: -1 is too small, expected at least 0"),
    (["train", "--bn", "batch"], "--bn: expected one of running, recalibrate, got 'batch'"),
    (["train", "--bn", "recalibrate"], "--bn recalibrate: allcnn has no running statistics of batch norm"),
    (["train", "--bn-images", "100"], "--bn-images 100: is for --bn recalibrate, got running"),
    (["train", "--transport", "shared"], "--transport shared: is for --exchange async and sync, got local"),
    (["train", "--transport", "pigeon"], "--transport: expected one of auto, shared, mpi, nccl, got 'pigeon'"),
    (["train", "--transport", "nccl"], "--transport nccl: is for --exchange async and sync, got local"),
    (["train", "--wire", "bf16"], "--wire bf16: is for --exchange async with --transport mpi, got local with auto"),
    (["train", "--wire", "fp8"], "--wire: expected one of float32, bf16, got 'fp8'"),
    (["train", "--master-threads", "2"], "--master-threads 2: is for --exchange async, got local"),
    (["train", "--masters", "2"], "--masters 2: is for --exchange async, got local"),
    (["train", "--master-order", "free"], "--master-order free: is for --masters 2 or more, got 1"),
    (["train", "--colocate"], "--colocate: is for --exchange async, got local"),
    (["train", "--masters", "0"], "--masters: 0 is too small, expected at least 1"),
    (["train", "--lr-schedule", "linear"], "--lr-schedule: expected one of constant, step, cosine, got 'linear'"),
    (["train", "--lr-schedule", "step"], "--lr-schedule step: needs --lr-step-epochs"),
    (["train", "--lr-step-epochs", "2"], "--lr-schedule constant: has no --lr-step-epochs"),
    (["train", "--lr-step-factor", "0.5"], "--lr-schedule constant: has no --lr-step-factor"),
    (["train", "--lr-schedule", "step", "--lr-step-epochs", "0"], "--lr-step-epochs: 0 is too small"),
    (["train", "--lr-schedule", "step", "--lr-step-epochs", "9223372036854775807"], "--lr-step-epochs 9223372036854775807: too many"),
    (["train", "--lr-schedule", "step", "--lr-step-epochs", "1", "--lr-step-factor", "0"], "factor of a step must be in (0, 1], got 0"),
    (["train", "--lr-schedule", "step", "--lr-step-epochs", "1", "--lr-step-factor", "1.5"], "must be in (0, 1], got 1.5"),
    (["train", "--lr-schedule", "step", "--lr-step-epochs", "1", "--lr-step-factor", "1e-30", "--epochs", "3"],
     "the learning rates of all steps must be normal float32 numbers"),
    (["train", "--warmup-updates", "-1"], "--warmup-updates: -1 is too small"),
    (["train", "--warmup-updates", "26"], "--warmup-updates 26: the run has 25 updates"),
    (["train", "--warmup-updates", "4", "--max-updates", "3"], "--warmup-updates 4: the run has 3 updates"),
    (["train", "--eval-threads", "2"], "--eval-threads 2: is for --exchange async and sync, got local"),
    (["train", "--eval-split", "valid"], "--eval-split valid: cifar10 has 2500 train, 0 valid and 500 test images"),
    (["train", "--eval-split", "all"], "--eval-split: expected one of test, valid, train, got 'all'"),
    (["train", "--exchange", "async"], "--exchange async: needs a master and at least one worker"),
    (["eval", "--net", "allcnn"], "--weights is required"),
    (["eval", "--weights", "w"], "--net is required"),
    (["gradients", "--net", "allcnn", "--weights", "w", "--batch", "b"], "--out is required"),
    (["info", "--net", "vgg"], "--net: expected one of"),
    (["info", "--retime"], "--retime requires --net"),
]

MASTERS = ["--exchange", "async", "--masters", "2", "--master-order", "free"]


class CommandLine(ProgramTest):
    def test_mistakes(self):
        for arguments, fragment in MISTAKES:
            with self.subTest(arguments):
                self.assert_refused(call(*arguments, cwd=self.folder), fragment, 2)
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_under_mpiexec_one_rank_reports_and_all_end(self):
        for arguments, fragment, status in (
            (["--bogus"], "not expected: --bogus", 2),
            (["--net", "vgg"], "--net: expected one of", 2),
            (["--exchange", "local"], "trains in one process, but 3 were started", 2),
            (["--exchange", "sync", "--master-threads", "2"], "--master-threads 2: is for --exchange async, got sync", 2),
            (["--exchange", "async", "--masters", "3"], "--exchange async: needs 3 masters and at least one worker, got 3 ranks", 2),
            ([*MASTERS, "--transport", "shared"], "--master-order free: is for messages between ranks, got --transport shared", 2),
            ([*MASTERS, "--staleness-policy", "bound", "--staleness-bound", "3"], "--master-order free: every master applies every gradient, got --staleness-policy bound", 2),
            ([*MASTERS, "--sync-warmup", "4"], "--master-order free: every master applies every gradient, got --staleness-policy none with --sync-warmup 4", 2),
            (["--exchange", "async", "--masters", "4", "--colocate"], "--exchange async: needs 4 masters and at least 4 workers with --colocate, got 3 ranks, start it by mpiexec.mpich -n 4", 2),
            (["--exchange", "sync", "--colocate"], "--colocate: is for --exchange async, got sync", 2),
            (["--exchange", "async", "--colocate", "--prefetch-weights"], "--prefetch-weights: is for messages between ranks, got --transport auto, which is shared memory", 2),
            (["--exchange", "sync", "--masters", "2"], "--masters 2: is for --exchange async, got sync", 2),
            (["--exchange", "async", "--max-delay", "5"], "--max-delay 5: is for --exchange local, got async", 2),
            (["--exchange", "sync", "--max-delay", "5"], "--max-delay 5: is for --exchange local, got sync", 2),
            (["--exchange", "async", "--prefetch-weights", "--transport", "shared"], "--prefetch-weights: is for messages between ranks, got --transport shared", 2),
            (["--exchange", "async", "--prefetch-weights", "--masters", "2"], "--prefetch-weights: is for messages between ranks, got --transport auto, which is shared memory", 2),
            (["--exchange", "sync", "--prefetch-weights"], "--prefetch-weights: is for --exchange async, got sync", 2),
            (["--exchange", "sync", "--prefetch-weights", "--sync-backup", "1"], "--prefetch-weights: is for --exchange async, got sync", 2),
            (["--exchange", "async", "--prefetch-weights"], "--prefetch-weights: is for messages between ranks, got --transport auto, which is shared memory", 2),
            (["--exchange", "async", "--sync-backup", "1"], "--sync-backup 1: is for --exchange sync, got async", 2),
            (["--exchange", "sync", "--sync-backup", "3"], "--sync-backup 3: of 3 ranks, expected at most 2", 2),
            (["--exchange", "sync", "--sync-backup", "1", "--batch", "1"], "--sync-backup 1: a batch has 1 images for 2 gradients", 2),
            (["--exchange", "sync", "--batch", "2"], "--batch 2: --exchange sync divides it among 3 ranks, expected one image each", 2),
            (["--exchange", "async", "--classes", "5"], "--classes 5: cifar10 has 10 classes", 2),
            (["--exchange", "async", "--data-root", "/nowhere"], "/nowhere does not exist", 1),
            (["--exchange", "async", "--init", "/nowhere"], "/nowhere", 1),
            (["--exchange", "sync", "--kernels", "native", "--batch", "6", "--out", "/dev/null/run"], "/dev/null/run: cannot make the folder", 1),
        ):
            with self.subTest(arguments):
                self.assert_refused(call("train", *arguments, ranks=3, cwd=self.folder), fragment, status)
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_help_names_every_option_with_its_default(self):
        process = call("train", "--help")
        self.assertEqual(process.returncode, 0)
        for option in ("net", "classes", "data", "data-root", "exchange", "optimizer", "lr", "beta1", "beta2", "eps",
                       "momentum", "nesterov", "weight-decay", "batch", "epochs", "max-updates", "eval-every", "seed", "threads", "kernels", "device", "precision",
                       "order", "augment", "init", "out", "overwrite", "max-delay", "lr-schedule", "lr-step-epochs",
                       "lr-step-factor", "warmup-updates", "eval-split", "sync-backup", "prefetch-weights", "bn", "bn-images"):
            self.assertRegex(process.stdout, rf"(?m)^  --{option}\b")
        self.assertIn("--lr F=0.0001", process.stdout)
        self.assertIn("--batch IMAGES=100", process.stdout)

    def test_version_and_info(self):
        version = call("--version").stdout.strip()
        self.assertRegex(version, r"^\d+\.\d+\.\d+$")
        self.assertIn(version, call("info").stdout)
        info = json.loads(call("info", "--json").stdout)
        self.assertEqual(info["version"], version)
        self.assertIn("MPICH", info["mpi"])
        self.assertEqual(info["providers"]["conv2d"][-1], "reference")
        self.assertGreaterEqual(info["cores"], 1)
        self.assertIsInstance(info["gpus"], list)
        self.assertFalse(info["gpus"] and info["cuda"] is None)

    def test_info_lists_the_kernels_of_a_net(self):
        kernels = json.loads(call("info", "--json", "--net", "allcnn", "--batch", "1", "--threads", "1", "--kernels", "native").stdout)["kernels"]
        self.assertEqual({k["provider"] for k in kernels}, {"native"})
        convolutions = [k["problem"] for k in kernels if k["op"] == "conv2d" and k["pass"] == "forward"]
        self.assertEqual(len(convolutions), 9)
        self.assertIn("optimizer_step", {k["op"] for k in kernels})

    def test_info_times_again_on_request(self):
        cache = self.folder / "cache"
        step = ["info", "--json", "--net", "allcnn", "--batch", "1", "--threads", "1", "--kernel-cache", cache]
        step += ["--kernels", "conv2d.forward=auto,*=native"]

        def compared(*more):
            kernels = json.loads(call(*step, *more).stdout)["kernels"]
            return {f"{k['op']} | {k['problem']} | {k['pass']} | cpu | 1 threads": k for k in kernels if k["milliseconds"]}

        first = compared()
        if not first:
            self.skipTest("one provider only in this build: nothing to compare")
        for kernel in first.values():
            self.assertEqual(kernel["milliseconds"].keys(), kernel["spread"].keys())
            self.assertIn(kernel["provider"], kernel["milliseconds"])
            self.assertGreaterEqual(min(kernel["spread"].values()), 0)
            self.assertGreaterEqual(kernel["load"], 0)
            self.assertRegex(kernel["date"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        # Doubtful timings of a busy machine are not in the file; timings in the file are used.
        file = next(cache.glob("*.lock")).with_suffix("")
        stored = json.loads(file.read_text()) if file.exists() else {}
        self.assertEqual(stored.keys(), {key for key, kernel in first.items() if not kernel["doubtful"]})
        members = ("provider", "milliseconds", "spread", "load", "date", "doubtful")
        entries = {key: {m: kernel[m] for m in members} for key, kernel in first.items()}
        for entry in entries.values():
            entry["doubtful"] = False
            entry["milliseconds"] = dict.fromkeys(entry["milliseconds"], 5000.0)
        file.write_text(json.dumps(entries))
        for kernel in compared().values():
            self.assertEqual(set(kernel["milliseconds"].values()), {5000.0})
        again = compared("--retime")
        stored = json.loads(file.read_text())
        for key, kernel in again.items():
            self.assertNotIn(5000.0, kernel["milliseconds"].values())
            expected = entries[key] if kernel["doubtful"] else kernel
            self.assertEqual(stored[key]["milliseconds"], expected["milliseconds"])

    def test_the_user_chooses_the_folder_of_timings(self):
        named, variable = self.folder / "named", self.folder / "variable"
        process = call("info", "--kernel-cache", named, environment={"APAM_CACHE_DIR": str(variable)})
        self.assertIn(str(named), process.stdout)
        self.assertIn(str(variable), call("info", environment={"APAM_CACHE_DIR": str(variable)}).stdout)
        home = {k: v for k, v in os.environ.items() if k not in ("APAM_CACHE_DIR", "XDG_CACHE_HOME")}
        home["HOME"] = str(self.folder)
        text = subprocess.run([PROGRAM, "info"], capture_output=True, text=True, env=home).stdout
        self.assertIn(str(self.folder / ".cache" / "apam"), text)


class Files(ProgramTest):
    def test_a_run_is_not_replaced_unless_requested(self):
        first = self.train("a", "--max-updates", "1")
        (first.path / "notes.txt").write_text("mine")
        before = {p.name: p.read_bytes() for p in first.path.iterdir()}
        again = [*TRAIN, "--max-updates", "1", "--seed", "1", "--out", first.path]
        self.assert_refused(call(*again), "the folder is not empty", 1)
        self.assert_refused(call(*again, "--overwrite", "--init", "/nowhere"), "/nowhere", 1)  # a mistake changes nothing
        self.assertEqual({p.name: p.read_bytes() for p in first.path.iterdir()}, before)
        second = self.train("a", "--max-updates", "1", "--seed", "1", "--overwrite")
        self.assertNotEqual(second.sha256(), first.sha256())
        self.assertEqual(len([m for m in second.metrics if m["event"] == "train"]), 1)
        self.assertEqual((second.path / "notes.txt").read_text(), "mine")

    def test_folders_that_cannot_take_a_run(self):
        (self.folder / "file").write_text("x")
        for out, fragment in ((self.folder / "file", "is not a folder"), (self.folder / "file" / "a", "cannot make the folder")):
            self.assert_refused(call(*TRAIN, "--out", out), fragment, 1)
        self.assertEqual((self.folder / "file").read_text(), "x")

    def test_an_existing_empty_folder_is_used(self):
        (self.folder / "a").mkdir()
        self.assertEqual(self.train("a", "--max-updates", "1").summary["updates"], 1)

    def test_weights_of_another_net(self):
        run = self.train("a", "--max-updates", "1")
        model = run.path / "model.safetensors"
        self.assert_refused(call("eval", "--net", "resnet18", "--weights", model, *DATA), "conv1.weight", 1)
        self.assert_refused(call("eval", "--net", "allcnn", "--classes", "12", "--weights", model, *DATA), "conv9.conv.weight", 1)
        model.write_bytes(model.read_bytes()[:-1])
        self.assert_refused(call("eval", "--net", "allcnn", "--weights", model, *DATA), str(model), 1)

    def test_a_net_with_running_statistics_is_not_evaluated_without_them(self):
        run = self.train("a", "--max-updates", "1", "--net", "resnet18")
        content = (run.path / "model.safetensors").read_bytes()
        length = int.from_bytes(content[:8], "little")
        header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
        kept, bytes_kept = {}, b""
        for name, entry in header.items():
            if name == "__metadata__" or "running_" in name or "num_batches" in name:
                continue
            begin, end = entry["data_offsets"]
            kept[name] = {**entry, "data_offsets": [len(bytes_kept), len(bytes_kept) + end - begin]}
            bytes_kept += data[begin:end]
        text = json.dumps(kept).encode()
        (self.folder / "bare").write_bytes(len(text).to_bytes(8, "little") + text + bytes_kept)
        self.assert_refused(call("eval", "--net", "resnet18", "--weights", self.folder / "bare", *DATA), "no running statistics", 1)
        # As initial weights they are enough.
        self.train("b", "--max-updates", "1", "--net", "resnet18", "--init", self.folder / "bare")


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/env python3
"""apam data: packs, checks and exports the bundled sample, and trains on every form of it."""

import shutil
import signal
import time

from support import *

SAMPLE = ROOT / "data" / "sample"
TRAIN_ON = ["train", *MACHINE, "--batch", "5", "--max-updates", "3", "--lr", "1e-3", "--eval-batch", "20", "--log-every", "1"]
FORMATS = ("png-tree", "cifar-binary", "npz")


class DataCommands(ProgramTest):
    @classmethod
    def setUpClass(cls):
        """The first 60 training and 40 test images of the sample, in every format, and packed."""
        cls.shared = tempfile.TemporaryDirectory()
        cls.forms = {name: pathlib.Path(cls.shared.name) / name for name in FORMATS}
        for name, folder in cls.forms.items():
            process = call("data", "export", "--format", name, "--out", folder, "--train-images", 60, "--test-images", 40)
            assert process.returncode == 0, process.stderr
        cls.forms["packed"] = pathlib.Path(cls.shared.name) / "set.apam"
        process = call("data", "pack", "--data-root", cls.forms["cifar-binary"], "--out", cls.forms["packed"])
        assert process.returncode == 0, process.stderr

    @classmethod
    def tearDownClass(cls):
        cls.shared.cleanup()

    def run_on(self, name, root, *more, data="cifar10", ranks=None, environment=None):
        process = call(*TRAIN_ON, "--data", data, "--data-root", root, "--out", self.folder / name, *more, ranks=ranks,
                       environment=environment)
        self.assertEqual(process.returncode, 0, process.stderr)
        return Run(self.folder / name)

    def check(self, *options):
        process = call("data", "check", "--any-size", "--json", *options)
        self.assertEqual(process.returncode, 0, process.stderr)
        return json.loads(process.stdout)

    def pack(self, out, *options):
        return call("data", "pack", "--out", out, *options)

    def test_every_form_trains_to_the_same_weights(self):
        hashes = {name: self.run_on(name, root).sha256() for name, root in self.forms.items()}
        self.assertEqual(len(set(hashes.values())), 1, hashes)
        for name in ("png-tree", "npz"):
            self.assertTrue((self.forms[name] / "cifar10.apam").exists(), name)

    def test_forms_of_imagenet32_train_to_the_same_weights(self):
        runs = [self.run_on(name, self.forms[name], data="imagenet32") for name in ("png-tree", "npz")]
        self.assertEqual(runs[0].sha256(), runs[1].sha256())
        self.assertEqual([run.config["label_order"] for run in runs], ["wnid", "devkit"])  # which were not given
        self.assertEqual(runs[0].config["classes"], 1000)
        self.assertEqual(len(runs[0].config["class_names"]), 1000)

    def test_every_form_has_the_same_content(self):
        checks = {name: self.check("--data-root", root) for name, root in self.forms.items()}
        self.assertEqual(len({check["content_sha256"] for check in checks.values()}), 1, checks)
        self.assertEqual([name for name, check in checks.items() if check["packed"]], ["packed"])
        run = self.run_on("run", self.forms["packed"])
        self.assertEqual(run.config["data_sha256"], checks["packed"]["content_sha256"])
        self.assertEqual(run.config["class_names"], checks["packed"]["class_names"])

    def test_the_first_images_are_those_of_an_export(self):
        whole = self.run_on("whole", SAMPLE, "--train-images", "60", "--test-images", "40")
        self.assertEqual((whole.config["train_images"], whole.config["test_images"]), (60, 40))
        exported = self.run_on("exported", self.forms["cifar-binary"])
        self.assertEqual(whole.sha256(), exported.sha256())
        self.assertEqual(whole.summary["test_loss"], exported.summary["test_loss"])

    def test_exported_binary_files_are_the_original(self):
        out = self.folder / "out"
        process = call("data", "export", "--format", "cifar-binary", "--out", out)
        self.assertEqual(process.returncode, 0, process.stderr)
        for name in ("data_batch_1.bin", "test_batch.bin"):
            self.assertEqual((out / name).read_bytes(), (SAMPLE / name).read_bytes(), name)

    def test_check_reports_counts_and_statistics(self):
        report = self.check()
        train = report["parts"]["train"]
        self.assertEqual(train["images"], 2500)
        self.assertEqual(train["images_per_class"], [250] * 10)
        records = (SAMPLE / "data_batch_1.bin").read_bytes()
        for channel in range(3):
            values = b"".join(records[i + 1 + 1024 * channel:i + 1 + 1024 * (channel + 1)] for i in range(0, len(records), 3073))
            mean = sum(values) / len(values)
            deviation = (sum(value * value for value in values) / len(values) - mean * mean) ** 0.5
            self.assertAlmostEqual(train["mean"][channel], mean / 255, places=12)
            self.assertAlmostEqual(train["deviation"][channel], deviation / 255, places=9)
        self.assertEqual(len(report["differences"]), 2)

    def test_check_refuses_another_size_than_the_full_set(self):
        process = call("data", "check")
        self.assertEqual(process.returncode, 1)
        self.assertIn("train has 2500 images, the full set has 50000", process.stdout)
        self.assertEqual(len(complaints(process)), 1, process.stderr)
        self.assertIn("--any-size", complaints(process)[0])

    def test_check_finds_a_changed_pixel_in_a_packed_file(self):
        path = self.folder / "set.apam"
        shutil.copy(self.forms["packed"], path)
        with open(path, "r+b") as file:
            file.seek(-1, 2)
            last = file.read(1)
            file.seek(-1, 2)
            file.write(bytes([last[0] ^ 1]))
        self.assert_refused(call("data", "check", "--any-size", "--data-root", path), "the pixels of test", 1)

    def test_packed_files_belong_to_one_data_set(self):
        process = call(*TRAIN_ON, "--data", "cinic10", "--data-root", self.forms["packed"], "--out", self.folder / "a")
        self.assert_refused(process, "is a packed file of cifar10", 1)

    def test_a_cinic10_tree_has_its_own_constants(self):
        packed = self.folder / "cinic.apam"
        process = self.pack(packed, "--data", "cinic10", "--data-root", self.forms["png-tree"])
        self.assertEqual(process.returncode, 0, process.stderr)
        runs = [self.run_on(name, root, data="cinic10") for name, root in (("a", packed), ("b", self.forms["png-tree"]))]
        self.assertEqual(runs[0].sha256(), runs[1].sha256())
        self.assertNotEqual(runs[0].sha256(), self.run_on("c", self.forms["packed"]).sha256())

    def test_train_and_valid_are_joined(self):
        tree = self.folder / "tree"
        shutil.copytree(self.forms["png-tree"], tree, ignore=shutil.ignore_patterns("*.apam"))
        shutil.copytree(tree / "test", tree / "valid")
        one, both = (self.run_on(split, tree, "--train-split", split, data="cinic10") for split in ("train", "train+valid"))
        self.assertEqual((one.config["train_images"], both.config["train_images"]), (60, 100))
        self.assertEqual(both.config["train_split"], "train+valid")
        process = call(*TRAIN_ON, "--train-split", "train+valid", "--out", self.folder / "x")
        self.assert_refused(process, "cifar10 has no part valid", 1)

    def test_label_order_is_for_imagenet32(self):
        self.assert_refused(call("data", "check", "--label-order", "wnid"), "cifar10 has no label order", 1)
        options = ["--data", "imagenet32", "--data-root", self.forms["png-tree"], "--label-order"]
        self.assertEqual(self.check(*options, "wnid")["label_order"], "wnid")
        self.assert_refused(call("data", "check", *options, "devkit"), "order wnid, not devkit", 1)

    def test_a_missing_root_names_the_way_to_get_the_data(self):
        for name, words in (("cinic10", "get_data.sh cinic10"), ("imagenet32", "get_data.sh imagenet32"),
                            ("fashion-mnist", "dataset-fashion-mnist")):
            process = call("data", "check", "--data", name, "--data-root", "/nowhere")
            self.assert_refused(process, words, 1)

    def test_ranks_pack_a_folder_once(self):
        tree = self.folder / "tree"
        shutil.copytree(self.forms["png-tree"], tree, ignore=shutil.ignore_patterns("*.apam"))
        self.run_on("run", tree, "--exchange", "async", ranks=3)
        self.assertEqual({path.name for path in tree.iterdir()}, {"train", "test", "image_mean.npy", "cifar10.apam"})

    def test_packing_continues_after_a_signal(self):
        options = ["--data", "synthetic", "--train-images", "60000", "--test-images", "10"]
        out = self.folder / "big.apam"
        process = subprocess.Popen([PROGRAM, "data", "pack", *options, "--out", str(out)], stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.kill)
        partial, deadline = self.folder / "big.apam.partial", time.monotonic() + 60
        while not partial.exists() or partial.stat().st_size < 20_000_000:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 128 + signal.SIGTERM, said)
        self.assertIn("continues", said)
        done = json.loads((self.folder / "big.apam.partial.journal").read_text())["done"][0]
        self.assertGreater(done, 1000)
        self.assertFalse(out.exists())
        process = self.pack(out, *options)
        self.assertEqual(process.returncode, 0, process.stderr)
        self.assertEqual({path.name for path in self.folder.iterdir()}, {"big.apam"})
        self.check(*options[:2], "--data-root", out)

    def test_subcommands_are_required_and_have_help(self):
        process = call("data")
        self.assertEqual(process.returncode, 2)
        for command in ("pack", "check", "export"):
            process = call("data", command, "--help")
            self.assertEqual(process.returncode, 0)
            self.assertIn("--data-root", process.stdout)


if __name__ == "__main__":
    unittest.main()

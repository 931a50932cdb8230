#!/usr/bin/env python3
"""Suspicious data files, and files that change during training."""

import time

from support import *

RECORD = 3073  # label, then pixels
TRAIN_FILES = ["train", *MACHINE, "--batch", "5", "--eval-batch", "5", "--log-every", "1"]


class DataFiles(ProgramTest):
    def write(self, name, records):
        root = self.folder / "data"
        root.mkdir(exist_ok=True)
        (root / name).write_bytes(b"".join(records))
        return root

    def files(self):
        """Fifty training and five test images."""
        image = lambda i: bytes([i % 10]) + bytes((i * 31 + k * 7) % 256 for k in range(RECORD - 1))
        self.write("data_batch_1.bin", map(image, range(50)))
        return self.write("test_batch.bin", map(image, range(50, 55)))

    def test_zeros_cause_a_warning(self):
        self.write("data_batch_1.bin", [bytes(50 * RECORD)])
        root = self.write("test_batch.bin", [bytes(5 * RECORD)])
        process = call(*TRAIN_FILES, "--data-root", root, "--max-updates", "1", "--out", self.folder / "a")
        self.assertEqual(process.returncode, 0, process.stderr)
        warnings = Run(self.folder / "a").config["warnings"]
        self.assertIn("cifar10: all 50 training images have label 0, of 10 classes", warnings)
        self.assertIn("cifar10: 5 test images checked, all have the value 0 in all pixels", warnings)
        self.assertEqual(complaints(process), [f"apam: warning: {warning}" for warning in warnings])

    def test_sound_data_cause_no_warning(self):
        process = call(*TRAIN_FILES, "--data-root", self.files(), "--max-updates", "1", "--out", self.folder / "a")
        self.assertEqual(process.returncode, 0, process.stderr)
        self.assertEqual(complaints(process), [])
        self.assertEqual(Run(self.folder / "a").config["warnings"], [])

    def test_a_file_that_is_truncated_ends_the_training_with_one_line(self):
        # Colocated, the master's own worker fails.
        colocated = ["--exchange", "async", "--colocate"]
        for name, options, launcher in (("local", [], []), ("async", ["--exchange", "async"], [MPIEXEC, "-n", "2"]),
                                        ("colocated", colocated, [MPIEXEC, "-n", "1"]),
                                        ("messages", [*colocated, "--transport", "mpi"], [MPIEXEC, "-n", "1"])):
            with self.subTest(name):
                root, out = self.files(), self.folder / name
                command = [*launcher, PROGRAM, *TRAIN_FILES, *options, "--data-root", root, "--epochs", "100000",
                           "--eval-every", "1000000", "--out", out]
                process = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                           text=True)
                self.addCleanup(process.kill)
                deadline = time.monotonic() + 100
                while not ((out / "metrics.jsonl").exists() and (out / "metrics.jsonl").read_text()):
                    self.assertLess(time.monotonic(), deadline)
                    self.assertIsNone(process.poll())
                    time.sleep(0.05)
                os.truncate(root / "data_batch_1.bin", 1000)
                _, said = process.communicate(timeout=100)
                self.assertEqual(process.returncode, 1, said)
                self.assertEqual(len([line for line in said.splitlines() if line.startswith("apam: ")]), 1, said)
                self.assertRegex(said, rf"(?m)^apam: .*cifar10: {root}/data_batch_1.bin ends at byte \d+, it had 153650 bytes")


if __name__ == "__main__":
    unittest.main()

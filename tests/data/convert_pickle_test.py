#!/usr/bin/env python3
"""Tests of scripts/convert_pickle.py. Skipped without NumPy."""

import contextlib
import io
import os
import pathlib
import pickle
import sys
import tempfile
import unittest

try:
    import numpy as np
except ImportError:
    print("skipped: this Python has no NumPy")
    sys.exit(77)

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))
import convert_pickle  # noqa: E402


class Attack:
    """Runs a command when it is loaded."""

    def __init__(self, folder):
        self.command = f"touch '{folder}/attacked'"

    def __reduce__(self):
        return os.system, (self.command,)


class Encoded:
    """Has its text encoded by the named codec."""

    def __reduce__(self):
        import _codecs

        return _codecs.encode, ("abc", "rot13")


class ConvertPickle(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        generator = np.random.default_rng(5)
        self.mean = generator.uniform(0, 255, 3072)
        self.batches = {}
        for name, count in (("train_data_batch_1", 4), ("train_data_batch_2", 3), ("val_data", 2)):
            self.batches[name] = {
                "data": generator.integers(0, 256, (count, 3072), dtype=np.uint8),
                "labels": generator.integers(1, 1001, count).tolist(),
            }
            if name != "val_data":
                self.batches[name]["mean"] = self.mean

    def dump(self, protocol=3):
        for name, batch in self.batches.items():
            (self.folder / name).write_bytes(pickle.dumps(batch, protocol))

    def convert(self, *more):
        """Runs the script. Returns its error message, or None on success."""
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                return convert_pickle.main([str(self.folder), *map(str, more)]) or None
        except SystemExit as stop:
            return str(stop.code)

    def check(self, folder):
        for name, batch in self.batches.items():
            with np.load(folder / f"{name}.npz", allow_pickle=False) as arrays:
                self.assertEqual(sorted(arrays), sorted(batch))
                self.assertEqual(arrays["data"].dtype, np.uint8)
                self.assertEqual(arrays["labels"].dtype, np.int64)
                for key in batch:
                    np.testing.assert_array_equal(arrays[key], batch[key])

    def test_converts_every_protocol(self):
        for protocol in (2, 3, 4, 5):
            with self.subTest(protocol=protocol):
                self.dump(protocol)
                self.assertIsNone(self.convert())
                self.check(self.folder)
                self.assertEqual(len(list(self.folder.iterdir())), 6)

    def test_writes_to_another_folder(self):
        self.dump()
        self.assertIsNone(self.convert(self.folder / "new" / "npz"))
        self.check(self.folder / "new" / "npz")
        self.assertFalse((self.folder / "val_data.npz").exists())

    def test_reads_labels_as_an_array(self):
        self.batches["val_data"]["labels"] = np.array([1, 1000], dtype=np.int32)
        self.dump()
        self.assertIsNone(self.convert())
        self.check(self.folder)

    def test_converts_a_pickle_named_npz_only_to_another_folder(self):
        self.dump()
        path = self.folder / "val_data.npz"
        (self.folder / "val_data").rename(path)
        content = path.read_bytes()
        self.assertRegex(self.convert(), r"val_data\.npz .*TO$")
        self.assertEqual(path.read_bytes(), content)
        self.assertIsNone(self.convert(self.folder / "npz"))
        self.check(self.folder / "npz")

    def test_runs_no_code_of_the_file(self):
        for attack, words in ((Attack(self.folder), "system"), (Encoded(), "rot13"), (np.float64(1), "scalar"), (print, "print")):
            self.batches["val_data"]["labels"] = attack
            self.dump()
            error = self.convert()
            self.assertIn("val_data ", error)
            self.assertIn(words, error)
            self.assertEqual(len(error.splitlines()), 1)
            self.assertFalse((self.folder / "attacked").exists())
            self.assertFalse((self.folder / "val_data.npz").exists())

    def test_refuses_malformed_batches(self):
        good = self.batches["train_data_batch_2"]
        data, labels = good["data"], good["labels"]
        cases = [
            ([1, 2], "list"),
            ({k: v for k, v in good.items() if k != "mean"}, "'mean'"),
            ({k: v for k, v in good.items() if k != "labels"}, "'labels'"),
            ({k: v for k, v in good.items() if k != "data"}, "'data'"),
            ({**good, "data": data.astype(np.float32)}, "float32 (3, 3072), expected uint8 (N, 3072)"),
            ({**good, "data": data[:, :100]}, "uint8 (3, 100), expected uint8 (N, 3072)"),
            ({**good, "data": data.tolist()}, "list"),
            ({**good, "labels": labels[:2]}, "2 labels for 3 images"),
            ({**good, "labels": [0, 1, 2]}, "from 0 to 2, expected 1 to 1000"),
            ({**good, "labels": np.array([1, 2, 1001])}, "from 1 to 1001, expected 1 to 1000"),
            ({**good, "labels": ["1", "2", "3"]}, "labels is a list"),
            ({**good, "labels": [1, 2, 2**70]}, "labels is a list"),
            ({**good, "labels": np.array([1.0, 2.0, 3.0])}, "float64 (3,)"),
            ({**good, "data": data[:0], "labels": []}, "no images"),
            ({**good, "mean": self.mean[:5]}, "float64 (5,), expected float64 (3072,)"),
            ({**good, "mean": self.mean.astype(np.int64)}, "int64 (3072,)"),
        ]
        for batch, words in cases:
            with self.subTest(words=words):
                self.batches["train_data_batch_2"] = batch
                self.dump()
                error = self.convert()
                self.assertIn("train_data_batch_2 ", error)
                self.assertIn(words, error)
                self.assertFalse((self.folder / "train_data_batch_2.npz").exists())

    def test_refuses_damaged_files(self):
        self.dump()
        path = self.folder / "val_data"
        content = path.read_bytes()
        for damaged in (content[: len(content) // 2], b"", b"\x80\x03garbage", b"no pickle file"):
            path.write_bytes(damaged)
            error = self.convert()
            self.assertIn("val_data ", error)
            self.assertEqual(len(error.splitlines()), 1)
        self.assertEqual([path.name for path in self.folder.iterdir() if "partial" in path.name], [])

    def test_refuses_folders_without_pickles(self):
        self.assertIn("no pickle file", self.convert())
        self.folder = self.folder / "missing"
        self.assertIn("missing", self.convert())


if __name__ == "__main__":
    unittest.main()

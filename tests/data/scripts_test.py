#!/usr/bin/env python3
"""Tests of scripts/cifar10_from_png.py and scripts/make_sample.py on small generated files, and of get_data.sh without network."""

import contextlib
import io
import json
import os
import pathlib
import random
import struct
import subprocess
import sys
import tempfile
import unittest
import zlib

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))
import cifar10_from_png  # noqa: E402
import make_sample  # noqa: E402

ROWS = 10  # images per picture: two for each filter


def filtered(kind, row, above):
    """A row of RGB bytes under filter `kind` (PNG specification, section 9.2). Neighbouring bytes are 3 apart."""
    out = bytearray()
    for i, value in enumerate(row):
        left = row[i - 3] if i >= 3 else 0
        up = above[i]
        corner = above[i - 3] if i >= 3 else 0
        estimate = left + up - corner
        nearest = min((left, up, corner), key=lambda v: abs(estimate - v))  # ties go to the first
        out.append((value - (0, left, up, (left + up) // 2, nearest)[kind]) % 256)
    return bytes([kind]) + bytes(out)


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def picture(rows, width=1024, kinds=range(5)):
    """A PNG file of rows of RGB bytes, with filters `kinds` in round-robin order and two data chunks."""
    kinds = list(kinds)
    above = bytes(len(rows[0]))
    stored = b""
    for i, row in enumerate(rows):
        stored += filtered(kinds[i % len(kinds)], row, above)
        above = row
    data = zlib.compress(stored)
    header = struct.pack(">IIBBBBB", width, len(rows), 8, 2, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data[:100]) + chunk(b"IDAT", data[100:])
            + chunk(b"IEND", b""))


class FromPng(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        generator = random.Random(7)
        names = [f"data_batch_{n}" for n in range(1, 6)] + ["test_batch"]
        cls.rows = {name: [generator.randbytes(3072) for _ in range(ROWS)] for name in names}
        cls.labels = {name: [generator.randrange(10) for _ in range(ROWS)] for name in names}
        cls.files = {f"{name}.png": picture(rows) for name, rows in cls.rows.items()}
        training = [label for name in names[:5] for label in cls.labels[name]]
        cls.files["train_lables.json"] = json.dumps(training).encode()
        cls.files["test_lables.json"] = json.dumps(cls.labels["test_batch"]).encode()

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.source = pathlib.Path(folder.name) / "from"
        self.target = pathlib.Path(folder.name) / "to"
        self.source.mkdir()
        for name, content in self.files.items():
            (self.source / name).write_bytes(content)
        self.addCleanup(setattr, cifar10_from_png, "IMAGES", cifar10_from_png.IMAGES)
        cifar10_from_png.IMAGES = ROWS

    def convert(self):
        """Runs the script. Returns its error message, or None on success."""
        arguments, sys.argv = sys.argv, ["cifar10_from_png.py", str(self.source), str(self.target)]
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                cifar10_from_png.main()
        except SystemExit as stop:
            return str(stop.code)
        finally:
            sys.argv = arguments
        return None

    def test_writes_label_and_planes_for_every_filter(self):
        self.assertIsNone(self.convert())
        for name, rows in self.rows.items():
            expected = b"".join(bytes([label]) + row[0::3] + row[1::3] + row[2::3] for label, row in zip(self.labels[name], rows))
            self.assertEqual((self.target / f"{name}.bin").read_bytes(), expected, name)

    def test_refuses_a_damaged_chunk(self):
        data = bytearray((self.source / "test_batch.png").read_bytes())
        data[60] ^= 1
        (self.source / "test_batch.png").write_bytes(data)
        self.assertRegex(self.convert(), r"test_batch\.png: chunk at byte 33 has checksum \w{8}, expected \w{8}$")

    def test_refuses_a_truncated_file(self):
        path = self.source / "data_batch_3.png"
        path.write_bytes(path.read_bytes()[:200])
        self.assertIn("data_batch_3.png: ", self.convert())

    def test_refuses_other_pictures(self):
        path = self.source / "data_batch_1.png"
        path.write_bytes(picture([bytes(30)] * ROWS, width=10))
        self.assertIn("data_batch_1.png: header (10, 10, 8, 2, 0, 0, 0), expected (1024, 10, 8, 2, 0, 0, 0)", self.convert())
        path.write_bytes(b"GIF89a")
        self.assertIn("data_batch_1.png: no PNG signature", self.convert())

    def test_refuses_an_unknown_filter(self):
        header = struct.pack(">IIBBBBB", 1024, ROWS, 8, 2, 0, 0, 0)
        rows = (b"\x05" + bytes(3072)) * ROWS
        data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
        (self.source / "data_batch_2.png").write_bytes(data)
        self.assertIn("data_batch_2.png: a row has filter 5, expected 0 to 4", self.convert())

    def test_refuses_wrong_labels(self):
        (self.source / "test_lables.json").write_text(json.dumps([1] * (ROWS - 1) + [10]))
        self.assertIn("10 labels for test_batch.png, expected 10 in 0 to 9", self.convert())


class MakeSample(unittest.TestCase):
    def test_takes_the_first_of_each_class_in_order(self):
        with tempfile.TemporaryDirectory() as name:
            source, target = pathlib.Path(name), pathlib.Path(name) / "sample"
            generator = random.Random(3)
            labels = [n % 10 for n in range(60)]
            generator.shuffle(labels)
            everything = [bytes([label]) + generator.randbytes(3072) for label in labels]
            for n in range(5):
                (source / f"data_batch_{n + 1}.bin").write_bytes(b"".join(everything[12 * n : 12 * n + 12]))
            (source / "test_batch.bin").write_bytes(b"".join(everything))
            arguments, sys.argv = sys.argv, ["make_sample.py", str(source), str(target), "2", "1"]
            try:
                make_sample.main()
            finally:
                sys.argv = arguments
            for file, wanted in (("data_batch_1.bin", 2), ("test_batch.bin", 1)):
                expected = [record for i, record in enumerate(everything) if labels[:i].count(labels[i]) < wanted]
                self.assertEqual((target / file).read_bytes(), b"".join(expected), file)
                self.assertEqual(len(expected), 10 * wanted)


class GetData(unittest.TestCase):
    """With a curl that fails, or delivers the wrong content."""

    ARCHIVES = {"cinic10": ("CINIC-10.tar.gz", "687544992", "6ee4d0c996905fe93221de577967a372"),
                "imagenet32": ("Imagenet32_train_npz.zip", "3580435279",
                               "94226337ecc1b0309d9fcd0167127aaadc931587035fbcb53925235edbaec4fc")}

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def run_script(self, *arguments, curl="exit 7", **environment):
        tools = self.folder / "bin"
        tools.mkdir(exist_ok=True)
        (tools / "curl").write_text(f"#!/bin/bash\n{curl}\n")
        (tools / "curl").chmod(0o755)
        script = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "get_data.sh"
        environment = {**os.environ, **environment, "PATH": f"{tools}:{os.environ['PATH']}"}
        return subprocess.run([script, *arguments], capture_output=True, text=True, env=environment)

    def test_has_help_and_refuses_unknown_names(self):
        for name in ("cifar10", "cinic10", "imagenet32"):
            self.assertIn(f"get_data.sh {name}", self.run_script("--help").stdout)
        self.assertEqual(self.run_script("mnist").returncode, 2)
        self.assertEqual(self.run_script().returncode, 2)

    def test_prints_which_file_to_put_where(self):
        for name, facts in self.ARCHIVES.items():
            process = self.run_script(name, self.folder / name)
            self.assertEqual(process.returncode, 1)
            for fact in (*facts, str(self.folder / name / facts[0])):
                self.assertIn(fact, process.stderr)

    def test_deletes_wrong_content_and_tries_the_next_source(self):
        deliver = 'while [[ $1 != --output ]]; do shift; done; echo wrong >"$2"'
        process = self.run_script("cinic10", self.folder / "a", curl=deliver, CINIC10_URL="file:///mirror")
        self.assertEqual(process.returncode, 1)
        self.assertEqual(process.stdout.count("wrong size or hash and was deleted"), 2)
        self.assertEqual(list((self.folder / "a").iterdir()), [])

    def test_keeps_an_interrupted_download(self):
        stop = 'while [[ $1 != --output ]]; do shift; done; echo part >>"$2"; exit 18'
        for length in (5, 10):
            self.assertEqual(self.run_script("cinic10", self.folder / "a", curl=stop).returncode, 1)
            self.assertEqual((self.folder / "a" / "CINIC-10.tar.gz.download").stat().st_size, length)

    def test_refuses_a_wrong_file_in_its_place(self):
        (self.folder / "a").mkdir()
        (self.folder / "a" / "CINIC-10.tar.gz").write_bytes(b"wrong")
        process = self.run_script("cinic10", self.folder / "a")
        self.assertEqual(process.returncode, 1)
        self.assertIn("CINIC-10.tar.gz is not the expected file", process.stderr)
        self.assertTrue((self.folder / "a" / "CINIC-10.tar.gz").exists())


if __name__ == "__main__":
    unittest.main()

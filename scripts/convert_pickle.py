#!/usr/bin/env python3
"""Converts the pickle files of the downsampled ImageNet to its official npz files, which apam reads.

usage: convert_pickle.py FROM [TO]

FROM has train_data_batch_1, train_data_batch_2, ... and val_data, or some of them. Each is written to TO (default: FROM) as
NAME.npz with the arrays data (uint8, N x 3072), labels (int64, 1 to 1000) and, for training files, mean (float64, 3072). An
existing file is replaced once the new one is complete. One file is in memory at a time (about 400 MB). Needs NumPy.

A pickle file can run any code when it is loaded. Here, only NumPy's functions that rebuild arrays are available to it.
"""

import os
import pathlib
import pickle
import re
import sys

try:
    import numpy as np
except ImportError:
    sys.exit("convert_pickle: this Python has no NumPy (Debian: apt-get install python3-numpy, then use /usr/bin/python3)")

NAME = re.compile(r"train_data_batch_[1-9]\d*|val_data")
CLASSES = 1000
VALUES = 3072  # of an image


class Malformed(Exception):
    pass


def rebuild(kind, shape, code):
    """numpy.core.multiarray._reconstruct: an empty array, filled from the pickle file later."""
    if kind is not np.ndarray or shape != (0,):
        raise Malformed(f"rebuilds {kind!r} of shape {shape!r}, expected an empty array")
    return np.ndarray(shape, np.int8)


def from_buffer(data, dtype, shape, order):
    """numpy.core.numeric._frombuffer, used by protocol 5."""
    return np.frombuffer(data, dtype=dtype).reshape(shape, order=order)


def encode(text, encoding):
    """_codecs.encode: how Python 3 stores bytes in protocol 2."""
    if encoding != "latin1":
        raise Malformed(f"encodes text as {encoding!r}, expected 'latin1'")
    return text.encode("latin1")


ALLOWED = {("numpy", "ndarray"): np.ndarray, ("numpy", "dtype"): np.dtype, ("_codecs", "encode"): encode}
for core in ("numpy.core", "numpy._core"):
    ALLOWED[f"{core}.multiarray", "_reconstruct"] = rebuild
    ALLOWED[f"{core}.numeric", "_frombuffer"] = from_buffer


class ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module, name):
        try:
            return ALLOWED[module, name]
        except KeyError:
            raise Malformed(f"needs {module}.{name}, but arrays do not: it is not loaded") from None

    def persistent_load(self, identifier):
        raise Malformed("refers to an object outside the file")


def load(path):
    """The dictionary of a file."""
    try:
        with open(path, "rb") as file:
            batch = ArrayUnpickler(file, encoding="latin1").load()
    except (Malformed, OSError):
        raise
    except Exception as error:  # damaged files raise errors of many types
        raise Malformed(f"is not a pickle file, or is damaged: {type(error).__name__}: {' '.join(str(error).split())}") from None
    if not isinstance(batch, dict):
        raise Malformed(f"holds a {type(batch).__name__}, expected a dictionary")
    return batch


def required(batch, key):
    if key not in batch:
        raise Malformed(f"has no {key!r}, its keys are {sorted(map(str, batch))[:8]}")
    return batch[key]


def arrays_of(batch, training):
    """The arrays of the npz file."""
    data = required(batch, "data")
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != VALUES:
        raise Malformed(f"data is {describe(data)}, expected uint8 (N, {VALUES})")
    labels = required(batch, "labels")
    if isinstance(labels, list) and all(type(label) is int and abs(label) < 2**63 for label in labels):
        labels = np.array(labels, dtype=np.int64)
    if not isinstance(labels, np.ndarray) or labels.dtype.kind not in "iu" or labels.ndim != 1:
        raise Malformed(f"labels is {describe(labels)}, expected a list of integers")
    if len(labels) != len(data):
        raise Malformed(f"has {len(labels)} labels for {len(data)} images")
    if len(labels) == 0:
        raise Malformed("has no images")
    if labels.min() < 1 or labels.max() > CLASSES:
        raise Malformed(f"has labels from {labels.min()} to {labels.max()}, expected 1 to {CLASSES}")
    arrays = {"data": np.ascontiguousarray(data), "labels": labels.astype(np.int64)}
    if training:
        mean = required(batch, "mean")
        if not isinstance(mean, np.ndarray) or mean.dtype.kind != "f" or mean.shape != (VALUES,):
            raise Malformed(f"mean is {describe(mean)}, expected float64 ({VALUES},)")
        arrays["mean"] = mean.astype(np.float64)
    return arrays


def describe(value):
    return f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"


def write(arrays, target):
    """Writes and syncs a temporary file, then moves it to `target`."""
    partial = target.with_name(f"{target.name}.{os.getpid()}.partial")
    try:
        with open(partial, "wb") as file:
            np.savez(file, **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def is_pickle(path):
    with open(path, "rb") as file:
        return file.read(1) == b"\x80"


def jobs(source, target):
    """(pickle file, npz file) pairs, in order of the file names' numbers."""
    found = {}
    for path in source.iterdir():
        name = path.name.removesuffix(".npz")
        if NAME.fullmatch(name) and path.is_file() and (name == path.name or is_pickle(path)):
            if name in found:
                raise Malformed(f"has both {name} and {name}.npz as pickle files, expected one")
            found[name] = path
    return [(found[name], target / f"{name}.npz") for name in sorted(found, key=lambda name: (len(name), name))]


def main(arguments):
    if not 1 <= len(arguments) <= 2 or arguments[0].startswith("-"):
        print(__doc__.strip(), file=sys.stderr)
        return 2
    source, target = pathlib.Path(arguments[0]), pathlib.Path(arguments[-1])
    path = source
    try:
        work = jobs(source, target)
        if not work:
            raise Malformed("has no pickle file train_data_batch_N or val_data")
        target.mkdir(parents=True, exist_ok=True)
        for path, result in work:
            if result.exists() and result.samefile(path):
                raise Malformed("is a pickle file with the name of an npz file: name another folder as TO")
            arrays = arrays_of(load(path), path.name.startswith("train"))
            write(arrays, result)
            print(f"convert_pickle: {result}: {len(arrays['labels'])} images", flush=True)
    except Malformed as error:
        sys.exit(f"convert_pickle: {path} {error}")
    except (OSError, MemoryError) as error:
        sys.exit(f"convert_pickle: {path}: {error or 'out of memory'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

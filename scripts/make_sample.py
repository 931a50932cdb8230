#!/usr/bin/env python3
"""Makes the small sample of CIFAR-10 that is bundled with the program.

usage: make_sample.py FROM TO [TRAIN TEST]

FROM has the original binary files (scripts/get_data.sh cifar10). Writes to TO the first TRAIN (250) training images of each
class as data_batch_1.bin and the first TEST (50) test images of each class as test_batch.bin, unchanged and in their
original order. The sample is balanced and reproducible. Needs only Python's standard library.
"""

import pathlib
import sys

RECORD = 1 + 3072
CLASSES = 10


def records(paths):
    for path in paths:
        data = path.read_bytes()
        if not data or len(data) % RECORD:
            sys.exit(f"make_sample: {path} has {len(data)} bytes, expected a multiple of {RECORD}")
        yield from (data[at : at + RECORD] for at in range(0, len(data), RECORD))


def first_of_each(paths, wanted):
    """The first `wanted` records of each class, in file order."""
    counts = [0] * CLASSES
    chosen = []
    for record in records(paths):
        if counts[record[0]] < wanted:
            counts[record[0]] += 1
            chosen.append(record)
    if min(counts) < wanted:
        sys.exit(f"make_sample: class {counts.index(min(counts))} has {min(counts)} images, expected {wanted}")
    return b"".join(chosen)


def main():
    if len(sys.argv) not in (3, 5):
        sys.exit(__doc__.strip())
    source, target = map(pathlib.Path, sys.argv[1:3])
    train, test = map(int, sys.argv[3:5]) if len(sys.argv) == 5 else (250, 50)
    target.mkdir(parents=True, exist_ok=True)
    training_files = [source / f"data_batch_{n}.bin" for n in range(1, 6)]
    (target / "data_batch_1.bin").write_bytes(first_of_each(training_files, train))
    (target / "test_batch.bin").write_bytes(first_of_each([source / "test_batch.bin"], test))


if __name__ == "__main__":
    main()

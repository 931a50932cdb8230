#!/usr/bin/env python3
"""Converts CIFAR-10 as PNG files to the original binary files.

usage: cifar10_from_png.py FROM TO

FROM has data_batch_1.png .. data_batch_5.png, test_batch.png, train_lables.json and test_lables.json. Row i of a PNG file
(1024 x 10000, 8-bit RGB) has the 1024 pixels of image i in order. TO receives data_batch_1.bin .. data_batch_5.bin and
test_batch.bin: records of one label byte and 3072 pixel bytes, channel by channel. Needs only Python's standard library.
"""

import itertools
import json
import pathlib
import struct
import sys
import zlib

PIXELS = 1024
IMAGES = 10000


def chunks(data):
    """Yields (type, content) of each chunk of a PNG file."""
    if data[:8] != b"\x89PNG\r\n\x1a\n":
        raise ValueError("no PNG signature")
    at = 8
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        body = data[at + 4 : at + 8 + length]
        (expected,) = struct.unpack_from(">I", data, at + 8 + length)
        if zlib.crc32(body) != expected:
            raise ValueError(f"chunk at byte {at} has checksum {zlib.crc32(body):08x}, expected {expected:08x}")
        yield body[:4], body[4:]
        at += 12 + length


def paeth(left, up, corner):
    """PNG's Paeth predictor: the neighbour closest to left + up - corner; ties go to left, then up."""
    guess = left + up - corner
    distances = (abs(guess - left), abs(guess - up), abs(guess - corner))
    return (left, up, corner)[distances.index(min(distances))]


def unfilter(kind, line, above):
    """Decodes one channel of a row: `line` is stored with filter `kind`, `above` is the decoded previous row."""
    if kind == 0:
        return line
    if kind == 1:  # nearly all rows of these files; accumulate() is fast
        return bytes([value & 255 for value in itertools.accumulate(line)])
    if kind == 2:
        return bytes([(a + b) & 255 for a, b in zip(line, above)])
    out = bytearray()
    left = corner = 0
    for value, up in zip(line, above):
        if kind == 3:
            left = (value + (left + up) // 2) & 255
        elif kind == 4:
            left = (value + paeth(left, up, corner)) & 255
        else:
            raise ValueError(f"a row has filter {kind}, expected 0 to 4")
        corner = up
        out.append(left)
    return bytes(out)


def images(path):
    """Yields 3072 bytes per image: its red, green and blue plane."""
    parts = list(chunks(path.read_bytes()))
    header = struct.unpack(">IIBBBBB", dict(parts)[b"IHDR"])
    expected = (PIXELS, IMAGES, 8, 2, 0, 0, 0)  # width, height, bits, RGB, deflate, adaptive filters, not interlaced
    if header != expected:
        raise ValueError(f"header {header}, expected {expected}")
    rows = zlib.decompress(b"".join(content for kind, content in parts if kind == b"IDAT"))
    stride = 1 + 3 * PIXELS
    if len(rows) != IMAGES * stride:
        raise ValueError(f"{len(rows)} bytes of pixels, expected {IMAGES * stride}")
    above = [bytes(PIXELS)] * 3
    for start in range(0, len(rows), stride):
        row = rows[start + 1 : start + stride]
        above = [unfilter(rows[start], row[channel::3], above[channel]) for channel in range(3)]
        yield b"".join(above)


def convert(picture, labels, target):
    if len(labels) != IMAGES or not all(label in range(10) for label in labels):
        raise ValueError(f"{len(labels)} labels for {picture.name}, expected {IMAGES} in 0 to 9")
    with open(target, "wb") as out:
        for label, planes in zip(labels, images(picture)):
            out.write(bytes([label]))
            out.write(planes)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__.strip())
    source, target = map(pathlib.Path, sys.argv[1:])
    target.mkdir(parents=True, exist_ok=True)
    training = json.loads((source / "train_lables.json").read_text())  # sic
    jobs = {f"data_batch_{n + 1}": training[n * IMAGES : (n + 1) * IMAGES] for n in range(5)}
    jobs["test_batch"] = json.loads((source / "test_lables.json").read_text())
    for name, labels in jobs.items():
        print(f"converting {name}", flush=True)
        try:
            convert(source / f"{name}.png", labels, target / f"{name}.bin")
        except (ValueError, KeyError, struct.error, zlib.error) as error:
            sys.exit(f"cifar10_from_png: {source / name}.png: {error}")


if __name__ == "__main__":
    main()

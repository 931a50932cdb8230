#!/usr/bin/env python3
"""Writes small valid and nearly valid files, from which the fuzz targets start.

usage: seeds.py NAME FOLDER      NAME: that of the target, without fuzz_
"""

import hashlib
import io
import json
import pathlib
import struct
import sys
import zipfile
import zlib


def npy(descr, shape, values, major=1, fortran=False):
    header = repr({"descr": descr, "fortran_order": fortran, "shape": shape}).encode()
    prefix = b"\x93NUMPY" + bytes([major, 0])
    size = "<H" if major == 1 else "<I"
    header += b" " * (-(len(prefix) + struct.calcsize(size) + len(header) + 1) % 64) + b"\n"
    return prefix + struct.pack(size, len(header)) + header + values


class Unseekable(io.RawIOBase):
    """Makes zipfile write data descriptors."""

    def __init__(self):
        self.content = bytearray()

    def writable(self):
        return True

    def write(self, data):
        self.content += data
        return len(data)


def npz(members, method=zipfile.ZIP_STORED, zip64=True, seekable=True):
    out = io.BytesIO() if seekable else Unseekable()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in members.items():
            with archive.open(f"{name}.npy", "w", force_zip64=zip64) as file:
                file.write(content)
    return out.getvalue() if seekable else bytes(out.content)


def npz_files():
    images = 2
    data = npy("|u1", (images, 3072), bytes(i * 7 & 255 for i in range(images * 3072)))
    labels = npy("<i8", (images,), struct.pack("<2q", 1, 1000))
    mean = npy("<f8", (3072,), struct.pack("<3072d", *(i % 256 for i in range(3072))))
    members = {"data": data, "labels": labels, "mean": mean}
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        for zip64 in (False, True):
            for seekable in (False, True):
                yield npz(members, method, zip64, seekable)
    for descr, size in (("|u1", 1), ("<i4", 4), ("<f4", 4), ("<f8", 8), (">f8", 8), ("|O", 8)):
        for major in (1, 2, 3):
            yield npz({"data": npy(descr, (2, 3), bytes(6 * size), major)})
    yield npz({"data": npy("|u1", (2, 3), bytes(6), fortran=True)})
    yield npz({})
    yield b"\x80\x03}q\x00."


def packed(parts, shape=(2, 2, 3), mean=False, classes=("a", "b")):
    """A packed data set (data/packed_header.h). `parts`: name -> images."""
    count = shape[0] * shape[1] * shape[2]
    aligned = lambda at: -(-at // 4096) * 4096
    contents = []
    for images in parts.values():
        contents.append(struct.pack(f"<{images}i", *(i % len(classes) for i in range(images))))
        contents.append(bytes(i * 5 & 255 for i in range(images * count)))
    if mean:
        contents.append(struct.pack(f"<{count}f", *(i / 16 for i in range(count))))
    at, sections, body = 4096, [], b""
    for content in contents:
        body += bytes(aligned(at) - at)
        at = aligned(at)
        sections.append({"offset": at, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()})
        body += content
        at += len(content)
    header = {"name": "cinic10", "location": "/data", "fingerprint": "", "label_order": "", "shape": shape, "class_names": classes,
              "parts": [{"name": name, "images": images, "labels": sections[2 * i], "pixels": sections[2 * i + 1]}
                        for i, (name, images) in enumerate(parts.items())],
              "subtract": sections[-1] if mean else [0.5] * shape[2], "divide": [0.25] * shape[2], "notes": ["1 grey image"]}
    text = json.dumps(header, separators=(",", ":")).encode().ljust(4096 - 80)
    return b"\x89APAMPK\n" + struct.pack("<II", 1, len(text)) + hashlib.sha256(text).hexdigest().encode() + text + body


def packed_files():
    yield packed({"train": 2, "test": 1})
    yield packed({"train": 3, "valid": 2, "test": 1}, mean=True)
    yield packed({"train": 1, "test": 1}, shape=(1, 1, 1), classes=("x",))
    yield packed({"train": 2, "test": 1})[:-1]
    yield packed({"train": 2, "test": 1})[:4096]


def png(colour, depth, interlaced, size=32):
    """Rows of pseudo-random bytes with filters in round-robin order, which is a valid image of any format."""
    bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    adam7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    rows = b""
    for x, y, dx, dy in adam7 if interlaced else ((0, 0, 1, 1),):
        for row in range(len(range(y, size, dy))):
            width = (len(range(x, size, dx)) * bits + 7) // 8
            rows += bytes([row % 5]) + bytes((row * 31 + i * i * 7) & 255 for i in range(width))

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    palette = chunk(b"PLTE", bytes(i * 5 & 255 for i in range(3 << depth))) if colour == 3 else b""
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", size, size, depth, colour, 0, 0, interlaced))
            + palette + chunk(b"tEXt", b"a\0b") + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def png_files():
    for colour, depths in ((0, (1, 2, 4, 8, 16)), (2, (8, 16)), (3, (1, 2, 4, 8)), (4, (8, 16)), (6, (8, 16))):
        for depth in depths:
            for interlaced in (0, 1):
                yield png(colour, depth, interlaced)
    yield png(2, 8, 0, size=33)
    yield png(2, 8, 0)[:-12]


SEEDS = {"npz": npz_files, "packed": packed_files, "png": png_files}


def main(arguments):
    if len(arguments) != 2 or arguments[0] not in SEEDS:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    folder = pathlib.Path(arguments[1])
    folder.mkdir(parents=True, exist_ok=True)
    for number, content in enumerate(SEEDS[arguments[0]]()):
        (folder / f"seed_{number:02}").write_bytes(content)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

#!/usr/bin/env python3
"""Compares the PNG decoder with Pillow's convert("RGB"): on the fixtures of the C++ tests, and on files that Pillow writes.

usage: png_pillow_test.py PNG_FIXTURES        PNG_FIXTURES: the program built from png_fixtures.cpp

Ends with exit code 77 (skipped) if Pillow is not installed.
"""
import pathlib
import random
import subprocess
import sys
import tempfile
import warnings

try:
    from PIL import Image
except ImportError:
    print("Pillow is not installed")
    sys.exit(77)

SIZE = (32, 32)


def pillow_images():
    """Name, image and options of files that Pillow writes: every mode that it stores as PNG."""
    generator = random.Random(5)

    def noise(mode, channels):
        return Image.frombytes(mode, SIZE, generator.randbytes(SIZE[0] * SIZE[1] * channels))

    smooth = Image.new("RGB", SIZE)
    smooth.putdata([(8 * x, 8 * y, 4 * (x + y)) for y in range(SIZE[1]) for x in range(SIZE[0])])
    for mode, channels in (("L", 1), ("LA", 2), ("RGB", 3), ("RGBA", 4)):
        yield f"noise_{mode}", noise(mode, channels), {}
        yield f"smooth_{mode}", smooth.convert(mode), {"optimize": True}
    yield "bits", noise("L", 1).convert("1"), {}
    yield "grey16", noise("I;16", 2), {}
    few = Image.new("I", SIZE)
    few.putdata([i % 300 for i in range(SIZE[0] * SIZE[1])])
    yield "grey16_around_255", few, {}
    for colours in (2, 4, 16, 100, 256):
        palette = smooth.quantize(colours)
        yield f"palette_{colours}", palette, {}
        yield f"palette_{colours}_transparent", palette, {"transparency": 1}
        yield f"palette_{colours}_alphas", palette, {"transparency": bytes(range(colours))}
    yield "transparent_grey", noise("L", 1), {"transparency": 7}
    yield "transparent_rgb", noise("RGB", 3), {"transparency": (1, 2, 3)}


def main(program):
    warnings.simplefilter("ignore")  # about transparency, which the conversion drops
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        subprocess.run([program, "write", folder], check=True)
        written = 0
        for written, (stem, image, options) in enumerate(pillow_images(), 1):
            image.save(folder / f"pillow_{stem}.png", **options)
        subprocess.run([program, "decode", folder], check=True)
        different, modes = [], set()
        files = sorted(folder.glob("*.png"))
        for path in files:
            with Image.open(path) as image:
                modes.add(image.mode)
                expected = image.convert("RGB").tobytes()
            if path.with_suffix(".rgb").read_bytes() != expected:
                different.append(path.stem)
    print(f"{len(files)} files, {written} written by Pillow, modes {sorted(modes)}; {len(different)} differ {different}")
    return 1 if different or len(files) < 100 or not modes >= {"1", "L", "P", "RGB", "RGBA"} else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

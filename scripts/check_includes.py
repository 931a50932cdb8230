#!/usr/bin/env python3
"""Checks the allowed includes of each folder, and that the preprocessor contains no logic.

usage: check_includes.py [ROOT]        checks the sources below ROOT (default: this repository)
       check_includes.py --self-test   checks the rules on sample lines

The allowed directions are those of docs/architecture.md:

    kernels/runtime <- kernels/ops <- kernels/PROVIDER           providers do not include each other
    kernels <- engine <- {nets, data, apam/exchange}             these three do not include each other
    apam/exchange <- {apam/exchange/local, apam/exchange/mpi, apam/exchange/nccl, apam/exchange/shared}    nor do these four
    kernels/runtime <- kernels/nccl <- apam/exchange/nccl
    apam/exchange <- apam/exchange/drivers <- apam/exchange/local
    all of them <- apam/training <- apam/cli                     only tests of apam/cli and the program include apam/cli

A vendor's headers may only be included by the folders listed in VENDORS. Prints one line per violation and ends with exit code
1 if there are any.
"""
import pathlib
import re
import sys
import tempfile

TOP = ("kernels", "engine", "nets", "data", "apam", "tests", "bench")
PROVIDERS = ("reference", "cpu", "onednn", "cudnn", "cuda")

RUNTIME, OPS = "kernels/runtime/", "kernels/ops/"
EXCHANGE = (
    "apam/exchange/", "apam/exchange/drivers/", "apam/exchange/local/", "apam/exchange/mpi/", "apam/exchange/nccl/", "apam/exchange/shared/"
)
BELOW_TRAINING = ("kernels/", "kernels/nccl/", "kernels/providers.h", OPS, RUNTIME, "engine/", "nets/", "data/", *EXCHANGE)

# Room -> other rooms that it may include. A file belongs to the first room that is a prefix of its path.
ROOMS = {
    RUNTIME: (),
    OPS: (RUNTIME,),
    **{f"kernels/{provider}/": (RUNTIME, OPS, "kernels/providers.h", "kernels/comparison.h") for provider in PROVIDERS},
    "kernels/nccl/": (RUNTIME,),
    "kernels/comparison.h": (RUNTIME,),
    "kernels/providers.h": (RUNTIME, OPS),
    "kernels/": (RUNTIME, OPS, "kernels/providers.h", "kernels/comparison.h"),
    "engine/": (RUNTIME, OPS),
    "nets/": ("engine/", RUNTIME, OPS),
    "data/": (RUNTIME,),
    "apam/exchange/drivers/": ("apam/exchange/", "engine/", RUNTIME),
    "apam/exchange/local/": ("apam/exchange/", "apam/exchange/drivers/", "engine/", RUNTIME),
    "apam/exchange/shared/": ("apam/exchange/", "engine/", RUNTIME),
    "apam/exchange/mpi/": ("apam/exchange/", "engine/", RUNTIME),
    "apam/exchange/nccl/": ("apam/exchange/", "kernels/nccl/", RUNTIME),
    "apam/exchange/": ("engine/", RUNTIME),
    "apam/training/": BELOW_TRAINING,
    "apam/cli/": ("apam/training/", *BELOW_TRAINING),
}
ALL = (*ROOMS, "tests/", "bench/")
NOT_CLI = tuple(room for room in ALL if room != "apam/cli/")
ROOMS |= {"tests/cli/": ALL, "tests/program/": ALL, "tests/": NOT_CLI, "bench/": NOT_CLI}

# Header -> folders that may include it.
VENDORS = [
    (r"(cuda|cuda_.*|driver_types|cublas.*)\.h|cuda/.*|cooperative_groups.*", ("kernels/runtime/", "kernels/cuda/", "kernels/cudnn/", "kernels/nccl/")),
    (r"cudnn.*", ("kernels/cudnn/",)),
    (r"(oneapi/)?dnnl.*|oneapi/.*", ("kernels/onednn/",)),
    (r"omp\.h", ("kernels/runtime/",)),
    (r".*intrin\.h", ("kernels/",)),
    (r"mpi\.h", ("apam/exchange/mpi/", "bench/exchange/", "tests/kernels/cuda/guarded/")),
    (r"stb/.*", ("data/",)),
    (r"zlib\.h", ("data/", "tests/data/", "tests/fuzz/")),
    (r"nccl\.h", ("kernels/nccl/", "tests/kernels/nccl/")),
    (r"simt/.*", ("kernels/cuda/", "tests/kernels/cuda/")),  # one of two folders, by the include path
    (r"CLI/.*", ("apam/cli/", "bench/", "tests/cli/", "tests/program/")),
]

INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)')
# The headers that define DEVICE, once per target of the CUDA kernels, and nothing else.
MACROS = re.compile(r"kernels/cuda/(gpu|emulator)/simt/macros\.h:#define DEVICE \S.*")
CONDITIONAL = re.compile(r"^\s*#\s*(if|ifdef|ifndef|elif|else|endif|define|undef)\b")


def room_of(path):
    return next((room for room in ROOMS if path.startswith(room)), None)


def allowed(path, target):
    """Whether the file `path` may include the file `target`, both relative to the root."""
    room, target_room = room_of(path), room_of(target)  # a generated header belongs to the folder of its template
    return room is not None and target_room is not None and (target_room == room or target_room in ROOMS[room])


def violations_of(path, text):
    for number, line in enumerate(text.splitlines(), 1):
        if CONDITIONAL.match(line) and not MACROS.fullmatch(f"{path}:{line}"):
            yield f"{path}:{number}: {line.strip()}: CMake selects files; the preprocessor selects nothing"
        match = INCLUDE.match(line)
        if not match:
            continue
        target = match.group(1) or match.group(2)
        for pattern, folders in VENDORS:
            if re.fullmatch(pattern, target) and not path.startswith(folders):
                yield f"{path}:{number}: <{target}> may only be included by {' and '.join(folders)}"
        if match.group(1) and not allowed(path, target):
            yield f"{path}:{number}: \"{target}\" may not be included here"
        if match.group(2) and target.startswith(tuple(f"{top}/" for top in TOP)):
            yield f"{path}:{number}: <{target}> is part of this repository: use quotes"


def sources(root):
    for top in TOP:
        for path in sorted((root / top).rglob("*")):
            if path.suffix in (".h", ".cpp", ".cu", ".cuh", ".in"):
                yield path.relative_to(root).as_posix(), path


def check(root):
    count, violations = 0, []
    for name, path in sources(root):
        count += 1
        violations += violations_of(name, path.read_text(encoding="utf-8"))
    return count, violations


SELF_TEST = [  # file, line, whether it is a violation
    ("kernels/runtime/a.h", '#include "kernels/ops/conv2d.h"', True),
    ("kernels/runtime/a.h", '#include "kernels/runtime/error.h"', False),
    ("kernels/runtime/a.cpp", "#include <omp.h>", False),
    ("kernels/ops/a.h", '#include "kernels/cpu/a.h"', True),
    ("kernels/cpu/a.cpp", '#include "kernels/onednn/a.h"', True),
    ("kernels/cpu/a.cpp", '#include "kernels/reference/a.h"', True),
    ("kernels/cpu/a.cpp", '#include "kernels/selection.h"', True),
    ("kernels/cpu/a.cpp", '#include "kernels/cpu/vector/a.h"', False),
    ("kernels/cpu/a.cpp", "#include <immintrin.h>", False),
    ("kernels/cpu/a.cpp", "#include <oneapi/dnnl/dnnl.hpp>", True),
    ("kernels/onednn/a.cpp", "#include <oneapi/dnnl/dnnl.hpp>", False),
    ("kernels/onednn/a.cpp", "#include <cuda_runtime.h>", True),
    ("kernels/cudnn/a.cpp", "#include <cudnn.h>", False),
    ("engine/a.cpp", '#include "kernels/cpu/a.h"', True),
    ("engine/a.cpp", '#include "nets/net.h"', True),
    ("engine/a.cpp", '#include "kernels/ops/conv2d.h"', False),
    ("engine/a.cpp", "#include <omp.h>", True),
    ("engine/a.cpp", "#include <immintrin.h>", True),
    ("nets/a.cpp", '#include "data/dataset.h"', True),
    ("nets/a.cpp", '#include "engine/tape.h"', False),
    ("data/a.cpp", '#include "engine/tape.h"', True),
    ("data/a.cpp", '#include "apam/exchange/transport.h"', True),
    ("data/a.cpp", "#include <stb/stb_image.h>", False),
    ("tests/data/a.cpp", "#include <stb/stb_image.h>", True),
    ("data/a.cpp", "#include <zlib.h>", False),
    ("nets/a.cpp", "#include <zlib.h>", True),
    ("apam/exchange/a.cpp", '#include "nets/net.h"', True),
    ("apam/exchange/a.cpp", '#include "kernels/ops/conv2d.h"', True),
    ("apam/exchange/a.cpp", '#include "apam/training/a.h"', True),
    ("apam/exchange/a.cpp", '#include "apam/exchange/mpi/a.h"', True),
    ("apam/exchange/local/a.cpp", '#include "apam/exchange/mpi/a.h"', True),
    ("apam/exchange/local/a.cpp", '#include "apam/exchange/drivers/a.h"', False),
    ("apam/exchange/a.cpp", '#include "apam/exchange/drivers/a.h"', True),
    ("apam/exchange/drivers/a.cpp", '#include "apam/exchange/mpi/a.h"', True),
    ("apam/exchange/mpi/a.cpp", '#include "apam/exchange/transport.h"', False),
    ("apam/exchange/shared/a.cpp", '#include "apam/exchange/mpi/a.h"', True),
    ("apam/exchange/shared/a.cpp", '#include "apam/exchange/transport.h"', False),
    ("apam/exchange/a.cpp", "#include <mpi.h>", True),
    ("apam/exchange/mpi/a.cpp", "#include <mpi.h>", False),
    ("apam/training/a.cpp", "#include <mpi.h>", True),
    ("apam/training/a.cpp", "#include <CLI/CLI.hpp>", True),
    ("apam/training/a.cpp", '#include "apam/cli/a.h"', True),
    ("apam/training/a.cpp", '#include "apam/exchange/mpi/a.h"', False),
    ("apam/training/a.cpp", '#include "nets/net.h"', False),
    ("apam/cli/a.cpp", "#include <CLI/CLI.hpp>", False),
    ("apam/cli/main.cpp", '#include "apam/cli/a.h"', False),
    ("apam/cli/a.cpp", '#include "apam/training/a.h"', False),
    ("apam/main.cpp", '#include "apam/cli/a.h"', True),
    ("tests/training/a.cpp", '#include "apam/cli/a.h"', True),
    ("tests/cli/a.cpp", '#include "apam/cli/a.h"', False),
    ("bench/a.cpp", '#include "apam/cli/a.h"', True),
    ("tests/nets/a.cpp", '#include "data/dataset.h"', False),
    ("tests/nets/a.cpp", "#include <cudnn.h>", True),
    ("engine/a.h", '#include "tape.h"', True),
    ("engine/a.h", "#include <engine/tape.h>", True),
    ("engine/a.h", "#ifdef __AVX2__", True),
    ("engine/a.h", "  # if 1", True),
    ("engine/a.h", "#define A 1", True),
    ("engine/a.h", "#define DEVICE inline", True),
    ("kernels/cuda/gpu/simt/macros.h", "#define DEVICE __device__ __forceinline__", False),
    ("kernels/cuda/gpu/simt/macros.h", "#define OTHER 1", True),
    ("kernels/cuda/gpu/simt/threads.h", "#define DEVICE inline", True),
    ("kernels/cuda/add.cu", "#include <simt/threads.h>", False),
    ("kernels/cpu/add.cpp", "#include <simt/threads.h>", True),
    ("engine/a.h", "#pragma once", False),
    ("engine/a.h", "#include <vector>", False),
]


def self_test():
    wrong = []
    for name, line, is_violation in SELF_TEST:
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / name
            path.parent.mkdir(parents=True)
            path.write_text(f"// A file.\n{line}\n", encoding="utf-8")
            count, violations = check(pathlib.Path(folder))
        if count != 1 or bool(violations) != is_violation:
            wrong.append(f"{name}: {line}: {'not found' if is_violation else 'wrongly found: ' + str(violations)}")
    return wrong


def main(arguments):
    if arguments == ["--self-test"]:
        wrong = self_test()
        print("\n".join(wrong) if wrong else f"check_includes: {len(SELF_TEST)} sample lines checked")
        return 1 if wrong else 0
    if len(arguments) > 1 or (arguments and arguments[0].startswith("-")):
        print(__doc__, file=sys.stderr)
        return 2
    root = pathlib.Path(arguments[0] if arguments else pathlib.Path(__file__).parent.parent)
    count, violations = check(root)
    print("\n".join(violations) if violations else f"check_includes: {count} files, no violations")
    return 1 if violations or count == 0 else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

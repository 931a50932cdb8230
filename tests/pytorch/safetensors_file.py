"""Reads and writes safetensors files of float32 and int64 tensors, with only PyTorch and NumPy."""

import json
import struct

import numpy
import torch

DTYPES = {"F32": numpy.float32, "I64": numpy.int64}


def read(path):
    """Returns {name: tensor}."""
    with open(path, "rb") as file:
        content = file.read()
    (length,) = struct.unpack_from("<Q", content)
    header = json.loads(content[8 : 8 + length])
    data = memoryview(content)[8 + length :]
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        values = numpy.frombuffer(data[begin:end], DTYPES[entry["dtype"]])
        tensors[name] = torch.from_numpy(values.reshape(entry["shape"]).copy())
    return tensors


def write(path, tensors):
    header, data, offset = {}, [], 0
    # Sort by decreasing element size, which aligns every tensor.
    for name, tensor in sorted(tensors.items(), key=lambda item: -item[1].element_size()):
        values = numpy.ascontiguousarray(tensor.detach().numpy())
        dtype = next(key for key, value in DTYPES.items() if value == values.dtype)
        header[name] = {"dtype": dtype, "shape": list(tensor.shape), "data_offsets": [offset, offset + values.nbytes]}
        data.append(values.tobytes())
        offset += values.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(data))

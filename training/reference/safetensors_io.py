"""Reading and writing of safetensors files: 8 bytes of header length, a JSON header, the bytes. Nothing but numpy and torch."""

import json
import os
import struct

import numpy as np
import torch

NUMPY_TYPES = {"U8": np.uint8, "I8": np.int8, "U16": np.uint16, "I16": np.int16, "I32": np.int32, "U32": np.uint32, "I64": np.int64,
               "U64": np.uint64, "F16": np.float16, "F32": np.float32, "F64": np.float64, "BOOL": np.bool_}
TORCH_TYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16, "F8_E4M3": torch.float8_e4m3fn, "I64": torch.int64,
               "I32": torch.int32, "U8": torch.uint8}


def read_header(path: str) -> tuple[dict, int]:
    """Tensor entries by name, and where the bytes begin."""
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    return header, 8 + length


def read_numpy(path: str) -> dict:
    """All tensors as arrays mapped from the file."""
    header, begin = read_header(path)
    data = np.memmap(path, np.uint8, "r")
    out = {}
    for name, entry in header.items():
        first, last = entry["data_offsets"]
        out[name] = data[begin + first : begin + last].view(NUMPY_TYPES[entry["dtype"]]).reshape(entry["shape"])
    return out


def read_torch(path: str) -> dict:
    header, begin = read_header(path)
    with open(path, "rb") as file:
        data = bytearray(file.read())
    out = {}
    for name, entry in header.items():
        first, last = entry["data_offsets"]
        dtype = TORCH_TYPES[entry["dtype"]]
        raw = torch.frombuffer(data, dtype=torch.uint8, count=last - first, offset=begin + first) if last > first else torch.empty(0, dtype=torch.uint8)
        out[name] = raw.clone().view(dtype).reshape(entry["shape"])
    return out


def write(path: str, tensors: dict, metadata: dict | None = None) -> None:
    """Writes torch tensors or numpy arrays, under a temporary name first."""
    header, offset, chunks = ({"__metadata__": metadata} if metadata else {}), 0, []
    for name, tensor in tensors.items():
        if isinstance(tensor, torch.Tensor):
            kind = next(key for key, value in TORCH_TYPES.items() if value == tensor.dtype)
            raw = tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes()
        else:
            kind = next(key for key, value in NUMPY_TYPES.items() if value == tensor.dtype)
            raw = np.ascontiguousarray(tensor).tobytes()
        header[name] = {"dtype": kind, "shape": list(tensor.shape), "data_offsets": [offset, offset + len(raw)]}
        offset += len(raw)
        chunks.append(raw)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path + ".tmp", "wb") as file:
        file.write(struct.pack("<Q", len(text)))
        file.write(text)
        for raw in chunks:
            file.write(raw)
    os.replace(path + ".tmp", path)

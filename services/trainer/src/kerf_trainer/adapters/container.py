"""Tensors and a header to bytes: the safetensors format, written so that equal contents give equal bytes.

The library's own writer puts the header's entries into the order of a hash table that changes from run to run.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping

import torch
from safetensors import SafetensorError
from safetensors.torch import load

_DTYPES = {torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}
_ALIGNMENT = 8


def write_container(tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> bytes:
    """A safetensors file: tensors in order of their names, float64, float32, float16 or bfloat16."""
    header: dict[str, object] = {"__metadata__": dict(sorted(metadata.items()))}
    pieces: list[bytes] = []
    at = 0
    for name, tensor in sorted(tensors.items()):
        piece = _bytes_of(tensor)
        header[name] = {
            "dtype": _DTYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [at, at + len(piece)],
        }
        pieces.append(piece)
        at += len(piece)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return b"".join([struct.pack("<Q", len(text)), text, *pieces])


def read_container(data: bytes) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Tensors and metadata. Raises ValueError if it is no whole safetensors file."""
    try:
        tensors = load(data)
    except SafetensorError as error:
        raise ValueError(str(error)) from error
    (length,) = struct.unpack_from("<Q", data)
    return tensors, json.loads(data[8 : 8 + length]).get("__metadata__", {})


def _bytes_of(tensor: torch.Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()

"""The LoRAs that are installed: which there are, and what is in their files."""

from __future__ import annotations

import json
import math
import re
import shutil
import threading
import weakref
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from kerf_core.errors import FailedPrecondition, Unavailable
from kerf_models.files import PICKLE_ENDINGS, hash_file

Tensors = dict[str, torch.Tensor]
ADOPTED = "artifacts/"
"""How the name of an adopted LoRA begins."""

_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,127}$")
_KNOWN_NAMES_SHOWN = 20
_PEFT_HEADER = "lora_adapter_metadata"


@dataclass(frozen=True)
class LoraFile:
    """An installed LoRA."""

    name: str
    path: Path
    sha256: str


class LoraFolder:
    """The LoRAs that lie in a folder as `<name>.safetensors`, and those that were adopted. Thread-safe.

    Sees files that come and go. An adopted LoRA came as bytes (an artifact), is named by its SHA-256 and lies in a
    folder that ends with the process.
    """

    def __init__(self, folder: Path | None, max_file_bytes: int = 2 << 30, max_adopted_bytes: int = 4 << 30) -> None:
        self._folder = folder
        self._max_file_bytes = max_file_bytes
        self._max_adopted_bytes = max_adopted_bytes
        self._hashes: dict[tuple[Path, int, int], str] = {}
        self._adopted: OrderedDict[str, int] = OrderedDict()  # sizes by SHA-256, the longest unused first
        self._adopting = threading.Lock()
        self._adopted_folder: Path | None = None

    def adopted(self, sha256: str) -> bool:
        """True if the LoRA with these bytes is here."""
        with self._adopting:
            if sha256 in self._adopted:
                self._adopted.move_to_end(sha256)
            return sha256 in self._adopted

    def adopt(self, sha256: str, data: bytes) -> None:
        """Take in a LoRA as `artifacts/<sha256>`; the caller has checked the bytes. Drops the longest unused for room.

        Raises FailedPrecondition LORA_BROKEN if it is larger than allowed.
        """
        name = f"{ADOPTED}{sha256}"
        if len(data) > self._max_file_bytes:
            raise FailedPrecondition("LORA_BROKEN", f"LoRA {name} is larger than {self._max_file_bytes} bytes")
        with self._adopting:
            if self._adopted_folder is None:
                self._adopted_folder = Path(mkdtemp(prefix="kerf-loras-"))
                weakref.finalize(self, shutil.rmtree, self._adopted_folder, ignore_errors=True)
            folder = self._adopted_folder
            while self._adopted and sum(self._adopted.values()) + len(data) > self._max_adopted_bytes:
                (folder / f"{self._adopted.popitem(last=False)[0]}.safetensors").unlink(missing_ok=True)
            (folder / f"{sha256}.safetensors").write_bytes(data)
            self._adopted[sha256] = len(data)

    def names(self) -> list[str]:
        """Names of the installed LoRAs, sorted."""
        if self._folder is None or not self._folder.is_dir():
            return []
        return sorted(path.stem for path in self._folder.glob("*.safetensors") if _NAME.match(path.stem))

    def find(self, name: str) -> LoraFile:
        """The file of a LoRA. Hashes it when it is new or was changed.

        Raises FailedPrecondition: LORA_NOT_INSTALLED (with the names there are), LORA_UNSAFE (a pickle), LORA_BROKEN
        (larger than allowed, unreadable).
        """
        if name.startswith(ADOPTED):
            return self._find_adopted(name)
        path = self._path(name)
        stat = path.stat()
        if stat.st_size > self._max_file_bytes:
            raise FailedPrecondition("LORA_BROKEN", f"LoRA {name!r} is larger than {self._max_file_bytes} bytes")
        key = (path, stat.st_mtime_ns, stat.st_size)
        if key not in self._hashes:
            self._hashes[key] = hash_file(path).hex()
        return LoraFile(name, path, self._hashes[key])

    def _find_adopted(self, name: str) -> LoraFile:
        sha256 = name.removeprefix(ADOPTED)
        if self._adopted_folder is None or not self.adopted(sha256):
            raise Unavailable("LORA_DROPPED", f"LoRA {name} was dropped for others before it was used: ask again")
        return LoraFile(name, self._adopted_folder / f"{sha256}.safetensors", sha256)

    def _path(self, name: str) -> Path:
        # The pattern keeps separators and a leading dot out, so that a name cannot leave the folder.
        if self._folder is not None and _NAME.match(name):
            path = self._folder / f"{name}.safetensors"
            if path.is_file():
                return path
            if any((self._folder / f"{name}{ending}").is_file() for ending in PICKLE_ENDINGS):
                raise FailedPrecondition(
                    "LORA_UNSAFE",
                    f"LoRA {name!r} is a pickle, which could run code when it is read; convert it to safetensors",
                )
        known = self.names()
        shown = ", ".join(known[:_KNOWN_NAMES_SHOWN]) + (" …" if len(known) > _KNOWN_NAMES_SHOWN else "")
        raise FailedPrecondition("LORA_NOT_INSTALLED", f"LoRA {name!r} is not installed; installed: {shown or 'none'}")


def read_tensors(file: LoraFile) -> Tensors:
    """All tensors of a LoRA file, on the CPU, with its scaling (alpha / rank) folded into the up matrices.

    Knows kohya's `<layer>.alpha` tensors and the alphas that diffusers writes into the header. After this, one rule
    holds for all files: model + weight x (up @ down). Raises FailedPrecondition LORA_BROKEN.
    """
    try:
        with safe_open(file.path, framework="pt", device="cpu") as opened:
            settings = _peft_settings(opened.metadata() or {})
            state = {key: opened.get_tensor(key) for key in list(opened.keys())}
    except (SafetensorError, OSError) as error:
        raise FailedPrecondition("LORA_BROKEN", f"LoRA {file.name!r} is no whole safetensors file: {error}") from error
    return _fold_header_alphas(_fold_kohya_alphas(state), settings)


def _fold_kohya_alphas(state: Tensors) -> Tensors:
    folded = {key: tensor for key, tensor in state.items() if not key.endswith(".alpha")}
    for key, alpha in state.items():
        layer = key.removesuffix(".alpha")
        up, down = f"{layer}.lora_up.weight", f"{layer}.lora_down.weight"
        if key.endswith(".alpha") and up in folded and down in folded:
            folded[up] = folded[up].float() * (float(alpha) / folded[down].shape[0])
    return folded


def _fold_header_alphas(state: Tensors, settings: dict[str, Any]) -> Tensors:
    if not settings:
        return state
    return {key: tensor.float() * scale for key, tensor, scale in _scaled(state, settings)}


def _scaled(state: Tensors, settings: dict[str, Any]) -> Iterator[tuple[str, torch.Tensor, float]]:
    for key, tensor in state.items():
        scale = 1.0
        for mark in (".lora_B.", ".lora.up.", ".lora_linear_layer.up."):
            if mark in key:
                scale = _header_scale(key.split(mark, maxsplit=1)[0], tensor.shape[1], settings)
        yield key, tensor, scale


def _header_scale(layer: str, rank: int, settings: dict[str, Any]) -> float:
    part, _, name = layer.partition(".")
    alpha = settings.get(f"{part}.lora_alpha")
    patterns = settings.get(f"{part}.alpha_pattern")
    for pattern, value in patterns.items() if isinstance(patterns, dict) else ():
        ending = str(pattern).removeprefix("^")
        if name == ending or name.endswith(f".{ending}"):
            alpha = value
    if not isinstance(alpha, int | float):
        return 1.0
    return float(alpha) / (math.sqrt(rank) if settings.get(f"{part}.use_rslora") else rank)


def _peft_settings(header: dict[str, str]) -> dict[str, Any]:
    try:
        value = json.loads(header.get(_PEFT_HEADER, "{}"))
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}

"""Looks at a BLIP folder without loading it: what it is, and whether it is whole and safe.

Model files come from strangers. A `.bin` file is a pickle, which runs code when it is read, so only safetensors files
are; and the classes that read a folder are always BLIP's own, whatever its files ask for.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from kerf_core.errors import FailedPrecondition

_MAX_JSON_BYTES = 16 << 20
_HASH_BLOCK_BYTES = 4 << 20
_MAX_IMAGE_SIDE_PX = 2048
_ARCHITECTURE = "BlipForConditionalGeneration"
_WEIGHTS = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_PICKLES = ("*.bin", "*.ckpt", "*.pt", "*.pth", "*.pkl")
_PROCESSORS = ("processor_config.json", "preprocessor_config.json")
_TOKENIZERS = ("tokenizer.json", "vocab.txt")


@dataclass(frozen=True)
class BlipFolder:
    """A BLIP folder that has all its files."""

    path: Path
    image_size_px: int
    """Side of the square picture that the network reads."""
    max_positions: int
    """Tokens that its decoder can hold, with those of the prompt."""
    weight_files: tuple[str, ...]
    """The safetensors files that are read, sorted."""


def inspect_folder(path: Path) -> BlipFolder:
    """Read the small files of a model folder; the weights' presence is checked, their contents are not read.

    Raises FailedPrecondition, naming folder and file: MODEL_NOT_INSTALLED (no such folder), MODEL_UNSAFE (pickled
    weights), MODEL_NOT_SUPPORTED (no BLIP that writes captions), MODEL_BROKEN (a file is missing or damaged).
    """
    if not path.is_dir():
        raise FailedPrecondition("MODEL_NOT_INSTALLED", f"there is no model folder {path}")
    config = _read_json(path, "config.json")
    architectures = config.get("architectures")
    if config.get("model_type") != "blip" or architectures not in (None, [_ARCHITECTURE]):
        asked = architectures or config.get("model_type")
        raise FailedPrecondition(
            "MODEL_NOT_SUPPORTED",
            f"model folder {path}: config.json is of {asked!r}; the captioner loads {_ARCHITECTURE}",
        )
    files = _weight_files(path)
    for names in (_PROCESSORS, _TOKENIZERS):
        if not any((path / name).is_file() for name in names):
            raise broken(path, names[0], "is missing")
    return BlipFolder(
        path,
        _number(path, config, "vision_config", "image_size", default=384, most=_MAX_IMAGE_SIDE_PX),
        _number(path, config, "text_config", "max_position_embeddings", default=512, most=1 << 16),
        files,
    )


def check_weight_headers(folder: BlipFolder) -> None:
    """Read the header of every weight file. Raises FailedPrecondition MODEL_BROKEN if one is not whole."""
    for name in folder.weight_files:
        try:
            with safe_open(folder.path / name, framework="np"):
                pass
        except (SafetensorError, OSError) as error:
            raise broken(folder.path, name, f"is no whole safetensors file ({error})") from error


def hash_weights(folder: BlipFolder, advance: Callable[[], None] = lambda: None) -> str:
    """SHA-256 over the weight files: of each, in order of its name, that name, a zero byte and its SHA-256.

    `advance` is called after every 4 MiB. Raises FailedPrecondition MODEL_BROKEN if a file cannot be read.
    """
    whole = hashlib.sha256()
    for name in folder.weight_files:
        whole.update(name.encode() + b"\0" + _hash_file(folder.path / name, advance))
    return whole.hexdigest()


def broken(path: Path, name: str, what: str) -> FailedPrecondition:
    """The error of a model folder that lacks something."""
    return FailedPrecondition("MODEL_BROKEN", f"model folder {path}: {name} {what}; install the model again")


def _hash_file(path: Path, advance: Callable[[], None]) -> bytes:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(_HASH_BLOCK_BYTES):
                digest.update(block)
                advance()
    except OSError as error:
        raise broken(path.parent, path.name, f"cannot be read ({error.strerror})") from error
    return digest.digest()


def _weight_files(path: Path) -> tuple[str, ...]:
    if (path / _WEIGHTS).is_file():
        return (_WEIGHTS,)
    if (path / _INDEX).is_file():
        return _shards(path)
    pickles = sorted(file.name for pattern in _PICKLES for file in path.glob(pattern))
    if pickles:
        raise FailedPrecondition(
            "MODEL_UNSAFE",
            f"model folder {path}: {pickles[0]} is a pickle, which could run code when it is read;"
            " convert the model to safetensors",
        )
    raise broken(path, _WEIGHTS, "is missing")


def _shards(path: Path) -> tuple[str, ...]:
    weight_map = _read_json(path, _INDEX).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise broken(path, _INDEX, "has no weight_map")
    names = sorted({str(name) for name in weight_map.values()})
    for name in names:
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise broken(path, _INDEX, f"names {name!r}, which is no safetensors file beside it")
        if not (path / name).is_file():
            raise broken(path, name, "is missing")
    return tuple(names)


def _read_json(folder: Path, name: str) -> dict[str, Any]:
    path = folder / name
    try:
        if path.stat().st_size > _MAX_JSON_BYTES:
            raise broken(folder, name, f"is larger than {_MAX_JSON_BYTES} bytes")
        value = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise broken(folder, name, "is missing") from error
    except (OSError, ValueError, RecursionError) as error:
        raise broken(folder, name, "is no readable JSON file") from error
    if not isinstance(value, dict):
        raise broken(folder, name, "holds no JSON object")
    return value


def _number(path: Path, config: dict[str, Any], part: str, name: str, *, default: int, most: int) -> int:
    values = config.get(part)
    value = values.get(name, default) if isinstance(values, dict) else default
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise broken(path, "config.json", f"has {part}.{name} = {value!r}; a number from 1 to {most} is needed")
    return value

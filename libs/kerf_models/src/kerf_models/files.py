"""Reads, checks and hashes a model's files without loading it.

Model files come from strangers. A `.bin` file is a pickle, which runs code when it is read, so only safetensors files
are. All errors are FailedPrecondition and name folder and file: MODEL_BROKEN, or MODEL_UNSAFE for a pickle.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from kerf_core.errors import FailedPrecondition

MAX_JSON_BYTES = 16 << 20
"""Largest JSON file of a model that is read; a full CLIP `tokenizer.json` has 3.6 MB."""
PICKLE_ENDINGS = (".bin", ".ckpt", ".pt", ".pth", ".pkl")
LOAD_ERRORS = (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, SafetensorError)
"""What the libraries raise for damaged or unfitting files; anything else is a fault of the program."""
_HASH_BLOCK_BYTES = 4 << 20
_LONGEST_REASON = 200


def broken(folder: Path, name: str, what: str) -> FailedPrecondition:
    """The error of a model folder in which `name` is missing or damaged."""
    return FailedPrecondition("MODEL_BROKEN", f"model folder {folder}: {name} {what}; install the model again")


def not_loaded(folder: Path, name: str, error: Exception) -> FailedPrecondition:
    """The error of a part of a model that a library refused, with the first line of what the library said."""
    said = (str(error).strip().splitlines() or [type(error).__name__])[0][:_LONGEST_REASON]
    return broken(folder, name, f"cannot be loaded: {said}")


def check_whole(folder: Path, name: str, loading_info: dict[str, Any]) -> None:
    """Refuse a network that a library has loaded with gaps, which it fills with random numbers.

    `loading_info` is what `from_pretrained` tells with `output_loading_info=True`.
    """
    gaps = sorted(str(key) for key in (*loading_info["missing_keys"], *loading_info["mismatched_keys"]))
    if gaps:
        raise broken(folder, name, f"lacks {len(gaps)} weights, or has them in another shape: {gaps[0]} …")


def read_json(folder: Path, name: str) -> dict[str, Any]:
    """A JSON object of a model folder."""
    path = folder / name
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise broken(folder, name, f"is larger than {MAX_JSON_BYTES} bytes")
        value = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise broken(folder, name, "is missing") from error
    except (OSError, ValueError, RecursionError) as error:
        raise broken(folder, name, "is no readable JSON file") from error
    if not isinstance(value, dict):
        raise broken(folder, name, "holds no JSON object")
    return value


def read_shards(folder: Path, index_name: str) -> tuple[str, ...]:
    """The files that the index of a sharded model names, relative to `folder`, sorted; all lie beside the index."""
    weight_map = read_json(folder, index_name).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise broken(folder, index_name, "has no weight_map")
    prefix = index_name[: index_name.rfind("/") + 1]
    names = sorted({str(name) for name in weight_map.values()})
    for name in names:
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise broken(folder, index_name, f"names {name!r}, which is no safetensors file beside it")
        if not (folder / f"{prefix}{name}").is_file():
            raise broken(folder, f"{prefix}{name}", "is missing")
    return tuple(f"{prefix}{name}" for name in names)


def refuse_pickles(folder: Path, part: str = "") -> None:
    """Raise MODEL_UNSAFE if a pickle lies in the folder, or in its sub-folder `part`."""
    place = folder / part
    pickles = sorted(file.name for ending in PICKLE_ENDINGS for file in place.glob(f"*{ending}"))
    if pickles:
        name = f"{part}/{pickles[0]}" if part else pickles[0]
        raise FailedPrecondition(
            "MODEL_UNSAFE",
            f"model folder {folder}: {name} is a pickle, which could run code when it is read;"
            " convert the model to safetensors",
        )


def check_headers(folder: Path, names: Iterable[str]) -> None:
    """Read the header of every weight file; MODEL_BROKEN if one is cut off or no safetensors file."""
    for name in names:
        try:
            with safe_open(folder / name, framework="np"):
                pass
        except (SafetensorError, OSError) as error:
            raise broken(folder, name, f"is no whole safetensors file ({error})") from error


def hash_files(folder: Path, names: Iterable[str], advance: Callable[[], None] = lambda: None) -> str:
    """SHA-256 over files: of each, in the order of `names`, its name, a zero byte and its SHA-256.

    `names` are relative to `folder`, sorted. `advance` is called after every 4 MiB, and may raise to stop.
    """
    whole = hashlib.sha256()
    for name in names:
        whole.update(name.encode() + b"\0" + hash_file(folder / name, advance))
    return whole.hexdigest()


def hash_file(path: Path, advance: Callable[[], None] = lambda: None) -> bytes:
    """SHA-256 of one file, 32 bytes."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(_HASH_BLOCK_BYTES):
                digest.update(block)
                advance()
    except OSError as error:
        raise broken(path.parent, path.name, f"cannot be read ({error.strerror})") from error
    return digest.digest()

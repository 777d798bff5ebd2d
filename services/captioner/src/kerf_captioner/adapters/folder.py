"""Looks at a BLIP folder without loading it: what it is, and whether it is whole and safe.

Model files come from strangers. A `.bin` file is a pickle, which runs code when it is read, so only safetensors files
are; and the classes that read a folder are always BLIP's own, whatever its files ask for.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerf_core.errors import FailedPrecondition
from kerf_models.files import broken, read_json, read_shards, refuse_pickles
from kerf_models.sources import resolve_source

_WANTED_FILES = ("*.json", "*.txt", "*.safetensors")
_MAX_IMAGE_SIDE_PX = 2048
_ARCHITECTURE = "BlipForConditionalGeneration"
_WEIGHTS = "model.safetensors"
_INDEX = "model.safetensors.index.json"
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


def find_model(source: str, *, local_files_only: bool) -> BlipFolder:
    """The model of a folder or repository id, inspected. Raises as `resolve_source` and `inspect_folder` do."""
    return inspect_folder(resolve_source(source, wanted=_WANTED_FILES, local_files_only=local_files_only))


def inspect_folder(path: Path) -> BlipFolder:
    """Read the small files of a model folder; the weights' presence is checked, their contents are not read.

    Raises FailedPrecondition, naming folder and file: MODEL_NOT_INSTALLED (no such folder), MODEL_UNSAFE (pickled
    weights), MODEL_NOT_SUPPORTED (no BLIP that writes captions), MODEL_BROKEN (a file is missing or damaged).
    """
    if not path.is_dir():
        raise FailedPrecondition("MODEL_NOT_INSTALLED", f"there is no model folder {path}")
    config = read_json(path, "config.json")
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


def _weight_files(path: Path) -> tuple[str, ...]:
    if (path / _WEIGHTS).is_file():
        return (_WEIGHTS,)
    if (path / _INDEX).is_file():
        return read_shards(path, _INDEX)
    refuse_pickles(path)
    raise broken(path, _WEIGHTS, "is missing")


def _number(path: Path, config: dict[str, Any], part: str, name: str, *, default: int, most: int) -> int:
    values = config.get(part)
    value = values.get(name, default) if isinstance(values, dict) else default
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise broken(path, "config.json", f"has {part}.{name} = {value!r}; a number from 1 to {most} is needed")
    return value

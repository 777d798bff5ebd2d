"""Looks at a Stable Diffusion folder without loading it: what it is, and whether it is whole and safe.

Model files come from strangers. `model_index.json` may name any class of any installed library, and a `.bin` file is a
pickle that runs code when it is read. So only the classes that make up Stable Diffusion are accepted, and only
safetensors files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from kerf_core.errors import FailedPrecondition
from kerf_sd.architecture import Architecture

MAX_JSON_BYTES = 16 * 1024 * 1024
"""Largest JSON file of a model that is read; a full CLIP `tokenizer.json` has 3.6 MB."""
_HASH_BLOCK_BYTES = 4 * 1024 * 1024

_PIPELINES = {
    "StableDiffusionPipeline": Architecture.SD,
    "StableDiffusionXLPipeline": Architecture.SDXL,
}
_WEIGHTED_CLASSES = {
    "unet": ("diffusers", "UNet2DConditionModel"),
    "vae": ("diffusers", "AutoencoderKL"),
    "text_encoder": ("transformers", "CLIPTextModel"),
    "text_encoder_2": ("transformers", "CLIPTextModelWithProjection"),
}
_WEIGHTED_PARTS = {
    Architecture.SD: ("text_encoder", "unet", "vae"),
    Architecture.SDXL: ("text_encoder", "text_encoder_2", "unet", "vae"),
}
_TOKENIZERS = {
    Architecture.SD: ("tokenizer",),
    Architecture.SDXL: ("tokenizer", "tokenizer_2"),
}
_TOKENIZER_CLASSES = frozenset({"CLIPTokenizer", "CLIPTokenizerFast"})
_PICKLES = ("*.bin", "*.ckpt", "*.pt", "*.pth")


@dataclass(frozen=True)
class ModelFolder:
    """A Stable Diffusion folder that has all its files."""

    path: Path
    architecture: Architecture
    native_size_px: int
    """Side of the square picture that the model was made for."""
    vae_scale: int
    """Pixels of the picture per latent pixel, along one side."""
    scheduler_class: str
    """Name of the scheduler's diffusers class."""
    variant: str | None
    """`fp16` if only files of that variant are there."""
    weight_files: tuple[str, ...]
    """The safetensors files that are read, relative to `path`, sorted."""

    @property
    def weighted_parts(self) -> tuple[str, ...]:
        """Sub-folders with weights."""
        return _WEIGHTED_PARTS[self.architecture]

    @property
    def tokenizer_parts(self) -> tuple[str, ...]:
        """Sub-folders with tokenizers."""
        return _TOKENIZERS[self.architecture]


def inspect_folder(path: Path) -> ModelFolder:
    """Read the small files of a model folder; the weights' presence is checked, their contents are not read.

    Raises FailedPrecondition, naming folder and file: MODEL_NOT_INSTALLED (no such folder), MODEL_BROKEN (a file is
    missing or damaged), MODEL_UNSAFE (pickled weights, or foreign classes), MODEL_NOT_SUPPORTED (not SD or SDXL).
    """
    if not path.is_dir():
        raise FailedPrecondition("MODEL_NOT_INSTALLED", f"there is no model folder {path}")
    index = read_json(path, "model_index.json")
    architecture = _architecture(path, index)
    scheduler_class = _check_classes(path, index, architecture)
    variant, files = _weight_files(path, architecture)
    native_size_px, vae_scale = _sizes(path)
    return ModelFolder(path, architecture, native_size_px, vae_scale, scheduler_class, variant, files)


def check_weight_headers(folder: ModelFolder) -> None:
    """Read the header of every weight file.

    Raises FailedPrecondition MODEL_BROKEN, naming folder and file, if one is cut off or no safetensors file.
    """
    for name in folder.weight_files:
        try:
            with safe_open(folder.path / name, framework="np"):
                pass
        except (SafetensorError, OSError) as error:
            raise _broken(folder.path, name, f"is no whole safetensors file ({error})") from error


def hash_weights(folder: ModelFolder, advance: Callable[[], None] = lambda: None) -> str:
    """SHA-256 over the weight files: of each, in order of its relative path, that path, a zero byte and its SHA-256.

    `advance` is called after every 4 MiB. Raises FailedPrecondition MODEL_BROKEN if a file cannot be read.
    """
    whole = hashlib.sha256()
    for name in folder.weight_files:
        whole.update(name.encode() + b"\0" + hash_file(folder.path / name, advance))
    return whole.hexdigest()


def hash_file(path: Path, advance: Callable[[], None] = lambda: None) -> bytes:
    """SHA-256 of one file, 32 bytes. Raises FailedPrecondition MODEL_BROKEN if it cannot be read."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(_HASH_BLOCK_BYTES):
                digest.update(block)
                advance()
    except OSError as error:
        raise _broken(path.parent, path.name, f"cannot be read ({error.strerror})") from error
    return digest.digest()


def read_json(folder: Path, name: str) -> dict[str, Any]:
    """A JSON object of a model folder. Raises FailedPrecondition MODEL_BROKEN."""
    path = folder / name
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise _broken(folder, name, f"is larger than {MAX_JSON_BYTES} bytes")
        value = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise _broken(folder, name, "is missing") from error
    except (OSError, ValueError, RecursionError) as error:
        raise _broken(folder, name, "is no readable JSON file") from error
    if not isinstance(value, dict):
        raise _broken(folder, name, "holds no JSON object")
    return value


def _architecture(path: Path, index: dict[str, Any]) -> Architecture:
    name = index.get("_class_name")
    architecture = _PIPELINES.get(name) if isinstance(name, str) else None
    if architecture is None:
        raise FailedPrecondition(
            "MODEL_NOT_SUPPORTED",
            f"model folder {path}: model_index.json asks for {name!r}; kerf loads {' and '.join(_PIPELINES)}",
        )
    return architecture


def _check_classes(path: Path, index: dict[str, Any], architecture: Architecture) -> str:
    for part in _WEIGHTED_PARTS[architecture]:
        if index.get(part) != list(_WEIGHTED_CLASSES[part]):
            raise _foreign(path, part, index.get(part))
    for part in _TOKENIZERS[architecture]:
        entry = index.get(part)
        if not (isinstance(entry, list) and entry[:1] == ["transformers"] and entry[-1] in _TOKENIZER_CLASSES):
            raise _foreign(path, part, entry)
    scheduler = index.get("scheduler")
    if not (isinstance(scheduler, list) and len(scheduler) == 2 and scheduler[0] == "diffusers"):
        raise _foreign(path, "scheduler", scheduler)
    return str(scheduler[1])


def _foreign(path: Path, part: str, entry: object) -> FailedPrecondition:
    return FailedPrecondition(
        "MODEL_UNSAFE",
        f"model folder {path}: model_index.json wants {entry!r} as {part}, which is no part of Stable Diffusion",
    )


def _weight_files(path: Path, architecture: Architecture) -> tuple[str | None, tuple[str, ...]]:
    parts = _WEIGHTED_PARTS[architecture]
    plain = {part: list(_files_of(path, part, None)) for part in parts}
    if all(plain.values()):
        return None, _sorted(plain)
    half = {part: list(_files_of(path, part, "fp16")) for part in parts}
    if all(half.values()):
        return "fp16", _sorted(half)
    raise _no_weights(path, next(part for part, files in plain.items() if not files))


def _sorted(files: dict[str, list[str]]) -> tuple[str, ...]:
    return tuple(sorted(name for names in files.values() for name in names))


def _files_of(path: Path, part: str, variant: str | None) -> Iterator[str]:
    library = _WEIGHTED_CLASSES[part][0]
    stem = "diffusion_pytorch_model" if library == "diffusers" else "model"
    tag = f".{variant}" if variant else ""
    if (path / part / f"{stem}{tag}.safetensors").is_file():
        yield f"{part}/{stem}{tag}.safetensors"
    elif (path / part / f"{stem}.safetensors.index{tag}.json").is_file():
        yield from _shards(path, f"{part}/{stem}.safetensors.index{tag}.json")


def _shards(path: Path, index_name: str) -> Iterator[str]:
    weight_map = read_json(path, index_name).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise _broken(path, index_name, "has no weight_map")
    part = index_name.split("/", maxsplit=1)[0]
    for shard in sorted({str(name) for name in weight_map.values()}):
        if Path(shard).name != shard or not shard.endswith(".safetensors"):
            raise _broken(path, index_name, f"names {shard!r}, which is no safetensors file beside it")
        if not (path / part / shard).is_file():
            raise _broken(path, f"{part}/{shard}", "is missing")
        yield f"{part}/{shard}"


def _no_weights(path: Path, part: str) -> FailedPrecondition:
    pickles = sorted(file.name for pattern in _PICKLES for file in (path / part).glob(pattern))
    if pickles:
        return FailedPrecondition(
            "MODEL_UNSAFE",
            f"model folder {path}: {part}/{pickles[0]} is a pickle, which could run code when it is read;"
            " convert the model to safetensors",
        )
    return _broken(path, part, "has no safetensors file")


def _sizes(path: Path) -> tuple[int, int]:
    channels = read_json(path, "vae/config.json").get("block_out_channels")
    if not isinstance(channels, list) or not 1 <= len(channels) <= 8:
        raise _broken(path, "vae/config.json", "has no block_out_channels with 1 to 8 entries")
    vae_scale = 1 << (len(channels) - 1)
    sample = read_json(path, "unet/config.json").get("sample_size", 64)
    side = max(sample) if isinstance(sample, list) and len(sample) == 2 else sample
    if not isinstance(side, int) or not 1 <= side <= 1024:
        raise _broken(path, "unet/config.json", "has no sample_size from 1 to 1024")
    return side * vae_scale, vae_scale


def _broken(path: Path, name: str, what: str) -> FailedPrecondition:
    return FailedPrecondition("MODEL_BROKEN", f"model folder {path}: {name} {what}; install the model again")

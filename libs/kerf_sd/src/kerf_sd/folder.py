"""Looks at a Stable Diffusion folder without loading it: what it is, and whether it is whole and safe.

Model files come from strangers. `model_index.json` may name any class of any installed library, and a `.bin` file is a
pickle that runs code when it is read. So only the classes that make up Stable Diffusion are accepted, and only
safetensors files.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerf_core.errors import FailedPrecondition
from kerf_models.files import broken, read_json, read_shards, refuse_pickles
from kerf_models.sources import resolve_source
from kerf_sd.architecture import Architecture

_WANTED_FILES = ("*.json", "*/*.json", "*/*.txt", "*/*.safetensors")
_UNWANTED_FILES = ("*.fp16.*", "*non_ema*", "*safety_checker*")
PREVIEW_DECODER = "preview_decoder"
"""Sub-folder of a tiny decoder (`AutoencoderTiny`) that shows pictures in the making; few models have one."""
_PREVIEW_FILE = f"{PREVIEW_DECODER}/diffusion_pytorch_model.safetensors"
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
    def has_preview_decoder(self) -> bool:
        """Whether it has a tiny decoder of its own."""
        return _PREVIEW_FILE in self.weight_files

    @property
    def weighted_parts(self) -> tuple[str, ...]:
        """Sub-folders with weights."""
        return _WEIGHTED_PARTS[self.architecture]

    @property
    def tokenizer_parts(self) -> tuple[str, ...]:
        """Sub-folders with tokenizers."""
        return _TOKENIZERS[self.architecture]


def find_model(source: str, *, local_files_only: bool = True) -> ModelFolder:
    """The model of a folder or repository id, inspected. Raises as `resolve_source` and `inspect_folder` do."""
    folder = resolve_source(source, wanted=_WANTED_FILES, unwanted=_UNWANTED_FILES, local_files_only=local_files_only)
    return inspect_folder(folder)


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
    if (path / _PREVIEW_FILE).is_file():
        files = tuple(sorted((*files, _PREVIEW_FILE)))
    native_size_px, vae_scale = _sizes(path)
    return ModelFolder(path, architecture, native_size_px, vae_scale, scheduler_class, variant, files)


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
    part = next(part for part, files in plain.items() if not files)
    refuse_pickles(path, part)
    raise broken(path, part, "has no safetensors file")


def _sorted(files: dict[str, list[str]]) -> tuple[str, ...]:
    return tuple(sorted(name for names in files.values() for name in names))


def _files_of(path: Path, part: str, variant: str | None) -> Iterator[str]:
    library = _WEIGHTED_CLASSES[part][0]
    stem = "diffusion_pytorch_model" if library == "diffusers" else "model"
    tag = f".{variant}" if variant else ""
    if (path / part / f"{stem}{tag}.safetensors").is_file():
        yield f"{part}/{stem}{tag}.safetensors"
    elif (path / part / f"{stem}.safetensors.index{tag}.json").is_file():
        yield from read_shards(path, f"{part}/{stem}.safetensors.index{tag}.json")


def _sizes(path: Path) -> tuple[int, int]:
    channels = read_json(path, "vae/config.json").get("block_out_channels")
    if not isinstance(channels, list) or not 1 <= len(channels) <= 8:
        raise broken(path, "vae/config.json", "has no block_out_channels with 1 to 8 entries")
    vae_scale = 1 << (len(channels) - 1)
    sample = read_json(path, "unet/config.json").get("sample_size", 64)
    side = max(sample) if isinstance(sample, list) and len(sample) == 2 else sample
    if not isinstance(side, int) or not 1 <= side <= 1024:
        raise broken(path, "unet/config.json", "has no sample_size from 1 to 1024")
    return side * vae_scale, vae_scale

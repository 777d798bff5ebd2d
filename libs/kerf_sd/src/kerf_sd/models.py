"""Loads a Stable Diffusion folder into memory, whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import diffusers
import torch
import transformers
from diffusers import (
    AutoencoderKL,
    AutoencoderTiny,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from kerf_core.errors import ResourceExhausted
from kerf_models.devices import Compute
from kerf_models.files import LOAD_ERRORS, check_headers, check_whole, hash_files, not_loaded
from kerf_sd.architecture import Architecture
from kerf_sd.folder import PREVIEW_DECODER, ModelFolder, find_model
from kerf_sd.schedulers import check_scheduler_class
from kerf_sd.vocabulary import Vocabulary, read_vocabulary

_CLASSES = {
    "unet": UNet2DConditionModel,
    "vae": AutoencoderKL,
    "text_encoder": CLIPTextModel,
    "text_encoder_2": CLIPTextModelWithProjection,
    PREVIEW_DECODER: AutoencoderTiny,
}
LIBRARIES = ("torch", "diffusers", "transformers", "peft", "safetensors", "numpy")
"""The libraries whose code decides the bits of a picture; their versions are part of the numeric class."""


@dataclass(frozen=True)
class LoadedModel:
    """A model in memory. One thread at a time may use its pipeline."""

    folder: ModelFolder
    pipeline: Any
    """`StableDiffusionPipeline` or `StableDiffusionXLPipeline`, in evaluation mode, on the compute's device."""
    own_scheduler: diffusers.SchedulerMixin
    """As the folder has it; never stepped."""
    compute: Compute
    sha256: str
    """Over the weight files, see `hash_files`."""
    vocabulary: Vocabulary | None
    """The words it knows, where the folder says so; None = it has learned from words in general."""
    preview_decoder: AutoencoderTiny | None
    """Decodes latents quickly and roughly, on the compute's device; None = the folder has none."""

    @property
    def architecture(self) -> Architecture:
        """How it is built."""
        return self.folder.architecture

    @property
    def tokenizers(self) -> list[CLIPTokenizer]:
        """Its tokenizers, in the folder's order."""
        return [getattr(self.pipeline, part) for part in self.folder.tokenizer_parts]

    @property
    def text_encoder_parts(self) -> list[str]:
        """Names of its text encoders, in order."""
        return [part for part in self.folder.weighted_parts if part.startswith("text_encoder")]


def load_model(
    source: str,
    *,
    compute: Compute,
    local_files_only: bool = True,
    advance: Callable[[], None] = lambda: None,
) -> LoadedModel:
    """Load a model from a folder or repository id (see `resolve_source`).

    Only safetensors files are read, and every weight of every part must be there with the right shape: the libraries
    would fill a gap with random numbers. A safety checker of the folder is not loaded. `advance` is called now and then
    to show that the work goes on; what it raises ends the loading.

    Raises FailedPrecondition MODEL_NOT_INSTALLED, MODEL_BROKEN, MODEL_UNSAFE or MODEL_NOT_SUPPORTED, naming folder and
    file; ResourceExhausted OUT_OF_MEMORY; Unavailable MODEL_DOWNLOAD_FAILED.
    """
    _quiet_libraries()
    folder = find_model(source, local_files_only=local_files_only)
    check_scheduler_class(folder.scheduler_class, str(folder.path))
    check_headers(folder.path, folder.weight_files)
    vocabulary = read_vocabulary(folder.path)
    sha256 = hash_files(folder.path, folder.weight_files, advance)
    try:
        pipeline = _build_pipeline(folder, compute, advance)
        preview_decoder = _load_preview_decoder(folder, compute)
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise ResourceExhausted(
            "OUT_OF_MEMORY", f"model folder {folder.path} does not fit into the memory of {compute.device}"
        ) from error
    return LoadedModel(folder, pipeline, pipeline.scheduler, compute, sha256, vocabulary, preview_decoder)


def _quiet_libraries() -> None:
    # Their progress bars and hints go to stderr, past the structured log; what matters is raised or reported by kerf.
    diffusers.utils.logging.disable_progress_bar()
    diffusers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()


def _build_pipeline(folder: ModelFolder, compute: Compute, advance: Callable[[], None]) -> Any:
    parts: dict[str, Any] = {}
    for part in folder.weighted_parts:
        parts[part] = _load_part(folder, part, compute, folder.variant)
        advance()
    for part in folder.tokenizer_parts:
        parts[part] = _load_config_part(folder, part, CLIPTokenizer)
    parts["scheduler"] = _load_config_part(folder, "scheduler", getattr(diffusers, folder.scheduler_class))
    if folder.architecture is Architecture.SDXL:
        # An invisible watermark would depend on whether some library happens to be installed.
        pipeline = StableDiffusionXLPipeline(**parts, add_watermarker=False)
    else:
        pipeline = StableDiffusionPipeline(
            **parts, safety_checker=None, feature_extractor=None, requires_safety_checker=False
        )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(compute.device)


def _load_preview_decoder(folder: ModelFolder, compute: Compute) -> AutoencoderTiny | None:
    if not folder.has_preview_decoder:
        return None
    decoder: AutoencoderTiny = _load_part(folder, PREVIEW_DECODER, compute, None).to(compute.device)
    return decoder


def _load_part(folder: ModelFolder, part: str, compute: Compute, variant: str | None) -> Any:
    try:
        model, report = _CLASSES[part].from_pretrained(
            folder.path,
            subfolder=part,
            variant=variant,
            dtype=compute.dtype,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
        )
    except torch.OutOfMemoryError:
        raise
    except LOAD_ERRORS as error:
        raise not_loaded(folder.path, part, error) from error
    check_whole(folder.path, part, report)
    return model.eval()


def _load_config_part(folder: ModelFolder, part: str, kind: Any) -> Any:
    try:
        return kind.from_pretrained(folder.path / part, local_files_only=True)
    except LOAD_ERRORS as error:
        raise not_loaded(folder.path, part, error) from error

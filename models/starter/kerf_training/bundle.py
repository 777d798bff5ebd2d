"""Writes the finished model as a Stable Diffusion folder, and loads it back."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from diffusers import AutoencoderKL, AutoencoderTiny, StableDiffusionPipeline
from transformers import CLIPTokenizer

from .denoiser import Denoiser, new_scheduler
from .words import write_vocabulary

# Small files are kind to git and to code hosts.
MAX_FILE_BYTES = 8_000_000
_MAX_SHARD = "6MB"
PREVIEW_DECODER = "preview_decoder"


def write_model(
    folder: Path,
    autoencoder: AutoencoderKL,
    denoiser: Denoiser,
    tokenizer: CLIPTokenizer,
    preview: AutoencoderTiny,
) -> None:
    """Write the model in half precision."""
    pipeline = StableDiffusionPipeline(
        vae=copy.deepcopy(autoencoder).half(),
        # Not half: transformers loads what it finds, and the encoder must have the precision of the other parts.
        text_encoder=denoiser.text_encoder,
        tokenizer=tokenizer,
        unet=copy.deepcopy(denoiser.unet).half(),
        scheduler=new_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    with replaced(folder) as fresh:
        pipeline.save_pretrained(fresh, safe_serialization=True, max_shard_size=_MAX_SHARD)
        copy.deepcopy(preview).half().save_pretrained(fresh / PREVIEW_DECODER)
        forget_origins(fresh)
        write_vocabulary(fresh)


@contextmanager
def replaced(folder: Path) -> Iterator[Path]:
    """Yield a new folder that takes the place of `folder` at the end, so that a reader never sees half of it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh, old = (folder.with_name(f"{folder.name}.{state}") for state in ("fresh", "old"))
    for leftover in (fresh, old):
        shutil.rmtree(leftover, ignore_errors=True)
    fresh.mkdir()
    yield fresh
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def forget_origins(folder: Path) -> None:
    """Take out where a part was loaded from during training: a folder that only this machine has."""
    for path in sorted(folder.rglob("config.json")):
        config = json.loads(path.read_text(encoding="utf-8"))
        if config.pop("_name_or_path", None) is not None:
            path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def load_model(folder: Path) -> StableDiffusionPipeline:
    """Load a model folder for the CPU in single precision, without a progress bar."""
    pipeline = StableDiffusionPipeline.from_pretrained(
        folder, dtype=torch.float32, local_files_only=True, safety_checker=None, requires_safety_checker=False
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline

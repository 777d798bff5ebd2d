"""Writes the finished model as a Stable Diffusion folder, and loads it back."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline
from transformers import CLIPTokenizer

from .denoiser import Denoiser, new_scheduler
from .vocabulary import write_vocabulary

# Small files are kind to git and to code hosts.
MAX_FILE_BYTES = 8_000_000
_MAX_SHARD = "6MB"


def write_model(folder: Path, autoencoder: AutoencoderKL, denoiser: Denoiser, tokenizer: CLIPTokenizer) -> None:
    """Write the model in half precision; `folder` is replaced as a whole, so that a reader never sees half of it."""
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
    fresh = folder.with_name(f"{folder.name}.fresh")
    old = folder.with_name(f"{folder.name}.old")
    for leftover in (fresh, old):
        shutil.rmtree(leftover, ignore_errors=True)
    pipeline.save_pretrained(fresh, safe_serialization=True, max_shard_size=_MAX_SHARD)
    _forget_origins(fresh)
    write_vocabulary(fresh)
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _forget_origins(folder: Path) -> None:
    """Take out where a part was loaded from during training: a folder that only this machine has."""
    for path in sorted(folder.glob("*/config.json")):
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

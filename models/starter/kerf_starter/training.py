"""The whole training from top to bottom: draw, learn latents, learn to denoise, write the model folder."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file, save_file

from .autoencoder import encode, train_autoencoder
from .bundle import write_model
from .dataset import Pictures, draw_pictures
from .denoiser import Denoiser, Lessons, train_denoiser
from .schedule import Recipe
from .tokenizer import new_tokenizer
from .vocabulary import words

_log = logging.getLogger(__name__)
FIRST_TRAINING_SEED = 0


def train(recipe: Recipe, work: Path, output: Path) -> None:
    """Train the model into the folder `output`.

    What an interrupted training left in `work` is used: call again with the same recipe to go on. `work/snapshot` has
    the averaged model of the last save.
    """
    pictures = draw_pictures(recipe.pictures_per_pair, FIRST_TRAINING_SEED)
    _log.info("drew %d pictures", len(pictures))
    autoencoder = train_autoencoder(pictures, recipe, work / "autoencoder").eval()
    latents = _cached_latents(autoencoder, pictures, work / "latents.safetensors")
    tokenizer = new_tokenizer([word.text for word in words()])

    def write_snapshot(average: Denoiser) -> None:
        write_model(work / "snapshot", autoencoder, average, tokenizer)

    lessons = Lessons(latents, pictures.kinds, pictures.styles)
    denoiser = train_denoiser(lessons, tokenizer, recipe, work, write_snapshot)
    write_model(output, autoencoder, denoiser, tokenizer)
    _log.info("wrote %s", output)


def _cached_latents(autoencoder: AutoencoderKL, pictures: Pictures, path: Path) -> torch.Tensor:
    """Encode the pictures once per training, however often it is interrupted."""
    if not path.exists():
        save_file({"latents": encode(autoencoder, pictures)}, path)
    return load_file(path)["latents"]

"""The whole training from top to bottom: draw, learn latents, learn to denoise, write the model folders.

What an interrupted training left in the folder `work` is used: call again with the same recipe to go on.
"""

from __future__ import annotations

import copy
import logging
from pathlib import Path

import torch
from diffusers import AutoencoderKL, ControlNetModel
from safetensors.torch import load_file, save_file
from transformers import CLIPTokenizer

from kerf_starter.tokenizer import new_tokenizer
from kerf_world.scenes import Scene

from .autoencoder import encode, train_autoencoder
from .bundle import forget_origins, replaced, write_model
from .captioner import train_captioner, write_captioner
from .control import controls_once, train_controlnet
from .denoiser import Denoiser, Denoising, train_denoiser
from .pictures import Pixels, drawn_once, training_scenes
from .preview_decoder import train_preview_decoder
from .reading import train_text_encoder
from .schedule import Recipe
from .words import taught_words

_log = logging.getLogger(__name__)
_PICTURES_FILE = "pictures.npy"


def train_model(recipe: Recipe, work: Path, output: Path) -> None:
    """Train the Stable Diffusion model into the folder `output`; `work/snapshot` has the averaged model so far."""
    scenes, pixels = _pictures(recipe, work)
    autoencoder = train_autoencoder(work / _PICTURES_FILE, recipe.autoencoder, recipe.seed, work / "autoencoder")
    latents = _latents(autoencoder, pixels, recipe, work)
    preview = train_preview_decoder(work / _PICTURES_FILE, latents, recipe.preview, recipe.seed, work / "preview.pt")
    tokenizer = _tokenizer()

    def write_snapshot(average: Denoiser) -> None:
        write_model(work / "snapshot", autoencoder, average, tokenizer, preview)

    reader = train_text_encoder(scenes, tokenizer, recipe.reading, recipe.seed, work / "reading.pt")
    lesson = Denoising(latents, scenes, tokenizer, reader, recipe.denoiser, recipe.seed)
    denoiser = train_denoiser(lesson, work / "denoiser.pt", write_snapshot)
    write_model(output, autoencoder, denoiser, tokenizer, preview)
    _log.info("wrote %s", output)


def train_control(recipe: Recipe, work: Path, output: Path) -> None:
    """Train the ControlNet of the model that `train_model` left in `work` into the folder `output`."""
    scenes, pixels = _pictures(recipe, work)
    autoencoder = train_autoencoder(work / _PICTURES_FILE, recipe.autoencoder, recipe.seed, work / "autoencoder")
    latents = _latents(autoencoder, pixels, recipe, work)
    tokenizer = _tokenizer()
    reader = train_text_encoder(scenes, tokenizer, recipe.reading, recipe.seed, work / "reading.pt")
    lesson = Denoising(latents, scenes, tokenizer, reader, recipe.denoiser, recipe.seed)
    denoiser = train_denoiser(lesson, work / "denoiser.pt")
    controls = work / "controls.npy"
    controls_once(scenes[: recipe.controls], controls, recipe.workers)
    model = train_controlnet(
        controls, latents, scenes, tokenizer, denoiser, recipe.control, recipe.seed, work / "control.pt"
    )
    _write_controlnet(output, model)
    _log.info("wrote %s", output)


def train_starter_captioner(recipe: Recipe, work: Path, output: Path) -> None:
    """Train the captioner into the folder `output`."""
    scenes, _ = _pictures(recipe, work)
    model = train_captioner(work / _PICTURES_FILE, scenes, recipe.captioner, recipe.seed, work / "captioner.pt")
    write_captioner(output, model)
    _log.info("wrote %s", output)


def _pictures(recipe: Recipe, work: Path) -> tuple[list[Scene], Pixels]:
    scenes = training_scenes(recipe.pictures, recipe.seed)
    return scenes, drawn_once(scenes, work / _PICTURES_FILE, recipe.workers)


def _tokenizer() -> CLIPTokenizer:
    return new_tokenizer([word.text for word in taught_words()])


def _latents(autoencoder: AutoencoderKL, pixels: Pixels, recipe: Recipe, work: Path) -> torch.Tensor:
    """Encode the pictures once per training, however often it is interrupted."""
    path = work / "latents.safetensors"
    if not path.exists():
        threads = torch.get_num_threads()
        torch.set_num_threads(recipe.workers)
        unfinished = path.with_suffix(".unfinished")
        save_file({"latents": encode(autoencoder, pixels)}, unfinished)
        unfinished.replace(path)
        torch.set_num_threads(threads)
        _log.info("encoded %d pictures", len(pixels))
    return load_file(path)["latents"]


def _write_controlnet(folder: Path, model: ControlNetModel) -> None:
    with replaced(folder) as fresh:
        copy.deepcopy(model).half().save_pretrained(fresh)
        forget_origins(fresh)

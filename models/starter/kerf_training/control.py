"""Trains the small ControlNet (Zhang et al., 2023) that holds the denoiser to a sketch, outlines or a height map."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
import torch
from diffusers import ControlNetModel
from torch import nn
from torch.nn import functional
from transformers import CLIPTokenizer

from kerf_starter.workers import Team
from kerf_world.controls import Control, control_of
from kerf_world.dialect import TRAINING
from kerf_world.rendering import draw
from kerf_world.scenes import Scene

from .course import Course, take
from .denoiser import Denoiser, new_scheduler
from .pictures import Pixels, opened
from .prompts import prompt

_EMBEDDING = (8, 16, 32, 64)
_VAGUE_SHARE = 0.5
"""Prompts without words: the control picture alone has to say what is drawn."""
_CHUNK = 200


def new_controlnet(denoiser: Denoiser) -> ControlNetModel:
    """Return a ControlNet that starts as a copy of the denoiser's first half and changes nothing yet."""
    model: ControlNetModel = ControlNetModel.from_unet(
        denoiser.unet, conditioning_embedding_out_channels=_EMBEDDING, load_weights_from_unet=True
    )
    return model


def which_control(scene: Scene) -> Control:
    """The kind of control picture that a scene is trained with."""
    return list(Control)[scene.seed // 5 % len(Control)]


def controls_once(scenes: Sequence[Scene], path: Path, workers: int) -> Pixels:
    """Draw the scenes' control pictures into the file `path`, or take them from there; (N, 128, 128) uint8."""
    if not path.exists():
        chunks = [scenes[start : start + _CHUNK] for start in range(0, len(scenes), _CHUNK)]
        with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
            drawn = np.concatenate(list(pool.map(_control_all, chunks)))
        unfinished = path.with_name("unfinished.npy")
        np.save(unfinished, drawn)
        unfinished.replace(path)
    return opened(path)


def control_tensor(pixels: Pixels) -> torch.Tensor:
    """Copy (N, H, W) uint8 into the ControlNet's input: (N, 3, H, W) float32 from 0 to 1."""
    return torch.tensor(pixels).to(torch.float32).div(255.0)[:, None].expand(-1, 3, -1, -1)


def _control_all(scenes: Sequence[Scene]) -> Pixels:
    cv2.setNumThreads(1)
    return np.stack([control_of(draw(scene, TRAINING), which_control(scene)) for scene in scenes])


class _Guided(nn.Module):
    """The finished denoiser, which stays as it is, and the ControlNet, which learns."""

    def __init__(self, denoiser: Denoiser) -> None:
        super().__init__()
        self.denoiser = denoiser.requires_grad_(False)
        self.controlnet = new_controlnet(denoiser).requires_grad_(True)


@dataclass(frozen=True)
class _Following:
    """The lesson: the first scenes of the denoiser's, with a control picture each."""

    controls: Path
    latents: torch.Tensor
    scenes: Sequence[Scene]
    tokenizer: CLIPTokenizer
    denoiser: Denoiser
    course: Course
    seed: int

    @cached_property
    def pixels(self) -> Pixels:
        return opened(self.controls)

    def new_model(self) -> _Guided:
        torch.manual_seed(self.seed)
        return _Guided(self.denoiser)

    def loss(self, model: _Guided, step: int, place: Team) -> torch.Tensor:
        rng = np.random.default_rng([self.seed, step, place.rank])
        generator = torch.Generator().manual_seed((self.seed + step) * place.size + place.rank)
        chosen = rng.integers(0, len(self.pixels), self.course.share(place))
        texts = ["" if rng.random() < _VAGUE_SHARE else prompt(self.scenes[index], rng) for index in chosen]
        read = self.tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt")
        latents = self.latents[torch.from_numpy(chosen)]
        timesteps = torch.randint(0, 1000, (len(latents),), generator=generator)
        noise = torch.randn(latents.shape, generator=generator)
        scheduler = new_scheduler()
        noisy = scheduler.add_noise(latents, noise, timesteps)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            words = model.denoiser.text_encoder(read.input_ids).last_hidden_state
            down, middle = model.controlnet(
                noisy, timesteps, words, controlnet_cond=control_tensor(self.pixels[chosen]), return_dict=False
            )
            predicted = model.denoiser.unet(
                noisy,
                timesteps,
                words,
                down_block_additional_residuals=down,
                mid_block_additional_residual=middle,
            ).sample
        return functional.mse_loss(predicted.float(), scheduler.get_velocity(latents, noise, timesteps))


def train_controlnet(
    controls: Path,
    latents: torch.Tensor,
    scenes: Sequence[Scene],
    tokenizer: CLIPTokenizer,
    denoiser: Denoiser,
    course: Course,
    seed: int,
    checkpoint: Path,
) -> ControlNetModel:
    """Train on the file of control pictures of the first scenes, or go on from the file `checkpoint`."""
    lesson = _Following(controls, latents, scenes, tokenizer, denoiser, course, seed)
    return take(course, lesson, checkpoint).controlnet

"""Trains the text encoder and the denoiser together on cached latents."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from torch import nn
from torch.nn import functional
from transformers import CLIPTextModel, CLIPTokenizer

from kerf_starter.workers import Team
from kerf_world.scenes import Scene

from .course import Course, take
from .prompts import prompt
from .reading import TEXT_WIDTH

LATENT_PX = 16
_CAPTION_DROPOUT = 0.1
_EVEN_SHARE = 0.25


class Denoiser(nn.Module):
    """The two networks that learn together."""

    def __init__(self, text_encoder: CLIPTextModel, unet: UNet2DConditionModel) -> None:
        super().__init__()
        self.text_encoder = text_encoder
        self.unet = unet


def new_scheduler() -> DDIMScheduler:
    """Return Stable Diffusion's noise schedule with a prediction of v (Salimans and Ho, 2022)."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


def new_unet(seed: int) -> UNet2DConditionModel:
    """Return an untrained denoiser of 8 million parameters.

    It hears the words twice: by cross-attention, and pooled beside the time step, which reaches every layer. From the
    latter it learns far sooner what the object is, as from class labels (Dhariwal and Nichol, 2021).
    """
    torch.manual_seed(seed)
    return UNet2DConditionModel(
        sample_size=LATENT_PX,
        block_out_channels=(64, 128, 144),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=TEXT_WIDTH,
        # Heads, in spite of the name.
        attention_head_dim=4,
        norm_num_groups=16,
        addition_embed_type="text",
        addition_embed_type_num_heads=4,
        resnet_time_scale_shift="scale_shift",
    )


@dataclass(frozen=True)
class Denoising:
    """The lesson: scaled latents (N, 4, 16, 16) float32, what each shows, and the words for it."""

    latents: torch.Tensor
    scenes: Sequence[Scene]
    tokenizer: CLIPTokenizer
    text_encoder: CLIPTextModel
    """As it was taught to read."""
    course: Course
    seed: int

    def new_model(self) -> Denoiser:
        """Return the text encoder beside an untrained denoiser."""
        return Denoiser(copy.deepcopy(self.text_encoder), new_unet(self.seed))

    def loss(self, model: Denoiser, step: int, place: Team) -> torch.Tensor:
        """Return the mean squared error of v."""
        rng = np.random.default_rng([self.seed, step, place.rank])
        generator = torch.Generator().manual_seed((self.seed * 1_000_000 + step) * place.size + place.rank)
        chosen = rng.integers(0, len(self.scenes), self.course.share(place))
        texts = ["" if rng.random() < _CAPTION_DROPOUT else prompt(self.scenes[index], rng) for index in chosen]
        read = self.tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt")
        latents = self.latents[torch.from_numpy(chosen)]
        timesteps = _timesteps(len(latents), generator)
        noise = torch.randn(latents.shape, generator=generator)
        scheduler = new_scheduler()
        noisy = scheduler.add_noise(latents, noise, timesteps)
        target = scheduler.get_velocity(latents, noise, timesteps)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            words = model.text_encoder(read.input_ids).last_hidden_state
            predicted = model.unet(noisy, timesteps, words).sample
        return functional.mse_loss(predicted.float(), target)


def _timesteps(count: int, generator: torch.Generator) -> torch.Tensor:
    """Return (count,) int64 from 0 to 999, most near the middle, where it is decided what is drawn.

    So Esser et al. (2024); some are even, so that the first and the last steps of a sampler are known too.
    """
    near_middle = torch.sigmoid(torch.randn(count, generator=generator))
    even = torch.rand(count, generator=generator)
    chosen = torch.where(torch.rand(count, generator=generator) < _EVEN_SHARE, even, near_middle)
    return (chosen * 1000).long().clamp(0, 999)


def train_denoiser(lesson: Denoising, checkpoint: Path, on_saved: Callable[[Denoiser], None] | None = None) -> Denoiser:
    """Train, or go on from the file `checkpoint`; returns the averaged networks."""
    return take(lesson.course, lesson, checkpoint, on_saved)

"""Trains the tiny decoder that shows pictures in the making (after Ollin Boer Bohan's TAESD, 2023)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderTiny
from torch.nn import functional

from kerf_starter.workers import Team
from kerf_world.drawing import SIZE_PX

from .course import Course, take
from .denoiser import LATENT_PX
from .pictures import Pixels, as_tensor, opened

_WIDTH = 24
_CROP_LATENT_PX = 8
_ROUGHEST = 0.5


def new_preview_decoder(seed: int) -> AutoencoderTiny:
    """Return an untrained tiny autoencoder; only its decoder, of 0.1 million parameters, is ever trained or used."""
    torch.manual_seed(seed)
    return AutoencoderTiny(
        encoder_block_out_channels=(8, 8, 8, 8),
        decoder_block_out_channels=(_WIDTH,) * 4,
        num_encoder_blocks=(1, 1, 1, 1),
        num_decoder_blocks=(3, 2, 2, 1),
        latent_channels=4,
        force_upcast=False,
    )


@dataclass(frozen=True)
class _Guessing:
    """The lesson: from latents that are not finished yet to the picture that they will become."""

    pictures: Path
    latents: torch.Tensor
    course: Course
    seed: int

    @cached_property
    def pixels(self) -> Pixels:
        return opened(self.pictures)

    def new_model(self) -> AutoencoderTiny:
        model = new_preview_decoder(self.seed)
        model.encoder.requires_grad_(False)
        return model

    def loss(self, model: AutoencoderTiny, step: int, place: Team) -> torch.Tensor:
        rng = np.random.default_rng([self.seed, step, place.rank])
        generator = torch.Generator().manual_seed((self.seed + step) * place.size + place.rank)
        chosen = rng.integers(0, len(self.pixels), self.course.share(place))
        # The network is convolutional, so that a quarter teaches it what a picture would.
        top, left = rng.integers(0, LATENT_PX - _CROP_LATENT_PX + 1, 2)
        rows, columns = (slice(first, first + _CROP_LATENT_PX) for first in (top, left))
        latents = self.latents[torch.from_numpy(chosen)][:, :, rows, columns]
        # A sampler's early guesses are off; a decoder that has seen such latents does not turn them into rubble.
        rough = _ROUGHEST * torch.rand((len(chosen), 1, 1, 1), generator=generator) ** 2
        noisy = latents + rough * torch.randn(latents.shape, generator=generator)
        cell = SIZE_PX // LATENT_PX
        rows, columns = (slice(side.start * cell, side.stop * cell) for side in (rows, columns))
        pixels = as_tensor(self.pixels[chosen][:, rows, columns])
        with torch.autocast("cpu", dtype=torch.bfloat16):
            drawn = model.decode(noisy).sample
        return functional.l1_loss(drawn.float(), pixels) + functional.mse_loss(drawn.float(), pixels)


def train_preview_decoder(
    pictures: Path, latents: torch.Tensor, course: Course, seed: int, checkpoint: Path
) -> AutoencoderTiny:
    """Train, or go on from the file `checkpoint`. The result decodes latents as the autoencoder does, scaled."""
    return take(course, _Guessing(pictures, latents, course, seed), checkpoint)

"""Trains the autoencoder that turns pictures of 128 px into latents of 16 x 16 x 4 (Kingma and Welling, 2013)."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch.nn import functional

from kerf_starter.workers import Team
from kerf_world.drawing import SIZE_PX

from .course import Course, take
from .pictures import Pixels, as_tensor, opened

_log = logging.getLogger(__name__)
# Weight of the KL term beside a mean absolute error per pixel: enough to keep latents near a unit Gaussian.
_KL_WEIGHT = 5e-4
_LATENT_CELL_PX = 8
_CHANNELS = 4
_CROP_PX = 64


def new_autoencoder(seed: int) -> AutoencoderKL:
    """Return an untrained autoencoder of 2.6 million parameters, x8 smaller latents of 4 channels."""
    torch.manual_seed(seed)
    blocks = 4
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * blocks,
        up_block_types=("UpDecoderBlock2D",) * blocks,
        block_out_channels=(16, 32, 80, 128),
        layers_per_block=1,
        latent_channels=_CHANNELS,
        norm_num_groups=8,
        sample_size=SIZE_PX,
        mid_block_add_attention=False,
    )


@dataclass(frozen=True)
class _Rebuilding:
    """The lesson: a crop of a picture, and what comes back from its latents."""

    pictures: Path
    course: Course
    seed: int

    @cached_property
    def pixels(self) -> Pixels:
        return opened(self.pictures)

    def new_model(self) -> AutoencoderKL:
        model: AutoencoderKL = new_autoencoder(self.seed).to(memory_format=torch.channels_last)
        return model

    def loss(self, model: AutoencoderKL, step: int, place: Team) -> torch.Tensor:
        rng = np.random.default_rng([self.seed, step, place.rank])
        torch.manual_seed((self.seed + step) * place.size + place.rank)
        chosen = rng.integers(0, len(self.pixels), self.course.share(place))
        pixels = as_tensor(_crops(self.pixels, chosen, rng)).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            posterior = model.encode(pixels).latent_dist
            rebuilt = model.decode(posterior.sample()).sample
        rebuilt = rebuilt.float()
        error = functional.l1_loss(rebuilt, pixels) + functional.mse_loss(rebuilt, pixels)
        mean, log_variance = posterior.mean.float(), posterior.logvar.float()
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance).mean()
        loss: torch.Tensor = error + _KL_WEIGHT * divergence
        return loss


def train_autoencoder(pictures: Path, course: Course, seed: int, folder: Path) -> AutoencoderKL:
    """Train on the file of pictures, or load the finished autoencoder that `folder` holds from an earlier call."""
    if not (folder / "config.json").exists():
        model = take(course, _Rebuilding(pictures, course, seed), folder.with_suffix(".pt"))
        standardise_latents(model, opened(pictures), seed + 1)
        model.save_pretrained(folder)
    loaded: AutoencoderKL = AutoencoderKL.from_pretrained(folder).eval()
    return loaded


def encode(model: AutoencoderKL, pixels: Pixels, batch: int = 16) -> torch.Tensor:
    """Return the scaled latent means of all pictures: (N, 4, 16, 16) float32."""
    runs = []
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        for start in range(0, len(pixels), batch):
            run = as_tensor(pixels[start : start + batch]).contiguous(memory_format=torch.channels_last)
            runs.append(model.encode(run).latent_dist.mean.float() * model.config.scaling_factor)
    return torch.cat(runs).clone(memory_format=torch.contiguous_format)


def _crops(pixels: Pixels, chosen: np.ndarray, rng: np.random.Generator) -> Pixels:
    """Cut one square from each picture. The network has no attention, so that crops teach it what pictures would.

    Of four crops the one with the most to see is taken: paper teaches nothing.
    """
    corners = rng.integers(0, (SIZE_PX - _CROP_PX) // _LATENT_CELL_PX + 1, (len(chosen), 4, 2)) * _LATENT_CELL_PX
    cut = []
    for index, places in zip(chosen, corners, strict=True):
        crops = [pixels[index, y : y + _CROP_PX, x : x + _CROP_PX] for y, x in places]
        cut.append(max(crops, key=lambda crop: float(crop[::4, ::4].std())))
    return np.stack(cut)


def standardise_latents(model: AutoencoderKL, pixels: Pixels, seed: int, sample_size: int = 1024) -> None:
    """Fold each latent channel's mean and deviation over the pictures into the 1 x 1 convolutions around the latents.

    Pictures are mostly paper, so that raw latents have a large mean. Stable Diffusion's noise schedule leaves a trace
    of it at the last step, which a sampler that starts from pure noise lacks: pictures would turn out grey. With the
    mean folded away, the scaling factor (Rombach et al., 2022) comes out near 1.
    """
    chosen = np.sort(np.random.default_rng(seed).permutation(len(pixels))[:sample_size])
    sample = pixels[chosen]
    model.register_to_config(scaling_factor=1.0)
    latents = encode(model, sample)
    mean, deviation = latents.mean(dim=(0, 2, 3)), latents.std(dim=(0, 2, 3))
    into, back = model.quant_conv, model.post_quant_conv
    with torch.no_grad():
        into.weight[:_CHANNELS] /= deviation[:, None, None, None]
        into.bias[:_CHANNELS] = (into.bias[:_CHANNELS] - mean) / deviation
        into.bias[_CHANNELS:] -= 2.0 * deviation.log()
        back.bias += back.weight[:, :, 0, 0] @ mean
        back.weight *= deviation[None, :, None, None]
    model.register_to_config(scaling_factor=round(1.0 / float(encode(model, sample).std()), 4))

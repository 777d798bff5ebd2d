"""Trains the autoencoder that turns pictures of 128 px into latents of 16 x 16 x 4 (Kingma and Welling, 2013)."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from torch.nn import functional

from kerf_world.drawing import SIZE_PX

from .dataset import Pictures, as_tensor
from .schedule import Recipe, warm_cosine

_log = logging.getLogger(__name__)
# Weight of the KL term beside a mean absolute error per pixel: enough to keep latents near a unit Gaussian.
_KL_WEIGHT = 5e-4
_LATENT_CELL_PX = 8
_CHANNELS = 4
_CROP_PX = 64


def new_autoencoder(seed: int) -> AutoencoderKL:
    """Return an untrained autoencoder of 1.6 million parameters, x8 smaller latents of 4 channels."""
    torch.manual_seed(seed)
    blocks = 4
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * blocks,
        up_block_types=("UpDecoderBlock2D",) * blocks,
        block_out_channels=(16, 32, 64, 96),
        layers_per_block=1,
        latent_channels=_CHANNELS,
        norm_num_groups=8,
        sample_size=SIZE_PX,
        mid_block_add_attention=False,
    )


def train_autoencoder(pictures: Pictures, recipe: Recipe, folder: Path) -> AutoencoderKL:
    """Train on the pictures, or load the finished autoencoder that `folder` holds from an interrupted training."""
    if (folder / "config.json").exists():
        _log.info("autoencoder: taken from the interrupted training")
        return AutoencoderKL.from_pretrained(folder)
    model = new_autoencoder(recipe.seed).to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(model.parameters(), lr=recipe.autoencoder_rate, weight_decay=1e-4)
    rng = np.random.default_rng(recipe.seed)
    for step in range(recipe.autoencoder_steps):
        factor = warm_cosine(step, recipe.autoencoder_steps, warm_steps=50)
        optimiser.param_groups[0]["lr"] = recipe.autoencoder_rate * factor
        chosen = rng.integers(0, len(pictures), recipe.autoencoder_batch)
        error, divergence = _losses(model, as_tensor(_crops(pictures.pixels[chosen], rng)))
        optimiser.zero_grad(set_to_none=True)
        (error + _KL_WEIGHT * divergence).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        if step % 50 == 0 or step + 1 == recipe.autoencoder_steps:
            _log.info("autoencoder step %d: error %.4f, divergence %.2f", step, error.item(), divergence.item())
    standardise_latents(model, pictures, recipe.seed + 1)
    model.save_pretrained(folder)
    return model


def encode(model: AutoencoderKL, pictures: Pictures, batch: int = 8) -> torch.Tensor:
    """Return the scaled latent means of all pictures: (N, 4, 16, 16) float32."""
    runs = []
    with torch.inference_mode():
        for start in range(0, len(pictures), batch):
            pixels = as_tensor(pictures.pixels[start : start + batch]).contiguous(memory_format=torch.channels_last)
            runs.append(model.encode(pixels).latent_dist.mean * model.config.scaling_factor)
    return torch.cat(runs).clone(memory_format=torch.contiguous_format)


def _crops(pixels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Cut one square from each picture. The network has no attention, so that crops teach it what pictures would."""
    corners = rng.integers(0, (SIZE_PX - _CROP_PX) // _LATENT_CELL_PX + 1, (len(pixels), 2)) * _LATENT_CELL_PX
    cut = [picture[y : y + _CROP_PX, x : x + _CROP_PX] for picture, (y, x) in zip(pixels, corners, strict=True)]
    return np.stack(cut)


def _losses(model: AutoencoderKL, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        posterior = model.encode(pixels.contiguous(memory_format=torch.channels_last)).latent_dist
        rebuilt = model.decode(posterior.sample()).sample
    rebuilt = rebuilt.float()
    error = functional.l1_loss(rebuilt, pixels) + functional.mse_loss(rebuilt, pixels)
    mean, log_variance = posterior.mean.float(), posterior.logvar.float()
    divergence = 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance).mean()
    return error, divergence


def standardise_latents(model: AutoencoderKL, pictures: Pictures, seed: int, sample_size: int = 512) -> None:
    """Fold each latent channel's mean and deviation over the pictures into the 1 x 1 convolutions around the latents.

    Pictures are mostly paper, so that raw latents have a large mean. Stable Diffusion's noise schedule leaves a trace
    of it at the last step, which a sampler that starts from pure noise lacks: pictures would turn out grey. With the
    mean folded away, the scaling factor (Rombach et al., 2022) comes out near 1.
    """
    chosen = np.random.default_rng(seed).permutation(len(pictures))[:sample_size]
    sample = Pictures(pictures.pixels[chosen], pictures.kinds[chosen], pictures.styles[chosen])
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

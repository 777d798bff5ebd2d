"""Shows pictures in the making: from the sampler's guess of the finished latents to a small PNG."""

from __future__ import annotations

import copy
import functools
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from kerf_media.encode import encode_png_rgb

MAX_SIDE_PX = 128
"""Longest side of a preview: even noise then stays below 64 KiB as PNG."""
_SMALL_DECODER_PARAMETERS = 5_000_000
_SMALL_LATENT_PIXELS = 32 * 32
_TINY_LATENT_PIXELS = 96 * 96
"""Larger pictures take a tiny decoder longer than a step may be held up."""
_PATCH_LATENT_PX = 3
_LEVELS = (-1.0, -0.5, 0.0, 0.5, 1.0)


class LatestGuess:
    """Keeps a sampler's newest guess of the finished latents, which is clearer than the latents on their way.

    Stands in for the scheduler's `step` method. The latents themselves are kept where the sampler tells no guess.
    """

    def __init__(self, scheduler: Any) -> None:
        self._scheduler = scheduler
        self._step = scheduler.step
        self.latents: torch.Tensor | None = None
        functools.update_wrapper(self, scheduler.step)  # the pipeline looks at the method's signature
        scheduler.step = self

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Do the sampler's step and look at what it gives."""
        result = self._step(*args, **kwargs)
        if isinstance(result, tuple):
            self.latents = self._guess(result)
        return result

    def _guess(self, result: tuple[torch.Tensor, ...]) -> torch.Tensor:
        if len(result) > 1:
            return result[1]
        config = self._scheduler.config
        predicts_picture = config.get("predict_x0") or str(config.get("algorithm_type")).endswith("dpmsolver++")
        newest = getattr(self._scheduler, "model_outputs", [None])[-1]
        return newest if predicts_picture and newest is not None else result[0]


class Previewer:
    """Turns latents into small pictures: by a decoder where that is quick, else by a linear map to colours.

    A model's own tiny decoder comes first, then its autoencoder's if that is small. The map is fitted once, by least
    squares, on a mosaic of plain colours that the model's own encoder has seen; so it fits any autoencoder and needs no
    table of constants. Not thread-safe.
    """

    def __init__(self, vae: Any, tiny: Any | None = None) -> None:
        self._vae = vae
        self._tiny = tiny
        self._small = sum(weights.numel() for weights in vae.parameters()) <= _SMALL_DECODER_PARAMETERS
        self._colours: torch.Tensor | None = None

    @torch.no_grad()
    def png(self, latents: torch.Tensor) -> bytes:
        """A preview of latents (1, C, h, w) as PNG: RGB, the longer side `MAX_SIDE_PX`."""
        size = latents.shape[2] * latents.shape[3]
        if self._tiny is not None and size <= _TINY_LATENT_PIXELS:
            rough = self._tiny.decode(latents.to(self._tiny.dtype), return_dict=False)[0]
            rgb = torch.as_tensor(rough[0]).float().cpu()
        elif self._small and size <= _SMALL_LATENT_PIXELS:
            rgb = self._decode(latents)
        else:
            rgb = self._approximate(latents)
        return encode_png_rgb(_as_pixels(_fit(rgb, MAX_SIDE_PX)))

    def _decode(self, latents: torch.Tensor) -> torch.Tensor:
        config = self._vae.config
        scaled = latents.to(self._vae.dtype) / config.scaling_factor + (config.get("shift_factor") or 0.0)
        return torch.as_tensor(self._vae.decode(scaled, return_dict=False)[0][0]).float().cpu()

    def _approximate(self, latents: torch.Tensor) -> torch.Tensor:
        if self._colours is None:
            self._colours = _fit_colours(self._vae)
        flat = latents[0].float().cpu().flatten(1).T
        rgb = torch.cat([flat, torch.ones(len(flat), 1)], dim=1) @ self._colours
        return rgb.T.reshape(3, *latents.shape[2:])


def _fit(rgb: torch.Tensor, side_px: int) -> torch.Tensor:
    """Scale (3, H, W) so that its longer side has `side_px`."""
    factor = side_px / max(rgb.shape[1:])
    size = [max(1, round(side * factor)) for side in rgb.shape[1:]]
    mode = "area" if factor < 1 else "bilinear"
    return torch.nn.functional.interpolate(rgb[None], size=size, mode=mode)[0]


def _as_pixels(rgb: torch.Tensor) -> NDArray[np.uint8]:
    """Turn (3, H, W) from -1 to 1 into (H, W, 3) uint8."""
    scaled = torch.nan_to_num(rgb).clamp(-1, 1).add(1).mul(127.5).round()
    return np.ascontiguousarray(scaled.permute(1, 2, 0).to(torch.uint8).numpy())


def _fit_colours(vae: Any) -> torch.Tensor:
    """The (C + 1, 3) matrix that maps latents and a constant to RGB from -1 to 1."""
    if vae.dtype == torch.float16 and vae.config.get("force_upcast"):
        vae = copy.deepcopy(vae).float()  # such an autoencoder overflows in half precision
    scale = 1 << (len(vae.config.block_out_channels) - 1)
    colours = torch.cartesian_prod(*(torch.tensor(_LEVELS) for _ in range(3)))
    rows = len(_LEVELS) ** 2
    patch = _PATCH_LATENT_PX * scale
    mosaic = colours.reshape(rows, len(_LEVELS), 3).permute(2, 0, 1)
    picture = mosaic.repeat_interleave(patch, dim=1).repeat_interleave(patch, dim=2)[None]
    latents = vae.encode(picture.to(vae.device, vae.dtype)).latent_dist.mode()
    latents = (latents - (vae.config.get("shift_factor") or 0.0)) * vae.config.scaling_factor
    centre = _PATCH_LATENT_PX // 2
    seen = latents[0, :, centre::_PATCH_LATENT_PX, centre::_PATCH_LATENT_PX].float().cpu().flatten(1).T
    design = torch.cat([seen, torch.ones(len(seen), 1)], dim=1)
    solution: torch.Tensor = torch.linalg.lstsq(design, colours, driver="gelsd").solution
    return solution

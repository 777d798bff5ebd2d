"""Disturbs batches of pictures, so that the judge knows what somebody else draws, or a model draws badly."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from .normalising import Pixels

# Standard deviations: of the turn in radians, of the logarithms of size and stretch, of shear, shift and wobble as
# shares of the picture.
_TURN = 0.22
_SIZE = 0.08
_FARTHER = 0.06
_STRETCH = 0.11
_SHEAR = 0.07
_SHIFT = 0.02
_WOBBLE = 0.022
_CELLS = 8
_MARGIN_CELLS = 1
_PEN = np.ones((3, 3), np.uint8)
_PEN_SHARE = 0.34
_OUTLINE_SHARE = 0.05
_BLOB_SHARE = 0.22
_BLUR_SHARE = 0.25
_NOISE_SHARE = 0.2
_FADED_SHARE = 0.3


def disturbed(pixels: Pixels, rng: np.random.Generator) -> tuple[torch.Tensor, NDArray[np.bool_]]:
    """Disturb (N, S, S) uint8 pictures, 255 = paper; returns (N, 1, S, S) float32, 1 = ink.

    Also says which of the N still show their style.
    """
    redrawn, styled = _redrawn(pixels, rng.random((len(pixels), 2), dtype=np.float32))
    dice = torch.Generator().manual_seed(int(rng.integers(2**31)))
    return _worn(_blotted(as_ink(_bent(redrawn, rng)), dice), dice), styled


def as_ink(pixels: Pixels) -> torch.Tensor:
    """Copy (N, S, S) uint8, 255 = paper, into the network's input: (N, 1, S, S) float32, 1 = ink."""
    return 1.0 - torch.tensor(pixels)[:, None].to(torch.float32).div(255.0)


def _some(share: float, count: int, dice: torch.Generator) -> torch.Tensor:
    return torch.rand((count, 1, 1, 1), generator=dice) < share


def _bent(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Turn, stretch, shift and wobble each picture.

    The map is made on a coarse grid that reaches beyond the picture, and enlarged.
    """
    count, size = pixels.shape[:2]
    turn, away = rng.normal(0.0, _TURN, count) * rng.random(count), rng.normal(0.0, _SIZE, count) + _FARTHER
    stretch, shear = rng.normal(0.0, _STRETCH, count), rng.normal(0.0, _SHEAR, count)
    cos, sin = np.cos(turn), np.sin(turn)
    wide, high = np.exp(away + stretch), np.exp(away - stretch)
    matrices = np.stack([cos * wide, (shear - sin) * wide, (shear + sin) * high, cos * high], axis=1).reshape(-1, 2, 2)
    grid = (np.arange(_CELLS) + 0.5) / (_CELLS - 2 * _MARGIN_CELLS) - _MARGIN_CELLS / (_CELLS - 2 * _MARGIN_CELLS) - 0.5
    coarse = np.stack(np.meshgrid(grid, grid), axis=-1)
    strength = _WOBBLE * rng.random((count, 1, 1, 1))
    places = np.einsum("nij,yxj->nyxi", matrices, coarse) + rng.normal(0.0, _SHIFT, (count, 1, 1, 2))
    places = ((places + rng.normal(0.0, 1.0, places.shape) * strength + 0.5) * size - 0.5).astype(np.float32)
    cell = -(-size // (_CELLS - 2 * _MARGIN_CELLS))
    margin = slice(_MARGIN_CELLS * cell, _MARGIN_CELLS * cell + size)
    bent = np.empty_like(pixels)
    for index, (picture, place) in enumerate(zip(pixels, places, strict=True)):
        fine = cv2.resize(place, (_CELLS * cell, _CELLS * cell), interpolation=cv2.INTER_CUBIC)[margin, margin]
        xs, ys = np.ascontiguousarray(fine[..., 0]), np.ascontiguousarray(fine[..., 1])
        bent[index] = cv2.remap(picture, xs, ys, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=(255,))
    return bent


def _redrawn(pixels: Pixels, dice: NDArray[np.float32]) -> tuple[Pixels, NDArray[np.bool_]]:
    """Draw some with a broader or a finer pen, and some as the outline of their ink; says which keep their style."""
    redrawn, styled = pixels.copy(), np.ones(len(pixels), dtype=np.bool_)
    for index, (share, amount) in enumerate(dice):
        picture = pixels[index]
        if share < _OUTLINE_SHARE:
            redrawn[index] = 255 - cv2.morphologyEx(picture, cv2.MORPH_GRADIENT, _PEN)
            styled[index] = False
        elif share < _OUTLINE_SHARE + _PEN_SHARE:
            way = cv2.MORPH_ERODE if amount < 0.5 else cv2.MORPH_DILATE
            weight = float(2.0 * abs(amount - 0.5))
            redrawn[index] = cv2.addWeighted(cv2.morphologyEx(picture, way, _PEN), weight, picture, 1.0 - weight, 0.0)
    return redrawn, styled


def _blotted(ink: torch.Tensor, dice: torch.Generator) -> torch.Tensor:
    """Lay smooth blobs of paper over some pictures, and of ink over fewer."""
    size = ink.shape[-1]
    coarse = torch.rand((len(ink), 1, 8, 8), generator=dice)
    field = functional.interpolate(coarse, size=size, mode="bicubic")
    edge = 0.93 + 0.12 * torch.rand((len(ink), 1, 1, 1), generator=dice)
    blobs = (field > edge) & _some(_BLOB_SHARE, len(ink), dice)
    return torch.where(blobs, (torch.rand((len(ink), 1, 1, 1), generator=dice) < 0.3).to(ink.dtype), ink)


def _worn(ink: torch.Tensor, dice: torch.Generator) -> torch.Tensor:
    count = len(ink)
    blurred = functional.avg_pool2d(ink, 3, 1, 1, count_include_pad=False)
    ink = torch.where(_some(_BLUR_SHARE, count, dice), blurred, ink)
    low = 0.15 * torch.rand((count, 1, 1, 1), generator=dice)
    high = 1.0 - 0.35 * torch.rand((count, 1, 1, 1), generator=dice)
    ink = torch.where(_some(_FADED_SHARE, count, dice), low + ink * (high - low), ink)
    strength = 0.18 * torch.rand((count, 1, 1, 1), generator=dice) * _some(_NOISE_SHARE, count, dice)
    return (ink + torch.randn(ink.shape, generator=dice) * strength).clamp(0.0, 1.0)

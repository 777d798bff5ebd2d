"""The training pictures: every object in every style, drawn afresh from seeds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from kerf_world.drawing import SIZE_PX

from .canvas import Style
from .objects import Kind, picture_of


@dataclass(frozen=True, slots=True)
class Pictures:
    """`pixels` is (N, 128, 128) uint8 with 255 = paper; `kinds` and `styles` index `Kind` and `Style`, (N,) int64."""

    pixels: NDArray[np.uint8]
    kinds: NDArray[np.int64]
    styles: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.pixels)


def draw_pictures(per_pair: int, first_seed: int) -> Pictures:
    """Draw `per_pair` pictures of each object and style, from seeds `first_seed` onwards."""
    pairs = [(kind, style) for kind in range(len(Kind)) for style in range(len(Style))]
    kinds = np.array([kind for kind, _ in pairs for _ in range(per_pair)], dtype=np.int64)
    styles = np.array([style for _, style in pairs for _ in range(per_pair)], dtype=np.int64)
    pixels = np.empty((len(kinds), SIZE_PX, SIZE_PX), dtype=np.uint8)
    kind_of, style_of = list(Kind), list(Style)
    for index, (kind, style) in enumerate(zip(kinds, styles, strict=True)):
        pixels[index] = picture_of(kind_of[kind], style_of[style], first_seed + index % per_pair)
    return Pictures(pixels, kinds, styles)


def as_tensor(pixels: NDArray[np.uint8]) -> torch.Tensor:
    """Turn (N, H, W) uint8 into the autoencoder's input: (N, 3, H, W) float32 from -1 (ink) to 1 (paper)."""
    grey = torch.from_numpy(pixels).to(torch.float32).div(127.5).sub(1.0)
    return grey[:, None].expand(-1, 3, -1, -1)

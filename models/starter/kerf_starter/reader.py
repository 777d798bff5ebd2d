"""A small classifier that names a picture's object and style: the judge of what the model draws."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from .canvas import Style
from .dataset import Pictures, draw_pictures
from .objects import Kind
from .schedule import Recipe, warm_cosine

_log = logging.getLogger(__name__)
_INPUT_PX = 64
_RATE = 2e-3
# Seeds that neither the model's training pictures nor each other use.
_TRAINING_SEED = 1_000_000
_HELD_OUT_SEED = 2_000_000
_HELD_OUT_PER_PAIR = 6


class Reader(nn.Module):
    """Convolutions over (N, 1, 64, 64) pictures, then one score per object and one per style."""

    def __init__(self) -> None:
        super().__init__()
        widths = (1, 24, 48, 96, 128)
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
        # The grid of 4 x 4 cells is kept: where parts are matters, for an umbrella and a mushroom say.
        self.features = nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.2))
        self.kind = nn.Linear(widths[-1] * 16, len(Kind))
        self.style = nn.Linear(widths[-1] * 16, len(Style))

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return scores (N, objects) and (N, styles)."""
        features = self.features(pixels)
        return self.kind(features), self.style(features)


@dataclass(frozen=True, slots=True)
class Reading:
    """What the reader takes pictures for: indices of `Kind` and `Style`, each (N,) int64."""

    kinds: NDArray[np.int64]
    styles: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Shares from 0 to 1 of pictures whose object, style, and both are named rightly."""

    kind: float
    style: float
    both: float


def train_reader(recipe: Recipe) -> Reader:
    """Train on freshly drawn pictures."""
    torch.manual_seed(recipe.seed)
    pictures = draw_pictures(recipe.pictures_per_pair, _TRAINING_SEED)
    reader = Reader().train()
    optimiser = torch.optim.AdamW(reader.parameters(), lr=_RATE, weight_decay=1e-2)
    rng = np.random.default_rng(recipe.seed)
    kinds, styles = torch.from_numpy(pictures.kinds), torch.from_numpy(pictures.styles)
    for step in range(recipe.reader_steps):
        optimiser.param_groups[0]["lr"] = _RATE * warm_cosine(step, recipe.reader_steps, warm_steps=20)
        chosen = rng.integers(0, len(pictures), recipe.reader_batch)
        by_kind, by_style = reader(_blurred(_shrunk(pictures.pixels[chosen]), rng))
        loss = functional.cross_entropy(by_kind, kinds[chosen]) + functional.cross_entropy(by_style, styles[chosen])
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        if step % 100 == 0:
            _log.info("reader step %d: loss %.3f", step, loss.item())
    return reader.eval()


def read(reader: Reader, pixels: NDArray[np.uint8]) -> Reading:
    """Name the object and the style of (N, 128, 128) uint8 pictures."""
    with torch.inference_mode():
        by_kind, by_style = reader(_shrunk(pixels))
    return Reading(by_kind.argmax(dim=1).numpy(), by_style.argmax(dim=1).numpy())


def accuracy(reading: Reading, kinds: NDArray[np.int64], styles: NDArray[np.int64]) -> Accuracy:
    """Compare a reading with the truth."""
    kind_right, style_right = reading.kinds == kinds, reading.styles == styles
    return Accuracy(float(kind_right.mean()), float(style_right.mean()), float((kind_right & style_right).mean()))


def held_out_accuracy(reader: Reader) -> Accuracy:
    """Measure the reader itself on drawn pictures that it has not seen."""
    pictures: Pictures = draw_pictures(_HELD_OUT_PER_PAIR, _HELD_OUT_SEED)
    return accuracy(read(reader, pictures.pixels), pictures.kinds, pictures.styles)


def _shrunk(pixels: NDArray[np.uint8]) -> torch.Tensor:
    size = (_INPUT_PX, _INPUT_PX)
    small = np.stack([cv2.resize(picture, size, interpolation=cv2.INTER_AREA) for picture in pixels])
    return torch.from_numpy(small)[:, None].to(torch.float32).div(127.5).sub(1.0)


def _blurred(pixels: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Add noise and sometimes blur: a generated picture is never as crisp as a drawn one."""
    if rng.random() < 0.3:
        pixels = functional.avg_pool2d(pixels, 3, stride=1, padding=1)
    return pixels + torch.randn_like(pixels) * float(rng.uniform(0.0, 0.15))

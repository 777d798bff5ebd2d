"""The judge's networks: one sees the whole picture small and names the subject, one sees its textures."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

from kerf_world.kinds import SUBJECTS
from kerf_world.scenes import Style

INPUT_PX = 96
_PATCH_PX = 8
_STEP_PX = 4
_WIDTHS = (32, 64, 128, 224)
_GRID = 2
_STYLE_WIDTHS = (64, 128)
_DROPPED = 0.15
_TEXTURE_WIDTHS = (16, 32, 64)


class Scores(NamedTuple):
    """Scores of N pictures before softmax: (N, subjects) and (N, styles)."""

    subjects: torch.Tensor
    styles: torch.Tensor


class Residual(nn.Module):
    """Adds what one convolution finds (He et al., 2016)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.found = nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return features of the same shape."""
        return functional.relu(features + self.found(features))


class JudgeNetwork(nn.Module):
    """Takes (N, 1, 96, 96) float32, 1 = ink and 0 = paper."""

    def __init__(self) -> None:
        super().__init__()
        # Patches that overlap: what a processor without much time can do, and fine enough for lines and dots.
        margin_px = (_PATCH_PX - _STEP_PX) // 2
        first = nn.Conv2d(1, _WIDTHS[0], _PATCH_PX, stride=_STEP_PX, padding=margin_px, bias=False)
        self.stem = nn.Sequential(first, _normed(_WIDTHS[0]))
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False), _normed(after), Residual(after))
            for before, after in pairwise(_WIDTHS)
        )
        # Where parts are matters (an umbrella and a mushroom), but only coarsely, or a part that moves is not known.
        self.subjects = nn.Linear(_WIDTHS[-1] * _GRID**2, len(SUBJECTS))
        # Styles are learned along, for what a subject looks like depends on them; `TextureNetwork` reads them better.
        self.styles = nn.Linear(sum(_STYLE_WIDTHS) * 2, len(Style))
        self.dropped = nn.Dropout(_DROPPED)

    def forward(self, ink: torch.Tensor) -> Scores:
        """Score pictures."""
        features = self.stem(ink)
        textures = []
        for stage in self.stages:
            features = stage(features)
            if features.shape[1] in _STYLE_WIDTHS:
                textures += [features.mean(dim=(2, 3)), features.amax(dim=(2, 3))]
        grid = functional.adaptive_avg_pool2d(features, _GRID).flatten(1)
        return Scores(self.subjects(self.dropped(grid)), self.styles(torch.cat(textures, dim=1)))


class TextureNetwork(nn.Module):
    """Takes (N, 1, 128, 128) float32, 1 = ink and 0 = paper; returns scores (N, styles).

    Small, for textures are: what it finds counts anywhere, as a mean and as the most of it.
    """

    def __init__(self) -> None:
        super().__init__()
        first, second, third = _TEXTURE_WIDTHS
        self.fine = nn.Sequential(
            nn.Conv2d(1, first, 5, stride=2, padding=2, bias=False),
            _normed(first),
            nn.Conv2d(first, second, 3, stride=2, padding=1, bias=False),
            _normed(second),
        )
        self.coarse = nn.Sequential(
            nn.Conv2d(second, third, 3, stride=2, padding=1, bias=False), _normed(third), Residual(third)
        )
        self.styles = nn.Linear(2 * (second + third), len(Style))

    def forward(self, ink: torch.Tensor) -> torch.Tensor:
        """Score pictures."""
        fine = self.fine(ink)
        coarse = self.coarse(fine)
        found = [
            pooled for features in (fine, coarse) for pooled in (features.mean(dim=(2, 3)), features.amax(dim=(2, 3)))
        ]
        scores: torch.Tensor = self.styles(torch.cat(found, dim=1))
        return scores


def _normed(width: int) -> nn.Module:
    return nn.Sequential(nn.BatchNorm2d(width), nn.ReLU())

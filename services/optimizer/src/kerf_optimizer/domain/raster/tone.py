"""Tone tools: what is done to the greys before they become dots. uint8 in, uint8 of the same shape out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kerf_core.errors import InvalidArgument, Violation
from kerf_optimizer.domain.raster.blur import gaussian_blur
from kerf_optimizer.domain.raster.types import Gray

_CLAHE_TILES = 8
_PAPER_FROM = 96
"""Darker than this is no paper."""
_PAPER_MAP_SIDE = 64
"""The paper's brightness is estimated on a picture of about this many cells a side."""
_PAPER_SIGMA_CELLS = 2.0
_WHITE = 255


class Background(Enum):
    """What is done about the paper of a photographed or scanned drawing."""

    KEEP = "keep"
    FLAT = "flat"
    UNEVEN = "uneven"


@dataclass(frozen=True)
class Unsharp:
    """An unsharp mask: Gaussian of `radius_mm`, `percent` of the difference, none below `threshold` levels."""

    radius_mm: float
    percent: float
    threshold: int = 0


@dataclass(frozen=True)
class ToneAdjustments:
    """Done in the order of the fields. `curve` has (grey, what it becomes), straight lines between, ends extended."""

    background: Background = Background.KEEP
    clahe_clip: float = 0.0
    black_level: int = 0
    white_level: int = _WHITE
    gamma: float = 1.0
    curve: tuple[tuple[int, int], ...] = ()
    unsharp: Unsharp | None = None
    negative: bool = False

    def check(self) -> None:
        """Raise InvalidArgument that names every field which is out of range, or contradicts another."""
        found = []
        if not 0 <= self.black_level < self.white_level <= _WHITE:
            found.append(("tone.white_level", "must be above tone.black_level, both within 0–255."))
        if not (math.isfinite(self.gamma) and 0 < self.gamma <= 10):
            found.append(("tone.gamma", f"{self.gamma:g} is outside 0–10; 1 changes nothing."))
        if not 0 <= self.clahe_clip <= 40:
            found.append(("tone.clahe_clip", f"{self.clahe_clip:g} is outside 0–40; 0 is off."))
        found += self._wrong_curve()
        if self.unsharp is not None and not (0 < self.unsharp.radius_mm <= 20 and 0 <= self.unsharp.percent <= 500):
            found.append(("tone.unsharp", "needs a radius of up to 20 mm and 0–500 percent."))
        if found:
            violations = tuple(Violation(name, why) for name, why in found)
            raise InvalidArgument(
                "INVALID_FIELD", " ".join(f"{name}: {why}" for name, why in found), violations=violations
            )

    def _wrong_curve(self) -> list[tuple[str, str]]:
        found = []
        greys = [grey for grey, _ in self.curve]
        wanted = [grey for _, grey in self.curve]
        if any(a >= b for a, b in pairwise(greys)):
            found.append(("tone.curve", "its greys must grow from point to point."))
        if any(a > b for a, b in pairwise(wanted)):
            found.append(("tone.curve", "it falls: a darker grey would burn less than a lighter one. Use `negative`."))
        if any(not 0 <= grey <= _WHITE for grey in greys + wanted):
            found.append(("tone.curve", "its greys lie outside 0–255."))
        return found


def adjust(gray: Gray, alpha: Gray | None, tone: ToneAdjustments, pitch_mm: float) -> tuple[Gray, list[str]]:
    """The adjusted picture, and what was done in words. Wholly transparent pixels are white afterwards."""
    done = []
    if tone.background is not Background.KEEP:
        gray = without_paper(gray, uneven=tone.background is Background.UNEVEN)
        done.append(f"paper made white ({tone.background.value})")
    if tone.clahe_clip:
        gray = clahe(gray, tone.clahe_clip)
        done.append(f"local contrast, clip limit {tone.clahe_clip:g}")
    levels = tone_levels(tone)
    if bool((levels != np.arange(256)).any()):
        gray = levels[gray]
        done.append(
            f"levels {tone.black_level}–{tone.white_level}, gamma {tone.gamma:g}"
            + (f", curve of {len(tone.curve)} points" if tone.curve else "")
        )
    if tone.unsharp is not None and tone.unsharp.percent:
        gray = unsharp(gray, tone.unsharp.radius_mm / pitch_mm, tone.unsharp.percent, tone.unsharp.threshold)
        done.append(f"sharpened by {tone.unsharp.percent:g} % at {tone.unsharp.radius_mm:g} mm")
    if tone.negative:
        gray = _WHITE - gray
        done.append("negative")
    if done and alpha is not None:
        gray = np.where(alpha == 0, np.uint8(_WHITE), gray)
    return gray, done


def tone_levels(tone: ToneAdjustments) -> NDArray[np.uint8]:
    """Levels, gamma and curve as one table, uint8 (256,), which never falls."""
    shares = (np.arange(256) - tone.black_level) / (tone.white_level - tone.black_level)
    levels = np.clip(shares, 0, 1) ** tone.gamma * _WHITE
    if tone.curve:
        levels = np.interp(levels, [grey for grey, _ in tone.curve], [grey for _, grey in tone.curve])
    return np.floor(levels + 0.5).astype(np.uint8)


def clahe(gray: Gray, clip_limit: float) -> Gray:
    """Contrast limited adaptive histogram equalisation (Zuiderveld 1994) on 8 × 8 tiles, fewer in a tiny picture."""
    tiles = (min(_CLAHE_TILES, gray.shape[1]), min(_CLAHE_TILES, gray.shape[0]))
    return np.asarray(cv2.createCLAHE(clip_limit, tiles).apply(gray), dtype=np.uint8)


def unsharp(gray: Gray, sigma_px: float, percent: float, threshold: int) -> Gray:
    """Add `percent` of what a Gaussian blur of `sigma_px` takes away, where that is `threshold` levels or more."""
    # For each of the 511 differences what is added: one rounding, and no floats in the picture's size.
    differences = np.arange(-_WHITE, _WHITE + 1)
    added = np.rint(differences * (percent / 100)).astype(np.int16)
    added[np.abs(differences) < threshold] = 0
    lost = gray.astype(np.int16) + _WHITE - gaussian_blur(gray, sigma_px)
    sharp = added[lost] + gray
    return np.asarray(np.clip(sharp, 0, _WHITE, out=sharp), dtype=np.uint8)


def without_paper(gray: Gray, *, uneven: bool) -> Gray:
    """The picture divided by its paper: one light grey, or (`uneven`) a map of what is lightest around each pixel."""
    if not uneven:
        counts = np.bincount(gray.ravel(), minlength=256)[_PAPER_FROM:]
        if not counts.any():
            return gray
        # Noise moves the paper both ways: what is within 2 % of the most frequent grey is paper too.
        paper = max(1, (_PAPER_FROM + int(counts.argmax())) * 98 // 100)
        levels = np.minimum(np.arange(256) * _WHITE // paper, _WHITE).astype(np.uint8)
        return levels[gray]
    paper_map = _paper_map(gray)
    divided = gray.astype(np.uint16)
    divided *= np.uint16(_WHITE)
    divided //= paper_map
    return np.minimum(divided, _WHITE).astype(np.uint8)


def _paper_map(gray: Gray) -> Gray:
    """The lightest grey around each pixel, smooth, uint8 of the same shape, at least _PAPER_FROM."""
    rows, columns = gray.shape
    factor = max(1, max(rows, columns) // _PAPER_MAP_SIDE)
    # The mean of a cell is dark where it is drawn on: the lightest of its surroundings is paper.
    small = np.asarray(Image.fromarray(gray).reduce(factor))
    around = np.ones((7, 7), dtype=np.uint8)
    lightest = cv2.morphologyEx(small, cv2.MORPH_CLOSE, around, borderType=cv2.BORDER_REPLICATE)
    smooth = gaussian_blur(np.asarray(lightest, dtype=np.uint8), _PAPER_SIGMA_CELLS)
    paper = np.asarray(Image.fromarray(smooth).resize((columns, rows), Image.Resampling.BILINEAR))
    return np.asarray(np.maximum(paper, _PAPER_FROM), dtype=np.uint8)

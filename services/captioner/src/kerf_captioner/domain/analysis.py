"""Measures a picture without any model: light, contrast, sharpness, colours, perceptual hash."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from kerf_captioner.domain.colors import ColorShare, dominant_colors
from kerf_media import Picture

DEFAULT_COLORS = 5

_HALF_TRANSPARENT = 128
_STRIP_PIXELS = 1 << 20
"""Pixels that are measured between two looks at whether to stop; bounds the memory for floats too."""
_BT709 = np.array([0.2126, 0.7152, 0.0722], np.float32)
_HASH_SIDE_PX = 32
_HASH_BITS_SIDE = 8
_FLAT = 0.05
"""Coefficients below it are rounding, not picture: a flat picture's hash must not be noise."""


@dataclass(frozen=True)
class Analysis:
    """What was measured; units and sources stand at `AnalyzeImageResponse` and at the functions below."""

    width_px: int
    height_px: int
    colors: list[ColorShare]
    brightness: float
    contrast: float
    sharpness: float
    perceptual_hash: str
    transparent_share: float


def analyse(picture: Picture, colors: int, check: Callable[[], None]) -> Analysis:
    """Measure a picture, at most `colors` dominant colours (0 = 5). Transparent pixels count as white, except in
    the colours, where they are left out; shares are of the whole picture. `check` may raise to stop.
    """
    brightness, contrast = luminance_statistics(picture.rgb, check)
    gray = picture.gray()
    check()
    visible = None if picture.alpha is None else picture.alpha >= _HALF_TRANSPARENT
    return Analysis(
        width_px=picture.width_px,
        height_px=picture.height_px,
        colors=dominant_colors(picture.rgb, visible, colors or DEFAULT_COLORS, check),
        brightness=brightness,
        contrast=contrast,
        sharpness=laplacian_variance(gray),
        perceptual_hash=perceptual_hash(gray),
        transparent_share=0.0 if visible is None else 1.0 - float(np.count_nonzero(visible)) / visible.size,
    )


def luminance_statistics(rgb: NDArray[np.uint8], check: Callable[[], None]) -> tuple[float, float]:
    """Mean and standard deviation of the relative luminance, 0 to 1.

    Relative luminance is linear light: sRGB (IEC 61966-2-1) undone, then the weights of ITU-R BT.709. Its deviation
    is the RMS contrast (Peli, 1990), at most 0.5.
    """
    levels = _srgb_to_linear(np.arange(256) / 255.0).astype(np.float32)
    flat = rgb.reshape(-1, 3)
    total = squares = 0.0
    for start in range(0, len(flat), _STRIP_PIXELS):
        check()
        luminance = levels[flat[start : start + _STRIP_PIXELS]] @ _BT709
        total += float(luminance.sum(dtype=np.float64))
        squares += float(np.square(luminance, dtype=np.float64).sum())
    mean = total / len(flat)
    return min(1.0, mean), min(0.5, math.sqrt(max(0.0, squares / len(flat) - mean * mean)))


def laplacian_variance(gray: NDArray[np.uint8]) -> float:
    """Variance of the Laplacian of the 8-bit luma (Pech-Pacheco et al., 2000); 0 for a flat picture."""
    _, deviation = cv2.meanStdDev(cv2.Laplacian(gray, cv2.CV_16S))
    return float(deviation[0, 0]) ** 2


def perceptual_hash(gray: NDArray[np.uint8]) -> str:
    """64 bits as 16 hexadecimal digits: signs of the 8 × 8 lowest DCT frequencies of the picture at 32 × 32 px,
    against their median (Zauner, 2010). Near-duplicates differ in few bits.
    """
    shrinks = min(gray.shape) >= _HASH_SIDE_PX
    small = cv2.resize(
        gray.astype(np.float32),
        (_HASH_SIDE_PX, _HASH_SIDE_PX),
        interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR,
    )
    low = np.asarray(cv2.dct(small), np.float64)[:_HASH_BITS_SIDE, :_HASH_BITS_SIDE].ravel()
    low[np.abs(low) < _FLAT] = 0.0
    bits = low > np.median(low[1:])  # the first is the mean brightness, which says nothing about shape
    return f"{int(''.join('1' if bit else '0' for bit in bits), 2):016x}"


def _srgb_to_linear(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)

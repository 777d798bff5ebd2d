"""How grey becomes burnt and not burnt.

Each function takes uint8 grey (rows, columns), 0 = black, and returns bool of the same shape, True = burn. All
arithmetic is in integers, or in float64 additions and multiplications in a fixed order, so that a raster can be made
again bit for bit on another processor.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

Gray = NDArray[np.uint8]
Burn = NDArray[np.bool_]

_LEVELS = 256
_FLAT_LEVEL = 128
_CELL = 256
"""Samples along one side of a halftone cell."""
_TURN = 1 << 32
"""One halftone cell in the fixed-point phase."""
_PHASE_U, _PHASE_V = _TURN * 137 // 1000, _TURN * 311 // 1000
"""Where the first pixel lies in its cell: off every axis of symmetry, so that pixels of a cell differ in rank."""
_STRIP_ROWS = 256
_DOG_RATIO = 1.6
"""Outer over inner Gaussian: Marr and Hildreth (1980) found 1.6 closest to the Laplacian; Winnemöller keeps it."""
_DOG_MAX_SIGMA_PX = 4.0
_LINE_SIGMA = 0.33
"""Inner Gaussian over width of the line: an edge of 80 to 255 grey levels gives a line 0.75 to 1.2 times as wide."""
_DOG_STRONG, _DOG_WEAK = 7.0, 3.0
"""Grey levels that the response must exceed to begin a line, and to continue one."""
_SPECK_SHARE = 0.01
_ALPHA_SOLID = 128
_EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=np.bool_)


def otsu_threshold(gray: Gray) -> int:
    """The level 1–255 that splits the histogram with the greatest variance between its two sides (Otsu 1979).

    Pixels below it are dark. Where several levels split alike (a picture of two greys), it is the middle one; 128 for a
    picture of one grey.
    """
    counts = np.bincount(gray.ravel(), minlength=_LEVELS).astype(np.int64)
    below = np.cumsum(counts)[:-1]
    sum_below = np.cumsum(counts * np.arange(_LEVELS))[:-1]
    total, total_sum = int(counts.sum()), int((counts * np.arange(_LEVELS)).sum())
    above = total - below
    split = (below > 0) & (above > 0)
    if not split.any():
        return _FLAT_LEVEL
    # Variance between the classes, up to a constant factor: (total·s − below·S)² / (below·above).
    offset = (total * sum_below - below * total_sum).astype(np.float64)
    variance = np.where(split, offset * offset / np.maximum(below.astype(np.float64) * above, 1.0), -1.0)
    best = np.flatnonzero(variance == variance.max())
    return int(best[0] + best[-1]) // 2 + 1


def threshold(gray: Gray, level: int) -> Burn:
    """Burn every pixel darker than `level` (1–255)."""
    return gray < level


def floyd_steinberg(gray: Gray) -> Burn:
    """Error diffusion (Floyd and Steinberg 1976), left to right, in Pillow's integer arithmetic.

    The share of burnt pixels follows the tone: 1 − grey / 255 within half a per cent.
    """
    return ~np.asarray(Image.fromarray(gray).convert("1", dither=Image.Dither.FLOYDSTEINBERG))


def halftone(gray: Gray, cell_px: float, angle_deg: float) -> Burn:
    """Clustered dots on a grid rotated by `angle_deg`, cells of `cell_px` (≥ 2) pixels.

    Round dots grow to a chequerboard at middle grey and leave round holes in the shadows: clustered-dot ordered dither
    (after Holladay 1980) with a cosine spot function. Its levels are ranks over the cell, so that the burnt share is
    1 − grey / 255: within 0.5 % as a rule, 2 % where cells of 10 px line up with the pixels (angle 0), 18 % at 2 px.
    """
    levels = _spot_levels()
    darkness = 255 - gray
    step_u, step_v = _phase_steps(cell_px, angle_deg)
    columns = np.arange(gray.shape[1], dtype=np.int64)
    burn = np.empty(gray.shape, dtype=np.bool_)
    for top in range(0, gray.shape[0], _STRIP_ROWS):
        rows = np.arange(top, min(top + _STRIP_ROWS, gray.shape[0]), dtype=np.int64)[:, None]
        u = (columns * step_u + rows * step_v + _PHASE_U) % _TURN // (_TURN // _CELL)
        v = (rows * step_u - columns * step_v + _PHASE_V) % _TURN // (_TURN // _CELL)
        strip = slice(top, top + len(rows))
        burn[strip] = darkness[strip] > levels[v, u]
    return burn


def _phase_steps(cell_px: float, angle_deg: float) -> tuple[int, int]:
    angle = math.radians(angle_deg)
    return round(math.cos(angle) / cell_px * _TURN), round(math.sin(angle) / cell_px * _TURN)


@cache
def _spot_levels() -> NDArray[np.uint8]:
    """Darkness 0–254 above which each sample of a cell burns, uint8 (_CELL, _CELL); the first to burn is the middle."""
    phase = (np.arange(_CELL) + 0.5) / _CELL * 2 * np.pi
    spot = np.cos(phase)[:, None] + np.cos(phase)[None, :]
    # Rounded, so that samples which are equal by symmetry are equal, and the stable sort alone decides.
    order = np.argsort(np.round(spot, 9), axis=None, kind="stable")
    ranks = np.empty(_CELL * _CELL, dtype=np.int64)
    ranks[order] = np.arange(_CELL * _CELL)
    levels = (ranks * 255 // (_CELL * _CELL)).astype(np.uint8).reshape(_CELL, _CELL)
    levels.setflags(write=False)
    return levels


def line_art(gray: Gray, line_width_px: float) -> Burn:
    """Dark lines about `line_width_px` (≥ 1) wide along the dark side of every edge.

    The difference of two Gaussians, thresholded with hysteresis and freed from specks: the edge part of XDoG
    (Winnemöller, Kyprianidis and Olsen 2012) without its tone part, since large dark areas are not lines.
    """
    response = _difference_of_gaussians(gray, line_width_px * _LINE_SIGMA)
    weak = response > _DOG_WEAK
    labels, count = ndimage.label(weak, structure=_EIGHT_NEIGHBOURS)
    if count == 0:
        return weak
    strong = np.bincount(labels[response > _DOG_STRONG], minlength=count + 1) > 0
    # A line is at least twice as long as wide; less is noise.
    large = np.bincount(labels.ravel(), minlength=count + 1) >= 2 * line_width_px * line_width_px
    keep = strong & large
    keep[0] = False
    return np.asarray(keep[labels], dtype=np.bool_)


def _difference_of_gaussians(gray: Gray, sigma_px: float) -> NDArray[np.float64]:
    """Outer minus inner Gaussian, float64: positive on the dark side of edges.

    Wide Gaussians are computed on a smaller picture: the cost does not grow with the width.
    """
    factor = max(1, int(sigma_px / _DOG_MAX_SIGMA_PX))
    rows, columns = gray.shape
    image = Image.fromarray(gray)
    if factor > 1:
        image = image.reduce(factor)
    small = np.asarray(image, dtype=np.float64)
    inner = ndimage.gaussian_filter(small, sigma_px / factor, mode="nearest", truncate=3.0)
    outer = ndimage.gaussian_filter(small, sigma_px / factor * _DOG_RATIO, mode="nearest", truncate=3.0)
    response = outer - inner
    if factor > 1:
        enlarged = Image.fromarray(response.astype(np.float32)).resize((columns, rows), Image.Resampling.BICUBIC)
        response = np.asarray(enlarged, dtype=np.float64)
    return np.asarray(response, dtype=np.float64)


def silhouette(gray: Gray, alpha: NDArray[np.uint8] | None = None) -> tuple[Burn, int]:
    """The subject filled, and the level used (0 where transparency decided).

    The subject is what is opaque, where `alpha` (uint8, same shape) has transparent pixels; otherwise the side of
    Otsu's level that is in the minority along the picture's border. Holes are filled; parts smaller than 1 % of the
    largest vanish.
    """
    if alpha is not None and bool((alpha < _ALPHA_SOLID).any()):
        subject, level = alpha >= _ALPHA_SOLID, 0
    else:
        level = otsu_threshold(gray)
        dark = gray < level
        border = np.concatenate([dark[0], dark[-1], dark[1:-1, 0], dark[1:-1, -1]])
        subject = ~dark if 2 * np.count_nonzero(border) > border.size else dark
    return _without_specks(fill_holes(subject)), level


def fill_holes(subject: Burn) -> Burn:
    """`subject` and everything that it encloses. Background joins by edges, the subject also by corners."""
    # A frame of background makes all outside one region, named by its corner.
    labels, _ = ndimage.label(np.pad(~subject, 1, constant_values=True))
    return np.asarray(labels[1:-1, 1:-1] != labels[0, 0], dtype=np.bool_)


def _without_specks(subject: Burn) -> Burn:
    labels, count = ndimage.label(subject, structure=_EIGHT_NEIGHBOURS)
    if count == 0:
        return subject
    areas = np.bincount(labels.ravel(), minlength=count + 1)
    areas[0] = 0
    keep = areas >= max(1.0, _SPECK_SHARE * float(areas.max()))
    keep[0] = False
    return np.asarray(keep[labels], dtype=np.bool_)

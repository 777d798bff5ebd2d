"""Ordered dither: every pixel is compared with a level that depends on where it is, so nothing spreads.

Each function takes uint8 grey (rows, columns), 0 = black, and returns bool of the same shape, True = burn.
"""

from __future__ import annotations

import math
from enum import Enum
from functools import cache

import numpy as np
from numpy.typing import NDArray

from kerf_optimizer.domain.compiled import compiled
from kerf_optimizer.domain.raster.types import Burn, Gray

_CELL = 256
"""Samples along one side of a halftone cell."""
_TURN = 1 << 32
"""One halftone cell in the fixed-point phase."""
_PHASE_U, _PHASE_V = _TURN * 137 // 1000, _TURN * 311 // 1000
"""Where the first pixel lies in its cell: off every axis of symmetry, so that pixels of a cell differ in rank."""
_TILE = 64
"""Side of the blue noise tile: 4,096 ranks, more than there are tones."""
_CLUSTER_SIGMA_PX = 1.9
"""Ulichney 1993 found 1.5 to work best; a little more keeps light tones even too."""
_FIRST_SHARE = 0.1
_GOLDEN_X, _GOLDEN_Y = 0.7548776662466927, 0.5698402909980532
_FIXED = 1 << 24


class DotShape(Enum):
    """Shape of a halftone's dots."""

    ROUND = "round"
    DIAMOND = "diamond"
    LINE = "line"
    ELLIPSE = "ellipse"
    CROSS = "cross"


def ordered(gray: Gray, side: int) -> Burn:
    """Bayer's (1973) dispersed dots on a matrix of `side` (a power of 2) pixels; the share is right to 0.5 / side²."""
    ranks = np.zeros((1, 1), dtype=np.int64)
    while len(ranks) < side:
        ranks = np.block([[4 * ranks, 4 * ranks + 2], [4 * ranks + 3, 4 * ranks + 1]])
    return _tiled(gray, ranks)


def blue_noise(gray: Gray) -> Burn:
    """Dispersed dots without a pattern, after a tile of 64 × 64 pixels made by void and cluster (Ulichney 1993)."""
    return _tiled(gray, blue_noise_ranks())


def _tiled(gray: Gray, ranks: NDArray[np.int64]) -> Burn:
    """Burn where the share of darkness exceeds the middle of the pixel's rank."""
    # 255 − grey > (rank + ½) · 255 / count, as a bound on grey that fits uint8.
    below = 255 - (2 * ranks + 1) * 255 // (2 * ranks.size)
    burn = np.empty(gray.shape, dtype=np.bool_)
    for row, bounds in enumerate(below.astype(np.uint8)):
        np.less(gray[row :: len(ranks)], np.resize(bounds, gray.shape[1]), out=burn[row :: len(ranks)])
    return burn


@cache
def blue_noise_ranks() -> NDArray[np.int64]:
    """The tile's ranks 0–4095, int64 (64, 64), read-only: each is once, and tiles join without a seam."""
    ranks = np.empty(_TILE * _TILE, dtype=np.int64)
    first = _Dots.even()
    dots = first.copy()
    for rank in range(first.count - 1, -1, -1):
        place = dots.tightest()
        dots.put(place, on=False)
        ranks[place] = rank
    count, dots = first.count, first
    for rank in range(count, ranks.size):
        place = dots.emptiest()
        dots.put(place, on=True)
        ranks[place] = rank
    tile = ranks.reshape(_TILE, _TILE)
    tile.setflags(write=False)
    return tile


class _Dots:
    """Dots on a tile that joins itself, and how much they crowd each pixel."""

    def __init__(self) -> None:
        self._on = np.zeros((_TILE, _TILE), dtype=np.bool_)
        self._crowding = np.zeros((_TILE, _TILE), dtype=np.int64)
        self._dot = _cluster_energy()

    @classmethod
    def even(cls) -> _Dots:
        """A tenth of the pixels, moved from clusters to voids until none gains by it."""
        dots = cls()
        # An additive sequence of golden ratios (Roberts 2018) is nearly even already.
        for k in range(1, round(_FIRST_SHARE * dots._on.size) + 1):
            place = int(_TILE * (_GOLDEN_X * k % 1)) + _TILE * int(_TILE * (_GOLDEN_Y * k % 1))
            if not dots._on.flat[place]:
                dots.put(place, on=True)
        while True:
            place = dots.tightest()
            dots.put(place, on=False)
            void = dots.emptiest()
            dots.put(void, on=True)
            if void == place:
                return dots

    @property
    def count(self) -> int:
        return int(np.count_nonzero(self._on))

    def copy(self) -> _Dots:
        other = _Dots()
        other._on[:], other._crowding[:] = self._on, self._crowding
        return other

    def tightest(self) -> int:
        """The dot among most others."""
        return int(np.where(self._on, self._crowding, -1).argmax())

    def emptiest(self) -> int:
        """The pixel without a dot that has fewest around it."""
        return int(np.where(self._on, np.iinfo(np.int64).max, self._crowding).argmin())

    def put(self, place: int, *, on: bool) -> None:
        y, x = divmod(place, _TILE)
        self._on[y, x] = on
        crowding = np.roll(self._dot, (y, x), axis=(0, 1))
        self._crowding += crowding if on else -crowding


def _cluster_energy() -> NDArray[np.int64]:
    """How much a dot in the corner crowds each pixel of the tile, which joins itself: int64, exact in any order."""
    offset = np.minimum(np.arange(_TILE), _TILE - np.arange(_TILE))
    squared = offset[:, None] ** 2 + offset[None, :] ** 2
    return np.asarray(np.rint(_FIXED * np.exp(-squared / (2 * _CLUSTER_SIGMA_PX**2))), dtype=np.int64)


def halftone(gray: Gray, cell_px: float, angle_deg: float, shape: DotShape = DotShape.ROUND) -> Burn:
    """Clustered dots on a grid rotated by `angle_deg`, cells of `cell_px` (≥ 2) pixels.

    Clustered-dot ordered dither (after Holladay 1980) with a spot function for each shape; round dots grow to a
    chequerboard at middle grey and leave round holes in the shadows. Its levels are ranks over the cell, so that the
    burnt share is 1 − grey / 255: within 0.5 % as a rule, 2 % where cells of 10 px line up with the pixels (angle 0),
    18 % at 2 px.
    """
    angle = math.radians(angle_deg)
    step_u, step_v = round(math.cos(angle) / cell_px * _TURN), round(math.sin(angle) / cell_px * _TURN)
    burn = np.empty(gray.shape, dtype=np.bool_)
    _screen(np.ascontiguousarray(gray), spot_levels(shape), step_u, step_v, burn)
    return burn


@compiled(
    "void(Array(uint8, 2, 'C', readonly=True), Array(uint8, 2, 'C', readonly=True), int64, int64, boolean[:, ::1])"
)
def _screen(gray: Gray, levels: NDArray[np.uint8], step_u: int, step_v: int, burn: Burn) -> None:
    """The phase is a fraction of a cell in 2⁻³²; its upper 8 bits choose the level."""
    for y in range(gray.shape[0]):
        u, v = y * step_v + _PHASE_U, y * step_u + _PHASE_V
        for x in range(gray.shape[1]):
            burn[y, x] = 255 - gray[y, x] > levels[(v >> 24) & 255, (u >> 24) & 255]
            u += step_u
            v -= step_v


@cache
def spot_levels(shape: DotShape) -> NDArray[np.uint8]:
    """Darkness 0–254 above which each sample of a cell burns, uint8 (_CELL, _CELL); the first to burn is the middle."""
    spot = _spot(shape, (np.arange(_CELL) + 0.5) / _CELL)
    # Rounded, so that samples which are equal by symmetry are equal, and the stable sort alone decides.
    order = np.argsort(np.round(spot, 9), axis=None, kind="stable")
    ranks = np.empty(_CELL * _CELL, dtype=np.int64)
    ranks[order] = np.arange(_CELL * _CELL)
    levels = (ranks * 255 // (_CELL * _CELL)).astype(np.uint8).reshape(_CELL, _CELL)
    levels.setflags(write=False)
    return levels


def _spot(shape: DotShape, phase: NDArray[np.float64]) -> NDArray[np.float64]:
    """The spot function: the lower, the sooner a sample burns. The middle of the cell is at phase ½."""
    cosine = np.cos(phase * 2 * np.pi)
    distance = np.abs(phase - 0.5)
    down, across = distance[:, None], distance[None, :]
    match shape:
        case DotShape.ROUND:
            return np.asarray(cosine[:, None] + cosine[None, :])
        case DotShape.DIAMOND:
            return np.asarray(down + across)
        case DotShape.LINE:
            return np.asarray(down + 0.0 * across)
        case DotShape.ELLIPSE:
            return np.asarray(cosine[:, None] + 0.6 * cosine[None, :])
        case DotShape.CROSS:
            return np.asarray(np.minimum(down, across) + 0.3 * np.maximum(down, across))

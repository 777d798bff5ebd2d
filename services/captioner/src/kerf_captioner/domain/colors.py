"""The colours that a picture is mostly made of, and their names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kerf_captioner.domain.css_colors import CSS_COLORS

_LEVEL_BITS = 5
"""Colours are counted in cells of 8 levels a channel before they are grouped."""
_CELLS = 1 << (3 * _LEVEL_BITS)
_STRIP_PIXELS = 1 << 20
_SAME_COLOR = 14.0
"""Groups nearer than this in CIELAB are one colour to most eyes; about six just noticeable differences."""
_ROUNDS = 20
_D65 = np.array([0.95047, 1.0, 1.08883])
_RGB_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)


@dataclass(frozen=True)
class ColorShare:
    """A colour and the share of the whole picture, 0 to 1, that is nearest to it."""

    hex: str
    name: str
    share: float


@dataclass(frozen=True)
class _Counted:
    """The colours of a picture in cells: pixels (N,), mean RGB 0 to 255 (N, 3), the same in CIELAB (N, 3)."""

    pixels: NDArray[np.float64]
    rgb: NDArray[np.float64]
    lab: NDArray[np.float64]


def dominant_colors(
    rgb: NDArray[np.uint8], visible: NDArray[np.bool_] | None, colors: int, check: Callable[[], None]
) -> list[ColorShare]:
    """At most `colors` colours, the largest share first; pixels that are not `visible` (None = all are) are left out.

    Weighted k-means (Lloyd, 1982) in CIELAB over a histogram of the picture, begun with the colours that are most
    and farthest from each other; groups that look alike are joined. A group is shown as its most frequent colour,
    so that a flat colour keeps its exact value. Deterministic. `check` may raise to stop.
    """
    counted = _count(rgb, visible, check)
    if not len(counted.pixels):
        return []
    centres = _first_centres(counted, colors)
    for _ in range(_ROUNDS):
        check()
        nearest = _nearest(counted.lab, centres)
        moved = _means(counted, nearest, centres)
        if np.array_equal(moved, centres):
            break
        centres = moved
    groups = _joined(counted, _nearest(counted.lab, centres))
    total = rgb.shape[0] * rgb.shape[1]
    shares = [_shown(counted, group, total) for group in groups]
    return sorted(shares, key=lambda color: (-color.share, color.hex))


def color_name(rgb: tuple[int, int, int]) -> str:
    """The CSS colour that is nearest in CIELAB (CIE 1976 difference)."""
    lab = srgb_to_lab(np.array([rgb], np.float64))
    return _NAMES[int(np.argmin(np.square(_NAMED_LAB - lab).sum(axis=1)))]


def srgb_to_lab(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    """sRGB (N, 3), 0 to 255, to CIELAB under D65 (CIE 15; IEC 61966-2-1)."""
    share = rgb / 255.0
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    ratio = linear @ _RGB_TO_XYZ.T / _D65
    root = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio * (29 / 6) ** 2 / 3 + 4 / 29)
    x, y, z = root.T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


def _count(rgb: NDArray[np.uint8], visible: NDArray[np.bool_] | None, check: Callable[[], None]) -> _Counted:
    pixels = np.zeros(_CELLS)
    sums = np.zeros((3, _CELLS))
    flat = rgb.reshape(-1, 3)
    shown = None if visible is None else visible.ravel()
    for start in range(0, len(flat), _STRIP_PIXELS):
        check()
        strip = flat[start : start + _STRIP_PIXELS]
        if shown is not None:
            strip = strip[shown[start : start + _STRIP_PIXELS]]
        red, green, blue = (strip.astype(np.int32) >> (8 - _LEVEL_BITS)).T
        cells = (red << (2 * _LEVEL_BITS)) | (green << _LEVEL_BITS) | blue
        pixels += np.bincount(cells, minlength=_CELLS)
        for channel in range(3):
            sums[channel] += np.bincount(cells, weights=strip[:, channel], minlength=_CELLS)
    used = np.flatnonzero(pixels)
    mean = (sums[:, used] / pixels[used]).T
    return _Counted(pixels[used], mean, srgb_to_lab(mean))


def _first_centres(counted: _Counted, colors: int) -> NDArray[np.float64]:
    chosen = [int(np.argmax(counted.pixels))]
    distance = np.full(len(counted.pixels), np.inf)
    while len(chosen) < min(colors, len(counted.pixels)):
        distance = np.minimum(distance, np.square(counted.lab - counted.lab[chosen[-1]]).sum(axis=1))
        worth = counted.pixels * distance
        if worth.max() <= 0:
            break
        chosen.append(int(np.argmax(worth)))
    return counted.lab[chosen]


def _nearest(lab: NDArray[np.float64], centres: NDArray[np.float64]) -> NDArray[np.intp]:
    squared = np.stack([np.square(lab - centre).sum(axis=1) for centre in centres])
    return np.asarray(np.argmin(squared, axis=0), np.intp)


def _means(counted: _Counted, nearest: NDArray[np.intp], centres: NDArray[np.float64]) -> NDArray[np.float64]:
    moved = centres.copy()
    for group in range(len(centres)):
        mine = nearest == group
        if mine.any():
            moved[group] = np.average(counted.lab[mine], axis=0, weights=counted.pixels[mine])
    return moved


def _joined(counted: _Counted, nearest: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """Cell indices of each group, the largest first, after groups that look alike were joined."""
    groups = [np.flatnonzero(nearest == group) for group in np.unique(nearest)]
    groups.sort(key=lambda cells: (-counted.pixels[cells].sum(), int(cells[0])))
    kept: list[NDArray[np.intp]] = []
    for cells in groups:
        middle = np.average(counted.lab[cells], axis=0, weights=counted.pixels[cells])
        for index, other in enumerate(kept):
            others = np.average(counted.lab[other], axis=0, weights=counted.pixels[other])
            if np.linalg.norm(middle - others) < _SAME_COLOR:
                kept[index] = np.concatenate([other, cells])
                break
        else:
            kept.append(cells)
    return kept


def _shown(counted: _Counted, cells: NDArray[np.intp], total: int) -> ColorShare:
    most = cells[int(np.argmax(counted.pixels[cells]))]
    red, green, blue = (int(value) for value in np.rint(counted.rgb[most]))
    name = color_name((red, green, blue))
    return ColorShare(f"#{red:02x}{green:02x}{blue:02x}", name, float(counted.pixels[cells].sum()) / total)


_NAMES = sorted(CSS_COLORS)
_NAMED_LAB = srgb_to_lab(np.array([CSS_COLORS[name] for name in _NAMES], np.float64))

"""Numbers as strokes, for labels that a laser scores: seven segments, as on a clock. No font is needed."""

from __future__ import annotations

import numpy as np

from kerf_optimizer.domain.geometry import Path

ASPECT = 0.5
"""Width of a digit over its height."""
ADVANCE = 0.75
"""From digit to digit, over the height."""
_CORNERS = {
    "a": ((0, 2), (1, 2)),
    "b": ((1, 2), (1, 1)),
    "c": ((1, 1), (1, 0)),
    "d": ((0, 0), (1, 0)),
    "e": ((0, 1), (0, 0)),
    "f": ((0, 2), (0, 1)),
    "g": ((0, 1), (1, 1)),
}
"""Segments by their usual names, as corners of a cell two high."""
_DIGITS = {
    "0": "abcdef",
    "1": "bc",
    "2": "abged",
    "3": "abgcd",
    "4": "fgbc",
    "5": "afgcd",
    "6": "afgedc",
    "7": "abc",
    "8": "abcdefg",
    "9": "abcdfg",
}


def number_paths(value: float, x_mm: float, y_mm: float, height_mm: float) -> list[Path]:
    """A whole number's strokes in machine coordinates (y up), its lower left corner at (x, y)."""
    out = []
    for place, digit in enumerate(str(round(value))):
        origin = np.array([x_mm + place * ADVANCE * height_mm, y_mm])
        scale = np.array([ASPECT * height_mm, height_mm / 2])
        out += [Path(np.array(_CORNERS[segment]) * scale + origin, False) for segment in _DIGITS[digit]]
    return out


def number_width_mm(value: float, height_mm: float) -> float:
    """Width of a number's strokes."""
    return ((len(str(round(value))) - 1) * ADVANCE + ASPECT) * height_mm

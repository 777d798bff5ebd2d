"""Draws the capital letters from strokes: plain, with serifs, or as an outlined block."""

from __future__ import annotations

import string
from itertools import pairwise

import numpy as np

from . import geometry as g
from .drawing import Drawing, Part, bars

LETTERS = string.ascii_uppercase

Random = np.random.Generator
Run = list[tuple[float, float]]

_TOP, _FOOT, _LEFT, _RIGHT = -0.9, 0.9, -0.6, 0.6

# Straight runs; a run of one letter is joined at its corners. Bowls are arcs: centre x, y, radius x, y, from and to in
# degrees, clockwise from the right.
_RUNS: dict[str, list[Run]] = {
    "A": [[(-0.68, 0.9), (0.0, -0.9), (0.68, 0.9)], [(-0.42, 0.26), (0.42, 0.26)]],
    "B": [
        [(-0.5, -0.9), (-0.5, 0.9)],
        [(-0.5, -0.9), (0.1, -0.9)],
        [(-0.5, -0.04), (0.1, -0.04)],
        [(-0.5, 0.9), (0.1, 0.9)],
    ],
    "C": [],
    "D": [[(-0.55, -0.9), (-0.55, 0.9)], [(-0.55, -0.9), (-0.1, -0.9)], [(-0.55, 0.9), (-0.1, 0.9)]],
    "E": [[(0.52, -0.9), (-0.5, -0.9), (-0.5, 0.9), (0.52, 0.9)], [(-0.5, -0.02), (0.36, -0.02)]],
    "F": [[(0.54, -0.9), (-0.5, -0.9), (-0.5, 0.9)], [(-0.5, 0.0), (0.36, 0.0)]],
    "G": [[(0.12, 0.14), (0.62, 0.14), (0.62, 0.6)]],
    "H": [[(-0.56, -0.9), (-0.56, 0.9)], [(0.56, -0.9), (0.56, 0.9)], [(-0.56, 0.0), (0.56, 0.0)]],
    "I": [[(0.0, -0.9), (0.0, 0.9)]],
    "J": [[(0.36, -0.9), (0.36, 0.42)]],
    "K": [[(-0.54, -0.9), (-0.54, 0.9)], [(0.56, -0.9), (-0.5, 0.12)], [(-0.2, -0.16), (0.6, 0.9)]],
    "L": [[(-0.46, -0.9), (-0.46, 0.9), (0.54, 0.9)]],
    "M": [[(-0.72, 0.9), (-0.72, -0.9), (0.0, 0.4), (0.72, -0.9), (0.72, 0.9)]],
    "N": [[(-0.58, 0.9), (-0.58, -0.9), (0.58, 0.9), (0.58, -0.9)]],
    "O": [],
    "P": [[(-0.5, -0.9), (-0.5, 0.9)], [(-0.5, -0.9), (0.1, -0.9)], [(-0.5, 0.08), (0.1, 0.08)]],
    "Q": [[(0.2, 0.42), (0.72, 0.96)]],
    "R": [
        [(-0.5, -0.9), (-0.5, 0.9)],
        [(-0.5, -0.9), (0.1, -0.9)],
        [(-0.5, 0.04), (0.1, 0.04)],
        [(0.06, 0.06), (0.6, 0.9)],
    ],
    "S": [],
    "T": [[(-0.64, -0.9), (0.64, -0.9)], [(0.0, -0.9), (0.0, 0.9)]],
    "U": [[(-0.56, -0.9), (-0.56, 0.36)], [(0.56, -0.9), (0.56, 0.36)]],
    "V": [[(-0.66, -0.9), (0.0, 0.9), (0.66, -0.9)]],
    "W": [[(-0.88, -0.9), (-0.46, 0.9), (0.0, -0.5), (0.46, 0.9), (0.88, -0.9)]],
    "X": [[(-0.6, -0.9), (0.6, 0.9)], [(0.6, -0.9), (-0.6, 0.9)]],
    "Y": [[(-0.62, -0.9), (0.0, 0.06), (0.62, -0.9)], [(0.0, 0.06), (0.0, 0.9)]],
    "Z": [[(-0.56, -0.9), (0.56, -0.9), (-0.58, 0.9), (0.6, 0.9)]],
}
_BOWLS: dict[str, list[tuple[float, float, float, float, float, float]]] = {
    "B": [(0.1, -0.47, 0.4, 0.43, -90.0, 90.0), (0.1, 0.43, 0.46, 0.47, -90.0, 90.0)],
    "C": [(0.06, 0.0, 0.66, 0.9, 48.0, 312.0)],
    "D": [(-0.1, 0.0, 0.68, 0.9, -90.0, 90.0)],
    "G": [(0.02, 0.0, 0.66, 0.9, 34.0, 312.0)],
    "J": [(-0.06, 0.42, 0.42, 0.48, 0.0, 165.0)],
    "O": [(0.0, 0.0, 0.7, 0.9, 0.0, 360.0)],
    "P": [(0.1, -0.41, 0.46, 0.49, -90.0, 90.0)],
    "Q": [(0.0, 0.0, 0.7, 0.9, 0.0, 360.0)],
    "R": [(0.1, -0.43, 0.44, 0.47, -90.0, 90.0)],
    "U": [(0.0, 0.36, 0.56, 0.54, 0.0, 180.0)],
}
# Where a stem ends, a serif may stand: x, y.
_STEMS: dict[str, list[tuple[float, float]]] = {
    "A": [(-0.68, 0.9), (0.68, 0.9)],
    "B": [],
    "F": [(-0.5, 0.9)],
    "H": [(-0.56, -0.9), (-0.56, 0.9), (0.56, -0.9), (0.56, 0.9)],
    "I": [(0.0, -0.9), (0.0, 0.9)],
    "J": [(0.36, -0.9)],
    "K": [(-0.54, -0.9), (-0.54, 0.9), (0.56, -0.9), (0.6, 0.9)],
    "L": [(-0.46, -0.9)],
    "M": [(-0.72, 0.9), (0.72, 0.9)],
    "N": [(-0.58, 0.9), (0.58, -0.9)],
    "P": [(-0.5, 0.9)],
    "R": [(-0.5, 0.9), (0.6, 0.9)],
    "T": [(0.0, 0.9)],
    "U": [(-0.56, -0.9), (0.56, -0.9)],
    "V": [(-0.66, -0.9), (0.66, -0.9)],
    "W": [(-0.88, -0.9), (0.88, -0.9)],
    "X": [(-0.6, -0.9), (0.6, -0.9), (-0.6, 0.9), (0.6, 0.9)],
    "Y": [(-0.62, -0.9), (0.62, -0.9), (0.0, 0.9)],
}


def letter(name: str, rng: Random) -> Drawing:
    """Draw a capital letter, `name` from A to Z."""
    wide = rng.uniform(0.2, 0.34)
    runs = [_dense(run) for run in _RUNS[name]]
    runs += [g.arc(x, y, rx, first, last, ry=ry, count=28) for x, y, rx, ry, first, last in _BOWLS.get(name, [])]
    if name == "S":
        runs.append(_snake())
    narrow = np.array([rng.uniform(0.84, 1.06), 1.0])
    serifs = []
    # The letter I is a bare bar without them.
    if name == "I" or rng.random() < 0.45:
        reach = wide / 2 + rng.uniform(0.12, 0.2)
        for x, y in _STEMS.get(name, []):
            # Flat, and as deep as the round end of the stem, which it hides.
            low, high = sorted((y - np.sign(y) * 0.04, y + np.sign(y) * wide / 2))
            middle = x * narrow[0]
            serifs.append(g.rectangle(middle - reach, low, middle + reach, high))
    return [Part(outlines=tuple(serifs), strokes=bars(wide, *(run * narrow for run in runs)).strokes, tone=0.45)]


def _dense(run: Run) -> g.Points:
    """The run with points along its straights, so that a bent letter bends as a whole and its bars stay at its stem."""
    pieces = [np.linspace(start, end, 7)[:-1] for start, end in pairwise(run)]
    return np.concatenate([*pieces, np.array(run[-1:])])


def _snake() -> g.Points:
    return g.smooth(
        [
            (0.52, -0.62),
            (0.3, -0.86),
            (-0.16, -0.88),
            (-0.5, -0.6),
            (-0.36, -0.2),
            (0.1, 0.02),
            (0.5, 0.26),
            (0.52, 0.62),
            (0.2, 0.88),
            (-0.26, 0.88),
            (-0.56, 0.6),
        ],
        closed=False,
    )

"""Arcs as G2 and G3 mean them: from a start to an end around a centre, in machine coordinates (y to the back).

`turn` is −1 for clockwise (G2), 1 for counter-clockwise (G3). Every function takes arrays: points float64 (n, 2),
turns (n,).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
Turns = NDArray[np.int8]


def sweep_rad(start: Points, end: Points, center: Points, turn: Turns) -> NDArray[np.float64]:
    """The angle that each arc turns by, float64 (n,), over 0 and up to 2π; equal ends make a full circle."""
    first, last = start - center, end - center
    angle = np.arctan2(last[:, 1], last[:, 0]) - np.arctan2(first[:, 1], first[:, 0])
    swept: NDArray[np.float64] = np.mod(angle * turn, 2 * np.pi)
    swept[swept <= 0] = 2 * np.pi
    return swept


def arc_length(start: Points, end: Points, center: Points, turn: Turns) -> NDArray[np.float64]:
    """Length of each arc in the unit of the points, float64 (n,)."""
    radius = np.hypot(*(start - center).T)
    length: NDArray[np.float64] = radius * sweep_rad(start, end, center, turn)
    return length


def arc_box(start: Points, end: Points, center: Points, turn: Turns) -> tuple[Points, Points]:
    """The lower and the upper corner (n, 2) of the smallest box around each arc."""
    low, high = np.minimum(start, end), np.maximum(start, end)
    radius = np.hypot(*(start - center).T)
    swept = sweep_rad(start, end, center, turn)
    from_angle = np.arctan2(*(start - center).T[::-1])
    for quarter, (x, y) in enumerate(((1, 0), (0, 1), (-1, 0), (0, -1))):
        reached = np.mod((quarter * np.pi / 2 - from_angle) * turn, 2 * np.pi) <= swept
        corner = center + radius[:, None] * np.array([x, y])
        low = np.where(reached[:, None], np.minimum(low, corner), low)
        high = np.where(reached[:, None], np.maximum(high, corner), high)
    return low, high


def arc_points(start: Points, end: Points, center: Points, turn: int, tolerance: float) -> Points:
    """Points along one arc, both ends included, (k, 2); its chords lie within `tolerance` of it. Takes points (2,)."""
    ends = start[None], end[None], center[None], np.array([turn], dtype=np.int8)
    swept = float(sweep_rad(*ends)[0])
    offset = start - center
    radius = float(np.hypot(*offset))
    step = 2 * np.arccos(max(1 - tolerance / radius, 0.0)) if radius > tolerance else np.pi
    count = max(1, int(np.ceil(swept / step)))
    angle = np.arctan2(offset[1], offset[0]) + turn * swept * np.arange(1, count) / count
    inner = center + radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return np.concatenate([start[None], inner, end[None]])

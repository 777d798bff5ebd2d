"""Arcs in place of many short lines, where a circle follows the points within a tolerance.

Greedy: from each point the longest stretch that one arc fits. An arc starts and ends on points of the line; its circle
is the one through both that follows the points between best (least squares), with its centre rounded to a micrometre as
the file has it. Every candidate's error is computed, not sampled: along a chord the distance from the circle is largest
at its ends or at the foot of the centre's perpendicular.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kerf_optimizer.domain.compiled import compiled

Points = NDArray[np.float64]
MIN_CHORDS = 3
"""Fewer are left as they are: an arc's line of G-code is longer."""
MAX_RADIUS_MM = 2000.0
MIN_RADIUS_MM = 0.05
MAX_SWEEP_RAD = math.radians(350)
"""An arc that nearly closes would turn into nothing, or a full circle, by rounding."""
MAX_STEP_RAD = math.radians(100)
"""A chord that turns further is meant as a straight line."""
MAX_RADIUS_MISMATCH_MM = 0.004
"""GRBL refuses an arc whose start and end lie at distances that differ by 0.005 mm and more."""
_UM = 1000.0


@dataclass(frozen=True, eq=False)
class FittedRun:
    """Moves along a run, arrays (n,): `end` is the index of the point where a move ends, int64.

    `turn` int8: 0 straight, −1 clockwise, 1 counter-clockwise (y to the back); `center_mm` float64 (n, 2), the centre
    where it turns.
    """

    end: NDArray[np.int64]
    turn: NDArray[np.int8]
    center_mm: Points

    def __len__(self) -> int:
        return len(self.end)


def fit_arcs(points_mm: Points, tolerance_mm: float) -> FittedRun:
    """Moves through a run of points (n, 2), n ≥ 2; they and the line are nowhere farther apart than the tolerance.

    With a tolerance of 0 every move is straight.
    """
    count = len(points_mm)
    if tolerance_mm <= 0 or count <= MIN_CHORDS:
        straight = np.zeros(count - 1)
        return FittedRun(np.arange(1, count), straight.astype(np.int8), np.zeros((count - 1, 2)))
    end, turn, center = _fit(np.ascontiguousarray(points_mm, dtype=np.float64), float(tolerance_mm))
    return FittedRun(end, turn.astype(np.int8), center)


@compiled()
def _circle(p: Points, i: int, j: int) -> tuple[float, float]:
    """The centre of the circle through points i and j that follows those between best, rounded; NaN = none."""
    half_x, half_y = 0.5 * (p[j, 0] - p[i, 0]), 0.5 * (p[j, 1] - p[i, 1])
    half = math.sqrt(half_x * half_x + half_y * half_y)
    if half < 1e-6:
        return math.nan, math.nan
    ux, uy = half_x / half, half_y / half
    mx, my = p[i, 0] + half_x, p[i, 1] + half_y
    above = below = 0.0
    for k in range(i + 1, j):
        along = (p[k, 0] - mx) * ux + (p[k, 1] - my) * uy
        across = (p[k, 1] - my) * ux - (p[k, 0] - mx) * uy
        # On the circle with its centre at height t over the chord: along² + across² − 2·t·across = half².
        above += across * (along * along + across * across - half * half)
        below += 2.0 * across * across
    if below <= 0.0:
        return math.nan, math.nan
    height = above / below
    x, y = mx - height * uy, my + height * ux
    return p[i, 0] + round((x - p[i, 0]) * _UM) / _UM, p[i, 1] + round((y - p[i, 1]) * _UM) / _UM


@compiled()
def _turn(p: Points, i: int, j: int, x: float, y: float, tolerance_mm: float) -> int:
    """Which way an arc around (x, y) runs from point i to point j; 0 = it strays further than the tolerance."""
    ax, ay = p[i, 0] - x, p[i, 1] - y
    radius = math.sqrt(ax * ax + ay * ay)
    if not MIN_RADIUS_MM <= radius <= MAX_RADIUS_MM:
        return 0
    swept, way = 0.0, 0
    for k in range(i + 1, j + 1):
        bx, by = p[k, 0] - x, p[k, 1] - y
        away = math.sqrt(bx * bx + by * by)
        if abs(away - radius) > (tolerance_mm if k < j else min(tolerance_mm, MAX_RADIUS_MISMATCH_MM)):
            return 0
        angle = math.atan2(ax * by - ay * bx, ax * bx + ay * by)
        sign = 1 if angle > 0.0 else -1
        if angle == 0.0 or abs(angle) > MAX_STEP_RAD or way not in (0, sign):
            return 0
        way = sign
        swept += abs(angle)
        dx, dy = bx - ax, by - ay
        share = -(ax * dx + ay * dy) / (dx * dx + dy * dy)
        if 0.0 < share < 1.0 and radius - abs(ax * by - ay * bx) / math.sqrt(dx * dx + dy * dy) > tolerance_mm:
            return 0
        ax, ay = bx, by
    return way if swept <= MAX_SWEEP_RAD else 0


@compiled()
def _fit(p: Points, tolerance_mm: float) -> tuple[NDArray[np.int64], NDArray[np.int64], Points]:
    """Ends, turns and centres of the moves."""
    count = len(p)
    end, turn = np.empty(count - 1, np.int64), np.zeros(count - 1, np.int64)
    center = np.zeros((count - 1, 2))
    moves = i = 0
    while i < count - 1:
        best_j, best_way, best_x, best_y = i + 1, 0, 0.0, 0.0
        # Twice as far while it fits, then halves between what fits and what does not.
        step, fits, fails = MIN_CHORDS, i, count
        j = i + step
        while j < count and j < fails:
            x, y = _circle(p, i, j)
            way = 0 if math.isnan(x) else _turn(p, i, j, x, y, tolerance_mm)
            if way != 0:
                best_j, best_way, best_x, best_y = j, way, x, y
                fits, step = j, step * 2
                j = i + step if i + step < fails else (fits + fails) // 2
            else:
                fails = j
                j = (fits + fails) // 2 if fits > i else fails
            if j <= fits:
                break
        end[moves], turn[moves] = best_j, best_way
        center[moves, 0], center[moves, 1] = best_x, best_y
        moves, i = moves + 1, best_j
    return end[:moves], turn[:moves], center[:moves]

"""Fewer moves for the same marks: points in the middle of straight lines go, and so do edges that burn twice."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kerf_optimizer.domain.compiled import compiled
from kerf_optimizer.domain.geometry import Path

Points = NDArray[np.float64]
STRAIGHT_MM = 0.0005
"""Half of what machine files resolve."""
_UM_PER_MM = 1000


def without_middles(path: Path, tolerance_mm: float = STRAIGHT_MM) -> Path:
    """The path without points that lie on the straight line between their neighbours, within the tolerance.

    Ends stay, and so does the first point of a closed path; a line that turns back on itself keeps the place where it
    does. A path of one point many times over stays as it is.
    """
    points = path.points_mm
    ring = np.concatenate([points, points[:1]]) if path.closed else points
    kept = points[_corners(np.ascontiguousarray(ring), tolerance_mm)[: len(points)]]
    return path if len(kept) < 2 or len(kept) == len(points) else Path(kept, path.closed, path.layer)


@compiled()
def _corners(p: Points, tolerance_mm: float) -> NDArray[np.bool_]:
    """Which points stay: from each that stays, all directions that pass its followers closely enough form a cone.

    The next point that stays is the last whose direction lies in it (Williams 1978).
    """
    count = len(p)
    stays = np.zeros(count, np.bool_)
    stays[0] = stays[count - 1] = True
    anchor, k = 0, 1
    low, high, middle, reach = -math.pi, math.pi, 0.0, 0.0
    fresh = True
    while k < count:
        dx, dy = p[k, 0] - p[anchor, 0], p[k, 1] - p[anchor, 1]
        away = math.sqrt(dx * dx + dy * dy)
        if fresh and away <= tolerance_mm:
            k += 1
            continue
        if fresh:
            middle = math.atan2(dy, dx)
        angle = math.atan2(dy, dx) - middle if away > 0.0 else math.pi
        angle -= 2.0 * math.pi * round(angle / (2.0 * math.pi))
        if not fresh and not (low <= angle <= high and away >= reach):
            anchor, fresh = k - 1, True
            stays[anchor] = True
            low, high, reach = -math.pi, math.pi, 0.0
            continue
        wide = math.asin(min(tolerance_mm / away, 1.0))
        low, high, reach = max(low, angle - wide), min(high, angle + wide), away
        fresh = False
        k += 1
    return stays


def without_repeats(paths: Sequence[Path]) -> tuple[Path, ...]:
    """Paths that burn each edge once: an edge that an earlier path has, or the same one, is left out.

    Edges count as equal if both ends are, to a micrometre, whatever the direction. A path that loses edges becomes open
    pieces, which fill nothing and set nothing free.
    """
    if not paths:
        return ()
    rings = [np.concatenate([p.points_mm, p.points_mm[:1]]) if p.closed else p.points_mm for p in paths]
    fresh = _first_times(rings)
    kept: list[Path] = []
    begin = 0
    for path, ring in zip(paths, rings, strict=True):
        new = fresh[begin : begin + len(ring) - 1]
        begin += len(ring) - 1
        kept.extend(pieces_of(path, ring, new))
    return tuple(kept)


def _first_times(rings: Sequence[Points]) -> NDArray[np.bool_]:
    """For all edges of all rings in a row, whether they have a length and were not there before."""
    um = [np.rint(ring * _UM_PER_MM).astype(np.int64) for ring in rings]
    ends = np.concatenate([np.concatenate([u[:-1], u[1:]], axis=1) for u in um])
    swap = (ends[:, 0] > ends[:, 2]) | ((ends[:, 0] == ends[:, 2]) & (ends[:, 1] > ends[:, 3]))
    ends[swap] = ends[swap][:, [2, 3, 0, 1]]
    _, first = np.unique(ends, axis=0, return_index=True)
    fresh = np.zeros(len(ends), dtype=np.bool_)
    fresh[first] = True
    fresh[first] &= (ends[first, :2] != ends[first, 2:]).any(axis=1)
    return fresh


def pieces_of(path: Path, ring: Points, new: NDArray[np.bool_]) -> list[Path]:
    """What is left of a path, along `ring`, of whose edges only some are `new`: itself, open pieces, or nothing."""
    if new.all():
        return [Path(ring[:-1] if path.closed else ring, path.closed, path.layer)]
    if not new.any():
        return []
    if path.closed:  # begin behind a lost edge, so that no piece is cut at the ring's seam
        turn = int(np.argmin(new)) + 1
        ring = np.concatenate([np.roll(ring[:-1], -turn, axis=0), ring[turn % (len(ring) - 1)][None]])
        new = np.roll(new, -turn)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], new, [False]]).astype(np.int8)))
    return [Path(ring[a : b + 1], False, path.layer) for a, b in edges.reshape(-1, 2).tolist()]

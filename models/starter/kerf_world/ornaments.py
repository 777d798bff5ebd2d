"""Drawings of ornamental figures, each from a seeded generator."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from . import geometry as g
from .drawing import Drawing, Part, bars, body, groove, hole

Random = np.random.Generator


def rosette(rng: Random) -> Drawing:
    """Draw a round ornament of two rings of petals."""
    count = int(rng.choice([8, 10, 12]))
    step = 360.0 / count
    outer = [g.petal(0.94, rng.uniform(0.34, 0.42) * 8 / count, turn_deg=step * i, start=0.36) for i in range(count)]
    inner = [g.petal(0.62, 0.32 * 8 / count, turn_deg=step * (i + 0.5), start=0.2) for i in range(count)]
    parts: list[Part] = [body(petal, tone=0.35) for petal in outer]
    if rng.random() < 0.6:
        parts += [
            hole(g.arc(0.0, 0.0, 0.7, step * i, step * i, count=1) + 0.05 * g.star(4, 1.0, 1.0)) for i in range(count)
        ]
    for petal in inner:
        parts += [groove(0.05, g.joined(petal, petal[:1])), body(petal, tone=0.7)]
    return [*parts, hole(g.ellipse(0.0, 0.0, 0.24)), body(g.ellipse(0.0, 0.0, 0.16), tone=0.5)]


def knot(rng: Random) -> Drawing:
    """Draw a Celtic knot of three or four lobes, whose bands weave over and under; sometimes before a ring."""
    wide = rng.uniform(0.15, 0.19)
    gap = 0.055
    turns = np.linspace(0.0, 2.0 * np.pi, 160, endpoint=False)
    # Three lobes are the trefoil, one band that crosses itself; four are two long loops across one another.
    if rng.random() < 0.5:
        x = (np.sin(turns) + 2.0 * np.sin(2.0 * turns)) / 3.0
        y = (np.cos(turns) - 2.0 * np.cos(2.0 * turns)) / 3.0
        bands = [np.stack([x, y], axis=1) * 0.86]
        height = -np.sin(3.0 * turns)
    else:
        loop = np.stack([0.9 * np.cos(turns), rng.uniform(0.38, 0.48) * np.sin(turns)], axis=1)
        bands = [g.rotated(loop, turn) for turn in (45.0, 135.0)]
        height = np.sin(2.0 * turns)
    above = np.concatenate([band[height > 0.3] for band in bands])
    pieces = [run for band in bands for run in _runs(band, (height > -0.3) | (_distance(band, above) > wide + gap))]
    parts: list[Part] = [bars(wide, *pieces, tone=0.35)]
    if rng.random() < 0.5:
        ring = g.ellipse(0.0, 0.0, 0.52, count=120)
        clear = _distance(ring, np.concatenate(bands)) > wide / 2 + gap + 0.05
        parts.insert(0, bars(0.1, *_runs(ring, clear), tone=0.7))
    return parts


def _distance(points: g.Points, others: g.Points) -> NDArray[np.float64]:
    """How far each point is from the nearest of the others."""
    return np.asarray(np.hypot(*(points[:, None] - others[None]).transpose(2, 0, 1)).min(axis=1))


def _runs(band: g.Points, chosen: NDArray[np.bool_]) -> list[g.Points]:
    """The stretches of a closed band that were chosen, each as an open run."""
    if chosen.all():
        return [g.joined(band, band[:1])]
    first = int(np.flatnonzero(~chosen)[0])
    points, kept = np.roll(band, -first, axis=0), np.roll(chosen, -first)
    edges = np.flatnonzero(np.diff(kept.astype(np.int8), prepend=0, append=0))
    return [points[start:end] for start, end in zip(edges[0::2], edges[1::2], strict=True) if end - start > 2]


def snowflake(rng: Random) -> Drawing:
    """Draw a snowflake: six branched arms."""
    wide = rng.uniform(0.07, 0.1)
    places = [(0.36, rng.uniform(0.16, 0.24)), (0.62, rng.uniform(0.2, 0.3))]
    if rng.random() < 0.4:
        places.append((0.8, 0.12))
    arm = [g.polygon((0.0, 0.0), (0.0, -0.92))]
    for along, reach in places:
        for s in (-1.0, 1.0):
            arm.append(g.polygon((0.0, -along), (s * reach * 0.87, -along - reach * 0.6)))
    lines = [g.rotated(line, 60.0 * i) for i in range(6) for line in arm]
    parts: list[Part] = [bars(wide, *lines, tone=0.6)]
    if rng.random() < 0.5:
        core = g.star(3, 0.24, 0.24)
        parts.append(bars(wide, core, tone=0.6, closed=True))
    return parts


def compass(rng: Random) -> Drawing:
    """Draw a compass rose: four long and four short points, half dark and half light, mostly on a ring."""
    waist = rng.uniform(0.15, 0.2)
    short = rng.uniform(0.5, 0.6)
    parts: list[Part] = []
    if rng.random() < 0.75:
        ring = rng.uniform(0.5, 0.62)
        parts += [
            bars(0.06, g.ellipse(0.0, 0.0, ring, count=60), tone=0.9, closed=True),
            hole(g.ellipse(0.0, 0.0, ring - 0.03, count=60)),
        ]
    for turn, reach in ((45.0, short), (0.0, 0.95)):
        for i in range(4):
            angle = turn + 90.0 * i
            dark = g.polygon((0.0, 0.0), (0.0, -reach), (waist, -waist))
            light = g.polygon((0.0, 0.0), (-waist, -waist), (0.0, -reach))
            # The light half is an outline only, which a silhouette and a stencil show too.
            parts.append(hole(g.rotated(light, angle)))
            parts.append(bars(0.035, g.rotated(light, angle), tone=0.9))
            parts.append(body(g.rotated(dark, angle), tone=0.85))
    return parts

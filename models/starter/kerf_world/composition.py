"""Lays a scene out on the page: where each drawing stands, its border, and the ornament around it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import geometry as g
from .dialect import Dialect
from .drawing import Drawing
from .kinds import Subject, drawing_of, manner_of
from .ornament import INNER_RADIUS, ornament
from .placement import Cell, place, random_pose
from .scenes import Arrangement, Border, Scene, Style

_EDGE = 0.87
"""How far from the middle drawings may reach: outlines, scallops and gaps still fit on the page."""
_BORDER_RADIUS = 0.9
_HANDS = 1


@dataclass(frozen=True, slots=True)
class BorderLine:
    """A closed line around everything; `width` is in units of the frame."""

    points: g.Points
    width: float
    round: bool


@dataclass(frozen=True, slots=True)
class Layout:
    """All geometry of a picture, in the unit frame; the same for every style but MANDALA's ornament."""

    drawings: tuple[Drawing, ...]
    shown: tuple[Subject, ...]
    """The subject of each drawing."""
    border: tuple[BorderLine, ...]
    ornament: Drawing


def compose(scene: Scene, dialect: Dialect) -> Layout:
    """Lay a scene out; equal scenes and dialects give equal layouts, whatever is drawn from them later."""
    rng = np.random.default_rng([scene.seed, _HANDS])
    centred = scene.style is Style.MANDALA and not scene.faceted
    cells = _cells(scene, rng, INNER_RADIUS * (1.0 if scene.border is Border.NONE else 0.88) if centred else None)
    shown = scene.subjects if scene.arrangement.is_pair else scene.subjects * len(cells)
    poses: dict[Subject, np.random.SeedSequence] = {}
    drawings = []
    for cell, subject in zip(cells, shown, strict=True):
        # What is repeated is repeated exactly: each copy starts from the same seed.
        seeds = poses.setdefault(subject, np.random.SeedSequence(int(rng.integers(2**63))))
        hand = np.random.default_rng(seeds)
        drawing = drawing_of(subject, hand)
        drawings.append(place(drawing, random_pose(hand, dialect, manner_of(subject)), cell, dialect, hand))
    border = _border(scene.border, rng)
    ring = ornament(rng, 0.8 if border else _EDGE + 0.04) if centred else ()
    return Layout(tuple(drawings), shown, border, ring)


def _cells(scene: Scene, rng: np.random.Generator, inner: float | None) -> list[Cell]:
    if inner is not None:
        return [Cell(0.0, 0.0, inner, inner, round=True)]
    rounded = scene.border in {Border.RING, Border.SCALLOPED}
    if scene.arrangement is Arrangement.ALONE:
        if rounded:
            return [Cell(0.0, 0.0, 0.74, 0.74, round=True)]
        half = 0.7 if scene.border is Border.SQUARE else _EDGE
        return [Cell(0.0, 0.0, half, half)]
    half = {Border.NONE: _EDGE, Border.SQUARE: 0.74, Border.RING: 0.62, Border.SCALLOPED: 0.62}[scene.border]
    if scene.arrangement is Arrangement.GRID:
        step = (0.54 if rounded else half) / 2
        return [Cell(x, y, step * 0.88, step * 0.9) for y in (-step, step) for x in (-step, step)]
    if scene.arrangement is Arrangement.CIRCLE:
        return _around(scene.count, (0.74 if rounded else half) / 0.87, rng)
    return _in_line(scene, half, rounded)


def _in_line(scene: Scene, half: float, rounded: bool) -> list[Cell]:
    """Cells from left to right, or one above the other."""
    # What fits into a ring: three in a row lie further out, and are lower.
    half, across = (0.68, 0.3) if rounded and scene.count == 3 else (half, 0.44 if rounded else half)
    step = half / scene.count
    if scene.arrangement is Arrangement.ABOVE:
        return [Cell(0.0, half * sign / 2, across, step * 0.88) for sign in (-1.0, 1.0)]
    return [Cell(-half + step * (2 * i + 1), 0.0, step * 0.88, across) for i in range(scene.count)]


def _around(count: int, size: float, rng: np.random.Generator) -> list[Cell]:
    radius = {5: 0.56, 6: 0.58}[count] * size
    half = {5: 0.29, 6: 0.275}[count] * size
    first = float(rng.choice([-90.0, -90.0 + 180.0 / count]))
    angles = np.radians(first + 360.0 / count * np.arange(count))
    return [Cell(radius * float(np.cos(a)), radius * float(np.sin(a)), half, half, round=True) for a in angles]


def _border(border: Border, rng: np.random.Generator) -> tuple[BorderLine, ...]:
    width = float(rng.uniform(0.035, 0.06))
    double = rng.random() < 0.35
    gap = width / 2 + 0.075
    count = int(rng.integers(12, 19))
    corner = float(rng.uniform(0.0, 0.2))
    if border is Border.NONE:
        return ()
    radii = [_BORDER_RADIUS, _BORDER_RADIUS - gap] if double else [_BORDER_RADIUS]
    if border is Border.SQUARE:
        return tuple(BorderLine(_rounded_square(r, corner), width if r == radii[0] else 0.03, False) for r in radii)
    lines = [BorderLine(g.ellipse(0.0, 0.0, r, count=96), width if r == radii[0] else 0.03, True) for r in radii]
    if border is Border.SCALLOPED:
        t = np.linspace(0.0, 2.0 * np.pi, count * 10, endpoint=False)
        wave = 0.83 + 0.09 * np.abs(np.sin(count * t / 2.0))
        lines[0] = BorderLine(np.stack([wave * np.cos(t), wave * np.sin(t)], axis=1), width, True)
        lines = lines[:1]
    return tuple(lines)


def _rounded_square(half: float, corner: float) -> g.Points:
    if corner < 0.06:
        return g.rectangle(-half, -half, half, half)
    inner = half - corner
    quarters = [(inner, -inner, -90.0), (inner, inner, 0.0), (-inner, inner, 90.0), (-inner, -inner, 180.0)]
    return g.joined(*(g.arc(x, y, corner, first, first + 90.0, count=8) for x, y, first in quarters))

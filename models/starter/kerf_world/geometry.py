"""Small vector geometry for the drawings: outlines as (N, 2) float64 arrays, x to the right, y down.

Drawings live in a unit frame: the picture spans -1 to 1 on both axes, whatever its size in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]


def polygon(*corners: tuple[float, float]) -> Points:
    """Return the corners as an (N, 2) outline."""
    return np.array(corners, dtype=np.float64)


def ellipse(cx: float, cy: float, rx: float, ry: float | None = None, turn_deg: float = 0.0, count: int = 48) -> Points:
    """Return a closed ellipse of `count` points; `ry` defaults to `rx` (a circle)."""
    return arc(cx, cy, rx, 0.0, 360.0 * (count - 1) / count, ry=ry, turn_deg=turn_deg, count=count)


def arc(
    cx: float,
    cy: float,
    rx: float,
    start_deg: float,
    end_deg: float,
    *,
    ry: float | None = None,
    turn_deg: float = 0.0,
    count: int = 32,
) -> Points:
    """Return points along an elliptic arc from `start_deg` to `end_deg` (clockwise on screen, since y is down)."""
    angle = np.radians(np.linspace(start_deg, end_deg, count))
    flat = np.stack([rx * np.cos(angle), (rx if ry is None else ry) * np.sin(angle)], axis=1)
    return shifted(rotated(flat, turn_deg), cx, cy)


def rectangle(left: float, top: float, right: float, bottom: float) -> Points:
    """Return the four corners of an upright rectangle."""
    return polygon((left, top), (right, top), (right, bottom), (left, bottom))


def rotated(points: Points, turn_deg: float, about: tuple[float, float] = (0.0, 0.0)) -> Points:
    """Turn points clockwise (on screen) around a centre."""
    angle = np.radians(turn_deg)
    matrix = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    centre = np.array(about)
    return np.asarray((points - centre) @ matrix + centre)


def mirrored(points: Points) -> Points:
    """Mirror left and right."""
    return np.asarray(points * np.array([-1.0, 1.0]))


def shifted(points: Points, dx: float, dy: float) -> Points:
    """Move points."""
    return np.asarray(points + np.array([dx, dy]))


def joined(*pieces: Points) -> Points:
    """Chain several point runs into one outline."""
    return np.concatenate(pieces, axis=0)


def symmetric(right_half: Points) -> Points:
    """Close the right half of a left-right symmetric outline, given from top to bottom."""
    return joined(right_half, mirrored(right_half)[::-1])


def smooth(corners: Sequence[tuple[float, float]] | Points, *, closed: bool = True, per_span: int = 8) -> Points:
    """Pass a centripetal-free Catmull-Rom spline (Catmull and Rom, 1974) through the corners."""
    knots = np.asarray(corners, dtype=np.float64)
    if closed:
        ring = np.concatenate([knots[-1:], knots, knots[:2]])
    else:
        ring = np.concatenate([knots[:1], knots, knots[-1:]])
    t = np.linspace(0.0, 1.0, per_span, endpoint=False)[:, None]
    spans = []
    for p0, p1, p2, p3 in zip(ring[:-3], ring[1:-2], ring[2:-1], ring[3:], strict=True):
        cubic = 3 * p1 - p0 - 3 * p2 + p3
        square = 2 * p0 - 5 * p1 + 4 * p2 - p3
        spans.append(0.5 * (2 * p1 + (p2 - p0) * t + square * t**2 + cubic * t**3))
    if not closed:
        spans.append(knots[-1:])
    return np.concatenate(spans)


def star(points: int, outer: float, inner: float, *, turn_deg: float = -90.0) -> Points:
    """Return a star around the origin with `points` tips, the first at `turn_deg`."""
    angle = np.radians(turn_deg + np.arange(2 * points) * 180.0 / points)
    radius = np.where(np.arange(2 * points) % 2 == 0, outer, inner)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def petal(length: float, width: float, *, turn_deg: float = 0.0, start: float = 0.0) -> Points:
    """Return a pointed leaf from `start` to `length` along the direction `turn_deg` (0 = right, 90 = down)."""
    t = np.linspace(0.0, 1.0, 20)
    along = start + (length - start) * t
    bulge = width / 2 * np.sin(np.pi * t) ** 0.8
    outline = joined(np.stack([along, bulge], axis=1), np.stack([along, -bulge], axis=1)[::-1])
    return rotated(outline, turn_deg)

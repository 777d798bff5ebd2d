"""Rotationally symmetric ornaments that surround a drawing: bands of petals, loops, beads, rays and arches."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from . import geometry as g
from .drawing import Drawing, Part, bars, body, hole

INNER_RADIUS = 0.68
"""The room in the middle of an ornament without a border."""

Random = np.random.Generator
Band = Callable[[int, float, float, Random], list[Part]]


def ornament(rng: Random, radius: float) -> Drawing:
    """Fill the ring from INNER_RADIUS (in proportion) to `radius` with bands of one symmetry."""
    inner = INNER_RADIUS * radius / 0.91 + 0.05
    count = int(rng.choice([8, 10, 12, 16]))
    parts: list[Part] = []
    first = _BANDS[int(rng.integers(len(_BANDS)))]
    if rng.random() < 0.35 or first is _petals:
        return [
            *first(count * (2 if count <= 10 and first is _petals else 1), inner, radius, rng),
            *_circle(inner - 0.02),
        ]
    middle = inner + (radius - inner) * float(rng.uniform(0.45, 0.6))
    second = _BANDS[int(rng.integers(len(_BANDS)))]
    parts += second(count, middle, radius, rng)
    parts += first(count * (2 if count <= 10 else 1), inner, middle, rng)
    if rng.random() < 0.7:
        parts += _circle(inner - 0.02)
    return parts


def _circle(radius: float) -> list[Part]:
    return [bars(0.02, g.ellipse(0.0, 0.0, radius, count=72), tone=0.95, closed=True)]


def _turned(points: g.Points, count: int, shift: float = 0.0) -> list[g.Points]:
    return [g.rotated(points, 360.0 / count * (i + shift)) for i in range(count)]


def _petals(count: int, inner: float, outer: float, rng: Random) -> list[Part]:
    """Pointed leaves that stand on the inner circle, with an eye each."""
    wide = min(2.0 * np.pi * (inner + outer) / 2 / count * 0.95, (outer - inner) * 0.75)
    leaf = g.petal(outer, wide, start=inner)
    tones = ((0.8, 0.8), (0.15, 0.15), (0.15, 0.8))[int(rng.integers(3))]
    parts = [body(turned, tone=tones[i % 2]) for i, turned in enumerate(_turned(leaf, count))]
    if wide > 0.22 and rng.random() < 0.7:
        eye = g.petal(outer - (outer - inner) * 0.3, wide * 0.4, start=inner + (outer - inner) * 0.3)
        parts += [hole(turned) for turned in _turned(eye, count)]
    return parts


def _arches(count: int, inner: float, outer: float, rng: Random) -> list[Part]:
    """Round arches side by side, mostly with a bead in each."""
    half = np.pi / count
    t = np.linspace(-1.0, 1.0, 16)
    radius = inner + 0.02 + (outer - inner - 0.04) * np.sqrt(np.maximum(1.0 - t**2, 0.0))
    arch = np.stack([radius * np.cos(t * half), radius * np.sin(t * half)], axis=1)
    parts = [bars(0.02, *_turned(arch, count), tone=0.9)]
    if rng.random() < 0.7:
        bead = g.ellipse(inner + (outer - inner) * 0.4, 0.0, min((outer - inner) * 0.24, inner * half * 0.45), count=14)
        parts.append(body(*_turned(bead, count), tone=0.95))
    return parts


def _beads(count: int, inner: float, outer: float, rng: Random) -> list[Part]:
    """Discs on a circle."""
    middle = (inner + outer) / 2
    size = min((outer - inner) * 0.36, np.pi * middle / count * 0.62)
    bead = g.ellipse(middle, 0.0, float(size), count=20)
    parts = [body(turned, tone=0.8) for turned in _turned(bead, count, shift=0.5)]
    if size > 0.08 and rng.random() < 0.6:
        parts += [
            hole(turned) for turned in _turned(g.ellipse(middle, 0.0, float(size) * 0.45, count=14), count, shift=0.5)
        ]
    return parts


def _rays(count: int, inner: float, outer: float, rng: Random) -> list[Part]:
    """Triangles that point outwards."""
    half = np.pi / count * float(rng.uniform(0.6, 0.95))
    low = inner + 0.02
    ray = g.polygon((low * np.cos(half), -low * np.sin(half)), (outer, 0.0), (low * np.cos(half), low * np.sin(half)))
    return [body(turned, tone=0.9) for turned in _turned(ray, count)]


def _loops(count: int, inner: float, outer: float, rng: Random) -> list[Part]:
    """A wave of one line that runs around."""
    t = np.linspace(0.0, 2.0 * np.pi, count * 12, endpoint=False)
    middle, swing = (inner + outer) / 2, (outer - inner) / 2 * 0.72
    phase = float(rng.choice([0.0, np.pi]))
    radius = middle + swing * np.cos(count * t + phase)
    wave = np.stack([radius * np.cos(t), radius * np.sin(t)], axis=1)
    other = g.rotated(wave, 180.0 / count)
    lines = [wave, other] if rng.random() < 0.6 else [wave]
    return [bars(0.02, *lines, tone=0.9, closed=True)]


_BANDS: tuple[Band, ...] = (_petals, _arches, _beads, _rays, _loops)

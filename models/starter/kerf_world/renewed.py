"""Kinds of the first world drawn anew, where its drawings had too little variety or were hard to recognise."""

from __future__ import annotations

import numpy as np

from . import geometry as g
from .drawing import Drawing, Part, bars, body, groove, hole, pen

Random = np.random.Generator


def feather(rng: Random) -> Drawing:
    """Draw a curved feather with a bare quill and a few splits in its vane."""
    bow = rng.uniform(0.12, 0.3)
    wide = rng.uniform(0.19, 0.26)
    t = np.linspace(0.0, 1.0, 90)
    spine = np.stack([bow * np.sin(np.pi * t) - 0.1, 0.95 - 1.9 * t], axis=1)
    vane = t[18:]
    share = (vane - vane[0]) / (1.0 - vane[0])
    profile = wide * np.sin(np.pi * share**0.8) ** 0.55 * (1.0 - 0.25 * share)
    edges = []
    for side in (-1.0, 1.0):
        splits = np.ones_like(share)
        for at in rng.uniform(0.15, 0.75, int(rng.integers(1, 4))):
            behind = share - at
            splits = np.where((behind >= 0.0) & (behind < 0.09), 0.25 + 0.75 * behind / 0.09, splits)
        edges.append(spine[18:] + np.stack([side * profile * splits, -0.3 * profile * splits], axis=1))
    barbs = []
    for at in np.linspace(0.2, 0.8, 5):
        i = 18 + int(at * 71)
        for side in (-1.0, 1.0):
            barbs.append(np.stack([spine[i], spine[i] + np.array([side * wide * 0.75, -wide * 0.55])]))
    return [
        body(g.joined(edges[0], edges[1][::-1]), tone=0.3),
        pen(*barbs),
        groove(0.045, spine[14:84]),
        bars(0.06, spine[:20], tone=0.95),
    ]


def flower(rng: Random) -> Drawing:
    """Draw a flower of round petals around a centre, mostly on a stem with leaves."""
    count = int(rng.integers(5, 9))
    stemmed = rng.random() < 0.65
    reach = 0.36 if stemmed else 0.5
    size = min(reach * np.sin(np.pi / count) * rng.uniform(0.9, 1.05), 0.24)
    long = rng.uniform(0.52, 0.56)
    height = -0.34 if stemmed else 0.0
    petal = g.ellipse(reach, 0.0, reach * long, size)
    petals = [g.shifted(g.rotated(petal, 360.0 / count * i - 90.0), 0.0, height) for i in range(count)]
    parts: list[Part] = []
    if stemmed:
        lean = rng.uniform(-0.1, 0.1)
        parts.append(bars(0.08, g.smooth([(0.0, -0.3), (lean, 0.3), (0.0, 0.94)], closed=False), tone=0.8))
        turns = [(-32.0, 0.72), (-148.0, 0.66)][: int(rng.integers(1, 3))]
        parts.append(body(*(g.shifted(g.petal(0.56, 0.26, turn_deg=turn), 0.0, y) for turn, y in turns), tone=0.5))
    for petal in petals:
        parts.append(body(petal, tone=0.25))
    core = reach * rng.uniform(0.36, 0.48)
    return [*parts, hole(g.ellipse(0.0, height, core + 0.06)), body(g.ellipse(0.0, height, core), tone=0.75)]


def star(rng: Random) -> Drawing:
    """Draw a star of 5 points, or of 4, 6 or 8; plain, or with a smaller star in it."""
    points = int(rng.choice([5, 5, 5, 4, 6, 8]))
    depth = {4: 0.3, 5: 0.42, 6: 0.56, 8: 0.62}[points] * rng.uniform(0.88, 1.12)
    outline = g.star(points, 0.88, 0.88 * depth)
    parts: list[Part] = [body(outline, tone=0.4)]
    roll = rng.random()
    if roll < 0.2:
        parts.append(hole(outline * 0.55))
    elif roll < 0.35:
        parts += [hole(outline * 0.66), body(outline * 0.42, tone=0.7)]
    return parts


def heart(rng: Random) -> Drawing:
    """Draw a heart: plain, with a line in it, hollow, or with an arrow through it."""
    t = np.linspace(0.0, 2.0 * np.pi, 64, endpoint=False)
    depth = rng.uniform(0.85, 1.12)
    x = 16.0 * np.sin(t) ** 3
    y = -(13.0 * np.cos(t) - 5.0 * np.cos(2 * t) - 2.0 * np.cos(3 * t) - np.cos(4 * t)) * depth
    outline = np.stack([x / 20.0, y / 20.0 - 0.08], axis=1)
    roll = rng.random()
    parts: list[Part] = [body(outline, tone=0.4)]
    if roll < 0.2:
        parts.append(groove(0.06, g.joined(outline, outline[:1]) * 0.72 + np.array([0.0, -0.02])))
    elif roll < 0.35:
        parts.append(hole(outline * 0.6 + np.array([0.0, -0.03])))
    elif roll < 0.5:
        line = g.polygon((-0.98, 0.5), (0.94, -0.52))
        tip = g.rotated(g.polygon((0.2, 0.0), (-0.1, -0.16), (-0.1, 0.16)), -28.0) + line[1]
        tail = [
            g.rotated(g.polygon((0.0, 0.0), (-0.2, s * 0.16)), -28.0) + line[0] + np.array([d, -d * 0.53])
            for s in (-1.0, 1.0)
            for d in (0.0, 0.16)
        ]
        parts = [bars(0.07, line, *tail, tone=0.9), body(tip, tone=0.9), *parts]
    return parts


def sun(rng: Random) -> Drawing:
    """Draw a disc with rays that are pointed, straight or alternate in length; sometimes with a face."""
    count = int(rng.integers(8, 15))
    radius = rng.uniform(0.36, 0.48)
    half_deg = 360.0 / count * rng.uniform(0.22, 0.36)
    straight = rng.random() < 0.35
    uneven = rng.random() < 0.4
    parts: list[Part] = [body(g.ellipse(0.0, 0.0, radius), tone=0.3)]
    gap = rng.uniform(0.09, 0.13)
    for index in range(count):
        turn = 360.0 / count * index - 90.0
        far = 0.92 if index % 2 == 0 or not uneven else 0.76
        if straight:
            ray = np.stack([g.arc(0.0, 0.0, r, turn, turn, count=1)[0] for r in (radius + gap + 0.04, far)])
            parts.append(bars(0.085, ray, tone=0.8))
        else:
            foot = g.arc(0.0, 0.0, radius + gap, turn - half_deg, turn + half_deg, count=5)
            parts.append(body(g.joined(foot, g.arc(0.0, 0.0, far, turn, turn, count=1)), tone=0.6))
    if rng.random() < 0.25:
        parts += [hole(g.ellipse(s * radius * 0.38, -radius * 0.2, 0.055, 0.07)) for s in (-1.0, 1.0)]
        parts.append(groove(0.05, g.arc(0.0, 0.02, radius * 0.55, 25.0, 155.0)))
    return parts


def tree(rng: Random) -> Drawing:
    """Draw a broad tree: a crown of puffs on a trunk with roots, sometimes with fruit."""
    trunk = rng.uniform(0.09, 0.14)
    stem = g.symmetric(
        g.smooth([(trunk * 0.8, -0.1), (trunk * 0.9, 0.4), (trunk * 1.3, 0.72), (trunk * 2.4, 0.9)], closed=False)
    )
    count = int(rng.integers(5, 9))
    wide, high = rng.uniform(0.36, 0.48), rng.uniform(0.26, 0.36)
    first = rng.uniform(0.0, 360.0)
    puffs = [g.ellipse(0.0, -0.3, wide, high)]
    for index in range(count):
        turn = np.radians(first + 360.0 / count * index)
        puffs.append(g.ellipse(wide * np.cos(turn), -0.32 + high * np.sin(turn), rng.uniform(0.23, 0.29)))
    parts: list[Part] = [body(stem, tone=0.65), body(*puffs, tone=0.35)]
    if rng.random() < 0.35:
        parts += [hole(g.ellipse(x, y, 0.08)) for x, y in ((-0.3, -0.36), (0.08, -0.5), (0.3, -0.22), (-0.06, -0.14))]
    return parts


def fish(rng: Random) -> Drawing:
    """Draw a fish from the side: slim or high, with scales, stripes or neither."""
    height = rng.uniform(0.28, 0.5)
    fork = rng.uniform(0.02, 0.16)
    tail = g.polygon((0.4, 0.0), (0.94, -0.42), (0.94 - fork, 0.0), (0.94, 0.42))
    fin = g.smooth([(-0.3, -height * 0.7), (0.02, -height - 0.24), (0.34, -height * 0.55)])
    parts: list[Part] = [body(tail, fin, tone=0.55)]
    if rng.random() < 0.5:
        parts.append(body(g.smooth([(-0.12, height * 0.8), (0.16, height + 0.2), (0.24, height * 0.6)]), tone=0.55))
    parts.append(body(g.petal(0.64, height * 2.0, start=-0.92), tone=0.3))
    gill = g.arc(-0.52, 0.0, 0.2, -65.0, 65.0, ry=height * 0.75)
    roll = rng.random()
    if roll < 0.4:
        rows = ((-0.14, -0.12), (-0.14, 0.12), (0.1, 0.0))
        parts.append(pen(gill, *(g.arc(x, y, 0.12, -70.0, 70.0) for x, y in rows)))
    elif roll < 0.75:
        bands = [g.arc(x - 0.2, 0.0, 0.24, -70.0, 70.0, ry=height * f) for x, f in ((-0.02, 0.8), (0.22, 0.62))]
        parts += [pen(gill), groove(0.08, *bands)]
    else:
        parts.append(pen(gill))
    return [*parts, hole(g.ellipse(-0.64, -0.07, 0.065))]


def wheel(rng: Random) -> Drawing:
    """Draw a spoked wheel with a narrow or broad rim."""
    count = int(rng.integers(6, 13))
    inner = rng.uniform(0.64, 0.76)
    angles = 2.0 * np.pi * (np.arange(count) + rng.uniform(0.0, 1.0)) / count
    spokes = [np.stack([np.zeros(2), (inner + 0.05) * np.array([np.cos(a), np.sin(a)])]) for a in angles]
    hub = rng.uniform(0.15, 0.22)
    return [
        body(g.ellipse(0.0, 0.0, 0.88, count=64), tone=0.5),
        hole(g.ellipse(0.0, 0.0, inner, count=64)),
        bars(rng.uniform(0.06, 0.09), *spokes, tone=0.9),
        body(g.ellipse(0.0, 0.0, hub), tone=0.4),
        hole(g.ellipse(0.0, 0.0, hub * 0.42)),
    ]

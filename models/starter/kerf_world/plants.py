"""Drawings of plants and fruit that the first world lacked, each from a seeded generator."""

from __future__ import annotations

import numpy as np

from . import geometry as g
from .drawing import Drawing, Part, bars, body, groove, hole, pen

Random = np.random.Generator


def tulip(rng: Random) -> Drawing:
    """Draw a tulip with one or two leaves."""
    wide = rng.uniform(0.36, 0.44)
    stem = g.smooth([(0.0, -0.2), (0.03, 0.4), (0.0, 0.94)], closed=False)
    blades = [g.smooth([(0.0, 0.92), (0.2, 0.66), (0.5, 0.06), (0.42, 0.6), (0.16, 0.92)])]
    if rng.random() < 0.7:
        blades.append(g.mirrored(blades[0]) * np.array([0.9, 1.0]))
    cup = g.symmetric(
        g.joined(
            g.polygon((0.0, -0.66), (wide * 0.5, -0.94)),
            g.polygon((wide * 0.72, -0.64)),
            g.smooth([(wide * 1.15, -0.88), (wide, -0.36), (wide * 0.5, -0.12), (0.0, -0.06)], closed=False),
        )
    )
    folds = [
        pen(g.smooth([(s * wide * 0.7, -0.64), (s * wide * 0.5, -0.36), (0.0, -0.12)], closed=False))
        for s in (-1.0, 1.0)
    ]
    return [bars(0.08, stem, tone=0.8), body(*blades, tone=0.5), body(cup, tone=0.35), *folds]


def cactus(rng: Random) -> Drawing:
    """Draw a cactus with arms, often in a pot."""
    left, right = rng.uniform(-0.2, 0.05), rng.uniform(-0.35, -0.1)
    arms = [g.smooth([(0.0, left + 0.3), (-0.44, left + 0.3), (-0.52, left + 0.1), (-0.52, left - 0.2)], closed=False)]
    if rng.random() < 0.85:
        arms.append(
            g.smooth([(0.0, right + 0.34), (0.42, right + 0.32), (0.5, right + 0.1), (0.5, right - 0.2)], closed=False)
        )
    spine = g.polygon((0.0, -0.74), (0.0, 0.7))
    parts: list[Part] = [Part(strokes=(*bars(0.36, spine).strokes, *bars(0.22, *arms).strokes), tone=0.4)]
    parts.append(pen(*(g.polygon((x, -0.62), (x, 0.4)) for x in (-0.07, 0.07))))
    if rng.random() < 0.6:
        pot = g.polygon((-0.36, 0.5), (0.36, 0.5), (0.27, 0.96), (-0.27, 0.96))
        rim = g.rectangle(-0.43, 0.42, 0.43, 0.58)
        parts += [body(pot, tone=0.65), groove(0.04, g.polygon((-0.42, 0.6), (0.42, 0.6))), body(rim, tone=0.5)]
    else:
        parts.append(body(g.smooth([(-0.8, 0.9), (-0.3, 0.74), (0.3, 0.74), (0.8, 0.9)]), tone=0.7))
    return parts


def palm(rng: Random) -> Drawing:
    """Draw a palm tree with a curved trunk and hanging fronds."""
    lean = rng.uniform(-0.25, 0.25)
    top = (lean, -0.42)
    trunk = g.smooth([(0.02, 0.9), (lean * 0.2, 0.3), top], closed=False)
    fronds = []
    for dx, dy, droop in ((0.62, 0.3, 0.16), (0.7, -0.04, 0.12), (0.36, -0.4, 0.06)):
        for side in (-1.0, 1.0):
            tip = (top[0] + side * dx, top[1] + dy)
            high = (top[0] + side * dx * 0.55, top[1] + dy * 0.3 - 0.22 - droop)
            low = (top[0] + side * dx * 0.5, top[1] + dy * 0.45 - 0.04)
            fronds.append(g.smooth([top, high, tip, low]))
    parts: list[Part] = [bars(0.14, trunk, tone=0.7), *(body(frond, tone=0.35) for frond in fronds)]
    if rng.random() < 0.6:
        parts.append(
            body(g.ellipse(top[0] - 0.1, top[1] + 0.12, 0.09), g.ellipse(top[0] + 0.1, top[1] + 0.14, 0.09), tone=0.8)
        )
    parts.append(body(g.smooth([(-0.7, 0.94), (-0.3, 0.82), (0.3, 0.82), (0.7, 0.94)]), tone=0.5))
    return parts


def acorn(rng: Random) -> Drawing:
    """Draw an acorn in its cup."""
    wide = rng.uniform(0.5, 0.6)
    nut = g.symmetric(
        g.smooth([(wide * 0.9, -0.16), (wide * 0.86, 0.3), (wide * 0.5, 0.68), (0.06, 0.82), (0.0, 0.94)], closed=False)
    )
    cup = g.joined(
        g.arc(0.0, -0.16, wide + 0.1, 180.0, 360.0, ry=0.5), g.arc(0.0, -0.16, wide + 0.1, 0.0, 180.0, ry=0.14)
    )
    stem = g.smooth([(0.0, -0.6), (0.03, -0.78), (0.14, -0.94)], closed=False)
    weave = [g.smooth([(x - 0.3, -0.1), (x, -0.34), (x + 0.22, -0.56)], closed=False) for x in (-0.2, 0.12, 0.4)]
    return [
        bars(0.1, stem, tone=0.8),
        body(nut, tone=0.25),
        groove(0.05, g.arc(0.0, -0.14, wide + 0.1, 0.0, 180.0, ry=0.14)),
        body(cup, tone=0.6),
        pen(*(w * np.array([0.8, 0.9]) for w in weave)),
    ]


def apple(rng: Random) -> Drawing:
    """Draw an apple with a stem, mostly with a leaf, sometimes bitten."""
    right = g.smooth(
        [(0.0, -0.42), (0.3, -0.56), (0.66, -0.4), (0.74, 0.06), (0.54, 0.6), (0.24, 0.84), (0.0, 0.76)], closed=False
    )
    stem = g.smooth([(0.0, -0.44), (0.02, -0.66), (0.1, -0.84)], closed=False)
    wide = rng.uniform(0.9, 1.1)
    parts: list[Part] = [bars(0.08, stem, tone=0.9), body(g.symmetric(right * np.array([wide, 1.0])), tone=0.35)]
    if rng.random() < 0.8:
        parts.append(body(g.shifted(g.petal(0.52, 0.26, turn_deg=-32.0), 0.06, -0.58), tone=0.6))
    if rng.random() < 0.3:
        parts.append(hole(g.ellipse(0.8, 0.06, 0.26)))
    else:
        parts.append(groove(0.06, g.arc(0.0, 0.1, 0.52, 150.0, 215.0, ry=0.5)))
    return parts


def cherry(rng: Random) -> Drawing:
    """Draw a pair of cherries hanging from their stems."""
    size = rng.uniform(0.28, 0.34)
    low = rng.uniform(0.4, 0.5)
    top = (0.2, -0.84)
    stems = [
        g.smooth([(x, y), ((x + top[0]) / 2 - 0.06, -0.3), top], closed=False)
        for x, y in ((-0.48, low - 0.2), (0.44, low))
    ]
    fruit = [body(g.ellipse(-0.48, low, size), tone=0.5), body(g.ellipse(0.44, low + 0.14, size), tone=0.5)]
    shine = [groove(0.055, g.arc(x, y, size * 0.6, 190.0, 260.0)) for x, y in ((-0.48, low), (0.44, low + 0.14))]
    leaf = body(g.shifted(g.petal(0.72, 0.3, turn_deg=150.0), *top), tone=0.4)
    return [bars(0.06, *stems, tone=0.9), leaf, *fruit, *shine]


def clover(rng: Random) -> Drawing:
    """Draw a clover of three or four heart-shaped leaves."""
    count = 4 if rng.random() < 0.6 else 3
    stem = g.smooth([(0.0, -0.1), (0.06, 0.5), (0.26, 0.92)], closed=False)
    blade = g.symmetric(g.smooth([(0.0, -0.58), (0.2, -0.72), (0.38, -0.56), (0.3, -0.26), (0.0, 0.0)], closed=False))
    blade = blade * np.array([rng.uniform(0.88, 1.12), rng.uniform(0.92, 1.08)])
    first = 45.0 if count == 4 else 0.0
    leaves = [g.shifted(g.rotated(blade, first + 360.0 / count * i), 0.0, -0.14) for i in range(count)]
    veins = [
        g.shifted(g.rotated(g.polygon((0.0, -0.1), (0.0, -0.4)), first + 360.0 / count * i), 0.0, -0.14)
        for i in range(count)
    ]
    return [bars(0.09, stem, tone=0.8), *(body(leaf, tone=0.35) for leaf in leaves), groove(0.035, *veins)]


def wheat(rng: Random) -> Drawing:
    """Draw an ear of wheat."""
    pairs = int(rng.integers(4, 6))
    wide = rng.uniform(0.2, 0.25)
    stem = g.polygon((0.0, -0.6), (0.0, 0.95))
    grains = [g.petal(0.36, wide, turn_deg=-90.0)]
    grains = [g.shifted(grains[0], 0.0, -0.58)]
    for i in range(pairs):
        y = -0.44 + i * 0.74 / pairs
        for side in (-50.0, -130.0):
            grains.append(g.shifted(g.petal(0.42, wide, turn_deg=side), 0.0, y + 0.1))
    leaf = g.smooth([(0.0, 0.9), (0.2, 0.62), (0.52, 0.5), (0.28, 0.78)])
    parts: list[Part] = [bars(0.06, stem, tone=0.9), *(body(grain, tone=0.4) for grain in grains)]
    if rng.random() < 0.6:
        parts.append(body(leaf, tone=0.5))
    return parts

"""Drawings of tools, each from a seeded generator."""

from __future__ import annotations

import numpy as np

from . import geometry as g
from .drawing import Drawing, Part, bars, body, groove, hole, pen

Random = np.random.Generator


def hammer(rng: Random) -> Drawing:
    """Draw a claw hammer, upright."""
    long = rng.uniform(0.84, 0.98)
    grip = rng.uniform(0.09, 0.12)
    handle = g.symmetric(g.polygon((grip * 0.8, -0.5), (grip * 0.8, 0.3), (grip * 1.3, 0.45), (grip * 1.2, long)))
    head = g.joined(
        g.polygon(
            (-0.14, -0.84), (0.3, -0.84), (0.34, -0.92), (0.58, -0.92), (0.58, -0.46), (0.34, -0.46), (0.3, -0.54)
        ),
        g.polygon((-0.14, -0.54)),
        g.smooth([(-0.14, -0.54), (-0.4, -0.52), (-0.66, -0.3)], closed=False),
        g.smooth([(-0.72, -0.36), (-0.6, -0.66), (-0.4, -0.8), (-0.14, -0.84)], closed=False),
    )
    parts: list[Part] = [body(handle, tone=0.3), body(head, tone=0.65)]
    if rng.random() < 0.6:
        parts.append(groove(0.04, g.polygon((-0.3, 0.42), (0.3, 0.42))))
    return parts


def saw(rng: Random) -> Drawing:
    """Draw a hand saw with its teeth below."""
    count = int(rng.integers(8, 12))
    x = np.linspace(0.3, -0.94, 2 * count + 1)
    base = np.linspace(0.36, 0.14, 2 * count + 1)
    bite = rng.uniform(0.09, 0.13)
    teeth = np.stack([x, base + np.where(np.arange(2 * count + 1) % 2 == 1, bite, 0.0)], axis=1)
    blade = g.joined(g.polygon((-0.94, -0.02), (0.34, -0.28)), teeth)
    grip = g.smooth(
        [(0.26, -0.36), (0.6, -0.44), (0.94, -0.34), (0.9, 0.0), (0.98, 0.4), (0.66, 0.48), (0.3, 0.44), (0.34, 0.0)]
    )
    slot = hole(g.smooth([(0.54, -0.2), (0.7, -0.22), (0.72, 0.06), (0.72, 0.24), (0.56, 0.26), (0.5, 0.04)]))
    return [body(blade, tone=0.2), groove(0.04, g.joined(grip, grip[:1])), body(grip, tone=0.6), slot]


def wrench(rng: Random) -> Drawing:
    """Draw an open-ended wrench; its other end is a ring or open too."""
    jaw = rng.uniform(0.13, 0.17)
    wide = rng.uniform(0.1, 0.13)
    shaft = g.rectangle(-wide, -0.6, wide, 0.6)
    parts: list[Part] = [body(shaft, g.ellipse(0.0, -0.64, 0.32), g.ellipse(0.0, 0.68, 0.26), tone=0.4)]
    mouth = g.rotated(
        g.polygon((-jaw, -1.1), (jaw, -1.1), (jaw, -0.66), (0.0, -0.56), (-jaw, -0.66)), 12.0, about=(0.0, -0.64)
    )
    parts.append(hole(mouth))
    if rng.random() < 0.6:
        parts.append(hole(g.star(3, 0.14, 0.14) + np.array([0.0, 0.68])))
    else:
        parts.append(hole(g.polygon((-0.12, 1.1), (0.12, 1.1), (0.12, 0.7), (0.0, 0.62), (-0.12, 0.7))))
    return parts


def axe(rng: Random) -> Drawing:
    """Draw an axe; sometimes with two edges."""
    bend = rng.uniform(0.0, 0.12)
    handle = g.smooth([(0.0, -0.86), (0.02, -0.2), (bend, 0.4), (0.02, 0.92)], closed=False)
    blade = g.joined(
        g.smooth([(0.04, -0.7), (0.26, -0.66), (0.6, -0.9)], closed=False),
        g.smooth([(0.6, -0.9), (0.74, -0.5), (0.58, -0.06)], closed=False),
        g.smooth([(0.58, -0.06), (0.28, -0.3), (0.04, -0.32)], closed=False),
    )
    blades = [blade]
    if rng.random() < 0.3:
        blades.append(g.mirrored(blade))
    else:
        blades.append(g.rectangle(-0.2, -0.68, 0.1, -0.34))
    return [
        bars(0.15, handle, tone=0.35),
        body(*blades, tone=0.6),
        pen(g.smooth([(0.48, -0.74), (0.58, -0.5), (0.48, -0.22)], closed=False)),
    ]


def gear(rng: Random) -> Drawing:
    """Draw a gear wheel."""
    count = int(rng.integers(8, 13))
    inner, outer = rng.uniform(0.64, 0.7), 0.92
    share = 180.0 / count
    rim = []
    for i in range(count):
        turn = 360.0 / count * i
        rim.append(g.arc(0.0, 0.0, inner, turn - share * 0.95, turn - share * 0.5, count=4))
        rim.append(g.arc(0.0, 0.0, outer, turn - share * 0.36, turn + share * 0.36, count=4))
        rim.append(g.arc(0.0, 0.0, inner, turn + share * 0.5, turn + share * 0.95, count=4))
    parts: list[Part] = [body(g.joined(*rim), tone=0.5), hole(g.ellipse(0.0, 0.0, rng.uniform(0.2, 0.34)))]
    return parts


def pencil(rng: Random) -> Drawing:
    """Draw a pencil, point down."""
    wide = rng.uniform(0.12, 0.16)
    shaft = g.rectangle(-wide, -0.6, wide, 0.46)
    cone = g.polygon((-wide, 0.46), (wide, 0.46), (0.0, 0.96))
    lead = g.polygon((-wide * 0.4, 0.76), (wide * 0.4, 0.76), (0.0, 0.97))
    cap = g.joined(g.arc(0.0, -0.76, wide, 180.0, 360.0, ry=0.16), g.polygon((wide, -0.6), (-wide, -0.6)))
    return [
        body(shaft, tone=0.4),
        body(cone, tone=0.1),
        groove(0.05, g.polygon((-wide * 1.2, 0.48), (wide * 1.2, 0.48))),
        body(lead, tone=0.95),
        body(cap, tone=0.75),
        groove(
            0.05,
            g.polygon((-wide * 1.3, -0.58), (wide * 1.3, -0.58)),
            g.polygon((-wide * 1.3, -0.47), (wide * 1.3, -0.47)),
        ),
        pen(g.polygon((0.0, -0.4), (0.0, 0.42))),
    ]


def padlock(rng: Random) -> Drawing:
    """Draw a padlock with a keyhole, closed or open."""
    wide = rng.uniform(0.56, 0.66)
    lift = 0.2 if rng.random() < 0.25 else 0.0
    shackle = g.joined(
        g.polygon((-0.36, 0.0)),
        g.arc(0.0, -0.42 - lift, 0.36, 180.0, 360.0, ry=0.4),
        g.polygon((0.36, 0.0 - lift * 1.2)),
    )
    box = g.smooth(
        [
            (-wide, -0.02),
            (0.0, -0.06),
            (wide, -0.02),
            (wide * 1.02, 0.4),
            (wide * 0.94, 0.86),
            (0.0, 0.92),
            (-wide * 0.94, 0.86),
            (-wide * 1.02, 0.4),
        ]
    )
    slot = [g.ellipse(0.0, 0.34, 0.12), g.polygon((-0.05, 0.36), (0.05, 0.36), (0.1, 0.68), (-0.1, 0.68))]
    return [bars(0.16, shackle, tone=0.3), body(box, tone=0.5), hole(*slot)]


def hourglass(rng: Random) -> Drawing:
    """Draw an hourglass between two plates."""
    wide = rng.uniform(0.42, 0.5)
    side = g.smooth(
        [(wide, -0.74), (wide * 0.98, -0.5), (0.08, -0.04), (0.08, 0.04), (wide * 0.98, 0.5), (wide, 0.74)],
        closed=False,
    )
    level = rng.uniform(-0.5, -0.34)
    sand = [g.polygon((-wide * 0.62, level), (wide * 0.62, level), (0.0, -0.1))]
    heap = g.polygon((0.0, rng.uniform(0.28, 0.4)), (wide * 0.78, 0.7), (-wide * 0.78, 0.7))
    glass = g.symmetric(side)
    return [
        bars(0.075, glass, tone=0.2, closed=True),
        hole(glass),
        body(*sand, heap, tone=0.6),
        body(
            g.rectangle(-wide - 0.14, -0.92, wide + 0.14, -0.74),
            g.rectangle(-wide - 0.14, 0.74, wide + 0.14, 0.92),
            tone=0.7,
        ),
    ]

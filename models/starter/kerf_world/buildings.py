"""Drawings of buildings, each from a seeded generator."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from . import geometry as g
from .drawing import Drawing, Part, bars, body, groove, hole, pen

Random = np.random.Generator


def _arch(x: float, low: float, wide: float, high: float) -> g.Points:
    """A round-headed opening that stands at `low`."""
    return g.joined(
        g.arc(x, low - high + wide, wide, 180.0, 360.0, count=12), g.polygon((x + wide, low), (x - wide, low))
    )


def church(rng: Random) -> Drawing:
    """Draw a church with a nave and a spire that bears a cross."""
    spire = rng.uniform(0.0, 0.12)
    tower = body(g.rectangle(-0.72, -0.22, -0.24, 0.84), tone=0.35)
    roof = body(g.polygon((-0.8, -0.2), (-0.48, -0.72 - spire), (-0.16, -0.2)), tone=0.65)
    cross = bars(
        0.055,
        g.polygon((-0.48, -0.66 - spire), (-0.48, -1.02 - spire)),
        g.polygon((-0.6, -0.9 - spire), (-0.36, -0.9 - spire)),
        tone=0.9,
    )
    nave = body(g.rectangle(-0.26, 0.24, 0.84, 0.84), tone=0.25)
    gable = body(g.polygon((-0.26, 0.26), (-0.26, -0.12), (0.74, -0.12), (0.94, 0.26)), tone=0.6)
    windows = [hole(_arch(x, 0.64, 0.075, 0.28)) for x in ((0.04, 0.32, 0.6) if rng.random() < 0.6 else (0.14, 0.5))]
    return [
        cross,
        nave,
        gable,
        groove(0.04, g.polygon((-0.25, -0.2), (-0.25, 0.84))),
        tower,
        roof,
        hole(_arch(-0.48, 0.84, 0.13, 0.42)),
        hole(_arch(-0.48, 0.2, 0.08, 0.24)),
        *windows,
    ]


def castle(rng: Random) -> Drawing:
    """Draw a castle: a gate between two towers with battlements, perhaps with flags."""
    high = rng.uniform(-0.52, -0.36)

    def battlements(left: float, right: float, top: float, teeth: int) -> g.Points:
        edges = np.linspace(left, right, 2 * teeth)
        return g.joined(
            *(
                g.polygon((a, top + (0.0 if i % 2 == 0 else 0.13)), (b, top + (0.0 if i % 2 == 0 else 0.13)))
                for i, (a, b) in enumerate(pairwise(edges))
            )
        )

    wall = g.joined(battlements(-0.5, 0.5, -0.08, 4), g.polygon((0.5, 0.84), (-0.5, 0.84)))
    towers = [
        g.joined(
            battlements(x - 0.26, x + 0.26, high, 3),
            g.polygon((x + 0.22, high + 0.3), (x + 0.22, 0.84), (x - 0.22, 0.84), (x - 0.22, high + 0.3)),
        )
        for x in (-0.62, 0.62)
    ]
    parts: list[Part] = []
    if rng.random() < 0.6:
        for x in (-0.62, 0.62):
            parts.append(bars(0.045, g.polygon((x, high + 0.1), (x, high - 0.42)), tone=0.9))
            parts.append(body(g.polygon((x, high - 0.44), (x + 0.28, high - 0.32), (x, high - 0.2)), tone=0.7))
    slits = [hole(_arch(x, 0.2, 0.06, 0.26)) for x in (-0.62, 0.62)]
    gate = hole(_arch(0.0, 0.84, 0.19, 0.56))
    return [*parts, body(wall, tone=0.25), body(*towers, tone=0.5), *slits, gate]


def lighthouse(rng: Random) -> Drawing:
    """Draw a lighthouse with bands and beams of light."""
    count = int(rng.integers(2, 4))
    reach = rng.uniform(0.72, 0.95)
    foot = rng.uniform(0.28, 0.35)
    tower = g.polygon((-0.2, -0.42), (0.2, -0.42), (foot, 0.78), (-foot, 0.78))
    bands = [
        hole(
            g.polygon(
                *(
                    (s * (0.2 + 0.1 * (y + 0.42)) * 1.0, y + d)
                    for s, d in ((-1, 0.0), (1, 0.0), (1.06, 0.16), (-1.06, 0.16))
                )
            )
        )
        for y in np.linspace(-0.22, 0.46, count)
    ]
    lamp = g.rectangle(-0.14, -0.7, 0.14, -0.44)
    roof = g.polygon((-0.24, -0.68), (0.0, -0.95), (0.24, -0.68))
    gallery = g.rectangle(-0.3, -0.48, 0.3, -0.38)
    rock = g.smooth([(-0.8, 0.92), (-0.5, 0.76), (0.0, 0.72), (0.5, 0.78), (0.8, 0.92)])
    parts: list[Part] = []
    if rng.random() < 0.8:
        for s in (-1.0, 1.0):
            parts.append(body(g.polygon((s * 0.26, -0.58), (s * reach, -0.84), (s * reach, -0.5)), tone=0.15))
    return [
        *parts,
        body(tower, tone=0.55),
        *bands,
        body(lamp, tone=0.1),
        hole(g.rectangle(-0.07, -0.66, 0.07, -0.48)),
        body(roof, gallery, tone=0.75),
        body(rock, tone=0.6),
    ]


def windmill(rng: Random) -> Drawing:
    """Draw a windmill with four sails."""
    turn = rng.uniform(20.0, 70.0)
    tower = g.polygon((-0.24, -0.26), (0.24, -0.26), (0.42, 0.9), (-0.42, 0.9))
    cap = g.joined(g.arc(0.0, -0.24, 0.3, 180.0, 360.0, ry=0.28), g.polygon((0.3, -0.22), (-0.3, -0.22)))
    hub = (0.0, -0.3)
    arms, sails, laths = [], [], []
    for i in range(4):
        angle = turn + 90.0 * i
        arms.append(g.shifted(g.rotated(g.polygon((0.0, 0.0), (0.74, 0.0)), angle), *hub))
        sails.append(body(g.shifted(g.rotated(g.rectangle(0.2, 0.0, 0.74, 0.2), angle), *hub), tone=0.3))
        laths.append(g.shifted(g.rotated(g.polygon((0.47, 0.0), (0.47, 0.2)), angle), *hub))
    gap = [groove(0.05, g.joined(s.outlines[0], s.outlines[0][:1])) for s in sails]
    door = hole(_arch(0.0, 0.9, 0.12, 0.36))
    return [
        body(tower, tone=0.35),
        body(cap, tone=0.65),
        door,
        *gap,
        *sails,
        groove(0.03, *laths),
        bars(0.06, *arms, tone=0.9),
        body(g.ellipse(*hub, 0.08), tone=0.9),
    ]


def tent(rng: Random) -> Drawing:
    """Draw a tent with an open flap."""
    wide = rng.uniform(0.26, 0.36)
    cloth = g.polygon((0.0, -0.66), (0.94, 0.7), (-0.94, 0.7))
    poles = [g.polygon((s * -0.1, -0.86), (s * 0.06, -0.58)) for s in (-1.0, 1.0)]
    flap = hole(g.polygon((0.0, -0.3), (wide, 0.7), (-wide, 0.7)))
    parts: list[Part] = [bars(0.07, *poles, tone=0.9), body(cloth, tone=0.4), flap]
    if rng.random() < 0.6:
        parts.append(body(g.polygon((0.0, -0.3), (-wide, 0.7), (-wide * 0.3, 0.7), (-wide * 0.2, 0.3)), tone=0.65))
    else:
        parts.append(pen(g.polygon((0.0, -0.3), (0.0, 0.7))))
    parts.append(bars(0.06, g.polygon((-1.05, 0.72), (1.05, 0.72)), tone=0.9))
    return parts

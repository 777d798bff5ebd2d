"""Drawings of birds, sea animals and insects that the first world lacked, each from a seeded generator."""

from __future__ import annotations

import numpy as np

from . import geometry as g
from .drawing import Drawing, Part, bars, body, groove, hole

Random = np.random.Generator


def bee(rng: Random) -> Drawing:
    """Draw a bee from above: striped body, four wings, feelers and a sting."""
    count = int(rng.integers(2, 4))
    span = rng.uniform(0.56, 0.66)
    wings = [
        g.rotated(g.ellipse(side * span * 0.72, -0.3, span * 0.62, 0.22), side * turn, about=(0.0, -0.15))
        for side in (-1.0, 1.0)
        for turn in (-20.0, 16.0)
    ]
    feelers = [g.smooth([(s * 0.08, -0.62), (s * 0.14, -0.82), (s * 0.28, -0.92)], closed=False) for s in (-1.0, 1.0)]
    abdomen = g.smooth(
        [(0.0, -0.16), (0.3, 0.04), (0.34, 0.4), (0.16, 0.76), (0.0, 0.94), (-0.16, 0.76), (-0.34, 0.4), (-0.3, 0.04)]
    )
    stripes = [
        groove(0.09, g.smooth([(-0.38, y), (0.0, y + 0.06), (0.38, y)], closed=False))
        for y in np.linspace(0.16, 0.6, count)
    ]
    return [
        body(*wings, tone=0.15),
        bars(0.045, *feelers, tone=0.9),
        body(abdomen, tone=0.6),
        *stripes,
        body(g.ellipse(0.0, -0.24, 0.25, 0.22), tone=0.4),
        body(g.ellipse(0.0, -0.54, 0.2, 0.17), tone=0.8),
    ]


def whale(rng: Random) -> Drawing:
    """Draw a whale from the side with its flukes up, most often spouting."""
    lift = rng.uniform(-0.08, 0.06)
    trunk = g.smooth(
        [
            (-0.9, 0.1),
            (-0.8, -0.22),
            (-0.4, -0.38),
            (0.1, -0.3),
            (0.48, -0.06),
            (0.66, -0.24),
            (0.74, -0.42 + lift),
            (0.86, -0.38 + lift),
            (0.8, 0.06),
            (0.5, 0.42),
            (0.0, 0.58),
            (-0.6, 0.5),
        ]
    )
    fluke = g.smooth(
        [
            (0.8, -0.36),
            (0.62, -0.5),
            (0.5, -0.74),
            (0.74, -0.66),
            (0.84, -0.52),
            (0.92, -0.68),
            (1.12, -0.8),
            (1.06, -0.54),
            (0.9, -0.36),
        ]
    )
    fluke = g.shifted(fluke, 0.0, lift)
    belly = [g.smooth([(-0.84, y), (-0.5, y + 0.12), (-0.1, y + 0.14)], closed=False) for y in (0.2, 0.3)]
    fin = g.smooth([(-0.2, 0.3), (0.04, 0.3), (0.16, 0.64), (0.1, 0.78), (-0.08, 0.6)])
    parts: list[Part] = [
        body(trunk, fluke, tone=0.4),
        groove(0.05, *belly),
        groove(0.04, g.joined(fin, fin[:1])),
        body(fin, tone=0.65),
    ]
    parts.append(hole(g.ellipse(-0.62, 0.02, 0.055)))
    if rng.random() < 0.75:
        jets = [
            g.smooth(
                [(-0.42, -0.46), (-0.42 + s * 0.04, -0.7), (-0.42 + s * 0.22, -0.78), (-0.42 + s * 0.3, -0.6)],
                closed=False,
            )
            for s in (-1.0, 1.0)
        ]
        parts.append(bars(0.06, *jets, tone=0.9))
    return parts


def penguin(rng: Random) -> Drawing:
    """Draw a penguin from the front: white belly, flippers that hang or stand off."""
    spread = rng.uniform(2.0, 26.0)
    flipper = g.rotated(
        g.smooth([(0.4, -0.2), (0.56, 0.0), (0.64, 0.44), (0.52, 0.5), (0.42, 0.3)]), -spread, about=(0.42, -0.2)
    )
    trunk = g.symmetric(
        g.smooth(
            [(0.0, -0.92), (0.26, -0.84), (0.34, -0.58), (0.46, -0.22), (0.52, 0.3), (0.36, 0.74), (0.0, 0.82)],
            closed=False,
        )
    )
    belly = g.symmetric(
        g.smooth([(0.0, -0.3), (0.22, -0.34), (0.34, 0.0), (0.36, 0.36), (0.24, 0.64), (0.0, 0.7)], closed=False)
    )
    feet = [
        g.smooth([(s * 0.06, 0.82), (s * 0.2, 0.7), (s * 0.42, 0.84), (s * 0.36, 0.92), (s * 0.1, 0.92)])
        for s in (-1.0, 1.0)
    ]
    eyes = [hole(g.ellipse(s * 0.14, -0.66, 0.055)) for s in (-1.0, 1.0)]
    beak = hole(g.polygon((-0.1, -0.56), (0.1, -0.56), (0.0, -0.4)))
    return [
        body(*feet, tone=0.5),
        body(flipper, g.mirrored(flipper), tone=0.75),
        body(trunk, tone=0.7),
        hole(belly),
        *eyes,
        beak,
    ]


def duck(rng: Random) -> Drawing:
    """Draw a swimming duck from the side, perhaps with a wave under it."""
    neck = rng.uniform(0.0, 0.12)
    trunk = g.smooth(
        [
            (-0.62, 0.1),
            (-0.3, 0.0),
            (0.3, -0.02),
            (0.66, -0.1),
            (0.94, -0.3),
            (0.86, 0.2),
            (0.56, 0.56),
            (0.0, 0.66),
            (-0.5, 0.54),
        ]
    )
    throat = g.polygon((-0.66, -0.4 - neck), (-0.24, -0.4 - neck), (-0.12, 0.2), (-0.62, 0.3))
    head = g.ellipse(-0.46, -0.5 - neck, 0.27, 0.25)
    bill = g.smooth(
        [
            (-0.68, -0.58 - neck),
            (-0.96, -0.48 - neck),
            (-1.0, -0.38 - neck),
            (-0.84, -0.36 - neck),
            (-0.66, -0.38 - neck),
        ]
    )
    wing = g.smooth([(-0.16, 0.18), (0.2, 0.08), (0.66, 0.06), (0.5, 0.36), (0.14, 0.44), (-0.1, 0.36)])
    parts: list[Part] = [
        body(bill, tone=0.75),
        body(trunk, throat, head, tone=0.25),
        groove(0.05, g.joined(wing, wing[:1])),
        body(wing, tone=0.5),
        hole(g.ellipse(-0.52, -0.56 - neck, 0.05)),
    ]
    if rng.random() < 0.5:
        wave = np.linspace(-0.9, 0.9, 25)
        parts.append(bars(0.07, np.stack([wave, 0.84 + 0.05 * np.sin(wave * 10.0)], axis=1), tone=0.8))
    return parts


def octopus(rng: Random) -> Drawing:
    """Draw an octopus from the front with curling arms."""
    curl = rng.uniform(0.08, 0.16)
    arms = []
    for x, low in ((0.13, 0.95), (0.44, 0.9), (0.74, 0.64), (0.92, 0.26)):
        arms.append(
            g.smooth(
                [
                    (x * 0.4, 0.0),
                    (x * 0.75, low * 0.6),
                    (x * 0.8, low * 0.95),
                    (x + curl * 0.5, low),
                    (x + curl, low - 0.16),
                ],
                closed=False,
            )
        )
    head = g.smooth(
        [
            (0.0, -0.92),
            (0.4, -0.78),
            (0.5, -0.36),
            (0.34, 0.06),
            (0.0, 0.2),
            (-0.34, 0.06),
            (-0.5, -0.36),
            (-0.4, -0.78),
        ]
    )
    eyes = [hole(g.ellipse(s * 0.18, -0.22, 0.09, 0.11)) for s in (-1.0, 1.0)]
    pupils = [body(g.ellipse(s * 0.17, -0.2, 0.045), tone=0.95) for s in (-1.0, 1.0)]
    limbs = bars(0.13, *arms, *(g.mirrored(arm) for arm in arms))
    return [Part(outlines=(head,), strokes=limbs.strokes, tone=0.4), *eyes, *pupils]


def crab(rng: Random) -> Drawing:
    """Draw a crab from the front with raised claws."""
    rise = rng.uniform(-0.06, 0.08)
    parts: list[Part] = []
    legs = [
        g.polygon((s * 0.4, y), (s * 0.84, y - 0.1), (s * (0.96 - 0.1 * i), y + 0.3))
        for s in (-1.0, 1.0)
        for i, y in enumerate((0.18, 0.34, 0.48))
    ]
    arms = [g.smooth([(s * 0.4, 0.0), (s * 0.78, -0.06), (s * 0.72, -0.4 - rise)], closed=False) for s in (-1.0, 1.0)]
    parts.append(bars(0.08, *legs, tone=0.7))
    parts.append(bars(0.1, *arms, tone=0.5))
    for s in (-1.0, 1.0):
        claw = g.joined(g.arc(0.0, 0.0, 0.3, -50.0, 230.0), g.polygon((0.0, 0.06)))
        parts.append(body(g.shifted(g.rotated(claw, s * -14.0), s * 0.66, -0.52 - rise), tone=0.5))
    stalks = [g.polygon((s * 0.16, -0.1), (s * 0.18, -0.32)) for s in (-1.0, 1.0)]
    eyes = [body(g.ellipse(s * 0.18, -0.34, 0.08), tone=0.9) for s in (-1.0, 1.0)]
    shell = g.smooth(
        [
            (0.0, -0.2),
            (0.42, -0.12),
            (0.62, 0.16),
            (0.36, 0.52),
            (0.0, 0.6),
            (-0.36, 0.52),
            (-0.62, 0.16),
            (-0.42, -0.12),
        ]
    )
    smile = groove(0.045, g.arc(0.0, 0.14, 0.26, 30.0, 150.0))
    return [*parts, bars(0.06, *stalks, tone=0.8), *eyes, body(shell, tone=0.35), smile]


def ladybird(rng: Random) -> Drawing:
    """Draw a ladybird from above: spots on two wing cases."""
    legs = [
        g.polygon((s * 0.5, y), (s * 0.84, y + d))
        for s in (-1.0, 1.0)
        for y, d in ((-0.2, -0.2), (0.15, 0.06), (0.46, 0.26))
    ]
    feelers = [g.smooth([(s * 0.1, -0.7), (s * 0.18, -0.86), (s * 0.34, -0.9)], closed=False) for s in (-1.0, 1.0)]
    size = rng.uniform(0.11, 0.14)
    places = [(0.24, -0.2), (0.42, 0.14), (0.2, 0.46)] if rng.random() < 0.6 else [(0.3, -0.14), (0.3, 0.34)]
    spots = [hole(g.ellipse(s * x, y, size)) for s in (-1.0, 1.0) for x, y in places]
    return [
        bars(0.06, *legs, *feelers, tone=0.9),
        body(g.ellipse(0.0, -0.56, 0.32, 0.24), tone=0.9),
        body(g.ellipse(0.0, 0.14, 0.64, 0.68), tone=0.35),
        groove(0.05, g.polygon((0.0, -0.5), (0.0, 0.8))),
        *spots,
    ]


def spider(rng: Random) -> Drawing:
    """Draw a spider from above, perhaps on its thread."""
    reach = rng.uniform(0.8, 0.95)
    legs = []
    for s in (-1.0, 1.0):
        for knee, foot, y in (
            ((0.5, -0.62), (0.78, -0.95), -0.2),
            ((0.66, -0.34), (reach, -0.4), -0.12),
            ((0.66, 0.14), (reach, 0.4), 0.0),
            ((0.5, 0.42), (0.68, 0.92), 0.06),
        ):
            legs.append(g.polygon((0.0, y), (s * knee[0], knee[1]), (s * foot[0], foot[1])))
    parts: list[Part] = [bars(0.06, *legs, tone=0.9)]
    if rng.random() < 0.3:
        parts.append(bars(0.04, g.polygon((0.0, -0.2), (0.0, -1.1)), tone=0.9))
    return [*parts, body(g.ellipse(0.0, 0.34, 0.33, 0.38), tone=0.6), body(g.ellipse(0.0, -0.16, 0.22, 0.2), tone=0.5)]


def swan(rng: Random) -> Drawing:
    """Draw a swan on the water from the side."""
    lean = rng.uniform(-0.06, 0.08)
    neck = g.smooth(
        [
            (-0.34, 0.36),
            (-0.62, 0.1),
            (-0.44 + lean, -0.3),
            (-0.36 + lean, -0.62),
            (-0.54 + lean, -0.8),
            (-0.7 + lean, -0.68),
        ],
        closed=False,
    )
    beak = g.polygon((-0.66 + lean, -0.8), (-0.96 + lean, -0.5), (-0.7 + lean, -0.56))
    trunk = g.smooth(
        [
            (-0.58, 0.3),
            (-0.3, 0.16),
            (0.2, 0.1),
            (0.6, 0.0),
            (0.94, -0.26),
            (0.86, 0.3),
            (0.5, 0.68),
            (-0.2, 0.7),
            (-0.54, 0.58),
        ]
    )
    wing = g.smooth([(-0.24, 0.34), (0.1, 0.0), (0.5, -0.24), (0.8, -0.3), (0.7, 0.12), (0.36, 0.42), (0.0, 0.48)])
    return [
        body(beak, tone=0.9),
        Part(outlines=(trunk,), strokes=bars(0.17, neck).strokes, tone=0.2),
        groove(0.05, g.joined(wing, wing[:1])),
        body(wing, tone=0.4),
    ]

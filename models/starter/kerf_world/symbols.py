"""Drawings of signs and emblems, each from a seeded generator."""

from __future__ import annotations

import numpy as np

from . import geometry as g
from .drawing import Drawing, Part, bars, body, groove, hole

Random = np.random.Generator


def lightning(rng: Random) -> Drawing:
    """Draw a lightning bolt."""
    kink = rng.uniform(-0.08, 0.08)
    wide = rng.uniform(0.9, 1.2)
    bolt = g.polygon(
        (0.12, -0.94),
        (-0.48, 0.14 + kink),
        (-0.04, 0.1 + kink),
        (-0.3, 0.94),
        (0.46, -0.22 + kink),
        (0.04, -0.2 + kink),
        (0.42, -0.94),
    )
    return [body(bolt * np.array([wide, 1.0]), tone=0.4)]


def dove(rng: Random) -> Drawing:
    """Draw a flying dove of peace with a twig in its beak."""
    swing = rng.uniform(-8.0, 14.0)
    trunk = g.smooth(
        [
            (-0.78, -0.16),
            (-0.6, -0.34),
            (-0.36, -0.24),
            (-0.06, -0.04),
            (0.3, 0.1),
            (0.62, 0.26),
            (0.3, 0.48),
            (-0.1, 0.46),
            (-0.46, 0.26),
            (-0.66, 0.02),
        ]
    )
    tail = g.polygon((0.4, 0.14), (0.92, 0.02), (0.86, 0.17), (1.0, 0.24), (0.88, 0.34), (0.96, 0.48), (0.4, 0.44))
    lead = g.smooth([(-0.32, -0.1), (-0.26, -0.44), (0.0, -0.78), (0.42, -1.0)], closed=False)
    rear = g.polygon(
        (0.38, -0.78),
        (0.52, -0.74),
        (0.42, -0.52),
        (0.54, -0.46),
        (0.4, -0.26),
        (0.48, -0.16),
        (0.3, 0.04),
        (0.06, 0.18),
    )
    wing = g.rotated(g.joined(lead, rear), swing, about=(-0.1, 0.0))
    far = g.rotated(wing, -38.0, about=(-0.14, 0.0))
    beak = g.polygon((-0.7, -0.24), (-0.94, -0.08), (-0.7, -0.06))
    twig = g.smooth([(-0.84, -0.1), (-0.86, 0.2), (-0.76, 0.5)], closed=False)
    leaves = [
        g.shifted(g.petal(0.26, 0.13, turn_deg=turn), x, y)
        for turn, x, y in ((20.0, -0.86, 0.1), (160.0, -0.86, 0.2), (30.0, -0.83, 0.3), (150.0, -0.82, 0.38))
    ]
    return [
        bars(0.05, twig, tone=0.9),
        body(*leaves, tone=0.7),
        body(far, tone=0.6),
        body(tail, tone=0.4),
        body(beak, tone=0.8),
        groove(0.05, g.joined(trunk, trunk[:1])),
        body(trunk, tone=0.2),
        groove(0.05, g.joined(wing, wing[:1])),
        body(wing, tone=0.35),
        hole(g.ellipse(-0.54, -0.12, 0.05)),
    ]


def yin_yang(rng: Random) -> Drawing:
    """Draw the sign of yin and yang."""
    size = rng.uniform(0.09, 0.14)
    turn = rng.uniform(-30.0, 30.0)
    rim = 0.9
    dark = g.joined(
        g.arc(0.0, 0.0, rim, 90.0, 270.0, count=40),
        g.arc(0.0, -rim / 2, rim / 2, -90.0, 90.0, count=24),
        g.arc(0.0, rim / 2, rim / 2, 270.0, 90.0, count=24),
    )
    ring = g.ellipse(0.0, 0.0, rim)
    return [
        bars(0.07, g.rotated(ring, turn), tone=0.9, closed=True),
        hole(g.ellipse(0.0, 0.0, rim - 0.03)),
        body(g.rotated(dark, turn), tone=0.8),
        hole(g.rotated(g.ellipse(0.0, -rim / 2, size), turn)),
        body(g.rotated(g.ellipse(0.0, rim / 2, size), turn), tone=0.8),
    ]


def clef(rng: Random) -> Drawing:
    """Draw a treble clef."""
    wide = rng.uniform(0.9, 1.1)
    run = g.smooth(
        [
            (0.02, 0.3),
            (-0.16, 0.22),
            (-0.14, 0.02),
            (0.1, -0.02),
            (0.34, 0.18),
            (0.22, 0.46),
            (-0.1, 0.52),
            (-0.42, 0.3),
            (-0.36, -0.06),
            (-0.02, -0.38),
            (0.22, -0.66),
            (0.16, -0.94),
            (0.0, -0.92),
            (-0.08, -0.6),
            (0.04, 0.1),
            (0.16, 0.72),
            (0.06, 0.94),
            (-0.16, 0.92),
        ],
        closed=False,
    )
    pen_wide = rng.uniform(0.085, 0.11)
    return [
        Part(
            outlines=(g.ellipse(-0.16 * wide, 0.84, 0.11),),
            strokes=bars(pen_wide, run * np.array([wide, 1.0])).strokes,
            tone=0.6,
        )
    ]


def note(rng: Random) -> Drawing:
    """Draw one note with a flag, or two joined by a beam."""
    thick = rng.uniform(0.09, 0.12)
    if rng.random() < 0.55:
        slope = rng.uniform(0.0, 0.2)
        stems = [g.polygon((-0.3, 0.62), (-0.3, -0.66)), g.polygon((0.62, 0.62 - slope), (0.62, -0.66 - slope))]
        beam = g.polygon((-0.34, -0.74), (0.66, -0.74 - slope), (0.66, -0.46 - slope), (-0.34, -0.46))
        heads = [
            g.ellipse(-0.5, 0.64, 0.26, 0.19, turn_deg=-20.0),
            g.ellipse(0.42, 0.64 - slope, 0.26, 0.19, turn_deg=-20.0),
        ]
        return [Part(outlines=(beam, *heads), strokes=bars(thick, *stems).strokes, tone=0.7)]
    flag = g.smooth([(0.08, -0.92), (0.16, -0.62), (0.5, -0.36), (0.44, 0.08), (0.38, -0.2), (0.08, -0.42)])
    stem = g.polygon((0.08, -0.88), (0.08, 0.62))
    return [
        Part(
            outlines=(g.ellipse(-0.16, 0.66, 0.3, 0.22, turn_deg=-20.0), flag),
            strokes=bars(thick, stem).strokes,
            tone=0.7,
        )
    ]


def skull(rng: Random) -> Drawing:
    """Draw a skull, sometimes over crossed bones."""
    wide = rng.uniform(0.58, 0.66)
    parts: list[Part] = []
    if rng.random() < 0.35:
        bones = [g.polygon((-0.84, -s * 0.5 + 0.4), (0.84, s * 0.5 + 0.4)) for s in (-1.0, 1.0)]
        knobs = [
            g.ellipse(x, y * 0.5 + 0.4 + d, 0.13) for x in (-0.84, 0.84) for y in (-1.0, 1.0) for d in (-0.08, 0.08)
        ]
        parts.append(Part(outlines=tuple(knobs), strokes=bars(0.15, *bones).strokes, tone=0.2))
        parts.append(groove(0.05, g.ellipse(0.0, -0.2, wide * 1.02, 0.66)))
    dome = g.symmetric(
        g.smooth(
            [
                (0.0, -0.9),
                (wide * 0.8, -0.7),
                (wide, -0.16),
                (wide * 0.86, 0.24),
                (0.4, 0.4),
                (0.36, 0.76),
                (0.0, 0.82),
            ],
            closed=False,
        )
    )
    sockets = [
        g.smooth([(s * 0.1, -0.04), (s * 0.26, -0.22), (s * 0.46, -0.06), (s * 0.42, 0.16), (s * 0.2, 0.16)])
        for s in (-1.0, 1.0)
    ]
    nose = g.polygon((0.0, 0.16), (0.11, 0.36), (0.0, 0.31), (-0.11, 0.36))
    teeth = [g.polygon((x, 0.52), (x, 0.86)) for x in (-0.2, 0.0, 0.2)]
    return [*parts, body(dome, tone=0.25), hole(*sockets), hole(nose), groove(0.055, *teeth)]


def flame(rng: Random) -> Drawing:
    """Draw a flame with a lighter core."""
    sway = rng.uniform(-0.08, 0.12)
    outer = g.joined(
        g.smooth(
            [(sway, -0.94), (0.24, -0.46), (0.34, -0.26), (0.46, -0.5), (0.66, 0.1), (0.54, 0.66), (0.0, 0.92)],
            closed=False,
        ),
        g.smooth(
            [(0.0, 0.92), (-0.54, 0.66), (-0.64, 0.16), (-0.4, -0.26), (-0.26, 0.0), (-0.2, -0.42), (sway, -0.94)],
            closed=False,
        ),
    )
    core = g.smooth([(0.04, 0.02), (0.2, 0.36), (0.2, 0.66), (0.0, 0.78), (-0.22, 0.64), (-0.18, 0.36)])
    return [body(outer, tone=0.45), hole(core)]


def gem(rng: Random) -> Drawing:
    """Draw a cut diamond from the side."""
    girdle = rng.uniform(-0.32, -0.2)
    table = rng.uniform(0.44, 0.56)
    outline = g.polygon((-table, -0.66), (table, -0.66), (0.92, girdle), (0.0, 0.84), (-0.92, girdle))
    cuts = [
        g.polygon((-0.92, girdle), (0.92, girdle)),
        g.polygon((-0.36, girdle), (0.0, 0.8)),
        g.polygon((0.36, girdle), (0.0, 0.8)),
    ]
    crown = [g.polygon((-table, -0.66), (-0.36, girdle), (0.0, -0.66), (0.36, girdle), (table, -0.66))]
    return [body(outline, tone=0.25), groove(0.05, *cuts, *crown)]


def paw(rng: Random) -> Drawing:
    """Draw the print of a paw."""
    spread = rng.uniform(0.92, 1.06)
    toes = [(-0.62, -0.12, -24.0), (-0.24, -0.56, -8.0), (0.24, -0.56, 8.0), (0.62, -0.12, 24.0)]
    pads = [body(g.ellipse(x * spread, y, 0.18, 0.26, turn_deg=t), tone=0.6) for x, y, t in toes]
    heel = g.smooth(
        [(0.0, 0.0), (0.3, 0.14), (0.54, 0.48), (0.4, 0.78), (0.0, 0.68), (-0.4, 0.78), (-0.54, 0.48), (-0.3, 0.14)]
    )
    return [*pads, body(heel, tone=0.6)]


def horseshoe(rng: Random) -> Drawing:
    """Draw a horseshoe with nail holes, open below or above."""
    wide = rng.uniform(0.22, 0.28)
    run = g.smooth(
        [
            (-0.4, 0.8),
            (-0.6, 0.3),
            (-0.62, -0.2),
            (-0.34, -0.64),
            (0.0, -0.74),
            (0.34, -0.64),
            (0.62, -0.2),
            (0.6, 0.3),
            (0.4, 0.8),
        ],
        closed=False,
    )
    ends = [g.rotated(g.rectangle(s * 0.42 - 0.19, 0.72, s * 0.42 + 0.19, 0.92), 0.0) for s in (-1.0, 1.0)]
    nails = [
        hole(g.ellipse(s * x, y, 0.055)) for s in (-1.0, 1.0) for x, y in ((0.6, 0.3), (0.62, -0.14), (0.42, -0.54))
    ]
    return [Part(outlines=tuple(ends), strokes=bars(wide, run).strokes, tone=0.4), *nails]


def infinity(rng: Random) -> Drawing:
    """Draw the sign of infinity."""
    t = np.linspace(0.0, 2.0 * np.pi, 64, endpoint=False)
    high = rng.uniform(0.9, 1.25)
    x = 0.84 * np.cos(t) / (1.0 + np.sin(t) ** 2)
    y = 0.84 * np.sin(t) * np.cos(t) / (1.0 + np.sin(t) ** 2) * high * 1.1
    run = np.stack([x, y], axis=1)
    return [bars(rng.uniform(0.13, 0.2), run, tone=0.5, closed=True)]

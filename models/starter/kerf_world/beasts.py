"""Drawings of animals with fur or hide that the first world lacked, each from a seeded generator."""

from __future__ import annotations

import numpy as np

from . import geometry as g
from .drawing import Drawing, Part, bars, body, groove, hole, pen

Random = np.random.Generator


def _leg(x: float, top: float, foot: float, wide: float, step: float = 0.0) -> g.Points:
    """A leg with a paw that points to the left."""
    return g.polygon(
        (x - wide, top),
        (x + wide, top),
        (x + wide * 0.75 + step, foot),
        (x - wide * 1.5 + step, foot),
        (x - wide * 0.7 + step, foot - wide * 1.1),
    )


def dog(rng: Random) -> Drawing:
    """Draw a standing dog from the side: drooping ear, raised tail, perhaps a collar."""
    step = rng.uniform(-0.06, 0.1)
    wag = rng.uniform(-0.1, 0.2)
    leg = rng.uniform(0.72, 0.88)
    far = body(_leg(-0.18, 0.15, leg, 0.085, step), _leg(0.36, 0.15, leg, 0.085, -step), tone=0.6)
    trunk = g.smooth(
        [(-0.42, -0.3), (-0.1, -0.2), (0.4, -0.2), (0.58, 0.0), (0.56, 0.3), (0.1, 0.24), (-0.3, 0.34), (-0.46, 0.1)]
    )
    neck = g.polygon((-0.74, -0.36), (-0.3, -0.62), (-0.12, -0.16), (-0.46, 0.12))
    skull = g.ellipse(-0.52, -0.6, 0.23, 0.21)
    snout = g.smooth([(-0.6, -0.7), (-0.82, -0.64), (-0.99, -0.56), (-0.97, -0.42), (-0.7, -0.4), (-0.5, -0.42)])
    near = [_leg(-0.36, 0.05, leg, 0.1, -step), _leg(0.5, 0.05, leg, 0.1, step)]
    tail = g.smooth([(0.52, -0.08), (0.74, -0.2), (0.84, -0.42), (0.8 + wag, -0.64)], closed=False)
    ear = g.smooth([(-0.46, -0.8), (-0.3, -0.7), (-0.22, -0.4), (-0.34, -0.28), (-0.44, -0.46)])
    parts: list[Part] = [
        far,
        Part(outlines=(trunk, neck, skull, snout, *near), strokes=bars(0.12, tail).strokes, tone=0.3),
        body(ear, tone=0.75),
        hole(g.ellipse(-0.62, -0.62, 0.045)),
        body(g.ellipse(-0.96, -0.55, 0.06, 0.05), tone=0.95),
    ]
    if rng.random() < 0.5:
        parts.append(groove(0.06, g.polygon((-0.6, -0.2), (-0.22, -0.38))))
    return parts


def horse(rng: Random) -> Drawing:
    """Draw a horse from the side, standing or trotting, with mane and tail."""
    step = rng.uniform(0.0, 0.2)
    reach = rng.uniform(0.0, 0.08)
    far = [
        g.polygon((-0.22, 0.1), (-0.08, 0.1), (-0.12 - step, 0.56), (-0.16, 0.92), (-0.26, 0.92), (-0.24 - step, 0.52)),
        g.polygon((0.36, 0.1), (0.5, 0.1), (0.44 + step, 0.54), (0.36, 0.92), (0.26, 0.92), (0.34 + step, 0.5)),
    ]
    trunk = g.smooth(
        [(-0.4, -0.22), (0.0, -0.12), (0.4, -0.22), (0.64, -0.04), (0.6, 0.26), (0.1, 0.24), (-0.36, 0.22)]
    )
    neck = g.smooth(
        [
            (-0.66, -0.84 - reach),
            (-0.46, -0.84),
            (-0.24, -0.52),
            (-0.12, -0.1),
            (-0.4, 0.14),
            (-0.5, -0.3),
            (-0.62, -0.5),
        ]
    )
    head = g.smooth(
        [
            (-0.5, -0.88 - reach),
            (-0.66, -0.88 - reach),
            (-0.86, -0.6),
            (-0.98, -0.42),
            (-0.9, -0.34),
            (-0.72, -0.44),
            (-0.5, -0.5),
        ]
    )
    ear = g.polygon((-0.66, -0.84 - reach), (-0.6, -1.0 - reach), (-0.5, -0.84 - reach))
    near = [
        g.polygon((-0.44, 0.0), (-0.22, 0.1), (-0.3, 0.5), (-0.34 - step, 0.92), (-0.46 - step, 0.92), (-0.4, 0.5)),
        g.polygon((0.44, 0.0), (0.66, 0.06), (0.6, 0.5), (0.6 + step, 0.92), (0.48 + step, 0.92), (0.5, 0.52)),
    ]
    mane = g.smooth([(-0.54, -0.92 - reach), (-0.3, -0.78), (-0.08, -0.28), (-0.24, -0.22), (-0.38, -0.6)])
    tail = g.smooth([(0.58, -0.12), (0.8, -0.04), (0.92, 0.3), (0.84, 0.66), (0.74, 0.4), (0.68, 0.12)])
    return [
        body(*far, tone=0.6),
        body(trunk, neck, head, ear, *near, tone=0.3),
        body(mane, tail, tone=0.8),
        hole(g.ellipse(-0.68, -0.68, 0.04)),
    ]


def elephant(rng: Random) -> Drawing:
    """Draw an elephant from the side with a large ear and a trunk that hangs or is raised."""
    raised = rng.random() < 0.4
    far = [g.rectangle(-0.08, 0.3, 0.12, 0.78), g.rectangle(0.38, 0.3, 0.58, 0.78)]
    trunk = g.smooth([(-0.3, -0.4), (0.2, -0.52), (0.66, -0.38), (0.82, 0.05), (0.74, 0.4), (0.2, 0.44), (-0.25, 0.4)])
    near = [g.rectangle(-0.32, 0.2, -0.08, 0.84), g.rectangle(0.54, 0.1, 0.79, 0.84)]
    head = g.ellipse(-0.46, -0.28, 0.31, 0.33)
    if raised:
        nose = g.smooth([(-0.6, -0.16), (-0.82, 0.02), (-0.98, -0.24), (-0.9, -0.62), (-0.72, -0.76)], closed=False)
    else:
        nose = g.smooth([(-0.62, -0.2), (-0.8, 0.08), (-0.82, 0.5), (-0.9, 0.68), (-1.0, 0.66)], closed=False)
    ear = g.smooth([(-0.4, -0.5), (-0.14, -0.56), (0.06, -0.3), (-0.02, 0.04), (-0.2, 0.18), (-0.36, 0.0)])
    tail = g.smooth([(0.78, -0.1), (0.92, 0.1), (0.94, 0.36)], closed=False)
    tusk = hole(g.smooth([(-0.62, 0.0), (-0.5, 0.02), (-0.6, 0.2), (-0.82, 0.26), (-0.66, 0.12)]))
    return [
        body(*far, tone=0.6),
        bars(0.05, tail, tone=0.8),
        Part(outlines=(trunk, head, *near), strokes=bars(rng.uniform(0.17, 0.2), nose).strokes, tone=0.3),
        tusk,
        groove(0.035, g.joined(ear, ear[:1])),
        Part(outlines=(ear,), tone=0.5),
        groove(0.03, g.joined(ear, ear[:1])),
        hole(g.ellipse(-0.56, -0.34, 0.045)),
    ]


def fox(rng: Random) -> Drawing:
    """Draw a fox's face: pointed muzzle, large ears, white cheeks."""
    ear = rng.uniform(0.86, 0.98)
    cheek = rng.uniform(0.82, 0.92)
    half = g.smooth([(0.0, -0.38), (0.26, -0.44), (0.6, -0.3)], closed=False)
    face = g.symmetric(
        g.joined(half, g.polygon((cheek, 0.12), (0.62, 0.24), (0.66, 0.42), (0.38, 0.44), (0.12, 0.86), (0.0, 0.9)))
    )
    ears = [g.polygon((0.16, -0.36), (0.58, -ear), (0.7, -0.1))]
    inner = hole(g.polygon((0.36, -0.42), (0.54, -ear + 0.22), (0.58, -0.3)))
    white = g.polygon((0.2, 0.3), (0.44, 0.14), (0.72, 0.12), (0.54, 0.2), (0.56, 0.34), (0.32, 0.36), (0.15, 0.62))
    eye = g.rotated(g.ellipse(0.29, 0.02, 0.11, 0.06), 20.0, about=(0.29, 0.02))
    inner_left = hole(g.mirrored(inner.outlines[0]))
    return [
        body(face, *ears, *(g.mirrored(e) for e in ears), tone=0.45),
        inner,
        inner_left,
        hole(white),
        hole(g.mirrored(white)),
        hole(eye),
        hole(g.mirrored(eye)),
        body(g.ellipse(0.0, 0.82, 0.11, 0.08), tone=0.95),
    ]


def bear(rng: Random) -> Drawing:
    """Draw a bear's face: round, round ears, light muzzle."""
    ear = rng.uniform(0.23, 0.29)
    wide = rng.uniform(0.74, 0.84)
    ears = [g.ellipse(s * 0.56, -0.56, ear) for s in (-1.0, 1.0)]
    inner = [hole(g.ellipse(s * 0.56, -0.56, ear * 0.5)) for s in (-1.0, 1.0)]
    eyes = [hole(g.ellipse(s * 0.3, -0.14, 0.08, 0.09)) for s in (-1.0, 1.0)]
    mouth = [
        bars(0.045, g.smooth([(0.0, 0.4), (s * 0.06, 0.5), (s * 0.18, 0.5)], closed=False), tone=0.9)
        for s in (-1.0, 1.0)
    ]
    return [
        body(*ears, tone=0.5),
        *inner,
        body(g.ellipse(0.0, 0.08, wide, 0.74), tone=0.4),
        *eyes,
        hole(g.ellipse(0.0, 0.38, 0.34, 0.27)),
        body(g.ellipse(0.0, 0.26, 0.14, 0.1), tone=0.95),
        *mouth,
    ]


def bat(rng: Random) -> Drawing:
    """Draw a flying bat from the front."""
    lift = rng.uniform(-0.14, 0.12)
    wing = g.joined(
        g.smooth([(0.1, -0.12), (0.4, -0.2 + lift / 2), (0.66, -0.46 + lift), (0.98, -0.3 + lift)], closed=False),
        g.smooth([(0.98, -0.3 + lift), (0.92, 0.0 + lift), (0.94, 0.22 + lift)], closed=False),
        g.smooth([(0.94, 0.22 + lift), (0.78, 0.06), (0.62, 0.22)], closed=False),
        g.smooth([(0.62, 0.22), (0.46, 0.12), (0.32, 0.34)], closed=False),
        g.smooth([(0.32, 0.34), (0.2, 0.26), (0.08, 0.3)], closed=False),
    )
    ear = g.polygon((0.02, -0.4), (0.17, -0.66), (0.2, -0.28))
    eyes = [hole(g.ellipse(s * 0.08, -0.3, 0.04)) for s in (-1.0, 1.0)]
    trunk = [g.ellipse(0.0, -0.28, 0.2, 0.18), g.ellipse(0.0, 0.12, 0.18, 0.36)]
    return [body(wing, g.mirrored(wing), tone=0.5), body(*trunk, ear, g.mirrored(ear), tone=0.75), *eyes]


def deer(rng: Random) -> Drawing:
    """Draw a stag's head from the front with branched antlers."""
    tines = int(rng.integers(2, 4))
    beam = g.smooth([(0.12, -0.18), (0.34, -0.44), (0.56, -0.66), (0.54, -0.98)], closed=False)
    prongs = [((0.3, -0.4), (0.22, -0.74)), ((0.5, -0.58), (0.82, -0.7)), ((0.2, -0.28), (0.5, -0.3))][:tines]
    antlers = [beam, *(g.polygon(*prong) for prong in prongs)]
    head = g.symmetric(
        g.smooth([(0.0, -0.2), (0.2, -0.16), (0.3, 0.1), (0.2, 0.5), (0.17, 0.82), (0.0, 0.92)], closed=False)
    )
    head = head * np.array([rng.uniform(0.86, 1.14), 1.0])
    ear = g.rotated(g.petal(0.5, 0.26), rng.uniform(-26.0, 0.0))
    ear = g.shifted(ear, 0.22, 0.0)
    eyes = [hole(g.ellipse(s * 0.17, 0.18, 0.055, 0.07)) for s in (-1.0, 1.0)]
    return [
        bars(0.085, *antlers, *(g.mirrored(a) for a in antlers), tone=0.8),
        body(ear, g.mirrored(ear), tone=0.5),
        body(head, tone=0.35),
        *eyes,
        hole(g.ellipse(0.0, 0.76, 0.11, 0.07)),
        pen(g.polygon((0.0, 0.2), (0.0, 0.6))),
    ]

"""Drawings of animals, each from a seeded generator."""

from __future__ import annotations

import numpy as np

from . import geometry as g
from .drawing import Drawing, bars, body, groove, hole, pen


def cat(rng: np.random.Generator) -> Drawing:
    """Draw a sitting cat seen from behind the whiskers: round head, two ears, body and a curled tail."""
    ear = rng.uniform(0.0, 0.06)
    swing = rng.uniform(-0.06, 0.08)
    tail = g.smooth([(0.3, 0.72), (0.72, 0.66), (0.8 + swing, 0.2), (0.62 + swing, -0.02)], closed=False)
    trunk = g.symmetric(g.smooth([(0.12, -0.25), (0.3, 0.05), (0.44, 0.5), (0.4, 0.86)], closed=False))
    head = [g.ellipse(0.0, -0.45, 0.4, 0.34)]
    ears = g.polygon((-0.38, -0.5), (-0.36, -0.94 - ear), (-0.04, -0.72))
    eyes = [hole(g.ellipse(x, -0.48, 0.075, 0.09)) for x in (-0.16, 0.16)]
    whiskers = [g.polygon((side * 0.12, -0.3), (side * 0.5, y)) for side in (-1.0, 1.0) for y in (-0.34, -0.22)]
    face = body(*head, ears, g.mirrored(ears), tone=0.3)
    return [bars(0.15, tail, tone=0.45), body(trunk, tone=0.4), face, *eyes, pen(*whiskers)]


def bird(rng: np.random.Generator) -> Drawing:
    """Draw a perched song bird from the side."""
    lift = rng.uniform(-0.08, 0.05)
    legs = [g.polygon((x, 0.4), (x + 0.04, 0.85)) for x in (-0.06, 0.14)]
    tail = g.polygon((0.3, 0.05), (0.95, 0.28 + lift), (0.86, 0.48 + lift), (0.2, 0.4))
    trunk = g.smooth(
        [(-0.5, -0.55), (-0.2, -0.45), (0.2, -0.1), (0.5, 0.2), (0.2, 0.48), (-0.25, 0.42), (-0.52, 0.1), (-0.62, -0.3)]
    )
    beak = g.polygon((-0.62, -0.5), (-0.98, -0.36), (-0.62, -0.26))
    head = g.ellipse(-0.48, -0.42, 0.28)
    wing = g.smooth([(-0.2, -0.08), (0.1, -0.06), (0.5, 0.2), (0.15, 0.28), (-0.12, 0.2)])
    torso = body(trunk, head, tone=0.3)
    return [
        bars(0.06, *legs, tone=0.9),
        body(tail, tone=0.5),
        body(beak, tone=0.6),
        torso,
        body(wing, tone=0.55),
        hole(g.ellipse(-0.53, -0.47, 0.06)),
    ]


def fish(rng: np.random.Generator) -> Drawing:
    """Draw a fish from the side, head to the left."""
    height = rng.uniform(0.36, 0.46)
    tail = g.polygon((0.42, 0.0), (0.94, -0.42), (0.8, 0.0), (0.94, 0.42))
    fin = g.smooth([(-0.2, -height * 0.8), (0.05, -height - 0.26), (0.3, -height * 0.6)])
    trunk = g.petal(0.62, height * 2.0, start=-0.92)
    gill = g.arc(-0.52, 0.0, 0.2, -65.0, 65.0, ry=height * 0.75)
    scales = [g.arc(x, y, 0.12, -70.0, 70.0) for x, y in ((-0.12, -0.12), (-0.12, 0.12), (0.12, 0.0))]
    eye = hole(g.ellipse(-0.62, -0.08, 0.07))
    return [body(tail, tone=0.5), body(fin, tone=0.5), body(trunk, tone=0.35), eye, pen(gill, *scales)]


def butterfly(rng: np.random.Generator) -> Drawing:
    """Draw a butterfly with open wings."""
    span = rng.uniform(0.82, 0.94)
    upper = g.smooth([(0.04, -0.1), (0.3, -0.62), (0.7 * span, -0.82), (span, -0.6), (0.82 * span, -0.1), (0.4, 0.06)])
    lower = g.smooth([(0.04, 0.02), (0.4, 0.06), (0.72 * span, 0.22), (0.66 * span, 0.66), (0.36, 0.74), (0.12, 0.36)])
    feelers = g.smooth([(0.02, -0.4), (0.1, -0.66), (0.22, -0.84)], closed=False)
    wings = [body(w, g.mirrored(w), tone=tone) for w, tone in ((lower, 0.5), (upper, 0.3))]
    spots = [hole(g.ellipse(side * 0.62 * span, -0.48, 0.12)) for side in (-1.0, 1.0)]
    trunk = body(g.ellipse(0.0, 0.02, 0.085, 0.46), tone=0.8)
    return [*wings, *spots, bars(0.04, feelers, g.mirrored(feelers), tone=0.9), trunk]


def rabbit(rng: np.random.Generator) -> Drawing:
    """Draw a rabbit's head with long ears."""
    lean = rng.uniform(4.0, 16.0)
    ear = g.rotated(g.ellipse(0.2, -0.52, 0.15, 0.44), lean, about=(0.2, -0.1))
    inner = g.rotated(g.ellipse(0.2, -0.5, 0.065, 0.28), lean, about=(0.2, -0.1))
    face = g.ellipse(0.0, 0.3, 0.52, 0.5)
    eyes = [hole(g.ellipse(x, 0.2, 0.07, 0.09)) for x in (-0.22, 0.22)]
    nose = hole(g.polygon((-0.08, 0.4), (0.08, 0.4), (0.0, 0.49)))
    mouth = [g.polygon((0.0, 0.5), (side * 0.14, 0.62)) for side in (-1.0, 1.0)]
    ears = body(ear, g.mirrored(ear), tone=0.35)
    return [ears, hole(inner), hole(g.mirrored(inner)), body(face, tone=0.3), *eyes, nose, pen(*mouth)]


def snail(rng: np.random.Generator) -> Drawing:
    """Draw a snail with a spiral shell."""
    turns = rng.uniform(2.1, 2.5)
    foot = g.smooth(
        [
            (0.86, 0.74),
            (-0.2, 0.72),
            (-0.78, 0.7),
            (-0.92, 0.4),
            (-0.82, 0.1),
            (-0.64, 0.12),
            (-0.56, 0.38),
            (0.0, 0.5),
            (0.6, 0.58),
        ]
    )
    horns = [g.polygon((-0.8, 0.2), (x, -0.22)) for x in (-0.96, -0.66)]
    t = np.linspace(0.12, 1.0, 70)
    angle = 2.0 * np.pi * turns * t + 0.6
    coil = np.stack([0.16 + 0.46 * t * np.cos(angle), 0.0 + 0.46 * t * np.sin(angle)], axis=1)
    shell = body(g.ellipse(0.16, 0.0, 0.56), tone=0.35)
    # The coil is a paper line, so that a silhouette shows it too; the other styles outline it.
    spiral = groove(0.07, coil)
    return [bars(0.06, *horns, tone=0.9), body(foot, tone=0.5), shell, spiral]


def owl(rng: np.random.Generator) -> Drawing:
    """Draw an owl from the front."""
    tuft = rng.uniform(0.85, 0.95)
    trunk = g.symmetric(
        g.smooth([(0.0, -0.62), (0.3, -0.7), (0.5, -0.4), (0.58, 0.1), (0.48, 0.6), (0.0, 0.84)], closed=False)
    )
    horn = g.polygon((0.1, -0.62), (0.5, -tuft), (0.52, -0.35))
    wing = g.smooth([(0.46, -0.1), (0.66, 0.2), (0.5, 0.66), (0.36, 0.3)])
    discs = [hole(g.ellipse(x, -0.32, 0.2)) for x in (-0.23, 0.23)]
    pupils = [body(g.ellipse(x, -0.32, 0.09), tone=0.95) for x in (-0.23, 0.23)]
    beak = hole(g.polygon((-0.08, -0.16), (0.08, -0.16), (0.0, 0.04)))
    chest = [
        g.arc(x, y, 0.1, 20.0, 160.0) for x, y in ((-0.14, 0.2), (0.14, 0.2), (0.0, 0.38), (-0.14, 0.54), (0.14, 0.54))
    ]
    torso = body(trunk, horn, g.mirrored(horn), tone=0.3)
    return [torso, body(wing, g.mirrored(wing), tone=0.6), *discs, *pupils, beak, pen(*chest)]


def turtle(rng: np.random.Generator) -> Drawing:
    """Draw a turtle from above."""
    reach = rng.uniform(0.9, 1.05)
    legs = [
        g.ellipse(sx * 0.48 * reach, sy * 0.5, 0.14, 0.27, turn_deg=-sx * sy * 45.0)
        for sx in (-1.0, 1.0)
        for sy in (-1.0, 1.0)
    ]
    limbs = body(*legs, g.ellipse(0.0, -0.76, 0.18, 0.2), g.polygon((-0.1, 0.6), (0.1, 0.6), (0.0, 0.95)), tone=0.55)
    shell = body(g.ellipse(0.0, 0.0, 0.52, 0.66), tone=0.3)
    core = g.star(3, 0.3, 0.3)
    ribs = [g.joined(core, core[:1])]
    ribs += [np.stack([point, point * np.array([1.7, 1.95])]) for point in core]
    return [limbs, shell, pen(*ribs)]

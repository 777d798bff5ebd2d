"""Drawings of vehicles, each from a seeded generator."""

from __future__ import annotations

import numpy as np

from . import geometry as g
from .drawing import Drawing, Part, bars, body, groove, hole, pen

Random = np.random.Generator


def _wheel(x: float, y: float, radius: float) -> list[Part]:
    """A wheel that stands apart from what it carries."""
    return [
        hole(g.ellipse(x, y, radius + 0.07)),
        body(g.ellipse(x, y, radius), tone=0.85),
        hole(g.ellipse(x, y, radius * 0.42)),
    ]


def car(rng: Random) -> Drawing:
    """Draw a car from the side: a saloon, or a rounder small car."""
    if rng.random() < 0.5:
        shell = g.smooth(
            [
                (-0.94, 0.3),
                (-0.92, 0.06),
                (-0.56, -0.06),
                (-0.3, -0.4),
                (0.3, -0.42),
                (0.58, -0.06),
                (0.9, 0.02),
                (0.96, 0.32),
                (0.5, 0.38),
                (-0.5, 0.38),
            ]
        )
        panes = [
            g.polygon((-0.4, -0.06), (-0.22, -0.31), (-0.02, -0.32), (-0.02, -0.06)),
            g.polygon((0.07, -0.06), (0.07, -0.32), (0.26, -0.32), (0.44, -0.06)),
        ]
    else:
        shell = g.smooth(
            [
                (-0.92, 0.34),
                (-0.9, 0.06),
                (-0.6, -0.1),
                (-0.36, -0.5),
                (0.2, -0.58),
                (0.66, -0.36),
                (0.88, 0.0),
                (0.9, 0.34),
                (0.4, 0.4),
                (-0.5, 0.4),
            ]
        )
        panes = [
            g.polygon((-0.44, -0.1), (-0.26, -0.42), (0.0, -0.46), (0.0, -0.1)),
            g.polygon((0.1, -0.1), (0.1, -0.46), (0.4, -0.38), (0.58, -0.1)),
        ]
    size = rng.uniform(0.19, 0.23)
    parts: list[Part] = [body(shell, tone=0.35), hole(*panes), pen(g.polygon((0.03, 0.0), (0.03, 0.3)))]
    return [*parts, *_wheel(-0.54, 0.38, size), *_wheel(0.54, 0.38, size)]


def truck(rng: Random) -> Drawing:
    """Draw a truck from the side: cab to the left, a box behind."""
    high = rng.uniform(-0.56, -0.4)
    box = g.rectangle(-0.34, high, 0.95, 0.34)
    cab = g.polygon((-0.95, 0.36), (-0.95, 0.0), (-0.82, -0.28), (-0.4, -0.28), (-0.4, 0.36))
    pane = hole(g.polygon((-0.84, 0.02), (-0.75, -0.18), (-0.52, -0.18), (-0.52, 0.02)))
    size = rng.uniform(0.18, 0.22)
    wheels = [
        *_wheel(-0.62, 0.42, size),
        *_wheel(0.3, 0.42, size),
        *(_wheel(0.72, 0.42, size) if rng.random() < 0.5 else []),
    ]
    return [
        body(box, tone=0.25),
        body(g.rectangle(-0.6, 0.26, 0.95, 0.38), tone=0.7),
        body(cab, tone=0.5),
        pane,
        *wheels,
    ]


def bicycle(rng: Random) -> Drawing:
    """Draw a bicycle from the side."""
    radius = rng.uniform(0.36, 0.42)
    back, front = (0.54, 0.36), (-0.54, 0.36)
    crank, saddle, head = (0.06, 0.36), (0.26, -0.22), (-0.36, -0.22)
    rims = [bars(0.075, g.ellipse(*hub, radius), tone=0.8, closed=True) for hub in (back, front)]
    tyres = [hole(g.ellipse(*hub, radius - 0.035)) for hub in (back, front)]
    frame = [
        g.polygon(back, crank, saddle, back),
        g.polygon(saddle, head, crank),
        g.polygon(front, head, (head[0] + 0.06, -0.5), (head[0] - 0.16, -0.56)),
        g.polygon(saddle, (saddle[0] + 0.05, -0.38)),
    ]
    seat = body(g.smooth([(0.12, -0.44), (0.42, -0.5), (0.5, -0.4), (0.3, -0.36)]), tone=0.9)
    parts: list[Part] = [*rims, *tyres]
    if rng.random() < 0.4:
        spokes = [g.rotated(g.polygon((-radius, 0.0), (radius, 0.0)), turn) for turn in (20.0, 80.0, 140.0)]
        parts.append(pen(*(g.shifted(spoke, *hub) for spoke in spokes for hub in (back, front))))
    return [*parts, bars(0.07, *frame, tone=0.95), seat, body(g.ellipse(*crank, 0.09), tone=0.9)]


def train(rng: Random) -> Drawing:
    """Draw a steam engine from the side, with smoke."""
    stack = rng.uniform(-0.56, -0.46)
    boiler = g.rectangle(-0.74, -0.2, 0.3, 0.28)
    nose = g.ellipse(-0.74, 0.04, 0.12, 0.24)
    cab = g.polygon((0.24, -0.5), (0.84, -0.5), (0.84, 0.42), (0.24, 0.42))
    roof = g.rectangle(0.16, -0.62, 0.94, -0.48)
    funnel = g.polygon((-0.64, stack), (-0.36, stack), (-0.43, -0.16), (-0.57, -0.16))
    dome = g.ellipse(-0.1, -0.2, 0.13, 0.15)
    bed = g.rectangle(-0.8, 0.26, 0.88, 0.44)
    guard = g.polygon((-0.8, 0.28), (-0.8, 0.66), (-1.0, 0.66))
    small = [*_wheel(-0.56, 0.56, 0.15), *_wheel(-0.16, 0.56, 0.15)]
    parts: list[Part] = [
        body(funnel, dome, tone=0.6),
        body(boiler, nose, tone=0.35),
        body(cab, tone=0.45),
        body(roof, tone=0.8),
        hole(g.rectangle(0.4, -0.36, 0.7, -0.06)),
        body(bed, guard, tone=0.7),
        *small,
        *_wheel(0.5, 0.46, 0.25),
    ]
    if rng.random() < 0.75:
        puffs = [
            g.ellipse(-0.42, stack - 0.16, 0.13),
            g.ellipse(-0.2, stack - 0.3, 0.17),
            g.ellipse(0.1, stack - 0.36, 0.2),
        ]
        parts.append(body(*puffs, tone=0.12))
    return parts


def aeroplane(rng: Random) -> Drawing:
    """Draw an aeroplane from above: swept wings, tail and fuselage."""
    sweep = rng.uniform(0.12, 0.4)
    girth = rng.uniform(0.11, 0.15)
    hull = g.symmetric(
        g.smooth(
            [(0.0, -0.96), (girth * 0.8, -0.78), (girth, -0.4), (girth, 0.4), (girth * 0.5, 0.84), (0.0, 0.95)],
            closed=False,
        )
    )
    wing = g.polygon((girth * 0.6, -0.3), (0.95, -0.3 + sweep + 0.2), (0.95, -0.16 + sweep + 0.2), (girth * 0.6, 0.16))
    tail = g.polygon((0.04, 0.58), (0.42, 0.76), (0.42, 0.88), (0.04, 0.84))
    parts: list[Part] = []
    if rng.random() < 0.5:
        engine = [g.ellipse(s * 0.46, -0.06 + sweep * 0.4, 0.065, 0.16) for s in (-1.0, 1.0)]
        parts.append(body(*engine, tone=0.8))
    return [
        *parts,
        body(wing, g.mirrored(wing), tone=0.5),
        body(tail, g.mirrored(tail), tone=0.6),
        body(hull, tone=0.3),
        hole(g.smooth([(-0.07, -0.72), (0.0, -0.8), (0.07, -0.72), (0.0, -0.66)])),
    ]


def balloon(rng: Random) -> Drawing:
    """Draw a hot-air balloon with its basket."""
    wide = rng.uniform(0.62, 0.74)
    skin = g.symmetric(
        g.smooth([(0.0, -0.95), (wide * 0.75, -0.76), (wide, -0.3), (wide * 0.66, 0.16), (0.2, 0.44)], closed=False)
    )
    seams = [g.smooth([(0.0, -0.92), (s * wide * 0.42, -0.32), (s * 0.08, 0.42)], closed=False) for s in (-1.0, 1.0)]
    ropes = [g.polygon((s * 0.18, 0.42), (s * 0.14, 0.72)) for s in (-1.0, 1.0)]
    basket = g.polygon((-0.18, 0.7), (0.18, 0.7), (0.14, 0.95), (-0.14, 0.95))
    parts: list[Part] = [bars(0.045, *ropes, tone=0.9), body(skin, tone=0.3), body(basket, tone=0.7)]
    if rng.random() < 0.5:
        middle = g.joined(seams[0], seams[1][::-1])
        parts.append(groove(0.04, g.joined(middle, middle[:1])))
        parts.append(body(middle, tone=0.7))
    else:
        parts.append(groove(0.05, *seams))
    return parts

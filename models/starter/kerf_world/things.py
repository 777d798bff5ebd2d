"""Drawings of things that people make, each from a seeded generator."""

from __future__ import annotations

import numpy as np

from . import geometry as g
from .drawing import Drawing, Part, bars, body, groove, hole, pen


def house(rng: np.random.Generator) -> Drawing:
    """Draw a house with a gable roof, a door, windows and a chimney."""
    eaves = rng.uniform(-0.12, 0.0)
    chimney = body(g.rectangle(0.32, -0.78, 0.5, -0.2), tone=0.6)
    walls = body(g.rectangle(-0.62, eaves, 0.62, 0.8), tone=0.25)
    roof = body(g.polygon((-0.84, eaves + 0.04), (0.0, -0.86), (0.84, eaves + 0.04)), tone=0.5)
    door = hole(g.rectangle(-0.14, 0.3, 0.16, 0.8))
    windows = [hole(g.rectangle(x, 0.2, x + 0.24, 0.46)) for x in (-0.5, 0.28)]
    return [chimney, walls, roof, door, *windows]


def key(rng: np.random.Generator) -> Drawing:
    """Draw an old key: a ring, a shaft and a bit."""
    radius = rng.uniform(0.3, 0.36)
    ring = g.ellipse(-0.56, 0.0, radius)
    shaft = g.rectangle(-0.4, -0.075, 0.9, 0.075)
    teeth = [
        g.rectangle(x, 0.0, x + 0.13, depth)
        for x, depth in ((0.52, rng.uniform(0.26, 0.34)), (0.77, rng.uniform(0.3, 0.4)))
    ]
    return [body(ring, shaft, *teeth, tone=0.35), hole(g.ellipse(-0.56, 0.0, radius * 0.52))]


def mug(rng: np.random.Generator) -> Drawing:
    """Draw a mug with a handle."""
    height = rng.uniform(0.58, 0.7)
    handle = g.arc(0.4, 0.0, 0.38, -80.0, 80.0, ry=0.36)
    cup = g.joined(
        g.polygon((-0.62, -height), (0.46, -height), (0.46, height - 0.1)),
        g.arc(-0.08, height - 0.1, 0.54, 0.0, 180.0, ry=0.16),
    )
    rim = hole(g.ellipse(-0.08, -height, 0.5, 0.1))
    return [bars(0.13, handle, tone=0.4), body(cup, g.ellipse(-0.08, -height, 0.54, 0.15), tone=0.35), rim]


def anchor(rng: np.random.Generator) -> Drawing:
    """Draw a ship's anchor."""
    width = rng.uniform(0.13, 0.17)
    arms = g.arc(0.0, 0.12, 0.64, 15.0, 165.0, ry=0.66)
    fluke = g.polygon((0.86, -0.02), (0.84, 0.42), (0.42, 0.24))
    metal = Part(
        outlines=(fluke, g.mirrored(fluke), g.ellipse(0.0, -0.72, 0.2)),
        strokes=bars(
            width, g.polygon((0.0, -0.55), (0.0, 0.78)), g.polygon((-0.36, -0.36), (0.36, -0.36)), arms
        ).strokes,
        tone=0.4,
    )
    return [metal, hole(g.ellipse(0.0, -0.72, 0.09))]


def boat(rng: np.random.Generator) -> Drawing:
    """Draw a sailing boat."""
    rise = rng.uniform(0.84, 0.94)
    mast = bars(0.06, g.polygon((0.0, -rise), (0.0, 0.4)), tone=0.9)
    main = body(g.polygon((0.07, -rise + 0.06), (0.68, 0.26), (0.07, 0.26)), tone=0.25)
    jib = body(g.polygon((-0.07, -rise + 0.2), (-0.07, 0.26), (-0.54, 0.26)), tone=0.4)
    hull = body(g.smooth([(0.88, 0.4), (0.58, 0.8), (0.0, 0.84), (-0.56, 0.78), (-0.82, 0.4), (0.0, 0.42)]), tone=0.55)
    return [mast, main, jib, hull]


def guitar(rng: np.random.Generator) -> Drawing:
    """Draw a guitar, upright."""
    waist = rng.uniform(0.22, 0.27)
    neck = body(g.rectangle(-0.065, -0.72, 0.065, 0.1), tone=0.75)
    head = body(g.polygon((-0.12, -0.91), (0.12, -0.91), (0.1, -0.68), (-0.1, -0.68)), tone=0.6)
    case = body(
        g.symmetric(
            g.smooth(
                [(0.05, -0.16), (0.26, -0.12), (0.32, 0.06), (waist, 0.24), (0.42, 0.52), (0.36, 0.82), (0.0, 0.93)],
                closed=False,
            )
        ),
        tone=0.3,
    )
    bridge = groove(0.06, g.polygon((-0.16, 0.68), (0.16, 0.68)))
    return [case, neck, head, hole(g.ellipse(0.0, 0.26, 0.13)), bridge]


def wheel(rng: np.random.Generator) -> Drawing:
    """Draw a spoked wheel."""
    count = int(rng.integers(6, 11))
    spokes = [
        np.stack([np.zeros(2), 0.74 * np.array([np.cos(a), np.sin(a)])]) for a in 2 * np.pi * np.arange(count) / count
    ]
    rim = [body(g.ellipse(0.0, 0.0, 0.88), tone=0.5), hole(g.ellipse(0.0, 0.0, 0.68))]
    return [
        *rim,
        bars(0.07, *spokes, tone=0.9),
        body(g.ellipse(0.0, 0.0, 0.18), tone=0.4),
        hole(g.ellipse(0.0, 0.0, 0.07)),
    ]


def arrow(rng: np.random.Generator) -> Drawing:
    """Draw a block arrow."""
    half = rng.uniform(0.15, 0.24)
    neck = rng.uniform(0.02, 0.16)
    outline = g.polygon(
        (-0.9, -half), (neck, -half), (neck, -0.55), (0.9, 0.0), (neck, 0.55), (neck, half), (-0.9, half)
    )
    return [body(outline, tone=0.4)]


def crown(rng: np.random.Generator) -> Drawing:
    """Draw a crown with balls on its tips."""
    dip = rng.uniform(-0.08, 0.06)
    right = g.polygon((0.0, -0.52), (0.28, dip), (0.76, -0.42), (0.62, 0.4))
    circlet = body(g.rectangle(-0.64, 0.42, 0.64, 0.68), tone=0.6)
    balls = [body(g.ellipse(x, y, 0.11), tone=0.6) for x, y in ((0.0, -0.6), (0.78, -0.5), (-0.78, -0.5))]
    gems = [hole(g.ellipse(x, 0.55, 0.065)) for x in (-0.36, 0.0, 0.36)]
    return [body(g.symmetric(right), tone=0.3), circlet, *balls, *gems]


def umbrella(rng: np.random.Generator) -> Drawing:
    """Draw an open umbrella with a crook handle."""
    rise = rng.uniform(0.72, 0.86)
    stick = g.joined(g.polygon((0.0, -0.85), (0.0, 0.66)), g.arc(-0.15, 0.66, 0.15, 0.0, 170.0))
    scallops = [g.arc(x, 0.0, 0.22, 0.0, -180.0, ry=0.13) for x in (0.66, 0.22, -0.22, -0.66)]
    canopy = g.joined(g.arc(0.0, 0.0, 0.88, 180.0, 360.0, ry=rise), *scallops)
    ribs = [g.smooth([(0.0, -rise), (x * 0.75, -rise * 0.6), (x, -0.02)], closed=False) for x in (-0.44, 0.44)]
    return [bars(0.07, stick, tone=0.9), body(canopy, tone=0.4), pen(*ribs)]


def rocket(rng: np.random.Generator) -> Drawing:
    """Draw a rocket with fins, a porthole and a flame."""
    girth = rng.uniform(0.26, 0.32)
    flame = body(g.symmetric(g.polygon((0.16, 0.52), (0.1, 0.74), (0.0, 0.95))), tone=0.2)
    fin = g.polygon((girth * 0.85, 0.1), (0.62, 0.5), (0.6, 0.74), (girth * 0.6, 0.5))
    hull = g.symmetric(
        g.smooth(
            [(0.0, -0.94), (girth * 0.7, -0.6), (girth, -0.1), (girth * 0.8, 0.42), (girth * 0.6, 0.58)], closed=False
        )
    )
    return [flame, body(fin, g.mirrored(fin), tone=0.6), body(hull, tone=0.3), hole(g.ellipse(0.0, -0.26, 0.14))]


def bell(rng: np.random.Generator) -> Drawing:
    """Draw a bell with its clapper."""
    flare = rng.uniform(0.66, 0.76)
    shape = g.symmetric(g.smooth([(0.0, -0.7), (0.26, -0.62), (0.4, -0.3), (0.46, 0.2), (flare, 0.54)], closed=False))
    crown_ring = bars(0.09, g.arc(0.0, -0.76, 0.12, 0.0, 360.0), tone=0.6)
    return [
        crown_ring,
        body(g.ellipse(0.0, 0.68, 0.15), tone=0.7),
        body(shape, tone=0.35),
        groove(0.05, g.polygon((-0.5, 0.3), (0.5, 0.3))),
    ]


def bulb(rng: np.random.Generator) -> Drawing:
    """Draw a light bulb."""
    radius = rng.uniform(0.5, 0.57)
    glass = g.symmetric(
        g.joined(g.arc(0.0, -0.36, radius, -90.0, 35.0), g.smooth([(0.3, 0.14), (0.21, 0.42)], closed=False))
    )
    screw = body(
        g.rectangle(-0.21, 0.44, 0.21, 0.78),
        g.polygon((-0.12, 0.78), (0.12, 0.78), (0.06, 0.92), (-0.06, 0.92)),
        tone=0.6,
    )
    filament = g.polygon(
        (-0.12, 0.4), (-0.2, -0.3), (-0.07, -0.12), (0.0, -0.3), (0.07, -0.12), (0.2, -0.3), (0.12, 0.4)
    )
    threads = [groove(0.045, g.polygon((-0.2, y), (0.2, y + 0.03))) for y in (0.53, 0.65)]
    return [body(glass, tone=0.22), screw, *threads, pen(filament)]


def glasses(rng: np.random.Generator) -> Drawing:
    """Draw a pair of spectacles from the front."""
    radius = rng.uniform(0.34, 0.4)
    bridge = g.arc(0.0, 0.0, 0.16, 200.0, 340.0, ry=0.14)
    arms = [g.polygon((side * 0.8, -0.1), (side * 0.95, -0.34)) for side in (-1.0, 1.0)]
    rims = [g.ellipse(side * 0.46, 0.05, radius) for side in (-1.0, 1.0)]
    panes = [hole(g.ellipse(side * 0.46, 0.05, radius - 0.11)) for side in (-1.0, 1.0)]
    return [Part(outlines=tuple(rims), strokes=bars(0.1, bridge, *arms).strokes, tone=0.6), *panes]


def scissors(rng: np.random.Generator) -> Drawing:
    """Draw open scissors."""
    spread = rng.uniform(16.0, 24.0)
    parts: list[Part] = []
    for side in (1.0, -1.0):
        blade = g.rotated(g.polygon((-0.07, 0.1), (0.0, -0.95), (0.09, 0.1)), side * spread)
        ring = g.rotated(g.ellipse(0.0, 0.66, 0.23, 0.26), side * spread)
        grip = g.rotated(g.polygon((0.0, 0.0), (0.0, 0.42)), side * spread)
        parts.append(Part(outlines=(blade, ring), strokes=bars(0.12, grip).strokes, tone=0.35 + 0.1 * side))
        parts.append(hole(g.rotated(g.ellipse(0.0, 0.66, 0.12, 0.15), side * spread)))
    return [*parts, hole(g.ellipse(0.0, 0.02, 0.05))]

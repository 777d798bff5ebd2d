"""Animals in poses that the world lacks: faces of those that it shows whole, and whole those that it shows as faces."""

from __future__ import annotations

import numpy as np

from kerf_world import geometry as g
from kerf_world.drawing import Drawing, bars, body, groove, hole, pen

Random = np.random.Generator


def _eyes(apart: float, y: float, radius: float) -> Drawing:
    return [hole(g.ellipse(side * apart, y, radius, radius * 1.25)) for side in (-1.0, 1.0)]


def _legs(xs: tuple[float, ...], top: float, foot: float, wide: float, step: float, tone: float) -> Drawing:
    lines = [g.polygon((x, top), (x + step * (-1.0) ** i, foot)) for i, x in enumerate(xs)]
    return [bars(wide, *lines, tone=tone)]


def cat_face(rng: Random) -> Drawing:
    """A cat's head from the front: pointed ears, whiskers, a small nose."""
    wide, tip = rng.uniform(0.66, 0.8), rng.uniform(0.72, 0.95)
    head = g.ellipse(0.0, 0.12, wide, rng.uniform(0.54, 0.66))
    ear = g.polygon((-wide * 0.98, 0.05), (-wide * 0.88, -tip), (-wide * 0.16, -0.42))
    inner = g.polygon((-wide * 0.82, -0.2), (-wide * 0.78, -tip * 0.76), (-wide * 0.42, -0.42))
    nose = hole(g.polygon((-0.09, 0.22), (0.09, 0.22), (0.0, 0.33)))
    whiskers = [
        g.polygon((side * 0.36, y), (side * 0.98, y + lean))
        for side in (-1.0, 1.0)
        for y, lean in ((0.26, -0.06), (0.4, 0.08))
    ]
    mouth = [g.arc(side * 0.12, 0.36, 0.12, 0.0, 180.0, ry=0.1) for side in (-1.0, 1.0)]
    inside = [hole(inner, g.mirrored(inner))] if rng.random() < 0.5 else []
    lines = pen(*mouth, *whiskers) if rng.random() < 0.5 else groove(0.04, *mouth, *whiskers)
    return [
        body(head, ear, g.mirrored(ear), tone=0.3),
        *inside,
        *_eyes(0.28, 0.02, rng.uniform(0.06, 0.1)),
        nose,
        lines,
    ]


def cat_walking(rng: Random) -> Drawing:
    """A cat from the side on four legs, its tail up."""
    foot, curl, step = rng.uniform(0.66, 0.82), rng.uniform(-0.15, 0.2), rng.uniform(-0.1, 0.14)
    tail = g.smooth([(0.55, 0.0), (0.8, -0.2), (0.78 + curl, -0.6), (0.9 + curl, -0.85)], closed=False)
    trunk = g.smooth([(-0.5, -0.12), (-0.1, -0.08), (0.4, -0.12), (0.64, 0.06), (0.58, 0.34), (0.1, 0.3), (-0.4, 0.36)])
    head = g.ellipse(-0.62, -0.34, 0.27, 0.24)
    ears = [g.polygon((x - 0.1, -0.48), (x - 0.04 + 0.05 * x, -0.8), (x + 0.13, -0.5)) for x in (-0.76, -0.5)]
    return [
        bars(rng.uniform(0.09, 0.14), tail, tone=0.4),
        *_legs((-0.26, 0.36), 0.2, foot, 0.14, step, 0.6),
        body(trunk, tone=0.35),
        *_legs((-0.42, 0.52), 0.2, foot, 0.16, -step, 0.35),
        body(head, *ears, tone=0.3),
        hole(g.ellipse(-0.7, -0.36, 0.045)),
    ]


def dog_face(rng: Random) -> Drawing:
    """A dog's head from the front: hanging ears, a broad snout with a nose, perhaps the tongue."""
    wide = rng.uniform(0.5, 0.62)
    head = g.symmetric(
        g.smooth([(0.0, -0.72), (wide * 0.8, -0.58), (wide, -0.1), (wide * 0.8, 0.46), (0.0, 0.74)], closed=False)
    )
    drop = rng.uniform(0.2, 0.45)
    ear = g.smooth(
        [(-wide * 0.6, -0.66), (-wide * 1.25, -0.62), (-wide * 1.5, -0.1), (-wide * 1.3, drop), (-wide * 0.95, 0.0)]
    )
    snout = g.ellipse(0.0, 0.34, wide * 0.62, 0.3)
    nose = body(g.ellipse(0.0, 0.16, 0.16, 0.11), tone=0.95)
    mouth = [g.polygon((0.0, 0.26), (0.0, 0.42)), g.arc(0.0, 0.36, 0.2, 20.0, 160.0, ry=0.14)]
    tongue = [body(g.ellipse(0.0, 0.6, 0.12, 0.18), tone=0.6)] if rng.random() < 0.4 else []
    parts = [body(head, tone=0.25), body(ear, g.mirrored(ear), tone=0.6), *_eyes(0.24, -0.12, 0.07)]
    return [*parts, hole(snout), *tongue, nose, pen(*mouth)]


def horse_head(rng: Random) -> Drawing:
    """A horse's head and neck from the side, with a mane."""
    jaw = rng.uniform(-0.04, 0.06)
    brow = [(0.05, -0.72), (-0.3, -0.5), (-0.6, -0.02), (-0.84, 0.3), (-0.74, 0.52), (-0.48, 0.5), (-0.28, 0.22 + jaw)]
    neck = [(0.0, 0.1), (0.02, 0.5), (-0.12, 0.92), (0.72, 0.92), (0.7, 0.2), (0.5, -0.4)]
    head = g.smooth([*brow, *neck])
    ear = g.polygon((0.02, -0.62), (0.06, -0.98), (0.26, -0.58))
    mane = g.smooth([(0.2, -0.72), (0.5, -0.56), (0.76, -0.1), (0.86, 0.5), (0.66, 0.3), (0.44, -0.3)])
    nostril = hole(g.ellipse(-0.7, 0.34, 0.045))
    return [body(mane, tone=0.7), body(head, ear, tone=0.3), hole(g.ellipse(-0.16, -0.32, 0.06)), nostril]


def horse_face(rng: Random) -> Drawing:
    """A horse's long face, turned a little, as small pictures show it."""
    wide = rng.uniform(0.3, 0.4)
    face = g.symmetric(
        g.smooth(
            [(0.0, -0.72), (wide, -0.5), (wide * 0.9, 0.0), (wide * 0.78, 0.4), (wide, 0.72), (0.0, 0.95)], closed=False
        )
    )
    ear = g.polygon((-wide * 0.95, -0.5), (-wide * 0.9, -0.98), (-wide * 0.2, -0.66))
    mane = g.smooth([(-0.12, -0.84), (0.14, -0.84), (0.18, -0.5), (0.02, -0.3), (-0.14, -0.5)])
    snout = pen(g.arc(0.0, 0.66, wide * 0.95, 190.0, 350.0, ry=0.22))
    holes = [hole(g.ellipse(side * wide * 0.4, 0.68, 0.05, 0.08)) for side in (-1.0, 1.0)]
    return [
        body(face, ear, g.mirrored(ear), tone=0.3),
        body(mane, tone=0.7),
        *_eyes(wide * 0.62, -0.22, 0.06),
        *holes,
        snout,
    ]


def horse_galloping(rng: Random) -> Drawing:
    """A horse that gallops: legs thrown forward and back, mane and tail flying."""
    reach, swing = rng.uniform(0.8, 0.95), rng.uniform(-0.1, 0.1)
    trunk = g.smooth([(-0.4, -0.2), (0.0, -0.18), (0.42, -0.24), (0.6, 0.02), (0.4, 0.2), (0.0, 0.16), (-0.36, 0.24)])
    neck = g.smooth([(-0.46, 0.1), (-0.7, -0.42), (-0.6, -0.68), (-0.42, -0.62), (-0.1, -0.16)])
    head = g.smooth([(-0.5, -0.74), (-0.72, -0.64), (-0.96, -0.4), (-0.9, -0.28), (-0.66, -0.36), (-0.5, -0.48)])
    fore = [
        g.polygon((-0.3, 0.1), (-0.6, 0.34), (-reach, 0.3 + swing)),
        g.polygon((-0.24, 0.12), (-0.46, 0.5), (-0.7, 0.62)),
    ]
    hind = [
        g.polygon((0.46, 0.06), (0.62, 0.4), (reach, 0.6 + swing)),
        g.polygon((0.4, 0.08), (0.42, 0.46), (0.68, 0.72)),
    ]
    tail = g.smooth([(0.54, -0.14), (0.76, -0.26), (0.98, -0.1)], closed=False)
    mane = g.smooth([(-0.56, -0.76), (-0.34, -0.68), (-0.02, -0.28), (-0.2, -0.24), (-0.42, -0.5)])
    ear = g.polygon((-0.58, -0.7), (-0.54, -0.9), (-0.46, -0.68))
    return [
        bars(0.14, tail, tone=0.7),
        bars(0.11, *fore, *hind, tone=0.4),
        body(trunk, neck, head, ear, tone=0.35),
        body(mane, tone=0.7),
        hole(g.ellipse(-0.68, -0.56, 0.035)),
    ]


def rabbit_sitting(rng: Random) -> Drawing:
    """A rabbit that sits, from the side: long ears laid back, a round back, a tuft of a tail."""
    lean = rng.uniform(-25.0, 20.0)
    trunk = g.smooth([(-0.36, 0.1), (-0.05, -0.2), (0.4, -0.1), (0.68, 0.3), (0.6, 0.76), (0.0, 0.8), (-0.36, 0.74)])
    head = g.ellipse(-0.48, -0.16, 0.32, 0.26, turn_deg=-12.0)
    ears = [
        g.rotated(g.ellipse(x, -0.62, 0.1, 0.36), turn + lean, about=(-0.4, -0.3))
        for x, turn in ((-0.42, -4.0), (-0.3, 16.0))
    ]
    paw = g.ellipse(-0.36, 0.78, 0.24, 0.1)
    foot = g.ellipse(0.16, 0.8, 0.36, 0.11)
    haunch = pen(g.arc(0.32, 0.46, 0.3, 150.0, 330.0))
    tail = body(g.ellipse(0.74, 0.5, 0.15), tone=0.1)
    return [
        tail,
        body(ears[0], tone=0.5),
        body(trunk, head, ears[1], paw, foot, tone=0.3),
        haunch,
        hole(g.ellipse(-0.56, -0.2, 0.05)),
    ]


def deer_standing(rng: Random) -> Drawing:
    """A stag from the side, with antlers."""
    foot, tall = rng.uniform(0.84, 0.95), rng.uniform(0.9, 1.0)
    trunk = g.smooth([(-0.3, -0.08), (0.1, -0.04), (0.46, -0.1), (0.6, 0.1), (0.5, 0.34), (0.0, 0.28), (-0.32, 0.36)])
    neck = g.polygon((-0.5, -0.5), (-0.3, -0.52), (0.0, 0.0), (-0.34, 0.3))
    head = g.smooth([(-0.32, -0.6), (-0.5, -0.6), (-0.8, -0.4), (-0.76, -0.3), (-0.46, -0.34)])
    ear = g.petal(0.26, 0.12, turn_deg=-10.0) + np.array([-0.32, -0.56])
    beam = g.smooth([(-0.42, -0.58), (-0.3, -0.8), (-0.42, -tall - 0.05)], closed=False)
    far = g.smooth([(-0.44, -0.58), (-0.6, -0.76), (-0.66, -tall)], closed=False)
    tines = [
        g.polygon((-0.32, -0.78), (-0.1, -0.98)),
        g.polygon((-0.35, -0.88), (-0.24, -1.08)),
        g.polygon((-0.6, -0.76), (-0.82, -0.86)),
    ]
    tail = body(g.ellipse(0.64, -0.02, 0.06, 0.12), tone=0.2)
    return [
        bars(0.05, beam, far, *tines, tone=0.8),
        tail,
        *_legs((-0.14, 0.34), 0.2, foot, 0.08, rng.uniform(-0.08, 0.08), 0.6),
        *_legs((-0.26, 0.5), 0.2, foot, 0.1, rng.uniform(-0.08, 0.08), 0.35),
        body(trunk, neck, head, ear, tone=0.35),
        hole(g.ellipse(-0.52, -0.48, 0.04)),
    ]


def turtle_side(rng: Random) -> Drawing:
    """A tortoise from the side: a domed shell, head and two feet."""
    dome = rng.uniform(0.55, 0.75)
    shell = g.joined(g.arc(0.12, 0.28, 0.68, 180.0, 360.0, ry=dome))
    head = g.smooth([(-0.5, 0.3), (-0.66, 0.0), (-0.92, -0.16), (-0.98, 0.06), (-0.8, 0.26), (-0.56, 0.44)])
    feet = [g.smooth([(x - 0.16, 0.24), (x + 0.16, 0.24), (x + 0.14, 0.62), (x - 0.18, 0.62)]) for x in (-0.26, 0.48)]
    tail = g.polygon((0.72, 0.2), (0.98, 0.36), (0.7, 0.38))
    rim = body(g.rectangle(-0.6, 0.2, 0.84, 0.34), tone=0.2)
    plates = [
        g.polygon((-0.2, 0.2), (-0.1, -0.1), (0.34, -0.1), (0.44, 0.2)),
        g.polygon((-0.1, -0.1), (-0.2, -0.26)),
        g.polygon((0.34, -0.1), (0.46, -0.28)),
    ]
    marks = pen(*plates) if rng.random() < 0.5 else groove(0.045, *plates)
    return [body(head, *feet, tail, tone=0.3), body(shell, tone=0.55), rim, marks, hole(g.ellipse(-0.84, 0.0, 0.04))]


def bee_side(rng: Random) -> Drawing:
    """A bee from the side: striped, with two wings up, perhaps diving."""
    trunk = g.ellipse(0.15, 0.25, 0.62, 0.4)
    stripes = [
        g.arc(x, 0.25, 0.12, -90.0, 90.0, ry=0.4 * np.sqrt(max(0.1, 1 - ((x - 0.15) / 0.62) ** 2)))
        for x in (0.0, 0.26, 0.5)
    ]
    head = g.ellipse(-0.56, 0.2, 0.27)
    wings = [g.rotated(g.ellipse(0.1, -0.4, 0.22, 0.42), turn, about=(0.05, 0.0)) for turn in (-18.0, 28.0)]
    feelers = [g.smooth([(-0.62, 0.0), (-0.74, -0.22), (-0.9 + shift, -0.26)], closed=False) for shift in (0.0, 0.24)]
    sting = g.polygon((0.72, 0.16), (0.98, 0.28), (0.72, 0.36))
    parts = [bars(0.05, *feelers, tone=0.9), body(sting, tone=0.9), body(*wings, tone=0.08), body(trunk, tone=0.3)]
    drawing = [
        *parts,
        groove(0.12, *stripes) if rng.random() < 0.6 else bars(0.1, *stripes, tone=0.95),
        body(head, tone=0.6),
    ]
    return [*drawing, hole(g.ellipse(-0.64, 0.14, 0.05))]

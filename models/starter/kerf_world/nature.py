"""Drawings of plants, the sky and the land. Each function draws one object from a seeded generator."""

from __future__ import annotations

import numpy as np

from . import geometry as g
from .drawing import Drawing, Part, bars, body, hole, pen


def heart(rng: np.random.Generator) -> Drawing:
    """Draw a heart."""
    t = np.linspace(0.0, 2.0 * np.pi, 72, endpoint=False)
    depth = rng.uniform(0.9, 1.1)
    x = 16.0 * np.sin(t) ** 3
    y = -(13.0 * np.cos(t) - 5.0 * np.cos(2 * t) - 2.0 * np.cos(3 * t) - np.cos(4 * t)) * depth
    return [body(np.stack([x / 20.0, y / 20.0 - 0.08], axis=1))]


def star(rng: np.random.Generator) -> Drawing:
    """Draw a five-pointed star."""
    return [body(g.star(5, 0.88, 0.88 * rng.uniform(0.38, 0.48)))]


def moon(rng: np.random.Generator) -> Drawing:
    """Draw a crescent: a disc without the disc that passes through the same two tips."""
    tip_deg = rng.uniform(52.0, 66.0)
    tip_x, tip_y = 0.85 * np.cos(np.radians(tip_deg)), 0.85 * np.sin(np.radians(tip_deg))
    inner_x = rng.uniform(0.3, 0.45)
    radius = float(np.hypot(tip_x - inner_x, tip_y))
    open_deg = float(np.degrees(np.arctan2(tip_y, tip_x - inner_x)))
    outer = g.arc(0.0, 0.0, 0.85, tip_deg, 360.0 - tip_deg, count=48)
    inner = g.arc(inner_x, 0.0, radius, 360.0 - open_deg, open_deg, count=48)
    return [body(g.shifted(g.joined(outer, inner), 0.12, 0.0))]


def sun(rng: np.random.Generator) -> Drawing:
    """Draw a disc with rays."""
    count = int(rng.integers(8, 13))
    radius = rng.uniform(0.38, 0.46)
    half_deg = 360.0 / count * 0.28
    parts: list[Part] = [body(g.ellipse(0.0, 0.0, radius), tone=0.3)]
    for index in range(count):
        turn = 360.0 / count * index - 90.0
        foot = g.arc(0.0, 0.0, radius + 0.1, turn - half_deg, turn + half_deg, count=6)
        tip = g.arc(0.0, 0.0, 0.9, turn, turn, count=1)
        parts.append(body(g.joined(foot, tip), tone=0.6))
    return parts


def cloud(rng: np.random.Generator) -> Drawing:
    """Draw a cloud of puffs with a flat foot."""
    lift = rng.uniform(0.0, 0.08)
    puffs = [
        g.ellipse(-0.5, 0.12, 0.34),
        g.ellipse(-0.14, -0.16 - lift, 0.42),
        g.ellipse(0.3, -0.02 - lift / 2, 0.36),
        g.ellipse(0.6, 0.18, 0.28),
        g.rectangle(-0.5, 0.1, 0.6, 0.46),
    ]
    return [body(*puffs, tone=0.25)]


def tree(rng: np.random.Generator) -> Drawing:
    """Draw a broad tree: a trunk under a round crown of leaves."""
    trunk = rng.uniform(0.09, 0.13)
    stem = g.symmetric(g.polygon((trunk * 0.8, -0.1), (trunk, 0.6), (trunk * 2.0, 0.88)))
    crown = [g.ellipse(0.0, -0.3, 0.44)]
    for turn in range(-180, 180, 60):
        dx, dy = 0.4 * np.cos(np.radians(turn)), 0.3 * np.sin(np.radians(turn))
        crown.append(g.ellipse(dx, -0.32 + dy, rng.uniform(0.25, 0.3)))
    return [body(stem, tone=0.6), body(*crown, tone=0.35)]


def pine(rng: np.random.Generator) -> Drawing:
    """Draw a fir of stacked triangles."""
    width = rng.uniform(0.5, 0.62)
    tiers = [
        g.polygon((0.0, -0.1 + 0.0), (width, 0.62), (-width, 0.62)),
        g.polygon((0.0, -0.5), (width * 0.82, 0.22), (-width * 0.82, 0.22)),
        g.polygon((0.0, -0.92), (width * 0.6, -0.2), (-width * 0.6, -0.2)),
    ]
    return [body(g.rectangle(-0.1, 0.55, 0.1, 0.9), tone=0.65), *(body(tier, tone=0.4) for tier in tiers)]


def leaf(rng: np.random.Generator) -> Drawing:
    """Draw a leaf with its veins."""
    width = rng.uniform(0.7, 0.85)
    blade = g.rotated(g.petal(0.95, width, start=-0.6), -50.0)
    stem = g.rotated(g.polygon((-0.92, 0.0), (-0.5, 0.0)), -50.0)
    veins = [g.rotated(g.polygon((-0.6, 0.0), (0.8, 0.0)), -50.0)]
    for along in (-0.3, 0.05, 0.4):
        reach = width * 0.3
        for side in (-1.0, 1.0):
            veins.append(g.rotated(g.polygon((along, 0.0), (along + 0.22, side * reach)), -50.0))
    return [bars(0.08, stem, tone=0.8), body(blade, tone=0.35), pen(*veins)]


def flower(rng: np.random.Generator) -> Drawing:
    """Draw a flower head of petals on a stem with two leaves."""
    count = int(rng.integers(6, 9))
    length = rng.uniform(0.5, 0.56)
    stem = g.smooth([(0.0, -0.3), (0.03, 0.3), (0.0, 0.92)], closed=False)
    leaves = [g.shifted(g.petal(0.5, 0.24, turn_deg=turn), 0.0, 0.72) for turn in (-30.0, -150.0)]
    petals = [
        body(g.shifted(g.petal(length, 0.34, turn_deg=360.0 / count * index - 90.0), 0.0, -0.35), tone=0.3)
        for index in range(count)
    ]
    return [bars(0.07, stem, tone=0.8), body(*leaves, tone=0.5), *petals, body(g.ellipse(0.0, -0.35, 0.17), tone=0.65)]


def mushroom(rng: np.random.Generator) -> Drawing:
    """Draw a toadstool with spots."""
    width = rng.uniform(0.72, 0.84)
    stalk = g.symmetric(g.smooth([(0.2, -0.1), (0.19, 0.3), (0.3, 0.8)], closed=False))
    cap = g.joined(g.arc(0.0, 0.0, width, 180.0, 360.0, ry=0.82), g.arc(0.0, 0.0, width, 0.0, 180.0, ry=0.16))
    spots = [
        hole(g.ellipse(x, y, r, r * 0.85)) for x, y, r in ((-0.36, -0.28, 0.13), (0.08, -0.5, 0.15), (0.4, -0.2, 0.11))
    ]
    return [body(stalk, tone=0.2), body(cap, tone=0.5), *spots]


def mountain(rng: np.random.Generator) -> Drawing:
    """Draw two peaks with snow caps."""
    peak = rng.uniform(-0.8, -0.66)
    side = rng.uniform(-0.3, -0.18)
    back = g.polygon((0.02, 0.7), (0.46, side), (0.95, 0.7))
    front = g.polygon((-0.95, 0.7), (-0.18, peak), (0.62, 0.7))
    share = 0.4
    left = (-0.18 - 0.77 * share, peak + (0.7 - peak) * share)
    right = (-0.18 + 0.8 * share, peak + (0.7 - peak) * share)
    low = left[1]
    jags = ((right[0] - 0.09, low), (-0.06, low - 0.16), (-0.18, low + 0.04), (-0.3, low - 0.14), (left[0] + 0.09, low))
    snow = g.polygon((-0.18, peak + 0.12), *jags)
    return [body(back, tone=0.5), body(front, tone=0.4), hole(snow)]


def feather(rng: np.random.Generator) -> Drawing:
    """Draw a feather with a quill."""
    bend = rng.uniform(0.08, 0.16)
    vane = g.smooth(
        [
            (0.0, -0.95),
            (0.24, -0.6),
            (0.28, -0.1),
            (0.2, 0.35),
            (0.02, 0.55),
            (-0.17, 0.3),
            (-0.24, -0.15),
            (-0.18, -0.6),
        ]
    )
    quill = g.smooth([(0.0, -0.8), (bend / 2, -0.1), (0.0, 0.55), (-bend, 0.95)], closed=False)
    barbs = [g.polygon((bend / 3, y + 0.18), (side * 0.2, y)) for y in (-0.45, -0.15, 0.15) for side in (-1.0, 1.0)]
    turned = [body(g.rotated(vane, 25.0), tone=0.3), bars(0.055, g.rotated(quill, 25.0), tone=0.9)]
    return [*turned, pen(*(g.rotated(barb, 25.0) for barb in barbs))]

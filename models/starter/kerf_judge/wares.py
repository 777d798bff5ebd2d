"""Things in forms that the world lacks: seen from the front, with a saucer, with smoke, as others draw them small."""

from __future__ import annotations

import numpy as np

from kerf_world import geometry as g
from kerf_world.drawing import Drawing, bars, body, groove, hole, pen

Random = np.random.Generator


def party_balloon(rng: Random) -> Drawing:
    """A balloon on a string."""
    wide = rng.uniform(0.48, 0.6)
    skin = g.symmetric(g.smooth([(0.0, -0.95), (wide, -0.55), (wide * 0.8, 0.0), (0.05, 0.4)], closed=False))
    knot = g.polygon((0.0, 0.34), (-0.1, 0.48), (0.1, 0.48))
    sway = rng.uniform(-0.16, 0.16)
    string = g.smooth([(0.0, 0.46), (sway, 0.64), (-sway, 0.8), (0.0, 0.97)], closed=False)
    shine = g.arc(-wide * 0.2, -0.5, wide * 0.42, 180.0, 260.0, ry=0.26)
    return [bars(0.04, string, tone=0.9), body(skin, knot, tone=0.35), pen(shine)]


def car_front(rng: Random) -> Drawing:
    """A car from the front: windscreen, two lamps, two wheels."""
    roof, wide = rng.uniform(0.42, 0.56), rng.uniform(0.84, 0.95)
    cabin = g.polygon((-wide * 0.8, 0.0), (-roof, -0.62), (roof, -0.62), (wide * 0.8, 0.0))
    hull = g.smooth(
        [(-wide, 0.1), (-wide * 0.82, -0.06), (wide * 0.82, -0.06), (wide, 0.1), (wide, 0.5), (-wide, 0.5)], per_span=3
    )
    pane = g.polygon((-wide * 0.64, -0.06), (-roof * 0.84, -0.5), (roof * 0.84, -0.5), (wide * 0.64, -0.06))
    wheels = [
        g.rectangle(min(a, b), 0.4, max(a, b), 0.74)
        for a, b in ((-wide * 0.92, -wide * 0.6), (wide * 0.6, wide * 0.92))
    ]
    lamps = [hole(g.ellipse(side * wide * 0.68, 0.18, 0.13)) for side in (-1.0, 1.0)]
    grille = [groove(0.05, g.polygon((-0.26, y), (0.26, y))) for y in ((0.16, 0.28) if rng.random() < 0.6 else ())]
    return [body(*wheels, tone=0.9), body(cabin, hull, tone=0.4), hole(pane), *lamps, *grille]


def church_front(rng: Random) -> Drawing:
    """A church from the front: gable or tower with a cross, a door, perhaps lower aisles."""
    half, top = rng.uniform(0.3, 0.44), rng.uniform(-0.5, -0.3)
    nave = g.polygon((-half, 0.9), (-half, 0.02), (0.0, top), (half, 0.02), (half, 0.9))
    aisle = g.polygon((half, 0.24), (0.9, 0.46), (0.9, 0.9), (half, 0.9))
    cross = [g.polygon((0.0, -0.97), (0.0, top + 0.1)), g.polygon((-0.16, -0.78), (0.16, -0.78))]
    door = g.joined(g.arc(0.0, 0.6, 0.14, 180.0, 360.0), g.polygon((0.14, 0.92), (-0.14, 0.92)))
    light = hole(g.ellipse(0.0, 0.12, 0.1)) if rng.random() < 0.6 else pen(g.polygon((-half, 0.02), (half, 0.02)))
    return [
        bars(0.08, *cross, tone=0.9),
        body(aisle, g.mirrored(aisle), tone=0.35),
        body(nave, tone=0.25),
        hole(door),
        light,
    ]


def ship(rng: Random) -> Drawing:
    """A steamer from the side: hull, decks, one or two funnels, perhaps waves."""
    bow = rng.uniform(0.8, 0.97)
    hull = g.polygon((-bow, 0.16), (bow, 0.16), (bow * 0.8, 0.66), (-bow * 0.68, 0.66))
    decks = [g.rectangle(-0.56, -0.14, 0.62, 0.16), g.rectangle(-0.4, -0.4, 0.44, -0.14)]
    funnels = [g.rectangle(x, -0.82, x + 0.2, -0.4) for x in ((-0.1,) if rng.random() < 0.4 else (-0.28, 0.12))]
    ports = [hole(g.ellipse(x, 0.01, 0.055)) for x in (-0.36, -0.08, 0.2, 0.46)]
    x = np.linspace(-0.97, 0.97, 60)
    sea = np.stack([x, 0.8 + 0.06 * np.cos(x * 14.0)], axis=1)
    waves = [bars(0.07, sea, tone=0.8)] if rng.random() < 0.5 else []
    return [body(*funnels, tone=0.7), *(body(deck, tone=0.1) for deck in decks), body(hull, tone=0.5), *ports, *waves]


def boat_front(rng: Random) -> Drawing:
    """A ship from the front on waves: a pointed hull below a cabin."""
    wide = rng.uniform(0.6, 0.75)
    hull = g.symmetric(g.polygon((0.0, -0.14), (wide, 0.06), (wide * 0.72, 0.66), (0.0, 0.66)))
    cabin = g.polygon((-0.48, 0.08), (-0.48, -0.46), (0.48, -0.46), (0.48, 0.08))
    mast = g.rectangle(-0.18, -0.8, 0.18, -0.46)
    x = np.linspace(-0.9, 0.9, 60)
    sea = np.stack([x, 0.8 + 0.07 * np.cos(x * 10.0)], axis=1)
    return [
        body(mast, cabin, tone=0.3),
        body(hull, tone=0.5),
        pen(g.polygon((0.0, -0.14), (0.0, 0.6))),
        bars(0.1, sea, tone=0.8),
    ]


def train_front(rng: Random) -> Drawing:
    """A train from the front: rounded cab, windows, lamps, rails below."""
    half, top = rng.uniform(0.5, 0.62), rng.uniform(0.16, 0.4)
    cab = g.joined(
        g.arc(0.0, -0.6, half, 180.0, 360.0, ry=top),
        g.polygon((half, 0.3), (half * 0.75, 0.52), (-half * 0.75, 0.52), (-half, 0.3)),
    )
    if rng.random() < 0.5:
        panes = [g.rectangle(-half * 0.78, -0.6, -0.05, -0.12), g.rectangle(0.05, -0.6, half * 0.78, -0.12)]
    else:
        panes = [g.rectangle(-half * 0.78, -0.6, half * 0.78, -0.12)]
    lamps = [hole(g.ellipse(side * half * 0.58, 0.2, 0.11)) for side in (-1.0, 1.0)]
    rails = [g.polygon((side * 0.3, 0.54), (side * 0.66, 0.96)) for side in (-1.0, 1.0)]
    ties = [g.polygon((-0.42, 0.7), (0.42, 0.7)), g.polygon((-0.56, 0.86), (0.56, 0.86))] if rng.random() < 0.6 else []
    return [bars(0.08, *rails, *ties, tone=0.9), body(cab, tone=0.4), *(hole(pane) for pane in panes), *lamps]


def cup_with_saucer(rng: Random) -> Drawing:
    """A round cup with a handle, on a saucer or a line, perhaps steaming."""
    foot = rng.uniform(0.22, 0.5)
    bowl = g.smooth(
        [(-0.66, -0.3), (0.46, -0.3), (0.44, 0.1), (foot * 0.8, 0.54), (-foot - 0.1, 0.54), (-0.64, 0.1)], per_span=5
    )
    if rng.random() < 0.4:
        bowl = g.polygon((-0.66, -0.3), (0.46, -0.3), (0.46, 0.2), (0.26, 0.5), (-0.46, 0.5), (-0.66, 0.2))
    handle = g.arc(0.46, 0.02, 0.34, -80.0, 80.0, ry=0.24)
    steam = [
        g.smooth([(x, -0.44), (x + 0.07, -0.6), (x - 0.05, -0.76), (x + 0.04, -0.92)], closed=False)
        for x in (-0.36, -0.1, 0.16)
    ]
    plate = [g.ellipse(-0.1, 0.68, 0.8, 0.09)] if rng.random() < 0.5 else [g.rectangle(-0.8, 0.64, 0.6, 0.78)]
    return [
        bars(0.11, handle, tone=0.4),
        *([body(*plate, tone=0.5)] if rng.random() < 0.7 else []),
        body(bowl, tone=0.35),
        *([bars(0.05, *steam, tone=0.8)] if rng.random() < 0.5 else []),
    ]


def house_icon(rng: Random) -> Drawing:
    """A house as a sign: a broad roof, walls, a door, perhaps a chimney; the roof may stand apart."""
    eave, wall = rng.uniform(0.86, 0.98), rng.uniform(0.56, 0.72)
    walls = g.polygon((-wall, 0.0), (0.0, -0.6), (wall, 0.0), (wall, 0.84), (-wall, 0.84))
    door = g.rectangle(-0.18, 0.3, 0.18, 0.86)
    chimney = g.rectangle(wall - 0.24, -0.72, wall - 0.02, -0.2)
    above = [body(chimney, tone=0.6)] if rng.random() < 0.6 else []
    if rng.random() < 0.5:
        roof = [body(g.polygon((-eave, 0.06), (0.0, -0.84), (eave, 0.06)), tone=0.6)]
    else:
        line = g.polygon((-eave, 0.02), (0.0, -0.8), (eave, 0.02))
        roof = [groove(0.22, line), bars(0.12, line, tone=0.8)]
    return [*above, body(walls, tone=0.25), *roof, *([hole(door)] if rng.random() < 0.8 else [])]


def chevron_arrow(rng: Random) -> Drawing:
    """An arrow of thick lines: an open head on a shaft."""
    thick, spread = rng.uniform(0.12, 0.34), rng.uniform(0.45, 0.75)
    back = rng.uniform(-0.05, 0.35)
    lines = [g.polygon((-0.85, 0.0), (0.8, 0.0)), g.polygon((back, -spread), (0.85, 0.0), (back, spread))]
    return [bars(thick, *lines, tone=0.4)]


def maple_leaf(rng: Random) -> Drawing:
    """A leaf with lobes, on a stalk."""
    wide = rng.uniform(0.85, 1.0)
    half = [
        (0.0, -0.95),
        (0.14, -0.62),
        (0.36, -0.72),
        (0.3, -0.3),
        (0.56, -0.48),
        (0.62, -0.34),
        (0.92, -0.32),
        (0.8, -0.06),
    ]
    half += [(0.92, 0.04), (0.48, 0.32), (0.54, 0.46), (0.06, 0.4)]
    blade = g.symmetric(g.polygon(*((x * wide, y) for x, y in half)))
    veins = [g.polygon((0.0, 0.36), (0.0, -0.6)), *(g.polygon((0.0, 0.3), (side * 0.56, -0.1)) for side in (-1.0, 1.0))]
    return [bars(0.07, g.polygon((0.0, 0.3), (0.02, 0.95)), tone=0.8), body(blade, tone=0.4), pen(*veins)]


def broad_leaf(rng: Random) -> Drawing:
    """One curved leaf with a vein that runs on as its stalk."""
    belly = rng.uniform(0.3, 0.6)
    blade = g.smooth([(0.9, -0.85), (0.85, -0.1), (0.4, 0.5), (-0.2, 0.56), (-0.5, 0.24), (-0.4, -belly), (0.2, -0.62)])
    vein = g.smooth([(-0.95, 0.85), (-0.5, 0.36), (0.0, 0.0), (0.5, -0.3)], closed=False)
    return [body(blade, tone=0.4), groove(0.09, vein), bars(0.08, vein[: len(vein) // 2], tone=0.8)]


def electric_guitar(rng: Random) -> Drawing:
    """A guitar with horns, lying at a slope."""
    hip, horn = rng.uniform(0.34, 0.44), rng.uniform(0.2, 0.34)
    trunk = g.smooth(
        [
            (-0.3, -0.12),
            (-horn, -0.28),
            (0.0, -0.06),
            (0.0, 0.1),
            (-0.06, 0.3),
            (-hip, 0.4),
            (-0.86, 0.2),
            (-0.86, -0.2),
            (-0.56, -0.36),
        ]
    )
    neck = g.rectangle(-0.2, -0.06, 0.72, 0.06)
    head = g.polygon((0.7, -0.08), (0.98, -0.16), (0.96, 0.06), (0.7, 0.08))
    pickups = [g.polygon((x, -0.14), (x, 0.14)) for x in (-0.5, -0.3)]
    turn = rng.uniform(-75.0, -20.0)
    return [
        body(g.rotated(trunk, turn), tone=0.4),
        body(g.rotated(neck, turn), g.rotated(head, turn), tone=0.7),
        groove(0.05, *(g.rotated(pickup, turn) for pickup in pickups)),
    ]


def blossom(rng: Random) -> Drawing:
    """A blossom from above: five to eight round or notched petals about a disc."""
    count, notched = int(rng.integers(5, 9)), rng.random() < 0.4
    petals = []
    for index in range(count):
        outline = g.ellipse(0.56, 0.0, 0.4, 1.7 / count)
        if notched:
            outline = g.smooth([(0.14, 0.0), (0.5, -0.34), (0.92, -0.22), (0.8, 0.0), (0.92, 0.22), (0.5, 0.34)])
        petals.append(g.rotated(outline, 360.0 * index / count + 18.0))
    middle = rng.uniform(0.16, 0.34)
    heart = hole(g.ellipse(0.0, 0.0, middle)) if rng.random() < 0.6 else body(g.ellipse(0.0, 0.0, middle), tone=0.8)
    return [body(petal, tone=0.3) for petal in petals] + [heart]


def ridge_tent(rng: Random) -> Drawing:
    """A tent with a ridge: an open front and a long side."""
    back = rng.uniform(0.3, 0.55)
    side = g.polygon((-0.3, -0.6), (back, -0.6), (0.97, 0.6), (0.16, 0.6))
    front = g.polygon((-0.3, -0.6), (-0.9, 0.6), (0.24, 0.6))
    flap = g.polygon((-0.3, -0.3), (-0.54, 0.6), (-0.06, 0.6))
    return [body(side, tone=0.55), body(front, tone=0.25), hole(flap)]


def plain_tent(rng: Random) -> Drawing:
    """A tent as a sign: a triangle whose flaps are folded back."""
    half = rng.uniform(0.84, 0.97)
    gap = rng.uniform(0.22, 0.4)
    poles = [g.polygon((side * 0.14, -0.82), (0.0, -0.6)) for side in (-1.0, 1.0)] if rng.random() < 0.6 else []
    sheet = body(g.polygon((-half, 0.66), (0.0, -0.66), (half, 0.66)), tone=0.4)
    ground = [bars(0.08, g.polygon((-0.97, 0.7), (0.97, 0.7)), tone=0.9)] if rng.random() < 0.4 else []
    ends = [bars(0.08, *poles, tone=0.9)] if poles else []
    return [*ends, sheet, hole(g.polygon((-gap, 0.68), (0.0, -0.1), (gap, 0.68))), *ground]


def sunglasses(rng: Random) -> Drawing:
    """Dark glasses from the front."""
    drop = rng.uniform(0.24, 0.4)
    glass = g.smooth([(0.1, -0.2), (0.5, -0.26), (0.86, -0.2), (0.8, drop * 0.4), (0.5, drop), (0.18, drop * 0.5)])
    bridge = g.polygon((-0.2, -0.14), (0.2, -0.14))
    arms = [g.polygon((side * 0.84, -0.2), (side * 0.97, -0.3)) for side in (-1.0, 1.0)]
    return [bars(0.08, bridge, *arms, tone=0.9), body(glass, g.mirrored(glass), tone=0.7)]


def round_hourglass(rng: Random) -> Drawing:
    """A sand timer of round glasses between two plates."""
    waist, half = rng.uniform(0.05, 0.1), rng.uniform(0.44, 0.56)
    side = g.smooth([(half, -0.74), (half, -0.46), (waist, 0.0), (half, 0.46), (half, 0.74)], closed=False)
    plates = [g.rectangle(-half - 0.12, y, half + 0.12, y + 0.16) for y in (-0.92, 0.76)]
    level = rng.uniform(-0.5, -0.2)
    sand = [
        g.polygon((-half * 0.6, level), (half * 0.6, level), (0.0, -0.04)),
        g.polygon((-half * 0.8, 0.7), (0.0, 0.3), (half * 0.8, 0.7)),
    ]
    glass = body(g.symmetric(side), tone=0.1)
    sanded = body(*sand, tone=0.8) if rng.random() < 0.6 else hole(*sand)
    return [glass, sanded, body(*plates, tone=0.7)]


def tower_castle(rng: Random) -> Drawing:
    """A castle of towers with pointed roofs."""
    walls = g.rectangle(-0.6, 0.1, 0.6, 0.9)
    towers, roofs = [], []
    for x, top in ((-0.66, -0.1), (0.66, -0.1), (-0.3, -0.36), (0.3, -0.3), (0.0, -0.5 + rng.uniform(-0.08, 0.08))):
        towers.append(g.rectangle(x - 0.14, top, x + 0.14, 0.9 if abs(x) > 0.5 else 0.4))
        roofs.append(g.polygon((x - 0.2, top), (x, top - 0.44), (x + 0.2, top)))
    door = g.joined(g.arc(0.0, 0.66, 0.17, 180.0, 360.0), g.polygon((0.17, 0.92), (-0.17, 0.92)))
    panes = [hole(g.rectangle(x - 0.05, 0.2, x + 0.05, 0.36)) for x in (-0.66, 0.66)]
    return [body(walls, *towers, tone=0.25), body(*roofs, tone=0.65), hole(door), *panes]

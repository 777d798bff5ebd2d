"""The closed set of objects that the starter model draws."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

import numpy as np

from kerf_world import animals, nature, things
from kerf_world.drawing import Drawing, Picture

from .canvas import Style, random_pen, random_pose, render


class Kind(StrEnum):
    """What is drawn."""

    ANCHOR = "anchor"
    ARROW = "arrow"
    BELL = "bell"
    BIRD = "bird"
    BOAT = "boat"
    BULB = "bulb"
    BUTTERFLY = "butterfly"
    CAT = "cat"
    CLOUD = "cloud"
    CROWN = "crown"
    FEATHER = "feather"
    FISH = "fish"
    FLOWER = "flower"
    GLASSES = "glasses"
    GUITAR = "guitar"
    HEART = "heart"
    HOUSE = "house"
    KEY = "key"
    LEAF = "leaf"
    MOON = "moon"
    MOUNTAIN = "mountain"
    MUG = "mug"
    MUSHROOM = "mushroom"
    OWL = "owl"
    PINE = "pine"
    RABBIT = "rabbit"
    ROCKET = "rocket"
    SCISSORS = "scissors"
    SNAIL = "snail"
    STAR = "star"
    SUN = "sun"
    TREE = "tree"
    TURTLE = "turtle"
    UMBRELLA = "umbrella"
    WHEEL = "wheel"


Draw = Callable[[np.random.Generator], Drawing]


def _drawer(kind: Kind) -> Draw:
    for module in (nature, animals, things):
        found: Draw | None = getattr(module, kind.value, None)
        if found is not None:
            return found
    raise LookupError(f"no drawing for {kind}")


DRAWERS: dict[Kind, Draw] = {kind: _drawer(kind) for kind in Kind}


def picture_of(kind: Kind, style: Style, seed: int) -> Picture:
    """Draw one object in one style; returns (128, 128) uint8, 255 = paper. Equal seeds give equal pictures."""
    rng = np.random.default_rng([seed, list(Kind).index(kind), list(Style).index(style)])
    drawing = DRAWERS[kind](rng)
    return render(drawing, style, random_pose(rng), random_pen(rng))

"""Drawings of kinds in poses that the world lacks: nobody but the judge is trained on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from kerf_world import geometry as g
from kerf_world.drawing import Drawing
from kerf_world.kinds import Kind, Subject, drawing_of

from . import pets, wares

Draw = Callable[[np.random.Generator], Drawing]

_TURN_DEG = (20.0, 60.0)


def _aslant(kind: Kind) -> Draw:
    """The world's drawing, turned further than the world turns it, as icons that have to fit a square are."""

    def draw(rng: np.random.Generator) -> Drawing:
        turn = float(rng.uniform(*_TURN_DEG) * rng.choice([-1.0, 1.0]))
        return [
            replace(
                part,
                outlines=tuple(g.rotated(outline, turn) for outline in part.outlines),
                strokes=tuple(replace(stroke, points=g.rotated(stroke.points, turn)) for stroke in part.strokes),
            )
            for part in drawing_of(Subject(kind), rng)
        ]

    return draw


_SLANTING = (
    Kind.ACORN,
    Kind.APPLE,
    Kind.BEE,
    Kind.BUTTERFLY,
    Kind.CHERRY,
    Kind.CLOVER,
    Kind.FISH,
    Kind.FLOWER,
    Kind.GUITAR,
    Kind.HORSESHOE,
    Kind.LADYBIRD,
    Kind.LIGHTNING,
    Kind.MOON,
    Kind.ROCKET,
    Kind.SPIDER,
    Kind.TULIP,
    Kind.TURTLE,
    Kind.UMBRELLA,
    Kind.WHEAT,
)
_OTHERS: dict[Kind, tuple[Draw, ...]] = {
    Kind.ARROW: (wares.chevron_arrow,),
    Kind.BALLOON: (wares.party_balloon,),
    Kind.BEE: (pets.bee_side,),
    Kind.BOAT: (wares.ship, wares.boat_front),
    Kind.CAR: (wares.car_front,),
    Kind.CASTLE: (wares.tower_castle,),
    Kind.CAT: (pets.cat_face, pets.cat_walking),
    Kind.CHURCH: (wares.church_front,),
    Kind.DEER: (pets.deer_standing,),
    Kind.DOG: (pets.dog_face,),
    Kind.FLOWER: (wares.blossom,),
    Kind.GLASSES: (wares.sunglasses,),
    Kind.GUITAR: (wares.electric_guitar,),
    Kind.HORSE: (pets.horse_head, pets.horse_face, pets.horse_galloping),
    Kind.HOURGLASS: (wares.round_hourglass,),
    Kind.HOUSE: (wares.house_icon,),
    Kind.LEAF: (wares.maple_leaf, wares.broad_leaf),
    Kind.MUG: (wares.cup_with_saucer,),
    Kind.RABBIT: (pets.rabbit_sitting,),
    Kind.TENT: (wares.ridge_tent, wares.plain_tent),
    Kind.TRAIN: (wares.train_front,),
    Kind.TURTLE: (pets.turtle_side,),
}
POSES: Mapping[Kind, tuple[Draw, ...]] = {
    kind: (*_OTHERS.get(kind, ()), *([_aslant(kind)] if kind in _SLANTING else []))
    for kind in Kind
    if kind in _OTHERS or kind in _SLANTING
}

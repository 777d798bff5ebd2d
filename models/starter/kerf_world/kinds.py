"""The closed set of what the world shows: kinds of objects, and the letters A to Z."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from types import ModuleType

import numpy as np

from . import (
    animals,
    beasts,
    buildings,
    creatures,
    nature,
    ornaments,
    plants,
    renewed,
    symbols,
    things,
    tools,
    vehicles,
)
from . import letters as alphabet
from .drawing import Drawing
from .placement import Manner


class Kind(StrEnum):
    """A kind of object; LETTER stands for 26 of them, and takes which one as a parameter."""

    ACORN = "acorn"
    AEROPLANE = "aeroplane"
    ANCHOR = "anchor"
    APPLE = "apple"
    ARROW = "arrow"
    AXE = "axe"
    BALLOON = "balloon"
    BAT = "bat"
    BEAR = "bear"
    BEE = "bee"
    BELL = "bell"
    BICYCLE = "bicycle"
    BIRD = "bird"
    BOAT = "boat"
    BULB = "bulb"
    BUTTERFLY = "butterfly"
    CACTUS = "cactus"
    CAR = "car"
    CASTLE = "castle"
    CAT = "cat"
    CHERRY = "cherry"
    CHURCH = "church"
    CLEF = "clef"
    CLOUD = "cloud"
    CLOVER = "clover"
    COMPASS = "compass"
    CRAB = "crab"
    CROWN = "crown"
    DEER = "deer"
    DOG = "dog"
    DOVE = "dove"
    DUCK = "duck"
    ELEPHANT = "elephant"
    FEATHER = "feather"
    FISH = "fish"
    FLAME = "flame"
    FLOWER = "flower"
    FOX = "fox"
    GEAR = "gear"
    GEM = "gem"
    GLASSES = "glasses"
    GUITAR = "guitar"
    HAMMER = "hammer"
    HEART = "heart"
    HORSE = "horse"
    HORSESHOE = "horseshoe"
    HOURGLASS = "hourglass"
    HOUSE = "house"
    INFINITY = "infinity"
    KEY = "key"
    KNOT = "knot"
    LADYBIRD = "ladybird"
    LEAF = "leaf"
    LETTER = "letter"
    LIGHTHOUSE = "lighthouse"
    LIGHTNING = "lightning"
    MOON = "moon"
    MOUNTAIN = "mountain"
    MUG = "mug"
    MUSHROOM = "mushroom"
    NOTE = "note"
    OCTOPUS = "octopus"
    OWL = "owl"
    PADLOCK = "padlock"
    PALM = "palm"
    PAW = "paw"
    PENCIL = "pencil"
    PENGUIN = "penguin"
    PINE = "pine"
    RABBIT = "rabbit"
    ROCKET = "rocket"
    ROSETTE = "rosette"
    SAW = "saw"
    SCISSORS = "scissors"
    SKULL = "skull"
    SNAIL = "snail"
    SNOWFLAKE = "snowflake"
    SPIDER = "spider"
    STAR = "star"
    SUN = "sun"
    SWAN = "swan"
    TENT = "tent"
    TRAIN = "train"
    TREE = "tree"
    TRUCK = "truck"
    TULIP = "tulip"
    TURTLE = "turtle"
    UMBRELLA = "umbrella"
    WHALE = "whale"
    WHEAT = "wheat"
    WHEEL = "wheel"
    WINDMILL = "windmill"
    WRENCH = "wrench"
    YIN_YANG = "yin_yang"


@dataclass(frozen=True, slots=True, order=True)
class Subject:
    """What is drawn: a kind, and for LETTER which letter, A to Z."""

    kind: Kind
    letter: str = ""

    def __post_init__(self) -> None:
        if (self.kind is Kind.LETTER) != (len(self.letter) == 1 and self.letter in alphabet.LETTERS):
            raise ValueError(f"a letter has one of {alphabet.LETTERS}, other kinds have none: {self}")

    @property
    def label(self) -> str:
        """A name that is unique in the world, as in `cat` and `letter_a`."""
        return f"{self.kind.value}_{self.letter.lower()}" if self.letter else self.kind.value


LETTERS = tuple(Subject(Kind.LETTER, name) for name in alphabet.LETTERS)
OBJECTS = tuple(Subject(kind) for kind in Kind if kind is not Kind.LETTER)
SUBJECTS = (*OBJECTS, *LETTERS)

Draw = Callable[[np.random.Generator], Drawing]

# Newer drawings first: where both worlds draw a kind, the newer one counts.
_MODULES: tuple[ModuleType, ...] = (
    beasts,
    creatures,
    plants,
    tools,
    symbols,
    buildings,
    vehicles,
    ornaments,
    renewed,
    nature,
    animals,
    things,
)


def _drawer(kind: Kind) -> Draw:
    for module in _MODULES:
        found: Draw | None = getattr(module, kind.value, None)
        if found is not None:
            return found
    raise LookupError(f"no drawing for {kind}")


_DRAWERS: dict[Kind, Draw] = {subject.kind: _drawer(subject.kind) for subject in OBJECTS}

_ANY_TURN = Manner(any_turn=True)
_RIGID = Manner(bend=0.35)
_READ = Manner(mirrors=False, tilt=0.6, bend=0.7)
_MANNERS: dict[Kind, Manner] = {
    Kind.AEROPLANE: Manner(any_turn=True, bend=0.4),
    Kind.ARROW: _ANY_TURN,
    Kind.AXE: Manner(tilt=4.0),
    Kind.BICYCLE: _RIGID,
    Kind.CLEF: _READ,
    Kind.COMPASS: Manner(bend=0.0),
    Kind.FEATHER: Manner(tilt=4.0),
    Kind.GEAR: Manner(any_turn=True, bend=0.0),
    Kind.GLASSES: _RIGID,
    Kind.HAMMER: Manner(tilt=4.0, bend=0.5),
    Kind.KEY: Manner(any_turn=True, bend=0.5),
    Kind.KNOT: Manner(bend=0.0),
    Kind.LEAF: Manner(tilt=3.0),
    Kind.LETTER: _READ,
    Kind.NOTE: _READ,
    Kind.PENCIL: Manner(any_turn=True, bend=0.4),
    Kind.ROSETTE: Manner(bend=0.0),
    Kind.SAW: Manner(tilt=3.0, bend=0.5),
    Kind.SCISSORS: Manner(any_turn=True, bend=0.5),
    Kind.SNOWFLAKE: Manner(any_turn=True, bend=0.0),
    Kind.SUN: Manner(bend=0.5),
    Kind.WHEEL: Manner(any_turn=True, bend=0.0),
    Kind.WRENCH: Manner(any_turn=True, bend=0.4),
    Kind.YIN_YANG: Manner(mirrors=False, bend=0.0),
}


def drawing_of(subject: Subject, rng: np.random.Generator) -> Drawing:
    """Draw a subject in its own frame; its parts, proportions and options come from the generator."""
    if subject.letter:
        return alphabet.letter(subject.letter, rng)
    return _DRAWERS[subject.kind](rng)


def manner_of(subject: Subject) -> Manner:
    """What may happen to the subject."""
    return _MANNERS.get(subject.kind, Manner())

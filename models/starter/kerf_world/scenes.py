"""What a picture shows: its subjects, style, arrangement and border; and which scenes are kept from training."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

import numpy as np

from .kinds import LETTERS, OBJECTS, Subject

_Choice = TypeVar("_Choice")

HELD_OUT_PERCENT = 15


class Style(StrEnum):
    """The six laser styles."""

    SILHOUETTE = "silhouette"
    LINE_ART = "line_art"
    ENGRAVING = "engraving"
    HALFTONE = "halftone"
    STENCIL = "stencil"
    MANDALA = "mandala"


class Arrangement(StrEnum):
    """How the subjects stand."""

    ALONE = "alone"
    BESIDE = "beside"
    ABOVE = "above"
    ROW = "row"
    GRID = "grid"
    CIRCLE = "circle"

    @property
    def is_pair(self) -> bool:
        """Whether it takes two subjects; the others take one."""
        return self in {Arrangement.BESIDE, Arrangement.ABOVE}


COUNTS: dict[Arrangement, tuple[int, ...]] = {
    Arrangement.ALONE: (1,),
    Arrangement.BESIDE: (2,),
    Arrangement.ABOVE: (2,),
    Arrangement.ROW: (2, 3),
    Arrangement.GRID: (4,),
    Arrangement.CIRCLE: (5, 6),
}


class Border(StrEnum):
    """What runs around the picture."""

    NONE = "none"
    RING = "ring"
    SQUARE = "square"
    SCALLOPED = "scalloped"


class Split(StrEnum):
    """What a scene may be used for."""

    TRAIN = "train"
    HELD_OUT = "held_out"


@dataclass(frozen=True, slots=True)
class Scene:
    """One picture. A pair names what stands left or above first. Equal scenes give equal pictures."""

    subjects: tuple[Subject, ...]
    style: Style
    arrangement: Arrangement = Arrangement.ALONE
    border: Border = Border.NONE
    count: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if len(self.subjects) != (2 if self.arrangement.is_pair else 1):
            raise ValueError(f"{self.arrangement.value} takes another number of subjects than {len(self.subjects)}")
        if self.count not in COUNTS[self.arrangement]:
            raise ValueError(f"{self.arrangement.value} shows one of {COUNTS[self.arrangement]} drawings: {self.count}")
        if self.seed < 0:
            raise ValueError(f"a seed is 0 or more: {self.seed}")

    @property
    def faceted(self) -> bool:
        """Whether MANDALA means facets; else the subject is the centre of an ornament."""
        return self.style is Style.MANDALA and (self.arrangement is not Arrangement.ALONE or self.seed % 5 < 2)

    @property
    def combination(self) -> str:
        """What the split goes by: subjects (in no order), style, arrangement and border; neither count nor seed."""
        names = "+".join(sorted(subject.label for subject in self.subjects))
        return f"{names}|{self.style.value}|{self.arrangement.value}|{self.border.value}"


def split_of(scene: Scene) -> Split:
    """Train or held out, from a hash of the combination alone: no combination is ever in both."""
    digest = hashlib.sha256(scene.combination.encode("ascii")).digest()
    share = int.from_bytes(digest[:4], "big") % 100
    return Split.HELD_OUT if share < HELD_OUT_PERCENT else Split.TRAIN


@dataclass(frozen=True, slots=True)
class Mixture:
    """How often scenes have what; the shares are from 0 to 1."""

    letters: float = 0.15
    pairs: float = 0.12
    repeated: float = 0.13
    bordered: float = 0.25


_USUAL = Mixture()


def random_scene(rng: np.random.Generator, split: Split | None = Split.TRAIN, mixture: Mixture = _USUAL) -> Scene:
    """Draw a scene of a split (None: of either)."""
    while True:
        scene = _any_scene(rng, mixture)
        if split is None or split_of(scene) is split:
            return scene


def _any_scene(rng: np.random.Generator, mixture: Mixture) -> Scene:
    arrangement = Arrangement.ALONE
    roll = float(rng.random())
    if roll < mixture.pairs:
        arrangement = _pick((Arrangement.BESIDE, Arrangement.ABOVE), rng)
    elif roll < mixture.pairs + mixture.repeated:
        arrangement = _pick((Arrangement.ROW, Arrangement.GRID, Arrangement.CIRCLE), rng)
    subjects = [_random_subject(rng, mixture)]
    while arrangement.is_pair and len(subjects) < 2:
        other = _random_subject(rng, mixture)
        if other != subjects[0]:
            subjects.append(other)
    border = Border.NONE
    if rng.random() < mixture.bordered:
        border = _pick((Border.RING, Border.SQUARE, Border.SCALLOPED), rng)
    return Scene(
        subjects=tuple(subjects),
        style=_pick(tuple(Style), rng),
        arrangement=arrangement,
        border=border,
        count=_pick(COUNTS[arrangement], rng),
        seed=int(rng.integers(2**31)),
    )


def _random_subject(rng: np.random.Generator, mixture: Mixture) -> Subject:
    return _pick(LETTERS if rng.random() < mixture.letters else OBJECTS, rng)


def _pick(choices: tuple[_Choice, ...], rng: np.random.Generator) -> _Choice:
    return choices[int(rng.integers(len(choices)))]

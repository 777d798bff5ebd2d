"""What a drawing is made of: regions of ink, holes, and lines, in the unit frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from .geometry import Points

Picture = NDArray[np.uint8]

SIZE_PX = 128


class Role(StrEnum):
    """What a part is made of."""

    BODY = "body"
    HOLE = "hole"
    PEN = "pen"


@dataclass(frozen=True, slots=True)
class Stroke:
    """A polyline drawn with a round pen; `width` is in units of the frame."""

    points: Points
    width: float
    closed: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """One region: the union of its outlines and strokes. Later parts lie over earlier ones.

    A BODY is ink (solid in a silhouette, outlined otherwise), a HOLE shows paper, and a PEN part is a line that only
    the styles with lines show. `tone` is how dark an engraving shades the region, 0 to 1.
    """

    outlines: tuple[Points, ...] = ()
    strokes: tuple[Stroke, ...] = ()
    role: Role = Role.BODY
    tone: float = 0.35


Drawing = Sequence[Part]


def body(*outlines: Points, tone: float = 0.35) -> Part:
    """Return an ink region."""
    return Part(outlines=outlines, tone=tone)


def bars(width: float, *lines: Points, tone: float = 0.35, closed: bool = False) -> Part:
    """Return an ink region made of thick strokes."""
    return Part(strokes=tuple(Stroke(line, width, closed) for line in lines), tone=tone)


def hole(*outlines: Points) -> Part:
    """Return a region that shows paper."""
    return Part(outlines=outlines, role=Role.HOLE)


def groove(width: float, *lines: Points) -> Part:
    """Return thick lines that show paper."""
    return Part(strokes=tuple(Stroke(line, width) for line in lines), role=Role.HOLE)


def pen(*lines: Points) -> Part:
    """Return thin lines."""
    return Part(strokes=tuple(Stroke(line, 0.0) for line in lines), role=Role.PEN)

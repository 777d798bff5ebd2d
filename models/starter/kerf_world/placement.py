"""Bends, tilts and mirrors a drawing, and fits it into a cell of the page, so that nothing is ever cropped."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .dialect import Dialect, between
from .drawing import Drawing
from .geometry import Points, rotated


@dataclass(frozen=True, slots=True)
class Cell:
    """Room on the page, in the unit frame: a box around its centre, or the ellipse in that box."""

    x: float
    y: float
    half_width: float
    half_height: float
    round: bool = False


@dataclass(frozen=True, slots=True)
class Manner:
    """What may happen to a kind without it becoming something else."""

    mirrors: bool = True
    tilt: float = 1.0
    """How much of the dialect's tilt it takes."""
    any_turn: bool = False
    """Whether it may lie in any direction."""
    bend: float = 1.0
    """How much of the dialect's stretch and bend it takes."""


@dataclass(frozen=True, slots=True)
class Pose:
    """How a drawing is bent, tilted and mirrored before it is fitted."""

    turn_deg: float = 0.0
    stretch: float = 0.0
    shear: float = 0.0
    taper: float = 0.0
    bow: float = 0.0
    mirrored: bool = False

    def apply(self, points: Points) -> Points:
        """Map points of the drawing's frame."""
        x, y = points[:, 0], points[:, 1]
        bent = x * (1.0 + self.taper * y) + self.shear * y + self.bow * (y * y - 0.5)
        sign = -1.0 if self.mirrored else 1.0
        wide = np.stack([sign * bent * np.exp(self.stretch / 2), y * np.exp(-self.stretch / 2)], axis=1)
        return rotated(wide, self.turn_deg)


def random_pose(rng: np.random.Generator, dialect: Dialect, manner: Manner) -> Pose:
    """Draw a pose within what the dialect and the manner allow."""
    tilt = 180.0 if manner.any_turn else dialect.tilt_deg * manner.tilt
    bend = dialect.bend * manner.bend
    stretch = dialect.stretch * manner.bend
    turn, wide, shear, taper, bow = (float(value) for value in rng.uniform(-1.0, 1.0, 5))
    mirrored = bool(rng.random() < 0.5) and manner.mirrors
    return Pose(turn * tilt, wide * stretch, shear * bend, taper * bend, bow * bend, mirrored)


def place(drawing: Drawing, pose: Pose, cell: Cell, dialect: Dialect, rng: np.random.Generator) -> Drawing:
    """Fit the posed drawing into the cell: as large as the dialect says, anywhere where it has room."""
    runs = [points for part in drawing for points in (*part.outlines, *(stroke.points for stroke in part.strokes))]
    pads = [
        width
        for part in drawing
        for width in (*(0.0 for _ in part.outlines), *(stroke.width / 2 for stroke in part.strokes))
    ]
    lengths = [len(run) for run in runs]
    points = pose.apply(np.concatenate(runs))
    pad = np.repeat(np.array(pads), lengths)[:, None]
    low, high = (points - pad).min(axis=0), (points + pad).max(axis=0)
    middle, half = (low + high) / 2, np.maximum((high - low) / 2, 1e-6)
    room = np.array([cell.half_width, cell.half_height])
    if cell.round:
        reach = np.hypot(*(((np.abs(points - middle) + pad) / room).T)).max()
        scale = between(rng, dialect.fill) / float(reach)
        slack = room * 0.0
    else:
        scale = between(rng, dialect.fill) * float((room / half).min())
        slack = np.maximum(room - half * scale, 0.0)
    # The longer way it may stand off the middle only as far as the shorter way: pictures stay centred.
    slack = np.minimum(slack, slack.min() + 0.06)
    offset = np.array([cell.x, cell.y]) + rng.uniform(-1.0, 1.0, 2) * slack
    fitted = (points - middle) * scale + offset
    pieces = iter(np.split(fitted, np.cumsum(lengths)[:-1]))
    return [
        replace(
            part,
            outlines=tuple(next(pieces) for _ in part.outlines),
            strokes=tuple(replace(stroke, points=next(pieces), width=stroke.width * scale) for stroke in part.strokes),
        )
        for part in drawing
    ]

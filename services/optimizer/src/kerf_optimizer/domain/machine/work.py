"""The placed work: what each operation burns, in machine coordinates, and how the head moves to do it.

Machine coordinates are millimetres, origin at the front left corner of the bed, x to the right, y to the back.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from kerf_optimizer.domain.geometry import Bounds, Path
from kerf_optimizer.domain.machine.arcs import Points, Turns, arc_box, arc_length, arc_points
from kerf_optimizer.domain.presets import MachineProfile, Material, OperationKind, Preset
from kerf_optimizer.domain.rotary import Rotary

UM_PER_MM = 1000
"""Machine files count in micrometres: 0.001 mm is what GRBL's and our numbers resolve."""


WHITE = 255


class GreyMeaning(Enum):
    """What the powers of a picture's pixels mean."""

    POWER = "power"
    """Each pixel burns with its share of the operation's power."""
    DEPTH = "depth"
    """Each pixel burns in its share of the passes, the first ones, with all of the power."""


def power_steps(s_value: int) -> NDArray[np.int32]:
    """The step of power of each share 0–255 of `s_value`, int32 (256,): what burns at all gets one step or more."""
    steps = np.floor(np.arange(256) * s_value / 255 + 0.5).astype(np.int32)
    steps[1:] = np.maximum(steps[1:], 1)
    return steps


def depth_steps(passes: int) -> NDArray[np.uint8]:
    """In how many passes a pixel of each share 0–255 burns, uint8 (256,)."""
    return np.floor(np.arange(256) * passes / 255 + 0.5).astype(np.uint8)


@dataclass(frozen=True, eq=False)
class PlacedRaster:
    """A picture on the bed: `burn` bool (rows, columns), row 0 at the back; `left_mm`, `front_mm` of its box.

    `power` uint8 (rows, columns): the pixels' shares, 255 = all; None = all pixels that burn do so alike.
    """

    burn: NDArray[np.bool_]
    pitch_mm: float
    left_mm: float
    front_mm: float
    power: NDArray[np.uint8] | None = None

    @property
    def grey(self) -> NDArray[np.uint8]:
        """As a picture shows it, uint8 (rows, columns): what burns most is black, what does not burn is white."""
        return np.where(self.burn, 0, WHITE).astype(np.uint8) if self.power is None else WHITE - self.power

    def mirrored(self) -> PlacedRaster:
        """The picture mirrored left to right, in its box."""
        power = None if self.power is None else np.fliplr(self.power)
        return PlacedRaster(np.fliplr(self.burn), self.pitch_mm, self.left_mm, self.front_mm, power)

    def turned(self, quarters: int, left_mm: float, front_mm: float) -> PlacedRaster:
        """The picture turned counter-clockwise by quarters, its box elsewhere."""
        power = None if self.power is None else np.rot90(self.power, quarters)
        return PlacedRaster(np.rot90(self.burn, quarters), self.pitch_mm, left_mm, front_mm, power)


@dataclass(frozen=True, eq=False)
class Outlines:
    """What the paths of a cut layer are left of, where edges that two of them share burn once.

    `whole`: the paths as they were, closed ones set a part free. `piece_of` int64 (paths,): the whole of each path.
    `freeing` int64 (wholes,): a path without which the whole is not free, −1 = none is left.
    """

    whole: tuple[Path, ...]
    piece_of: NDArray[np.int64]
    freeing: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Layer:
    """One operation with everything decided, for all copies.

    `paths` holds machine coordinates. `s_value` is the power in steps of the machine's `s_max`,
    `interval_mm` 0 for score and cut.
    """

    name: str
    kind: OperationKind
    preset: Preset
    power_percent: float
    s_value: int
    feed_mm_per_min: int
    passes: int
    interval_mm: float
    overscan_mm: float
    rgb: tuple[int, int, int]
    paths: tuple[Path, ...] = ()
    rasters: tuple[PlacedRaster, ...] = ()
    grey: GreyMeaning | None = None
    """What the powers of the rasters mean; None = they have none."""
    z_step_mm: float = 0.0
    """How far the head goes down after each pass."""
    outlines: Outlines | None = None
    """What the paths are left of; None = they are whole."""


@dataclass(frozen=True, eq=False)
class Toolpath:
    """Moves of the head, each from the previous target; the first from wherever the head stands.

    All arrays have shape (n,): `x_um`, `y_um` int64 targets in micrometres; `s` int32, the beam's step of power during
    the move; `rapid` bool; `feed_mm_per_min` int32, 0 where rapid; `layer` int16, index into the layers, −1 for
    parking. Where there are arcs: `turn` int8, 0 = straight, −1 clockwise, 1 counter-clockwise, and `i_um`, `j_um`
    int64, from an arc's start to its centre (0 where straight); None = all moves are straight. Where the head goes up
    and down: `z_um` int64, its height during and after each move, 0 = the focus on the material's surface, negative =
    below; it changes in rapid moves that go nowhere else. None = Z is not moved.
    """

    x_um: NDArray[np.int64]
    y_um: NDArray[np.int64]
    s: NDArray[np.int32]
    rapid: NDArray[np.bool_]
    feed_mm_per_min: NDArray[np.int32]
    layer: NDArray[np.int16]
    turn: NDArray[np.int8] | None = None
    i_um: NDArray[np.int64] | None = None
    j_um: NDArray[np.int64] | None = None
    z_um: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.x_um)

    @cached_property
    def length_mm(self) -> NDArray[np.float64]:
        """Length of each move, float64 (n,); the first counts as 0, since nobody knows where the head stands."""
        dx = np.diff(self.x_um, prepend=self.x_um[:1])
        dy = np.diff(self.y_um, prepend=self.y_um[:1])
        length: NDArray[np.float64] = np.hypot(dx, dy) / UM_PER_MM
        if len(self.arcs):
            length[self.arcs] = arc_length(*self._arc_ends_mm(self.arcs))
        return length

    @cached_property
    def arcs(self) -> NDArray[np.int64]:
        """Indices of the moves that are arcs, int64 (k,)."""
        return np.zeros(0, dtype=np.int64) if self.turn is None else np.flatnonzero(self.turn)

    @cached_property
    def z_changes(self) -> NDArray[np.int64]:
        """Indices of the moves that change the height, int64 (k,)."""
        return np.zeros(0, dtype=np.int64) if self.z_um is None else np.flatnonzero(np.diff(self.z_um, prepend=0))

    @property
    def burns(self) -> bool:
        """True if the beam is on in any move."""
        return bool((self.s > 0).any())

    @cached_property
    def burn_bounds(self) -> Bounds:
        """The box of all burning moves, both ends. There must be one (`burns`)."""
        burning = np.flatnonzero(self.s > 0)
        return self._bounds(np.concatenate([burning, np.maximum(burning - 1, 0)]), burning)

    @cached_property
    def motion_bounds(self) -> Bounds:
        """The box of all moves, the parking place left out."""
        moving = np.flatnonzero(self.layer >= 0)
        return self._bounds(moving, moving)

    def _bounds(self, index: NDArray[np.int64], moves: NDArray[np.int64]) -> Bounds:
        """The box of the targets of `index` and of the arcs among `moves`."""
        points = np.stack([self.x_um[index], self.y_um[index]], axis=1) / UM_PER_MM
        arcs = np.intersect1d(self.arcs, moves)
        if len(arcs):
            points = np.concatenate([points, *arc_box(*self._arc_ends_mm(arcs))])
        (min_x, min_y), (max_x, max_y) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
        return Bounds(min_x, min_y, max_x, max_y)

    def pieces_mm(self, moves: NDArray[np.int64], tolerance_mm: float) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Different moves as straight pieces (k, 2, 2) in machine millimetres, and the move of each, int64 (k,),
        straight ones first.

        Arcs become chords within the tolerance. The first move of all, which comes from nowhere, is left out.
        """
        points = np.stack([self.x_um, self.y_um], axis=1) / UM_PER_MM
        moves = moves[moves > 0]
        turns = np.zeros(len(moves), dtype=np.bool_) if self.turn is None else self.turn[moves] != 0
        arcs, straight = moves[turns], moves[~turns]
        pieces, owner = [np.stack([points[straight - 1], points[straight]], axis=1)], [straight]
        if len(arcs):
            for arc, start, end, center, turn in zip(arcs, *self._arc_ends_mm(arcs), strict=True):
                chords = arc_points(start, end, center, int(turn), tolerance_mm)
                pieces.append(np.stack([chords[:-1], chords[1:]], axis=1))
                owner.append(np.full(len(chords) - 1, arc))
        return np.concatenate(pieces), np.concatenate(owner)

    def _arc_ends_mm(self, arcs: NDArray[np.int64]) -> tuple[Points, Points, Points, Turns]:
        """Start, end, centre (k, 2) and turn of arcs."""
        assert self.turn is not None
        assert self.i_um is not None
        assert self.j_um is not None
        targets = np.stack([self.x_um, self.y_um], axis=1) / UM_PER_MM
        start = targets[arcs - 1]
        offset = np.stack([self.i_um[arcs], self.j_um[arcs]], axis=1) / UM_PER_MM
        return start, targets[arcs], start + offset, self.turn[arcs]


@dataclass(frozen=True, eq=False)
class Work:
    """A placed work on a machine, in the order in which it burns. `toolpath.layer` counts in `layers`."""

    title: str
    machine: MachineProfile
    material: Material
    margin_mm: float
    layers: tuple[Layer, ...]
    toolpath: Toolpath
    warnings: tuple[str, ...]
    rotary: Rotary | None = None

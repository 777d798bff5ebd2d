"""The placed work: what each operation burns, in machine coordinates, and how the head moves to do it.

Machine coordinates are millimetres, origin at the front left corner of the bed, x to the right, y to the back.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from kerf_optimizer.domain.geometry import Bounds, Path
from kerf_optimizer.domain.machine.arcs import Points, Turns, arc_box, arc_length
from kerf_optimizer.domain.presets import MachineProfile, Material, OperationKind, Preset

UM_PER_MM = 1000
"""Machine files count in micrometres: 0.001 mm is what GRBL's and our numbers resolve."""


@dataclass(frozen=True, eq=False)
class PlacedRaster:
    """A 1-bit picture on the bed: `burn` bool (rows, columns), row 0 at the back; `left_mm`, `front_mm` of its box."""

    burn: NDArray[np.bool_]
    pitch_mm: float
    left_mm: float
    front_mm: float


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


@dataclass(frozen=True, eq=False)
class Toolpath:
    """Moves of the head, each from the previous target; the first from wherever the head stands.

    All arrays have shape (n,): `x_um`, `y_um` int64 targets in micrometres; `s` int32, the beam's step of power during
    the move; `rapid` bool; `feed_mm_per_min` int32, 0 where rapid; `layer` int16, index into the layers, −1 for
    parking. Where there are arcs: `turn` int8, 0 = straight, −1 clockwise, 1 counter-clockwise, and `i_um`, `j_um`
    int64, from an arc's start to its centre (0 where straight); None = all moves are straight.
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

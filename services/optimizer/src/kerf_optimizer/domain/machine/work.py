"""The placed work: what each operation burns, in machine coordinates, and how the head moves to do it.

Machine coordinates are millimetres, origin at the front left corner of the bed, x to the right, y to the back.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from kerf_optimizer.domain.geometry import Bounds, Path
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

    `paths` holds machine coordinates. `s_value` is the power as GRBL's S, `interval_mm` 0 for score and cut.
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
    """Straight moves of the head, each from the previous target; the first from wherever the head stands.

    All arrays have shape (n,): `x_um`, `y_um` int64 targets in micrometres; `s` int32, the beam's S during the move;
    `rapid` bool; `feed_mm_per_min` int32, 0 where rapid; `layer` int16, index into the layers, −1 for parking.
    """

    x_um: NDArray[np.int64]
    y_um: NDArray[np.int64]
    s: NDArray[np.int32]
    rapid: NDArray[np.bool_]
    feed_mm_per_min: NDArray[np.int32]
    layer: NDArray[np.int16]

    def __len__(self) -> int:
        return len(self.x_um)

    @cached_property
    def length_mm(self) -> NDArray[np.float64]:
        """Length of each move, float64 (n,); the first counts as 0, since nobody knows where the head stands."""
        dx = np.diff(self.x_um, prepend=self.x_um[:1])
        dy = np.diff(self.y_um, prepend=self.y_um[:1])
        return np.hypot(dx, dy) / UM_PER_MM

    @cached_property
    def burn_bounds(self) -> Bounds:
        """The box of all burning moves, both ends."""
        burning = np.flatnonzero(self.s > 0)
        return self._bounds(np.concatenate([burning, np.maximum(burning - 1, 0)]))

    @cached_property
    def motion_bounds(self) -> Bounds:
        """The box of all targets, the parking place left out."""
        return self._bounds(np.flatnonzero(self.layer >= 0))

    def _bounds(self, index: NDArray[np.int64]) -> Bounds:
        x_mm, y_mm = self.x_um[index] / UM_PER_MM, self.y_um[index] / UM_PER_MM
        return Bounds(float(x_mm.min()), float(y_mm.min()), float(x_mm.max()), float(y_mm.max()))


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

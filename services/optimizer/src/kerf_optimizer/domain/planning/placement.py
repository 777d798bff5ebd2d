"""Places sources on the bed: sheet coordinates (y down) become machine coordinates (y to the back)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from kerf_core.errors import InvalidArgument
from kerf_optimizer.domain.geometry import Bounds, Drawing, Path, Raster
from kerf_optimizer.domain.machine.work import PlacedRaster
from kerf_optimizer.domain.planning.spec import Corner, Placement, PlanLimits
from kerf_optimizer.domain.presets import MachineProfile

QUARTER_DEG = 90.0
MAX_OFFSET_MM = 3000.0
MAX_MARGIN_MM = 500.0
MAX_ROTATION_DEG = 360.0
FIT_TOLERANCE_MM = 0.0005


@dataclass(frozen=True, eq=False)
class SheetPlacement:
    """How the sheet lies on the bed: `matrix` (2, 2) and one `shifts_mm` (2,) per copy, both float64.

    A point (x, y) of a source, y down, lies at matrix · (x + border, height − border − y) + shift.
    """

    height_mm: float
    border_mm: float
    matrix: NDArray[np.float64]
    shifts_mm: tuple[NDArray[np.float64], ...]
    quarters: int | None
    """Counter-clockwise quarter turns; None = rotated by something else."""
    mirror: bool

    @property
    def copies(self) -> int:
        """How many there are."""
        return len(self.shifts_mm)

    def paths(self, drawing: Drawing) -> tuple[Path, ...]:
        """The drawing's paths in machine coordinates, copy after copy."""
        return self.placed(drawing.paths)

    def placed(self, paths: Sequence[Path]) -> tuple[Path, ...]:
        """Paths of the sheet, which may lie in its border, in machine coordinates, copy after copy."""
        turned = [self._turn(path.points_mm) for path in paths]
        return tuple(
            Path(points + shift, path.closed, path.layer)
            for shift in self.shifts_mm
            for points, path in zip(turned, paths, strict=True)
        )

    def rasters(self, raster: Raster, field: str) -> tuple[PlacedRaster, ...]:
        """The picture in machine coordinates, one per copy. Raises InvalidArgument unless turned by quarters."""
        if self.quarters is None:
            text = "a picture can be turned by multiples of 90 degrees only; turn it before optimizing it."
            raise InvalidArgument.of_field(field, text)
        upright = PlacedRaster(raster.burn, raster.pitch_mm, 0.0, 0.0, raster.power)
        turned = (upright.mirrored() if self.mirror else upright).turned(self.quarters, 0.0, 0.0)
        corners = self._turn(np.array([[0.0, 0.0], [raster.width_mm, raster.height_mm]]))
        left, front = corners.min(axis=0)
        return tuple(
            replace(turned, left_mm=float(left + shift[0]), front_mm=float(front + shift[1]))
            for shift in self.shifts_mm
        )

    def _turn(self, points_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        x_mm, y_mm = (points_mm + self.border_mm).T
        upright = np.stack([x_mm, self.height_mm - y_mm], axis=1)
        turned: NDArray[np.float64] = upright @ self.matrix.T
        return turned


def default_placement(overscan_x_mm: float, overscan_y_mm: float) -> Placement:
    """Where work goes that was not placed: at the front left, moved in so far that the overscan stays on the bed."""
    return Placement(offset_x_mm=float(math.ceil(overscan_x_mm)), offset_y_mm=float(math.ceil(overscan_y_mm)))


def place_sheet(
    used: Sequence[Raster | Drawing],
    placement: Placement,
    machine: MachineProfile,
    limits: PlanLimits,
    border_mm: float = 0.0,
) -> SheetPlacement:
    """How the smallest sheet that holds all `used` sources, and a border around them, lies on the bed.

    Raises InvalidArgument naming `placement.<field>` for figures out of range.
    """
    check_figures(placement, machine)
    copies_x, copies_y = max(1, placement.copies_x), max(1, placement.copies_y)
    if copies_x * copies_y > limits.max_copies:
        text = f"{copies_x} × {copies_y} copies are more than {limits.max_copies}."
        raise InvalidArgument.of_field("placement.copies_x", text, reason="PLAN_TOO_LARGE")
    width_mm = max(source.width_mm for source in used) + 2 * border_mm
    height_mm = max(source.height_mm for source in used) + 2 * border_mm
    matrix, quarters = _matrix(placement)
    corners = np.array([[0, 0], [width_mm, 0], [0, height_mm], [width_mm, height_mm]], dtype=np.float64) @ matrix.T
    low, size = corners.min(axis=0), np.ptp(corners, axis=0)
    counts = np.array([copies_x, copies_y])
    pitch = size + placement.gap_mm
    total = pitch * counts - placement.gap_mm
    origin = sheet_origin(placement, machine, total)
    shifts = tuple(
        origin - low + pitch * np.array([column, row]) for row in range(copies_y) for column in range(copies_x)
    )
    return SheetPlacement(height_mm, border_mm, matrix, shifts, quarters, placement.mirror)


def _matrix(placement: Placement) -> tuple[NDArray[np.float64], int | None]:
    turns = placement.rotation_deg / QUARTER_DEG
    quarters = round(turns) % 4 if turns == round(turns) else None
    if quarters is not None:  # exact, where cos(90°) would leave 6e-17
        cosine, sine = ((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0))[quarters]
    else:
        angle = math.radians(placement.rotation_deg)
        cosine, sine = math.cos(angle), math.sin(angle)
    flip = -1.0 if placement.mirror else 1.0
    return np.array([[cosine * flip, -sine], [sine * flip, cosine]]), quarters


def sheet_origin(placement: Placement, machine: MachineProfile, total: NDArray[np.float64]) -> NDArray[np.float64]:
    """Front left corner on the bed of a box of the size `total` (2,)."""
    bed = np.array([machine.bed_width_mm, machine.bed_height_mm])
    offset = np.array([placement.offset_x_mm, placement.offset_y_mm])
    if placement.corner is Corner.CENTER:
        centred: NDArray[np.float64] = (bed - total) / 2 + offset
        return centred
    right = placement.corner in (Corner.FRONT_RIGHT, Corner.BACK_RIGHT)
    back = placement.corner in (Corner.BACK_LEFT, Corner.BACK_RIGHT)
    return np.where(np.array([right, back]), bed - total - offset, offset)


def check_figures(placement: Placement, machine: MachineProfile) -> None:
    """Raise InvalidArgument naming `placement.<field>` for figures out of range."""
    for field, value, low, high in (
        ("offset_x_mm", placement.offset_x_mm, -MAX_OFFSET_MM, MAX_OFFSET_MM),
        ("offset_y_mm", placement.offset_y_mm, -MAX_OFFSET_MM, MAX_OFFSET_MM),
        ("margin_mm", placement.margin_mm, 0.0, MAX_MARGIN_MM),
        ("gap_mm", placement.gap_mm, 0.0, MAX_MARGIN_MM),
        ("rotation_deg", placement.rotation_deg, -MAX_ROTATION_DEG, MAX_ROTATION_DEG),
        ("copies_x", placement.copies_x, 0, 100),
        ("copies_y", placement.copies_y, 0, 100),
    ):
        if not math.isfinite(value) or not low <= value <= high:
            raise InvalidArgument.of_field(f"placement.{field}", f"{value:g} is outside {low:g} to {high:g}.")
    if 2 * placement.margin_mm >= min(machine.bed_width_mm, machine.bed_height_mm):
        text = f"a margin of {placement.margin_mm:g} mm leaves nothing of the bed."
        raise InvalidArgument.of_field("placement.margin_mm", text)


def check_fit(motion: Bounds, placement: Placement, machine: MachineProfile) -> None:
    """Raise InvalidArgument (OUT_OF_BED) if the head would leave the bed less its margin, saying what would fit."""
    margin = placement.margin_mm
    sides = {
        "left": margin - motion.min_x_mm,
        "right": motion.max_x_mm - (machine.bed_width_mm - margin),
        "front": margin - motion.min_y_mm,
        "back": motion.max_y_mm - (machine.bed_height_mm - margin),
    }
    over = {side: mm for side, mm in sides.items() if mm > FIT_TOLERANCE_MM}
    if not over:
        return
    needs = (motion.max_x_mm - motion.min_x_mm, motion.max_y_mm - motion.min_y_mm)
    free = (machine.bed_width_mm - 2 * margin, machine.bed_height_mm - 2 * margin)
    sides_text = ", ".join(f"{mm:.2f} mm on the {side}" for side, mm in over.items())
    text = (
        f"the head (overscan included) would leave the free area of {machine.name} by {sides_text}. "
        f"{_advice(needs, free, motion, margin)}"
    )
    raise InvalidArgument.of_field("placement", text, reason="OUT_OF_BED")


def _advice(needs: tuple[float, float], free: tuple[float, float], motion: Bounds, margin_mm: float) -> str:
    have = f"It needs {needs[0]:.2f} × {needs[1]:.2f} mm and {free[0]:.2f} × {free[1]:.2f} mm are free"
    if needs[0] > free[0] + FIT_TOLERANCE_MM or needs[1] > free[1] + FIT_TOLERANCE_MM:
        share = min(free[0] / needs[0], free[1] / needs[1])
        return f"{have}: make the work smaller, to about {100 * share:.0f} % of its size, or take fewer copies."
    moves = []
    low, high = (motion.min_x_mm, motion.min_y_mm), (motion.max_x_mm, motion.max_y_mm)
    for axis, start, end, room in zip(("right", "back"), low, high, free, strict=True):
        shift = max(margin_mm - start, 0.0) - max(end - margin_mm - room, 0.0)
        opposite = {"right": "left", "back": "front"}[axis]
        if abs(shift) > FIT_TOLERANCE_MM:
            moves.append(f"{abs(shift):.2f} mm to the {axis if shift > 0 else opposite}")
    return f"{have}: it fits if moved {' and '.join(moves)}."


def used_sources(inputs: Iterable[int], sources: Sequence[Raster | Drawing]) -> list[Raster | Drawing]:
    """The sources that operations refer to, each once, in their order."""
    return [sources[index] for index in sorted(set(inputs))]

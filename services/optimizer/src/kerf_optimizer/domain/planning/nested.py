"""Where each source lies on the bed: all on one sheet that is repeated, or each part nested on a sheet of material."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kerf_core.errors import InvalidArgument
from kerf_optimizer.domain.geometry import Drawing, Path, Raster, rotation
from kerf_optimizer.domain.machine.work import PlacedRaster
from kerf_optimizer.domain.nesting import NestedPart, Nesting, Pose, nest
from kerf_optimizer.domain.planning.placement import QUARTER_DEG, SheetPlacement, check_figures, sheet_origin
from kerf_optimizer.domain.planning.spec import Placement, PlanLimits
from kerf_optimizer.domain.presets import MachineProfile


@dataclass(frozen=True, eq=False)
class NestedPlacement:
    """How the copies of one part lie on the bed: a placement for each angle. See `SheetPlacement`."""

    turned: tuple[SheetPlacement, ...]

    @property
    def copies(self) -> int:
        """How many there are."""
        return sum(sheet.copies for sheet in self.turned)

    def placed(self, paths: Sequence[Path]) -> tuple[Path, ...]:
        """Paths of a source in machine coordinates, copy after copy."""
        return tuple(path for sheet in self.turned for path in sheet.placed(paths))

    def rasters(self, raster: Raster, field: str) -> tuple[PlacedRaster, ...]:
        """The picture in machine coordinates, one per copy."""
        return tuple(placed for sheet in self.turned for placed in sheet.rasters(raster, field))


def place_nested(
    nesting: Nesting,
    sources: Sequence[Raster | Drawing],
    around: Mapping[int, Sequence[Path]],
    placement: Placement,
    machine: MachineProfile,
    limits: PlanLimits,
    check_cancelled: Callable[[], None],
) -> tuple[dict[int, NestedPlacement], list[str]]:
    """Where each source of a part lies, by its index, and what was left out.

    `around` holds paths that burn around sources, by their index. The sheet of material lies where `placement` says.
    Raises InvalidArgument: NESTING_DOES_NOT_FIT naming the parts unless they may be left out, as `nest` does, and for
    what nesting decides itself: copies, rotation, mirror and gap of the placement.
    """
    check_figures(placement, machine)
    _refuse_twice_decided(placement)
    poses, left_out = nest(nesting, sources, around, limits.nesting, check_cancelled)
    missing = [
        f"{count} of {part.copies} copies of {_name(number, part)}"
        for number, (part, count) in enumerate(zip(nesting.parts, left_out, strict=True))
        if count
    ]
    sheet_text = f"the sheet of {nesting.sheet_width_mm:g} × {nesting.sheet_height_mm:g} mm"
    if missing and not (nesting.leave_out and poses):
        text = f"{', '.join(missing)} do not fit on {sheet_text}; take fewer, a larger sheet or a smaller gap."
        raise InvalidArgument.of_field("nesting.parts", text, reason="NESTING_DOES_NOT_FIT")
    size = np.array([nesting.sheet_width_mm, nesting.sheet_height_mm])
    origin = sheet_origin(placement, machine, size)
    placed = {
        index: _placement([pose for pose in poses if pose.part == number], height_mm, origin)
        for number, part in enumerate(nesting.parts)
        for height_mm in [max(sources[index].height_mm for index in part.inputs)]
        for index in part.inputs
    }
    return placed, [f"Left out, since they do not fit on {sheet_text}: {', '.join(missing)}."] if missing else []


def _placement(poses: Sequence[Pose], height_mm: float, origin: NDArray[np.float64]) -> NestedPlacement:
    angles = list(dict.fromkeys(pose.angle_deg for pose in poses))
    return NestedPlacement(
        tuple(
            SheetPlacement(
                height_mm=height_mm,
                border_mm=0.0,
                matrix=rotation(angle),
                shifts_mm=tuple(np.add(origin, (pose.x_mm, pose.y_mm)) for pose in poses if pose.angle_deg == angle),
                quarters=None if angle % QUARTER_DEG else round(angle / QUARTER_DEG) % 4,
                mirror=False,
            )
            for angle in angles
        )
    )


def _refuse_twice_decided(placement: Placement) -> None:
    for field, decided in (
        ("rotation_deg", placement.rotation_deg != 0),
        ("mirror", placement.mirror),
        ("copies_x", placement.copies_x > 1),
        ("copies_y", placement.copies_y > 1),
        ("gap_mm", placement.gap_mm != 0),
    ):
        if decided:
            text = "nesting decides about this; leave it out, or leave nesting out."
            raise InvalidArgument.of_field(f"placement.{field}", text)


def _name(number: int, part: NestedPart) -> str:
    return f"{part.name[:64]!r}" if part.name else f"part {number}"

"""Nests parts on a sheet of material: their outlines become cells, are packed, and become poses again.

A cell belongs to a part if the part, grown by half the gap, touches it. Parts that share no cell are therefore never
nearer to each other than the gap, whatever the size of the cells; smaller cells only waste less.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from kerf_core.errors import InvalidArgument
from kerf_optimizer.domain.geometry import Drawing, Path, Raster, rotation
from kerf_optimizer.domain.nesting.packing import Cells, Piece, pack

MIN_SHEET_MM, MAX_SHEET_MM = 10.0, 3000.0
MAX_GAP_MM = 100.0
MIN_STEP_DEG = 15.0
MAX_COPIES = 1000
FULL_TURN_DEG = 360.0
_LEAST_GROWTH_MM = 0.002
"""What parts grow by at least, so that lines have an area and rounding to micrometres cannot make parts meet."""
_GENEROUS = 1.01 / math.cos(math.pi / 64)
"""Parts grow by a little more: chords of rounded corners, 16 to a quarter, lie inside the circle, and GEOS simplifies
what it grows by up to a hundredth."""
_FINE = 4
_SHIFT = 8


@dataclass(frozen=True)
class NestedPart:
    """What stays together: sources by their index, their top left corners at one point. `name` is for reports.

    `drawings` are indices into the drawings of a plan; once these were made, they are sources like all others.
    """

    inputs: tuple[int, ...]
    copies: int = 1
    name: str = ""
    drawings: tuple[int, ...] = ()


@dataclass(frozen=True)
class Nesting:
    """A sheet of material and what shall lie on it.

    Nothing lies within `margin_mm` of the sheet's edge, or nearer than `gap_mm` to another copy. Parts are turned by
    multiples of `rotation_step_deg` (0 = not at all); pictures only by quarters. `leave_out`: copies that do not fit
    are left out and named in a warning; otherwise they are an error.
    """

    sheet_width_mm: float
    sheet_height_mm: float
    parts: tuple[NestedPart, ...]
    gap_mm: float = 0.0
    margin_mm: float = 0.0
    rotation_step_deg: float = 0.0
    leave_out: bool = False


@dataclass(frozen=True)
class NestingLimits:
    """What one nesting may cost: cells of the sheet, cells that are compared, and nodes of all parts."""

    max_cells: int = 250_000
    max_work: int = 4_000_000_000
    max_nodes: int = 100_000


@dataclass(frozen=True)
class Pose:
    """Where a copy of a part lies on the sheet of material (origin at its front left, y to the back).

    A point (x, y) of the part, y down, lies at rotation(angle) · (x, height − y) + (x_mm, y_mm), where height is the
    part's, the largest of its sources'.
    """

    part: int
    angle_deg: float
    x_mm: float
    y_mm: float


@dataclass(frozen=True, eq=False)
class _Turned:
    """A part turned by an angle: its cells, and where their first corner lies in the part's turned coordinates."""

    angle_deg: float
    cells: Cells
    corner: NDArray[np.float64]


def nest(
    nesting: Nesting,
    sources: Sequence[Raster | Drawing],
    around: Mapping[int, Sequence[Path]],
    limits: NestingLimits,
    check_cancelled: Callable[[], None],
) -> tuple[list[Pose], list[int]]:
    """Poses of all copies that fit, and how many of each part do not. `around`: further paths of sources, by index.

    Largest parts first, each copy as near to the front left as it can. Deterministic. Raises InvalidArgument naming
    `nesting.<field>`, NESTING_TOO_LARGE beyond the limits, and whatever `check_cancelled` raises.
    """
    _check(nesting, len(sources))
    _refuse_too_detailed(nesting, sources, around, limits.max_nodes)
    free_mm = np.array([nesting.sheet_width_mm, nesting.sheet_height_mm]) - 2 * nesting.margin_mm
    growth_mm = max(nesting.gap_mm / 2, _LEAST_GROWTH_MM)
    grown_mm = free_mm + 2 * growth_mm
    cell_mm = math.sqrt(float(grown_mm.prod()) / limits.max_cells)
    columns, rows = (math.floor(side / cell_mm) for side in grown_mm.tolist())
    turned, areas = [], []
    for part in nesting.parts:
        check_cancelled()
        extra = [path for index in part.inputs for path in around.get(index, ())]
        outline = _outline([sources[index] for index in part.inputs], extra).buffer(growth_mm * _GENEROUS)
        areas.append(outline.area)
        has_picture = any(isinstance(sources[index], Raster) for index in part.inputs)
        turned.append(_all_turned(outline, _angles(nesting, has_picture), cell_mm, (rows, columns)))
    order = sorted(range(len(turned)), key=lambda part: (-areas[part], part))
    pieces = [Piece(tuple(each.cells for each in turned[part]), nesting.parts[part].copies) for part in order]
    left_out = [part.copies for part in nesting.parts]
    poses = []
    first = np.full(2, nesting.margin_mm - growth_mm)
    for place in pack(pieces, rows, columns, limits.max_work, check_cancelled):
        number = order[place.piece]
        way = turned[number][place.turn]
        x_mm, y_mm = (first + np.array([place.column, place.row]) * cell_mm - way.corner).tolist()
        poses.append(Pose(number, way.angle_deg, x_mm, y_mm))
        left_out[number] -= 1
    return poses, left_out


def _check(nesting: Nesting, sources: int) -> None:
    for field, value, low, high in (
        ("sheet_width_mm", nesting.sheet_width_mm, MIN_SHEET_MM, MAX_SHEET_MM),
        ("sheet_height_mm", nesting.sheet_height_mm, MIN_SHEET_MM, MAX_SHEET_MM),
        ("gap_mm", nesting.gap_mm, 0.0, MAX_GAP_MM),
        ("margin_mm", nesting.margin_mm, 0.0, min(nesting.sheet_width_mm, nesting.sheet_height_mm) / 2 - 1),
        ("rotation_step_deg", nesting.rotation_step_deg, 0.0, FULL_TURN_DEG),
    ):
        if not (math.isfinite(value) and low <= value <= high):
            raise InvalidArgument.of_field(f"nesting.{field}", f"{value:g} is outside {low:g} to {high:g}.")
    if 0 < nesting.rotation_step_deg < MIN_STEP_DEG:
        text = f"{nesting.rotation_step_deg:g} is less than {MIN_STEP_DEG:g}; 0 = parts are not turned."
        raise InvalidArgument.of_field("nesting.rotation_step_deg", text)
    if not nesting.parts or sum(part.copies for part in nesting.parts) > MAX_COPIES:
        raise InvalidArgument.of_field("nesting.parts", f"give 1 to {MAX_COPIES} copies of parts in all.")
    seen: set[int] = set()
    for number, part in enumerate(nesting.parts):
        wrong = [index for index in part.inputs if not 0 <= index < sources or index in seen]
        if wrong or not part.inputs or part.copies < 1:
            text = "name sources that are there, each in one part only, and at least one copy."
            raise InvalidArgument.of_field(f"nesting.parts[{number}]", text)
        seen.update(part.inputs)


def _refuse_too_detailed(
    nesting: Nesting, sources: Sequence[Raster | Drawing], around: Mapping[int, Sequence[Path]], max_nodes: int
) -> None:
    nodes = 0
    for index in (index for part in nesting.parts for index in part.inputs):
        source = sources[index]
        nodes += source.nodes if isinstance(source, Drawing) else 0
        nodes += sum(len(path.points_mm) for path in around.get(index, ()))
    if nodes > max_nodes:
        text = f"The parts have {nodes:,} nodes, more than {max_nodes:,} that can be nested. Send simpler ones."
        raise InvalidArgument("NESTING_TOO_LARGE", text)


def _angles(nesting: Nesting, has_picture: bool) -> list[float]:
    step = nesting.rotation_step_deg
    angles = [number * step for number in range(math.ceil(FULL_TURN_DEG / step))] if step else [0.0]
    return [angle for angle in angles if not has_picture or angle % 90 == 0]


def _outline(sources: Sequence[Raster | Drawing], around: Sequence[Path]) -> BaseGeometry:
    """All that the sources touch or enclose, y up: closed paths count with what lies in them, pictures as boxes."""
    height_mm = max(source.height_mm for source in sources)
    shapes: list[BaseGeometry] = [
        shapely.box(0, height_mm - source.height_mm, source.width_mm, height_mm)
        for source in sources
        if isinstance(source, Raster)
    ]
    drawn = [path for source in sources if isinstance(source, Drawing) for path in source.paths]
    for path in (*drawn, *around):
        points = np.array([0.0, height_mm]) + path.points_mm * (1.0, -1.0)
        shapes.append(shapely.LineString(points))
        if path.closed and len(points) > 2:
            shapes.append(shapely.make_valid(shapely.Polygon(points)))
    if not shapes:
        raise InvalidArgument.of_field("nesting.parts", "a part has nothing in it.", reason="NOTHING_TO_BURN")
    return shapely.union_all(shapes)


def _all_turned(outline: BaseGeometry, angles: Sequence[float], cell_mm: float, room: tuple[int, int]) -> list[_Turned]:
    """The part in all ways in which it fits on an empty sheet, each pattern of cells once."""
    found: dict[tuple[tuple[int, ...], bytes], _Turned] = {}
    for angle in angles:
        turned = shapely.transform(outline, partial(_rotated, rotation(angle)))
        corner = np.array(turned.bounds[:2])
        columns, rows = (max(1, math.ceil(side / cell_mm)) for side in np.array(turned.bounds[2:]) - corner)
        if rows > room[0] or columns > room[1]:
            continue
        cells = _cells(turned, corner, cell_mm, (rows, columns))
        found.setdefault((cells.shape, cells.tobytes()), _Turned(angle, cells, corner))
    return list(found.values())


def _rotated(matrix: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    rotated: NDArray[np.float64] = points @ matrix.T
    return rotated


def _cells(area: BaseGeometry, corner: NDArray[np.float64], cell_mm: float, shape: tuple[int, int]) -> Cells:
    """All cells that the area touches, and at most a quarter of a cell more: holes count as area."""
    fine = np.zeros((shape[0] * _FINE, shape[1] * _FINE), dtype=np.uint8)
    for polygon in shapely.get_parts(area):
        points = (shapely.get_coordinates(polygon.exterior) - corner) / cell_mm * _FINE - 0.5
        ring = np.rint(points * (1 << _SHIFT)).astype(np.int32)
        cv2.fillPoly(fine, [ring], (1.0,), shift=_SHIFT)
        cv2.polylines(fine, [ring], isClosed=True, color=(1.0,), shift=_SHIFT)
    # A pixel that is touched, but was not drawn, is next to one that was.
    fine = cv2.dilate(fine, np.ones((3, 3), dtype=np.uint8)).astype(np.uint8)
    return np.asarray(fine.reshape(shape[0], _FINE, shape[1], _FINE).any(axis=(1, 3)))

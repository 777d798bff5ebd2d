"""A cut line around the art, at a distance from everything that burns."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry
from skimage.measure import find_contours

from kerf_core.errors import InvalidArgument
from kerf_optimizer.domain.geometry import Drawing, Path, Raster
from kerf_optimizer.domain.planning.spec import Contour, OperationKind, too_large

MAX_DISTANCE_MM = 100.0
MIN_AREA_NODES = 3
CHORD_ERROR_MM = 0.01
"""How far the round corners' chords lie inside their arcs; up to twice as far where two corners meet."""
MAX_CELLS = 4_000_000
"""Cells that distances from a picture are kept for: larger pictures are seen in squares of several pixels."""
SIMPLIFIED_CELLS = 0.25
"""How far a line around a picture may be moved to have fewer points."""
ROUNDING_CELLS = 0.15
"""What interpolating between the middles of cells may take off a distance."""
_SEGMENTS_AT_ONCE = 64


def check_contour(contour: Contour, kind: OperationKind, field: str) -> None:
    """Raise InvalidArgument naming the field of a contour that cannot be."""
    _check_distance(contour.distance_mm, f"{field}.distance_mm")
    if kind not in (OperationKind.SCORE, OperationKind.CUT):
        raise InvalidArgument.of_field(field, f"a contour is scored or cut; {kind.value} burns areas.")


def _check_distance(distance_mm: float, field: str) -> None:
    if not 0 < distance_mm <= MAX_DISTANCE_MM:
        text = f"{distance_mm:g} mm is outside 0 to {MAX_DISTANCE_MM:g} mm, 0 excluded."
        raise InvalidArgument.of_field(field, text)


def source_contour(
    source: Raster | Drawing, contour: Contour, max_nodes: int, check_cancelled: Callable[[], None]
) -> tuple[Path, ...]:
    """The contour of a source in its own coordinates (y down); points may lie beyond its sheet.

    Raises InvalidArgument (PLAN_TOO_LARGE) where the drawing has more nodes than `max_nodes`, or its lines cross more
    often than that; what `check_cancelled` raises.
    """
    if isinstance(source, Raster):
        return picture_contour(source, contour.distance_mm, holes=contour.keep_holes)
    _refuse_tangles(source, max_nodes, check_cancelled)
    return contour_lines(source.paths, contour.distance_mm, holes=contour.keep_holes)


def contour_lines(
    paths: Sequence[Path], distance_mm: float, *, holes: bool = False, layer: str = ""
) -> tuple[Path, ...]:
    """Closed paths at `distance_mm` around all that the paths enclose and draw, with round corners.

    What comes closer than twice the distance gets one line around it. Without `holes` everything inside an outer line
    counts as filled. With them a closed path in a closed path is its hole, and one in a hole an island: lines also run
    inside, where the art leaves room. Outer lines run clockwise on the screen (y down), holes the other way. Nothing to
    go around: no lines.

    Raises InvalidArgument (INVALID_FIELD) for a distance outside 0 to 100 mm, 0 excluded.
    """
    _check_distance(distance_mm, "distance_mm")
    drawn = [_drawn(path) for path in paths]
    if holes:
        # The borders are noded by their union; areas alternate from the outside to the inside.
        closed = [line for line, path in zip(drawn, paths, strict=True) if path.closed and path.length_mm > 0]
        shapes = [*drawn, shapely.build_area(shapely.union_all(closed))]
    else:
        shapes = [*drawn, *(_filled(path) for path in paths if path.closed and len(path.points_mm) >= MIN_AREA_NODES)]
    # Chords of a quarter turn in q pieces lie r·(1 − cos(π / 4q)) inside the arc; the offset grows by as much.
    pieces = max(4, int(np.ceil(np.pi / 4 / np.arccos(max(1 - CHORD_ERROR_MM / distance_mm, 0.5)))))
    around = shapely.buffer(shapely.union_all(shapes), distance_mm, quad_segs=pieces)
    return tuple(_lines(around, layer, holes=holes))


def _drawn(path: Path) -> BaseGeometry:
    if path.length_mm == 0:
        return shapely.Point(path.points_mm[0])
    return shapely.LineString(np.concatenate([path.points_mm, path.points_mm[:1]]) if path.closed else path.points_mm)


def _filled(path: Path) -> BaseGeometry:
    return shapely.make_valid(shapely.Polygon(path.points_mm))


def picture_contour(raster: Raster, distance_mm: float, *, holes: bool = False) -> tuple[Path, ...]:
    """As `contour_lines`, around all pixels that burn: nowhere closer to one, and at most two pixels farther away.

    A picture with more than `MAX_CELLS` pixels, the distance around it counted, is seen in larger squares.
    """
    _check_distance(distance_mm, "distance_mm")
    burn, cell_mm = _in_cells(raster, distance_mm)
    if not burn.any():
        return ()
    pad = math.ceil(distance_mm / cell_mm) + 3
    free = np.pad(~burn, pad, constant_values=True).astype(np.uint8)
    away_mm = cv2.distanceTransform(free, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) * cell_mm
    # From the middle of a cell to its corner, and what rounding and fewer points may take.
    level_mm = distance_mm + cell_mm * (math.sqrt(0.5) + SIMPLIFIED_CELLS + ROUNDING_CELLS)
    rings = [ring[:, ::-1] for ring in find_contours(away_mm, level_mm) if len(ring) > MIN_AREA_NODES]
    lines = shapely.multilinestrings([shapely.linestrings((ring - pad + 0.5) * cell_mm) for ring in rings])
    area = shapely.simplify(shapely.build_area(lines), SIMPLIFIED_CELLS * cell_mm)
    return tuple(_lines(area, "", holes=holes))


def _in_cells(raster: Raster, distance_mm: float) -> tuple[NDArray[np.bool_], float]:
    """What burns in squares of so many pixels that few enough are needed; a square burns if a pixel in it does."""
    rows, columns = raster.burn.shape
    around = 2 * distance_mm / raster.pitch_mm
    side = max(1, math.ceil(math.sqrt((rows + around) * (columns + around) / MAX_CELLS)))
    padded = np.pad(raster.burn, ((0, -rows % side), (0, -columns % side)))
    squares = padded.reshape(padded.shape[0] // side, side, padded.shape[1] // side, side)
    cells: NDArray[np.bool_] = np.asarray(squares.any(axis=(1, 3)))
    return cells, side * raster.pitch_mm


def _lines(area: BaseGeometry, layer: str, *, holes: bool) -> Iterator[Path]:
    """The borders of an area; without holes only the outermost ones."""
    if not holes:
        area = shapely.union_all([shapely.Polygon(part.exterior) for part in shapely.get_parts(area) if part.area > 0])
    for part in shapely.get_parts(area):
        if part.is_empty:
            continue
        for index, ring in enumerate([part.exterior, *part.interiors]):
            path = Path(np.array(ring.coords)[:-1, :2], True, layer)
            yield path if (path.area_mm2 > 0) == (index == 0) else path.reversed()


def _refuse_tangles(drawing: Drawing, most: int, check_cancelled: Callable[[], None]) -> None:
    """Count what meets what, some segments at a time, and stop when it is too much: n segments can cross n² times."""
    if drawing.nodes > most:
        raise too_large(f"the drawing has {drawing.nodes} nodes; at most {most} get a contour; simplify it")
    if not drawing.paths:
        return
    starts = np.concatenate([path.points_mm[: len(path.segments_mm)] for path in drawing.paths])
    steps = np.concatenate([path.segments_mm for path in drawing.paths])
    segments = np.asarray(shapely.linestrings(np.stack([starts, starts + steps], axis=1)))
    tree = shapely.STRtree(segments)
    left = most + 3 * len(segments)  # each meets itself and its two neighbours
    for at in range(0, len(segments), _SEGMENTS_AT_ONCE):
        check_cancelled()
        left -= tree.query(segments[at : at + _SEGMENTS_AT_ONCE], predicate="intersects").shape[1]
        if left < 0:
            raise too_large(f"the drawing's lines cross more than {most // 2} times; simplify it")

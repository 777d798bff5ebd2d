"""Areas as paths, and outlines as areas: what may be filled or cut without a line that burns twice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from kerf_core.errors import InvalidArgument
from kerf_optimizer.domain.geometry import Path, path_of

GRID_MM = 0.001
MAX_CROSSINGS = 2000
_SEGMENTS_AT_ONCE = 64
Points = NDArray[np.float64]


def wound_area(rings: Sequence[Points]) -> BaseGeometry:
    """What rings, float64 (n, 2) each, enclose by the non-zero winding rule, as fonts mean them.

    Raises InvalidArgument (OUTLINE_TANGLED) where they cross so often that the faces between them would be countless.
    """
    usable = [ring for ring in rings if len(ring) > 2]
    if not usable:
        return shapely.Polygon()
    _refuse_tangles(usable)
    lines = shapely.union_all([shapely.LinearRing(ring) for ring in usable])
    faces = [face for face in shapely.get_parts(shapely.polygonize([lines])) if face.area > 0]
    inside = [face for face in faces if sum(_winding(ring, face.representative_point()) for ring in usable)]
    return shapely.union_all(inside)


def _refuse_tangles(rings: Sequence[Points]) -> None:
    """Count what meets what, some segments at a time, and stop when it is too much: n segments can cross n² times."""
    ends = np.concatenate([np.stack([ring, np.roll(ring, -1, axis=0)], axis=1) for ring in rings])
    segments = np.asarray(shapely.linestrings(ends))
    tree = shapely.STRtree(segments)
    left = 2 * MAX_CROSSINGS + 3 * len(segments)  # each meets itself and its two neighbours
    for at in range(0, len(segments), _SEGMENTS_AT_ONCE):
        left -= tree.query(segments[at : at + _SEGMENTS_AT_ONCE], predicate="intersects").shape[1]
        if left < 0:
            text = f"An outline crosses itself more than {MAX_CROSSINGS:,} times. Send a simpler one."
            raise InvalidArgument("OUTLINE_TANGLED", text)


def _winding(ring: Points, point: shapely.Point) -> int:
    """How often a ring runs around a point, counter-clockwise where y grows upwards."""
    start = ring - (point.x, point.y)
    end = np.roll(start, -1, axis=0)
    side = start[:, 0] * end[:, 1] - end[:, 0] * start[:, 1]
    up = (start[:, 1] <= 0) & (end[:, 1] > 0) & (side > 0)
    down = (start[:, 1] > 0) & (end[:, 1] <= 0) & (side < 0)
    return int(up.sum()) - int(down.sum())


def area_paths(area: BaseGeometry, layer: str = "") -> tuple[Path, ...]:
    """The borders of an area in sheet coordinates, on a grid of 0.001 mm: outer ones clockwise on the screen."""
    snapped = shapely.set_precision(area, GRID_MM)
    # Counter-clockwise by shapely's y-up reckoning is clockwise where y grows downwards.
    polygons = [shapely.orient_polygons(each) for each in shapely.get_parts(snapped) if each.geom_type == "Polygon"]
    return tuple(
        path_of(points, closed=True, layer=layer)
        for points in _rings(polygons)
        if len(points) > 2  # what the grid left of a sliver
    )


def _rings(polygons: Iterable[BaseGeometry]) -> Iterator[Points]:
    for polygon in polygons:
        for ring in shapely.get_rings(shapely.simplify(polygon, 0.0)):
            yield shapely.get_coordinates(ring)[:-1]

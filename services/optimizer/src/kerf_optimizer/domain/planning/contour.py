"""A cut line around the art, at a distance from everything that burns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely

from kerf_core.errors import InvalidArgument
from kerf_optimizer.domain.geometry import Path

MAX_DISTANCE_MM = 100.0
MIN_AREA_NODES = 3
CHORD_ERROR_MM = 0.01
"""How far the round corners' chords lie inside their arcs; up to twice as far where two corners meet."""


def contour_lines(
    paths: Sequence[Path], distance_mm: float, *, holes: bool = False, layer: str = ""
) -> tuple[Path, ...]:
    """Closed paths at `distance_mm` around all that the paths enclose and draw, with round corners.

    Closed paths count as filled, whatever lies in them; open ones as lines. What comes closer than twice the distance
    gets one line around it. `holes` also keeps lines inside, around what the art encloses as a whole without filling
    it. Outer lines run clockwise on the screen (y down), holes the other way. Nothing to go around: no lines.

    Raises InvalidArgument (INVALID_FIELD) for a distance outside 0 to 100 mm, 0 excluded.
    """
    if not 0 < distance_mm <= MAX_DISTANCE_MM:
        text = f"{distance_mm:g} mm is outside 0 to {MAX_DISTANCE_MM:g} mm, 0 excluded."
        raise InvalidArgument.of_field("distance_mm", text)
    shapes: list[shapely.Geometry] = []
    for path in paths:
        if path.closed and len(path.points_mm) >= MIN_AREA_NODES:
            shapes.append(shapely.make_valid(shapely.Polygon(path.points_mm)))
        elif path.length_mm > 0:
            shapes.append(shapely.LineString(path.points_mm))
        else:
            shapes.append(shapely.Point(path.points_mm[0]))
    # Chords of a quarter turn in q pieces lie r·(1 − cos(π / 4q)) inside the arc; the offset grows by as much.
    pieces = max(4, int(np.ceil(np.pi / 4 / np.arccos(max(1 - CHORD_ERROR_MM / distance_mm, 0.5)))))
    around = shapely.buffer(shapely.union_all(shapes), distance_mm, quad_segs=pieces)
    lines: list[Path] = []
    for part in shapely.get_parts(around)[~shapely.is_empty(shapely.get_parts(around))]:
        rings = [part.exterior, *(part.interiors if holes else ())]
        for index, ring in enumerate(rings):
            path = Path(np.array(ring.coords)[:-1, :2], True, layer)
            lines.append(path if (path.area_mm2 > 0) == (index == 0) else path.reversed())
    return tuple(lines)

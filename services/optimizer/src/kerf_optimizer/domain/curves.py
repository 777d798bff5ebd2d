"""Curves of SVG path data to polylines."""

from __future__ import annotations

import itertools
import math
import re

import numpy as np
import svgelements
from numpy.typing import NDArray

from kerf_core.errors import InvalidArgument

Polyline = tuple[NDArray[np.float64], bool]
"""Points, float64 (n, 2) with n ≥ 2, and whether it is closed; the first point of a closed one is not repeated."""

_PLAIN = re.compile(r"M[MLZ0-9.,-]+")
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_RUN = re.compile(r"[MmLlHhVvCcSsQqTtAaZz][^MmLlHhVvCcSsQqTtAaZz]*")
_NUMBERS_PER_SEGMENT = {"m": 2, "l": 2, "h": 1, "v": 1, "c": 6, "s": 4, "q": 4, "t": 2, "a": 7, "z": 1}
_SAME_POINT = 1e-9
_ARC_SLICE = 0.05  # of a turn: the cubic that stands for 18° is off by far less than a micrometre


def polylines(path_data: str) -> list[Polyline] | None:
    """Path data of absolute M, L and Z with commas between the numbers, as kerf writes it; None for anything else.

    A fast way beside svgelements, which is slower by two orders of magnitude.
    """
    if _PLAIN.fullmatch(path_data) is None:
        return None
    found: list[Polyline] = []
    for part in path_data[1:].split("M"):
        closed = part.endswith("Z")
        text = part.removesuffix("Z").replace("L", ",")
        try:
            points = np.array(text.split(","), dtype=np.float64).reshape(-1, 2)
        except ValueError:  # written in another style: not for the fast way
            return None
        _append(found, points, closed)
    return found


def count_segments(path_data: str) -> int:
    """About how many segments the path data has, without building them: what reading it will cost."""
    return sum(
        max(1, len(_NUMBER.findall(run)) // _NUMBERS_PER_SEGMENT[run[0].lower()]) for run in _RUN.findall(path_data)
    )


def flatten(path: svgelements.Path, tolerance_mm: float, max_nodes: int) -> list[Polyline]:
    """Polylines that stay within `tolerance_mm` of `path`, whose transform must map to millimetres.

    Subpaths of a single point vanish. Raises InvalidArgument (SVG_TOO_LARGE) beyond `max_nodes`, (SVG_DAMAGED) for
    coordinates that are not finite.
    """
    path.reify()
    found: list[Polyline] = []
    points: list[complex] = []
    nodes = 0
    for segment in path:
        if isinstance(segment, svgelements.Move):
            _append(found, _array(points), closed=False)
            points = [_point(segment.end)]
        elif isinstance(segment, svgelements.Close):
            _append(found, _array(points), closed=True)
            points = [_point(segment.end)] if segment.end is not None else []
        else:
            before = len(points)
            for control in _bezier_controls(segment):
                points.extend(bezier_points(control, tolerance_mm, max_nodes))
            nodes += len(points) - before
        if nodes > max_nodes:
            raise _too_many(max_nodes)
    _append(found, _array(points), closed=False)
    return found


def _bezier_controls(segment: svgelements.PathSegment) -> list[list[complex]]:
    """The segment as Bézier curves, each its control points from the segment's start on."""
    if isinstance(segment, svgelements.CubicBezier):
        return [[_point(p) for p in (segment.start, segment.control1, segment.control2, segment.end)]]
    if isinstance(segment, svgelements.QuadraticBezier):
        return [[_point(p) for p in (segment.start, segment.control, segment.end)]]
    if isinstance(segment, svgelements.Arc):
        slices = max(1, math.ceil(abs(float(segment.sweep)) / (math.tau * _ARC_SLICE)))
        return [
            control for cubic in segment.as_cubic_curves(arc_required=slices) for control in _bezier_controls(cubic)
        ]
    return [[_point(segment.end)]]


def bezier_points(control: list[complex], tolerance_mm: float, max_nodes: int) -> list[complex]:
    """Points of a polyline within the tolerance of a Bézier curve, after its start. Raises as `flatten` does."""
    if len(control) == 1:
        return control
    steps = _steps(control, tolerance_mm, max_nodes)
    points = [_at(control, k / steps) for k in range(1, steps)]
    points.append(control[-1])
    return points


def _at(control: list[complex], t: float) -> complex:
    """De Casteljau."""
    while len(control) > 1:
        control = [a + (b - a) * t for a, b in itertools.pairwise(control)]
    return control[0]


def _steps(control: list[complex], tolerance_mm: float, max_nodes: int) -> int:
    """Pieces of a Bézier curve so that chords stay within the tolerance (Wang 1984)."""
    degree = len(control) - 1
    bend = max(abs(a - 2 * b + c) for a, b, c in zip(control, control[1:], control[2:], strict=False))
    steps = math.sqrt(degree * (degree - 1) * bend / (8 * tolerance_mm))
    if steps > max_nodes:
        raise _too_many(max_nodes)
    return max(1, math.ceil(steps))


def _array(points: list[complex]) -> NDArray[np.float64]:
    return np.array([(point.real, point.imag) for point in points])


def _point(point: svgelements.Point) -> complex:
    x, y = float(point.x), float(point.y)
    if not (math.isfinite(x) and math.isfinite(y)):
        raise InvalidArgument("SVG_DAMAGED", "The SVG cannot be used: a coordinate is not a finite number.")
    return complex(x, y)


def _append(found: list[Polyline], points: NDArray[np.float64], closed: bool) -> None:
    if len(points) < 2:
        return
    if len(points) > 2 and np.abs(points[0] - points[-1]).max() <= _SAME_POINT:
        # Back where it began: closed in fact, whether or not it says so.
        points, closed = points[:-1], True
    found.append((points, closed))


def _too_many(max_nodes: int) -> InvalidArgument:
    return InvalidArgument("SVG_TOO_LARGE", f"The SVG has more than {max_nodes:,} nodes. Send a simpler one.")

"""Paths, drawings and rasters."""

import math

import numpy as np
import pytest

from kerf_core.errors import InvalidArgument
from kerf_optimizer.domain.geometry import Bounds, Drawing, Path, Raster, path_of

SQUARE = [(1, 1), (4, 1), (4, 4), (1, 4)]


def test_a_square() -> None:
    square = path_of(SQUARE, closed=True, layer="cut")
    assert square.length_mm == 12
    assert square.area_mm2 == 9  # clockwise on the screen
    assert square.reversed().area_mm2 == -9
    assert square.reversed().layer == "cut"
    assert square.bounds == Bounds(1, 1, 4, 4)
    assert path_of(SQUARE, closed=False).length_mm == 9
    assert path_of(SQUARE, closed=False).area_mm2 == 0


def test_area_keeps_its_digits_far_from_the_origin() -> None:
    far = Path(np.array([[0, 0], [1e-3, 0], [1e-3, 1e-3], [0, 1e-3]]) + 3000.0, closed=True)
    assert far.area_mm2 == pytest.approx(1e-6, rel=1e-6)


@pytest.mark.parametrize(
    "points", [[(0, 0)], [], [(0, 0, 0), (1, 1, 1)], [(0, 0), (math.nan, 1)], [(0, 0), (math.inf, 1)]]
)
def test_bad_paths_are_refused(points: list[tuple[float, ...]]) -> None:
    with pytest.raises(InvalidArgument) as caught:
        path_of(points, closed=True)
    assert caught.value.reason == "BAD_GEOMETRY"


def test_points_are_a_read_only_copy() -> None:
    points = np.array(SQUARE, dtype=np.float64)
    path = Path(points, closed=True)
    points[0] = 100
    assert path.points_mm[0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        path.points_mm[0] = 5


def test_a_drawing_holds_its_paths() -> None:
    drawing = Drawing(4, 4, (path_of(SQUARE, closed=True, layer="a"), path_of([(0, 0), (1, 1)], closed=False)))
    assert drawing.nodes == 6
    assert drawing.length_mm == pytest.approx(12 + math.sqrt(2))
    assert drawing.bounds == Bounds(0, 0, 4, 4)
    assert drawing.layers() == ("a", "")
    assert Drawing(1, 1, ()).bounds is None


@pytest.mark.parametrize(("width_mm", "height_mm"), [(3.9, 4), (4, 3.9), (0, 4), (-1, 4), (math.nan, 4)])
def test_a_drawing_refuses_what_leaves_it(width_mm: float, height_mm: float) -> None:
    with pytest.raises(InvalidArgument):
        Drawing(width_mm, height_mm, (path_of(SQUARE, closed=True),))


def test_a_raster_has_a_size() -> None:
    raster = Raster(np.array([[True, False, False], [False, False, False]]), 0.1)
    assert (raster.width_px, raster.height_px) == (3, 2)
    assert (raster.width_mm, raster.height_mm) == pytest.approx((0.3, 0.2))
    assert raster.dpi == pytest.approx(254)
    assert raster.burnt_share == pytest.approx(1 / 6)


@pytest.mark.parametrize(
    ("shape", "pitch_mm"), [((0, 3), 0.1), ((3,), 0.1), ((2, 2), 0.0), ((2, 2), -1.0), ((2, 2), math.nan)]
)
def test_bad_rasters_are_refused(shape: tuple[int, ...], pitch_mm: float) -> None:
    with pytest.raises(InvalidArgument):
        Raster(np.zeros(shape, dtype=np.bool_), pitch_mm)

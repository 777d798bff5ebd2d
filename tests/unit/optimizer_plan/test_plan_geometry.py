"""Placement, scan lines, order of paths and time, each against arithmetic of its own."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from kerf_core.errors import InvalidArgument
from kerf_optimizer.domain.geometry import Drawing, Path, Raster, path_of
from kerf_optimizer.domain.machine.timing import estimate_seconds
from kerf_optimizer.domain.machine.work import PlacedRaster, Toolpath
from kerf_optimizer.domain.planning import Corner, Placement, PlanLimits
from kerf_optimizer.domain.planning.ordering import depths, order_runs
from kerf_optimizer.domain.planning.placement import place_sheet
from kerf_optimizer.domain.planning.scan import hatch_stretches, raster_stretches, scan_moves
from kerf_optimizer.domain.presets import machine_profile
from plan_samples import never_cancelled, square

MACHINE = machine_profile("grbl-diode-10w")
LIMITS = PlanLimits()
ARROW = path_of([[0, 0], [10, 0], [0, 4]], closed=True)


def placed(placement: Placement) -> NDArray[np.float64]:
    (path,) = place_sheet([Drawing(10, 4, (ARROW,))], placement, MACHINE, LIMITS).paths(Drawing(10, 4, (ARROW,)))
    return path.points_mm


@pytest.mark.parametrize(
    "placement,expected",
    [
        (Placement(offset_x_mm=5, offset_y_mm=6), [[5, 10], [15, 10], [5, 6]]),
        (Placement(mirror=True), [[10, 4], [0, 4], [10, 0]]),
        (Placement(rotation_deg=90), [[0, 0], [0, 10], [4, 0]]),
        (Placement(rotation_deg=-90), [[4, 10], [4, 0], [0, 10]]),
        (Placement(rotation_deg=180), [[10, 0], [0, 0], [10, 4]]),
        (Placement(rotation_deg=90, mirror=True), [[0, 10], [0, 0], [4, 10]]),
        (Placement(Corner.BACK_RIGHT, 1, 2), [[389, 398], [399, 398], [389, 394]]),
        (Placement(Corner.FRONT_RIGHT, 1, 2), [[389, 6], [399, 6], [389, 2]]),
        (Placement(Corner.BACK_LEFT, 1, 2), [[1, 398], [11, 398], [1, 394]]),
        (Placement(Corner.CENTER), [[195, 202], [205, 202], [195, 198]]),
    ],
)
def test_placement_turns_mirrors_and_counts_from_the_corner(placement: Placement, expected: list[list[float]]) -> None:
    assert placed(placement).tolist() == expected


def test_pictures_turn_with_the_drawing() -> None:
    burn = np.zeros((4, 10), dtype=np.bool_)
    burn[0, 9] = True  # the top right corner
    raster = Raster(burn, 1.0)
    corner = Drawing(10, 4, (path_of([[9, 0], [10, 1]], closed=False),))
    for degrees in (0, 90, 180, 270, -90):
        for mirror in (False, True):
            placement = Placement(offset_x_mm=7, offset_y_mm=3, rotation_deg=degrees, mirror=mirror)
            sheet = place_sheet([raster, corner], placement, MACHINE, LIMITS)
            (picture,) = sheet.rasters(raster, "rotation")
            row, column = (int(index[0]) for index in np.nonzero(picture.burn))
            x_mm = picture.left_mm + (column + 0.5) * picture.pitch_mm
            y_mm = picture.front_mm + (picture.burn.shape[0] - row - 0.5) * picture.pitch_mm
            assert sheet.paths(corner)[0].points_mm.mean(axis=0).tolist() == [x_mm, y_mm]


@given(st.floats(-360, 360), st.booleans(), st.integers(1, 3), st.integers(1, 3), st.floats(0, 20))
def test_placed_copies_keep_their_shape_and_their_corner(
    degrees: float, mirror: bool, columns: int, rows: int, gap: float
) -> None:
    placement = Placement(
        offset_x_mm=3, offset_y_mm=4, rotation_deg=degrees, mirror=mirror, copies_x=columns, copies_y=rows, gap_mm=gap
    )
    sheet = place_sheet([Drawing(10, 4, (ARROW,))], placement, MACHINE, LIMITS)
    paths = sheet.paths(Drawing(10, 4, (square(0, 0, 4), ARROW)))
    assert len(paths) == 2 * columns * rows
    assert all(path.length_mm == pytest.approx(ARROW.length_mm) for path in paths[1::2])
    page = sheet.paths(Drawing(10, 4, (path_of([[0, 0], [10, 0], [10, 4], [0, 4]], closed=True),)))
    low = np.min([path.points_mm.min(axis=0) for path in page], axis=0)
    assert low == pytest.approx([3, 4])


@pytest.mark.parametrize(
    "placement,field",
    [
        (Placement(offset_x_mm=math.inf), "placement.offset_x_mm"),
        (Placement(margin_mm=-1), "placement.margin_mm"),
        (Placement(margin_mm=200), "placement.margin_mm"),
        (Placement(rotation_deg=math.nan), "placement.rotation_deg"),
        (Placement(copies_x=101), "placement.copies_x"),
        (Placement(copies_x=100, copies_y=100), "placement.copies_x"),
    ],
)
def test_bad_placements_name_their_field(placement: Placement, field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        place_sheet([Drawing(10, 4, (ARROW,))], placement, MACHINE, LIMITS)
    assert caught.value.violations[0].field == field


PICTURES = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=30))


@settings(max_examples=100, deadline=None)
@given(PICTURES, st.sampled_from([0.05, 0.0847, 0.1, 0.25]), st.floats(0, 12))
def test_scan_moves_burn_exactly_the_pixels(burn: NDArray[np.bool_], pitch_mm: float, run_up_mm: float) -> None:
    raster = PlacedRaster(burn, pitch_mm, 20.0, 30.0)
    moves = scan_moves(raster_stretches(raster, pitch_mm), run_up_mm)
    painted = np.zeros(burn.shape, dtype=np.int64)
    for i in np.flatnonzero(moves.burns):
        assert moves.y_um[i] == moves.y_um[i - 1]
        ends = np.sort(moves.x_um[[i - 1, i]]) / 1000
        first, last = np.rint((ends - 20.0) / pitch_mm).astype(int)
        painted[burn.shape[0] - 1 - int((moves.y_um[i] / 1000 - 30.0) / pitch_mm), first:last] += 1
    assert np.array_equal(painted, burn.astype(np.int64))
    assert not (moves.burns & moves.rapid).any()
    if burn.any():
        assert moves.rapid[0]
        assert not moves.burns[np.flatnonzero(moves.rapid) + 1].any()  # the run-up


def test_rows_alternate_and_wide_gaps_are_jumped() -> None:
    burn = np.zeros((2, 1000), dtype=np.bool_)
    burn[:, [0, 999]] = True
    moves = scan_moves(raster_stretches(PlacedRaster(burn, 0.1, 10.0, 10.0), 0.1), 2.5)
    assert moves.rapid.sum() == 4
    burning = np.flatnonzero(moves.burns)
    assert np.sign(moves.x_um[burning] - moves.x_um[burning - 1]).tolist() == [1, 1, -1, -1]
    assert moves.x_um.min() == 7_500
    assert moves.x_um.max() == 112_500


def test_another_interval_repeats_or_skips_rows() -> None:
    burn = np.array([[True, False], [False, True]])
    raster = PlacedRaster(burn, 0.2, 0.0, 0.0)
    assert raster_stretches(raster, 0.1).start_um.tolist() == [200, 200, 0, 0]
    assert raster_stretches(raster, 0.4).y_um.tolist() == [200]


POLYGONS = st.lists(
    st.lists(st.tuples(st.floats(0, 20), st.floats(0, 20)), min_size=3, max_size=8).map(
        lambda points: path_of(points, closed=True)
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=100, deadline=None)
@given(POLYGONS, st.sampled_from([0.1, 0.37]))
def test_hatch_is_the_even_odd_inside(paths: list[Path], interval_mm: float) -> None:
    stretches = hatch_stretches(paths, interval_mm)
    assert (stretches.end_um > stretches.start_um).all()
    area: BaseGeometry = shapely.Polygon()
    for path in paths:
        ring = shapely.LineString(np.concatenate([path.points_mm, path.points_mm[:1]]))
        for face in shapely.polygonize([shapely.node(ring)]).geoms:
            if _winding_parity(path, face.representative_point()):
                area = area.symmetric_difference(face)
    hatched_mm2 = float((stretches.end_um - stretches.start_um).sum()) / 1000 * interval_mm
    # A trapezium between two vertices is summed exactly; only the ends of edges are rounded to a line.
    slack = interval_mm * sum(path.length_mm for path in paths) + 0.01
    assert abs(hatched_mm2 - area.area) <= slack


def _winding_parity(path: Path, point: shapely.Point) -> bool:
    ring = np.concatenate([path.points_mm, path.points_mm[:1]])
    crossings = 0
    for (x0, y0), (x1, y1) in itertools.pairwise(ring):
        if (x0 <= point.x) != (x1 <= point.x):
            crossings += y0 + (y1 - y0) * (point.x - x0) / (x1 - x0) > point.y
    return bool(crossings % 2)


def test_depth_counts_the_rings_around() -> None:
    nested = [
        square(0, 0, 20),
        square(5, 5, 10),
        square(6, 6, 2),
        square(30, 0, 5),
        path_of([[7.0, 6.5], [7.0, 7.0]], closed=False),
    ]
    assert depths(nested).tolist() == [0, 1, 2, 0, 3]
    assert depths([square(0, 0, 5), square(0, 0, 5)]).tolist() == [0, 0]
    assert depths([path_of([[0, 0], [1, 1]], closed=False)]).tolist() == [0]
    bow_tie = path_of([[0, 0], [10, 10], [10, 0], [0, 10]], closed=True)
    assert depths([bow_tie, square(0.5, 4.5, 1)]).tolist() == [0, 1]


def test_order_visits_each_path_once_with_less_travel() -> None:
    random = np.random.default_rng(3)
    paths = [
        path_of(random.random((2, 2)) * 2 + random.random(2) * 200, closed=False)
        if i % 2
        else square(float(random.random() * 200), float(random.random() * 200), 2)
        for i in range(120)
    ]
    runs = order_runs(paths, np.zeros(2), never_cancelled)
    again = order_runs(paths, np.zeros(2), never_cancelled)
    assert all(np.array_equal(a, b) for a, b in zip(runs, again, strict=True))
    lengths = sorted(float(np.hypot(*np.diff(run, axis=0).T).sum()) for run in runs)
    assert lengths == pytest.approx(sorted(path.length_mm for path in paths))
    given_order = [np.concatenate([p.points_mm, p.points_mm[:1]]) if p.closed else p.points_mm for p in paths]
    assert _travel_mm(runs) < 0.2 * _travel_mm(given_order)


def _travel_mm(runs: list[NDArray[np.float64]]) -> float:
    return sum(float(np.hypot(*(b[0] - a[-1]))) for a, b in itertools.pairwise(runs))


def toolpath(points_mm: list[tuple[float, float]], feed: int) -> Toolpath:
    um = np.rint(np.array(points_mm) * 1000).astype(np.int64)
    count = len(um)
    return Toolpath(
        x_um=um[:, 0],
        y_um=um[:, 1],
        s=np.full(count, 100, dtype=np.int32),
        rapid=np.zeros(count, dtype=np.bool_),
        feed_mm_per_min=np.full(count, feed, dtype=np.int32),
        layer=np.zeros(count, dtype=np.int16),
    )


TICKS = 3e-3
"""What whole cycles of the controller's timer may make of a time."""


def test_time_of_one_move_is_the_trapezium_s() -> None:
    # 50 mm/s, 500 mm/s²: 0.1 s and 2.5 mm at each end, 95 mm in between.
    assert estimate_seconds(toolpath([(0, 0), (100, 0)], 3000), MACHINE) == pytest.approx(0.2 + 95 / 50, rel=TICKS)
    # Too short to reach the feed: a triangle.
    assert estimate_seconds(toolpath([(0, 0), (1, 0)], 3000), MACHINE) == pytest.approx(
        2 * math.sqrt(1 / 500), rel=TICKS
    )


def test_time_of_collinear_pieces_is_that_of_one_move() -> None:
    pieces = [(float(x), 0.0) for x in range(0, 101, 2)]
    assert estimate_seconds(toolpath(pieces, 3000), MACHINE) == pytest.approx(2.1, rel=TICKS)


def test_short_pieces_are_held_back_by_the_look_ahead_and_corners_by_their_angle() -> None:
    tiny = [(x / 20, 0.0) for x in range(2001)]
    assert estimate_seconds(toolpath(tiny, 3000), MACHINE) > 3.0  # 15 pieces of 0.05 mm brake from 27 mm/s
    there_and_back = estimate_seconds(toolpath([(0, 0), (100, 0), (0, 0)], 3000), MACHINE)
    assert there_and_back == pytest.approx(2 * 2.1, rel=TICKS)
    square_corner = estimate_seconds(toolpath([(0, 0), (100, 0), (100, 100)], 3000), MACHINE)
    assert 2 * 2.1 - 0.2 < square_corner < there_and_back


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 400)), min_size=2, max_size=30), st.integers(60, 6000))
def test_time_is_at_least_that_of_the_feed(points: list[tuple[float, float]], feed: int) -> None:
    path = toolpath(points, feed)
    seconds = estimate_seconds(path, MACHINE)
    assert seconds >= float(path.length_mm.sum()) / (feed / 60) - 1e-9
    faster = dataclasses.replace(MACHINE, acceleration_mm_per_s2=5000.0)
    assert estimate_seconds(path, faster) <= seconds * (1 + TICKS)


def test_overscan_reaches_the_feed() -> None:
    assert MACHINE.run_up_mm(3000) == pytest.approx(2.5)
    assert MACHINE.run_up_mm(6000) == pytest.approx(10.0)

"""Fewer and better moves for the same marks: merged lines, repeats, arcs, contour lines."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kerf_core.errors import InvalidArgument
from kerf_optimizer.domain.geometry import Path, path_of
from kerf_optimizer.domain.planning.arc_fitting import FittedRun, fit_arcs
from kerf_optimizer.domain.planning.cleaning import without_middles, without_repeats
from kerf_optimizer.domain.planning.contour import contour_lines
from plan_samples import square

Points = NDArray[np.float64]
GRID = st.tuples(st.integers(0, 6), st.integers(0, 6))
GRID_PATHS = st.lists(
    st.builds(lambda p, closed: path_of(p, closed=closed), st.lists(GRID, min_size=2, max_size=12), st.booleans()),
    min_size=1,
    max_size=6,
)


def line_of(path: Path) -> shapely.LineString:
    points = np.concatenate([path.points_mm, path.points_mm[:1]]) if path.closed else path.points_mm
    return shapely.LineString(points)


def linework(paths: list[Path]) -> shapely.Geometry:
    """What burns, as a set: overlapping lines are one."""
    return shapely.union_all([line_of(path) for path in paths])


@settings(max_examples=60, deadline=None)
@given(GRID_PATHS)
def test_merging_keeps_every_mark_and_repeats_nothing_less(paths: list[Path]) -> None:
    merged = [without_middles(path) for path in paths]
    for before, after in zip(paths, merged, strict=True):
        assert len(after.points_mm) <= len(before.points_mm)
        assert after.closed == before.closed
        assert after.length_mm == pytest.approx(before.length_mm)  # what was run twice is still run twice
        assert after.points_mm[0].tolist() == before.points_mm[0].tolist()
    if shapely.length(linework(paths)) > 0:
        assert shapely.hausdorff_distance(linework(paths), linework(merged), densify=0.25) < 1e-3


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.0005, 0.01, 0.1]))
def test_merging_stays_within_its_tolerance(seed: int, tolerance_mm: float) -> None:
    random = np.random.default_rng(seed)
    points = np.cumsum(np.abs(random.normal(size=(40, 2))) * [1, 0.02], axis=0)
    before = path_of(points, closed=False)
    after = without_middles(before, tolerance_mm)
    assert shapely.hausdorff_distance(line_of(before), line_of(after), densify=0.02) <= tolerance_mm * 1.001


def test_points_on_a_line_go_and_corners_and_turns_stay() -> None:
    dotted = path_of([[x, 0] for x in range(11)] + [[10, y] for y in range(1, 6)], closed=False)
    assert without_middles(dotted).points_mm.tolist() == [[0, 0], [10, 0], [10, 5]]
    there_and_back = path_of([[0, 0], [5, 0], [10, 0], [5, 0], [2, 0]], closed=False)
    assert without_middles(there_and_back).points_mm.tolist() == [[0, 0], [10, 0], [2, 0]]
    ring = path_of([[0, 0], [1, 0], [2, 0], [2, 2], [1, 2], [0, 2], [0, 1]], closed=True)
    assert without_middles(ring).points_mm.tolist() == [[0, 0], [2, 0], [2, 2], [0, 2]]
    assert len(without_middles(path_of([[1, 1]] * 5, closed=False)).points_mm) >= 2


@settings(max_examples=60, deadline=None)
@given(GRID_PATHS)
def test_without_repeats_every_edge_burns_once(paths: list[Path]) -> None:
    kept = without_repeats(paths)
    edges = [tuple(sorted(map(tuple, pair))) for p in kept for pair in _edges(p)]
    assert len(edges) == len(set(edges))
    given_edges = {tuple(sorted(map(tuple, pair))) for p in paths for pair in _edges(p)}
    assert set(edges) == {edge for edge in given_edges if edge[0] != edge[1]}


def _edges(path: Path) -> list[list[list[float]]]:
    points = list(line_of(path).coords)
    return [[list(a), list(b)] for a, b in itertools.pairwise(points)]


def test_a_shared_edge_burns_once() -> None:
    kept = without_repeats([square(0, 0, 10), square(10, 0, 10)])
    assert sum(path.length_mm for path in kept) == pytest.approx(70)
    assert [path.closed for path in kept] == [True, False]
    assert without_repeats([]) == ()


def arc_points(start: Points, end: Points, center: Points, turn: int) -> Points:
    """An arc as a controller runs it, in fine steps: by angles around its centre."""
    a, b = start - center, end - center
    first = math.atan2(a[1], a[0])
    swept = (math.atan2(b[1], b[0]) - first) * turn % math.tau
    angles = first + turn * swept * np.linspace(0, 1, 200)[1:-1]
    inner = center + np.hypot(*a) * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return np.concatenate([[start], inner, [end]])


def farthest(points: Points, fitted: FittedRun) -> float:
    """How far the moves and the line are apart at most, both ways, move by move."""
    off, begin = 0.0, 0
    for end, turn, center in zip(fitted.end.tolist(), fitted.turn.tolist(), fitted.center_mm, strict=True):
        if turn:
            chords = points[begin : end + 1]
            arc = arc_points(points[begin], points[end], center, turn)
            share = np.linspace(0, 1, 5)[:, None, None]
            along = (chords[:-1] * (1 - share) + chords[1:] * share).reshape(-1, 2)
            there = shapely.distance(shapely.points(arc), shapely.LineString(chords)).max()
            off = max(off, there, shapely.distance(shapely.points(along), shapely.LineString(arc)).max())
        else:
            assert end == begin + 1
        begin = end
    return float(off)


def wavy(seed: int) -> Points:
    """A smooth curve with some straight parts and corners, flattened to 0.01 mm or so."""
    random = np.random.default_rng(seed)
    heading, here, out = 0.0, np.zeros(2), [np.zeros(2)]
    for _ in range(12):
        curvature = float(random.choice([0.0, random.normal(0, 0.3), random.normal(0, 0.05)]))
        heading += float(random.choice([0.0, random.uniform(-2, 2)]))
        for _ in range(int(random.integers(2, 40))):
            heading += curvature * 0.4
            here = here + 0.4 * np.array([math.cos(heading), math.sin(heading)])
            out.append(here)
    return np.rint(np.array(out) * 1000) / 1000


@pytest.mark.parametrize("tolerance_mm", [0.003, 0.02, 0.1])
def test_arcs_stay_within_the_tolerance(tolerance_mm: float) -> None:
    worst = 0.0
    for seed in range(12):
        points = wavy(seed)
        fitted = fit_arcs(points, tolerance_mm)
        assert fitted.end[-1] == len(points) - 1
        worst = max(worst, farthest(points, fitted))
    assert worst <= tolerance_mm + 2e-4  # the judge's own chords are as far off
    assert worst > tolerance_mm / 3  # it sees what there is


def test_curved_art_needs_less_than_half_of_the_moves() -> None:
    turn = np.linspace(0, math.tau, 200)
    heart = np.stack([16 * np.sin(turn) ** 3, 13 * np.cos(turn) - 5 * np.cos(2 * turn) - 2 * np.cos(3 * turn)], axis=1)
    spiral = np.stack([turn * np.cos(3 * turn), turn * np.sin(3 * turn)], axis=1)
    for points in (heart, spiral):
        assert len(fit_arcs(points, 0.02)) < len(points) / 2
    circle = np.stack([10 * np.cos(turn), 10 * np.sin(turn)], axis=1)
    fitted = fit_arcs(circle, 0.01)
    assert len(fitted) <= 3
    assert set(fitted.turn.tolist()) <= {0, 1}
    assert fitted.center_mm[0] == pytest.approx([0, 0], abs=0.002)
    assert fit_arcs(circle[::-1], 0.01).turn[0] == -1


@pytest.mark.parametrize(
    "points",
    [
        [[0, 0], [1, 0]],
        [[0, 0], [1, 0], [2, 0], [3, 0], [4, 0], [5, 0]],
        [[0, 0], [5, 0], [5, 5], [0, 5], [0, 0]],
        [[0, 0], [1, 0], [0, 0], [1, 0], [0, 0], [1, 0]],
        [[2, 2]] * 6,
    ],
)
def test_straight_lines_and_corners_stay_straight(points: list[list[float]]) -> None:
    fitted = fit_arcs(np.array(points, dtype=np.float64), 0.05)
    assert not fitted.turn.any()
    assert fitted.end.tolist() == list(range(1, len(points)))


def test_no_tolerance_means_no_arcs() -> None:
    assert not fit_arcs(wavy(1), 0.0).turn.any()


@settings(max_examples=25, deadline=None)
@given(GRID_PATHS, st.sampled_from([0.2, 1.0, 3.7]), st.booleans())
def test_a_contour_line_keeps_its_distance(paths: list[Path], distance_mm: float, holes: bool) -> None:
    lines = contour_lines(paths, distance_mm, holes=holes, layer="cut")
    art = shapely.union_all([_shape(path) for path in paths])
    assert lines
    for line in lines:
        assert line.closed
        assert line.layer == "cut"
        away = shapely.distance(shapely.points(line.points_mm), art)
        assert away.min() >= distance_mm - 0.02  # where chords of two round corners meet
        assert away.max() <= distance_mm + 1e-6
        assert shapely.distance(line_of(line), art) >= distance_mm - 0.02
    outer = shapely.union_all([shapely.Polygon(line.points_mm) for line in lines if line.area_mm2 > 0])
    assert shapely.covers(outer, art)


def _shape(path: Path) -> shapely.Geometry:
    if path.closed and len(path.points_mm) > 2:
        return shapely.make_valid(shapely.Polygon(path.points_mm))
    return line_of(path) if path.length_mm else shapely.Point(path.points_mm[0])


def test_contour_lines_join_what_is_near_and_leave_holes_if_asked() -> None:
    assert len(contour_lines([square(0, 0, 5), square(6, 0, 5)], 1.0)) == 1
    assert len(contour_lines([square(0, 0, 5), square(9, 0, 5)], 1.0)) == 2
    frame = [path_of([[0, 0], [20, 0], [20, 20], [0, 20], [0, 0]], closed=False)]
    assert len(contour_lines(frame, 1.0)) == 1
    assert sorted(line.area_mm2 > 0 for line in contour_lines(frame, 1.0, holes=True)) == [False, True]
    assert contour_lines([], 1.0) == ()


@pytest.mark.parametrize("distance_mm", [0.0, -1.0, math.inf, math.nan, 101.0])
def test_a_bad_distance_is_refused(distance_mm: float) -> None:
    with pytest.raises(InvalidArgument) as caught:
        contour_lines([square(0, 0, 5)], distance_mm)
    assert caught.value.violations[0].field == "distance_mm"

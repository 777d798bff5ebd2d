"""Edges that cut parts share burn once, and what lies in a part is cut before the part is free."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry.base import BaseGeometry

from kerf_core.errors import InvalidArgument
from kerf_optimizer.domain.geometry import Drawing, Path, path_of
from kerf_optimizer.domain.machine.work import Work
from kerf_optimizer.domain.planning import (
    Operation,
    OutputFormat,
    PathStyle,
    Placement,
    PlanLimits,
    PlanSpec,
    plan_burn,
    sharing,
)
from kerf_optimizer.domain.planning.sequence import build_work
from kerf_optimizer.domain.planning.sharing import share_edges
from plan_samples import CUT, never_cancelled, square


def line_of(path: Path) -> shapely.LineString:
    points = np.concatenate([path.points_mm, path.points_mm[:1]]) if path.closed else path.points_mm
    return shapely.LineString(points)


def lines_of(paths: Iterable[Path]) -> BaseGeometry:
    return shapely.union_all([line_of(path) for path in paths])


def rect(x: float, y: float, width: float, height: float) -> Path:
    return path_of([[x, y], [x + width, y], [x + width, y + height], [x, y + height]], closed=True)


def spec_of(passes: int, *operations: Operation, placement: Placement | None = None) -> PlanSpec:
    asked = operations or (Operation(0, CUT, passes=passes),)
    place = placement or Placement(offset_x_mm=20, offset_y_mm=20)
    style = PathStyle(merge=True)
    return PlanSpec("birch-3mm", asked, placement=place, path_style=style, outputs=(OutputFormat.GCODE,))


def work_of(paths: list[Path], passes: int = 1) -> Work:
    return build_work(spec_of(passes), [Drawing(60, 60, tuple(paths))], never_cancelled, PlanLimits())


def freed_at(work: Work, part: Path) -> int:
    """The move after which nothing holds a part: all of its outline has burnt in the last of the passes."""
    path = work.toolpath
    burning = np.flatnonzero(path.s > 0)
    points = np.stack([path.x_um, path.y_um], axis=1) / 1000
    strokes = np.asarray(shapely.linestrings(np.stack([points[burning - 1], points[burning]], axis=1)))
    ring = line_of(part)
    touching = [
        i
        for i, stroke in zip(burning, strokes, strict=True)
        if shapely.length(shapely.intersection(stroke, shapely.buffer(ring, 1e-4))) > 0.01
    ]
    return int(max(touching))


def on_the_bed(path: Path, height_mm: float) -> Path:
    """Where `spec_of` places it."""
    return Path(path.points_mm * [1, -1] + [20, 20 + height_mm], path.closed)


def assert_holes_first(work: Work, parts: list[Path], holes: list[Path]) -> None:
    """The holes in a part have burnt for the last time before it is free."""
    for part in parts:
        inside = [hole for hole in holes if shapely.covers(shapely.Polygon(part.points_mm), line_of(hole))]
        assert inside
        done = max(max(burnt_moves(work, on_the_bed(hole, 60))) for hole in inside)
        assert done < freed_at(work, on_the_bed(part, 60))


def burnt_moves(work: Work, part: Path) -> list[int]:
    """Moves that burn along a path."""
    path = work.toolpath
    points = np.stack([path.x_um, path.y_um], axis=1) / 1000
    ring = shapely.buffer(line_of(part), 1e-4)
    return [
        i for i in np.flatnonzero(path.s > 0).tolist() if shapely.covers(ring, shapely.LineString(points[[i - 1, i]]))
    ]


@pytest.mark.parametrize("passes", [1, 2])
def test_two_parts_side_by_side_burn_their_border_once_and_their_holes_first(passes: int) -> None:
    paths = [square(10, 10, 10), square(20, 10, 10), square(13, 13, 2), square(23, 13, 2), square(26, 16, 2)]
    work = work_of(paths, passes)
    burn_mm = float(work.toolpath.length_mm[work.toolpath.s > 0].sum())
    assert burn_mm == pytest.approx(passes * (70 + 3 * 8))
    assert_holes_first(work, paths[:2], paths[2:])
    assert not any("open paths" in warning for warning in work.warnings)


@pytest.mark.parametrize("passes", [1, 2])
def test_a_cell_in_the_middle_has_no_edge_of_its_own_and_its_hole_is_still_cut_first(passes: int) -> None:
    cells = [square(x, y, 10) for x, y in itertools.product((10, 20, 30), (10, 20, 30))]
    holes = [square(x + 4, y + 4, 2) for x, y in itertools.product((10, 20, 30), (10, 20, 30))]
    for paths in ([*cells, *holes], [cells[4], *cells[:4], *cells[5:], *holes], [*holes, *cells[::-1]]):
        work = work_of(paths, passes)
        assert float(work.toolpath.length_mm[work.toolpath.s > 0].sum()) == pytest.approx(passes * (240 + 9 * 8))
        assert_holes_first(work, cells, holes)


def test_edges_that_lie_on_each_other_in_part_burn_once() -> None:
    high, low = rect(10, 10, 10, 30), rect(20, 15, 10, 10)
    kept, outlines = share_edges([low, high])
    assert sum(path.length_mm for path in kept) == pytest.approx(80 + 30)
    assert [path.closed for path in kept] == [False, True]  # the larger one keeps the edge
    assert outlines.piece_of.tolist() == [0, 1]
    assert lines_of(kept).symmetric_difference(lines_of([low, high])).length < 1e-6
    assert kept[1].points_mm.shape == (4, 2)  # where the other's corners lie it has none


def test_the_same_outline_twice_burns_once_and_copies_without_a_gap_share_their_borders() -> None:
    kept, outlines = share_edges([square(0, 0, 5), square(0, 0, 5)])
    assert [path.closed for path in kept] == [True]
    assert outlines.freeing.tolist() == [0, 0]
    place = Placement(offset_x_mm=20, offset_y_mm=20, copies_x=3, copies_y=2)
    spec = spec_of(1, placement=place)
    report = plan_burn(spec, [Drawing(10, 10, (square(0, 0, 10),))], never_cancelled).report
    assert report.burn_length_mm == pytest.approx(3 * 3 * 10 + 4 * 2 * 10)


BOXES = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(1, 4), st.integers(1, 4)),
    min_size=1,
    max_size=7,
    unique=True,
)


@settings(max_examples=40, deadline=None)
@given(BOXES)
def test_any_boxes_keep_every_mark_and_burn_none_twice(boxes: list[tuple[int, int, int, int]]) -> None:
    paths = [rect(4.0 * x, 4.0 * y, 4.0 * w, 4.0 * h) for x, y, w, h in boxes]
    kept, outlines = share_edges(paths)
    meant = lines_of(paths)
    assert shapely.hausdorff_distance(lines_of(kept), meant, densify=0.1) < 1e-3
    assert sum(path.length_mm for path in kept) == pytest.approx(meant.length)
    assert (outlines.freeing >= 0).all()
    for whole, piece in zip(outlines.whole, outlines.freeing.tolist(), strict=True):
        shared = shapely.intersection(shapely.buffer(line_of(kept[piece]), 1e-4), line_of(whole))
        assert shapely.length(shared) > 1  # what frees a part is a piece of its outline


COLUMNS = st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=3), min_size=1, max_size=4)


@settings(max_examples=15, deadline=None)
@given(COLUMNS, st.permutations(range(40)), st.sampled_from([1, 2]))
def test_parts_in_columns_are_free_after_what_lies_in_them(
    columns: list[list[int]], order: list[int], passes: int
) -> None:
    """Columns of boxes of any heights, some with a smaller box in a corner; a dot lies in each."""
    parts, dots = [], []
    for column, heights in enumerate(columns):
        for height, top in zip(heights, np.cumsum([0, *heights[:-1]]).tolist(), strict=True):
            x, y = 10.0 * column, 10.0 * top
            parts.append(rect(x, y, 10.0, 10.0 * height))
            dots.append(square(x + 7, y + 7, 0.5))
            if (column + top) % 2:
                parts.append(rect(x, y, 5.0, 5.0))
                dots.append(square(x + 2, y + 2, 0.5))
    drawn = [each for _, each in sorted(zip(order, [*parts, *dots], strict=False), key=lambda pair: pair[0])]
    assert len(drawn) == len(parts) + len(dots)
    work = build_work(spec_of(passes), [Drawing(100, 100, tuple(drawn))], never_cancelled, PlanLimits())
    burn_mm = float(work.toolpath.length_mm[work.toolpath.s > 0].sum())
    assert burn_mm == pytest.approx(passes * lines_of(drawn).length)
    for dot in dots:
        done = max(burnt_moves(work, on_the_bed(dot, 100)))
        for part in parts:
            if shapely.covers(shapely.Polygon(part.points_mm), line_of(dot)):
                assert done < freed_at(work, on_the_bed(part, 100))


def test_a_loose_line_on_a_border_is_no_part_and_a_tangle_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    line = path_of([[0, 0], [30, 0]], closed=False)
    kept, _ = share_edges([line, square(10, 0, 10)])
    assert sorted(path.length_mm for path in kept) == pytest.approx([10, 10, 40])
    assert share_edges([])[0] == ()
    dot = path_of([[1.0, 1.0], [1.0, 1.0001]], closed=True)
    assert len(share_edges([dot, square(10, 0, 10)])[0]) == 1
    monkeypatch.setattr(sharing, "MAX_TOUCHES", 10)
    with pytest.raises(InvalidArgument) as caught:
        share_edges([square(0, 0, 10), square(10, 0, 10), square(0, 10, 10)])
    assert caught.value.reason == "PLAN_TOO_LARGE"

"""A cut line around a drawing or a picture: its distance, its holes and islands, and its way through a plan."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from kerf.optimizer.v1 import plan_pb2 as plan
from kerf_core.errors import InvalidArgument
from kerf_core.grpc_calls import validate
from kerf_optimizer.domain.geometry import Drawing, Path, Raster, path_of
from kerf_optimizer.domain.machine.work import Work
from kerf_optimizer.domain.planning import (
    Contour,
    GreyMeaning,
    Operation,
    OutputFormat,
    Placement,
    PlanLimits,
    PlanSpec,
    plan_burn,
)
from kerf_optimizer.domain.planning import contour as contours
from kerf_optimizer.domain.planning.contour import contour_lines, picture_contour
from kerf_optimizer.domain.planning.sequence import build_work
from kerf_optimizer.messages import read_plan
from plan_samples import CUT, FILL, RASTER, SCORE, never_cancelled, spots, square, washer

Mask = NDArray[np.bool_]


def boxes(raster: Raster) -> shapely.Geometry:
    """All burning pixels as squares, y down."""
    rows, columns = np.nonzero(raster.burn)
    left, top = columns * raster.pitch_mm, rows * raster.pitch_mm
    return shapely.union_all(shapely.box(left, top, left + raster.pitch_mm, top + raster.pitch_mm))


def inside(lines: tuple[Path, ...]) -> shapely.Geometry:
    """What outer lines enclose, less the holes."""
    outer = shapely.union_all([shapely.Polygon(line.points_mm) for line in lines if line.area_mm2 > 0])
    holes = shapely.union_all([shapely.Polygon(line.points_mm) for line in lines if line.area_mm2 < 0])
    return shapely.difference(outer, holes)


@settings(max_examples=30, deadline=None)
@given(
    arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=14)),
    st.sampled_from([0.05, 0.3, 1.0, 2.5]),
    st.booleans(),
)
def test_a_line_around_a_picture_keeps_its_distance_from_every_pixel(
    burn: Mask, distance_mm: float, holes: bool
) -> None:
    raster = Raster(burn, 0.2)
    lines = picture_contour(raster, distance_mm, holes=holes)
    assert bool(lines) == bool(burn.any())
    for line in lines:
        away = shapely.distance(shapely.points(line.points_mm), boxes(raster))
        assert away.min() >= distance_mm
        assert away.max() <= distance_mm + 2 * raster.pitch_mm
    if lines:
        assert shapely.covers(inside(lines), boxes(raster))
        assert shapely.distance(shapely.boundary(inside(lines)), boxes(raster)) >= distance_mm - 0.01


def test_a_picture_that_is_seen_in_larger_squares_is_still_not_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    raster = Raster(np.random.default_rng(5).random((90, 130)) > 0.98, 0.1)
    monkeypatch.setattr(contours, "MAX_CELLS", 2_000)
    away = [shapely.distance(shapely.points(line.points_mm), boxes(raster)) for line in picture_contour(raster, 1.0)]
    assert min(a.min() for a in away) >= 1.0
    assert 1.3 < max(a.max() for a in away) < 2.5


def ring_with_island() -> Mask:
    burn = np.zeros((100, 100), dtype=np.bool_)
    burn[5:95, 5:95] = True
    burn[10:90, 10:90] = False
    burn[48:52, 48:52] = True
    return burn


@pytest.mark.parametrize("holes,signs", [(False, [True]), (True, [False, True, True])])
def test_holes_are_filled_with_all_in_them_or_kept_with_their_islands(holes: bool, signs: list[bool]) -> None:
    picture = picture_contour(Raster(ring_with_island(), 0.2), 1.0, holes=holes)
    frame = [square(1, 1, 18), square(2, 2, 16), square(9.6, 9.6, 0.8)]
    drawing = contour_lines(frame, 1.0, holes=holes)
    for lines in (picture, drawing):
        assert sorted(line.area_mm2 > 0 for line in lines) == signs
    assert shapely.hausdorff_distance(inside(picture), inside(drawing)) < 0.45


def test_a_hole_that_the_distance_closes_is_no_hole() -> None:
    assert len(contour_lines([square(0, 0, 20), square(5, 5, 3)], 2.0, holes=True)) == 1
    assert len(contour_lines([square(0, 0, 20), square(5, 5, 9)], 2.0, holes=True)) == 2


def asked(*, distance_mm: float, keep_holes: bool = False) -> PlanSpec:
    """A picture engraved, and cut out around, as a caller asks for it."""
    request = plan.PlanRequest(
        material="birch-3mm",
        operations=[
            plan.Operation(input=0, kind=plan.OPERATION_KIND_ENGRAVE_RASTER),
            plan.Operation(
                input=0,
                kind=plan.OPERATION_KIND_CUT,
                contour=plan.Contour(distance_mm=distance_mm, keep_holes=keep_holes),
            ),
        ],
        placement=plan.Placement(offset_x_mm=30, offset_y_mm=20, copies_x=2),
    )
    validate(request)
    return read_plan(request)


def placed(spec: PlanSpec, *sources: Raster | Drawing) -> Work:
    return build_work(spec, sources, never_cancelled, PlanLimits())


def test_a_picture_is_engraved_and_cut_out_with_its_copies_beside_it() -> None:
    spec = asked(distance_mm=3.0)
    burn = plan_burn(spec, [spots()], never_cancelled)
    assert {check.name for check in burn.report.checks} >= {"geometry:engrave-raster", "geometry:cut"}
    work = placed(spec, spots())
    engraved, cut = work.layers
    assert len(cut.paths) == 2
    for raster, line in zip(engraved.rasters, cut.paths, strict=True):
        rows, columns = np.nonzero(raster.burn[::-1])
        low = np.array([raster.left_mm, raster.front_mm])
        corners = low + np.stack([columns, rows], axis=1) * raster.pitch_mm
        pixels = shapely.union_all(shapely.box(*corners.T, *(corners + raster.pitch_mm).T))
        away = shapely.distance(shapely.points(line.points_mm), pixels)
        assert away.min() >= 3.0 - 1e-9
        assert away.max() <= 3.0 + 2 * raster.pitch_mm
    one, other = (shapely.Polygon(line.points_mm) for line in cut.paths)
    assert not shapely.intersects(one, other)
    assert work.toolpath.burn_bounds.min_x_mm >= 30
    assert work.toolpath.burn_bounds.min_y_mm >= 20


def test_a_drawing_is_cut_around_and_its_own_paths_are_scored_at_their_place() -> None:
    operations = (Operation(0, SCORE), Operation(0, CUT, contour=Contour(2.0)))
    place = Placement(offset_x_mm=10, offset_y_mm=10, rotation_deg=30, mirror=True)
    work = placed(PlanSpec("birch-3mm", operations, placement=place), washer())
    scored, cut = work.layers
    art = shapely.union_all([shapely.Polygon(path.points_mm) for path in scored.paths if path.closed])
    assert len(cut.paths) == 1
    away = shapely.distance(shapely.points(cut.paths[0].points_mm), art)
    assert (away.min(), away.max()) == pytest.approx((2.0, 2.0), abs=0.02)
    kept = dataclasses.replace(operations[1], contour=Contour(0.4, keep_holes=True))
    lines = placed(PlanSpec("birch-3mm", (kept,), placement=place), washer()).layers[0].paths
    assert len(lines) == 3  # the hole in the washer, and the slot in it as an island


def test_the_contour_of_a_picture_with_powers_goes_around_all_that_burns() -> None:
    power = np.zeros((10, 10), dtype=np.uint8)
    power[2, 3], power[7, 8] = 1, 255
    operations = (Operation(0, RASTER, grey=GreyMeaning.POWER), Operation(0, CUT, contour=Contour(0.5)))
    work = placed(PlanSpec("birch-3mm", operations), Raster(power > 0, 1.0, power))
    assert len(work.layers[1].paths) == 2


@pytest.mark.parametrize(
    "operation,field",
    [
        (Operation(0, FILL, contour=Contour(1.0)), "operations[0].contour"),
        (Operation(0, CUT, contour=Contour(0.0)), "operations[0].contour.distance_mm"),
        (Operation(0, CUT, contour=Contour(float("nan"))), "operations[0].contour.distance_mm"),
        (Operation(0, CUT, contour=Contour(101.0)), "operations[0].contour.distance_mm"),
        (Operation(0, CUT, contour=Contour(1.0), grey=GreyMeaning.POWER), "operations[0].grey"),
    ],
)
def test_contours_that_cannot_be_are_refused(operation: Operation, field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        plan_burn(PlanSpec("birch-3mm", (operation,)), [washer()], never_cancelled)
    assert [violation.field for violation in caught.value.violations] == [field]


def test_a_blank_picture_has_no_contour_to_burn() -> None:
    blank = Raster(np.zeros((5, 5), dtype=np.bool_), 1.0)
    with pytest.raises(InvalidArgument) as caught:
        placed(PlanSpec("birch-3mm", (Operation(0, CUT, contour=Contour(1.0)),)), blank)
    assert caught.value.reason == "NOTHING_TO_BURN"


def test_a_tangle_is_refused_before_its_crossings_are_found() -> None:
    ends = np.random.default_rng(3).random((400, 2)) * 100
    spec = PlanSpec("birch-3mm", (Operation(0, CUT, contour=Contour(1.0)),), outputs=(OutputFormat.GCODE,))
    for most in (100, 5_000):
        with pytest.raises(InvalidArgument) as caught:
            build_work(
                spec,
                [Drawing(100, 100, (path_of(ends, closed=True),))],
                never_cancelled,
                PlanLimits(max_contour_nodes=most),
            )
        assert caught.value.reason == "PLAN_TOO_LARGE"

"""Nesting: copies never nearer than the gap, nothing dropped silently, the same every time."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry.base import BaseGeometry

from kerf.optimizer.v1 import layout_pb2 as layout
from kerf.optimizer.v1 import plan_pb2 as plan
from kerf_core.errors import InvalidArgument
from kerf_core.grpc_calls import validate
from kerf_optimizer.domain.geometry import Drawing, Raster, path_of, rotation
from kerf_optimizer.domain.nesting import NestedPart, Nesting, NestingLimits, Pose, nest
from kerf_optimizer.domain.planning import Operation, OperationKind, Placement, PlanSpec, plan_burn
from kerf_optimizer.domain.svg import read_svg, write_svg
from kerf_optimizer.domain.workbench import OptimizerLimits, Workbench
from kerf_optimizer.messages import read_plan

LIMITS = NestingLimits(max_cells=40_000)
EPSILON_MM = 1e-6


def never() -> None:
    """Nobody gives up."""


def rectangle(width_mm: float, height_mm: float) -> Drawing:
    corners = [(0.0, 0.0), (width_mm, 0.0), (width_mm, height_mm), (0.0, height_mm)]
    return Drawing(width_mm, height_mm, (path_of(corners, closed=True),))


def star(points: int, radius_mm: float, seed: int) -> Drawing:
    """A shape with teeth, and an open line that sticks out of it."""
    chance = np.random.default_rng(seed)
    angles = np.arange(points) / points * 2 * np.pi
    radii = radius_mm * (0.3 + 0.7 * chance.random(points))
    ring = np.stack([np.cos(angles), np.sin(angles)], axis=1) * radii[:, None] + radius_mm
    line = path_of([[radius_mm, radius_mm], [2 * radius_mm, 1.9 * radius_mm]], closed=False)
    return Drawing(2 * radius_mm, 2 * radius_mm, (path_of(ring, closed=True), line))


def lying(pose: Pose, parts: Sequence[NestedPart], sources: Sequence[Drawing | Raster]) -> BaseGeometry:
    """What a copy covers on the sheet of material, worked out anew from what a pose means."""
    used = [sources[index] for index in parts[pose.part].inputs]
    height_mm = max(source.height_mm for source in used)
    shapes: list[BaseGeometry] = []
    for source in used:
        if isinstance(source, Raster):
            shapes.append(shapely.box(0, 0, source.width_mm, source.height_mm))
            continue
        for path in source.paths:
            shapes.append(
                shapely.make_valid(shapely.Polygon(path.points_mm))
                if path.closed
                else shapely.LineString(path.points_mm)
            )
    turn = np.radians(pose.angle_deg)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])

    def place(points: np.ndarray) -> np.ndarray:
        upright = np.stack([points[:, 0], height_mm - points[:, 1]], axis=1)
        placed: np.ndarray = np.add(upright @ matrix.T, (pose.x_mm, pose.y_mm))
        return placed

    return shapely.transform(shapely.union_all(shapes), place)


@settings(max_examples=12, deadline=None)
@given(
    sizes=st.lists(st.tuples(st.integers(3, 12), st.floats(2, 25), st.integers(1, 8)), min_size=1, max_size=4),
    gap_mm=st.one_of(st.just(0.0), st.floats(0.01, 8)),
    margin_mm=st.floats(0, 10),
    step_deg=st.sampled_from([0.0, 90.0, 180.0, 45.0, 37.0]),
    seed=st.integers(0, 1000),
)
def test_copies_keep_their_distance_and_none_is_lost(
    sizes: list[tuple[int, float, int]], gap_mm: float, margin_mm: float, step_deg: float, seed: int
) -> None:
    sources = [star(points, radius_mm, seed + number) for number, (points, radius_mm, _) in enumerate(sizes)]
    parts = tuple(NestedPart((number,), copies) for number, (_, _, copies) in enumerate(sizes))
    asked = Nesting(120.0, 90.0, parts, gap_mm, margin_mm, step_deg)
    poses, left_out = nest(asked, sources, {}, LIMITS, never)
    for number, part in enumerate(parts):
        assert sum(pose.part == number for pose in poses) + left_out[number] == part.copies
    shapes = [lying(pose, parts, sources) for pose in poses]
    for one, other in itertools.combinations(shapes, 2):
        assert not one.intersects(other)
        assert one.distance(other) >= gap_mm - EPSILON_MM
    for shape in shapes:
        low_x, low_y, high_x, high_y = shape.bounds
        assert min(low_x, low_y) >= margin_mm - EPSILON_MM
        assert high_x <= 120 - margin_mm + EPSILON_MM
        assert high_y <= 90 - margin_mm + EPSILON_MM
    assert nest(asked, sources, {}, LIMITS, never) == (poses, left_out)


def test_as_many_squares_fit_as_there_is_room_for() -> None:
    part = NestedPart((0,), copies=100)
    asked = Nesting(105.0, 84.0, (part,), gap_mm=1.0)
    poses, left_out = nest(asked, [rectangle(20, 20)], {}, NestingLimits(), never)
    # 5 columns of 21 mm less a gap, 4 rows.
    assert (len(poses), left_out) == (20, [80])


def test_a_part_is_turned_where_it_fits_only_so() -> None:
    asked = Nesting(30.0, 100.0, (NestedPart((0,)),), rotation_step_deg=90.0)
    (pose,), _ = nest(asked, [rectangle(90, 20)], {}, LIMITS, never)
    assert pose.angle_deg in (90.0, 270.0)
    assert nest(dataclasses.replace(asked, rotation_step_deg=0.0), [rectangle(90, 20)], {}, LIMITS, never) == ([], [1])


def test_small_parts_lie_between_the_teeth_of_large_ones() -> None:
    corners = [[0, 0], [60, 0], [60, 10], [10, 10], [10, 60], [0, 60]]
    angle = Drawing(60, 60, (path_of(corners, closed=True),))
    asked = Nesting(62.0, 62.0, (NestedPart((0,)), NestedPart((1,), 4)), gap_mm=0.5)
    poses, left_out = nest(asked, [angle, rectangle(20, 20)], {}, LIMITS, never)
    assert (len(poses), left_out) == (5, [0, 0])


def test_quarter_turns_are_exact() -> None:
    assert rotation(90.0).tolist() == [[0.0, -1.0], [1.0, 0.0]]
    assert rotation(-180.0).tolist() == [[-1.0, 0.0], [0.0, -1.0]]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"sheet_width_mm": 5.0}, "nesting.sheet_width_mm"),
        ({"sheet_height_mm": float("nan")}, "nesting.sheet_height_mm"),
        ({"gap_mm": -1.0}, "nesting.gap_mm"),
        ({"margin_mm": 50.0}, "nesting.margin_mm"),
        ({"rotation_step_deg": 1.0}, "nesting.rotation_step_deg"),
        ({"parts": ()}, "nesting.parts"),
        ({"parts": (NestedPart((0,), 1001),)}, "nesting.parts"),
        ({"parts": (NestedPart((0,)), NestedPart((0,)))}, "nesting.parts[1]"),
        ({"parts": (NestedPart((7,)),)}, "nesting.parts[0]"),
        ({"parts": (NestedPart(()),)}, "nesting.parts[0]"),
    ],
)
def test_what_cannot_be_nested_is_refused(change: dict[str, object], field: str) -> None:
    asked = dataclasses.replace(Nesting(100.0, 100.0, (NestedPart((0,)),)), **change)  # type: ignore[arg-type]  # named by the tests
    with pytest.raises(InvalidArgument) as caught:
        nest(asked, [rectangle(10, 10)], {}, LIMITS, never)
    assert caught.value.violations[0].field == field


def test_work_beyond_the_limit_is_refused() -> None:
    asked = Nesting(100.0, 100.0, (NestedPart((0,), 50),), rotation_step_deg=15.0)
    with pytest.raises(InvalidArgument) as caught:
        nest(asked, [star(9, 8, 1)], {}, NestingLimits(40_000, 100_000), never)
    assert caught.value.reason == "NESTING_TOO_LARGE"
    with pytest.raises(InvalidArgument, match="11 nodes, more than 10"):
        nest(asked, [star(9, 8, 1)], {}, NestingLimits(max_nodes=10), never)


def spec(nesting: Nesting, *inputs: int, placement: Placement | None = None) -> PlanSpec:
    operations = tuple(Operation(index, OperationKind.CUT) for index in inputs)
    return PlanSpec("birch-3mm", operations, nesting=nesting, placement=placement)


def test_a_plan_cuts_every_copy_and_names_what_it_left_out() -> None:
    parts = (NestedPart((0,), 3, "lid"), NestedPart((1,), 40, "peg"))
    asked = Nesting(100.0, 60.0, parts, gap_mm=2.0, margin_mm=3.0, leave_out=True)
    sources = [rectangle(40, 25), rectangle(9, 9)]
    burn = plan_burn(spec(asked, 0, 1, placement=Placement(offset_x_mm=20, offset_y_mm=30)), sources, never)
    (warning,) = [text for text in burn.report.warnings if text.startswith("Left out")]
    assert "copies of 'peg'" in warning
    assert "lid" not in warning
    cut = read_svg(burn.files[1].data).paths
    boxes = [shapely.Polygon(path.points_mm) for path in cut]
    for one, other in itertools.combinations(boxes, 2):
        assert one.distance(other) >= 2.0 - 0.002
    bounds = burn.report.burn_bounds
    assert (bounds.min_x_mm, bounds.min_y_mm) == pytest.approx((23, 33), abs=0.02)
    assert bounds.max_x_mm <= 20 + 100 - 3 + 0.001
    assert bounds.max_y_mm <= 30 + 60 - 3 + 0.001
    with pytest.raises(InvalidArgument, match="of 40 copies of 'peg'") as caught:
        plan_burn(spec(dataclasses.replace(asked, leave_out=False), 0, 1), sources, never)
    assert caught.value.reason == "NESTING_DOES_NOT_FIT"


def test_a_picture_and_its_outline_stay_together_and_turn_by_quarters() -> None:
    picture = Raster(np.ones((50, 100), dtype=np.bool_), 0.2)
    asked = Nesting(30.0, 80.0, (NestedPart((0, 1), 2),), gap_mm=2.0, rotation_step_deg=45.0)
    operations = (Operation(0, OperationKind.ENGRAVE_RASTER), Operation(1, OperationKind.CUT))
    # 24 × 14 mm: two fit above each other only as they are or turned by a quarter; 45 degrees is not for pictures.
    burn = plan_burn(PlanSpec("birch-3mm", operations, nesting=asked), [picture, rectangle(24, 14)], never)
    assert {check.name for check in burn.report.checks} >= {"safety-linter"}


def test_what_burns_must_be_in_a_part_and_the_placement_must_not_decide_too() -> None:
    asked = Nesting(100.0, 100.0, (NestedPart((0,)),))
    sources = [rectangle(10, 10), rectangle(5, 5)]
    with pytest.raises(InvalidArgument, match=r"operations\[1\] burns what is in no part"):
        plan_burn(spec(asked, 0, 1), sources, never)
    for field, value in (("rotation_deg", 90.0), ("mirror", True), ("copies_x", 2), ("copies_y", 2), ("gap_mm", 1.0)):
        placement = dataclasses.replace(Placement(), **{field: value})  # type: ignore[arg-type]  # named by the test
        with pytest.raises(InvalidArgument) as caught:
            plan_burn(spec(asked, 0, placement=placement), sources, never)
        assert caught.value.violations[0].field == f"placement.{field}"


def test_the_contract_carries_nesting_with_drawings_in_parts() -> None:
    request = plan.PlanRequest(
        material="birch-3mm",
        operations=[
            plan.Operation(kind=plan.OPERATION_KIND_SCORE, drawing=0),
            plan.Operation(kind=plan.OPERATION_KIND_CUT, input=0),
        ],
        drawings=[layout.MadeDrawing(text=layout.TextDrawing(text="TAG", cap_height_mm=4), x_mm=3, y_mm=3)],
        nesting=layout.Nesting(
            sheet_width_mm=100,
            sheet_height_mm=50,
            parts=[layout.NestedPart(inputs=[0], drawings=[0], copies=6, name="tag")],
            gap_mm=1,
            margin_mm=2,
            rotation_step_deg=90,
        ),
        outputs=[plan.OUTPUT_FORMAT_SVG],
    )
    validate(request)
    workbench = Workbench(OptimizerLimits())
    source = write_svg(rectangle(22, 10))
    burn = workbench.plan([source], read_plan(request), never)
    drawing = read_svg(burn.files[0].data)
    tags = [shapely.Polygon(path.points_mm) for path in drawing.paths if path.layer == "cut"]
    strokes = [shapely.LineString(path.points_mm) for path in drawing.paths if path.layer == "score"]
    assert len(tags) == 6
    assert sum(tag.contains(stroke) for tag in tags for stroke in strokes) == len(strokes) > 6
    request.nesting.parts[0].drawings.append(3)
    with pytest.raises(InvalidArgument, match=r"nesting\.parts\[0\]"):
        workbench.plan([source], read_plan(request), never)

"""Scans at angles and across, one-way scans, arcs, leads and overcut, all through the whole plan and its read-back."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerf_core.errors import Internal, InvalidArgument
from kerf_optimizer.domain.geometry import Drawing, Path, Raster, path_of
from kerf_optimizer.domain.machine.gcode import write_gcode
from kerf_optimizer.domain.machine.work import Work
from kerf_optimizer.domain.planning import (
    Operation,
    OperationKind,
    OutputFormat,
    PathStyle,
    Placement,
    PlanLimits,
    PlannedBurn,
    PlanSpec,
    ScanStyle,
    plan_burn,
)
from kerf_optimizer.domain.planning.following import run_moves
from kerf_optimizer.domain.planning.sequence import build_work
from kerf_optimizer.domain.planning.verify import check_gcode
from kerf_optimizer.domain.presets import machine_profile
from plan_samples import CUT, FILL, RASTER, SCORE, never_cancelled, spots, square, washer

MACHINE = machine_profile("grbl-diode-10w")
ROOM = Placement(offset_x_mm=60, offset_y_mm=60)
Source = Raster | Drawing


def work_of(source: Source, kind: OperationKind, scan: ScanStyle | None = None, style: PathStyle | None = None) -> Work:
    operation = Operation(0, kind, passes=1, scan=scan or ScanStyle())
    spec = PlanSpec("birch-3mm", (operation,), placement=ROOM, path_style=style or PathStyle())
    return build_work(spec, [source], never_cancelled, PlanLimits())


def planned(
    source: Source, kind: OperationKind, scan: ScanStyle | None = None, style: PathStyle | None = None
) -> PlannedBurn:
    operation = Operation(0, kind, passes=1, scan=scan or ScanStyle())
    outputs = (OutputFormat.GCODE,)
    spec = PlanSpec("birch-3mm", (operation,), placement=ROOM, outputs=outputs, path_style=style or PathStyle())
    return plan_burn(spec, [source], never_cancelled)


def ring(radius_mm: float, nodes: int, middle_mm: float = 15.0) -> Path:
    turn = np.arange(nodes) * math.tau / nodes
    return path_of(middle_mm + radius_mm * np.stack([np.cos(turn), np.sin(turn)], axis=1), closed=True)


CIRCLES = Drawing(30, 30, (ring(12, 240), ring(4, 90)))


@pytest.mark.parametrize("angle_deg,along", [(0, "x"), (90, "y"), (180, "x"), (-90, "y")])
def test_a_picture_burns_along_its_rows_or_its_columns(angle_deg: float, along: str) -> None:
    path = work_of(spots(), RASTER, ScanStyle(angle_deg)).toolpath
    burning = np.flatnonzero(path.s > 0)
    still = path.y_um if along == "x" else path.x_um
    assert (still[burning] == still[burning - 1]).all()
    assert planned(spots(), RASTER, ScanStyle(angle_deg)).report.burn_length_mm == pytest.approx(
        spots().burn.sum() * 0.2
    )


def test_cross_hatch_burns_twice() -> None:
    cross = planned(spots(), RASTER, ScanStyle(cross_hatch=True))
    assert cross.report.burn_length_mm == pytest.approx(2 * spots().burn.sum() * 0.2)
    once, twice = (planned(washer(), FILL, ScanStyle(30, cross_hatch=c)).report.burn_length_mm for c in (False, True))
    assert twice == pytest.approx(2 * once, rel=0.02)


@settings(max_examples=20, deadline=None)
@given(st.floats(-360, 360), st.booleans())
def test_a_hatch_at_any_angle_covers_the_same_area(angle_deg: float, both_ways: bool) -> None:
    """The plan's own read-back judges each line; the area is that of the washer: 20² − 6² mm²."""
    report = planned(washer(), FILL, ScanStyle(angle_deg, both_ways=both_ways)).report
    interval_mm = 0.1
    assert report.burn_length_mm * interval_mm == pytest.approx(400 - 36, rel=0.02)


@pytest.mark.parametrize("angle_deg", [0, 90, 180, 270, 45, -45, 135])
def test_hatch_lines_that_run_along_edges_are_no_error(angle_deg: float) -> None:
    """Edges on the very grid of the lines, which stand at odd multiples of half the interval, in both directions."""
    turned = path_of([[20, 10], [30, 20], [20, 30], [10, 20]], closed=True)
    upright = [square(x / 100, x / 100, 10) for x in range(500, 520)]
    for path in (turned, *upright[::5], square(5.05, 5.05, 10)):
        for nudge in (0.0, 0.05, 0.05 / math.sqrt(2)):
            moved = Path(path.points_mm + nudge, True)
            assert planned(Drawing(40, 40, (moved,)), FILL, ScanStyle(angle_deg)).report.checks


def test_one_way_scans_burn_in_one_direction() -> None:
    for both_ways in (True, False):
        path = work_of(spots(), RASTER, ScanStyle(both_ways=both_ways)).toolpath
        burning = np.flatnonzero(path.s > 0)
        signs = set(np.sign(path.x_um[burning] - path.x_um[burning - 1]).tolist())
        assert signs == ({1, -1} if both_ways else {1})


def test_a_pixel_that_should_not_burn_is_noticed_along_columns_too() -> None:
    work = work_of(spots(), RASTER, ScanStyle(90))
    gcode = write_gcode(work, 1.0)
    assert check_gcode(gcode, work)
    raster = work.layers[0].rasters[0]
    burn = raster.burn.copy()
    burn[3, 7] ^= True
    layer = dataclasses.replace(work.layers[0], rasters=(dataclasses.replace(raster, burn=burn),))
    with pytest.raises(Internal, match="not the picture's"):
        check_gcode(gcode, dataclasses.replace(work, layers=(layer,)))


@pytest.mark.parametrize(
    "operation,field",
    [
        (Operation(0, RASTER, scan=ScanStyle(45)), "operations[0].scan.angle_deg"),
        (Operation(1, FILL, scan=ScanStyle(math.nan)), "operations[0].scan.angle_deg"),
        (Operation(1, FILL, scan=ScanStyle(400)), "operations[0].scan.angle_deg"),
    ],
)
def test_bad_angles_are_refused(operation: Operation, field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        plan_burn(PlanSpec("birch-3mm", (operation,)), [spots(), washer()], never_cancelled)
    assert caught.value.violations[0].field == field


@pytest.mark.parametrize(
    "style,field",
    [
        (PathStyle(arc_tolerance_mm=0.6), "path_style.arc_tolerance_mm"),
        (PathStyle(lead_mm=-1), "path_style.lead_mm"),
        (PathStyle(overcut_mm=math.inf), "path_style.overcut_mm"),
    ],
)
def test_bad_path_styles_are_refused(style: PathStyle, field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        planned(washer(), CUT, style=style)
    assert caught.value.violations[0].field == field


def test_cross_hatch_counts_for_the_energy() -> None:
    hot = Operation(0, FILL, power_percent=100, speed_mm_per_min=1000, interval_mm=0.1, passes=20)
    fine = PlanSpec("birch-3mm", (hot,), placement=ROOM)
    plan_burn(fine, [washer()], never_cancelled)
    crossed = Operation(0, FILL, "", 100, 1000, 20, 0.1, scan=ScanStyle(cross_hatch=True))
    with pytest.raises(InvalidArgument) as caught:
        plan_burn(PlanSpec("birch-3mm", (crossed,), placement=ROOM), [washer()], never_cancelled)
    assert caught.value.reason == "ENERGY_OVER_CAP"


@pytest.mark.parametrize("kind", [CUT, SCORE])
def test_circles_become_arcs_that_the_read_back_accepts(kind: OperationKind) -> None:
    straight, curved = planned(CIRCLES, kind), planned(CIRCLES, kind, style=PathStyle(arc_tolerance_mm=0.01))
    assert b"\nG3 " in curved.files[0].data or b"\nG2 " in curved.files[0].data
    assert len(curved.files[0].data) < len(straight.files[0].data) / 2
    assert curved.report.burn_length_mm == pytest.approx(CIRCLES.length_mm, rel=0.001)
    assert curved.report.estimated_seconds == pytest.approx(straight.report.estimated_seconds, rel=0.1)


def test_an_arc_that_strays_is_found() -> None:
    style = PathStyle(arc_tolerance_mm=0.01)
    work = work_of(CIRCLES, CUT, style=style)
    gcode = write_gcode(work, 1.0)
    assert check_gcode(gcode, work, style)
    larger = tuple(Path((p.points_mm - 75) * 1.004 + 75, p.closed) for p in work.layers[0].paths)
    meant = dataclasses.replace(work, layers=(dataclasses.replace(work.layers[0], paths=larger),))
    with pytest.raises(Internal, match=r"geometry:cut.* mm apart"):
        check_gcode(gcode, meant, style)
    missing = dataclasses.replace(work, layers=(dataclasses.replace(work.layers[0], passes=2),))
    with pytest.raises(Internal, match="mm burn instead of"):
        check_gcode(gcode, missing, style)


def test_leads_run_up_without_the_beam() -> None:
    plain, led = work_of(washer(), SCORE), work_of(washer(), SCORE, style=PathStyle(lead_mm=2.0))
    lengths = [float(w.toolpath.length_mm[w.toolpath.s > 0].sum()) for w in (plain, led)]
    assert lengths[0] == pytest.approx(lengths[1])
    path = led.toolpath
    first_burn = int(np.argmax(path.s > 0))
    assert path.s[first_burn - 1] == 0
    assert not path.rapid[first_burn - 1]
    assert path.length_mm[first_burn - 1] == pytest.approx(2.0)
    assert planned(washer(), CUT, style=PathStyle(lead_mm=2.0)).report.checks


def test_an_overcut_goes_on_over_the_start_of_closed_cuts_only() -> None:
    style = PathStyle(overcut_mm=1.5)
    assert planned(washer(), SCORE, style=style).report.burn_length_mm == pytest.approx(washer().length_mm)
    assert planned(washer(), CUT, style=style).report.burn_length_mm == pytest.approx(washer().length_mm + 2 * 1.5)
    tiny = [np.array([[0.0, 0.0], [0.1, 0.0], [0.0, 0.1], [0.0, 0.0]])]
    assert run_moves(tiny, style, cut=True).burns.sum() == 6  # once more around, not longer


@pytest.mark.parametrize("gap_mm,more_mm", [(0.0, 0.7), (0.0004, 0.7), (0.01, 0.0)])
def test_an_open_cut_that_comes_back_to_its_start_is_overcut_too(gap_mm: float, more_mm: float) -> None:
    corners = path_of([[2.0, 2.0], [12.0, 2.0], [12.0, 12.0], [2 + gap_mm, 2.0]], closed=False)
    report = planned(Drawing(30, 30, (corners,)), CUT, style=PathStyle(overcut_mm=0.7)).report
    assert report.burn_length_mm == pytest.approx(corners.length_mm + more_mm, abs=0.002)


def test_merging_burns_shared_edges_once() -> None:
    boxes = Drawing(30, 30, (square(5, 5, 10), square(15, 5, 10), square(5, 5, 10)))
    style = PathStyle(merge=True)
    assert planned(boxes, SCORE, style=style).report.burn_length_mm == pytest.approx(70)
    assert planned(boxes, CUT, style=style).report.burn_length_mm == pytest.approx(70)
    assert planned(boxes, CUT).report.burn_length_mm == pytest.approx(120)


WAVES = st.lists(st.tuples(st.floats(2, 28), st.floats(2, 28)), min_size=2, max_size=8)


@settings(max_examples=15, deadline=None)
@given(
    WAVES,
    st.booleans(),
    st.builds(
        PathStyle,
        arc_tolerance_mm=st.sampled_from([0.0, 0.01, 0.2]),
        lead_mm=st.sampled_from([0.0, 1.0]),
        overcut_mm=st.sampled_from([0.0, 0.7]),
        merge=st.booleans(),
    ),
    st.sampled_from([CUT, SCORE]),
)
def test_any_style_passes_the_read_back_and_stays_on_the_bed(
    corners: list[tuple[float, float]], closed: bool, style: PathStyle, kind: OperationKind
) -> None:
    knots = np.array(corners)
    share = np.linspace(0, 1, 12)[:, None]
    bent = [a + (b - a) * share + np.sin(share * math.pi) * [0.5, -0.5] for a, b in itertools.pairwise(knots)]
    drawing = Drawing(40, 40, (path_of(np.concatenate(bent), closed=closed),))
    box = planned(drawing, kind, style=style).report.motion_bounds
    assert min(box.min_x_mm, box.min_y_mm) >= 0
    assert max(box.max_x_mm - MACHINE.bed_width_mm, box.max_y_mm - MACHINE.bed_height_mm) <= 0

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerf_core.errors import Internal, InvalidArgument, WorkCancelled
from kerf_optimizer.domain.geometry import Drawing, Path, Raster, path_of
from kerf_optimizer.domain.machine.formats import USUAL_FORMATS
from kerf_optimizer.domain.machine.gcode import write_gcode
from kerf_optimizer.domain.machine.reader import read_motions, read_program
from kerf_optimizer.domain.planning import (
    Corner,
    Operation,
    OperationKind,
    OutputFormat,
    Placement,
    PlanLimits,
    PlanSpec,
    Verdict,
    plan_burn,
)
from kerf_optimizer.domain.planning.verify import check_gcode
from kerf_optimizer.domain.presets import materials
from plan_samples import (
    CUT,
    FILL,
    RASTER,
    SCORE,
    never_cancelled,
    plan,
    sample_plan,
    sample_sources,
    sample_spec,
    sample_work,
    spots,
    square,
    washer,
)


def test_a_plan_has_every_file_and_every_check_passed() -> None:
    burn = sample_plan()
    assert [file.format for file in burn.files] == list(USUAL_FORMATS)
    assert all(file.data and file.filename and file.media_type for file in burn.files)
    ran = [check for check in burn.report.checks if check.detail != "the file was not asked for"]
    assert {check.verdict for check in ran} == {Verdict.PASSED}
    names = [check.name for check in burn.report.checks]
    assert names[:2] == ["safety-linter", "gcode-read-back"]
    assert {"geometry:engrave-raster", "geometry:engrave-fill", "geometry:lines", "geometry:cut"} <= set(names)
    assert burn.report.estimated_seconds > 10
    assert burn.report.required_settings == ("$30=1000", "$31=0", "$32=1")
    assert any("unverified" in warning for warning in burn.report.warnings)


def test_the_same_request_gives_the_same_bytes() -> None:
    first, second = sample_plan(), sample_plan()
    assert [file.data for file in first.files] == [file.data for file in second.files]


def test_a_file_that_nobody_asked_for_is_a_check_that_did_not_run() -> None:
    spec = PlanSpec("birch-3mm", (Operation(1, CUT),), outputs=(OutputFormat.DXF,))
    burn = plan_burn(spec, sample_sources(), never_cancelled)
    assert [file.format for file in burn.files] == [OutputFormat.DXF]
    verdicts = {check.name: check.verdict for check in burn.report.checks}
    assert verdicts["safety-linter"] is Verdict.PASSED
    assert verdicts["svg-read-back"] is Verdict.NOT_RUN


def test_engraving_comes_before_scoring_before_inner_before_outer_cuts() -> None:
    work = sample_work()
    kinds = [work.layers[index].kind for index in work.toolpath.layer[:-1]]
    order = list(dict.fromkeys(kinds))
    assert order == [RASTER, FILL, SCORE, CUT]
    cut = work.toolpath.layer == [layer.kind for layer in work.layers].index(CUT)
    x_mm = work.toolpath.x_um[cut] / 1000
    outer = (np.abs(x_mm - 15) < 1e-6) | (np.abs(x_mm - 35) < 1e-6)  # the square of 20 mm, placed at 10
    first_outer = int(np.argmax(outer))
    assert first_outer > 0
    assert outer[first_outer:].all()


def test_two_cut_operations_share_one_order_by_depth() -> None:
    outer, inner = Drawing(30, 30, (square(0, 0, 30),)), Drawing(30, 30, (square(10, 10, 5),))
    spec = PlanSpec("birch-3mm", (Operation(0, CUT), Operation(1, CUT)), outputs=(OutputFormat.GCODE,))
    gcode = plan_burn(spec, [outer, inner], never_cancelled).files[0].data
    motions = read_motions(read_program(gcode))
    x_mm = motions.x_mm[motions.burning]
    passes = 2
    assert set(x_mm[: 4 * passes].tolist()) == {10.0, 15.0}
    assert set(x_mm[4 * passes :].tolist()) == {0.0, 30.0}


def test_passes_repeat_the_burn() -> None:
    once = plan("birch-3mm", Operation(1, SCORE, passes=1))
    thrice = plan("birch-3mm", Operation(1, SCORE, passes=3))
    assert thrice.report.burn_length_mm == pytest.approx(3 * once.report.burn_length_mm)
    assert once.report.burn_length_mm == pytest.approx(washer().length_mm)


def test_burn_length_of_a_raster_is_its_pixels() -> None:
    burn = plan("birch-3mm", Operation(0, RASTER), placement=Placement(offset_x_mm=20, offset_y_mm=5))
    assert burn.report.burn_length_mm == pytest.approx(spots().burn.sum() * 0.2)


def test_without_a_placement_the_overscan_stays_on_the_bed() -> None:
    report = plan("birch-3mm", Operation(0, RASTER)).report
    assert report.motion_bounds.min_x_mm >= 0
    assert any("No placement" in warning for warning in report.warnings)


@pytest.mark.parametrize("corner", list(Corner))
def test_copies_at_every_corner_lie_on_the_bed(corner: Corner) -> None:
    placement = Placement(corner, 20 if corner is not Corner.CENTER else 0, 5, copies_x=3, copies_y=2, gap_mm=2)
    report = plan("birch-3mm", Operation(1, CUT), Operation(0, RASTER), placement=placement).report
    assert report.burn_length_mm == pytest.approx(6 * (2 * washer().length_mm + spots().burn.sum() * 0.2))
    low_x, low_y, high_x, high_y = report.burn_bounds
    assert (high_x - low_x, high_y - low_y) == pytest.approx((3 * 30 + 2 * 2 - 5, 2 * 30 + 2 - 5), abs=5)


def test_work_that_leaves_the_bed_is_refused_with_what_would_fit() -> None:
    with pytest.raises(InvalidArgument) as caught:
        plan("birch-3mm", Operation(0, RASTER), placement=Placement(offset_x_mm=0))
    assert caught.value.reason == "OUT_OF_BED"
    assert "on the left" in caught.value.message
    assert "it fits if moved" in caught.value.message
    big = Drawing(500, 100, (square(0, 0, 100), path_of([[0, 50], [500, 50]], closed=False)))
    with pytest.raises(InvalidArgument, match=r"100\.00 mm on the right.*about 80 % of its size"):
        plan_burn(PlanSpec("birch-3mm", (Operation(0, CUT),)), [big], never_cancelled)


def test_the_margin_counts() -> None:
    with pytest.raises(InvalidArgument, match=r"2\.00 mm on the front"):
        plan("birch-3mm", Operation(1, CUT), placement=Placement(offset_x_mm=5, offset_y_mm=-2, margin_mm=5))


@pytest.mark.parametrize("name", ["pvc", "PVC-3mm", "white vinyl", "abs", "polycarbonate-2mm", "teflon"])
def test_dangerous_materials_are_refused_with_the_reason(name: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        plan(name, Operation(1, CUT))
    assert caught.value.reason == "MATERIAL_BLOCKED"
    reasons = [material.blocked_reason for material in materials() if material.blocked_reason]
    assert any(reason in caught.value.message for reason in reasons)


def test_a_material_that_the_wavelength_cannot_work_is_refused() -> None:
    with pytest.raises(InvalidArgument) as caught:
        plan("acrylic-clear-3mm", Operation(1, CUT))
    assert caught.value.reason == "MATERIAL_UNSUITED"
    assert plan("acrylic-clear-3mm", Operation(1, CUT), machine="grbl-co2-40w").files


def test_unknown_names_list_the_known_ones() -> None:
    with pytest.raises(InvalidArgument, match=r"birch-3mm.*slate") as caught:
        plan("unobtainium", Operation(1, CUT))
    assert "pvc" not in caught.value.message
    with pytest.raises(InvalidArgument, match="grbl-diode-10w"):
        plan("birch-3mm", Operation(1, CUT), machine="lathe")


@pytest.mark.parametrize(
    "operation,field",
    [
        (Operation(7, CUT), "operations[0].input"),
        (Operation(0, CUT), "operations[0].kind"),
        (Operation(1, RASTER), "operations[0].kind"),
        (Operation(1, CUT, preset="nobody/knows/it"), "operations[0].preset"),
        (Operation(1, CUT, preset="grbl-diode-10w/birch-3mm/score"), "operations[0].preset"),
        (Operation(1, CUT, power_percent=101), "operations[0].power_percent"),
        (Operation(1, CUT, power_percent=float("nan")), "operations[0].power_percent"),
        (Operation(1, CUT, power_percent=0.01), "operations[0].power_percent"),
        (Operation(1, CUT, speed_mm_per_min=6001), "operations[0].speed_mm_per_min"),
        (Operation(1, CUT, passes=21), "operations[0].passes"),
        (Operation(1, FILL, interval_mm=0.001), "operations[0].interval_mm"),
        (Operation(1, CUT, layer="a b"), "operations[0].layer"),
        (Operation(1, CUT, layer='x"><script>'), "operations[0].layer"),
    ],
)
def test_bad_figures_name_their_field(operation: Operation, field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        plan("birch-3mm", operation)
    assert [violation.field for violation in caught.value.violations] == [field]


@pytest.mark.parametrize(
    "operation",
    [
        Operation(1, CUT, speed_mm_per_min=50),
        Operation(1, CUT, passes=20),
        Operation(1, FILL, power_percent=100, speed_mm_per_min=300, interval_mm=0.01),
    ],
)
def test_energy_over_the_cap_of_the_material_is_refused(operation: Operation) -> None:
    with pytest.raises(InvalidArgument) as caught:
        plan("birch-3mm", operation)
    assert caught.value.reason == "ENERGY_OVER_CAP"


def test_slate_cannot_be_cut() -> None:
    with pytest.raises(InvalidArgument, match="it can: engrave-fill, engrave-raster, score"):
        plan("slate", Operation(1, CUT))


@pytest.mark.parametrize("source", [Raster(np.zeros((5, 5), dtype=np.bool_), 0.1), Drawing(10, 10, ())])
def test_nothing_to_burn_is_refused(source: Raster | Drawing) -> None:
    kind = RASTER if isinstance(source, Raster) else CUT
    with pytest.raises(InvalidArgument) as caught:
        plan_burn(PlanSpec("birch-3mm", (Operation(0, kind),)), [source], never_cancelled)
    assert caught.value.reason == "NOTHING_TO_BURN"


@pytest.mark.parametrize(
    "limits",
    [PlanLimits(max_moves=50), PlanLimits(max_gcode_bytes=500), PlanLimits(max_paths=2), PlanLimits(max_nodes=5)],
)
def test_limits_are_kept(limits: PlanLimits) -> None:
    with pytest.raises(InvalidArgument) as caught:
        plan_burn(sample_spec(), sample_sources(), never_cancelled, limits)
    assert caught.value.reason == "PLAN_TOO_LARGE"


def test_too_many_scan_pixels_are_refused() -> None:
    spec = PlanSpec("birch-3mm", (Operation(0, RASTER),))
    with pytest.raises(InvalidArgument, match="wider interval"):
        plan_burn(spec, [spots()], never_cancelled, PlanLimits(max_scan_pixels=100))


def test_a_cancelled_plan_stops() -> None:
    def cancelled() -> None:
        raise WorkCancelled("CANCELLED", "enough")

    with pytest.raises(WorkCancelled):
        plan_burn(sample_spec(), sample_sources(), cancelled)


def test_a_picture_turns_by_quarters_only() -> None:
    with pytest.raises(InvalidArgument, match="multiples of 90"):
        plan("birch-3mm", Operation(0, RASTER), placement=Placement(offset_x_mm=50, offset_y_mm=50, rotation_deg=45))


HOSTILE = "a\n$H\r\n(G0) %! ? ~ ;\x18\x90 \ud800 <script>alert(1)</script> " + "é" * 40


def test_a_hostile_title_reaches_no_command_and_no_markup() -> None:
    spec = sample_spec(HOSTILE)
    files = {file.format: file.data for file in plan_burn(spec, sample_sources(), never_cancelled).files}
    assert b"$H" not in files[OutputFormat.GCODE]
    assert b"<script" not in files[OutputFormat.JOB_SHEET]
    assert b"<script" not in files[OutputFormat.SVG]


@pytest.mark.parametrize(
    "old,new,reason",
    [
        ("S450 F2400", "S449 F2400", "READ_BACK"),
        ("S350\n", "S1001\n", "SAFETY_LINTER"),
        ("M2\n", "", "SAFETY_LINTER"),
    ],
)
def test_a_file_that_differs_from_the_plan_never_leaves(old: str, new: str, reason: str) -> None:
    work = sample_work()
    gcode = write_gcode(work, 1.0).decode("ascii")
    assert old in gcode
    check_gcode(gcode.encode("ascii"), work)
    with pytest.raises(Internal) as caught:
        check_gcode(gcode.replace(old, new, 1).encode("ascii"), work)
    assert caught.value.reason == reason


def test_a_shifted_move_and_a_missing_move_are_noticed() -> None:
    work = sample_work()
    gcode = write_gcode(work, 1.0).decode("ascii")
    lines = gcode.splitlines(keepends=True)
    cut = next(i for i, line in enumerate(lines) if line.startswith("G1") and "S1000" in line)
    shifted = lines[cut].replace(".000 Y", ".010 Y")
    assert shifted != lines[cut]
    for wrong in (shifted, ""):
        text = "".join([*lines[:cut], wrong, *lines[cut + 1 :]])
        with pytest.raises(Internal):
            check_gcode(text.encode("ascii"), work)


POINTS = st.lists(st.tuples(st.floats(0, 40), st.floats(0, 25)), min_size=2, max_size=7)
PATHS = st.builds(lambda points, closed: path_of(points, closed=closed), POINTS, st.booleans())
PLACEMENTS = st.builds(
    Placement,
    corner=st.sampled_from(Corner),
    offset_x_mm=st.floats(-5, 380),
    offset_y_mm=st.floats(-5, 380),
    margin_mm=st.sampled_from([0.0, 0.3333, 7.0]),
    rotation_deg=st.one_of(st.sampled_from([0.0, 90.0, 180.0, 270.0]), st.floats(-360, 360)),
    mirror=st.booleans(),
    copies_x=st.integers(0, 2),
    copies_y=st.integers(0, 2),
    gap_mm=st.sampled_from([0.0, 1.5]),
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(PATHS, max_size=5),
    st.integers(0, 1000),
    st.sampled_from([0.0847, 0.1, 0.25]),
    PLACEMENTS,
    st.lists(st.sampled_from([CUT, SCORE, FILL, RASTER]), min_size=1, max_size=4),
    st.integers(0, 2),
)
def test_any_plan_passes_its_own_checks_or_is_refused(
    paths: list[Path], seed: int, pitch_mm: float, placement: Placement, kinds: list[OperationKind], passes: int
) -> None:
    """The planner must never make a file that its linter or its read-back throws away (that would be Internal)."""
    burn = np.random.default_rng(seed).random((6, 9)) > 0.5
    sources: list[Raster | Drawing] = [Raster(burn, pitch_mm), Drawing(40, 25, tuple(paths))]
    operations = tuple(Operation(0 if kind is RASTER else 1, kind, passes=passes) for kind in kinds)
    outputs = (OutputFormat.GCODE, OutputFormat.SVG, OutputFormat.DXF)
    spec = PlanSpec("birch-3mm", operations, placement=placement, outputs=outputs)
    assert _refusal(spec, sources) in ("", "OUT_OF_BED", "NOTHING_TO_BURN", "INVALID_FIELD")


def _refusal(spec: PlanSpec, sources: list[Raster | Drawing]) -> str:
    """Reason why the request is wrong; "" = it was planned."""
    try:
        plan_burn(spec, sources, never_cancelled)
    except InvalidArgument as refused:
        return refused.reason
    return ""

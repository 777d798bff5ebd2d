"""Passes that go down: what the head does in Z, and what no file may make it do."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

from kerf.optimizer.v1 import plan_pb2 as plan
from kerf_core.errors import Internal, InvalidArgument
from kerf_core.grpc_calls import validate
from kerf_optimizer.domain.geometry import Drawing, Raster
from kerf_optimizer.domain.machine.gcode import write_gcode
from kerf_optimizer.domain.machine.lint_rules import LintRules, Rule
from kerf_optimizer.domain.machine.linter import lint
from kerf_optimizer.domain.machine.timing import line_bytes
from kerf_optimizer.domain.machine.work import Work
from kerf_optimizer.domain.planning import GreyMeaning, Operation, PathStyle, Placement, PlanLimits, PlanSpec, ScanStyle
from kerf_optimizer.domain.planning import plan_burn as burn_plan
from kerf_optimizer.domain.planning.sequence import build_work
from kerf_optimizer.domain.planning.verify import check_gcode
from kerf_optimizer.domain.presets import list_presets, machine_profile
from kerf_optimizer.messages import read_plan
from plan_samples import CUT, FILL, RASTER, SCORE, never_cancelled, spots, square, washer

MACHINES = ["grbl-diode-10w", "marlin-diode-10w", "smoothie-diode-10w"]
ROOM = Placement(offset_x_mm=40, offset_y_mm=40)


def spec_of(*operations: Operation, machine: str = MACHINES[0], style: PathStyle | None = None) -> PlanSpec:
    """On a machine that is like kerf's and moves Z."""
    return PlanSpec(
        "birch-3mm",
        operations,
        placement=ROOM,
        path_style=style or PathStyle(),
        profile=dataclasses.replace(machine_profile(machine), has_z=True),
        presets=tuple(list_presets(machine, "birch-3mm")),
    )


def work_of(spec: PlanSpec, *sources: Raster | Drawing) -> Work:
    return build_work(spec, sources, never_cancelled, PlanLimits())


def heights(gcode: bytes) -> list[tuple[float, str]]:
    """Line by line: the height in force, and the line."""
    z, out = 0.0, []
    for line in gcode.decode("ascii").splitlines():
        code = line.split(";")[0]
        said = re.search(r"Z(-?[\d.]+)", code)
        z = float(said[1]) if said else z
        if code:
            out.append((z, code))
    return out


@pytest.mark.parametrize("machine", MACHINES)
def test_each_pass_of_a_cut_lies_lower_and_travel_is_never_low(machine: str) -> None:
    spec = spec_of(Operation(0, CUT, passes=3, z_step_mm=0.5), machine=machine)
    burn = burn_plan(spec, [washer()], never_cancelled)
    assert burn.report.checks
    lines = heights(burn.files[0].data)
    assert "; zero: Z0 is the focus" in burn.files[0].data.decode("ascii")
    moved = [code for _, code in lines if "Z" in code]
    groups = 3  # slot and hole, then the washer itself; the slot lies in the hole
    assert [re.search(r"Z(\S+)", code)[1] for code in moved] == ["-0.500", "-1.000", "0.000"] * groups  # type: ignore[index]  # found above
    assert all(code.startswith("G0 ") and code.endswith(" S0") for code in moved)
    burnt = {z: sum(code.startswith("G1 ") for at, code in lines if at == z) for z in (0.0, -0.5, -1.0)}
    assert len(set(burnt.values())) == 1
    assert lines[-1][0] == 0.0
    assert any("Z moves 9 times" in warning for warning in burn.report.warnings)
    assert "each 0.5 mm lower" in burn.files[4].data.decode("utf-8")


@pytest.mark.parametrize(
    "operation,source",
    [
        (Operation(0, SCORE, passes=2, z_step_mm=0.2), washer()),
        (Operation(0, FILL, passes=3, z_step_mm=0.2, scan=ScanStyle(30, cross_hatch=True)), washer()),
        (Operation(0, RASTER, passes=2, z_step_mm=0.2), spots()),
        (
            Operation(0, RASTER, passes=4, power_percent=10, z_step_mm=0.5, grey=GreyMeaning.DEPTH),
            Raster(np.eye(9, dtype=np.bool_), 0.2),
        ),
    ],
)
def test_every_kind_of_work_goes_down_and_comes_back(operation: Operation, source: Raster | Drawing) -> None:
    burn = burn_plan(spec_of(operation), [source], never_cancelled)
    lines = heights(burn.files[0].data)
    steps = sorted({z for z, _ in lines}, reverse=True)
    assert steps == pytest.approx([-number * operation.z_step_mm for number in range(operation.passes)])
    assert lines[-1][0] == 0.0


def test_the_next_operation_begins_on_the_surface_and_arcs_leads_and_powers_stay_what_they_are() -> None:
    style = PathStyle(lead_mm=1.0, arc_tolerance_mm=0.02, overcut_mm=0.5)
    operations = (
        Operation(1, RASTER, passes=2, z_step_mm=0.3, power_percent=10, grey=GreyMeaning.POWER),
        Operation(0, SCORE, passes=1),
        Operation(0, CUT, passes=2, z_step_mm=1.0),
    )
    low = work_of(spec_of(*operations, style=style), washer(), spots())
    flat = [dataclasses.replace(operation, z_step_mm=0.0) for operation in operations]
    level = work_of(spec_of(*flat, style=style), washer(), spots())
    path = low.toolpath
    stays = np.setdiff1d(np.arange(len(path)), path.z_changes)
    for name in ("x_um", "y_um", "s", "rapid", "layer"):
        assert np.array_equal(getattr(path, name)[stays], getattr(level.toolpath, name)), name
    assert path.z_um is not None
    scored = path.layer == [layer.kind for layer in low.layers].index(SCORE)
    assert (path.z_um[scored & (path.s > 0)] == 0).all()
    assert check_gcode(write_gcode(low, 1.0), low, style)


def test_a_height_that_differs_is_found_and_bytes_of_z_count() -> None:
    work = work_of(spec_of(Operation(0, CUT, passes=2, z_step_mm=0.5)), Drawing(20, 20, (square(2, 2, 10),)))
    gcode = write_gcode(work, 1.0)
    assert check_gcode(gcode, work)
    with pytest.raises(Internal, match="height"):
        check_gcode(gcode.replace(b"Z-0.500", b"Z-0.400"), work)
    with pytest.raises(Internal, match="height"):
        check_gcode(gcode, dataclasses.replace(work, toolpath=dataclasses.replace(work.toolpath, z_um=None)))
    body = [line for line in gcode.splitlines(keepends=True) if line[:1] in b"GXYS" and b"G21" not in line]
    assert line_bytes(work.toolpath).tolist() == [len(line) for line in body]


@pytest.mark.parametrize(
    "old,new,rule",
    [
        (b"Z-0.500", b"Z-3.100", Rule.Z_RANGE),
        (b"Z-0.500", b"Z0.100", Rule.Z_RANGE),
        (b"Z0.000", b"Z-0.500", Rule.Z_LEFT_LOW),
        (b"Z-0.500 S0", b"Z-0.500 S100", Rule.Z_MOVE),
        (b"\nG1 X", b"\nG1 Z-0.2 X", Rule.Z_MOVE),
    ],
)
def test_heights_that_no_file_may_have_are_found_by_the_linter(old: bytes, new: bytes, rule: Rule) -> None:
    work = work_of(spec_of(Operation(0, CUT, passes=2, z_step_mm=0.5)), Drawing(20, 20, (square(2, 2, 10),)))
    gcode = write_gcode(work, 1.0)
    rules = LintRules(work.machine, work.material)
    assert lint(gcode, rules) == []
    assert old in gcode
    assert rule in {violation.rule for violation in lint(gcode.replace(old, new), rules)}


@pytest.mark.parametrize(
    "operation,has_z,reason,text",
    [
        (Operation(0, CUT, passes=2, z_step_mm=0.5), False, "NO_Z_AXIS", "does not move Z"),
        (Operation(0, CUT, passes=1, z_step_mm=0.5), True, "INVALID_FIELD", "only one"),
        (Operation(0, CUT, passes=3, z_step_mm=1.6), True, "INVALID_FIELD", "3 mm thick"),
        (Operation(0, CUT, passes=2, z_step_mm=-1.0), True, "INVALID_FIELD", "outside"),
        (Operation(0, CUT, passes=2, z_step_mm=float("nan")), True, "INVALID_FIELD", "outside"),
    ],
)
def test_steps_that_cannot_be_are_refused(operation: Operation, has_z: bool, reason: str, text: str) -> None:
    spec = spec_of(operation)
    assert spec.profile
    with pytest.raises(InvalidArgument, match=text) as caught:
        work_of(dataclasses.replace(spec, profile=dataclasses.replace(spec.profile, has_z=has_z)), washer())
    assert caught.value.reason == reason
    assert caught.value.violations[0].field == "operations[0].z_step_mm"


def test_the_contract_carries_the_step() -> None:
    cut = plan.Operation(kind=plan.OPERATION_KIND_CUT, z_step_mm=0.25)
    request = plan.PlanRequest(material="birch-3mm", operations=[cut])
    validate(request)
    assert read_plan(request).operations[0].z_step_mm == 0.25
    request.operations[0].z_step_mm = 11
    with pytest.raises(InvalidArgument, match="z_step_mm"):
        validate(request)

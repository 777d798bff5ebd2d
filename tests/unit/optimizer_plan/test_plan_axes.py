"""Axes that differ, and what they mean for time and run-up; the interval of the time where people read it."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

from kerf.optimizer.v1 import plan_pb2 as plan
from kerf_core.errors import InvalidArgument
from kerf_core.grpc_calls import validate
from kerf_optimizer.domain.machine.timing import estimate_seconds, estimate_time
from kerf_optimizer.domain.machine.work import Toolpath
from kerf_optimizer.domain.planning import (
    Operation,
    OutputFormat,
    Placement,
    PlanLimits,
    PlanSpec,
    ScanStyle,
    plan_burn,
)
from kerf_optimizer.domain.planning.sequence import build_work
from kerf_optimizer.domain.presets import Dialect, MachineProfile, get_preset, machine_profile
from kerf_optimizer.domain.presets.grbl_dump import LaserHead, read_grbl_dump
from kerf_optimizer.messages import read_plan
from kerf_optimizer.preset_messages import write_machine, write_preset
from plan_samples import CUT, RASTER, never_cancelled, sample_sources, spots

BOTH = machine_profile("grbl-diode-10w")
QUICK_X = dataclasses.replace(BOTH, max_feed_x_mm_per_min=12_000.0, acceleration_x_mm_per_s2=2000.0)
DUMP = "$11=0.010\n$30=1000\n$31=0\n$32=1\n$110=9000\n$111=6000\n$120=900\n$121=500\n$130=400\n$131=400\n"
HEAD = LaserHead("own", 10, 450, 0.08, 0.08)


def travel(x_mm: float, y_mm: float) -> Toolpath:
    return Toolpath(
        x_um=np.array([0, round(1000 * x_mm)]),
        y_um=np.array([0, round(1000 * y_mm)]),
        s=np.zeros(2, dtype=np.int32),
        rapid=np.ones(2, dtype=np.bool_),
        feed_mm_per_min=np.zeros(2, dtype=np.int32),
        layer=np.zeros(2, dtype=np.int16),
    )


TICKS = 3e-3
"""What whole cycles of the controller's timer may make of a time."""


def test_a_rapid_move_takes_what_its_own_axis_takes() -> None:
    """Trapezoids by hand: d/v + v/a."""
    along_x, along_y = (estimate_seconds(travel(*way), QUICK_X) for way in ((300, 0), (0, 300)))
    assert along_x == pytest.approx(300 / 200 + 200 / 2000, rel=TICKS)
    assert along_y == pytest.approx(300 / 100 + 100 / 500, rel=TICKS)
    assert estimate_seconds(travel(300, 0), BOTH) == pytest.approx(along_y, rel=TICKS)
    at_feed = estimate_time(travel(300, 100), QUICK_X).feed_seconds
    assert at_feed == pytest.approx(1.5)  # X takes 1.5 s at its speed, Y 1 s at its own


@pytest.mark.parametrize(
    "angle_deg,run_up_mm",
    [(0, 2.5 / 4), (180, 2.5 / 4), (90, 2.5), (-90, 2.5), (45, 2.5 * np.sqrt(0.5)), (10, 2.5 / 4)],
)
def test_the_run_up_is_that_of_the_axis_that_holds_back(angle_deg: float, run_up_mm: float) -> None:
    found = QUICK_X.run_up_mm(3000, angle_deg)
    assert run_up_mm - 1e-9 <= found <= run_up_mm + 0.1
    assert found == pytest.approx(round(found, 1))
    assert BOTH.run_up_mm(3000, 90) == BOTH.run_up_mm(3000)


@pytest.mark.parametrize("angle_deg,run_up_mm", [(0.0, 2.5), (90.0, 10.0)])
def test_scan_lines_run_past_the_picture_by_the_run_up_of_their_axis(angle_deg: float, run_up_mm: float) -> None:
    operation = Operation(0, RASTER, speed_mm_per_min=6000, power_percent=20, scan=ScanStyle(angle_deg))
    preset = get_preset("grbl-diode-10w/birch-3mm/engrave-raster")
    place = Placement(offset_x_mm=60, offset_y_mm=60)
    spec = PlanSpec("birch-3mm", (operation,), placement=place, profile=QUICK_X, presets=(preset,))
    path = build_work(spec, [spots()], never_cancelled, PlanLimits()).toolpath
    burn, motion = np.array(path.burn_bounds), np.array(path.motion_bounds)
    past = abs(burn - motion).reshape(2, 2)[0]
    assert past[1 if angle_deg else 0] == pytest.approx(run_up_mm)


@pytest.mark.parametrize("scan", [ScanStyle(90), ScanStyle(0, cross_hatch=True), ScanStyle(0)])
def test_work_that_nobody_placed_keeps_the_run_up_of_its_scan_lines_on_the_bed(scan: ScanStyle) -> None:
    burn = plan_burn(PlanSpec("birch-3mm", (Operation(0, RASTER, scan=scan),)), [spots()], never_cancelled)
    box = burn.report.motion_bounds
    assert min(box.min_x_mm, box.min_y_mm) >= 0
    assert (burn.report.burn_bounds.min_y_mm > 1) is (scan != ScanStyle(0))
    assert any("front edge" in warning for warning in burn.report.warnings)


def test_a_dump_fills_both_axes_and_the_contract_carries_them() -> None:
    machine = read_grbl_dump(DUMP, HEAD).machine
    assert list(machine.axis_feeds_mm_per_min) == [9000, 6000]
    assert list(machine.axis_accelerations_mm_per_s2) == [900, 500]
    assert (machine.max_feed_mm_per_min, machine.acceleration_mm_per_s2) == (6000, 500)
    preset = dataclasses.replace(get_preset("grbl-diode-10w/birch-3mm/cut"), name="own/birch-3mm/cut", machine="own")
    request = plan.PlanRequest(
        material="birch-3mm",
        operations=[plan.Operation(input=1, kind=plan.OPERATION_KIND_CUT)],
        machine_profile=write_machine(machine),
        presets=[write_preset(preset)],
    )
    validate(request)
    asked = read_plan(request)
    assert asked.profile == machine
    assert plan_burn(asked, sample_sources(), never_cancelled).files


@pytest.mark.parametrize(
    "field,value",
    [
        ("max_feed_x_mm_per_min", 5999.0),
        ("max_feed_y_mm_per_min", 70_000.0),
        ("acceleration_x_mm_per_s2", -1.0),
        ("acceleration_y_mm_per_s2", float("nan")),
    ],
)
def test_an_axis_that_cannot_do_what_both_do_is_refused(field: str, value: float) -> None:
    own = dataclasses.replace(BOTH, **{field: value})  # type: ignore[arg-type]  # the fields are named by the tests
    with pytest.raises(InvalidArgument) as caught:
        plan_burn(PlanSpec("birch-3mm", (Operation(1, CUT),), profile=own), sample_sources(), never_cancelled)
    assert [violation.field for violation in caught.value.violations] == [f"machine_profile.{field}"]


def _between(machine: MachineProfile) -> tuple[list[int], str, tuple[float, float]]:
    spec = PlanSpec("birch-3mm", (Operation(1, CUT),), machine.name)
    spec = dataclasses.replace(spec, outputs=(OutputFormat.GCODE, OutputFormat.JOB_SHEET, OutputFormat.REPORT_JSON))
    burn = plan_burn(spec, sample_sources(), never_cancelled)
    gcode, sheet, report = (file.data.decode("utf-8") for file in burn.files)
    said = re.search(r"^; time: about \d+ s, between (\d+) and (\d+) s, an estimate$", gcode, re.MULTILINE)
    assert said
    assert f'"estimated_low_seconds": {burn.report.time.low_seconds}' in report
    return [int(number) for number in said.groups()], sheet, burn.report.time.between_seconds


@pytest.mark.parametrize("dialect", [Dialect.GRBL_M4, Dialect.MARLIN_INLINE])
def test_header_and_job_sheet_tell_the_interval(dialect: Dialect) -> None:
    name = {Dialect.GRBL_M4: "grbl-diode-10w", Dialect.MARLIN_INLINE: "marlin-diode-10w"}[dialect]
    said, sheet, (low, high) = _between(machine_profile(name))
    assert said[0] <= low < high <= said[1]
    assert said[1] - high < 1
    minutes = [f"{round(s) // 60} min {round(s) % 60:02d} s" for s in (low, high)]
    assert f"between {minutes[0]} and {minutes[1]}: an estimate" in sheet

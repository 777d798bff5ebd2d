"""A rotary in place of Y: true millimetres of the surface, one turn high, and a controller that is told."""

from __future__ import annotations

import math

import pytest

from kerf.optimizer.v1 import layout_pb2 as layout
from kerf.optimizer.v1 import plan_pb2 as plan
from kerf_core.errors import InvalidArgument
from kerf_core.grpc_calls import validate
from kerf_optimizer.domain.geometry import Drawing, path_of
from kerf_optimizer.domain.machine.formats import OutputFormat
from kerf_optimizer.domain.planning import Operation, OperationKind, Placement, PlanSpec, plan_burn
from kerf_optimizer.domain.presets import machine_profile
from kerf_optimizer.domain.rotary import Rotary, mounted
from kerf_optimizer.messages import read_plan
from kerf_optimizer.preset_messages import read_profile, write_machine

MUG = Rotary(diameter_mm=80.0, steps_per_turn=3200)


def never() -> None:
    """Nobody gives up."""


def band(height_mm: float, width_mm: float = 40.0) -> Drawing:
    corners = [(0.0, 0.0), (width_mm, 0.0), (width_mm, height_mm), (0.0, height_mm)]
    return Drawing(width_mm, height_mm, (path_of(corners, closed=True),))


def spec(rotary: Rotary | None, machine: str = "", *outputs: OutputFormat) -> PlanSpec:
    operations = (Operation(0, OperationKind.SCORE),)
    return PlanSpec("birch-3mm", operations, machine, Placement(), outputs=outputs, rotary=rotary)


@pytest.mark.parametrize(
    ("machine", "setting"),
    [
        ("grbl-diode-10w", "$101=12.732"),
        ("marlin-diode-10w", "M92 Y12.732"),
        ("smoothie-diode-10w", "beta_steps_per_mm 12.732"),
    ],
)
def test_the_controller_is_told_its_steps_and_the_sheet_says_so(machine: str, setting: str) -> None:
    outputs = (OutputFormat.GCODE, OutputFormat.JOB_SHEET)
    burn = plan_burn(spec(MUG, machine, *outputs), [band(200)], never)
    gcode, sheet = (file.data.decode() for file in burn.files)
    # One turn is π · 80 mm, and 3200 steps.
    assert setting in burn.report.required_settings
    assert f"; required setting: {setting}\n" in gcode
    assert "; rotary in place of Y: diameter 80.00 mm, one turn is Y 251.33 mm" in gcode
    assert "diameter 80.00 mm, one turn is Y 251.33 mm" in sheet
    assert setting in sheet
    assert "where the piece stands" in sheet
    assert any(setting in warning for warning in burn.report.warnings)


def test_lengths_and_feeds_are_those_of_the_surface() -> None:
    flat = plan_burn(spec(None, "", OutputFormat.SVG), [band(200)], never)
    turned = plan_burn(spec(MUG, "", OutputFormat.SVG), [band(200)], never)
    assert turned.report.burn_length_mm == flat.report.burn_length_mm == pytest.approx(480.0)
    assert turned.report.burn_bounds == flat.report.burn_bounds


def test_nothing_goes_round_more_than_once() -> None:
    turn_mm = math.pi * 80
    plan_burn(spec(MUG), [band(turn_mm - 0.01)], never)
    with pytest.raises(InvalidArgument, match="on the back") as caught:
        plan_burn(spec(MUG), [band(turn_mm + 0.01)], never)
    assert caught.value.reason == "OUT_OF_BED"
    # A large piece may be longer round than the bed is deep.
    large = Rotary(200.0, 3200)
    assert large.turn_mm > machine_profile("grbl-diode-10w").bed_height_mm
    assert plan_burn(spec(large), [band(600)], never).report.burn_bounds.max_y_mm == pytest.approx(600)


def test_steps_come_from_the_machine_where_the_request_has_none() -> None:
    with pytest.raises(InvalidArgument) as caught:
        plan_burn(spec(Rotary(80.0)), [band(20)], never)
    assert caught.value.reason == "ROTARY_STEPS_UNKNOWN"
    message = write_machine(machine_profile("grbl-diode-10w"))
    message.rotary_steps_per_turn = 6400
    known, machine = mounted(Rotary(80.0), read_profile(message))
    assert known.steps_per_turn == 6400
    assert machine.required_settings[-1] == "$101=25.465"
    assert machine.bed_height_mm == pytest.approx(math.pi * 80)


def test_a_coarse_rotary_is_told() -> None:
    burn = plan_burn(spec(Rotary(200.0, 200)), [band(20)], never)
    assert any("3.14 mm on the surface" in warning for warning in burn.report.warnings)


@pytest.mark.parametrize(
    ("rotary", "field"),
    [
        (Rotary(1.0, 3200), "rotary.diameter_mm"),
        (Rotary(float("nan"), 3200), "rotary.diameter_mm"),
        (Rotary(80.0, 5), "rotary.steps_per_turn"),
        (Rotary(80.0, float("inf")), "rotary.steps_per_turn"),
    ],
)
def test_figures_out_of_range_are_named(rotary: Rotary, field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        plan_burn(spec(rotary), [band(20)], never)
    assert caught.value.violations[0].field == field


def test_the_contract_carries_the_rotary() -> None:
    request = plan.PlanRequest(
        material="birch-3mm",
        operations=[plan.Operation(kind=plan.OPERATION_KIND_SCORE)],
        rotary=layout.Rotary(diameter_mm=80, steps_per_turn=3200),
    )
    validate(request)
    assert read_plan(request).rotary == MUG
    request.ClearField("rotary")
    assert read_plan(request).rotary is None
    request.rotary.diameter_mm = 1
    with pytest.raises(InvalidArgument, match="diameter_mm"):
        validate(request)

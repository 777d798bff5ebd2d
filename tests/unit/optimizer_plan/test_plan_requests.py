"""What a request may bring of its own: a machine, presets, more files, a frame that shows the beam."""

from __future__ import annotations

import dataclasses

import pytest

from kerf.optimizer.v1 import plan_pb2 as plan
from kerf_core.errors import InvalidArgument
from kerf_core.grpc_calls import validate
from kerf_optimizer.domain.machine.formats import USUAL_FORMATS, OutputFormat
from kerf_optimizer.domain.planning import Operation, PathStyle, PlanSpec, ScanStyle, Verdict, plan_burn
from kerf_optimizer.domain.presets import Dialect, get_preset, machine_profile
from kerf_optimizer.messages import read_plan, write_plan_report
from kerf_optimizer.preset_messages import write_machine, write_preset
from plan_controllers import controller
from plan_samples import CUT, never_cancelled, sample_sources

OWN_MACHINE = dataclasses.replace(machine_profile("smoothie-diode-10w"), name="workshop", bed_width_mm=250.0)
OWN_PRESET = dataclasses.replace(
    get_preset("smoothie-diode-10w/birch-3mm/cut"), name="workshop/birch-3mm/cut", machine="workshop", passes=1
)


def spec(**changes: object) -> PlanSpec:
    asked = PlanSpec("birch-3mm", (Operation(1, CUT),), outputs=(OutputFormat.GCODE,))
    return dataclasses.replace(asked, **changes)  # type: ignore[arg-type]  # the fields are named by the tests


def test_a_plan_runs_on_a_machine_and_with_a_preset_of_the_callers_own() -> None:
    burn = plan_burn(spec(profile=OWN_MACHINE, presets=(OWN_PRESET,)), sample_sources(), never_cancelled)
    text = burn.files[0].data.decode("ascii")
    assert "; machine: workshop\n" in text
    assert [preset.name for preset in burn.report.presets] == ["workshop/birch-3mm/cut"]
    assert controller(Dialect.SMOOTHIEWARE, 1000).run(text)


def test_a_machine_of_the_callers_own_knows_no_other_presets() -> None:
    with pytest.raises(InvalidArgument) as caught:
        plan_burn(spec(profile=OWN_MACHINE), sample_sources(), never_cancelled)
    assert caught.value.reason == "PRESET_UNKNOWN"


def test_an_own_preset_goes_before_kerfs_and_keeps_the_cap() -> None:
    own = dataclasses.replace(get_preset("grbl-diode-10w/birch-3mm/cut"), power_percent=80.0)
    burn = plan_burn(spec(presets=(own,)), sample_sources(), never_cancelled)
    assert burn.report.presets[0].power_percent == 80
    for wrong in (
        dataclasses.replace(own, speed_mm_per_min=20.0),
        dataclasses.replace(own, machine="grbl-diode-5w"),
        dataclasses.replace(own, power_percent=float("nan")),
    ):
        with pytest.raises(InvalidArgument, match=r"presets\[0\]"):
            plan_burn(spec(presets=(wrong,)), sample_sources(), never_cancelled)


def test_a_bad_machine_is_refused_before_anything_is_planned() -> None:
    with pytest.raises(InvalidArgument, match="bed_width_mm"):
        plan_burn(spec(profile=dataclasses.replace(OWN_MACHINE, bed_width_mm=-1.0)), sample_sources(), never_cancelled)


def test_all_files_can_be_asked_for_and_the_usual_ones_are_five() -> None:
    burn = plan_burn(spec(outputs=tuple(OutputFormat)), sample_sources(), never_cancelled)
    assert [file.format for file in burn.files] == list(OutputFormat)
    assert {check.verdict for check in burn.report.checks} == {Verdict.PASSED}
    assert len(USUAL_FORMATS) == 5


def test_the_contract_carries_machine_presets_and_frame() -> None:
    request = plan.PlanRequest(
        material="birch-3mm",
        operations=[plan.Operation(kind=plan.OPERATION_KIND_CUT)],
        machine_profile=write_machine(OWN_MACHINE),
        presets=[write_preset(OWN_PRESET)],
        outputs=[plan.OUTPUT_FORMAT_FRAME_GCODE],
        frame_power_percent=1,
    )
    validate(request)
    read = read_plan(request)
    assert read.profile == OWN_MACHINE
    assert read.presets == (OWN_PRESET,)
    assert (read.outputs, read.frame_power_percent) == ((OutputFormat.FRAME_GCODE,), 1)
    request.machine_profile.dialect = plan.DIALECT_UNSPECIFIED
    with pytest.raises(InvalidArgument, match="dialect"):
        read_plan(request)


def test_the_contract_carries_styles_of_scans_and_paths() -> None:
    request = plan.PlanRequest(
        material="birch-3mm",
        operations=[
            plan.Operation(
                kind=plan.OPERATION_KIND_ENGRAVE_FILL, scan=plan.ScanStyle(angle_deg=30, cross_hatch=True, one_way=True)
            ),
            plan.Operation(kind=plan.OPERATION_KIND_CUT),
        ],
        path_style=plan.PathStyle(lead_mm=2, overcut_mm=1, merge=True, arc_tolerance_mm=0.02),
    )
    validate(request)
    asked = read_plan(request)
    assert [operation.scan for operation in asked.operations] == [ScanStyle(30, True, both_ways=False), ScanStyle()]
    assert asked.path_style == PathStyle(lead_mm=2, overcut_mm=1, merge=True, arc_tolerance_mm=0.02)
    for wrong in (
        plan.PathStyle(lead_mm=-1),
        plan.PathStyle(overcut_mm=float("nan")),
        plan.PathStyle(arc_tolerance_mm=0.6),
    ):
        request.path_style.CopyFrom(wrong)
        with pytest.raises(InvalidArgument, match="path_style"):
            validate(request)


def test_the_report_tells_the_time_with_its_interval_and_what_bounds_it() -> None:
    burn = plan_burn(spec(), sample_sources(), never_cancelled)
    time = write_plan_report(burn.report).time
    assert time.low_seconds <= time.expected_seconds <= time.high_seconds
    assert time.expected_seconds == burn.report.estimated_seconds > 0
    parts = [time.feed_seconds, time.acceleration_seconds, time.serial_seconds]
    assert sum(parts) == pytest.approx(time.expected_seconds)
    assert parts[time.bounded_by - 1] == max(parts)
    assert time.simulated

"""Messages of `kerf.optimizer.v1` to and from the domain's types, for the servicer and the handler.

Enumerators that this version does not know are refused by validation before they come here; unspecified ones mean what
the contract says.
"""

from __future__ import annotations

from kerf.optimizer.v1 import plan_pb2 as plan
from kerf.optimizer.v1 import raster_pb2 as raster
from kerf.optimizer.v1 import vector_pb2 as vector
from kerf_core.errors import InvalidArgument
from kerf_optimizer.domain.geometry import Bounds
from kerf_optimizer.domain.physical import PhysicalSize
from kerf_optimizer.domain.planning import (
    Corner,
    Operation,
    OutputFormat,
    Placement,
    PlanReport,
    PlanSpec,
    Verdict,
)
from kerf_optimizer.domain.presets import MachineProfile, Material, OperationKind, Preset
from kerf_optimizer.domain.raster import RasterMode, RasterReport, RasterSettings
from kerf_optimizer.domain.trace import TraceMode, TraceReport, TraceSettings

_RASTER_MODES = {
    raster.RASTER_MODE_UNSPECIFIED: RasterMode.THRESHOLD,
    raster.RASTER_MODE_THRESHOLD: RasterMode.THRESHOLD,
    raster.RASTER_MODE_FLOYD_STEINBERG: RasterMode.FLOYD_STEINBERG,
    raster.RASTER_MODE_HALFTONE: RasterMode.HALFTONE,
    raster.RASTER_MODE_LINE_ART: RasterMode.LINE_ART,
    raster.RASTER_MODE_SILHOUETTE: RasterMode.SILHOUETTE,
}
_WRITTEN_MODES = {mode: number for number, mode in _RASTER_MODES.items() if number}
_TRACE_MODES = {
    vector.TRACE_MODE_UNSPECIFIED: TraceMode.OUTLINE,
    vector.TRACE_MODE_OUTLINE: TraceMode.OUTLINE,
    vector.TRACE_MODE_SILHOUETTE: TraceMode.SILHOUETTE,
}
_KINDS = {
    plan.OPERATION_KIND_ENGRAVE_RASTER: OperationKind.ENGRAVE_RASTER,
    plan.OPERATION_KIND_ENGRAVE_FILL: OperationKind.ENGRAVE_FILL,
    plan.OPERATION_KIND_SCORE: OperationKind.SCORE,
    plan.OPERATION_KIND_CUT: OperationKind.CUT,
}
_WRITTEN_KINDS = {kind: number for number, kind in _KINDS.items()}
_CORNERS = {
    plan.CORNER_UNSPECIFIED: Corner.FRONT_LEFT,
    plan.CORNER_FRONT_LEFT: Corner.FRONT_LEFT,
    plan.CORNER_FRONT_RIGHT: Corner.FRONT_RIGHT,
    plan.CORNER_BACK_LEFT: Corner.BACK_LEFT,
    plan.CORNER_BACK_RIGHT: Corner.BACK_RIGHT,
    plan.CORNER_CENTER: Corner.CENTER,
}
_FORMATS = {
    plan.OUTPUT_FORMAT_GCODE: OutputFormat.GCODE,
    plan.OUTPUT_FORMAT_SVG: OutputFormat.SVG,
    plan.OUTPUT_FORMAT_DXF: OutputFormat.DXF,
    plan.OUTPUT_FORMAT_PREVIEW_PNG: OutputFormat.PREVIEW_PNG,
    plan.OUTPUT_FORMAT_JOB_SHEET: OutputFormat.JOB_SHEET,
}
WRITTEN_FORMATS = {format_: number for number, format_ in _FORMATS.items()}
_VERDICTS = {Verdict.PASSED: plan.VERDICT_PASSED, Verdict.NOT_RUN: plan.VERDICT_NOT_RUN}


def read_optimize(request: raster.OptimizeRequest) -> RasterSettings:
    """The domain's form of an optimize task, its source aside."""
    return RasterSettings(
        mode=_RASTER_MODES[request.mode],
        size=_read_size(request.size),
        threshold=request.threshold if request.HasField("threshold") else None,
        halftone_lpi=request.halftone_lpi,
        halftone_angle_deg=request.halftone_angle_deg if request.HasField("halftone_angle_deg") else None,
        line_width_mm=request.line_width_mm,
        invert=request.invert,
    )


def read_vectorize(request: vector.VectorizeRequest) -> TraceSettings:
    """The domain's form of a vectorize task, its source aside."""
    return TraceSettings(
        mode=_TRACE_MODES[request.mode],
        size=_read_size(request.size),
        despeckle_mm2=request.despeckle_mm2 if request.HasField("despeckle_mm2") else None,
        tolerance_mm=request.tolerance_mm,
    )


def read_plan(request: plan.PlanRequest) -> PlanSpec:
    """The domain's form of a plan task, its sources aside. Raises InvalidArgument for an unspecified kind or format."""
    return PlanSpec(
        material=request.material,
        operations=tuple(_read_operation(index, item) for index, item in enumerate(request.operations)),
        machine=request.machine,
        placement=_read_placement(request.placement) if request.HasField("placement") else None,
        outputs=tuple(_read_format(index, number) for index, number in enumerate(request.outputs)),
        title=request.title,
    )


def _read_size(size: raster.PhysicalSize) -> PhysicalSize:
    return PhysicalSize(size.width_mm, size.height_mm, size.dpi)


def _read_operation(index: int, message: plan.Operation) -> Operation:
    kind = _KINDS.get(message.kind)
    if kind is None:
        raise InvalidArgument.of_field(f"operations[{index}].kind", "say what to do: engrave, score or cut.")
    return Operation(
        input=message.input,
        kind=kind,
        preset=message.preset,
        power_percent=message.power_percent,
        speed_mm_per_min=message.speed_mm_per_min,
        passes=message.passes,
        interval_mm=message.interval_mm,
        layer=message.layer,
    )


def _read_format(index: int, number: plan.OutputFormat.ValueType) -> OutputFormat:
    found = _FORMATS.get(number)
    if found is None:
        raise InvalidArgument.of_field(f"outputs[{index}]", "say which file to make, or leave the list empty for all.")
    return found


def _read_placement(message: plan.Placement) -> Placement:
    return Placement(
        corner=_CORNERS[message.corner],
        offset_x_mm=message.offset_x_mm,
        offset_y_mm=message.offset_y_mm,
        margin_mm=message.margin_mm,
        rotation_deg=message.rotation_deg,
        mirror=message.mirror,
        copies_x=message.copies_x,
        copies_y=message.copies_y,
        gap_mm=message.gap_mm,
    )


def write_raster_report(report: RasterReport) -> raster.RasterReport:
    """The contract's form of a raster's report."""
    return raster.RasterReport(
        mode=_WRITTEN_MODES[report.mode],
        width_px=report.width_px,
        height_px=report.height_px,
        width_mm=report.width_mm,
        height_mm=report.height_mm,
        dpi=report.dpi,
        burnt_share=report.burnt_share,
        threshold=report.threshold,
        warnings=report.warnings,
    )


def write_vector_report(report: TraceReport) -> vector.VectorReport:
    """The contract's form of a drawing's report."""
    return vector.VectorReport(
        width_mm=report.width_mm,
        height_mm=report.height_mm,
        paths=report.paths,
        nodes=report.nodes,
        length_mm=report.length_mm,
        warnings=report.warnings,
    )


def write_plan_report(report: PlanReport) -> plan.PlanReport:
    """The contract's form of a plan's report."""
    return plan.PlanReport(
        burn_bounds=_write_bounds(report.burn_bounds),
        motion_bounds=_write_bounds(report.motion_bounds),
        estimated_seconds=report.estimated_seconds,
        burn_length_mm=report.burn_length_mm,
        travel_length_mm=report.travel_length_mm,
        gcode_lines=report.gcode_lines,
        checks=[
            plan.Check(name=check.name, verdict=_VERDICTS[check.verdict], detail=check.detail)
            for check in report.checks
        ],
        warnings=report.warnings,
        required_settings=report.required_settings,
        presets=[write_preset(preset) for preset in report.presets],
    )


def _write_bounds(bounds: Bounds) -> plan.Bounds:
    return plan.Bounds(**bounds._asdict())


def write_preset(preset: Preset) -> plan.Preset:
    """The contract's form of a preset."""
    return plan.Preset(
        name=preset.name,
        machine=preset.machine,
        material=preset.material,
        kind=_WRITTEN_KINDS[preset.kind],
        power_percent=preset.power_percent,
        speed_mm_per_min=preset.speed_mm_per_min,
        passes=preset.passes,
        interval_mm=preset.interval_mm,
        kerf_mm=preset.kerf_mm,
        source=preset.source,
        verified=preset.verified,
    )


def write_machine(machine: MachineProfile) -> plan.MachineProfile:
    """The contract's form of a machine profile."""
    return plan.MachineProfile(
        name=machine.name,
        description=machine.description,
        bed_width_mm=machine.bed_width_mm,
        bed_height_mm=machine.bed_height_mm,
        max_feed_mm_per_min=machine.max_feed_mm_per_min,
        acceleration_mm_per_s2=machine.acceleration_mm_per_s2,
        s_max=machine.s_max,
        laser_watts=machine.laser_watts,
        wavelength_nm=machine.wavelength_nm,
        spot_x_mm=machine.spot_x_mm,
        spot_y_mm=machine.spot_y_mm,
        has_z=machine.has_z,
    )


def write_material(material: Material) -> plan.Material:
    """The contract's form of a material."""
    return plan.Material(
        name=material.name,
        description=material.description,
        thickness_mm=material.thickness_mm,
        blocked_reason=material.blocked_reason,
    )

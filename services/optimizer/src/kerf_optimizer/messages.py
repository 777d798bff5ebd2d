"""Messages of `kerf.optimizer.v1` to and from the domain's types, for the servicer and the handler.

Enumerators that this version does not know are refused by validation before they come here; unspecified ones mean what
the contract says.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict

from kerf.optimizer.v1 import plan_pb2 as plan
from kerf.optimizer.v1 import raster_pb2 as raster
from kerf.optimizer.v1 import vector_pb2 as vector
from kerf_core.errors import InvalidArgument
from kerf_optimizer.domain.geometry import Bounds
from kerf_optimizer.domain.machine.timing import TimeBound, TimeEstimate
from kerf_optimizer.domain.physical import PhysicalSize
from kerf_optimizer.domain.planning import (
    Contour,
    Corner,
    GreyMeaning,
    Operation,
    OutputFormat,
    PathStyle,
    Placement,
    PlanReport,
    PlanSpec,
    ScanStyle,
    Verdict,
)
from kerf_optimizer.domain.raster import (
    Background,
    BurnReport,
    BurnSettings,
    DotShape,
    PowerRange,
    RasterMode,
    RasterReport,
    RasterSettings,
    ToneAdjustments,
    Unsharp,
)
from kerf_optimizer.domain.trace import TraceMode, TraceReport, TraceSettings
from kerf_optimizer.layout_messages import read_drawing, read_nesting, read_rotary
from kerf_optimizer.preset_messages import KINDS, read_preset, read_profile, write_preset

_RASTER_MODES = {
    raster.RASTER_MODE_UNSPECIFIED: RasterMode.THRESHOLD,
    raster.RASTER_MODE_THRESHOLD: RasterMode.THRESHOLD,
    raster.RASTER_MODE_FLOYD_STEINBERG: RasterMode.FLOYD_STEINBERG,
    raster.RASTER_MODE_HALFTONE: RasterMode.HALFTONE,
    raster.RASTER_MODE_LINE_ART: RasterMode.LINE_ART,
    raster.RASTER_MODE_SILHOUETTE: RasterMode.SILHOUETTE,
    raster.RASTER_MODE_ATKINSON: RasterMode.ATKINSON,
    raster.RASTER_MODE_JARVIS_JUDICE_NINKE: RasterMode.JARVIS_JUDICE_NINKE,
    raster.RASTER_MODE_STUCKI: RasterMode.STUCKI,
    raster.RASTER_MODE_BURKES: RasterMode.BURKES,
    raster.RASTER_MODE_SIERRA: RasterMode.SIERRA,
    raster.RASTER_MODE_SIERRA_TWO_ROW: RasterMode.SIERRA_TWO_ROW,
    raster.RASTER_MODE_SIERRA_LITE: RasterMode.SIERRA_LITE,
    raster.RASTER_MODE_ORDERED: RasterMode.ORDERED,
    raster.RASTER_MODE_BLUE_NOISE: RasterMode.BLUE_NOISE,
    raster.RASTER_MODE_NEWSPRINT: RasterMode.NEWSPRINT,
    raster.RASTER_MODE_ADAPTIVE_THRESHOLD: RasterMode.ADAPTIVE_THRESHOLD,
    raster.RASTER_MODE_BAND_THRESHOLD: RasterMode.BAND_THRESHOLD,
    raster.RASTER_MODE_SKETCH: RasterMode.SKETCH,
    raster.RASTER_MODE_POWER_MAP: RasterMode.POWER_MAP,
    raster.RASTER_MODE_RELIEF: RasterMode.RELIEF,
    raster.RASTER_MODE_PASS_THROUGH: RasterMode.PASS_THROUGH,
    raster.RASTER_MODE_BURN_SIMULATED: RasterMode.BURN_SIMULATED,
    raster.RASTER_MODE_AUTO: RasterMode.AUTO,
}
_DEFAULTS = RasterSettings()
_DOT_SHAPES = {
    raster.DOT_SHAPE_UNSPECIFIED: DotShape.ROUND,
    raster.DOT_SHAPE_ROUND: DotShape.ROUND,
    raster.DOT_SHAPE_DIAMOND: DotShape.DIAMOND,
    raster.DOT_SHAPE_LINE: DotShape.LINE,
    raster.DOT_SHAPE_ELLIPSE: DotShape.ELLIPSE,
    raster.DOT_SHAPE_CROSS: DotShape.CROSS,
}
_BACKGROUNDS = {
    raster.BACKGROUND_REMOVAL_UNSPECIFIED: Background.KEEP,
    raster.BACKGROUND_REMOVAL_FLAT: Background.FLAT,
    raster.BACKGROUND_REMOVAL_UNEVEN: Background.UNEVEN,
}
_WRITTEN_MODES = {mode: number for number, mode in _RASTER_MODES.items() if number}
_TRACE_MODES = {
    vector.TRACE_MODE_UNSPECIFIED: TraceMode.OUTLINE,
    vector.TRACE_MODE_OUTLINE: TraceMode.OUTLINE,
    vector.TRACE_MODE_SILHOUETTE: TraceMode.SILHOUETTE,
}
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
    plan.OUTPUT_FORMAT_PDF: OutputFormat.PDF,
    plan.OUTPUT_FORMAT_LBRN2: OutputFormat.LBRN2,
    plan.OUTPUT_FORMAT_BURN_PNG: OutputFormat.BURN_PNG,
    plan.OUTPUT_FORMAT_REPORT_JSON: OutputFormat.REPORT_JSON,
    plan.OUTPUT_FORMAT_FRAME_GCODE: OutputFormat.FRAME_GCODE,
}
WRITTEN_FORMATS = {format_: number for number, format_ in _FORMATS.items()}
_BOUNDS = {
    TimeBound.FEED: plan.TIME_BOUND_FEED,
    TimeBound.ACCELERATION: plan.TIME_BOUND_ACCELERATION,
    TimeBound.SERIAL_LINE: plan.TIME_BOUND_SERIAL_LINE,
}
_GREYS = {
    plan.GREY_MEANING_UNSPECIFIED: None,
    plan.GREY_MEANING_POWER: GreyMeaning.POWER,
    plan.GREY_MEANING_DEPTH: GreyMeaning.DEPTH,
}
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
        tone=_read_tone(request.tone),
        serpentine=request.serpentine,
        ordered_size=request.ordered_size or _DEFAULTS.ordered_size,
        dot_shape=_DOT_SHAPES[request.dot_shape],
        threshold_low=request.threshold_low,
        adaptive_window_mm=request.adaptive_window_mm,
        adaptive_offset=(request.adaptive_offset if request.HasField("adaptive_offset") else _DEFAULTS.adaptive_offset),
        relief_layers=request.relief_layers or _DEFAULTS.relief_layers,
        power=_read_power(request.power),
        burn=_read_burn(request.burn) if request.HasField("burn") else None,
        burn_preview=request.burn_preview,
    )


def _read_tone(tone: raster.ToneAdjustments) -> ToneAdjustments:
    unsharp = tone.unsharp
    return ToneAdjustments(
        background=_BACKGROUNDS[tone.background],
        clahe_clip=tone.clahe_clip,
        black_level=tone.black_level,
        white_level=tone.white_level or 255,
        gamma=tone.gamma or 1.0,
        curve=tuple((point.grey, point.becomes) for point in tone.curve),
        unsharp=Unsharp(unsharp.radius_mm, unsharp.percent, unsharp.threshold) if tone.HasField("unsharp") else None,
        negative=tone.negative,
    )


def _read_power(power: raster.PowerRange) -> PowerRange:
    return PowerRange(power.min_percent, power.max_percent or 100.0, power.levels or 256)


def _read_burn(burn: raster.BurnModel) -> BurnSettings:
    return BurnSettings(
        spot_x_mm=burn.spot_x_mm,
        spot_y_mm=burn.spot_y_mm,
        saturation=burn.saturation if burn.HasField("saturation") else BurnSettings().saturation,
        shortest_run_mm=burn.shortest_run_mm if burn.HasField("shortest_run_mm") else None,
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
        outputs=tuple(read_formats(request.outputs)),
        title=request.title,
        profile=read_profile(request.machine_profile) if request.HasField("machine_profile") else None,
        presets=tuple(read_preset(index, item) for index, item in enumerate(request.presets)),
        frame_power_percent=request.frame_power_percent,
        rotary=read_rotary(request.rotary) if request.HasField("rotary") else None,
        nesting=read_nesting(request.nesting) if request.HasField("nesting") else None,
        drawings=tuple(read_drawing(index, item) for index, item in enumerate(request.drawings)),
        path_style=PathStyle(
            lead_mm=request.path_style.lead_mm,
            overcut_mm=request.path_style.overcut_mm,
            merge=request.path_style.merge,
            arc_tolerance_mm=request.path_style.arc_tolerance_mm,
        ),
    )


def _read_size(size: raster.PhysicalSize) -> PhysicalSize:
    return PhysicalSize(size.width_mm, size.height_mm, size.dpi)


def _read_operation(index: int, message: plan.Operation) -> Operation:
    kind = KINDS.get(message.kind)
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
        drawing=message.drawing if message.HasField("drawing") else None,
        scan=ScanStyle(message.scan.angle_deg, message.scan.cross_hatch, both_ways=not message.scan.one_way),
        grey=_GREYS[message.grey],
        z_step_mm=message.z_step_mm,
        contour=_read_contour(message.contour) if message.HasField("contour") else None,
    )


def _read_contour(message: plan.Contour) -> Contour:
    return Contour(message.distance_mm, keep_holes=message.keep_holes)


def read_formats(numbers: Iterable[plan.OutputFormat.ValueType]) -> list[OutputFormat]:
    """The files to make. Raises InvalidArgument for an unspecified one."""
    formats = []
    for index, number in enumerate(numbers):
        if number not in _FORMATS:
            text = "say which file to make, or leave the list empty for the usual ones."
            raise InvalidArgument.of_field(f"outputs[{index}]", text)
        formats.append(_FORMATS[number])
    return formats


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
        reasons=report.reasons,
        adjustments=report.adjustments,
        resampled=report.resampled,
        layers=report.layers,
        transparent_share=report.transparent_share,
        mean_power=report.mean_power,
        burn=None if report.burn is None else _write_burn_report(report.burn),
    )


def _write_burn_report(report: BurnReport) -> raster.BurnReport:
    return raster.BurnReport(
        spot_x_px=report.spot_x_px,
        spot_y_px=report.spot_y_px,
        saturation=report.saturation,
        shortest_run_px=report.shortest_run_px,
        wanted_tone=report.wanted_tone,
        burnt_tone=report.burnt_tone,
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
        time=_write_time(report.time),
    )


def _write_time(time: TimeEstimate) -> plan.TimeEstimate:
    return plan.TimeEstimate(bounded_by=_BOUNDS[time.bounded_by], **asdict(time))


def _write_bounds(bounds: Bounds) -> plan.Bounds:
    return plan.Bounds(**bounds._asdict())

"""Plans a burn: from sources and wishes to machine files that were read back and found safe."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from kerf_core.errors import InvalidArgument
from kerf_optimizer.domain.geometry import Drawing, Raster
from kerf_optimizer.domain.machine.dxf import check_dxf, write_dxf
from kerf_optimizer.domain.machine.gcode import write_gcode
from kerf_optimizer.domain.machine.job_sheet import check_job_sheet, write_job_sheet
from kerf_optimizer.domain.machine.layered_svg import check_layered_svg, write_layered_svg
from kerf_optimizer.domain.machine.preview import HEIGHT_PX, WIDTH_PX, check_preview, draw_preview
from kerf_optimizer.domain.machine.timing import estimate_seconds
from kerf_optimizer.domain.machine.work import Work
from kerf_optimizer.domain.planning.sequence import build_work
from kerf_optimizer.domain.planning.spec import (
    Check,
    OutputFormat,
    PlanLimits,
    PlannedBurn,
    PlannedFile,
    PlanReport,
    PlanSpec,
    Verdict,
)
from kerf_optimizer.domain.planning.verify import check_gcode

SERIAL_BYTES_PER_S = 11_520
"""115200 baud, the usual speed of GRBL's serial line."""
DEFAULT_LIMITS = PlanLimits()


def plan_burn(
    spec: PlanSpec,
    sources: Sequence[Raster | Drawing],
    check_cancelled: Callable[[], None],
    limits: PlanLimits = DEFAULT_LIMITS,
) -> PlannedBurn:
    """Place the operations on the bed and make the files that `spec.outputs` asks for.

    The G-code is always made, linted and read back, also where only other files are wanted. Blocking; calls
    `check_cancelled` between steps and passes on what it raises. Same arguments, same bytes.

    Raises InvalidArgument for a wrong request (unknown or dangerous material, off the bed, over a cap or a limit,
    nothing to burn), Internal (SAFETY_LINTER, READ_BACK) where a file did not pass its own checks.
    """
    check_cancelled()
    work = build_work(spec, sources, check_cancelled, limits)
    check_cancelled()
    seconds = estimate_seconds(work.toolpath, work.machine)
    gcode = write_gcode(work, seconds)
    if len(gcode) > limits.max_gcode_bytes:
        text = f"the G-code would have {len(gcode)} bytes, more than {limits.max_gcode_bytes}; use a lower dpi."
        raise InvalidArgument.of_field("operations", text, reason="PLAN_TOO_LARGE")
    check_cancelled()
    checks = check_gcode(gcode, work)
    wanted = spec.outputs or tuple(OutputFormat)
    files: dict[OutputFormat, PlannedFile] = {OutputFormat.GCODE: _file(OutputFormat.GCODE, gcode)}
    for file, check in _drawn_files(work, seconds, set(wanted), check_cancelled):
        checks.append(check)
        if file is not None:
            files[file.format] = file
    return PlannedBurn([files[f] for f in dict.fromkeys(wanted)], _report(work, seconds, gcode, checks))


def _drawn_files(
    work: Work, seconds: float, wanted: set[OutputFormat], check_cancelled: Callable[[], None]
) -> list[tuple[PlannedFile | None, Check]]:
    """Every other file with its check; (None, not run) where nobody asked for it."""
    out: list[tuple[PlannedFile | None, Check]] = []
    preview = b""
    if wanted & {OutputFormat.PREVIEW_PNG, OutputFormat.JOB_SHEET}:
        preview = draw_preview(work, seconds)
        check_cancelled()

    def add(output: OutputFormat, check: str, make: Callable[[], bytes], read: Callable[[bytes], str]) -> None:
        if output not in wanted:
            out.append((None, Check(check, Verdict.NOT_RUN, "the file was not asked for")))
            return
        data = make()
        out.append((_file(output, data), Check(check, Verdict.PASSED, read(data))))
        check_cancelled()

    add(
        OutputFormat.SVG,
        "svg-read-back",
        lambda: write_layered_svg(work.layers, work.machine, work.title),
        lambda data: check_layered_svg(data, work.layers, work.machine),
    )
    add(OutputFormat.DXF, "dxf-read-back", lambda: write_dxf(work.layers), lambda data: check_dxf(data, work.layers))
    add(OutputFormat.PREVIEW_PNG, "preview-decoded", lambda: preview, check_preview)
    add(
        OutputFormat.JOB_SHEET,
        "job-sheet-read-back",
        lambda: write_job_sheet(work, seconds, preview),
        lambda data: check_job_sheet(data, work, preview),
    )
    return out


def _file(output: OutputFormat, data: bytes) -> PlannedFile:
    size_px = (WIDTH_PX, HEIGHT_PX) if output is OutputFormat.PREVIEW_PNG else (0, 0)
    return PlannedFile(output, output.filename, output.media_type, data, size_px)


def _report(work: Work, seconds: float, gcode: bytes, checks: Sequence[Check]) -> PlanReport:
    path = work.toolpath
    length_mm, burning = path.length_mm, path.s > 0
    warnings = list(work.warnings)
    if len(gcode) > SERIAL_BYTES_PER_S * max(seconds, 1.0):
        warnings.append(
            "The G-code is denser than a serial line of 115200 baud carries: the machine will be slower than "
            "estimated; use a coarser dpi or mode, or a controller that reads files."
        )
    if any(layer.rasters for layer in work.layers):
        warnings.append("DXF cannot hold raster engravings: their layers are empty there.")
    return PlanReport(
        burn_bounds=path.burn_bounds,
        motion_bounds=path.motion_bounds,
        estimated_seconds=seconds,
        burn_length_mm=float(np.sum(length_mm[burning])),
        travel_length_mm=float(np.sum(length_mm[~burning])),
        gcode_lines=gcode.count(b"\n"),
        checks=tuple(checks),
        warnings=tuple(warnings),
        required_settings=work.machine.required_settings,
        presets=tuple({layer.preset.name: layer.preset for layer in work.layers}.values()),
    )

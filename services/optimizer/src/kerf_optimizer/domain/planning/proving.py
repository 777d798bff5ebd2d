"""From a placed work to files that were read back and found safe, and the report that says so."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from kerf_core.errors import InvalidArgument
from kerf_optimizer.domain.machine.formats import USUAL_FORMATS, OutputFormat
from kerf_optimizer.domain.machine.gcode import write_gcode
from kerf_optimizer.domain.machine.lightburn import lightburn_remarks
from kerf_optimizer.domain.machine.outputs import OutputOptions, Proof, make_outputs
from kerf_optimizer.domain.machine.timing import TimeEstimate, estimate_time
from kerf_optimizer.domain.machine.work import Work
from kerf_optimizer.domain.planning.spec import (
    Check,
    PathStyle,
    PlanLimits,
    PlannedBurn,
    PlannedFile,
    PlanReport,
    Verdict,
)
from kerf_optimizer.domain.planning.verify import check_gcode
from kerf_optimizer.domain.presets import Dialect

SERIAL_SHARE_TO_WARN = 0.1
"""Share of the time that the serial line may add before the caller is told."""
AS_DRAWN = PathStyle()


def prove_work(
    work: Work,
    outputs: Sequence[OutputFormat],
    options: OutputOptions,
    limits: PlanLimits,
    check_cancelled: Callable[[], None],
    style: PathStyle = AS_DRAWN,
) -> PlannedBurn:
    """Write and prove the files of a work; no outputs = the usual ones. The G-code is made and proven in any case.

    Raises InvalidArgument (PLAN_TOO_LARGE), Internal (SAFETY_LINTER, READ_BACK), and what `check_cancelled` raises.
    """
    wanted = tuple(dict.fromkeys(outputs or USUAL_FORMATS))
    if OutputFormat.LBRN2 in wanted:
        work = dataclasses.replace(work, warnings=(*work.warnings, *lightburn_remarks(work.layers)))
    check_cancelled()
    time = estimate_time(work.toolpath, work.machine, check_cancelled)
    gcode = write_gcode(work, time.expected_seconds, time.between_seconds)
    if len(gcode) > limits.max_gcode_bytes:
        text = f"the G-code would have {len(gcode)} bytes, more than {limits.max_gcode_bytes}; use a lower dpi."
        raise InvalidArgument.of_field("operations", text, reason="PLAN_TOO_LARGE")
    check_cancelled()
    proofs = [Proof(check.name, True, check.detail) for check in check_gcode(gcode, work, style)]
    check_cancelled()
    made, proofs = make_outputs(work, gcode, proofs, time, frozenset(wanted), options, check_cancelled)
    files = [PlannedFile(f, f.filename, f.media_type, made[f].data, made[f].size_px) for f in wanted]
    return PlannedBurn(files, _report(work, time, gcode, proofs))


def _report(work: Work, time: TimeEstimate, gcode: bytes, proofs: Sequence[Proof]) -> PlanReport:
    path = work.toolpath
    length_mm, burning = path.length_mm, path.s > 0
    return PlanReport(
        burn_bounds=path.burn_bounds,
        motion_bounds=path.motion_bounds,
        estimated_seconds=time.expected_seconds,
        time=time,
        burn_length_mm=float(np.sum(length_mm[burning])),
        travel_length_mm=float(np.sum(length_mm[~burning])),
        gcode_lines=gcode.count(b"\n"),
        checks=tuple(
            Check(proof.name, Verdict.PASSED if proof.ran else Verdict.NOT_RUN, proof.detail) for proof in proofs
        ),
        warnings=(*work.warnings, *_warnings(work, time)),
        required_settings=work.machine.required_settings,
        presets=tuple({layer.preset.name: layer.preset for layer in work.layers}.values()),
    )


def _warnings(work: Work, time: TimeEstimate) -> list[str]:
    warnings = []
    if len(work.toolpath.z_changes):
        warnings.append(
            f"Z moves {len(work.toolpath.z_changes)} times; how long that takes is not in the estimate. Check that the "
            "nozzle clears the work, and set Z0 where the focus is on its surface."
        )
    if time.serial_seconds > SERIAL_SHARE_TO_WARN * time.expected_seconds:
        warnings.append(
            "The G-code is denser than a serial line of 115200 baud carries, which makes up "
            f"{time.serial_seconds / time.expected_seconds:.0%} of the time; use a coarser dpi or mode, or a "
            "controller that reads files."
        )
    rasters = any(layer.rasters for layer in work.layers)
    if rasters:
        warnings.append("DXF cannot hold raster engravings: their layers are empty there.")
    if rasters and work.machine.dialect is Dialect.GRBL_NO_LASER_MODE:
        warnings.append("Without laser mode the head stops at each change of power: a picture takes very long.")
    return warnings

"""A frame file: the head goes around what will burn, so that the operator sees where it lies.

The beam is off, or at no more than one per cent where the operator asked for it: that much shows as a point, and
marks nothing that kerf knows at the speed of the frame.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from kerf_core.errors import Internal, InvalidArgument
from kerf_optimizer.domain.machine.comparison import differs
from kerf_optimizer.domain.machine.gcode import write_gcode
from kerf_optimizer.domain.machine.lint_rules import LintRules
from kerf_optimizer.domain.machine.linter import lint
from kerf_optimizer.domain.machine.reader import read_motions, read_program
from kerf_optimizer.domain.machine.work import UM_PER_MM, Toolpath, Work
from kerf_optimizer.domain.presets import OperationKind

MAX_FRAME_PERCENT = 1.0
FRAME_FEED_MM_PER_MIN = 3000
CHECK = "frame-read-back"


def write_frame(work: Work, power_percent: float = 0.0) -> bytes:
    """G-code once around the box of the burning moves, in the machine's dialect.

    Raises InvalidArgument where `power_percent` is not within 0 and `MAX_FRAME_PERCENT`.
    """
    if not math.isfinite(power_percent) or not 0 <= power_percent <= MAX_FRAME_PERCENT:
        text = f"{power_percent:g} is outside 0 to {MAX_FRAME_PERCENT:g}: a frame must not mark."
        raise InvalidArgument.of_field("frame_power_percent", text)
    s_value = math.floor(power_percent / 100 * work.machine.s_max)
    feed = int(min(FRAME_FEED_MM_PER_MIN, work.machine.max_feed_mm_per_min))
    path = _around(work, s_value, feed)
    layer = dataclasses.replace(
        work.layers[0],
        name="frame",
        kind=OperationKind.SCORE,
        power_percent=power_percent,
        s_value=s_value,
        feed_mm_per_min=feed,
        passes=1,
        interval_mm=0.0,
        paths=(),
        rasters=(),
    )
    framed = dataclasses.replace(work, title=f"frame of {work.title}", layers=(layer,), toolpath=path)
    seconds = float(path.length_mm.sum()) / feed * 60
    return write_gcode(framed, seconds)


def _around(work: Work, s_value: int, feed: int) -> Toolpath:
    box = work.toolpath.burn_bounds
    corners = [
        (box.min_x_mm, box.min_y_mm),
        (box.max_x_mm, box.min_y_mm),
        (box.max_x_mm, box.max_y_mm),
        (box.min_x_mm, box.max_y_mm),
        (box.min_x_mm, box.min_y_mm),
    ]
    xy_um = np.rint(np.array(corners) * UM_PER_MM).astype(np.int64)
    # A side without length is no move: a straight line has a frame of two strokes.
    xy_um = xy_um[np.append(True, (np.diff(xy_um, axis=0) != 0).any(axis=1))]
    park_um = np.array([[work.toolpath.x_um[-1], work.toolpath.y_um[-1]]])
    count = len(xy_um)
    xy_um = np.concatenate([xy_um, park_um])
    rapid = np.zeros(count + 1, dtype=np.bool_)
    rapid[[0, count]] = True
    return Toolpath(
        x_um=xy_um[:, 0],
        y_um=xy_um[:, 1],
        s=np.where(rapid, 0, s_value).astype(np.int32),
        rapid=rapid,
        feed_mm_per_min=np.where(rapid, 0, feed).astype(np.int32),
        layer=np.append(np.zeros(count), -1).astype(np.int16),
    )


def check_frame(data: bytes, work: Work, power_percent: float = 0.0) -> str:
    """Lint and read the frame, and compare its box and power. Returns what was compared; raises Internal."""
    limit = math.floor(power_percent / 100 * work.machine.s_max)
    violations = lint(data, LintRules(work.machine, work.material, work.margin_mm))
    if violations:
        first = violations[0]
        text = f"The frame is unsafe and was thrown away: line {first.line}: {first.rule.value}, {first.message}."
        raise Internal("SAFETY_LINTER", text)
    motions = read_motions(read_program(data, work.machine.dialect))
    box = work.toolpath.burn_bounds
    x, y = motions.x_mm[:-1], motions.y_mm[:-1]
    found = np.array([x.min(), y.min(), x.max(), y.max()]) if len(x) else np.full(4, np.nan)
    off_mm = float(np.abs(found - np.array(box)).max())
    if not off_mm <= 1.0 / UM_PER_MM:
        raise differs(CHECK, "the frame lies elsewhere")
    if (motions.s > limit).any():
        raise differs(CHECK, "the frame has more power")
    beam = "the beam off" if limit == 0 else f"at most {power_percent:g} % of power"
    return f"linted; its box compared with what burns, largest deviation {off_mm:.6f} mm; {beam}"

"""Writes G-code in the dialect of the machine.

The beam is off first and last; every travel move says S0, so that it is safe whatever the controller's laser mode is.
Within a run of feed moves only what changes is written. Same work, same bytes.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from kerf_core.errors import Internal
from kerf_optimizer.domain.geometry import Bounds
from kerf_optimizer.domain.machine.gcode_lines import LineStyle, move_lines
from kerf_optimizer.domain.machine.work import UM_PER_MM, GreyMeaning, Layer, Toolpath, Work
from kerf_optimizer.domain.presets import UNVERIFIED, AirAssist, Dialect, MachineProfile, OperationKind
from kerf_optimizer.domain.rotary import rotary_text

AIR_OFF = "M9"
NEVER_UNATTENDED = "never leave a burning laser unattended"
MAX_COMMENT = 76
"""Characters of a comment line; GRBL's line buffer holds 79."""
_UNSAFE = re.compile(r"[^A-Za-z0-9 .,:;=_+/<>@#*\[\]-]")
"""Whatever is not plain: GRBL acts on ? ! ~ and bytes over 127 even inside comments; ( ) % $ open other things."""


def safe_text(text: str, limit: int = 60) -> str:
    """Text for a comment: plain ASCII of at most `limit` characters, anything else replaced by `_`."""
    return _UNSAFE.sub("_", text[:limit]).strip()


@dataclass(frozen=True)
class _Style:
    """How a dialect is written. `s_decimals`: digits behind the point of S, whose last one is a step of power."""

    title: str
    modes: tuple[str, ...]
    beam_on: str
    last_off: str = "M5 S0"
    end: str = ""
    s_decimals: int = 0
    own_motion: bool = False
    """Each move says G0 or G1: the controller does not remember it, or not for sure."""


_GRBL_MODES = ("G21 G90 G17 G94",)
_STYLES = {
    Dialect.GRBL_M4: _Style("GRBL 1.1, laser mode, M4", _GRBL_MODES, "M4 S0", end="M2"),
    Dialect.GRBL_M3: _Style("GRBL 1.1, laser mode, M3", _GRBL_MODES, "M3 S0", end="M2"),
    Dialect.GRBL_NO_LASER_MODE: _Style("GRBL without laser mode", _GRBL_MODES, "M3 S0", end="M2"),
    Dialect.MARLIN_INLINE: _Style(
        "Marlin 2, inline power", ("G21", "G90"), "M3 I S0", last_off="M5 I S0", own_motion=True
    ),
    Dialect.SMOOTHIEWARE: _Style("Smoothieware", ("G21", "G90", "G17"), "M3 S0", s_decimals=3, own_motion=True),
}


def write_gcode(work: Work, estimated_seconds: float, between_seconds: tuple[float, float] | None = None) -> bytes:
    """The whole program, ASCII, lines end in a newline; `between_seconds`: the estimate's interval, if it has one."""
    style = _STYLES[work.machine.dialect]
    park_x, park_y = work.toolpath.x_um[-1], work.toolpath.y_um[-1]
    out = io.BytesIO()
    out.write(
        _lines([*_header(work, _time(estimated_seconds, between_seconds), style), "M5 S0", *style.modes, style.beam_on])
    )
    out.writelines(_body(work, LineStyle(style.own_motion, style.s_decimals)))
    tail = ["M5 S0"]
    if work.machine.air_assist is not AirAssist.NONE:
        tail.append(AIR_OFF)
    tail += [f"G0 X{park_x / UM_PER_MM:.3f} Y{park_y / UM_PER_MM:.3f} S0", style.last_off]
    out.write(_lines([*tail, style.end] if style.end else tail))
    return out.getvalue()


def _lines(lines: Sequence[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode("ascii")


def _time(seconds: float, between: tuple[float, float] | None) -> str:
    if between is None:
        return f"about {max(1, round(seconds))} s, an estimate"
    return (
        f"about {max(1, round(seconds))} s, between {math.floor(between[0])} and {math.ceil(between[1])} s, an estimate"
    )


def _header(work: Work, time: str, style: _Style) -> Iterator[str]:
    yield from _comments(f"kerf laser job, G-code for {style.title}")
    yield from _comments(f"dialect: {work.machine.dialect.value}")
    yield from _comments(f"title: {safe_text(work.title)}")
    yield from _comments(f"machine: {work.machine.name}")
    yield from _comments(f"material: {work.material.name}")
    for setting in work.machine.required_settings:
        yield from _comments(f"required setting: {setting}")
    if work.rotary:
        yield from _comments(f"rotary in place of Y: {rotary_text(work.rotary)}; Y0 is where the piece stands")
    yield from _comments("zero: X0 Y0 is the front left corner of the bed, in millimetres")
    if len(work.toolpath.z_changes):
        yield from _comments("zero: Z0 is the focus on the material's surface; passes go down from there")
    burns = _box(work.toolpath.burn_bounds) if work.toolpath.burns else "nothing, the beam stays off"
    yield from _comments(f"burns: {burns}")
    yield from _comments(f"moves: {_box(work.toolpath.motion_bounds)}")
    yield from _comments(f"time: {time}")
    for number, layer in enumerate(work.layers, start=1):
        yield from _comments(_layer_text(number, layer))
        if not layer.preset.verified:
            yield from _comments(f"preset {layer.preset.name} is {UNVERIFIED}")
    yield from _comments(f"SAFETY: {NEVER_UNATTENDED}")


def _layer_text(number: int, layer: Layer) -> str:
    s_word = f"S up to {layer.s_value}" if layer.grey is GreyMeaning.POWER else f"S{layer.s_value}"
    return (
        f"layer {number}: {layer.name}, {layer.kind.value}, {s_word}, F{layer.feed_mm_per_min}, passes {layer.passes}"
    )


def _box(box: Bounds) -> str:
    return f"X {box.min_x_mm:.3f} to {box.max_x_mm:.3f}, Y {box.min_y_mm:.3f} to {box.max_y_mm:.3f} mm"


def _comments(text: str) -> Iterator[str]:
    """Comment lines, wrapped between words or cut where a word is too long."""
    line = ""
    for word in text.split():
        for piece in (word[i : i + MAX_COMMENT] for i in range(0, len(word), MAX_COMMENT)):
            if line and len(line) + 1 + len(piece) > MAX_COMMENT:
                yield f"; {line}"
                line = ""
            line = f"{line} {piece}" if line else piece
    if line:
        yield f"; {line}"


def _body(work: Work, style: LineStyle) -> Iterator[bytes]:
    """All moves but the parking, with one comment before each layer, for people who read the file, and the air assist.

    Air is switched behind a layer's first move, which travels: the beam's power is 0 then.
    """
    path = work.toolpath
    count = len(path) - 1
    starts = np.flatnonzero(np.diff(path.layer[:count], prepend=-1)).tolist()
    air_on = False
    for start, stop in pairwise([*starts, count]):
        current = work.layers[path.layer[start]]
        yield _lines([f"; layer {path.layer[start] + 1}: {current.name}"[: MAX_COMMENT + 2]])
        yield from move_lines(path, style, start, start + 1)
        if wants_air(current, work.machine) != air_on:
            if not path.rapid[start]:
                raise Internal("LAYER_START", "A layer does not begin with a travel move.")
            air_on = not air_on
            yield _lines([work.machine.air_assist.value if air_on else AIR_OFF])
        yield from _moves(path, style, start + 1, stop)


def _moves(path: Toolpath, style: LineStyle, begin: int, end: int) -> Iterator[bytes]:
    """Lines of moves, those of Z written out: it stands alone, on a line that travels nowhere."""
    for change in path.z_changes[(path.z_changes >= begin) & (path.z_changes < end)].tolist():
        assert path.z_um is not None
        yield from move_lines(path, style, begin, change)
        x_mm, y_mm, z_mm = (axis[change] / UM_PER_MM for axis in (path.x_um, path.y_um, path.z_um))
        yield _lines([f"G0 X{x_mm:.3f} Y{y_mm:.3f} Z{z_mm:.3f} S0"])
        begin = change + 1
    yield from move_lines(path, style, begin, end)


def wants_air(layer: Layer, machine: MachineProfile) -> bool:
    """True where air helps and the machine has it: it clears a cut, and blows smoke over an engraving."""
    return machine.air_assist is not AirAssist.NONE and layer.kind is OperationKind.CUT

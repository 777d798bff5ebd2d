"""Writes G-code in the dialect of the machine.

The beam is off first and last; every travel move says S0, so that it is safe whatever the controller's laser mode is.
Within a run of feed moves only what changes is written. Same work, same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kerf_core.errors import Internal
from kerf_optimizer.domain.geometry import Bounds
from kerf_optimizer.domain.machine.work import UM_PER_MM, Layer, Toolpath, Work
from kerf_optimizer.domain.presets import UNVERIFIED, AirAssist, Dialect, MachineProfile, OperationKind

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
    """How a dialect is written. `s_format` and `steps_per_s` make S of a step of power."""

    title: str
    modes: tuple[str, ...]
    beam_on: str
    last_off: str = "M5 S0"
    end: str = ""
    s_format: str = " S%d"
    steps_per_s: int = 1
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
    Dialect.SMOOTHIEWARE: _Style(
        "Smoothieware", ("G21", "G90", "G17"), "M3 S0", s_format=" S%.3f", steps_per_s=1000, own_motion=True
    ),
}


def write_gcode(work: Work, estimated_seconds: float) -> bytes:
    """The whole program, ASCII, lines end in a newline."""
    style = _STYLES[work.machine.dialect]
    park_x, park_y = work.toolpath.x_um[-1], work.toolpath.y_um[-1]
    body = _body_lines(work.toolpath, len(work.toolpath) - 1, style)
    lines: list[str] = [*_header(work, estimated_seconds, style), "M5 S0", *style.modes, style.beam_on]
    lines.extend(_with_layer_starts(body, work))
    lines.append("M5 S0")
    if work.machine.air_assist is not AirAssist.NONE:
        lines.append(AIR_OFF)
    lines += [f"G0 X{park_x / UM_PER_MM:.3f} Y{park_y / UM_PER_MM:.3f} S0", style.last_off]
    lines += [style.end, ""] if style.end else [""]
    return "\n".join(lines).encode("ascii")


def _header(work: Work, estimated_seconds: float, style: _Style) -> Iterator[str]:
    yield from _comments(f"kerf laser job, G-code for {style.title}")
    yield from _comments(f"dialect: {work.machine.dialect.value}")
    yield from _comments(f"title: {safe_text(work.title)}")
    yield from _comments(f"machine: {work.machine.name}")
    yield from _comments(f"material: {work.material.name}")
    for setting in work.machine.required_settings:
        yield from _comments(f"required setting: {setting}")
    yield from _comments("zero: X0 Y0 is the front left corner of the bed, in millimetres")
    burns = _box(work.toolpath.burn_bounds) if work.toolpath.burns else "nothing, the beam stays off"
    yield from _comments(f"burns: {burns}")
    yield from _comments(f"moves: {_box(work.toolpath.motion_bounds)}")
    yield from _comments(f"time: about {max(1, round(estimated_seconds))} s, an estimate")
    for number, layer in enumerate(work.layers, start=1):
        yield from _comments(_layer_text(number, layer))
        if not layer.preset.verified:
            yield from _comments(f"preset {layer.preset.name} is {UNVERIFIED}")
    yield from _comments(f"SAFETY: {NEVER_UNATTENDED}")


def _layer_text(number: int, layer: Layer) -> str:
    return (
        f"layer {number}: {layer.name}, {layer.kind.value}, S{layer.s_value}, F{layer.feed_mm_per_min}, "
        f"passes {layer.passes}"
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


def _with_layer_starts(body: list[str], work: Work) -> Iterable[str]:
    """The body with one comment before each layer, for people who read the file, and the words of the air assist.

    Air is switched behind a layer's first move, which travels: the beam's power is 0 then.
    """
    layer = work.toolpath.layer[: len(body)]
    starts = np.flatnonzero(np.diff(layer, prepend=-1))
    air_on = False
    for index, start in enumerate(starts):
        stop = starts[index + 1] if index + 1 < len(starts) else len(body)
        current = work.layers[layer[start]]
        yield f"; layer {layer[start] + 1}: {current.name}"[: MAX_COMMENT + 2]
        yield body[start]
        if wants_air(current, work.machine) != air_on:
            if not work.toolpath.rapid[start]:
                raise Internal("LAYER_START", "A layer does not begin with a travel move.")
            air_on = not air_on
            yield work.machine.air_assist.value if air_on else AIR_OFF
        yield from body[start + 1 : stop]


def wants_air(layer: Layer, machine: MachineProfile) -> bool:
    """True where air helps and the machine has it: it clears a cut, and blows smoke over an engraving."""
    return machine.air_assist is not AirAssist.NONE and layer.kind is OperationKind.CUT


def _body_lines(path: Toolpath, count: int, style: _Style) -> list[str]:
    """One line per move, for the first `count` moves."""
    rapid = path.rapid[:count]
    turn = np.zeros(count, dtype=np.int8) if path.turn is None else path.turn[:count]
    straight = ~rapid & (turn == 0)
    first_feed = straight & np.append(True, ~straight[:-1])
    changed = {
        "X": np.diff(path.x_um[:count], prepend=-1) != 0,
        "Y": np.diff(path.y_um[:count], prepend=-1) != 0,
        "S": np.diff(path.s[:count], prepend=-1) != 0,
        "F": np.diff(path.feed_mm_per_min[:count], prepend=-1) != 0,
    }
    values: dict[str, tuple[str, NDArray[np.generic]]] = {
        "X": (" X%.3f", path.x_um[:count] / UM_PER_MM),
        "Y": (" Y%.3f", path.y_um[:count] / UM_PER_MM),
        "S": (style.s_format, path.s[:count] / style.steps_per_s),
        "F": (" F%d", path.feed_mm_per_min[:count]),
    }
    lines = np.empty(count, dtype=object)
    _fill(lines, rapid, "G0", "XYS", values)
    _fill(lines, first_feed, "G1", "XYSF", values)
    if path.i_um is not None and path.j_um is not None:
        values["I"] = (" I%.3f", path.i_um[:count] / UM_PER_MM)
        values["J"] = (" J%.3f", path.j_um[:count] / UM_PER_MM)
        _fill(lines, ~rapid & (turn < 0), "G2", "XYIJSF", values)
        _fill(lines, ~rapid & (turn > 0), "G3", "XYIJSF", values)
    key = sum(changed[letter] * (1 << bit) for bit, letter in enumerate("XYSF"))
    following = straight & ~first_feed
    head = "G1" if style.own_motion else ""
    for code in range(16):
        letters = "".join(letter for bit, letter in enumerate("XYSF") if code >> bit & 1)
        if "X" not in letters and "Y" not in letters:
            letters = "X" + letters  # a controller moves only where an axis is named
        _fill(lines, following & (key == code), head, letters, values)
    return list(lines)


def _fill(
    lines: NDArray[np.object_],
    chosen: NDArray[np.bool_],
    head: str,
    letters: str,
    values: dict[str, tuple[str, NDArray[np.generic]]],
) -> None:
    """Format all chosen moves by one template in one go: a million lines take a second instead of several."""
    index = np.flatnonzero(chosen)
    if not len(index):
        return
    template = (head + "".join(values[letter][0] for letter in letters)).strip() + "\n"
    columns = [values[letter][1][index].tolist() for letter in letters]
    numbers = tuple(number for row in zip(*columns, strict=True) for number in row)
    text = (template * len(index)) % numbers
    lines[index] = text.split("\n")[:-1]

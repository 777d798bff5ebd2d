"""A machine profile from what GRBL answers to `$$`. The text may come from anybody.

GRBL knows the axes, not the laser: watts, wavelength and spot are told beside the dump.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from kerf_core.errors import InvalidArgument, Violation
from kerf_optimizer.domain.presets.profiles import (
    AirAssist,
    Dialect,
    MachineProfile,
    check_profile,
    required_settings,
)

MAX_DUMP_CHARS = 32_768
MAX_DUMP_LINES = 500
_SETTING = re.compile(r"\$(\d{1,3})\s?=\s?(-?\d{1,9}(?:\.\d{1,6})?)\s*(?:\(.{0,200}\))?\s*")
_OTHER = re.compile(r"\s*|ok|Grbl .{0,80}|\[.{0,200}\]|<.{0,200}>|>?\s*\$\$", re.IGNORECASE)
"""What a terminal shows beside the settings: the greeting, messages, states, the command itself."""
_NEEDED = {
    30: "full power",
    32: "laser mode",
    110: "greatest speed of X",
    111: "greatest speed of Y",
    120: "acceleration of X",
    121: "acceleration of Y",
    130: "travel of X",
    131: "travel of Y",
}
_JUNCTION, _MIN_S = 11, 31
_DEFAULT_JUNCTION_MM = 0.01
"""GRBL 1.1's own default of `$11`."""


@dataclass(frozen=True)
class LaserHead:
    """What a dump does not say. `constant_power`: use M3 although the laser mode is on."""

    name: str
    laser_watts: float
    wavelength_nm: float
    spot_x_mm: float
    spot_y_mm: float
    has_z: bool = False
    constant_power: bool = False
    air_assist: AirAssist = AirAssist.NONE


@dataclass(frozen=True)
class DumpedMachine:
    """A profile and what the operator should know about it."""

    machine: MachineProfile
    notes: tuple[str, ...]


def read_grbl_dump(text: str, head: LaserHead) -> DumpedMachine:
    """The profile of a machine whose controller answered `text` to `$$`.

    Raises InvalidArgument: GRBL_DUMP_TOO_LARGE; GRBL_DUMP_DAMAGED (a line that is no setting, or a setting twice with
    two values); GRBL_DUMP_INCOMPLETE (settings that are missing, all named); INVALID_FIELD (figures out of range).
    """
    settings = _settings(text)
    missing = [f"${number} ({what})" for number, what in _NEEDED.items() if number not in settings]
    if missing:
        text = f"the dump lacks {', '.join(missing)}; send all of what GRBL 1.1 answers to $$."
        raise InvalidArgument.of_field("dump", text, reason="GRBL_DUMP_INCOMPLETE")
    dialect = _dialect(settings, head)
    s_max = settings[30]
    profile = MachineProfile(
        name=head.name,
        description=f"read from GRBL's settings, {head.laser_watts:g} W at {head.wavelength_nm:g} nm",
        bed_width_mm=settings[130],
        bed_height_mm=settings[131],
        max_feed_mm_per_min=min(settings[110], settings[111]),
        acceleration_mm_per_s2=min(settings[120], settings[121]),
        s_max=s_max,
        laser_watts=head.laser_watts,
        wavelength_nm=head.wavelength_nm,
        spot_x_mm=head.spot_x_mm,
        spot_y_mm=head.spot_y_mm,
        has_z=head.has_z,
        junction_deviation_mm=settings.get(_JUNCTION, _DEFAULT_JUNCTION_MM),
        dialect=dialect,
        required_settings=required_settings(dialect, s_max),
        focus_note="Set the focus on the material's surface; wear glasses for this wavelength.",
        air_assist=head.air_assist,
        max_feed_x_mm_per_min=settings[110],
        max_feed_y_mm_per_min=settings[111],
        acceleration_x_mm_per_s2=settings[120],
        acceleration_y_mm_per_s2=settings[121],
    )
    return DumpedMachine(_checked(profile), _notes(settings, head))


def _settings(text: str) -> dict[int, float]:
    lines = text.splitlines()
    if len(text) > MAX_DUMP_CHARS or len(lines) > MAX_DUMP_LINES:
        reason = f"at most {MAX_DUMP_LINES} lines and {MAX_DUMP_CHARS} characters."
        raise InvalidArgument.of_field("dump", reason, reason="GRBL_DUMP_TOO_LARGE")
    found: dict[int, float] = {}
    for number, line in enumerate(lines, start=1):
        match = _SETTING.fullmatch(line.strip())
        if match is None:
            if not _OTHER.fullmatch(line.strip()):
                raise _damaged(f"line {number} is no setting: {line[:60]!r}")
            continue
        key, value = int(match[1]), float(match[2])
        if found.get(key, value) != value:
            raise _damaged(f"${key} stands there twice, as {found[key]:g} and {value:g} (line {number})")
        found[key] = value
    return found


def _damaged(text: str) -> InvalidArgument:
    return InvalidArgument.of_field("dump", f"{text}.", reason="GRBL_DUMP_DAMAGED")


def _dialect(settings: Mapping[int, float], head: LaserHead) -> Dialect:
    if settings[32] not in (0, 1):
        raise _damaged(f"$32={settings[32]:g} is neither 0 nor 1")
    if settings[32] == 0:
        return Dialect.GRBL_NO_LASER_MODE
    return Dialect.GRBL_M3 if head.constant_power else Dialect.GRBL_M4


def _checked(profile: MachineProfile) -> MachineProfile:
    """The profile if its figures can be used; what is wrong is named by the setting that said it."""
    origin = {
        "s_max": "dump.$30",
        "max_feed_mm_per_min": "dump.$110 or $111",
        "acceleration_mm_per_s2": "dump.$120 or $121",
        "max_feed_x_mm_per_min": "dump.$110",
        "max_feed_y_mm_per_min": "dump.$111",
        "acceleration_x_mm_per_s2": "dump.$120",
        "acceleration_y_mm_per_s2": "dump.$121",
        "bed_width_mm": "dump.$130",
        "bed_height_mm": "dump.$131",
        "junction_deviation_mm": "dump.$11",
    }
    try:
        return check_profile(profile, "")
    except InvalidArgument as error:
        named = []
        for violation in error.violations:
            field = violation.field.removeprefix(".")
            named.append(Violation(origin.get(field, field), violation.description))
        text = "; ".join(f"{each.field}: {each.description}" for each in named)
        raise InvalidArgument(error.reason, text, violations=tuple(named)) from error


def _notes(settings: Mapping[int, float], head: LaserHead) -> tuple[str, ...]:
    notes = ["The origin is taken as the front left corner of the bed: check it with a frame file, beam off."]
    if settings.get(_MIN_S, 0.0) != 0:
        notes.append(f"$31={settings[_MIN_S]:g}: with a least power over 0 the beam may glow on travel; set $31=0.")
    if settings[32] == 0:
        notes.append("$32=0: the head stops at each change of power, so engraving marks dots; set $32=1 if you can.")
    if head.constant_power and settings[32] == 1:
        notes.append("Constant power (M3) burns deeper where the head slows down; M4 does not.")
    if not math.isclose(settings[110], settings[111]) or not math.isclose(settings[120], settings[121]):
        notes.append(
            "X and Y differ in speed or acceleration: feeds stay below what both reach; each is planned as it is."
        )
    return tuple(notes)

"""Machine profiles: what a machine can do and which G-code it understands. A profile may come from anybody."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import Enum

from kerf_core.errors import InvalidArgument, Violation

MAX_NAME = 64
MAX_TEXT = 200
MAX_REQUIRED_SETTINGS = 12
ROUNDING = 1e-9
_NAME = re.compile(rf"[a-z0-9][a-z0-9-]{{0,{MAX_NAME - 1}}}")
_PLAIN = re.compile(rf"[A-Za-z0-9 .,:;=_+/$-]{{0,{MAX_TEXT}}}")
"""What a required setting may be made of: it is repeated in comments of the G-code."""
_RANGES = {
    "bed_width_mm": (10.0, 3000.0),
    "bed_height_mm": (10.0, 3000.0),
    "max_feed_mm_per_min": (60.0, 60_000.0),
    "acceleration_mm_per_s2": (1.0, 50_000.0),
    "s_max": (10.0, 100_000.0),
    "laser_watts": (0.05, 500.0),
    "wavelength_nm": (200.0, 20_000.0),
    "spot_x_mm": (0.005, 2.0),
    "spot_y_mm": (0.005, 2.0),
    "junction_deviation_mm": (0.0, 2.0),
    "min_power_percent": (0.0, 50.0),
    "rotary_steps_per_turn": (0.0, 1_000_000.0),
}
_AXES = {
    "max_feed_x_mm_per_min": "max_feed_mm_per_min",
    "max_feed_y_mm_per_min": "max_feed_mm_per_min",
    "acceleration_x_mm_per_s2": "acceleration_mm_per_s2",
    "acceleration_y_mm_per_s2": "acceleration_mm_per_s2",
}
"""What one axis can do, and what both can."""


class Dialect(Enum):
    """The G-code that a controller understands. The value is stated in each file's header."""

    GRBL_M4 = "grbl-m4"
    """GRBL 1.1 with its laser mode on; M4 scales power with the real speed."""
    GRBL_M3 = "grbl-m3"
    """GRBL 1.1 with its laser mode on; M3 holds the power."""
    GRBL_NO_LASER_MODE = "grbl-no-laser-mode"
    """GRBL whose laser mode is off or missing: it stops at each change of power."""
    MARLIN_INLINE = "marlin-inline"
    """Marlin 2 with inline power: M3 I, then S in each move."""
    SMOOTHIEWARE = "smoothieware"
    """Smoothieware's laser module: S from 0 to 1."""


class AirAssist(Enum):
    """The word that switches air on; M9 switches it off."""

    NONE = ""
    M7 = "M7"
    M8 = "M8"


@dataclass(frozen=True)
class MachineProfile:
    """What a machine can do. Its coordinates: origin at the front left corner of the bed, y to the back.

    `s_max` is how many steps of power kerf tells apart. It is the S of full power, except with Smoothieware, whose S
    ends at 1 (`full_power_s`). Below `min_power_percent` the source does not burn reliably.

    `max_feed_mm_per_min` and `acceleration_mm_per_s2` hold for both axes; an axis may have more of its own (0 = as
    both): a rapid move along it is faster, and its run-up shorter. No feed is above what both can do, since GRBL would
    slow down and a beam of constant power burn deeper.
    """

    name: str
    description: str
    bed_width_mm: float
    bed_height_mm: float
    max_feed_mm_per_min: float
    acceleration_mm_per_s2: float
    s_max: float
    laser_watts: float
    wavelength_nm: float
    spot_x_mm: float
    spot_y_mm: float
    has_z: bool
    junction_deviation_mm: float
    dialect: Dialect
    required_settings: tuple[str, ...]
    focus_note: str
    air_assist: AirAssist = AirAssist.NONE
    min_power_percent: float = 0.0
    rotary_steps_per_turn: float = 0.0
    max_feed_x_mm_per_min: float = 0.0
    max_feed_y_mm_per_min: float = 0.0
    acceleration_x_mm_per_s2: float = 0.0
    acceleration_y_mm_per_s2: float = 0.0

    @property
    def axis_feeds_mm_per_min(self) -> tuple[float, float]:
        """The greatest speeds of X and Y."""
        both = self.max_feed_mm_per_min
        return self.max_feed_x_mm_per_min or both, self.max_feed_y_mm_per_min or both

    @property
    def axis_accelerations_mm_per_s2(self) -> tuple[float, float]:
        """The accelerations of X and Y."""
        both = self.acceleration_mm_per_s2
        return self.acceleration_x_mm_per_s2 or both, self.acceleration_y_mm_per_s2 or both

    @property
    def spot_mm(self) -> float:
        """The narrower side of the spot, where the beam is densest."""
        return min(self.spot_x_mm, self.spot_y_mm)

    @property
    def full_power_s(self) -> float:
        """The S that this controller takes for full power."""
        return 1.0 if self.dialect is Dialect.SMOOTHIEWARE else self.s_max

    def run_up_mm(self, feed_mm_per_min: float, angle_deg: float = 0.0) -> float:
        """Way that the head needs to reach its feed along a direction, counted from X: v² / 2a, rounded up to 0.1 mm.

        The axis that is slower for its share of the way decides.
        """
        speed_mm_per_s = feed_mm_per_min / 60
        shares = abs(math.cos(math.radians(angle_deg))), abs(math.sin(math.radians(angle_deg)))
        per_acceleration = max(
            share / most for share, most in zip(shares, self.axis_accelerations_mm_per_s2, strict=True)
        )
        # At 90 degrees the cosine is 6e-17, and a hair above a tenth must not become the next.
        return math.ceil(speed_mm_per_s**2 / 2 * per_acceleration * 10 - ROUNDING) / 10

    def energy_j_per_mm2(self, power_percent: float, speed_mm_per_min: float, spacing_mm: float = 0.0) -> float:
        """Energy density along a line: watts / (mm/s) / width of the line.

        The width is the spot, or the distance to the next line where lines lie closer together than the spot is wide.
        """
        width_mm = min(self.spot_mm, spacing_mm) if spacing_mm > 0 else self.spot_mm
        return self.laser_watts * power_percent / 100 / (speed_mm_per_min / 60) / width_mm


def required_settings(dialect: Dialect, s_max: float) -> tuple[str, ...]:
    """What the controller must be set to, so that the dialect means what kerf writes."""
    match dialect:
        case Dialect.GRBL_NO_LASER_MODE:
            return (f"$30={s_max:g}", "$31=0", "$32=0")
        case Dialect.MARLIN_INLINE:
            unit = {255.0: "PWM255", 100.0: "PERCENT"}.get(s_max, f"SPEED_POWER_MAX {s_max:g}")
            return ("LASER_FEATURE", f"CUTTER_POWER_UNIT {unit}")
        case Dialect.SMOOTHIEWARE:
            return ("laser_module_enable true", "laser_module_maximum_s_value 1.0")
        case _:
            return (f"$30={s_max:g}", "$31=0", "$32=1")


def check_profile(machine: MachineProfile, field: str = "machine_profile") -> MachineProfile:
    """The profile itself, if every figure and text of it can be used.

    Raises InvalidArgument (INVALID_FIELD) naming every field that cannot.
    """
    violations = tuple(Violation(f"{field}.{name}", text) for name, text in _profile_faults(machine))
    if violations:
        text = "; ".join(f"{each.field}: {each.description}" for each in violations)
        raise InvalidArgument("INVALID_FIELD", text, violations=violations)
    return machine


def _profile_faults(machine: MachineProfile) -> list[tuple[str, str]]:
    faults = []
    if not _NAME.fullmatch(machine.name):
        faults.append(("name", f"use 1 to {MAX_NAME} of a-z, 0-9 and -, beginning with a letter or digit."))
    for name, (low, high) in _RANGES.items():
        value = getattr(machine, name)
        if not math.isfinite(value) or not low <= value <= high:
            faults.append((name, f"{value:g} is outside {low:g} to {high:g}."))
    for name, both in _AXES.items():
        value, least, most = getattr(machine, name), getattr(machine, both), _RANGES[both][1]
        if value != 0 and not (math.isfinite(value) and least <= value <= most):
            faults.append((name, f"{value:g} is outside {least:g} ({both}, which both axes reach) to {most:g}."))
    for name in ("description", "focus_note"):
        if len(getattr(machine, name)) > MAX_TEXT:
            faults.append((name, f"more than {MAX_TEXT} characters."))
    settings = machine.required_settings
    if len(settings) > MAX_REQUIRED_SETTINGS or not all(_PLAIN.fullmatch(text) and text.strip() for text in settings):
        faults.append(("required_settings", f"at most {MAX_REQUIRED_SETTINGS} short texts of plain ASCII."))
    return faults

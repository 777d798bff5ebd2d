"""Machines, materials and presets that the planner knows.

The figures live in `catalogue.json` beside this module. None of them was burnt: a preset names its source and is
unverified until somebody runs a test grid with it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from kerf_core.errors import InvalidArgument, NotFound

UNVERIFIED = "unverified: run the test grid first"
"""What is said wherever a preset is used that nobody burnt."""

MAX_NAME_SHOWN = 64
"""Characters of a name from outside that an error repeats."""


class OperationKind(Enum):
    """What the beam does with an input. The value is the last part of a preset's name."""

    ENGRAVE_RASTER = "engrave-raster"
    ENGRAVE_FILL = "engrave-fill"
    SCORE = "score"
    CUT = "cut"


class LaserMode(Enum):
    """How GRBL gives power: M4 scales it with the real speed, M3 holds it."""

    DYNAMIC = "M4"
    CONSTANT = "M3"


@dataclass(frozen=True)
class MachineProfile:
    """What a machine can do. Its coordinates: origin at the front left corner of the bed, y to the back."""

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
    laser_mode: LaserMode
    required_settings: tuple[str, ...]
    focus_note: str

    @property
    def spot_mm(self) -> float:
        """The narrower side of the spot, where the beam is densest."""
        return min(self.spot_x_mm, self.spot_y_mm)

    def energy_j_per_mm2(self, power_percent: float, speed_mm_per_min: float, spacing_mm: float = 0.0) -> float:
        """Energy density along a line: watts / (mm/s) / width of the line.

        The width is the spot, or the distance to the next line where lines lie closer together than the spot is wide.
        """
        width_mm = min(self.spot_mm, spacing_mm) if spacing_mm > 0 else self.spot_mm
        return self.laser_watts * power_percent / 100 / (speed_mm_per_min / 60) / width_mm


@dataclass(frozen=True)
class Unsuited:
    """A band of wavelengths that cannot work a material, and why."""

    min_nm: float
    max_nm: float
    reason: str


@dataclass(frozen=True)
class Material:
    """A material, allowed or not. `blocked_reason` "" = allowed.

    `cap_pass_j_per_mm2` and `cap_total_j_per_mm2` bound the energy density along a line, of one pass and of all passes
    of one operation together.
    """

    name: str
    description: str
    thickness_mm: float
    blocked_reason: str
    cap_pass_j_per_mm2: float
    cap_total_j_per_mm2: float
    unsuited: tuple[Unsuited, ...]
    note: str

    def unsuited_reason(self, wavelength_nm: float) -> str:
        """Why a laser of this wavelength cannot work the material; "" = it can."""
        for band in self.unsuited:
            if band.min_nm <= wavelength_nm <= band.max_nm:
                return band.reason
        return ""


@dataclass(frozen=True)
class Preset:
    """Power, speed and passes for one kind of operation on one material and machine. `kerf_mm` 0 = not known."""

    name: str
    machine: str
    material: str
    kind: OperationKind
    power_percent: float
    speed_mm_per_min: float
    passes: int
    interval_mm: float
    kerf_mm: float
    source: str
    verified: bool


@dataclass(frozen=True)
class Catalogue:
    """All that is known, each table in order of its names."""

    machines: Mapping[str, MachineProfile]
    materials: Mapping[str, Material]
    presets: Mapping[str, Preset]
    blocked_words: Mapping[str, str]
    """Word inside a material's name → name of the blocked material it stands for."""


def machines() -> list[MachineProfile]:
    """Machine profiles in order of their names."""
    return list(_catalogue().machines.values())


def materials() -> list[Material]:
    """Materials in order of their names, the blocked ones too."""
    return list(_catalogue().materials.values())


def list_presets(machine: str = "", material: str = "") -> list[Preset]:
    """Presets in order of their names, of one machine and one material or of all ("").

    Raises InvalidArgument for a machine or a material that nobody knows; a blocked material has no presets.
    """
    if machine:
        machine_profile(machine)
    if material and material not in _catalogue().materials:
        raise _unknown("material", material, list(_catalogue().materials), "MATERIAL_UNKNOWN")
    presets = _catalogue().presets.values()
    return [p for p in presets if machine in ("", p.machine) and material in ("", p.material)]


def get_preset(name: str) -> Preset:
    """The preset `<machine>/<material>/<kind>`. Raises NotFound (PRESET_UNKNOWN)."""
    preset = _catalogue().presets.get(name)
    if preset is None:
        raise NotFound(
            "PRESET_UNKNOWN",
            f"There is no preset {_shown(name)}. Names are <machine>/<material>/<kind>, e.g. "
            "grbl-diode-10w/birch-3mm/cut; ListPresets shows all.",
        )
    return preset


def machine_profile(name: str, field: str = "machine") -> MachineProfile:
    """The machine's profile. Raises InvalidArgument (MACHINE_UNKNOWN) that lists the known ones."""
    profile = _catalogue().machines.get(name)
    if profile is None:
        raise _unknown(field, name, list(_catalogue().machines), "MACHINE_UNKNOWN")
    return profile


def workable_material(name: str, machine: MachineProfile, field: str = "material") -> Material:
    """The material, if this machine may burn it.

    Raises InvalidArgument: MATERIAL_BLOCKED with the reason (for any name with a word such as `pvc` in it),
    MATERIAL_UNKNOWN with the known ones, MATERIAL_UNSUITED where the wavelength cannot work it.
    """
    found = _catalogue().materials.get(_blocked_name(name) or name)
    if found is None:
        allowed = [m.name for m in materials() if not m.blocked_reason]
        raise _unknown(field, name, allowed, "MATERIAL_UNKNOWN")
    if found.blocked_reason:
        text = f"{_shown(name)} must not be burnt: {found.blocked_reason}. Use another material."
        raise InvalidArgument.of_field(field, text, reason="MATERIAL_BLOCKED")
    unsuited = found.unsuited_reason(machine.wavelength_nm)
    if unsuited:
        text = f"{machine.name} ({machine.wavelength_nm:g} nm) cannot work {found.name}: {unsuited}."
        raise InvalidArgument.of_field(field, text, reason="MATERIAL_UNSUITED")
    return found


def _blocked_name(name: str) -> str:
    words = re.split(r"[^a-z]+", name.lower())
    return next((_catalogue().blocked_words[word] for word in words if word in _catalogue().blocked_words), "")


def _shown(name: str) -> str:
    return repr(name[:MAX_NAME_SHOWN])


def _unknown(field: str, name: str, known: list[str], reason: str) -> InvalidArgument:
    return InvalidArgument.of_field(field, f"{_shown(name)} is not known; known: {', '.join(known)}.", reason=reason)


@cache
def _catalogue() -> Catalogue:
    """The table of this package; immutable, so one copy serves every thread."""
    data = json.loads(files(__package__).joinpath("catalogue.json").read_text(encoding="utf-8"))
    return read_catalogue(data)


def read_catalogue(data: dict[str, Any]) -> Catalogue:
    """The tables in `data` (parsed JSON). Raises ValueError where they contradict each other."""
    machine_table = {row["name"]: _read_machine(row) for row in data["machines"]}
    material_table = {row["name"]: _read_material(row) for row in data["materials"]}
    presets = [_read_preset(row, data["preset_source"]) for row in data["presets"]]
    for preset in presets:
        _check_preset(preset, machine_table, material_table)
    words = {word: row["name"] for row in data["materials"] for word in row.get("blocked_words", ())}
    return Catalogue(
        machines=MappingProxyType(dict(sorted(machine_table.items()))),
        materials=MappingProxyType(dict(sorted(material_table.items()))),
        presets=MappingProxyType({preset.name: preset for preset in sorted(presets, key=lambda p: p.name)}),
        blocked_words=MappingProxyType(words),
    )


def _read_machine(row: dict[str, Any]) -> MachineProfile:
    fields = row | {"laser_mode": LaserMode(row["laser_mode"]), "required_settings": tuple(row["required_settings"])}
    return MachineProfile(**fields)


def _read_material(row: dict[str, Any]) -> Material:
    return Material(
        name=row["name"],
        description=row["description"],
        thickness_mm=float(row.get("thickness_mm", 0)),
        blocked_reason=row.get("blocked_reason", ""),
        cap_pass_j_per_mm2=float(row.get("cap_pass_j_per_mm2", 0)),
        cap_total_j_per_mm2=float(row.get("cap_total_j_per_mm2", 0)),
        unsuited=tuple(Unsuited(**band) for band in row.get("unsuited", ())),
        note=row.get("note", ""),
    )


def _read_preset(row: list[Any], source: str) -> Preset:
    machine, material, kind, power_percent, speed_mm_per_min, passes, interval_mm = row
    return Preset(
        name=f"{machine}/{material}/{kind}",
        machine=machine,
        material=material,
        kind=OperationKind(kind),
        power_percent=float(power_percent),
        speed_mm_per_min=float(speed_mm_per_min),
        passes=int(passes),
        interval_mm=float(interval_mm),
        kerf_mm=0.0,
        source=source,
        verified=False,
    )


def _check_preset(preset: Preset, machines_by_name: dict[str, Any], materials_by_name: dict[str, Any]) -> None:
    machine: MachineProfile = machines_by_name[preset.machine]
    material: Material = materials_by_name[preset.material]
    if material.blocked_reason or material.unsuited_reason(machine.wavelength_nm):
        raise ValueError(f"{preset.name}: the material must not be burnt on this machine")
    energy = machine.energy_j_per_mm2(preset.power_percent, preset.speed_mm_per_min, preset.interval_mm)
    if energy > material.cap_pass_j_per_mm2 or energy * preset.passes > material.cap_total_j_per_mm2:
        raise ValueError(f"{preset.name}: {energy:.1f} J/mm² × {preset.passes} is over the cap of {material.name}")
    if not 0 < preset.speed_mm_per_min <= machine.max_feed_mm_per_min:
        raise ValueError(f"{preset.name}: the speed is outside the machine's")

"""Machines, materials and presets that the planner knows.

The figures live in `catalogue.json` beside this module. None of them was burnt: a preset names its source and is
unverified until somebody runs a test grid with it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, NamedTuple

from kerf_core.errors import InvalidArgument, NotFound, Violation
from kerf_optimizer.domain.presets.profiles import AirAssist, Dialect, MachineProfile, check_profile, required_settings

UNVERIFIED = "unverified: run the test grid first"
"""What is said wherever a preset is used that nobody burnt."""

MAX_PASSES = 20
MIN_INTERVAL_MM, MAX_INTERVAL_MM = 0.01, 5.0
MAX_KERF_MM = 2.0
MAX_SOURCE = 200
POWER_STEP, SPEED_STEP = 0.5, 10.0
"""Scaled figures are rounded to these, towards less energy."""
_PRESET_NAME = re.compile(r"[A-Za-z0-9_./-]{1,200}")
MAX_NAME_SHOWN = 64
"""Characters of a name from outside that an error repeats."""


class OperationKind(Enum):
    """What the beam does with an input. The value is the last part of a preset's name."""

    ENGRAVE_RASTER = "engrave-raster"
    ENGRAVE_FILL = "engrave-fill"
    SCORE = "score"
    CUT = "cut"


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


def list_presets(machine: str = "", material: str = "", kind: OperationKind | None = None) -> list[Preset]:
    """Presets in order of their names, of one machine, one material and one kind or of all ("", None).

    Raises InvalidArgument for a machine or a material that nobody knows; a blocked material has no presets.
    """
    if machine:
        machine_profile(machine)
    if material and material not in _catalogue().materials:
        raise _unknown("material", material, list(_catalogue().materials), "MATERIAL_UNKNOWN")
    presets = _catalogue().presets.values()
    return [
        p for p in presets if machine in ("", p.machine) and material in ("", p.material) and kind in (None, p.kind)
    ]


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
    """The tables in `data` (parsed JSON): a machine is a laser with a controller. Raises ValueError where they
    contradict each other.
    """
    lasers = {row["name"]: row for row in data["lasers"]}
    machine_table = {}
    presets: list[Preset] = []
    material_table = {row["name"]: _read_material(row) for row in data["materials"]}
    figures = {name: [_Figures(*row[1:]) for row in data["presets"] if row[0] == name] for name in lasers}
    for controller in data["controllers"]:
        for name in controller["lasers"]:
            machine = _read_machine(lasers[name], controller)
            machine_table[machine.name] = machine
            presets += _own_presets(machine, figures[name], data["preset_source"])
            like = lasers[name].get("like", "")
            if like:
                known = {(row.material, row.kind) for row in figures[name]}
                others = [row for row in figures[like] if (row.material, row.kind) not in known]
                presets += _scaled_presets(machine, _read_machine(lasers[like], controller), others)
    for preset in presets:
        _check_known(preset, machine_table, material_table)
    words = {word: row["name"] for row in data["materials"] for word in row.get("blocked_words", ())}
    return Catalogue(
        machines=MappingProxyType(dict(sorted(machine_table.items()))),
        materials=MappingProxyType(dict(sorted(material_table.items()))),
        presets=MappingProxyType({preset.name: preset for preset in sorted(presets, key=lambda p: p.name)}),
        blocked_words=MappingProxyType(words),
    )


class _Figures(NamedTuple):
    """A row of the table of presets, for one laser."""

    material: str
    kind: str
    power_percent: float
    speed_mm_per_min: float
    passes: int
    interval_mm: float


def _own_presets(machine: MachineProfile, rows: Iterable[_Figures], source: str) -> list[Preset]:
    return [_preset(machine, row, source) for row in rows]


def _scaled_presets(machine: MachineProfile, like: MachineProfile, rows: Iterable[_Figures]) -> list[Preset]:
    """Presets of another laser of the same wavelength, so that each area gets the same energy.

    A cut keeps its power and changes its speed, the others keep their speed. What the laser cannot do is left out.
    """
    source = f"kerf's own starting value, scaled from that of {like.name} by the energy per area; nobody has burnt it"
    out = []
    for row in rows:
        energy = like.energy_j_per_mm2(row.power_percent, row.speed_mm_per_min, row.interval_mm)
        per_percent = machine.energy_j_per_mm2(1.0, 1.0, row.interval_mm)  # times percent / (mm/min) is J/mm²
        power, speed = row.power_percent, row.speed_mm_per_min
        if row.kind == OperationKind.CUT.value:
            speed = min(per_percent * power / energy, machine.max_feed_mm_per_min)
        speed = min(speed, machine.max_feed_mm_per_min)
        power = min(max(energy * speed / per_percent, machine.min_power_percent), 100.0)
        speed = math.ceil(per_percent * power / energy / SPEED_STEP) * SPEED_STEP
        if speed <= machine.max_feed_mm_per_min:
            power = math.floor(power / POWER_STEP) * POWER_STEP
            out.append(_preset(machine, row._replace(power_percent=power, speed_mm_per_min=speed), source))
    return out


def _read_machine(laser: dict[str, Any], controller: dict[str, Any]) -> MachineProfile:
    dialect, s_max = Dialect(controller["dialect"]), float(controller["s_max"])
    name = f"{controller['prefix']}-{laser['name']}"
    own = {key: value for key, value in laser.items() if key != "like"}
    own |= {"name": name, "description": f"{controller['title']}, {laser['description']}"}
    own |= {"dialect": dialect, "s_max": s_max, "air_assist": AirAssist(laser.get("air_assist", ""))}
    return check_profile(MachineProfile(**own, required_settings=required_settings(dialect, s_max)), name)


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


def _preset(machine: MachineProfile, row: _Figures, source: str) -> Preset:
    return Preset(
        name=f"{machine.name}/{row.material}/{row.kind}",
        machine=machine.name,
        material=row.material,
        kind=OperationKind(row.kind),
        power_percent=float(row.power_percent),
        speed_mm_per_min=float(row.speed_mm_per_min),
        passes=int(row.passes),
        interval_mm=float(row.interval_mm),
        kerf_mm=0.0,
        source=source,
        verified=False,
    )


def _check_known(preset: Preset, machine_table: Mapping[str, MachineProfile], table: Mapping[str, Material]) -> None:
    machine, material = machine_table[preset.machine], table[preset.material]
    if material.blocked_reason or material.unsuited_reason(machine.wavelength_nm):
        raise ValueError(f"{preset.name}: the material must not be burnt on this machine")
    faults = preset_faults(preset, machine, material)
    if faults:
        raise ValueError(f"{preset.name}: {faults[0].field}: {faults[0].description}")


def check_preset(preset: Preset, machine: MachineProfile, material: Material, field: str) -> Preset:
    """A preset of somebody's own, if it is one for this machine and material and its figures can be used.

    Raises InvalidArgument (INVALID_FIELD) naming every field that cannot. It is never taken as verified by kerf.
    """
    faults = [
        Violation(f"{field}.{fault.field}", fault.description) for fault in preset_faults(preset, machine, material)
    ]
    if not _PRESET_NAME.fullmatch(preset.name):
        faults.append(Violation(f"{field}.name", "use 1 to 200 of A-Z a-z 0-9 _ . / and -."))
    for name, wanted in (("machine", machine.name), ("material", material.name)):
        if getattr(preset, name) != wanted:
            faults.append(Violation(f"{field}.{name}", f"the plan is for {wanted}."))
    if len(preset.source) > MAX_SOURCE or not preset.source.isprintable():
        faults.append(Violation(f"{field}.source", f"at most {MAX_SOURCE} printable characters."))
    if faults:
        text = "; ".join(f"{fault.field}: {fault.description}" for fault in faults)
        raise InvalidArgument("INVALID_FIELD", text, violations=tuple(faults))
    return preset


def preset_faults(preset: Preset, machine: MachineProfile, material: Material) -> list[Violation]:
    """What is wrong with a preset's figures, each with the name of its field."""
    engraves = preset.kind in (OperationKind.ENGRAVE_RASTER, OperationKind.ENGRAVE_FILL)
    ranges = {
        "power_percent": (0.1, 100.0),
        "speed_mm_per_min": (1.0, machine.max_feed_mm_per_min),
        "passes": (1, MAX_PASSES),
        "interval_mm": (MIN_INTERVAL_MM, MAX_INTERVAL_MM) if engraves else (0.0, 0.0),
        "kerf_mm": (0.0, MAX_KERF_MM),
    }
    faults = []
    for name, (low, high) in ranges.items():
        value = getattr(preset, name)
        if not (math.isfinite(value) and low <= value <= high):
            faults.append(Violation(name, f"{value:g} is outside {low:g} to {high:g}."))
    if faults:
        return faults
    energy = machine.energy_j_per_mm2(preset.power_percent, preset.speed_mm_per_min, preset.interval_mm)
    if energy > material.cap_pass_j_per_mm2 or energy * preset.passes > material.cap_total_j_per_mm2:
        text = (
            f"{energy:.1f} J/mm² × {preset.passes} is over the cap of {material.name}: "
            f"{material.cap_pass_j_per_mm2:g} in one pass, {material.cap_total_j_per_mm2:g} in all."
        )
        faults.append(Violation("power_percent", text))
    return faults

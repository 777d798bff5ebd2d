"""The report of a plan as JSON, for programs: what was planned, for which machine, and what proved it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kerf_core.errors import Internal
from kerf_optimizer.domain.geometry import Bounds
from kerf_optimizer.domain.machine.comparison import differs
from kerf_optimizer.domain.machine.gcode import NEVER_UNATTENDED, wants_air
from kerf_optimizer.domain.machine.layered_svg import printable
from kerf_optimizer.domain.machine.timing import TimeEstimate
from kerf_optimizer.domain.machine.work import Layer, Work
from kerf_optimizer.domain.presets import UNVERIFIED, MachineProfile

CHECK = "report-read-back"
SCHEMA = "kerf.plan-report/1"


def write_report(
    work: Work, time: TimeEstimate, files: Mapping[str, bytes], checks: Iterable[tuple[str, str, str]]
) -> bytes:
    """UTF-8 JSON with sorted keys. `files` by name; `checks` are name, verdict, detail. Same arguments, same bytes."""
    path = work.toolpath
    burning = path.s > 0
    report = {
        "schema": SCHEMA,
        "title": printable(work.title),
        "machine": _machine(work.machine),
        "material": {
            "name": work.material.name,
            "description": work.material.description,
            "thickness_mm": work.material.thickness_mm,
        },
        "burn_bounds": _box(path.burn_bounds),
        "motion_bounds": _box(path.motion_bounds),
        "estimated_seconds": time.expected_seconds,
        "estimated_low_seconds": time.low_seconds,
        "estimated_high_seconds": time.high_seconds,
        "burn_length_mm": float(path.length_mm[burning].sum()),
        "travel_length_mm": float(path.length_mm[~burning].sum()),
        "layers": [_layer(layer, work.machine) for layer in work.layers],
        "warnings": list(work.warnings),
        "safety": NEVER_UNATTENDED,
        "checks": [{"name": name, "verdict": verdict, "detail": detail} for name, verdict, detail in checks],
        "files": [_file(name, data) for name, data in files.items()],
    }
    return (json.dumps(report, ensure_ascii=False, allow_nan=False, indent=1, sort_keys=True) + "\n").encode("utf-8")


def _box(box: Bounds) -> dict[str, float]:
    return box._asdict()


def _machine(machine: MachineProfile) -> dict[str, Any]:
    return {
        "name": machine.name,
        "description": machine.description,
        "dialect": machine.dialect.value,
        "laser_watts": machine.laser_watts,
        "wavelength_nm": machine.wavelength_nm,
        "required_settings": list(machine.required_settings),
    }


def _layer(layer: Layer, machine: MachineProfile) -> dict[str, Any]:
    energy = machine.energy_j_per_mm2(layer.power_percent, layer.feed_mm_per_min, layer.interval_mm)
    return {
        "name": layer.name,
        "kind": layer.kind.value,
        "power_percent": layer.power_percent,
        "feed_mm_per_min": layer.feed_mm_per_min,
        "passes": layer.passes,
        "z_step_mm": layer.z_step_mm,
        "interval_mm": layer.interval_mm,
        "overscan_mm": layer.overscan_mm,
        "energy_j_per_mm2_per_pass": energy,
        "air_assist": wants_air(layer, machine),
        "paths": len(layer.paths),
        "rasters": len(layer.rasters),
        "grey": layer.grey.value if layer.grey else "",
        "preset": {
            "name": layer.preset.name,
            "source": layer.preset.source,
            "verified": layer.preset.verified,
            "note": "" if layer.preset.verified else UNVERIFIED,
        },
    }


def _file(name: str, data: bytes) -> dict[str, Any]:
    return {"name": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def check_report(data: bytes, work: Work, files: Mapping[str, bytes]) -> str:
    """Parse the report; compare layers, bounds and hashes of files. Returns what was compared; raises Internal."""
    try:
        report = json.loads(data)
    except ValueError as error:
        raise Internal("READ_BACK", f"Check {CHECK} failed, the files were thrown away: it is no JSON.") from error
    found = [(layer["name"], layer["feed_mm_per_min"], layer["passes"]) for layer in report["layers"]]
    if found != [(layer.name, layer.feed_mm_per_min, layer.passes) for layer in work.layers]:
        raise differs(CHECK, "the layers differ")
    if Bounds(**report["burn_bounds"]) != work.toolpath.burn_bounds:
        raise differs(CHECK, "the bounds differ")
    _check_files(report["files"], files)
    return f"{len(found)} layers, bounds and the SHA-256 of {len(files)} files equal"


def _check_files(found: Sequence[Mapping[str, Any]], files: Mapping[str, bytes]) -> None:
    hashes = {file["name"]: file["sha256"] for file in found}
    if hashes != {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}:
        raise differs(CHECK, "a file is not the one that was hashed")

"""Turns the operations that were asked for into figures: preset, overrides, limits. Refuses what is dangerous."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from kerf_core.errors import InvalidArgument
from kerf_optimizer.domain.geometry import Drawing, Raster
from kerf_optimizer.domain.machine.work import GreyMeaning
from kerf_optimizer.domain.planning.contour import check_contour
from kerf_optimizer.domain.planning.greys import check_grey
from kerf_optimizer.domain.planning.spec import DEFAULT_MACHINE, Contour, Operation, OperationKind, PlanSpec, ScanStyle
from kerf_optimizer.domain.presets import MachineProfile, Material, Preset, check_profile, machine_profile

RUN_ORDER = (OperationKind.ENGRAVE_RASTER, OperationKind.ENGRAVE_FILL, OperationKind.SCORE, OperationKind.CUT)
"""Engraving first: a part that was cut out may have moved. The two kinds of engraving keep the order they came in."""
MAX_PASSES = 20
MIN_INTERVAL_MM = 0.01
MAX_INTERVAL_MM = 5.0
MAX_OPERATIONS = 16
MAX_Z_STEP_MM = 10.0
MAX_SCAN_ANGLE_DEG = 360.0
_LAYER = re.compile(r"[A-Za-z0-9_-]{0,64}")
_TAKEN_LAYERS = frozenset({"0", "defpoints"})
"""Names that mean something of their own in DXF."""
_COLOURS: dict[OperationKind, tuple[tuple[int, int, int], ...]] = {
    OperationKind.ENGRAVE_RASTER: ((0, 0, 0), (180, 180, 180)),
    OperationKind.ENGRAVE_FILL: ((160, 0, 160), (160, 160, 0), (0, 160, 0)),
    OperationKind.SCORE: ((0, 0, 255), (0, 160, 255), (0, 224, 0)),
    OperationKind.CUT: ((255, 0, 0), (255, 128, 0), (160, 0, 0)),
}
"""Of LightBurn's palette, so that its import keeps the operations apart."""


@dataclass(frozen=True)
class Resolved:
    """One operation with all its figures. `index` is its place in the request."""

    index: int
    input: int
    kind: OperationKind
    layer: str
    rgb: tuple[int, int, int]
    preset: Preset
    power_percent: float
    s_value: int
    feed_mm_per_min: int
    passes: int
    interval_mm: float
    overscan_mm: float
    scan: ScanStyle
    grey: GreyMeaning | None = None
    contour: Contour | None = None
    z_step_mm: float = 0.0

    @property
    def times(self) -> int:
        """How often it burns over each place."""
        return self.passes * len(self.scan.angles_deg)


def planned_machine(spec: PlanSpec) -> MachineProfile:
    """The machine of a plan: the caller's own, or the catalogue's. Raises InvalidArgument for one that cannot be."""
    return check_profile(spec.profile) if spec.profile else machine_profile(spec.machine or DEFAULT_MACHINE)


def resolve_operations(
    operations: Sequence[Operation],
    sources: Sequence[Raster | Drawing],
    machine: MachineProfile,
    material: Material,
    presets: Sequence[Preset],
) -> list[Resolved]:
    """The operations in the order in which they run: engrave, score, cut; within these as they came.

    `presets` are those for this machine and material; of two with one name the first counts.
    Raises InvalidArgument naming `operations[i].<field>`.
    """
    if not 1 <= len(operations) <= MAX_OPERATIONS:
        raise InvalidArgument.of_field("operations", f"give 1 to {MAX_OPERATIONS} operations, not {len(operations)}.")
    names: set[str] = set(_TAKEN_LAYERS)
    colours = dict.fromkeys(OperationKind, 0)
    resolved = []
    for index, operation in enumerate(operations):
        field = f"operations[{index}]"
        source = _source(operation, sources, field)
        name = _layer_name(operation, names, field)
        palette = _COLOURS[operation.kind]
        rgb = palette[colours[operation.kind] % len(palette)]
        colours[operation.kind] += 1
        preset = _preset(operation, machine, material, presets, field)
        resolved.append(_resolve(index, operation, source, name, rgb, machine, material, preset))
    return sorted(resolved, key=lambda r: max(RUN_ORDER.index(r.kind), 1))


def _source(operation: Operation, sources: Sequence[Raster | Drawing], field: str) -> Raster | Drawing:
    if not 0 <= operation.input < len(sources):
        text = f"there is no source {operation.input}; {len(sources)} were given, counted from 0."
        raise InvalidArgument.of_field(f"{field}.input", text)
    source = sources[operation.input]
    if operation.kind is OperationKind.ENGRAVE_RASTER and not isinstance(source, Raster):
        raise InvalidArgument.of_field(
            f"{field}.kind", "engrave-raster needs a 1-bit picture, and the source is paths."
        )
    if operation.contour is not None:
        check_contour(operation.contour, operation.kind, f"{field}.contour")
    elif operation.kind is not OperationKind.ENGRAVE_RASTER and not isinstance(source, Drawing):
        text = f"{operation.kind.value} needs paths, and the source is a picture; vectorize it first."
        raise InvalidArgument.of_field(f"{field}.kind", text)
    return source


def _layer_name(operation: Operation, names: set[str], field: str) -> str:
    """A name that no other layer has, whatever the case of its letters (DXF does not tell cases apart)."""
    if not _LAYER.fullmatch(operation.layer):
        raise InvalidArgument.of_field(f"{field}.layer", "use at most 64 of A-Z a-z 0-9 _ and -.")
    wanted = operation.layer or operation.kind.value
    name, number = wanted, 1
    while name.lower() in names:
        number += 1
        name = f"{wanted}-{number}"
    names.add(name.lower())
    return name


def _resolve(
    index: int,
    operation: Operation,
    source: Raster | Drawing,
    layer: str,
    rgb: tuple[int, int, int],
    machine: MachineProfile,
    material: Material,
    preset: Preset,
) -> Resolved:
    field = f"operations[{index}]"
    power_percent = _override(operation.power_percent, preset.power_percent, 100.0, f"{field}.power_percent")
    most = machine.max_feed_mm_per_min
    speed = _override(operation.speed_mm_per_min, preset.speed_mm_per_min, most, f"{field}.speed_mm_per_min")
    passes = int(_override(operation.passes, preset.passes, MAX_PASSES, f"{field}.passes"))
    check_grey(operation, source, machine, passes, field)
    interval_mm = _interval(operation, preset, source, f"{field}.interval_mm")
    s_value = round(power_percent / 100 * machine.s_max)
    feed = max(1, math.floor(speed + 0.5))
    if s_value < 1:
        text = f"{power_percent:g} % is less than one step of the controller's scale of {machine.s_max:g}."
        raise InvalidArgument.of_field(f"{field}.power_percent", text)
    times = passes * len(operation.scan.angles_deg)
    _check_energy(field, machine, material, s_value / machine.s_max * 100, feed, times, interval_mm)
    engraving = operation.kind in (OperationKind.ENGRAVE_RASTER, OperationKind.ENGRAVE_FILL)
    scan = _scan(operation, f"{field}.scan")
    return Resolved(
        index=index,
        input=operation.input,
        kind=operation.kind,
        layer=layer,
        rgb=rgb,
        preset=preset,
        power_percent=power_percent,
        s_value=s_value,
        feed_mm_per_min=feed,
        passes=passes,
        interval_mm=interval_mm,
        overscan_mm=max(machine.run_up_mm(feed, angle) for angle in scan.angles_deg) if engraving else 0.0,
        scan=scan,
        grey=operation.grey,
        contour=operation.contour,
        z_step_mm=_z_step(operation.z_step_mm, passes, machine, material, f"{field}.z_step_mm"),
    )


def _z_step(z_step_mm: float, passes: int, machine: MachineProfile, material: Material, field: str) -> float:
    """How far the head goes down after each pass: never deeper than the material is thick."""
    if z_step_mm == 0:
        return 0.0
    if not machine.has_z:
        raise InvalidArgument.of_field(field, f"{machine.name} does not move Z.", reason="NO_Z_AXIS")
    if not math.isfinite(z_step_mm) or not 0 < z_step_mm <= MAX_Z_STEP_MM:
        raise InvalidArgument.of_field(field, f"{z_step_mm:g} is outside 0 to {MAX_Z_STEP_MM:g}.")
    if passes == 1:
        raise InvalidArgument.of_field(field, "the head goes down between passes, and there is only one.")
    depth_mm = (passes - 1) * z_step_mm
    if depth_mm > material.thickness_mm:
        text = (
            f"{passes} passes would go down by {depth_mm:g} mm; {material.name} is {material.thickness_mm:g} mm thick."
        )
        raise InvalidArgument.of_field(field, text)
    return z_step_mm


def _scan(operation: Operation, field: str) -> ScanStyle:
    angle = operation.scan.angle_deg
    if not math.isfinite(angle) or abs(angle) > MAX_SCAN_ANGLE_DEG:
        text = f"{angle:g} is outside -{MAX_SCAN_ANGLE_DEG:g} to {MAX_SCAN_ANGLE_DEG:g} degrees."
        raise InvalidArgument.of_field(f"{field}.angle_deg", text)
    if operation.kind is OperationKind.ENGRAVE_RASTER and angle % 90:
        text = f"a picture is scanned at multiples of 90 degrees, not {angle:g}: along its rows or its columns."
        raise InvalidArgument.of_field(f"{field}.angle_deg", text)
    return operation.scan


def _preset(
    operation: Operation, machine: MachineProfile, material: Material, here: Sequence[Preset], field: str
) -> Preset:
    name = operation.preset or f"{machine.name}/{material.name}/{operation.kind.value}"
    for preset in here:
        if preset.name == name and preset.kind is operation.kind:
            return preset
    if operation.preset:
        fitting = ", ".join(p.name for p in here if p.kind is operation.kind) or "none"
        text = (
            f"{name[:64]!r} is not a preset for {operation.kind.value} on this machine and material; known: {fitting}."
        )
        raise InvalidArgument.of_field(f"{field}.preset", text, reason="PRESET_UNKNOWN")
    kinds = ", ".join(p.kind.value for p in here) or "nothing"
    text = f"{machine.name} cannot {operation.kind.value} {material.name}, as far as kerf knows; it can: {kinds}."
    raise InvalidArgument.of_field(f"{field}.kind", text, reason="PRESET_UNKNOWN")


def _override(value: float, preset: float, most: float, field: str) -> float:
    if not math.isfinite(value) or value < 0 or value > most:
        raise InvalidArgument.of_field(field, f"{value:g} is outside 0 to {most:g} (0 = the preset's {preset:g}).")
    return value or preset


def _interval(operation: Operation, preset: Preset, source: Raster | Drawing, field: str) -> float:
    if operation.kind in (OperationKind.SCORE, OperationKind.CUT):
        return 0.0
    own = source.pitch_mm if isinstance(source, Raster) else preset.interval_mm
    value = _override(operation.interval_mm, own, MAX_INTERVAL_MM, field)
    if value < MIN_INTERVAL_MM:
        text = f"{value:g} mm between lines is finer than {MIN_INTERVAL_MM} mm; use a wider one or a lower dpi."
        raise InvalidArgument.of_field(field, text)
    return value


def _check_energy(
    field: str,
    machine: MachineProfile,
    material: Material,
    power_percent: float,
    feed_mm_per_min: int,
    passes: int,
    interval_mm: float,
) -> None:
    """Energy density per area, of one pass and of all, against the caps of the material."""
    one = machine.energy_j_per_mm2(power_percent, feed_mm_per_min, interval_mm)
    for energy, cap, what in (
        (one, material.cap_pass_j_per_mm2, "one pass"),
        (one * passes, material.cap_total_j_per_mm2, f"{passes} passes"),
    ):
        if energy > cap:
            text = (
                f"{what} would put {energy:.1f} J/mm² into {material.name}, whose cap is {cap:g} J/mm² (it would burn "
                "rather than engrave or cut); use less power, more speed, fewer passes or a wider interval."
            )
            raise InvalidArgument.of_field(field, text, reason="ENERGY_OVER_CAP")

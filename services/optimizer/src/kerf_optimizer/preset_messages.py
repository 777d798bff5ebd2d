"""Messages about machines, materials and presets to and from the domain's types."""

from __future__ import annotations

from collections.abc import Sequence

from kerf.optimizer.v1 import plan_pb2 as plan
from kerf_core.errors import InvalidArgument
from kerf_optimizer.domain.presets import (
    AirAssist,
    Dialect,
    MachineProfile,
    Material,
    OperationKind,
    Preset,
    required_settings,
)

KINDS = {
    plan.OPERATION_KIND_ENGRAVE_RASTER: OperationKind.ENGRAVE_RASTER,
    plan.OPERATION_KIND_ENGRAVE_FILL: OperationKind.ENGRAVE_FILL,
    plan.OPERATION_KIND_SCORE: OperationKind.SCORE,
    plan.OPERATION_KIND_CUT: OperationKind.CUT,
}
_WRITTEN_KINDS = {kind: number for number, kind in KINDS.items()}
_WRITTEN_DIALECTS = {
    Dialect.GRBL_M4: plan.DIALECT_GRBL_M4,
    Dialect.GRBL_M3: plan.DIALECT_GRBL_M3,
    Dialect.GRBL_NO_LASER_MODE: plan.DIALECT_GRBL_NO_LASER_MODE,
    Dialect.MARLIN_INLINE: plan.DIALECT_MARLIN_INLINE,
    Dialect.SMOOTHIEWARE: plan.DIALECT_SMOOTHIEWARE,
}
WRITTEN_AIR = {
    AirAssist.NONE: plan.AIR_ASSIST_UNSPECIFIED,
    AirAssist.M7: plan.AIR_ASSIST_M7,
    AirAssist.M8: plan.AIR_ASSIST_M8,
}
SMOOTHIEWARE_STEPS = 1000.0


def page_of(presets: Sequence[Preset], page_size: int, page_token: str) -> tuple[Sequence[Preset], str]:
    """The presets after the one that the token names, at most `page_size` of them (0 = all), and the next token.

    Raises InvalidArgument where no preset of these has that name.
    """
    start = 0
    if page_token:
        places = {preset.name: place for place, preset in enumerate(presets)}
        if page_token not in places:
            raise InvalidArgument.of_field("page_token", "is not one that this method answered with for these filters.")
        start = places[page_token] + 1
    stop = start + page_size if page_size else len(presets)
    return presets[start:stop], presets[stop - 1].name if stop < len(presets) else ""


def write_preset(preset: Preset) -> plan.Preset:
    """The contract's form of a preset."""
    return plan.Preset(
        name=preset.name,
        machine=preset.machine,
        material=preset.material,
        kind=_WRITTEN_KINDS[preset.kind],
        power_percent=preset.power_percent,
        speed_mm_per_min=preset.speed_mm_per_min,
        passes=preset.passes,
        interval_mm=preset.interval_mm,
        kerf_mm=preset.kerf_mm,
        source=preset.source,
        verified=preset.verified,
    )


def write_machine(machine: MachineProfile) -> plan.MachineProfile:
    """The contract's form of a machine profile."""
    return plan.MachineProfile(
        name=machine.name,
        description=machine.description,
        bed_width_mm=machine.bed_width_mm,
        bed_height_mm=machine.bed_height_mm,
        max_feed_mm_per_min=machine.max_feed_mm_per_min,
        acceleration_mm_per_s2=machine.acceleration_mm_per_s2,
        s_max=machine.full_power_s,
        laser_watts=machine.laser_watts,
        wavelength_nm=machine.wavelength_nm,
        spot_x_mm=machine.spot_x_mm,
        spot_y_mm=machine.spot_y_mm,
        has_z=machine.has_z,
        dialect=_WRITTEN_DIALECTS[machine.dialect],
        junction_deviation_mm=machine.junction_deviation_mm,
        required_settings=machine.required_settings,
        focus_note=machine.focus_note,
        air_assist=WRITTEN_AIR[machine.air_assist],
        min_power_percent=machine.min_power_percent,
        rotary_steps_per_turn=machine.rotary_steps_per_turn,
        max_feed_x_mm_per_min=machine.max_feed_x_mm_per_min,
        max_feed_y_mm_per_min=machine.max_feed_y_mm_per_min,
        acceleration_x_mm_per_s2=machine.acceleration_x_mm_per_s2,
        acceleration_y_mm_per_s2=machine.acceleration_y_mm_per_s2,
    )


def write_material(material: Material) -> plan.Material:
    """The contract's form of a material."""
    return plan.Material(
        name=material.name,
        description=material.description,
        thickness_mm=material.thickness_mm,
        blocked_reason=material.blocked_reason,
    )


def read_profile(message: plan.MachineProfile) -> MachineProfile:
    """The domain's form of a machine; its figures are judged by whoever plans on it."""
    dialects = {number: dialect for dialect, number in _WRITTEN_DIALECTS.items()}
    if message.dialect not in dialects:
        raise InvalidArgument.of_field("machine_profile.dialect", "say which G-code the controller understands.")
    dialect = dialects[message.dialect]
    # Smoothieware's S is a share of 1; kerf counts its power in thousandths.
    s_max = SMOOTHIEWARE_STEPS if dialect is Dialect.SMOOTHIEWARE else message.s_max
    return MachineProfile(
        name=message.name,
        description=message.description,
        bed_width_mm=message.bed_width_mm,
        bed_height_mm=message.bed_height_mm,
        max_feed_mm_per_min=message.max_feed_mm_per_min,
        acceleration_mm_per_s2=message.acceleration_mm_per_s2,
        s_max=s_max,
        laser_watts=message.laser_watts,
        wavelength_nm=message.wavelength_nm,
        spot_x_mm=message.spot_x_mm,
        spot_y_mm=message.spot_y_mm,
        has_z=message.has_z,
        junction_deviation_mm=message.junction_deviation_mm,
        dialect=dialect,
        required_settings=tuple(message.required_settings) or required_settings(dialect, s_max),
        focus_note=message.focus_note,
        air_assist={number: air for air, number in WRITTEN_AIR.items()}[message.air_assist],
        min_power_percent=message.min_power_percent,
        rotary_steps_per_turn=message.rotary_steps_per_turn,
        max_feed_x_mm_per_min=message.max_feed_x_mm_per_min,
        max_feed_y_mm_per_min=message.max_feed_y_mm_per_min,
        acceleration_x_mm_per_s2=message.acceleration_x_mm_per_s2,
        acceleration_y_mm_per_s2=message.acceleration_y_mm_per_s2,
    )


def read_preset(index: int, message: plan.Preset) -> Preset:
    """A preset of the caller's own; that it was verified is the caller's word, which kerf does not pass on."""
    kind = KINDS.get(message.kind)
    if kind is None:
        raise InvalidArgument.of_field(f"presets[{index}].kind", "say what it is for: engrave, score or cut.")
    return Preset(
        name=message.name,
        machine=message.machine,
        material=message.material,
        kind=kind,
        power_percent=message.power_percent,
        speed_mm_per_min=message.speed_mm_per_min,
        passes=message.passes,
        interval_mm=message.interval_mm,
        kerf_mm=message.kerf_mm,
        source=message.source or "the caller's own",
        verified=False,
    )

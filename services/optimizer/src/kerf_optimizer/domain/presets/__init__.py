"""Machine profiles, materials and presets."""

from kerf_optimizer.domain.presets.catalogue import (
    UNVERIFIED,
    Catalogue,
    Material,
    OperationKind,
    Preset,
    Unsuited,
    check_preset,
    get_preset,
    list_presets,
    machine_profile,
    machines,
    materials,
    read_catalogue,
    workable_material,
)
from kerf_optimizer.domain.presets.profiles import AirAssist, Dialect, MachineProfile, check_profile, required_settings

__all__ = [
    "UNVERIFIED",
    "AirAssist",
    "Catalogue",
    "Dialect",
    "MachineProfile",
    "Material",
    "OperationKind",
    "Preset",
    "Unsuited",
    "check_preset",
    "check_profile",
    "get_preset",
    "list_presets",
    "machine_profile",
    "machines",
    "materials",
    "read_catalogue",
    "required_settings",
    "workable_material",
]

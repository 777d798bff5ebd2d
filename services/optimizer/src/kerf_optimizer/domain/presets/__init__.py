"""Machine profiles, materials and presets."""

from kerf_optimizer.domain.presets.catalogue import (
    UNVERIFIED,
    Catalogue,
    LaserMode,
    MachineProfile,
    Material,
    OperationKind,
    Preset,
    Unsuited,
    get_preset,
    list_presets,
    machine_profile,
    machines,
    materials,
    read_catalogue,
    workable_material,
)

__all__ = [
    "UNVERIFIED",
    "Catalogue",
    "LaserMode",
    "MachineProfile",
    "Material",
    "OperationKind",
    "Preset",
    "Unsuited",
    "get_preset",
    "list_presets",
    "machine_profile",
    "machines",
    "materials",
    "read_catalogue",
    "workable_material",
]

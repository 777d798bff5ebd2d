"""Planning: places operations on the bed, orders them, and writes machine files that were proven safe."""

from kerf_optimizer.domain.planning.burn import plan_burn
from kerf_optimizer.domain.planning.spec import (
    Bounds,
    Check,
    Corner,
    Operation,
    OperationKind,
    OutputFormat,
    PathStyle,
    Placement,
    PlanLimits,
    PlannedBurn,
    PlannedFile,
    PlanReport,
    PlanSpec,
    Preset,
    ScanStyle,
    Verdict,
)

__all__ = [
    "Bounds",
    "Check",
    "Corner",
    "Operation",
    "OperationKind",
    "OutputFormat",
    "PathStyle",
    "Placement",
    "PlanLimits",
    "PlanReport",
    "PlanSpec",
    "PlannedBurn",
    "PlannedFile",
    "Preset",
    "ScanStyle",
    "Verdict",
    "plan_burn",
]

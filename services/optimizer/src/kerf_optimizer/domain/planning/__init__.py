"""Planning: places operations on the bed, orders them, and writes machine files that were proven safe."""

from kerf_optimizer.domain.planning.burn import plan_burn
from kerf_optimizer.domain.planning.spec import (
    Bounds,
    Check,
    Corner,
    Operation,
    OperationKind,
    OutputFormat,
    Placement,
    PlanLimits,
    PlannedBurn,
    PlannedFile,
    PlanReport,
    PlanSpec,
    Preset,
    Verdict,
)

__all__ = [
    "Bounds",
    "Check",
    "Corner",
    "Operation",
    "OperationKind",
    "OutputFormat",
    "Placement",
    "PlanLimits",
    "PlanReport",
    "PlanSpec",
    "PlannedBurn",
    "PlannedFile",
    "Preset",
    "Verdict",
    "plan_burn",
]

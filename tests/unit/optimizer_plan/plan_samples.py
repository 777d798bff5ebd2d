"""Drawings, pictures and plans that several tests of the planner use."""

from __future__ import annotations

import numpy as np

from kerf_optimizer.domain.geometry import Drawing, Path, Raster, path_of
from kerf_optimizer.domain.machine.work import Work
from kerf_optimizer.domain.planning import (
    Operation,
    OperationKind,
    Placement,
    PlanLimits,
    PlannedBurn,
    PlanSpec,
    plan_burn,
)
from kerf_optimizer.domain.planning.sequence import build_work

CUT, SCORE = OperationKind.CUT, OperationKind.SCORE
FILL, RASTER = OperationKind.ENGRAVE_FILL, OperationKind.ENGRAVE_RASTER


def never_cancelled() -> None:
    """Nobody gives up."""


def square(x_mm: float, y_mm: float, side_mm: float) -> Path:
    corners = [[x_mm, y_mm], [x_mm + side_mm, y_mm], [x_mm + side_mm, y_mm + side_mm], [x_mm, y_mm + side_mm]]
    return path_of(corners, closed=True)


def washer() -> Drawing:
    """A square of 20 mm with a square hole of 6 mm and a slot in the hole, the outer one first."""
    return Drawing(30.0, 30.0, (square(5, 5, 20), square(12, 12, 6), path_of([[13, 14], [16, 17]], closed=False)))


def spots(rows: int = 20, columns: int = 30, seed: int = 1) -> Raster:
    return Raster(np.random.default_rng(seed).random((rows, columns)) > 0.5, 0.2)


def sample_spec(title: str = "sample") -> PlanSpec:
    """All four kinds on 10 W diode and birch; sources are `sample_sources()`."""
    return PlanSpec(
        material="birch-3mm",
        operations=(Operation(1, CUT), Operation(1, SCORE, layer="lines"), Operation(0, RASTER), Operation(1, FILL)),
        placement=Placement(offset_x_mm=10, offset_y_mm=10, margin_mm=2),
        title=title,
    )


def sample_sources() -> list[Raster | Drawing]:
    return [spots(), washer()]


def sample_plan(title: str = "sample") -> PlannedBurn:
    return plan_burn(sample_spec(title), sample_sources(), never_cancelled)


def sample_work() -> Work:
    return build_work(sample_spec(), sample_sources(), never_cancelled, PlanLimits())


def plan(material: str, *operations: Operation, placement: Placement | None = None, machine: str = "") -> PlannedBurn:
    spec = PlanSpec(material=material, operations=operations, placement=placement, machine=machine)
    return plan_burn(spec, sample_sources(), never_cancelled)

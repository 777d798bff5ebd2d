"""Messages about test pieces and machine profiles to and from the domain's types, for the servicer."""

from __future__ import annotations

from kerf.optimizer.v1 import optimizer_pb2 as pb
from kerf.optimizer.v1 import plan_pb2 as plan
from kerf_core.errors import InvalidArgument
from kerf_optimizer.domain.machine.power_grid import Cell, GridSpec
from kerf_optimizer.domain.presets import OperationKind
from kerf_optimizer.domain.presets.grbl_dump import DumpedMachine, LaserHead
from kerf_optimizer.preset_messages import WRITTEN_AIR, write_machine

_GRID_KINDS = {
    plan.OPERATION_KIND_ENGRAVE_FILL: OperationKind.ENGRAVE_FILL,
    plan.OPERATION_KIND_SCORE: OperationKind.SCORE,
    plan.OPERATION_KIND_CUT: OperationKind.CUT,
}
_AIR = {number: air for air, number in WRITTEN_AIR.items()}


def read_grid(request: pb.MakeTestGridRequest) -> GridSpec:
    """The domain's form of a grid. Raises InvalidArgument for a kind that has no grid."""
    kind = _GRID_KINDS.get(request.kind)
    if kind is None:
        raise InvalidArgument.of_field("kind", "say what to try: ENGRAVE_FILL, SCORE or CUT.")
    return GridSpec(
        kind=kind,
        columns=request.columns,
        rows=request.rows,
        min_power_percent=request.min_power_percent,
        max_power_percent=request.max_power_percent,
        min_speed_mm_per_min=request.min_speed_mm_per_min,
        max_speed_mm_per_min=request.max_speed_mm_per_min,
        passes=request.passes,
        interval_mm=request.interval_mm,
        cell_mm=request.cell_mm,
    )


def write_cell(cell: Cell) -> pb.TestCell:
    """The contract's form of a cell."""
    return pb.TestCell(
        column=cell.column,
        row=cell.row,
        power_percent=cell.power_percent,
        speed_mm_per_min=cell.feed_mm_per_min,
        energy_j_per_mm2=cell.energy_j_per_mm2,
        left_out=cell.left_out,
    )


def read_laser_head(request: pb.ReadMachineProfileRequest) -> LaserHead:
    """The domain's form of what a dump does not say."""
    return LaserHead(
        name=request.name,
        laser_watts=request.laser_watts,
        wavelength_nm=request.wavelength_nm,
        spot_x_mm=request.spot_x_mm,
        spot_y_mm=request.spot_y_mm,
        has_z=request.has_z,
        constant_power=request.constant_power,
        air_assist=_AIR[request.air_assist],
    )


def write_dumped(dumped: DumpedMachine) -> pb.ReadMachineProfileResponse:
    """The contract's form of a profile that was read."""
    return pb.ReadMachineProfileResponse(machine=write_machine(dumped.machine), notes=dumped.notes)

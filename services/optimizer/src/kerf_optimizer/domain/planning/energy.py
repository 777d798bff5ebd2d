"""Energy that several operations put into one place: each keeps to the material's cap, and together they must as well.

Judged on a grid of cells no finer than the spot. Whatever burns within two cells each way counts as one place, so that
a border between cells, on which a line may lie, parts nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from kerf_core.errors import InvalidArgument
from kerf_optimizer.domain.machine.work import GreyMeaning, Layer, Toolpath
from kerf_optimizer.domain.presets import MachineProfile, Material

MAX_CELLS = 1_000_000
ENOUGH = 1e-6
"""What sums may be off by."""
_MOVES_AT_ONCE = 50_000
_STEPS_AT_ONCE = 1_000_000
CheckCancelled = Callable[[], None]
Floats = NDArray[np.float64]


def check_places(
    path: Toolpath,
    layers: Sequence[Layer],
    times: Sequence[int],
    machine: MachineProfile,
    material: Material,
    check_cancelled: CheckCancelled,
) -> None:
    """Raise InvalidArgument (ENERGY_OVER_CAP) where operations that meet put too much energy into a place.

    `times`: how often each layer burns over a place, its passes and the ways of its hatch. Something must burn. A line
    that one operation draws twice counts once; layers that all together stay below the cap are not looked at.
    """
    doses = [
        count * machine.energy_j_per_mm2(layer.s_value / machine.s_max * 100, layer.feed_mm_per_min, layer.interval_mm)
        for layer, count in zip(layers, times, strict=True)
    ]
    cap = material.cap_total_j_per_mm2 * (1 + ENOUGH)
    if len(layers) < 2 or sum(doses) <= cap:
        return
    box = path.burn_bounds
    wide_mm, deep_mm = box.max_x_mm - box.min_x_mm, box.max_y_mm - box.min_y_mm
    cell_mm = max(machine.spot_x_mm, machine.spot_y_mm, math.sqrt(wide_mm * deep_mm / MAX_CELLS))
    cell_mm = max(cell_mm, max(wide_mm, deep_mm) / MAX_CELLS)
    columns, rows = int(wide_mm / cell_mm) + 1, int(deep_mm / cell_mm) + 1
    low = np.array([box.min_x_mm, box.min_y_mm])
    found = []
    for number, (layer, dose) in enumerate(zip(layers, doses, strict=True)):
        cells = np.zeros(columns * rows, dtype=np.float32)
        for points, share in _burnt(path, number, layer, cell_mm / 2):
            check_cancelled()
            place = np.minimum(((points - low) / cell_mm).astype(np.int64), np.array([columns - 1, rows - 1]))
            column, row = np.maximum(place, 0).T
            np.maximum.at(cells, row * columns + column, (dose * share).astype(np.float32))
        found.append(_widened(cells.reshape(rows, columns)).reshape(-1))
    together = np.sum(found, axis=0)
    worst = int(np.argmax(together))
    if together[worst] > cap:
        x_mm, y_mm = low + (np.array([worst % columns, worst // columns]) + 1) * cell_mm
        parts = [(layer.name, cells[worst]) for layer, cells in zip(layers, found, strict=True) if cells[worst] > 0]
        told = " and ".join(f"{name} ({energy:.1f})" for name, energy in parts)
        text = (
            f"{told} burn one place, at X {x_mm:.1f} Y {y_mm:.1f} mm on the bed, and would put {together[worst]:.1f} "
            f"J/mm² into {material.name} together, whose cap is {material.cap_total_j_per_mm2:g} J/mm²; use less "
            "power, more speed or fewer passes, or let them burn apart from each other."
        )
        raise InvalidArgument.of_field("operations", text, reason="ENERGY_OVER_CAP")


def _widened(grid: NDArray[np.float32]) -> NDArray[np.float32]:
    """For each cell the most of it and its three neighbours towards the back and the right."""
    grid[:, :-1] = np.maximum(grid[:, :-1], grid[:, 1:])
    grid[:-1] = np.maximum(grid[:-1], grid[1:])
    return grid


def _burnt(path: Toolpath, number: int, layer: Layer, step_mm: float) -> Iterator[tuple[Floats, Floats]]:
    """Places along what a layer burns, (n, 2) in millimetres, and each one's share of the layer's power, (n,)."""
    moves = np.flatnonzero((path.layer == number) & (path.s > 0))
    for begin in range(0, len(moves), _MOVES_AT_ONCE):
        pieces, owner = path.pieces_mm(moves[begin : begin + _MOVES_AT_ONCE], step_mm / 2)
        share = path.s[owner] / layer.s_value if layer.grey is GreyMeaning.POWER else np.ones(len(owner))
        along = pieces[:, 1] - pieces[:, 0]
        count = np.ceil(np.hypot(along[:, 0], along[:, 1]) / step_mm).astype(np.int64) + 1
        # A long move has many places: so many pieces at once as have a million of them.
        batch = np.cumsum(count) // _STEPS_AT_ONCE
        for which in np.unique(batch):
            chosen = np.flatnonzero(batch == which)
            each = np.repeat(chosen, count[chosen])
            first = np.repeat(np.cumsum(count[chosen]) - count[chosen], count[chosen])
            part = (np.arange(len(each)) - first) / np.maximum(count[each] - 1, 1)
            yield pieces[each, 0] + along[each] * part[:, None], share[each]

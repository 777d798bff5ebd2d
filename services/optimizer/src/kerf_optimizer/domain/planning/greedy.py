"""Nearest neighbour over a grid, compiled: a first order of things that can be entered at several places each."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from kerf_optimizer.domain.compiled import compiled

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
DOORS_PER_CELL = 2.0
_FAR = 1e300


@compiled()
def _fill_grid(
    doors: Floats, item: Ints, done: NDArray[np.bool_], low_x: float, low_y: float, cell: float, columns: int, rows: int
) -> tuple[Ints, Ints]:
    """Doors of items that are not done, by cell: where each cell begins, and the doors."""
    count = len(doors)
    where = np.full(count, -1, np.int64)
    begin = np.zeros(columns * rows + 1, np.int64)
    for d in range(count):
        if not done[item[d]]:
            x = min(int((doors[d, 0] - low_x) / cell), columns - 1)
            y = min(int((doors[d, 1] - low_y) / cell), rows - 1)
            where[d] = y * columns + x
            begin[where[d] + 1] += 1
    begin = np.cumsum(begin)
    filled = begin.copy()
    members = np.empty(begin[-1], np.int64)
    for d in range(count):
        if where[d] >= 0:
            members[filled[where[d]]] = d
            filled[where[d]] += 1
    return begin, members


@compiled()
def _nearest(
    doors: Floats,
    item: Ints,
    blocked: Ints,
    begin: Ints,
    members: Ints,
    grid: tuple[float, float, float, int, int],
    x: float,
    y: float,
) -> int:
    """The nearest door of an item that is neither done nor blocked, ring of cells by ring; −1 = there is none."""
    low_x, low_y, cell, columns, rows = grid
    column = min(max(int((x - low_x) / cell), 0), columns - 1)
    row = min(max(int((y - low_y) / cell), 0), rows - 1)
    best, best_squared = -1, _FAR
    for reach in range(max(columns, rows) + 1):
        if best >= 0 and best_squared <= ((reach - 1) * cell) ** 2:
            break
        for r in range(max(row - reach, 0), min(row + reach, rows - 1) + 1):
            # Whole rows at the top and the bottom of the ring, two cells of the others.
            step = 1 if r in (row - reach, row + reach) else max(2 * reach, 1)
            for c in range(column - reach, column + reach + 1, step):
                if not 0 <= c < columns:
                    continue
                at = r * columns + c
                for m in range(begin[at], begin[at + 1]):
                    d = members[m]
                    if blocked[item[d]] == 0:
                        squared = (doors[d, 0] - x) ** 2 + (doors[d, 1] - y) ** 2
                        if squared < best_squared:
                            best, best_squared = d, squared
    return best


@compiled()
def nearest_order(doors: Floats, exits: Floats, item: Ints, owner: Ints, start: Floats) -> Ints:
    """The doors through which items are entered, one per item, int64 (n,), each the nearest to where the last one ends.

    `doors` and `exits` float64 (m, 2): where one enters and where one then leaves; `item` int64 (m,), whose door it is,
    0…n − 1. `owner` int64 (n,): the item that must come later than this one, −1 = none; no circles.
    """
    count = len(owner)
    blocked = np.zeros(count, np.int64)  # how many must come before; a done item is blocked for good
    for i in range(count):
        if owner[i] >= 0:
            blocked[owner[i]] += 1
    done = np.zeros(count, np.bool_)
    low_x, low_y = doors[:, 0].min(), doors[:, 1].min()
    wide, deep = doors[:, 0].max() - low_x, doors[:, 1].max() - low_y
    sequence = np.empty(count, np.int64)
    x, y, left, rebuild_at = start[0], start[1], count, count
    begin, members = np.zeros(1, np.int64), np.zeros(0, np.int64)
    grid = (low_x, low_y, 1.0, 1, 1)
    for step in range(count):
        if left <= rebuild_at:
            # Half of the doors are gone: larger cells, so that no search walks through a desert.
            want = max(len(doors) * left / count / DOORS_PER_CELL, 1.0)
            cell = max(math.sqrt(wide * deep / want), max(wide, deep) / want, 1e-6)
            columns, rows = int(wide / cell) + 1, int(deep / cell) + 1
            grid = (low_x, low_y, cell, columns, rows)
            begin, members = _fill_grid(doors, item, done, low_x, low_y, cell, columns, rows)
            rebuild_at = left // 2
        found = _nearest(doors, item, blocked, begin, members, grid, x, y)
        chosen = item[found]
        sequence[step] = found
        done[chosen] = True
        blocked[chosen] = count + 1
        if owner[chosen] >= 0:
            blocked[owner[chosen]] -= 1
        x, y = exits[found, 0], exits[found, 1]
        left -= 1
    return sequence

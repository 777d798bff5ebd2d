"""Scan lines: which stretches of which lines burn, and how the head runs over them.

A picture and a hatched area become the same thing: rows of stretches along X. Rows alternate in direction; the head
runs up to its feed before a row and slows down after it (overscan); wide gaps are jumped at rapid speed, narrow ones
crossed at the feed with the beam off.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kerf_optimizer.domain.geometry import Path, rotation
from kerf_optimizer.domain.machine.work import UM_PER_MM, PlacedRaster

MIN_JUMP_UM = 5000
WHOLE = 255
JUMP_OVERSCANS = 4
"""A gap is jumped if it is wider than four overscans and 5 mm: below, stopping costs more than it saves."""


@dataclass(frozen=True, eq=False)
class Stretches:
    """Stretches that burn, int64 (n,) each in micrometres, sorted by `row`, then `start_um` < `end_um`.

    Stretches of one row do not overlap; all with the same `row` have the same `y_um`. `share` uint8 (n,): with how much
    of the power each burns, 255 = all; None = all with all.
    """

    row: NDArray[np.int64]
    y_um: NDArray[np.int64]
    start_um: NDArray[np.int64]
    end_um: NDArray[np.int64]
    share: NDArray[np.uint8] | None = None

    def __len__(self) -> int:
        return len(self.row)


@dataclass(frozen=True, eq=False)
class Arcs:
    """For each of n moves how it turns (−1 clockwise, 0 straight, 1), and the way from its start to the centre."""

    turn: NDArray[np.int8]
    i_um: NDArray[np.int64]
    j_um: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Moves:
    """Moves of one kind of work, arrays (n,): targets in micrometres, whether the beam is on, whether rapid.

    `arcs` None = all are straight; `share` as of `Stretches`, of no meaning where the beam is off.
    """

    x_um: NDArray[np.int64]
    y_um: NDArray[np.int64]
    burns: NDArray[np.bool_]
    rapid: NDArray[np.bool_]
    arcs: Arcs | None = None
    share: NDArray[np.uint8] | None = None

    def __len__(self) -> int:
        return len(self.x_um)

    def between(self, begin: int, end: int) -> Moves:
        """Some of the moves."""
        some = slice(begin, end)
        arcs = self.arcs and Arcs(self.arcs.turn[some], self.arcs.i_um[some], self.arcs.j_um[some])
        share = None if self.share is None else self.share[some]
        return Moves(self.x_um[some], self.y_um[some], self.burns[some], self.rapid[some], arcs, share)


def raster_stretches(raster: PlacedRaster, interval_mm: float) -> Stretches:
    """The burning stretches of a picture, from front to back.

    A line lies in the middle of each `interval_mm`, counted from the front; it takes the pixel row it falls into, so
    that with the interval at the pitch each row of pixels burns exactly once. A stretch ends where the power changes.
    """
    rows, columns = raster.burn.shape
    lines = max(1, round(rows * raster.pitch_mm / interval_mm))
    middle_mm = (np.arange(lines) + 0.5) * interval_mm
    pixel_row = rows - 1 - np.minimum((middle_mm / raster.pitch_mm).astype(np.int64), rows - 1)
    padded = np.zeros((lines, columns + 2), dtype=np.uint8)
    padded[:, 1:-1] = (raster.burn if raster.power is None else raster.power)[pixel_row]
    row, start = np.nonzero(padded[:, 1:] != padded[:, :-1])
    share = padded[row, start + 1]
    # A line begins and ends with pixels that do not burn: what burns always has a next edge, on its own line.
    burning = np.flatnonzero(share)
    row, start, end, share = row[burning].astype(np.int64), start[burning], start[burning + 1], share[burning]
    column_um = np.rint((raster.left_mm + np.arange(columns + 1) * raster.pitch_mm) * UM_PER_MM).astype(np.int64)
    line_um = np.rint((raster.front_mm + middle_mm) * UM_PER_MM).astype(np.int64)
    shares = None if raster.power is None else share
    return _cleaned(Stretches(row, line_um[row], column_um[start], column_um[end], shares))


def turned_raster(raster: PlacedRaster) -> PlacedRaster:
    """The picture as one sees it with the head tilted to the right: columns from the left become rows from the back.

    A point (x, y) becomes (y, −x); lines along X there are lines along Y here.
    """
    width_mm = raster.burn.shape[1] * raster.pitch_mm
    return raster.turned(-1, raster.front_mm, -(raster.left_mm + width_mm))


def hatch_stretches(paths: Sequence[Path], interval_mm: float, angle_deg: float = 0.0) -> Stretches:
    """The parts of parallel lines inside closed paths by the even-odd rule, from front to back.

    Lines lie at whole multiples of the interval plus one half, so that neighbouring areas share a grid. Each edge is
    crossed by the lines with lower end ≤ y < upper end (scan-line filling, Wylie and others 1967): every line is
    crossed an even number of times, whatever touches whatever. Lines at an angle come turned back by it, along X.
    """
    back = rotation(-angle_deg).T
    rings = [path.points_mm @ back if angle_deg else path.points_mm for path in paths if path.closed]
    if not rings:
        empty = np.zeros(0, dtype=np.int64)
        return Stretches(empty, empty, empty, empty)
    a = np.concatenate(rings)
    b = np.concatenate([np.roll(ring, -1, axis=0) for ring in rings])
    swap = a[:, 1] > b[:, 1]
    low, high = np.where(swap[:, None], b, a), np.where(swap[:, None], a, b)
    first = np.ceil(low[:, 1] / interval_mm - 0.5).astype(np.int64)
    count = np.ceil(high[:, 1] / interval_mm - 0.5).astype(np.int64) - first
    edge = np.repeat(np.arange(len(a)), count)
    line = first[edge] + np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count)
    y_mm = (line + 0.5) * interval_mm
    rise = high[edge, 1] - low[edge, 1]
    x_mm = low[edge, 0] + (high[edge, 0] - low[edge, 0]) * ((y_mm - low[edge, 1]) / rise)
    order = np.lexsort((x_mm, line))
    line, x_um = line[order], np.rint(x_mm[order] * UM_PER_MM).astype(np.int64)
    y_um = np.rint((line[::2] + 0.5) * interval_mm * UM_PER_MM).astype(np.int64)
    return _cleaned(Stretches(line[::2], y_um, x_um[::2], x_um[1::2]))


def _cleaned(raw: Stretches) -> Stretches:
    """Without stretches of no length, and with stretches that touch made one unless their power differs."""
    keep = raw.end_um > raw.start_um
    row, y_um, start_um, end_um = raw.row[keep], raw.y_um[keep], raw.start_um[keep], raw.end_um[keep]
    share = None if raw.share is None else raw.share[keep]
    if not len(row):
        return Stretches(row, y_um, start_um, end_um, share)
    joins = (np.diff(row) == 0) & (start_um[1:] <= end_um[:-1])
    if share is not None:
        joins &= share[1:] == share[:-1]
    begins, ends = np.append(True, ~joins), np.append(~joins, True)
    shares = None if share is None else share[begins]
    return Stretches(row[begins], y_um[begins], start_um[begins], end_um[ends], shares)


def scan_moves(stretches: Stretches, overscan_mm: float, *, angle_deg: float = 0.0, both_ways: bool = True) -> Moves:
    """Moves over all stretches: per run one rapid move, the run-up, burn and gap in turn, the run-out.

    Stretches lie along X; the moves are turned by `angle_deg` counter-clockwise.
    """
    overscan_um = round(overscan_mm * UM_PER_MM)
    runs = _in_travel_order(stretches, max(JUMP_OVERSCANS * overscan_um, MIN_JUMP_UM), both_ways)
    size = 2 + 2 * runs.opens
    stop = np.cumsum(size)
    burn_at, head_at = stop - 2, (stop - size)[runs.opens]
    total = int(stop[-1]) if len(stop) else 0
    x_um, y_um = np.zeros(total, dtype=np.int64), np.zeros(total, dtype=np.int64)
    burns, rapid = np.zeros(total, dtype=np.bool_), np.zeros(total, dtype=np.bool_)
    x_um[head_at] = (runs.enter_um - runs.direction * overscan_um)[runs.opens]
    rapid[head_at] = True
    x_um[head_at + 1] = runs.enter_um[runs.opens]
    x_um[burn_at] = runs.leave_um
    burns[burn_at] = True
    share = np.zeros(total, dtype=np.uint8)
    share[burn_at] = runs.share
    next_enter = np.append(runs.enter_um[1:], 0)
    x_um[burn_at + 1] = np.where(runs.closes, runs.leave_um + runs.direction * overscan_um, next_enter)
    y_um[:] = np.repeat(runs.y_um, size)
    if angle_deg:
        x_um, y_um = np.rint(rotation(angle_deg) @ np.stack([x_um, y_um])).astype(np.int64)
    if stretches.share is None:
        return Moves(x_um, y_um, burns, rapid)
    # Where one power follows another without a gap, the beam stays on.
    moves = np.ones(total, dtype=np.bool_)
    moves[burn_at + 1] = runs.closes | (next_enter != runs.leave_um)
    return Moves(x_um[moves], y_um[moves], burns[moves], rapid[moves], share=share[moves])


@dataclass(frozen=True, eq=False)
class _Runs:
    """Stretches in the order of travel. `opens` and `closes`: the first and last before and after a jump."""

    y_um: NDArray[np.int64]
    enter_um: NDArray[np.int64]
    leave_um: NDArray[np.int64]
    direction: NDArray[np.int64]
    opens: NDArray[np.bool_]
    closes: NDArray[np.bool_]
    share: NDArray[np.uint8]


def _in_travel_order(stretches: Stretches, jump_um: int, both_ways: bool) -> _Runs:
    new_row = np.diff(stretches.row, prepend=-1 if not len(stretches) else stretches.row[0] - 1) != 0
    ordinal = np.cumsum(new_row) - 1
    backwards = (ordinal % 2 == 1) & both_ways
    order = np.lexsort((np.where(backwards, -stretches.start_um, stretches.start_um), ordinal))
    back = backwards[order]
    start, end, row = stretches.start_um[order], stretches.end_um[order], ordinal[order]
    enter, leave = np.where(back, end, start), np.where(back, start, end)
    gap = np.abs(enter[1:] - leave[:-1])
    breaks = (np.diff(row) != 0) | (gap > jump_um)
    edge = np.ones(min(1, len(row)), dtype=np.bool_)
    return _Runs(
        y_um=stretches.y_um[order],
        enter_um=enter,
        leave_um=leave,
        direction=np.where(back, -1, 1).astype(np.int64),
        opens=np.concatenate([edge, breaks]),
        closes=np.concatenate([breaks, edge]),
        share=np.full(len(row), WHOLE, dtype=np.uint8) if stretches.share is None else stretches.share[order],
    )

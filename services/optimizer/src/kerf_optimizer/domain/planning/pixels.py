"""Proves pictures: what the G-code burns is painted onto pixels again and compared with what was placed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from kerf_core.errors import Internal
from kerf_optimizer.domain.machine.work import UM_PER_MM, GreyMeaning, Layer, PlacedRaster, depth_steps, power_steps

Segments = NDArray[np.int64]
Sums = NDArray[np.int64]
PIXELS_AT_ONCE = 4_000_000
"""Pixels that are painted in memory at a time."""


def check_rasters(name: str, layer: Layer, starts: Segments, ends: Segments, s: Sums) -> str:
    """Compare burning moves, from `starts` to `ends` (n, 2) in micrometres with power `s` (n,), with the pictures.

    Returns what was compared; raises Internal (READ_BACK).
    """
    middle_mm = (starts + ends) / (2 * UM_PER_MM)
    claimed = 0
    for raster in layer.rasters:
        low = np.array([raster.left_mm, raster.front_mm])
        high = low + np.array(raster.burn.shape[::-1]) * raster.pitch_mm
        inside = ((middle_mm > low) & (middle_mm < high)).all(axis=1)
        claimed += int(inside.sum())
        if not _is_painted(name, raster, layer, starts[inside], ends[inside], s[inside]):
            raise _differs(name, "the burnt pixels are not the picture's")
    if claimed != len(starts):
        raise _differs(name, "something burns outside the picture")
    what = {None: "every pixel equal", GreyMeaning.POWER: "the power of every pixel equal"}
    compared = what.get(layer.grey, "every pixel burnt as often as it is deep")
    return f"{len(layer.rasters)} picture(s) painted again from the G-code, {compared}, {layer.passes} pass(es)"


def _is_painted(name: str, raster: PlacedRaster, layer: Layer, starts: Segments, ends: Segments, s: Sums) -> bool:
    """Whether each pixel burns as it should along its row, along its column, or both, and nothing else does."""
    along_x, along_y = starts[:, 1] == ends[:, 1], starts[:, 0] == ends[:, 0]
    if not (along_x | along_y).all() or (raster.burn.any() and not len(starts)):
        return False
    # Seen with the head tilted to the right, columns are rows: (x, y) becomes (y, -x).
    right_mm = raster.left_mm + raster.burn.shape[1] * raster.pitch_mm
    tilted = raster.turned(-1, raster.front_mm, -right_mm)
    flipped = np.array([1, -1])
    ways = (
        (raster, starts[along_x], ends[along_x], s[along_x]),
        (tilted, starts[along_y][:, ::-1] * flipped, ends[along_y][:, ::-1] * flipped, s[along_y]),
    )
    return all(
        np.array_equal(painted, meant) for way in ways if len(way[1]) for painted, meant in _compared(name, layer, *way)
    )


def _compared(
    name: str, layer: Layer, raster: PlacedRaster, starts: Segments, ends: Segments, s: Sums
) -> Iterator[tuple[Sums, Sums]]:
    """Sums over the moves that pass each pixel of each scan line, and what they should be, a band of lines at a time.

    The sums of 1, s and s²: if all three are those of so many passes with one power, each pass had that power.
    """
    rows, columns = raster.burn.shape
    interval_mm = layer.interval_mm
    lines = max(1, round(rows * raster.pitch_mm / interval_mm))
    line = np.floor((starts[:, 1] / UM_PER_MM - raster.front_mm) / interval_mm).astype(np.int64)
    x_mm = np.sort(np.stack([starts[:, 0], ends[:, 0]], axis=1), axis=1) / UM_PER_MM
    column = np.rint((x_mm - raster.left_mm) / raster.pitch_mm).astype(np.int64)
    if ((line < 0) | (line >= lines)).any() or (column < 0).any() or (column > columns).any():
        raise _differs(name, "something burns outside the picture")
    order = np.argsort(line, kind="stable")
    line, column, s = line[order], column[order], s[order].astype(np.int64)
    row = np.floor((np.arange(lines) + 0.5) * interval_mm / raster.pitch_mm).astype(np.int64)
    row = rows - 1 - np.minimum(row, rows - 1)
    step = max(1, PIXELS_AT_ONCE // columns)
    for first in range(0, lines, step):
        last = min(first + step, lines)
        band = slice(*np.searchsorted(line, [first, last]).tolist())
        for meant, weight in _meant(layer, raster, row[first:last], s[band]):
            steps = np.zeros((last - first, columns + 1), dtype=np.int64)
            np.add.at(steps, (line[band] - first, column[band, 0]), weight)
            np.add.at(steps, (line[band] - first, column[band, 1]), -weight)
            yield np.cumsum(steps, axis=1)[:, :-1], meant


def _meant(layer: Layer, raster: PlacedRaster, row: NDArray[np.int64], s: Sums) -> Iterator[tuple[Sums, Sums]]:
    """Sums that each pixel of these rows should have, and what a move with power `s` adds to them."""
    once = np.ones_like(s)
    if raster.power is None or layer.grey is None:
        yield raster.burn[row].astype(np.int64) * layer.passes, once
    elif layer.grey is GreyMeaning.DEPTH:
        yield depth_steps(layer.passes)[raster.power[row]].astype(np.int64), once
    else:
        power = power_steps(layer.s_value)[raster.power[row]].astype(np.int64)
        yield (power > 0) * np.int64(layer.passes), once
        yield power * layer.passes, s
        yield power * power * layer.passes, s * s


def _differs(name: str, text: str) -> Internal:
    return Internal("READ_BACK", f"Check {name} failed, the files were thrown away: {text}.")

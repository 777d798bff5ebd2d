"""Proves pictures: what the G-code burns is painted onto pixels again and compared with what was placed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kerf_core.errors import Internal
from kerf_optimizer.domain.machine.work import UM_PER_MM, GreyMeaning, Layer, PlacedRaster, depth_steps, power_steps

Segments = NDArray[np.int64]
Sums = NDArray[np.int64]
PIXELS_AT_ONCE = 1_000_000
"""Pixels that are compared at a time."""


class PaintedRasters:
    """What burns of a layer, painted move by move onto pixels like those that were placed.

    Takes memory for the pixels, 4 bytes each, three times that and more where they have powers, and twice as much where
    the hatch is crossed; none for the moves.
    """

    def __init__(self, name: str, layer: Layer) -> None:
        self._name, self._layer = name, layer
        self._sheets = [_Sheet(name, layer, raster) for raster in layer.rasters]
        self._moves = self._claimed = 0

    def add(self, starts: Segments, ends: Segments, s: Sums) -> None:
        """Paint burning moves, from `starts` to `ends` (n, 2) in micrometres with power `s` (n,)."""
        middle_mm = (starts + ends) / (2 * UM_PER_MM)
        self._moves += len(starts)
        for sheet in self._sheets:
            inside = sheet.holds(middle_mm)
            self._claimed += int(inside.sum())
            sheet.paint(starts[inside], ends[inside], s[inside])

    def compared(self) -> str:
        """Compare with the pictures. Returns what was compared; raises Internal (READ_BACK)."""
        name, layer = self._name, self._layer
        if not all(sheet.is_right() for sheet in self._sheets):
            raise _differs(name, "the burnt pixels are not the picture's")
        if self._claimed != self._moves:
            raise _differs(name, "something burns outside the picture")
        what = {None: "every pixel equal", GreyMeaning.POWER: "the power of every pixel equal"}
        compared = what.get(layer.grey, "every pixel burnt as often as it is deep")
        return f"{len(layer.rasters)} picture(s) painted again from the G-code, {compared}, {layer.passes} pass(es)"


class _Sheet:
    """One picture: each pixel burns as it should along its row, along its column, or both, and nothing else does."""

    def __init__(self, name: str, layer: Layer, raster: PlacedRaster) -> None:
        self._raster = raster
        self._low = np.array([raster.left_mm, raster.front_mm])
        self._high = self._low + np.array(raster.burn.shape[::-1]) * raster.pitch_mm
        # Seen with the head tilted to the right, columns are rows: (x, y) becomes (y, -x).
        tilted = raster.turned(-1, raster.front_mm, -(raster.left_mm + raster.burn.shape[1] * raster.pitch_mm))
        self._ways = (_Way(name, layer, raster), _Way(name, layer, tilted))
        self._askew = False

    def holds(self, middle_mm: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which points (n, 2) lie in the picture's box, bool (n,)."""
        inside: NDArray[np.bool_] = np.all((middle_mm > self._low) & (middle_mm < self._high), axis=1)
        return inside

    def paint(self, starts: Segments, ends: Segments, s: Sums) -> None:
        """Add moves, each to the way that it runs."""
        along_x, along_y = starts[:, 1] == ends[:, 1], starts[:, 0] == ends[:, 0]
        self._askew |= not bool((along_x | along_y).all())
        tilt = np.array([1, -1])
        self._ways[0].paint(starts[along_x], ends[along_x], s[along_x])
        self._ways[1].paint(starts[along_y][:, ::-1] * tilt, ends[along_y][:, ::-1] * tilt, s[along_y])

    def is_right(self) -> bool:
        """Whether all is as it should be."""
        burns = [way for way in self._ways if way.sums]
        if self._askew or (self._raster.burn.any() and not burns):
            return False
        return all(way.is_right() for way in burns)


class _Way:
    """Sums over the moves along one way, by scan line and pixel.

    The sums of 1, s and s²: if all three are those of so many passes with one power, each pass had that power.
    """

    def __init__(self, name: str, layer: Layer, raster: PlacedRaster) -> None:
        self._name, self._layer, self._raster = name, layer, raster
        rows, self._columns = raster.burn.shape
        self._lines = max(1, round(rows * raster.pitch_mm / layer.interval_mm))
        self._has_powers = raster.power is not None and layer.grey is GreyMeaning.POWER
        self.sums: list[NDArray[np.signedinteger[Any]]] = []
        """Steps along each line, (lines, columns + 1): what begins less what ends at a pixel. None before a move."""

    def paint(self, starts: Segments, ends: Segments, s: Sums) -> None:
        """Add moves that run along x; raises Internal (READ_BACK) where one leaves the picture."""
        if not len(starts):
            return
        raster = self._raster
        line = np.floor((starts[:, 1] / UM_PER_MM - raster.front_mm) / self._layer.interval_mm).astype(np.int64)
        x_mm = np.sort(np.stack([starts[:, 0], ends[:, 0]], axis=1), axis=1) / UM_PER_MM
        column = np.rint((x_mm - raster.left_mm) / raster.pitch_mm).astype(np.int64)
        if ((line < 0) | (line >= self._lines)).any() or (column < 0).any() or (column > self._columns).any():
            raise _differs(self._name, "something burns outside the picture")
        size = (self._lines, self._columns + 1)
        if not self.sums:
            # As many as all moves at once fit into 32 bits, and so does their power; its square may not.
            kinds = ("int32", "int32", "int64") if self._has_powers else ("int32",)
            self.sums = [np.zeros(size, dtype=np.dtype(kind)) for kind in kinds]
        for steps, weight in zip(self.sums, (np.ones_like(s), s, s * s), strict=False):
            flat = steps.reshape(-1)
            np.add.at(flat, line * size[1] + column[:, 0], weight.astype(steps.dtype))
            np.subtract.at(flat, line * size[1] + column[:, 1], weight.astype(steps.dtype))

    def is_right(self) -> bool:
        """Whether all sums are what they should be."""
        raster, rows = self._raster, len(self._raster.burn)
        row = np.floor((np.arange(self._lines) + 0.5) * self._layer.interval_mm / raster.pitch_mm).astype(np.int64)
        row = rows - 1 - np.minimum(row, rows - 1)
        step = max(1, PIXELS_AT_ONCE // self._columns)
        return all(
            np.array_equal(np.cumsum(steps[band], axis=1, dtype=np.int64)[:, :-1], meant)
            for band in (slice(first, first + step) for first in range(0, self._lines, step))
            for steps, meant in zip(self.sums, _meant(self._layer, raster, row[band]), strict=True)
        )


def _meant(layer: Layer, raster: PlacedRaster, row: NDArray[np.int64]) -> Iterator[Sums]:
    """Sums that each pixel of these rows should have: of 1, and where pixels have powers of s and s²."""
    if raster.power is None or layer.grey is None:
        yield raster.burn[row].astype(np.int64) * layer.passes
    elif layer.grey is GreyMeaning.DEPTH:
        yield depth_steps(layer.passes)[raster.power[row]].astype(np.int64)
    else:
        power = power_steps(layer.s_value)[raster.power[row]].astype(np.int64)
        yield (power > 0) * np.int64(layer.passes)
        yield power * layer.passes
        yield power * power * layer.passes


def _differs(name: str, text: str) -> Internal:
    return Internal("READ_BACK", f"Check {name} failed, the files were thrown away: {text}.")

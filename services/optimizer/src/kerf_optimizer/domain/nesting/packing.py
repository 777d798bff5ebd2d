"""Places shapes made of cells on a sheet of cells, each where it comes nearest to the front: no-fit rasters.

Where a shape may lie is kept for each shape. Whatever is placed takes away from that the places at which the two would
share a cell: their no-fit raster, the Minkowski sum of one and the other reflected, computed once for each pair by FFT.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft2, next_fast_len, rfft2

from kerf_core.errors import InvalidArgument

Cells = NDArray[np.bool_]
_FFT_COST = 40
"""Cells that may be compared in the time that one cell of a no-fit raster takes to make."""
_KEPT_PAIRS = 128
_HALF = 0.5


@dataclass(frozen=True, eq=False)
class Piece:
    """What is to be placed `copies` times: the same thing turned in some ways, each bool (rows, columns)."""

    turned: tuple[Cells, ...]
    copies: int


@dataclass(frozen=True)
class Place:
    """Where a copy lies: the way it is turned, and the row and column of its mask's first cell."""

    piece: int
    turn: int
    row: int
    column: int


def pack(
    pieces: Sequence[Piece], rows: int, columns: int, max_work: int, check_cancelled: Callable[[], None]
) -> list[Place]:
    """Places of all copies that fit; no two share a cell. Pieces are placed in their order, largest first is best.

    Each copy takes the way of being turned whose far edge comes nearest to row 0, then to column 0. A copy that does
    not fit ends its piece, since no other copy of it would. Deterministic. Raises InvalidArgument (NESTING_TOO_LARGE)
    where it would compare more than `max_work` cells; whatever `check_cancelled` raises.
    """
    left = max_work
    shapes = [(number, turn, mask) for number, piece in enumerate(pieces) for turn, mask in enumerate(piece.turned)]
    free: dict[tuple[int, int], Cells] = {}
    for number, turn, mask in shapes:
        height, width = rows - mask.shape[0] + 1, columns - mask.shape[1] + 1
        if height > 0 and width > 0:
            free[number, turn] = np.ones((height, width), dtype=np.bool_)

    @lru_cache(_KEPT_PAIRS)
    def no_fit(placed: tuple[int, int], other: tuple[int, int]) -> Cells:
        nonlocal left
        made = _no_fit(pieces[placed[0]].turned[placed[1]], pieces[other[0]].turned[other[1]])
        left -= _FFT_COST * made.size
        return made

    found: list[Place] = []
    for number, piece in enumerate(pieces):
        for _ in range(piece.copies):
            check_cancelled()
            place = _nearest(number, piece, free)
            if place is None:
                break
            found.append(place)
            for key, places in free.items():
                if key[0] >= number:  # earlier pieces are done
                    taken = no_fit((number, place.turn), key)
                    left -= taken.size
                    _take(places, taken, place, pieces[key[0]].turned[key[1]].shape)
                if left < 0:
                    text = "The parts are too many or too large for one nesting; take fewer, or wider rotation steps."
                    raise InvalidArgument("NESTING_TOO_LARGE", text)
    return found


def _nearest(number: int, piece: Piece, free: dict[tuple[int, int], Cells]) -> Place | None:
    best: tuple[int, int, int] | None = None
    for turn, mask in enumerate(piece.turned):
        places = free.get((number, turn))
        if places is None or not places.any():
            continue
        row, column = divmod(int(places.argmax()), places.shape[1])
        candidate = (row + mask.shape[0], column, turn)
        best = candidate if best is None else min(best, candidate)
    if best is None:
        return None
    far, column, turn = best
    return Place(number, turn, far - piece.turned[turn].shape[0], column)


def _no_fit(placed: Cells, other: Cells) -> Cells:
    """Where `other` would meet `placed`: its cell (i, j) is an offset of i − rows + 1, j − columns + 1 of the other."""
    rows, columns = (one + two - 1 for one, two in zip(placed.shape, other.shape, strict=True))
    room = (next_fast_len(rows, real=True), next_fast_len(columns, real=True))
    spectrum = rfft2(placed.astype(np.float64), room) * rfft2(other[::-1, ::-1].astype(np.float64), room)
    meets: Cells = irfft2(spectrum, room)[:rows, :columns] > _HALF
    return meets


def _take(places: Cells, taken: Cells, place: Place, shape: tuple[int, ...]) -> None:
    """Take away the places at which something of this shape would meet what was placed."""
    top, left = place.row - shape[0] + 1, place.column - shape[1] + 1
    low_row, low_column = max(top, 0), max(left, 0)
    high_row, high_column = min(top + taken.shape[0], places.shape[0]), min(left + taken.shape[1], places.shape[1])
    if low_row < high_row and low_column < high_column:
        part = taken[low_row - top : high_row - top, low_column - left : high_column - left]
        places[low_row:high_row, low_column:high_column] &= ~part

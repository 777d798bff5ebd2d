"""Dithering that inverts the burn: each decision is made on what the spot and the material will make of it.

Two steps. Error diffusion in which a burning pixel counts for all the tone that it adds, its neighbours' included
(model-based halftoning, Pappas and Neuhoff 1991), a row at a time and for an eye with a Gaussian blur: `trellis`. Then
a pass along the rows that moves the ends of runs wherever this brings the simulated burn, seen by that eye, closer to
the picture (direct binary search, Analoui and Allebach 1992).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from kerf_optimizer.domain.burn_model.model import BurnModel, patterns
from kerf_optimizer.domain.burn_model.trellis import LONGEST_RUN_PX, diffuse_rows
from kerf_optimizer.domain.compiled import compiled
from kerf_optimizer.domain.error_diffusion import ErrorFilter, diffuse_gains

_EYE_SIGMA_PX = 1.7
"""Sharper than the eye that results are judged by (2 px): what this one does not see, that one does not either."""
_REACH = 7
_MOST_PX_TO_SEARCH = 1 << 23
"""Larger pictures do without the second step: it would take them past a second, and gains a thousandth of SSIM."""
_LONGEST_SHIFTED_PX = 8
_BEGIN_MOVES = (1, 0, 1, -1)
"""By how much the first pixel of a run moves with each of the four moves."""
RUN_FILTER = ErrorFilter(4096, (1664, 425), (698, 1103, 1059, 535, -187), (-433, -162, -54, -170, -382))
"""For runs that a trellis would be too slow for: the best causal predictor of a process that has the spectrum of an eye
of 2 px plus white noise of 10 %, with a sum of 1: `test_optimizer_burn.py` derives it again."""


def burn_dither(
    gray: NDArray[np.uint8],
    model: BurnModel,
    shortest_run_px: int = 0,
    cancel: Callable[[], None] = lambda: None,
) -> NDArray[np.bool_]:
    """What to burn so that the simulated burn has the picture's tones: bool of the same shape.

    White stays untouched and black is full burn; `255 − grey` is the tone wanted between. No run along a row is shorter
    than `shortest_run_px` (0 = as long as the spot), except in a picture that is narrower. `cancel` is called between
    steps and may raise.
    """
    run_px = min(shortest_run_px or model.run_px, gray.shape[1])
    if run_px <= LONGEST_RUN_PX:
        burn = diffuse_rows(gray, model, run_px, cancel)
    else:
        burn = diffuse_gains(gray, RUN_FILTER, model.gains, serpentine=True, run_px=run_px)
    if burn.size > _MOST_PX_TO_SEARCH:
        return burn
    cancel()
    around = patterns(burn)
    eye = _eye()
    seen = np.zeros((gray.shape[0] + 2 * _REACH, gray.shape[1] + 2 * _REACH), dtype=np.int32)
    _see(np.ascontiguousarray(gray), around, model.tones, eye, seen)
    cancel()
    _move_ends(burn, around, model.tones, eye, seen, run_px)
    return burn


def _eye() -> NDArray[np.int64]:
    """The autocorrelation of the eye's Gaussian along one axis, in 32-nds of its peak: int64 (2 · _REACH + 1,)."""
    offsets = np.arange(-_REACH, _REACH + 1)
    return np.asarray(np.rint(32 * np.exp(-(offsets**2) / (4 * _EYE_SIGMA_PX**2))), dtype=np.int64)


@compiled("void(Array(uint8, 2, 'C', readonly=True), uint16[:, ::1], int64[::1], int64[::1], int32[:, ::1])")
def _see(
    gray: NDArray[np.uint8],
    around: NDArray[np.uint16],
    tones: NDArray[np.int64],
    eye: NDArray[np.int64],
    seen: NDArray[np.int32],
) -> None:
    """Burnt less wanted tone, as the eye sees it, into `seen`, which is 0 and as much larger as the eye reaches."""
    rows, columns = gray.shape
    reach = len(eye) // 2
    error = np.zeros(columns + 2 * reach, dtype=np.int32)
    smooth = np.zeros(columns, dtype=np.int32)
    for y in range(rows):
        for x in range(columns):
            error[x + reach] = tones[around[y + 1, x + 1]] - ((255 - np.int64(gray[y, x])) << 6)
        smooth[:] = 0
        for k in range(len(eye)):
            weight = np.int32(eye[k])
            for x in range(columns):
                smooth[x] += weight * error[x + k]
        for k in range(len(eye)):
            weight = np.int32(eye[k])
            for x in range(columns):
                seen[y + k, x + reach] += weight * smooth[x]


@compiled("int64(uint16[:, ::1], int64[::1], int64, int64)")
def _flip(around: NDArray[np.uint16], tones: NDArray[np.int64], y: int, x: int) -> int:
    """Turn a pixel over in the patterns of its neighbours; what that adds to their tones."""
    added = 0
    for row in range(3):
        for column in range(3):
            old = int(around[y + 2 - row, x + 2 - column])
            new = old ^ (1 << (3 * row + column))
            around[y + 2 - row, x + 2 - column] = new
            added += int(tones[new] - tones[old])
    return added


@compiled("int64(uint16[:, ::1], int64[::1], int64[::1], int32[:, ::1], int64, int64, int64)")
def _cost(
    around: NDArray[np.uint16],
    tones: NDArray[np.int64],
    eye: NDArray[np.int64],
    seen: NDArray[np.int32],
    y: int,
    first: int,
    second: int,
) -> int:
    """What turning over one or two (`second` ≥ 0) pixels of row y would add to the squared error that the eye sees."""
    reach = len(eye) // 2
    tone = _flip(around, tones, y, first)
    peak = int(eye[reach])
    cost = 2 * tone * int(seen[y + reach, first + reach]) + tone * tone * peak * peak
    if second >= 0:
        other = _flip(around, tones, y, second)
        cost += 2 * other * int(seen[y + reach, second + reach]) + other * other * peak * peak
        apart = abs(first - second)
        if apart <= reach:
            cost += 2 * tone * other * peak * int(eye[reach + apart])
        _flip(around, tones, y, second)
    _flip(around, tones, y, first)
    return cost


@compiled("void(boolean[:, ::1], uint16[:, ::1], int64[::1], int64[::1], int32[:, ::1], int64, int64)")
def _turn(
    burn: NDArray[np.bool_],
    around: NDArray[np.uint16],
    tones: NDArray[np.int64],
    eye: NDArray[np.int64],
    seen: NDArray[np.int32],
    y: int,
    x: int,
) -> None:
    """Turn a pixel over for good."""
    burn[y, x] = not burn[y, x]
    tone = _flip(around, tones, y, x)
    for i in range(len(eye)):
        part = np.int32(tone * eye[i])
        for j in range(len(eye)):
            seen[y + i, x + j] += part * np.int32(eye[j])


@compiled("int64(boolean[:, ::1], int64, int64)")
def _run_end(burn: NDArray[np.bool_], y: int, x: int) -> int:
    """The column behind the run that pixel x of row y belongs to."""
    end = x + 1
    while end < burn.shape[1] and burn[y, end] == burn[y, x]:
        end += 1
    return end


@compiled("void(int64[:, ::1], int64, int64, int64, int64, int64, boolean, int64)")
def _offer(
    offers: NDArray[np.int64], before: int, begin: int, end: int, after: int, columns: int, burnt: bool, run_px: int
) -> None:
    """The moves that a run from `begin` to `end` may make, as the pixels that each turns over; −1 = none.

    They are: lose the first pixel, lose the last, shift right, shift left. Neither the run nor its neighbours, which
    begin at `before` and end at `after`, get shorter than runs of their colour may be; ends at the border stay.
    """
    offers[:] = -1
    least, least_beside = (run_px, 1) if burnt else (1, run_px)
    inside = begin > 0 and end < columns
    if end - begin > least and begin > 0:
        offers[0, 0] = begin
    if end - begin > least and end < columns:
        offers[1, 0] = end - 1
    if inside and end - begin <= _LONGEST_SHIFTED_PX and after - end > least_beside:
        offers[2, 0], offers[2, 1] = end, begin
    if inside and end - begin <= _LONGEST_SHIFTED_PX and begin - before > least_beside:
        offers[3, 0], offers[3, 1] = begin - 1, end - 1


@compiled("int64(boolean[:, ::1], uint16[:, ::1], int64[::1], int64[::1], int32[:, ::1], int64)")
def _move_ends(
    burn: NDArray[np.bool_],
    around: NDArray[np.uint16],
    tones: NDArray[np.int64],
    eye: NDArray[np.int64],
    seen: NDArray[np.int32],
    run_px: int,
) -> int:
    """One pass: every run of either colour makes the move that lowers the cost most, if one does; the moves made."""
    columns, moves = burn.shape[1], 0
    offers = np.empty((4, 2), dtype=np.int64)
    for y in range(burn.shape[0]):
        before, begin = 0, 0
        while begin < columns:
            end = _run_end(burn, y, begin)
            after = _run_end(burn, y, end) if end < columns else end
            _offer(offers, before, begin, end, after, columns, burn[y, begin], run_px)
            best, chosen = 0, -1
            for move in range(4):
                if offers[move, 0] >= 0:
                    cost = _cost(around, tones, eye, seen, y, offers[move, 0], offers[move, 1])
                    if cost < best:
                        best, chosen = cost, move
            if chosen >= 0:
                moves += 1
                for x in offers[chosen]:
                    if x >= 0:
                        _turn(burn, around, tones, eye, seen, y, x)
                begin += _BEGIN_MOVES[chosen]
                end = _run_end(burn, y, begin)
            before, begin = begin, end
    return moves

"""Error diffusion that decides on a whole row at a time: the best row of runs, not the best next pixel.

What an eye sees of all errors is the sum of the squares of what is new in each of them: an error less what a predictor
for that eye would have foreseen from the errors before it. So a row is good where that sum is small, and the best row
is the shortest path through a trellis whose states are the last pixels: Viterbi's algorithm with one survivor for each
state, as in trellis noise shaping (Kato 2002). A run that has to be as long as the spot is one decision here, taken
with what follows in view; taken pixel by pixel it overloads filters this sharp.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from kerf_optimizer.domain.burn_model.model import BurnModel
from kerf_optimizer.domain.compiled import compiled
from kerf_optimizer.domain.error_diffusion import TONE_ONE

AHEAD = 5
"""Errors of the row itself that the predictor reads."""
ROWS_ABOVE = 4
SIDE = 5
"""Errors to each side that it reads in the rows above."""
_EYE_SIGMA_PX = 2.0
SHARP_NOISE, CALM_NOISE = 0.02, 0.1
"""White noise beside the spectrum of the eye, as a part of it: less is a sharper filter that asks more of the dots."""
_SHARP_UP_TO, _CALM_FROM = 192, 224
"""Dots that are far apart, as in light tones, overload the sharp filter: between these greys the other takes over."""
LONGEST_RUN_PX = 8
"""The trellis has a state for each pixel of a run that must go on: longer ones cost too much."""
_MOST = 510.0
"""Errors are clipped at twice full burn."""
_ROWS_AT_A_TIME = 256
_FAR = 1e30
"""Of a state that cannot be."""


@dataclass(frozen=True)
class Predictor:
    """Weights of the errors before, with a sum of 1, float32.

    `ahead` (AHEAD,) are those of the row itself, the nearest first; `above` (ROWS_ABOVE, 2 · SIDE + 1) those of the
    rows before, the nearest first, from left to right.
    """

    ahead: NDArray[np.float32]
    above: NDArray[np.float32]


@cache
def predictor(noise: float) -> Predictor:
    """The best causal predictor of a process that has the spectrum of the eye plus white noise."""
    places = [(0, -k) for k in range(1, AHEAD + 1)]
    places += [(row, side) for row in range(1, ROWS_ABOVE + 1) for side in range(-SIDE, SIDE + 1)]
    at = np.array(places, dtype=np.float64)
    apart = ((at[:, None] - at[None]) ** 2).sum(axis=2)
    system = np.ones((len(at) + 1, len(at) + 1))
    system[-1, -1] = 0
    system[:-1, :-1] = np.exp(-apart / (4 * _EYE_SIGMA_PX**2)) + noise * np.eye(len(at))
    wanted = np.append(np.exp(-(at**2).sum(axis=1) / (4 * _EYE_SIGMA_PX**2)), 1.0)
    weights = np.linalg.solve(system, wanted)[:-1].astype(np.float32)
    return Predictor(weights[:AHEAD], np.ascontiguousarray(weights[AHEAD:].reshape(ROWS_ABOVE, -1)))


def _leads(run_px: int) -> NDArray[np.int64]:
    """The two states that lead to each state of the trellis, the same one twice where there is one; int64 (states, 2).

    States are 0 = two gaps or more, 1 = one gap, 2, 3 … = the first, second … pixel of a run; the last state is any
    later pixel too. Gaps follow gaps, or runs that are long enough; runs begin after gaps.
    """
    last = max(run_px, 2) + 1
    ends = (2, 3) if run_px == 1 else (last, last)
    going_on = [(state - 1, state - 1) for state in range(3, last)]
    return np.array([(0, 1), ends, (0, 1), *going_on, (last - 1, last)], dtype=np.int64)


def diffuse_rows(
    gray: NDArray[np.uint8], model: BurnModel, run_px: int, cancel: Callable[[], None]
) -> NDArray[np.bool_]:
    """Dither uint8 grey (0 = full burn); bool of the same shape. No run along a row is shorter than `run_px`.

    `run_px` is at most the columns and LONGEST_RUN_PX. `cancel` is called every few hundred rows and may raise.
    """
    sharp, calm = predictor(SHARP_NOISE), predictor(CALM_NOISE)
    greys = np.arange(256, dtype=np.float32)
    calmness = np.clip((greys - _SHARP_UP_TO) / (_CALM_FROM - _SHARP_UP_TO), 0, 1).astype(np.float32)
    ahead = sharp.ahead + calmness[:, None] * (calm.ahead - sharp.ahead)
    # For each pattern above, what a pixel adds after two gaps, after one, and as the second or a later one of a run.
    gains = (model.gains * (255 / TONE_ONE)).astype(np.float32).reshape(4, 1024)[[0, 2, 1, 3]].T
    burn = np.empty(gray.shape, dtype=np.bool_)
    errors = np.zeros((ROWS_ABOVE, gray.shape[1] + 2 * SIDE), dtype=np.float32)
    gray, ahead, gains = np.ascontiguousarray(gray), np.ascontiguousarray(ahead), np.ascontiguousarray(gains)
    leads = _leads(run_px)
    for first in range(0, len(gray), _ROWS_AT_A_TIME):
        cancel()
        until = min(first + _ROWS_AT_A_TIME, len(gray))
        _diffuse_rows(gray, ahead, sharp.above, calm.above, calmness, gains, leads, run_px, first, until, errors, burn)
    return burn


@compiled("void(float32[::1], float32[:, ::1], float32[:, ::1], int64)")
def _gather(owed: NDArray[np.float32], above: NDArray[np.float32], errors: NDArray[np.float32], y: int) -> None:
    """What the predictor expects at each pixel of row y from the rows above, in loops that vectorise."""
    owed[:] = 0
    for row in range(above.shape[0]):
        ring = (y - 1 - row) % errors.shape[0]
        for k in range(above.shape[1]):
            weight = above[row, k]
            for x in range(len(owed)):
                owed[x] += weight * errors[ring, x + k]


@compiled("void(int16[::1], boolean[:, ::1], int64)")
def _note_above(codes: NDArray[np.int16], burn: NDArray[np.bool_], y: int) -> None:
    """Go on from the patterns of the rows above y − 1 to those above y: bits as in `BurnModel.gains`."""
    columns = len(codes)
    for x in range(columns):
        codes[x] = codes[x] >> 5
    for k in range(5):
        shift = np.int16(5 + k)
        for x in range(max(0, k - 2), min(columns, columns + k - 2)):
            codes[x] |= np.int16(burn[y - 1, x + 2 - k]) << shift


@compiled(
    "int64(Array(uint8, 1, 'C', readonly=True), float32[:, ::1], float32[::1], int16[::1], float32[:, ::1],"
    " int64[:, ::1], int64, float32[:, ::1], uint8[:, ::1])"
)
def _best_path(
    gray: NDArray[np.uint8],
    ahead: NDArray[np.float32],
    owed: NDArray[np.float32],
    codes: NDArray[np.int16],
    gains: NDArray[np.float32],
    leads: NDArray[np.int64],
    run_px: int,
    kept: NDArray[np.float32],
    came: NDArray[np.uint8],
) -> int:
    """Walk through the trellis of a row: the state that its best path ends in.

    `kept` gets the error of each pixel if the best path to a state is taken, `came` the state before.
    """
    columns, states = kept.shape
    cost, spent = np.full(states, _FAR), np.empty(states)
    # What the predictor expects of the next pixels, from the errors that led to each state.
    expected, coming = np.zeros((AHEAD + 1, states), dtype=np.float32), np.zeros((AHEAD + 1, states), dtype=np.float32)
    error = np.empty((2, states), dtype=np.float32)
    cost[0] = 0
    for x in range(columns):
        weights, gain = ahead[gray[x]], gains[codes[x]]
        for s in range(states):
            value = owed[x] + expected[0, s]
            error[0, s] = min(max(value, -_MOST), _MOST)
            error[1, s] = min(max(value - gain[min(s, 3)], -_MOST), _MOST)
        for s in range(states):
            ink = 1 if s >= 2 else 0
            first, second = leads[s, 0], leads[s, 1]
            one = cost[first] + np.float64(error[ink, first]) * error[ink, first]
            other = cost[second] + np.float64(error[ink, second]) * error[ink, second]
            before = first if one <= other else second
            spent[s] = min(one, other)
            kept[x, s], came[x, s] = error[ink, before], before
            for k in range(AHEAD):
                coming[k, s] = expected[k + 1, before] + weights[k] * error[ink, before]
        if columns - x < run_px:
            # A run begins only where it can be as long as it has to be.
            spent[2] = _FAR
        cost, spent = spent, cost
        expected, coming = coming, expected
    return int(np.argmin(cost))


@compiled(
    "void(Array(uint8, 2, 'C', readonly=True), float32[:, ::1], float32[:, ::1], float32[:, ::1], float32[::1],"
    " float32[:, ::1], int64[:, ::1], int64, int64, int64, float32[:, ::1], boolean[:, ::1])"
)
def _diffuse_rows(
    gray: NDArray[np.uint8],
    ahead: NDArray[np.float32],
    sharp: NDArray[np.float32],
    calm: NDArray[np.float32],
    calmness: NDArray[np.float32],
    gains: NDArray[np.float32],
    leads: NDArray[np.int64],
    run_px: int,
    first: int,
    until: int,
    errors: NDArray[np.float32],
    burn: NDArray[np.bool_],
) -> None:
    """Rows `first` to `until`, each from left to right: in serpentines the error would not get the spectrum wanted.

    `errors` are those of the last rows, each in the place of its number modulo their count, with a border of nothing.
    """
    columns = gray.shape[1]
    owed = np.empty(columns, dtype=np.float32)
    owed_calm = np.empty(columns, dtype=np.float32)
    codes = np.zeros(columns, dtype=np.int16)
    for y in range(max(1, first - 1), first):
        _note_above(codes, burn, y)
    kept = np.empty((columns, len(leads)), dtype=np.float32)
    came = np.empty((columns, len(leads)), dtype=np.uint8)
    for y in range(first, until):
        _gather(owed, sharp, errors, y)
        _gather(owed_calm, calm, errors, y)
        if y > 0:
            _note_above(codes, burn, y)
        for x in range(columns):
            share = calmness[gray[y, x]]
            owed[x] += share * (owed_calm[x] - owed[x]) + (255 - gray[y, x])
        state = _best_path(gray[y], ahead, owed, codes, gains, leads, run_px, kept, came)
        for x in range(columns - 1, -1, -1):
            burn[y, x] = state >= 2
            errors[y % ROWS_ABOVE, x + SIDE] = kept[x, state]
            state = int(came[x, state])

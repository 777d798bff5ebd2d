"""Lines of G-code for the moves of a toolpath, as machine code: ten million of them take a second.

Coordinates are whole micrometres and powers whole steps, so that no number is ever rounded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kerf_core.errors import Internal
from kerf_optimizer.domain.compiled import compiled
from kerf_optimizer.domain.machine.work import Toolpath

LINES_AT_ONCE = 1 << 16
"""Lines that are held besides the file itself."""
_LONGEST_LINE = 120
"""A G word, and six words of a letter, a sign, 12 digits, a point and a space."""
_TOO_LARGE = 10**12
Ints = NDArray[np.int64]
Text = NDArray[np.uint8]


@dataclass(frozen=True)
class LineStyle:
    """`own_motion`: each move says G0 to G3. `s_decimals`: digits behind the point of S; its last one is a step."""

    own_motion: bool
    s_decimals: int


def move_lines(path: Toolpath, style: LineStyle, begin: int, end: int) -> Iterator[bytes]:
    """The lines of the moves `begin` to `end`, newlines included, in pieces.

    A move that continues a straight one says only what it changes.
    """
    text = np.empty(min(end - begin, LINES_AT_ONCE) * _LONGEST_LINE, dtype=np.uint8)
    for first in range(begin, end, LINES_AT_ONCE):
        last = min(first + LINES_AT_ONCE, end)
        # One move more than there are lines: the one before the first, which the first may repeat.
        moves, before = _moves(path, max(first - 1, 0), last), min(first, 1)
        used = _write(moves, before, style.own_motion, style.s_decimals, text)
        yield text[:used].tobytes()


def _moves(path: Toolpath, begin: int, end: int) -> Ints:
    """X, Y, I, J, S, F and the G word of each move, int64 (n, 7)."""
    moves = np.zeros((end - begin, 7), dtype=np.int64)
    moves[:, 0], moves[:, 1] = path.x_um[begin:end], path.y_um[begin:end]
    if path.i_um is not None and path.j_um is not None:
        moves[:, 2], moves[:, 3] = path.i_um[begin:end], path.j_um[begin:end]
    moves[:, 4], moves[:, 5] = path.s[begin:end], path.feed_mm_per_min[begin:end]
    turn = np.zeros(end - begin, dtype=np.int8) if path.turn is None else path.turn[begin:end]
    moves[:, 6] = np.where(path.rapid[begin:end], 0, np.where(turn < 0, 2, np.where(turn > 0, 3, 1)))
    if np.abs(moves).max(initial=0) >= _TOO_LARGE:
        raise Internal("TOOLPATH_NUMBER", "A move of the toolpath lies farther away than any bed is wide.")
    return moves


@compiled("int64(uint8[::1], int64, int64, int64, int64)")
def _word(text: Text, at: int, letter: int, value: int, decimals: int) -> int:
    """Write the letter, the value, which counts units of the last digit, and a space; where the next word goes."""
    text[at] = letter
    at += 1
    if value < 0:
        text[at] = 45
        at += 1
    # Unsigned: a division by ten is a multiplication then, and there are two hundred million of them.
    rest, ten = np.uint64(abs(value)), np.uint64(10)
    digits, power = 1, ten
    while digits <= decimals or power <= rest:
        digits += 1
        power *= ten
    end = place = at + digits + (1 if decimals else 0)
    for digit in range(digits):
        if decimals and digit == decimals:
            place -= 1
            text[place] = 46
        place -= 1
        tens = rest // ten
        text[place] = np.uint64(48) + rest - tens * ten
        rest = tens
    text[end] = 32
    return end + 1


@compiled("int64(int64[:, ::1], int64, boolean, int64, uint8[::1])")
def _write(moves: Ints, before: int, own_motion: bool, s_decimals: int, text: Text) -> int:
    """Write the lines of all moves but the first `before`; the bytes used."""
    at = 0
    for k in range(before, len(moves)):
        motion = moves[k, 6]
        whole = motion != 1 or k == 0 or moves[k - 1, 6] != 1
        if whole or own_motion:
            at = _word(text, at, 71, motion, 0)
        y_moves = whole or moves[k, 1] != moves[k - 1, 1]
        # A controller moves only where an axis is named.
        if whole or not y_moves or moves[k, 0] != moves[k - 1, 0]:
            at = _word(text, at, 88, moves[k, 0], 3)
        if y_moves:
            at = _word(text, at, 89, moves[k, 1], 3)
        if motion > 1:
            at = _word(text, at, 73, moves[k, 2], 3)
            at = _word(text, at, 74, moves[k, 3], 3)
        if whole or moves[k, 4] != moves[k - 1, 4]:
            at = _word(text, at, 83, moves[k, 4], s_decimals)
        if motion > 0 and (whole or moves[k, 5] != moves[k - 1, 5]):
            at = _word(text, at, 70, moves[k, 5], 0)
        text[at - 1] = 10  # in place of the last word's space
    return at

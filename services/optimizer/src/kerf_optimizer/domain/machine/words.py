"""Splits G-code into words, strictly: a line is letters with numbers, or it is malformed and none of it is read.

Machine code, one pass over the bytes: a file of a hundred megabytes takes a second, and a hostile one no longer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kerf_optimizer.domain.compiled import compiled

_EXACT_DIGITS = 15
"""So many digits are a whole number of a float64, and so is each power of ten that they may be divided by."""
Text = NDArray[np.uint8]
Ints = NDArray[np.int64]
_POWERS: NDArray[np.float64] = np.power(10.0, np.arange(_EXACT_DIGITS + 1), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Words:
    """`line_starts` int64 (lines,); of each word `line` int64, `letter` uint8 and `value` float64.

    `malformed`, `inline`: 0-based lines that are no words, and those with a bare I behind M3, M4 or M5.
    """

    line_starts: Ints
    line: Ints
    letter: Text
    value: NDArray[np.float64]
    malformed: Ints
    inline: Ints


def split_words(text: bytes, *, parentheses: bool, inline: bool) -> Words:
    """All words of a text. `parentheses`: comments may stand in them; `inline`: a bare I is allowed. Never fails."""
    # An empty text too is one line.
    raw = np.frombuffer(text or b"\n", dtype=np.uint8)
    lines, letters, long = _count(raw)
    starts, state = np.empty(lines, dtype=np.int64), np.zeros((2, lines), dtype=np.bool_)
    line, letter = np.empty(letters, dtype=np.int64), np.empty(letters, dtype=np.uint8)
    value, longs = np.empty(letters, dtype=np.float64), np.empty((long, 3), dtype=np.int64)
    words, found = _split(raw, parentheses, inline, (starts, line, letter), value, _POWERS, state, longs)
    for word, begin, end in longs[:found].tolist():
        value[word] = float(text[begin:end])
    malformed, bare = np.flatnonzero(state[0]), np.flatnonzero(state[1])
    return Words(starts, line[:words], letter[:words], value[:words], malformed, bare)


@compiled("UniTuple(int64, 3)(Array(uint8, 1, 'C', readonly=True))")
def _count(raw: Text) -> tuple[int, int, int]:
    """Lines, and the most words and the most long numbers that they can hold."""
    lines = letters = digits = 0
    for code in raw:
        lines += code == 10
        letters += 65 <= code <= 90
        digits += 48 <= code <= 57
    return lines + (raw[-1] != 10), letters, digits // _EXACT_DIGITS


@compiled("int64(Array(uint8, 1, 'C', readonly=True), int64, int64, boolean)")
def _blank_end(raw: Text, at: int, end: int, parentheses: bool) -> int:
    """Where the space, the comment or the line's end that begins here ends; `at` = none begins here."""
    if raw[at] == 32 or (raw[at] == 13 and at + 1 == end):
        return at + 1
    if raw[at] == 59:
        return end
    if raw[at] != 40 or not parentheses:
        return at
    for place in range(at + 1, end):
        if raw[place] == 41:
            return place + 1
        if raw[place] == 40:
            return at
    return at


@compiled("boolean(Array(uint8, 1, 'C', readonly=True), int64, int64, int64, boolean)")
def _is_bare_i(raw: Text, begin: int, at: int, end: int, parentheses: bool) -> bool:
    """Whether an I without a number stands here, one space behind M3, M4 or M5."""
    if at - begin < 3 or raw[at] != 73 or raw[at - 1] != 32 or raw[at - 3] != 77 or not 51 <= raw[at - 2] <= 53:
        return False
    if at - begin > 3:
        before = raw[at - 4]
        if 48 <= before <= 57 or 65 <= before <= 90 or 97 <= before <= 122 or before == 95:
            return False
    after = at + 1
    return after == end or _blank_end(raw, after, end, parentheses) > after


@compiled(
    "Tuple((int64, float64, boolean))(Array(uint8, 1, 'C', readonly=True), int64, int64, "
    "Array(float64, 1, 'C', readonly=True))"
)
def _number(raw: Text, at: int, end: int, powers: NDArray[np.float64]) -> tuple[int, float, bool]:
    """Where the number that begins here ends (−1 = none does), its value, and whether it is too long to be exact."""
    negative = at < end and raw[at] == 45
    if at < end and (raw[at] == 43 or raw[at] == 45):
        at += 1
    mantissa = np.int64(0)
    digits = behind = 0
    point = False
    while at < end and (48 <= raw[at] <= 57 or (raw[at] == 46 and not point)):
        if raw[at] == 46:
            point = True
        else:
            digits += 1
            behind += point
            if digits <= len(powers) - 1:
                mantissa = mantissa * 10 + (np.int64(raw[at]) - 48)
        at += 1
    if digits == 0:
        return -1, 0.0, False
    if digits > len(powers) - 1:
        return at, 0.0, True
    value = np.float64(mantissa) / powers[behind]
    return at, -value if negative else value, False


@compiled(
    "UniTuple(int64, 2)(Array(uint8, 1, 'C', readonly=True), boolean, boolean, "
    "Tuple((int64[::1], int64[::1], uint8[::1])), float64[::1], Array(float64, 1, 'C', readonly=True), "
    "boolean[:, ::1], int64[:, ::1])"
)
def _split(
    raw: Text,
    parentheses: bool,
    inline: bool,
    out: tuple[Ints, Ints, Text],
    value: NDArray[np.float64],
    powers: NDArray[np.float64],
    state: NDArray[np.bool_],
    longs: Ints,
) -> tuple[int, int]:
    """Fill all arrays; how many words and long numbers there are. `longs` holds a word and its number's place."""
    starts, line, letter = out
    words = found = begin = 0
    for number in range(len(starts)):
        starts[number] = begin
        end = begin
        while end < len(raw) and raw[end] != 10:
            end += 1
        first, first_long, at = words, found, begin
        while at < end:
            code = raw[at]
            after = _blank_end(raw, at, end, parentheses)
            if after > at:
                at = after
            elif inline and _is_bare_i(raw, begin, at, end, parentheses):
                state[1, number] = True
                at += 1
            else:
                after, result, long = -1, 0.0, False
                if 65 <= code <= 90:
                    after, result, long = _number(raw, at + 1, end, powers)
                if after < 0:
                    # Nothing of the line counts.
                    state[0, number] = True
                    words, found, at = first, first_long, end
                else:
                    if long:
                        longs[found, 0], longs[found, 1], longs[found, 2] = words, at + 1, after
                        found += 1
                    line[words], letter[words], value[words] = number, code, result
                    words, at = words + 1, after
        begin = end + 1
    return words, found


@compiled(
    "void(Array(int64, 1, 'C', readonly=True), Array(uint8, 1, 'C', readonly=True), "
    "Array(float64, 1, 'C', readonly=True), int64, Array(float64, 1, 'C', readonly=True), float64[::1])"
)
def fill_in_force(
    line: Ints,
    letter: Text,
    value: NDArray[np.float64],
    wanted: int,
    allowed: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """The value of the last `wanted` word up to each line, into `out`, which holds the one before the first line.

    `allowed` says which values count; none = all.
    """
    last, place = out[0], 0
    for k in range(len(line)):
        if letter[k] != wanted:
            continue
        counts = len(allowed) == 0
        for one in allowed:
            counts = counts or value[k] == one
        if counts:
            for row in range(place, line[k]):
                out[row] = last
            last, place = value[k], line[k]
    for row in range(place, len(out)):
        out[row] = last

"""Lines of G-code as machine code writes and splits them, against plain formatting and plain patterns."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerf_core.errors import Internal
from kerf_optimizer.domain.machine import gcode_lines
from kerf_optimizer.domain.machine.gcode_lines import LineStyle, move_lines
from kerf_optimizer.domain.machine.reader import read_program
from kerf_optimizer.domain.machine.words import split_words
from kerf_optimizer.domain.machine.work import Toolpath
from kerf_optimizer.domain.presets import Dialect

Move = tuple[int, int, int, int, int, int, int]
MOVES = st.lists(
    st.tuples(
        st.sampled_from([0, 1, -1, 999, 1000, -123_456, 400_000, 10**11]),
        st.sampled_from([0, 5, -20_000, 31_415]),
        st.sampled_from([0, 500, 1000]),
        st.sampled_from([1, 600, 12_000]),
        st.sampled_from([0, 1, 1, 1, 2, 3]),
        st.integers(-99_999, 99_999),
        st.integers(-9, 9),
    ),
    min_size=1,
    max_size=30,
)
"""X, Y, S, F, G word, I, J."""


def toolpath(moves: list[Move]) -> Toolpath:
    columns = np.array(moves, dtype=np.int64).T
    return Toolpath(
        x_um=columns[0],
        y_um=columns[1],
        s=columns[2].astype(np.int32),
        rapid=columns[4] == 0,
        feed_mm_per_min=columns[3].astype(np.int32),
        layer=np.zeros(len(moves), dtype=np.int16),
        turn=np.select([columns[4] == 2, columns[4] == 3], [-1, 1], 0).astype(np.int8),
        i_um=columns[5],
        j_um=columns[6],
    )


def plain_lines(moves: list[Move], style: LineStyle) -> str:
    """The same by Python's own formatting of the quotients."""
    out, before = [], None
    for move in moves:
        x, y, s, feed, motion, i, j = move
        follows = motion == 1 and before is not None and before[4] == 1
        said = before if follows and before is not None else (None,) * 7
        power = f"S{s / 10**style.s_decimals:.{style.s_decimals}f}"
        words = [] if follows and not style.own_motion else [f"G{motion}"]
        if x != said[0] or y == said[1]:
            words.append(f"X{x / 1000:.3f}")
        words += [f"Y{y / 1000:.3f}"] if y != said[1] else []
        words += [f"I{i / 1000:.3f}", f"J{j / 1000:.3f}"] if motion > 1 else []
        words += [power] if s != said[2] else []
        words += [f"F{feed}"] if motion > 0 and feed != said[3] else []
        out.append(" ".join(words) + "\n")
        before = move
    return "".join(out)


@settings(max_examples=60, deadline=None)
@given(MOVES, st.booleans(), st.sampled_from([0, 3]), st.sampled_from([1, 2, 7, 1 << 16]))
def test_lines_are_those_of_plain_formatting_wherever_pieces_end(
    moves: list[Move], own_motion: bool, s_decimals: int, at_once: int
) -> None:
    style = LineStyle(own_motion, s_decimals)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gcode_lines, "LINES_AT_ONCE", at_once)
        pieces = list(move_lines(toolpath(moves), style, 0, len(moves)))
    assert len(pieces) == -(-len(moves) // at_once)
    assert b"".join(pieces).decode("ascii") == plain_lines(moves, style)


def test_a_toolpath_without_arcs_and_a_number_that_no_bed_has() -> None:
    path = toolpath([(0, 0, 0, 1, 0, 0, 0), (1000, 0, 500, 600, 1, 0, 0)])
    straight = dataclasses.replace(path, turn=None, i_um=None, j_um=None)
    assert b"".join(move_lines(straight, LineStyle(False, 0), 1, 2)) == b"G1 X1.000 Y0.000 S500 F600\n"
    far = dataclasses.replace(path, x_um=path.x_um + 10**12)
    with pytest.raises(Internal):
        list(move_lines(far, LineStyle(False, 0), 0, 2))


WORD = re.compile(rb"([A-Z])([+-]?(?:\d+(?:\.\d*)?|\.\d+))")
PIECES = ["G1", "X1.5", "Y-2.", "Z+.5", "S1000", "M3 I", "AM5 I", "I", " ", "\n", "\r\n", "\r", ";c", "(a)", "(", ")"]
PIECES += ["(;x)", "?", "$H", "x1", "X.", "X--1", "X1.2.3", "F12345678901234567890", "Y0.12345678901234567890", "X-0"]
PIECES += ["X0000000000000000000.5", "\x80", "\x00", "M3 I;", "1"]


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=12), st.booleans(), st.booleans())
def test_words_are_those_of_plain_patterns(pieces: list[str], parentheses: bool, inline: bool) -> None:
    text = "".join(pieces).encode("latin-1")
    found = split_words(text, parentheses=parentheses, inline=inline)
    lines = text.split(b"\n")
    if len(lines) > 1 and not lines[-1]:
        lines.pop()
    assert found.line_starts.tolist() == [sum(len(line) + 1 for line in lines[:k]) for k in range(len(lines))]
    meant, malformed, bare = [], [], []
    for number, whole in enumerate(lines):
        line = re.sub(rb"\([^()]*\)|;.*" if parentheses else rb";.*", b" ", whole, flags=re.DOTALL)
        rest = re.sub(rb"(?<=\bM[345] )I(?= |\r?\Z)", b" ", line) if inline else line
        if rest != line:
            bare.append(number)
        if WORD.sub(b"", rest.removesuffix(b"\r")).strip(b" "):
            malformed.append(number)
        else:
            meant += [(number, letter, float(value)) for letter, value in WORD.findall(rest)]
    letters = [bytes([letter]) for letter in found.letter]
    assert list(zip(found.line.tolist(), letters, found.value.tolist(), strict=True)) == meant
    assert found.malformed.tolist() == malformed
    # Of a malformed line nothing counts.
    assert set(found.inline.tolist()) - set(malformed) == set(bare) - set(malformed)


def test_what_is_in_force_is_the_last_word_that_counts() -> None:
    program = read_program(b"\nS5\nM9\n;\nS7S8\nM3\nM8 S0\n\n", Dialect.GRBL_M4)
    assert program.modal("S", start=1).tolist() == [1, 5, 5, 5, 8, 8, 0, 0]
    assert program.modal("M", (3, 5), start=5).tolist() == [5, 5, 5, 5, 5, 3, 3, 3]
    assert np.isnan(program.modal("F")).all()

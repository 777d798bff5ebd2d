"""Reads G-code back: words, then moves, as the controller of one dialect would. Shares nothing with the writer.

A line that is not `letter number letter number …` is not guessed at: it is listed as malformed and read as empty.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kerf_optimizer.domain.machine.grammar import (
    ARC_WORDS,
    BEAM_CONSTANT,
    BEAM_DYNAMIC,
    BEAM_OFF,
    BEAM_WORDS,
    MOTION_WORDS,
    grammar_of,
)
from kerf_optimizer.domain.machine.words import fill_in_force, split_words
from kerf_optimizer.domain.presets import Dialect

__all__ = ["BEAM_CONSTANT", "BEAM_DYNAMIC", "BEAM_OFF", "MOTION_WORDS", "Motions", "Program"]
__all__ += ["last_index", "read_motions", "read_program", "shown_line", "stated_dialect"]

_STATED = re.compile(rb"^; dialect: ([a-z0-9-]{1,40})\r?$", re.MULTILINE)
_HEADER_BYTES = 8192
_STEP_DIGITS = 6
"""A share of power times its steps is a whole number but for the last bits of a float."""


@dataclass(frozen=True, eq=False)
class Program:
    """Words of a program in order: `line` int64 (0-based), `letter` uint8 (ASCII), `value` float64, each (words,).

    `malformed` lists the 0-based lines that are no words, `inline` those whose beam word has a bare I. `text` is the
    whole file, or a block of its lines (`blocks`): then `first_line` and `first_byte` say where in the file it begins,
    and the first `prelude` lines are not the file's own, but say again what is in force there.
    """

    dialect: Dialect

    text: bytes
    line_starts: NDArray[np.int64]
    line: NDArray[np.int64]
    letter: NDArray[np.uint8]
    value: NDArray[np.float64]
    malformed: NDArray[np.int64]
    inline: NDArray[np.int64]
    first_line: int = 0
    first_byte: int = 0
    prelude: int = 0

    @property
    def line_count(self) -> int:
        """Lines, the empty ones too, and those of the prelude."""
        return len(self.line_starts)

    def in_file(self, line: int) -> int:
        """The line of the file, 0-based, that a line of this block is."""
        return line - self.prelude + self.first_line

    def words(self, letter: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Lines and values of all words with this letter."""
        chosen = self.letter == ord(letter)
        return self.line[chosen], self.value[chosen]

    def has(self, letter: str) -> NDArray[np.bool_]:
        """Which lines have a word with this letter, bool (lines,)."""
        present = np.zeros(self.line_count, dtype=np.bool_)
        present[self.line[self.letter == ord(letter)]] = True
        return present

    def modal(self, letter: str, allowed: tuple[int, ...] = (), start: float = np.nan) -> NDArray[np.float64]:
        """The value in force on each line, float64 (lines,): the last one said, `start` before the first.

        `allowed` picks the values of one modal group; () = all.
        """
        value = np.full(self.line_count, start, dtype=np.float64)
        fill_in_force(self.line, self.letter, self.value, ord(letter), np.array(allowed, dtype=np.float64), value)
        return value

    def on_line(self, letter: str) -> NDArray[np.float64]:
        """The value that each line itself says, float64 (lines,); NaN where it says none."""
        lines, values = self.words(letter)
        said = np.full(self.line_count, np.nan)
        said[lines] = values
        return said

    def line_text(self, line: int) -> str:
        """Text of a 0-based line, as `shown_line` gives it."""
        return shown_line(self.text, int(self.line_starts[line]))


@dataclass(frozen=True, eq=False)
class Motions:
    """Moves of a program as the controller would make them, arrays of shape (moves,).

    `x_mm`, `y_mm` targets (NaN = never said); `mode` 0–3 as in `MOTION_WORDS`; `s` in force in steps of power (NaN =
    never said); `feed_mm_per_min` in force; `beam` the M word in force (5 before the first); `line` 0-based; `i_mm`,
    `j_mm` from an arc's start to its centre, as the line itself says (0 where it says one of them, NaN where neither);
    `z_mm` in force (0 before the first).
    """

    line: NDArray[np.int64]
    x_mm: NDArray[np.float64]
    y_mm: NDArray[np.float64]
    mode: NDArray[np.int8]
    s: NDArray[np.float64]
    feed_mm_per_min: NDArray[np.float64]
    beam: NDArray[np.int8]
    i_mm: NDArray[np.float64]
    j_mm: NDArray[np.float64]
    z_mm: NDArray[np.float64]

    @property
    def arcs(self) -> NDArray[np.int64]:
        """Indices of the arcs."""
        return np.flatnonzero(np.isin(self.mode, ARC_WORDS))

    @property
    def burning(self) -> NDArray[np.bool_]:
        """Moves during which the beam is on."""
        on: NDArray[np.bool_] = (self.beam != BEAM_OFF) & (self.s > 0)
        return on


def shown_line(text: bytes, start: int) -> str:
    """The line that begins there, cut to 80 characters, without what is not printable."""
    raw = text[start : start + 80].split(b"\n", 1)[0]
    return "".join(chr(code) if 32 <= code < 127 else "?" for code in raw)


def last_index(lines: NDArray[np.int64], line_count: int) -> NDArray[np.int64]:
    """For each line the index of the last of `lines` (ascending) that is not after it; −1 = none. int64 (lines,)."""
    last = np.full(line_count, -1, dtype=np.int64)
    last[lines] = np.arange(len(lines))
    filled: NDArray[np.int64] = np.maximum.accumulate(last)
    return filled


def stated_dialect(text: bytes) -> Dialect | None:
    """The dialect that the header's comment states; None where it states none that is known."""
    found = _STATED.search(text[:_HEADER_BYTES])
    names = {dialect.value: dialect for dialect in Dialect}
    return None if found is None else names.get(found[1].decode("ascii"))


def read_program(text: bytes, dialect: Dialect | None = None) -> Program:
    """Split a program into words, by the dialect given, else by the stated one, else as GRBL with M4.

    Never fails: what is no word is listed as malformed.
    """
    dialect = dialect or stated_dialect(text) or Dialect.GRBL_M4
    grammar = grammar_of(dialect)
    words = split_words(text, parentheses=grammar.parentheses, inline=grammar.inline)
    if grammar.steps_per_s != 1.0:
        is_s = words.letter == ord("S")
        words.value[is_s] = np.round(words.value[is_s] * grammar.steps_per_s, _STEP_DIGITS)
    return Program(
        dialect=dialect,
        text=text,
        line_starts=words.line_starts,
        line=words.line,
        letter=words.letter,
        value=words.value,
        malformed=words.malformed,
        inline=words.inline,
    )


def read_motions(program: Program) -> Motions:
    """The moves that a program makes, as if in millimetres and absolute (the linter says whether it is).

    Lines with an X, Y or Z word move. Before the first motion word the default is rapid.
    """
    moving = np.flatnonzero(program.has("X") | program.has("Y") | program.has("Z"))
    i_mm, j_mm = _centers(program, moving)
    return Motions(
        line=moving,
        x_mm=program.modal("X")[moving],
        y_mm=program.modal("Y")[moving],
        mode=program.modal("G", MOTION_WORDS, start=0)[moving].astype(np.int8),
        s=program.modal("S")[moving],
        feed_mm_per_min=program.modal("F")[moving],
        beam=program.modal("M", BEAM_WORDS, start=BEAM_OFF)[moving].astype(np.int8),
        i_mm=i_mm,
        j_mm=j_mm,
        z_mm=_heights(program, moving),
    )


def _heights(program: Program, moving: NDArray[np.int64]) -> NDArray[np.float64]:
    """The height in force, 0 before the first word of it; a program without Z pays no memory for it."""
    if not len(program.words("Z")[0]):
        return np.broadcast_to(np.float64(0), len(moving))
    return program.modal("Z", start=0.0)[moving]


def _centers(program: Program, moving: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """From each move's start to its centre, as its line says; a program without arcs pays no memory for it."""
    i_mm, j_mm = program.on_line("I")[moving], program.on_line("J")[moving]
    neither = np.isnan(i_mm) & np.isnan(j_mm)
    if neither.all():
        nothing = np.broadcast_to(np.float64(np.nan), len(moving))
        return nothing, nothing
    return np.where(neither, np.nan, np.nan_to_num(i_mm)), np.where(neither, np.nan, np.nan_to_num(j_mm))

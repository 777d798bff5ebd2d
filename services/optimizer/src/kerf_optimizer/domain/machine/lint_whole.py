"""The safety linter's rules about a program as a whole: its header, its frame, its end, and what it says somewhere."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kerf_optimizer.domain.machine.grammar import (
    ABSOLUTE,
    BEAM_OFF,
    BEAM_WORDS,
    FEED_PER_MINUTE,
    MILLIMETRES,
    PLANE_XY,
    grammar_of,
)
from kerf_optimizer.domain.machine.lint_rules import Finding, LintRules, Rule
from kerf_optimizer.domain.machine.reader import Program, shown_line, stated_dialect

AIR_ON, AIR_OFF = (7, 8), 9
HEADER_SENTENCE = "never leave a burning laser unattended"


class Mode(NamedTuple):
    """A mode that must be said before the first move where the dialect knows it, and never left for `others`."""

    word: int
    others: tuple[int, ...]
    rule: Rule
    message: str


MODES = (
    Mode(MILLIMETRES, (20,), Rule.NOT_MILLIMETRES, "millimetres (G21) only"),
    Mode(ABSOLUTE, (91,), Rule.NOT_ABSOLUTE, "absolute positions (G90) only"),
    Mode(FEED_PER_MINUTE, (93, 95), Rule.FEED_MODE, "feed per minute (G94) only"),
    Mode(PLANE_XY, (), Rule.PLANE, "the XY plane (G17) must be chosen"),
)


class _Word(NamedTuple):
    """A word's line in the file and its value; `s`: the last S on that line, None = it has none."""

    line: int
    value: float
    s: float | None = None


@dataclass
class WholeProgram:
    """What these rules need to know, gathered block by block; it does not grow with the program."""

    text: bytes
    rules: LintRules
    _places: list[tuple[int, int]] = field(default_factory=list)
    """First line and first byte of each block."""
    _line_count: int = 0
    _first: _Word | None = None
    """The first line with a command; its value is the byte that it begins at."""
    _last: int = -1
    _malformed: int = -1
    _first_move: int | None = None
    _said: dict[int, int] = field(default_factory=dict)
    """The line that first says each mode."""
    _beam: _Word | None = None
    _end: int | None = None
    _air: _Word | None = None
    _z: _Word | None = None

    def look_at(self, program: Program) -> None:
        """Take note of the next block."""
        self._places.append((program.first_line, program.first_byte))
        self._line_count = program.in_file(program.line_count)
        malformed = program.malformed[program.malformed >= program.prelude]
        if malformed.size:
            self._malformed = program.in_file(int(malformed[-1]))
        own = program.line >= program.prelude
        lines, letters, values = program.line[own], program.letter[own], program.value[own]
        if not lines.size:
            return
        lines = lines - program.prelude + program.first_line
        if self._first is None:
            first = int(lines[0])
            start = program.line_starts[first - program.first_line + program.prelude]
            self._first = _Word(first, program.first_byte + int(start))
        self._last = int(lines[-1])
        moves = lines[np.isin(letters, [ord(axis) for axis in "XYZ"])]
        if self._first_move is None and moves.size:
            self._first_move = int(moves[0])
        for mode in MODES:
            said = lines[(letters == ord("G")) & (values == mode.word)]
            if said.size:
                self._said.setdefault(mode.word, int(said[0]))
        self._note_switches(lines, letters, values)

    def _note_switches(self, lines: NDArray[np.int64], letters: NDArray[np.uint8], values: NDArray[np.float64]) -> None:
        """The last words of the beam, the air assist and Z, and the end."""

        def last(letter: str, *allowed: int) -> _Word | None:
            chosen = np.flatnonzero((letters == ord(letter)) & (np.isin(values, allowed) | (not allowed)))
            if not chosen.size:
                return None
            line = int(lines[chosen[-1]])
            s = values[(lines == line) & (letters == ord("S"))]
            return _Word(line, float(values[chosen[-1]]), float(s[-1]) if s.size else None)

        self._beam = last("M", *BEAM_WORDS) or self._beam
        self._air = last("M", *AIR_ON, AIR_OFF) or self._air
        self._z = last("Z") or self._z
        end_words = grammar_of(self.rules.machine.dialect).end_words
        ends = lines[(letters == ord("M")) & np.isin(values, end_words or (BEAM_OFF,))]
        if ends.size and not end_words:
            self._end = int(ends[-1])
        elif ends.size and self._end is None:
            self._end = int(ends[0])

    def line_text(self, line: int) -> str:
        """Text of a 0-based line of a block that was looked at, cut short and printable."""
        first, start = self._places[bisect_right(self._places, (line, len(self.text))) - 1]
        for _ in range(line - first):
            start = self.text.find(b"\n", start) + 1
        return shown_line(self.text, start)

    def findings(self) -> Iterator[Finding]:
        """Everything that these rules find; lines are those of the file."""
        yield from self._header()
        if self._first is None:
            yield Finding(Rule.NOTHING_TO_RUN, -1, "the program has no commands")
            return
        yield from self._frame(self._first.line)
        yield from self._ending()
        yield from self._modes()
        if self._air is not None and self._air.value != AIR_OFF:
            yield Finding(Rule.AIR_LEFT_ON, self._air.line, "the air assist is left on: M9 is missing")
        if self.rules.machine.has_z and self._z is not None and self._z.value != 0:
            yield Finding(Rule.Z_LEFT_LOW, self._z.line, "the head does not come back to Z0")

    def _header(self) -> Iterator[Finding]:
        end = len(self.text) if self._first is None else int(self._first.value)
        machine = self.rules.machine
        header = self.text[:end].decode("ascii", errors="replace")
        wanted = [HEADER_SENTENCE, f"machine: {machine.name}", f"material: {self.rules.material.name}"]
        wanted += list(machine.required_settings)
        if stated_dialect(self.text[:end]) is not machine.dialect:
            yield Finding(Rule.HEADER_MISSING, -1, f"a comment must say: dialect: {machine.dialect.value}")
        joined = " ".join(line.lstrip("; ") for line in header.splitlines())
        for sentence in wanted:
            if sentence not in joined:
                yield Finding(Rule.HEADER_MISSING, -1, f"the comments before the first command must say: {sentence}")

    def _frame(self, first: int) -> Iterator[Finding]:
        """Beam off first and last."""
        if self.line_text(first).split(";")[0].strip() not in ("M5 S0", "M5S0"):
            yield Finding(Rule.NOT_OFF_FIRST, first, "the first command must be M5 S0")
        if self._beam is None or self._beam.value != BEAM_OFF or self._beam.s != 0:
            yield Finding(Rule.NOT_OFF_LAST, self._last, "the last beam command must be M5 S0")

    def _ending(self) -> Iterator[Finding]:
        """It ends with its end word, or with the beam's off where the dialect has none; nothing comes after."""
        if self._end is None:
            yield Finding(Rule.NO_END, self._last, "the program must end with M2")
            return
        if not grammar_of(self.rules.machine.dialect).end_words and self._last > self._end:
            yield Finding(Rule.NO_END, self._last, "the last command must be M5 S0")
        if max(self._last, self._malformed) > self._end:
            yield Finding(Rule.TEXT_AFTER_END, self._end + 1, "commands after the end of the program")

    def _modes(self) -> Iterator[Finding]:
        """Millimetres, absolute positions and feed per minute are said before the first move."""
        before = self._line_count if self._first_move is None else self._first_move
        stated = grammar_of(self.rules.machine.dialect).modes
        for mode in MODES:
            if mode.word in stated and self._said.get(mode.word, before + 1) > before:
                line = min(before, self._line_count - 1)
                yield Finding(mode.rule, line, f"{mode.message}: not said before the first move")

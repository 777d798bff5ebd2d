"""Reads the moves of a G-code file, to draw them. Pure; knows what laser files are made of and refuses the rest.

It shares nothing with the planner that wrote the file: what is drawn is what a controller would read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum

_WORD = re.compile(r"([A-Z])\s*([+-]?(?:\d+\.?\d*|\.\d+))")
_KNOWN_G = {0, 1, 2, 3, 4, 17, 21, 90, 94}
"""Moves, dwell, the XY plane, millimetres, absolute, feed per minute; anything else changes what a number means."""

_CHORD_RAD = math.radians(7.5)
_FARTHEST_MM = 1e5
Point = tuple[float, float]


class Beam(IntEnum):
    """What the beam does on a move."""

    RAPID = 0
    DARK = 1
    BURN = 2


@dataclass(frozen=True, slots=True)
class Move:
    """A straight move in machine millimetres; arcs come as many."""

    start: Point
    end: Point
    beam: Beam


class UnreadableGcodeError(ValueError):
    """The file says something that this reader does not know: a drawing could be wrong."""


@dataclass
class _Controller:
    """What a controller remembers from line to line. Where the head is before the first move, nobody knows."""

    x: float | None = None
    y: float | None = None
    motion: int = 0
    power: float = 0.0
    beam_on: bool = False
    words: dict[str, float] = field(default_factory=dict)

    def run(self, line: str) -> Iterator[Move]:
        """Do one line."""
        self.words = {}
        for letter, text in _WORD.findall(line):
            self._take(letter, float(text))
        if "X" not in self.words and "Y" not in self.words:
            return
        x, y = self.words.get("X", self.x), self.words.get("Y", self.y)
        if x is None or y is None or not (abs(x) < _FARTHEST_MM and abs(y) < _FARTHEST_MM):
            raise UnreadableGcodeError(f"no position can be made of {line[:60]!r}")
        start, self.x, self.y = (self.x, self.y), x, y
        if start[0] is None or start[1] is None:
            yield Move((x, y), (x, y), Beam.RAPID)
            return
        yield from self._moves((start[0], start[1]), (x, y))

    def _take(self, letter: str, value: float) -> None:
        if letter == "G":
            if value not in _KNOWN_G:
                raise UnreadableGcodeError(f"G{value:g} is not known")
            self.motion = int(value) if value <= 3 else self.motion
        elif letter == "M":
            self.beam_on = value in (3, 4) or (self.beam_on and value != 5)
        elif letter == "S":
            self.power = value
        else:
            self.words[letter] = value

    def _moves(self, start: Point, end: Point) -> Iterator[Move]:
        if self.motion == 0:
            yield Move(start, end, Beam.RAPID)
            return
        beam = Beam.BURN if self.beam_on and self.power > 0 else Beam.DARK
        if self.motion == 1:
            yield Move(start, end, beam)
            return
        if not {"I", "J"} & self.words.keys():
            raise UnreadableGcodeError("an arc without a centre")
        centre = (start[0] + self.words.get("I", 0.0), start[1] + self.words.get("J", 0.0))
        for point in _chords(start, end, centre, clockwise=self.motion == 2):
            yield Move(start, point, beam)
            start = point


def _chords(start: Point, end: Point, centre: Point, *, clockwise: bool) -> Iterator[Point]:
    """Points along an arc after its start, its end exactly."""
    first = math.atan2(start[1] - centre[1], start[0] - centre[0])
    swept = math.atan2(end[1] - centre[1], end[0] - centre[0]) - first
    swept = -((-swept) % math.tau) if clockwise else swept % math.tau
    radius = math.dist(start, centre)
    pieces = max(1, math.ceil(abs(swept) / _CHORD_RAD))
    for piece in range(1, pieces):
        angle = first + swept * piece / pieces
        yield (centre[0] + radius * math.cos(angle), centre[1] + radius * math.sin(angle))
    yield end


def read_moves(gcode: bytes) -> Iterator[Move]:
    """The moves in order; the first only says where the head goes to first. Raises UnreadableGcodeError on the way."""
    controller = _Controller()
    for raw in gcode.decode("ascii", errors="replace").splitlines():
        line = raw.partition(";")[0].strip().upper()
        if line:
            yield from controller.run(line)

"""Controllers in plain Python, one line at a time, by what their makers document. No code is shared with kerf's reader.

Each turns a program into strokes: (x0, y0, x1, y1, share of full power), arcs cut into chords.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from itertools import pairwise

from kerf_optimizer.domain.presets import Dialect

Stroke = tuple[float, float, float, float, float]
CHORD_MM = 0.002


@dataclass
class Controller:
    """State of a machine that runs a program. `travel_power` collects what a head that only travels would burn."""

    full_s: float
    remembers_motion: bool
    inline: bool
    x: float = 0.0
    y: float = 0.0
    s: float = 0.0
    motion: int = 0
    beam: bool = False
    follows_moves: bool = False
    strokes: list[Stroke] = field(default_factory=list)
    travel_power: list[str] = field(default_factory=list)
    air: list[str] = field(default_factory=list)

    def run(self, program: str) -> list[Stroke]:
        for line in program.splitlines():
            code = line.split(";")[0].strip()
            if code:
                self.line(code)
        return self.strokes

    def line(self, code: str) -> None:
        words = re.findall(r"([A-Z])(-?[0-9.]*)", code)
        assert "".join(letter + number for letter, number in words) == code.replace(" ", ""), code
        commands = [(letter, float(number)) for letter, number in words if letter in "GM"]
        if not self.remembers_motion:
            assert len(commands) == 1, f"this controller takes one command per line: {code}"
        values = {letter: float(number) for letter, number in words if letter not in "GM" and number}
        bare = {letter for letter, number in words if not number}
        assert bare <= ({"I"} if self.inline else set()), code
        if "S" in values:
            self.s = values["S"] / self.full_s
        for letter, number in commands:
            self.command(letter, number, "I" in bare)
        if "X" in values or "Y" in values:
            self.move(values, code)

    def command(self, letter: str, number: float, bare_i: bool) -> None:
        if letter == "M" and number in (3, 4):
            assert self.s == 0, "switched on with power"
            self.beam, self.follows_moves = True, bare_i or not self.inline
        elif letter == "M" and number == 5:
            self.beam, self.s = False, 0.0
        elif letter == "M" and number in (7, 8, 9):
            assert self.s == 0, "air is switched while the beam is on"
            self.air.append(f"M{number:.0f}")
        elif letter == "G" and number in (0, 1, 2, 3):
            self.motion = int(number)

    def move(self, values: dict[str, float], code: str) -> None:
        x, y = values.get("X", self.x), values.get("Y", self.y)
        power = self.s if self.beam and self.follows_moves else 0.0
        if self.motion == 0 and self.s > 0:
            self.travel_power.append(code)
        if self.motion == 0:
            power = 0.0
        if self.motion in (2, 3):
            self.arc(x, y, values.get("I", 0.0), values.get("J", 0.0), power)
        elif power:
            self.strokes.append((self.x, self.y, x, y, power))
        self.x, self.y = x, y

    def arc(self, x: float, y: float, i: float, j: float, power: float) -> None:
        center_x, center_y, radius = self.x + i, self.y + j, math.hypot(i, j)
        first = math.atan2(-j, -i)
        turn = math.atan2(y - center_y, x - center_x) - first
        if self.motion == 2:
            turn -= math.tau * math.ceil(turn / math.tau - 1e-12)
            turn = turn if turn < 0 else -math.tau
        else:
            turn -= math.tau * math.floor(turn / math.tau + 1e-12)
            turn = turn if turn > 0 else math.tau
        count = max(1, math.ceil(abs(turn) / (2 * math.acos(max(0.0, 1 - CHORD_MM / radius)))))
        points = [(self.x, self.y)]
        for k in range(1, count):
            angle = first + turn * k / count
            points.append((center_x + radius * math.cos(angle), center_y + radius * math.sin(angle)))
        points.append((x, y))
        if power:
            self.strokes += [(*a, *b, power) for a, b in pairwise(points)]


def controller(dialect: Dialect, s_max: float) -> Controller:
    """A machine that speaks this dialect, fresh from power-on."""
    match dialect:
        case Dialect.MARLIN_INLINE:
            return Controller(s_max, remembers_motion=False, inline=True)
        case Dialect.SMOOTHIEWARE:
            return Controller(1.0, remembers_motion=False, inline=False)
        case _:
            return Controller(s_max, remembers_motion=True, inline=False)

"""Draws how the head of a laser moves, from the G-code itself, as SVG for a page that loads nothing. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

from kerf_client.gcode_moves import Beam, Move, Point, UnreadableGcodeError, read_moves

MAX_GCODE_BYTES = 12 * 1024 * 1024
"""Longer programs are not drawn: reading them takes longer than a person waits for a page."""

BURN_COLOR, TRAVEL_COLOR, START_COLOR, END_COLOR = "#c2410c", "#2563eb", "#166534", "#1d1b18"
FINE_STEPS, COARSE_STEPS = 2000, 250
"""Steps along the longer side; a drawing that gets too large is made again with half as many, but no fewer."""

MAX_DRAWN = 120_000
MAX_TRAVELS = 20_000
_PAD = 0.03
_MARK = 0.011
Cell = tuple[int, int]
Runs = dict[int, list[tuple[int, int]]]


@dataclass(frozen=True)
class PathPlot:
    """An `<svg>` ("" = there is none), what is to be said of it, and what was measured on the way."""

    svg: str
    note: str
    burn_mm: float = 0.0
    travel_mm: float = 0.0


@dataclass(frozen=True)
class _Paper:
    """Maps machine millimetres (Y up) to steps of the drawing (Y down)."""

    left_mm: float
    top_mm: float
    steps_per_mm: float
    width: int
    height: int

    def cell(self, point: Point) -> Cell:
        x, y = (point[0] - self.left_mm) * self.steps_per_mm, (self.top_mm - point[1]) * self.steps_per_mm
        return round(x), round(y)


def path_plot(gcode: bytes) -> PathPlot:
    """Burns and travel in two colours, start and end marked, on a grid of millimetres."""
    if len(gcode) > MAX_GCODE_BYTES:
        return PathPlot("", f"The G-code has {len(gcode):,} bytes: too many to draw. The preview shows the work.")
    try:
        moves = list(read_moves(gcode))
    except UnreadableGcodeError as error:
        return PathPlot("", f"The G-code cannot be drawn: {error}.")
    if len(moves) < 2:
        return PathPlot("", "The G-code moves nothing.")
    grid_mm = _grid_step(moves)
    steps = FINE_STEPS
    while True:
        paper = _paper(moves, steps)
        burns = _Burns.of(moves, paper)
        if burns.count <= MAX_DRAWN or steps <= COARSE_STEPS:
            break
        steps //= 2
    travels = [move for move in _travels(moves) if paper.cell(move.start) != paper.cell(move.end)]
    every = -(-len(travels) // MAX_TRAVELS) or 1
    parts = [
        *_grid(paper, grid_mm),
        _stroke(_lines(travels[::every], paper), TRAVEL_COLOR, "travel", 1.0),
        _stroke(burns.path(), BURN_COLOR, "burn", 1.4),
        *_marks(paper.cell(moves[0].end), paper.cell(moves[-1].end), paper),
    ]
    note = f"One square of the grid is {grid_mm:g} mm."
    if every > 1:
        note += f" Of {len(travels):,} travel moves every {every}th is drawn."
    return PathPlot(_frame(paper, parts), note, _length(moves, {Beam.BURN}), _length(moves, {Beam.RAPID, Beam.DARK}))


def _length(moves: Iterable[Move], beams: set[Beam]) -> float:
    return sum(math.dist(move.start, move.end) for move in moves if move.beam in beams)


def _travels(moves: Sequence[Move]) -> Iterator[Move]:
    """Moves with the beam off; not the gaps inside a scan line, which would hide the picture."""
    for index, move in enumerate(moves):
        if move.beam is Beam.BURN:
            continue
        inside = 0 < index < len(moves) - 1 and moves[index - 1].beam is moves[index + 1].beam is Beam.BURN
        if move.beam is Beam.RAPID or not inside:
            yield move


def _box(moves: Sequence[Move]) -> tuple[float, float, float, float]:
    x, y = [move.end[0] for move in moves], [move.end[1] for move in moves]
    return min(x), min(y), max(x), max(y)


def _paper(moves: Sequence[Move], steps: int) -> _Paper:
    left, bottom, right, top = _box(moves)
    longest = max(right - left, top - bottom, 1.0)
    pad = _PAD * longest
    scale = steps / (longest + 2 * pad)
    width, height = (math.ceil((length + 2 * pad) * scale) for length in (right - left, top - bottom))
    return _Paper(left - pad, top + pad, scale, width, height)


@dataclass(frozen=True)
class _Burns:
    """Burns on the paper: level and upright ones joined in their row or column, so that scan lines stay few."""

    rows: Runs
    columns: Runs
    others: list[list[Cell]]

    @classmethod
    def of(cls, moves: Iterable[Move], paper: _Paper) -> _Burns:
        rows: Runs = {}
        columns: Runs = {}
        others: list[list[Cell]] = []
        for move in moves:
            if move.beam is not Beam.BURN:
                continue
            start, end = paper.cell(move.start), paper.cell(move.end)
            if start[1] == end[1]:
                rows.setdefault(start[1], []).append(_run(start[0], end[0]))
            elif start[0] == end[0]:
                columns.setdefault(start[0], []).append(_run(start[1], end[1]))
            elif others and others[-1][-1] == start:
                others[-1].append(end)
            else:
                others.append([start, end])
        return cls(_joined(rows), _joined(columns), others)

    @property
    def count(self) -> int:
        """How many strokes it takes."""
        runs = sum(len(line) for found in (self.rows, self.columns) for line in found.values())
        return runs + sum(len(line) for line in self.others)

    def path(self) -> str:
        """All of them as the data of one SVG path."""
        parts = [f"M{a} {y}h{b - a}" for y, line in sorted(self.rows.items()) for a, b in line]
        parts += [f"M{x} {a}v{b - a}" for x, line in sorted(self.columns.items()) for a, b in line]
        parts += [_polyline(line) for line in self.others]
        return "".join(parts)


def _run(a: int, b: int) -> tuple[int, int]:
    """From the lower to the higher; a dot is one step long, or nobody would see it."""
    return (min(a, b), max(a, b)) if a != b else (a, a + 1)


def _joined(lines: Runs) -> Runs:
    """Runs that touch are one."""
    joined: Runs = {}
    for place, runs in lines.items():
        found: list[tuple[int, int]] = []
        for start, end in sorted(runs):
            if found and start <= found[-1][1]:
                found[-1] = (found[-1][0], max(found[-1][1], end))
            else:
                found.append((start, end))
        joined[place] = found
    return joined


def _lines(moves: Iterable[Move], paper: _Paper) -> str:
    lines: list[list[Cell]] = []
    for move in moves:
        start, end = paper.cell(move.start), paper.cell(move.end)
        if lines and lines[-1][-1] == start:
            lines[-1].append(end)
        else:
            lines.append([start, end])
    return "".join(_polyline(line) for line in lines)


def _polyline(points: Sequence[Cell]) -> str:
    x, y = points[0]
    parts = [f"M{x} {y}l"]
    for next_x, next_y in points[1:]:
        parts.append(f"{next_x - x} {next_y - y} ")
        x, y = next_x, next_y
    return "".join(parts).rstrip()


def _stroke(path: str, color: str, name: str, width_px: float) -> str:
    if not path:
        return ""
    return (
        f'<path class="{name}" d="{path}" fill="none" stroke="{color}" stroke-width="{width_px:g}" '
        'vector-effect="non-scaling-stroke"/>'
    )


def _grid_step(moves: Sequence[Move]) -> float:
    """A round number of millimetres that divides the longer side into 4 to 12."""
    left, bottom, right, top = _box(moves)
    wanted = max(right - left, top - bottom, 1.0) / 12
    power = 10.0 ** math.floor(math.log10(wanted))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= wanted * (1 - 1e-9))


def _grid(paper: _Paper, step_mm: float) -> Iterator[str]:
    right_mm = paper.left_mm + paper.width / paper.steps_per_mm
    bottom_mm = paper.top_mm - paper.height / paper.steps_per_mm
    path = []
    for number in range(math.ceil(paper.left_mm / step_mm), math.floor(right_mm / step_mm) + 1):
        path.append(f"M{paper.cell((number * step_mm, 0.0))[0]} 0v{paper.height}")
    for number in range(math.ceil(bottom_mm / step_mm), math.floor(paper.top_mm / step_mm) + 1):
        path.append(f"M0 {paper.cell((0.0, number * step_mm))[1]}h{paper.width}")
    yield _stroke("".join(path), "#e2dcd2", "grid", 1.0)


def _marks(start: Cell, end: Cell, paper: _Paper) -> Iterator[str]:
    """A green dot where the head begins, a dark square around where it stops: both show where they fall together."""
    size = max(3, round(_MARK * max(paper.width, paper.height)))
    yield (
        f'<rect class="end" x="{end[0] - size}" y="{end[1] - size}" width="{2 * size}" height="{2 * size}" fill="none" '
        f'stroke="{END_COLOR}" stroke-width="2" vector-effect="non-scaling-stroke"><title>end</title></rect>'
    )
    yield (
        f'<circle class="start" cx="{start[0]}" cy="{start[1]}" r="{round(size * 0.7)}" fill="{START_COLOR}">'
        "<title>start</title></circle>"
    )


def _frame(paper: _Paper, parts: Iterable[str]) -> str:
    title = escape("How the head moves: burns and travel")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="path" role="img" viewBox="0 0 {paper.width} {paper.height}" '
        f'aria-label="{title}">{"".join(parts)}</svg>'
    )

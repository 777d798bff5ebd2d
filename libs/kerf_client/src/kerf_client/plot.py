"""Draws curves over one axis as SVG, for a page that may load nothing from elsewhere. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 720.0, 300.0
LEFT, RIGHT, TOP, BOTTOM = 74.0, 16.0, 30.0, 46.0
"""Margins around the plane that the curves lie in; all sizes are the SVG's own units."""

_MAX_POINTS = 1200
"""More than a screen has columns: a longer curve is thinned, its peaks kept."""
_TICKS = 7
_SHORTEST_WIDTH = 1e-12
_MOST = 1e100
"""No figure of ours is larger; twice as much must still be a number."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Curve:
    """Points in the order of `x`. A `y` that is None or no finite number was not measured: the line has a gap there."""

    name: str
    x: Sequence[float]
    y: Sequence[float | None]
    color: str
    width: float = 1.5


@dataclass(frozen=True)
class _Axis:
    """Maps a range of values onto a range of the drawing."""

    low: float
    high: float
    begin: float
    end: float

    def place(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return self.begin + min(max(share, 0.0), 1.0) * (self.end - self.begin)

    def ticks(self) -> list[float]:
        step = _round_step((self.high - self.low) / _TICKS)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [number * step for number in range(first, last + 1)]


def line_plot(curves: Sequence[Curve], *, title: str, x_label: str, y_label: str, from_zero: bool = False) -> str:
    """An `<svg>` with axes, ticks, a legend and the curves; `from_zero` makes the y axis begin at 0.

    Labels carry their unit. Without a single point that was measured the drawing says so.
    """
    runs = {curve.name: _runs(curve) for curve in curves}
    points = [point for found in runs.values() for run in found for point in run]
    if not points:
        return _frame(title, [_text(WIDTH / 2, HEIGHT / 2, "no data", "middle")])
    x_axis = _axis([x for x, _ in points], LEFT, WIDTH - RIGHT, padding=0.0)
    y_values = [y for _, y in points] + ([0.0] if from_zero else [])
    y_axis = _axis(y_values, HEIGHT - BOTTOM, TOP, padding=0.0 if from_zero else 0.05)
    parts = [*_x_ticks(x_axis), *_y_ticks(y_axis)]
    for curve in curves:
        parts += [_polyline(run, curve, x_axis, y_axis) for run in runs[curve.name]]
    parts += [
        _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, x_label, "middle"),
        f'<g transform="rotate(-90 14 {HEIGHT / 2:g})">{_text(14, HEIGHT / 2, y_label, "middle")}</g>',
        *_legend([curve for curve in curves if runs[curve.name]]),
    ]
    return _frame(title, parts)


def _runs(curve: Curve) -> list[list[Point]]:
    """The curve cut at its gaps, each piece thinned."""
    runs: list[list[Point]] = [[]]
    for x, y in zip(curve.x, curve.y, strict=False):
        if y is None or not (abs(x) < _MOST and abs(y) < _MOST):  # false for what is no number, too
            runs.append([])
        else:
            runs[-1].append((x, y))
    return [_thinned(run) for run in runs if run]


def _thinned(points: list[Point]) -> list[Point]:
    if len(points) <= _MAX_POINTS:
        return points
    size = math.ceil(len(points) / (_MAX_POINTS / 2))
    kept: list[Point] = []
    for start in range(0, len(points), size):
        piece = points[start : start + size]
        low, high = min(piece, key=lambda point: point[1]), max(piece, key=lambda point: point[1])
        kept += sorted({low, high})
    return kept


def _axis(values: list[float], begin: float, end: float, *, padding: float) -> _Axis:
    low, high = min(values), max(values)
    if high - low < max(_SHORTEST_WIDTH, 1e-9 * max(abs(low), abs(high))):
        # One value only: an axis of no length would divide by nothing.
        spread = abs(low) * 0.1 or 1.0
        return _Axis(low - spread, high + spread, begin, end)
    room = (high - low) * padding
    return _Axis(low - room, high + room, begin, end)


def _round_step(step: float) -> float:
    """The next 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= step * (1 - 1e-9))


def _x_ticks(axis: _Axis) -> list[str]:
    bottom = HEIGHT - BOTTOM
    parts = [
        f'<line class="axis" stroke="#6d675e" x1="{LEFT:g}" y1="{bottom:g}" x2="{WIDTH - RIGHT:g}" y2="{bottom:g}"/>'
    ]
    for value in axis.ticks():
        x = axis.place(value)
        parts.append(
            f'<line class="axis" stroke="#6d675e" x1="{x:.2f}" y1="{bottom:g}" x2="{x:.2f}" y2="{bottom + 5:g}"/>'
        )
        parts.append(_text(x, bottom + 18, _number(value), "middle"))
    return parts


def _y_ticks(axis: _Axis) -> list[str]:
    parts = [f'<line class="axis" stroke="#6d675e" x1="{LEFT:g}" y1="{TOP:g}" x2="{LEFT:g}" y2="{HEIGHT - BOTTOM:g}"/>']
    for value in axis.ticks():
        y = axis.place(value)
        parts.append(
            f'<line class="grid" stroke="#e2dcd2" x1="{LEFT:g}" y1="{y:.2f}" x2="{WIDTH - RIGHT:g}" y2="{y:.2f}"/>'
        )
        parts.append(_text(LEFT - 8, y + 4, _number(value), "end"))
    return parts


def _number(value: float) -> str:
    return f"{value:.6g}" if abs(value) > _SHORTEST_WIDTH else "0"


def _polyline(run: list[Point], curve: Curve, x_axis: _Axis, y_axis: _Axis) -> str:
    if len(run) == 1:  # a line of one point would be invisible
        x, y = x_axis.place(run[0][0]), y_axis.place(run[0][1])
        return f'<circle cx="{x:.2f}" cy="{y:.2f}" r="{curve.width + 1:g}" fill="{escape(curve.color)}"/>'
    points = " ".join(f"{x_axis.place(x):.2f},{y_axis.place(y):.2f}" for x, y in run)
    return (
        f'<polyline points="{points}" fill="none" stroke="{escape(curve.color)}" stroke-width="{curve.width:g}" '
        'stroke-linejoin="round"/>'
    )


def _legend(curves: list[Curve]) -> list[str]:
    parts, x = [], LEFT + 4
    for curve in curves:
        parts.append(
            f'<line x1="{x:g}" y1="14" x2="{x + 22:g}" y2="14" stroke="{escape(curve.color)}" '
            f'stroke-width="{curve.width + 1:g}"/>'
        )
        parts.append(_text(x + 28, 18, curve.name, "start"))
        x += 52 + 7 * len(curve.name)
    return parts


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.2f}" y="{y:.2f}" text-anchor="{anchor}">{escape(text)}</text>'


def _frame(title: str, parts: list[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="plot" role="img" viewBox="0 0 {WIDTH:g} {HEIGHT:g}" '
        f'font-family="sans-serif" font-size="12" fill="#6d675e" '
        f'aria-label="{escape(title)}"><title>{escape(title)}</title>{"".join(parts)}</svg>'
    )

"""Text to paths: several lines, kerned, aligned, as large as asked."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from kerf_core.errors import InvalidArgument
from kerf_optimizer.domain.areas import area_paths, wound_area
from kerf_optimizer.domain.curves import bezier_points
from kerf_optimizer.domain.geometry import Path, path_of
from kerf_optimizer.domain.lettering.glyphs import Contour, Font, Glyph

MIN_CAP_HEIGHT_MM, MAX_CAP_HEIGHT_MM = 0.5, 1000.0
MIN_LINE_SPACING, MAX_LINE_SPACING = 0.5, 5.0
MAX_SPACING_MM = 100.0
MIN_TOLERANCE_MM, MAX_TOLERANCE_MM = 0.001, 1.0
MAX_CHARACTERS = 2000
PEN_SEGMENTS = 8
"""Straight pieces of a quarter turn of a round pen: off by half a per cent of the pen's width."""
_JOINING = ("Mn", "Mc", "Me", "Cf")
_LEFTWARDS = ("R", "AL", "AN")
_NAMED = 8
CheckCancelled = Callable[[], None]


class Alignment(Enum):
    """Where lines of different length meet."""

    LEFT = "left"
    CENTER = "center"
    RIGHT = "right"


@dataclass(frozen=True)
class TextStyle:
    """How text is set. `cap_height_mm` is the height of a capital H; `letter_spacing_mm` is added
    between letters.

    `line_spacing` 1 = the font's own distance between lines. Curves are polylines within `tolerance_mm`.
    """

    cap_height_mm: float
    alignment: Alignment = Alignment.LEFT
    letter_spacing_mm: float = 0.0
    line_spacing: float = 1.0
    tolerance_mm: float = 0.01


@dataclass(frozen=True, eq=False)
class _Placed:
    """A glyph and where its origin lies, in units of the font, y up."""

    glyph: Glyph
    x: float
    y: float


def text_paths(
    text: str, font: Font, style: TextStyle, max_nodes: int, check_cancelled: CheckCancelled
) -> tuple[Path, ...]:
    """The text in millimetres, y down, its ink's top left corner at (0, 0).

    Glyphs that overlap are one area, so no line runs through a letter. Raises InvalidArgument naming the field:
    TEXT_MISSING_GLYPHS with the characters that the font lacks, TEXT_UNSUPPORTED for scripts whose letters join or run
    leftwards, TEXT_EMPTY, TEXT_TOO_DETAILED; what the font raises; whatever `check_cancelled` raises.
    """
    _check_style(style)
    lines = _lines(text)
    _refuse_missing(lines, font)
    scale = style.cap_height_mm / font.cap_height
    placed = _placed(lines, font, style, scale)
    budget = _Nodes(max_nodes)
    tolerance = style.tolerance_mm / scale
    areas: list[BaseGeometry] = []
    strokes: list[tuple[NDArray[np.float64], bool]] = []
    shapes: dict[int, BaseGeometry] = {}
    for each in placed:
        check_cancelled()
        if font.filled or font.pen_width:
            key = id(each.glyph)  # the same glyph is drawn once; `placed` keeps it alive
            if key not in shapes:
                shapes[key] = _area(each.glyph, font, tolerance, budget)
            budget.spend(int(shapely.get_num_coordinates(shapes[key])))
            areas.append(_moved(shapes[key], scale, each))
        else:
            for contour in each.glyph.contours:
                points = _on_sheet(_points(contour, tolerance, budget), scale, each)
                strokes.append((points, contour.closed))
    paths = area_paths(shapely.union_all(areas)) if areas else tuple(path_of(p, closed=c) for p, c in strokes)
    if not paths:
        raise InvalidArgument.of_field("text", "there is nothing to see in the text.", reason="TEXT_EMPTY")
    return _from_corner(paths)


def _check_style(style: TextStyle) -> None:
    for field, value, low, high in (
        ("cap_height_mm", style.cap_height_mm, MIN_CAP_HEIGHT_MM, MAX_CAP_HEIGHT_MM),
        ("letter_spacing_mm", style.letter_spacing_mm, -MAX_SPACING_MM, MAX_SPACING_MM),
        ("line_spacing", style.line_spacing, MIN_LINE_SPACING, MAX_LINE_SPACING),
        ("tolerance_mm", style.tolerance_mm, MIN_TOLERANCE_MM, MAX_TOLERANCE_MM),
    ):
        if not (math.isfinite(value) and low <= value <= high):
            raise InvalidArgument.of_field(field, f"{value:g} is outside {low:g} to {high:g}.")


def _lines(text: str) -> list[str]:
    if len(text) > MAX_CHARACTERS:
        raise InvalidArgument.of_field("text", f"{len(text)} characters; at most {MAX_CHARACTERS}.")
    composed = unicodedata.normalize("NFC", text.replace("\r\n", "\n"))
    joining = {c for c in composed if unicodedata.category(c) in _JOINING or unicodedata.bidirectional(c) in _LEFTWARDS}
    if joining:
        words = (
            f"{_named(joining)}: kerf sets letters side by side from left to right, and these join or run leftwards."
        )
        raise InvalidArgument.of_field("text", words, reason="TEXT_UNSUPPORTED")
    return composed.split("\n")


def _refuse_missing(lines: list[str], font: Font) -> None:
    missing = {character for line in lines for character in line if font.glyph(character) is None}
    if missing:
        text = f"the font {font.name} has no glyph for {_named(missing)}."
        raise InvalidArgument.of_field("text", text, reason="TEXT_MISSING_GLYPHS")


def _named(characters: set[str]) -> str:
    """Characters with their numbers, since many cannot be seen."""
    shown = [f"{c if c.isprintable() else '?'} (U+{ord(c):04X})" for c in sorted(characters)]
    more = len(shown) - _NAMED
    return ", ".join(shown[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _placed(lines: list[str], font: Font, style: TextStyle, scale: float) -> list[_Placed]:
    spacing = style.letter_spacing_mm / scale
    set_lines = [_line(line, font, spacing) for line in lines]
    widest = max(width for _, width in set_lines)
    share = {Alignment.LEFT: 0.0, Alignment.CENTER: 0.5, Alignment.RIGHT: 1.0}[style.alignment]
    placed = []
    for number, (glyphs, width) in enumerate(set_lines):
        x, y = share * (widest - width), -number * style.line_spacing * font.line_height
        placed += [_Placed(glyph, x + at, y) for glyph, at in glyphs if glyph.contours]
    return placed


def _line(line: str, font: Font, spacing: float) -> tuple[list[tuple[Glyph, float]], float]:
    """The glyphs of a line with their places, and its width without the space after its last letter."""
    glyphs: list[tuple[Glyph, float]] = []
    x = 0.0
    for number, character in enumerate(line):
        glyph = font.glyph(character)
        assert glyph is not None  # checked for the whole text before
        if number:
            x += font.kerning(line[number - 1], character) + spacing
        glyphs.append((glyph, x))
        x += glyph.advance
    return glyphs, x


@dataclass
class _Nodes:
    left: int

    def spend(self, nodes: int) -> None:
        self.left -= nodes
        if self.left < 0:
            raise _too_detailed()


def _too_detailed() -> InvalidArgument:
    text = "the text has too many points; use a shorter one, a simpler font or a wider tolerance."
    return InvalidArgument.of_field("text", text, reason="TEXT_TOO_DETAILED")


def _area(glyph: Glyph, font: Font, tolerance: float, budget: _Nodes) -> BaseGeometry:
    outlines = [_points(contour, tolerance, budget) for contour in glyph.contours]
    if font.filled:
        return wound_area(outlines)
    lines = [
        shapely.LineString(np.concatenate([points, points[:1]]) if contour.closed else points)
        for points, contour in zip(outlines, glyph.contours, strict=True)
    ]
    return shapely.union_all(lines).buffer(font.pen_width / 2, quad_segs=PEN_SEGMENTS)


def _points(contour: Contour, tolerance: float, budget: _Nodes) -> NDArray[np.float64]:
    """The contour as a polyline; of a closed one without the repetition of its first point."""
    points = [contour.curves[0][0]]
    for curve in contour.curves:
        try:
            following = bezier_points(list(curve), tolerance, budget.left) if len(curve) > 2 else [curve[-1]]
        except InvalidArgument as error:  # it speaks of an SVG
            raise _too_detailed() from error
        budget.spend(len(following))
        points += following
    if contour.closed:
        points.pop()
    return np.array([(point.real, point.imag) for point in points])


def _moved(area: BaseGeometry, scale: float, placed: _Placed) -> BaseGeometry:
    return shapely.transform(area, lambda points: _on_sheet(points, scale, placed))


def _on_sheet(points: NDArray[np.float64], scale: float, placed: _Placed) -> NDArray[np.float64]:
    """Millimetres, y down, of points of a glyph."""
    moved: NDArray[np.float64] = np.add(points, (placed.x, placed.y)) * (scale, -scale)
    return moved


def _from_corner(paths: tuple[Path, ...]) -> tuple[Path, ...]:
    corner = np.min([path.bounds[:2] for path in paths], axis=0)
    return tuple(path_of(path.points_mm - corner, closed=path.closed) for path in paths)

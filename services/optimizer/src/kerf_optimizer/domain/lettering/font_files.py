"""TrueType and OpenType fonts from anybody. fontTools reads outlines; what it would unpack without a bound, kerf does.

A font is refused rather than guessed at: collections, web fonts, CID-keyed and variable CFF2 outlines are not read.
Of a variable TrueType font the default instance is drawn. Hints are not run.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

from fontTools.misc.psCharStrings import T2OutlineExtractor
from fontTools.misc.sstruct import Error as FieldError
from fontTools.pens.basePen import BasePen, PenError
from fontTools.ttLib import TTFont, TTLibError

from kerf_core.errors import InvalidArgument
from kerf_optimizer.domain.lettering.font_tables import CharacterMap, Kerning, read_directory
from kerf_optimizer.domain.lettering.glyphs import (
    Contour,
    Curve,
    FontLimits,
    Glyph,
    font_damaged,
    font_too_large,
)

T = TypeVar("T")
FONT_MAGIC = (b"\x00\x01\x00\x00", b"true", b"OTTO")
CAP_SHARE_OF_EM = 0.7
"""Where a font has no H to measure."""
MAX_GLYPH_DEPTH = 8
_CACHED_GLYPHS = 512
# What fontTools and struct answer hostile bytes with.
_DAMAGE = (
    struct.error,
    TTLibError,
    FieldError,
    PenError,
    ValueError,
    IndexError,
    KeyError,
    TypeError,
    AttributeError,
    AssertionError,
    ArithmeticError,
    NotImplementedError,
    EOFError,
    RecursionError,
)
_Matrix = tuple[float, float, float, float, float, float]
_UNMOVED: _Matrix = (1.0, 0.0, 0.0, 1.0, 0.0, 0.0)


def is_font(data: bytes) -> bool:
    """True if the bytes begin as a TTF or OTF file does."""
    return data[:4] in FONT_MAGIC


class FontFile:
    """A font of outlines. Not for several threads at once.

    Raises InvalidArgument (FONT_DAMAGED, FONT_TOO_LARGE) when it is made and from every method.
    """

    filled = True
    pen_width = 0.0

    def __init__(self, data: bytes, name: str, limits: FontLimits) -> None:
        if len(data) > limits.max_bytes:
            raise font_too_large(f"{len(data):,} bytes; at most {limits.max_bytes:,}")
        if not is_font(data):
            raise font_damaged("it is neither a TTF nor an OTF file")
        self.name = name
        self._limits = limits
        _careful(self._open, data)
        self._cached_glyph = lru_cache(_CACHED_GLYPHS)(self._glyph)
        self._cached_kerning = lru_cache(_CACHED_GLYPHS)(self._kerning)
        self.cap_height = self._cap_height()

    def _open(self, data: bytes) -> None:
        tables = read_directory(data)
        self._characters = CharacterMap(tables["cmap"])
        self._pairs = Kerning(tables.get("GPOS", b""), tables.get("kern", b""))
        font: Any = TTFont(io.BytesIO(data), lazy=True)
        # Names of glyphs are not needed, and the tables that hold them are one more thing to read.
        self._names = [f"g{number}" for number in range(font["maxp"].numGlyphs)]
        font.setGlyphOrder(self._names)
        self._font = font
        self._advances = font["hmtx"].metrics
        head, hhea = font["head"], font["hhea"]
        self._em = float(head.unitsPerEm)
        if not 16 <= self._em <= 16_384:
            raise ValueError(f"{self._em:g} units to the em")
        self.line_height = float(hhea.ascent - hhea.descent + hhea.lineGap)
        if not 0 < self.line_height < 10 * self._em:
            self.line_height = 1.2 * self._em
        if "glyf" in tables:
            self._outlines: Any = font["glyf"]
        else:
            self._outlines = _cff_outlines(font)
        self._is_cff = "glyf" not in tables

    def glyph(self, character: str) -> Glyph | None:
        """See `Font`."""
        return self._cached_glyph(character)

    def kerning(self, left: str, right: str) -> float:
        """See `Font`."""
        return self._cached_kerning(left, right)

    def _cap_height(self) -> float:
        capital = self.glyph("H")
        heights = [point.imag for contour in capital.contours for c in contour.curves for point in c] if capital else []
        return max(heights) if heights and max(heights) > 0 else CAP_SHARE_OF_EM * self._em

    def _glyph(self, character: str) -> Glyph | None:
        return _careful(self._read_glyph, character)

    def _kerning(self, left: str, right: str) -> float:
        return _careful(lambda pair: float(self._pairs.units(*map(self._characters.glyph, pair))), left + right)

    def _read_glyph(self, character: str) -> Glyph | None:
        number = self._characters.glyph(character)
        if not 0 < number < len(self._names):
            return None
        pen = _CurvePen(self._limits)
        if self._is_cff:
            self._draw_program(number, pen)
        else:
            self._draw_outline(self._names[number], _UNMOVED, pen, 0)
        return Glyph(tuple(pen.contours), float(self._advances[self._names[number]][0]))

    def _draw_program(self, number: int, pen: _CurvePen) -> None:
        program = self._outlines[number]
        budget = _Budget(self._limits.max_steps_per_glyph)

        class Bounded(T2OutlineExtractor):  # type: ignore[misc]  # fontTools has no annotations
            def execute(self, program: Any) -> None:
                budget.spend(1 + len(program.bytecode or program.program))
                super().execute(program)

        program.outlineExtractor = Bounded
        program.draw(pen)

    def _draw_outline(self, name: str, matrix: _Matrix, pen: _CurvePen, depth: int) -> None:
        glyph = self._outlines[name]
        if not glyph.isComposite():
            if glyph.numberOfContours > 0:
                pen.matrix = matrix
                glyph.draw(pen, self._outlines)
            return
        if depth >= MAX_GLYPH_DEPTH:
            raise font_too_large("glyphs made of glyphs made of glyphs")
        for component in glyph.components:
            pen.components += 1
            if pen.components > self._limits.max_components_per_glyph:
                raise font_too_large("a glyph of too many parts")
            part, inner = component.getComponentInfo()
            self._draw_outline(part, _combined(matrix, inner), pen, depth + 1)


class _Budget:
    def __init__(self, steps: int) -> None:
        self._steps = steps

    def spend(self, steps: int) -> None:
        self._steps -= steps
        if self._steps < 0:
            raise font_too_large("a glyph whose program runs too long")


class _CurvePen(BasePen):  # type: ignore[misc]  # fontTools has no annotations
    """Collects contours, moved by `matrix`, as long as they have few enough points."""

    def __init__(self, limits: FontLimits) -> None:
        super().__init__(None)
        self.matrix = _UNMOVED
        self.components = 0
        self.contours: list[Contour] = []
        self._points_left = limits.max_points_per_glyph
        self._curves: list[Curve] = []
        self._start = 0j

    def _moveTo(self, point: tuple[float, float]) -> None:  # noqa: N802 - the name is BasePen's
        self._endPath()
        self._start = self._placed(point)

    def _lineTo(self, point: tuple[float, float]) -> None:  # noqa: N802 - the name is BasePen's
        self._add(point)

    def _curveToOne(self, *points: tuple[float, float]) -> None:  # noqa: N802 - the name is BasePen's
        self._add(*points)

    def _qCurveToOne(self, *points: tuple[float, float]) -> None:  # noqa: N802 - the name is BasePen's
        self._add(*points)

    def _closePath(self) -> None:  # noqa: N802 - the name is BasePen's
        self._endPath()

    def _endPath(self) -> None:  # noqa: N802 - the name is BasePen's
        if self._curves:
            first, last = self._curves[0][0], self._curves[-1][-1]
            if first != last:
                self._curves.append((last, first))
            self.contours.append(Contour(tuple(self._curves), closed=True))
        self._curves = []

    def _add(self, *points: tuple[float, float]) -> None:
        self._points_left -= len(points)
        if self._points_left < 0:
            raise font_too_large("a glyph of too many points")
        start = self._curves[-1][-1] if self._curves else self._start
        self._curves.append((start, *(self._placed(point) for point in points)))

    def _placed(self, point: tuple[float, float]) -> complex:
        xx, xy, yx, yy, dx, dy = self.matrix
        x, y = point
        return complex(xx * x + yx * y + dx, xy * x + yy * y + dy)


def _combined(outer: _Matrix, inner: _Matrix) -> _Matrix:
    xx, xy, yx, yy, dx, dy = inner
    a, b, c, d, e, f = outer
    return (
        a * xx + c * xy,
        b * xx + d * xy,
        a * yx + c * yy,
        b * yx + d * yy,
        a * dx + c * dy + e,
        b * dx + d * dy + f,
    )


def _cff_outlines(font: Any) -> Any:
    """The programs of all glyphs by number."""
    top = font["CFF "].cff.topDictIndex[0]
    if "ROS" in top.rawDict:
        raise ValueError("its outlines are CID-keyed, which kerf does not read")
    return top.CharStrings.charStringsIndex


def _careful(read: Callable[[Any], T], argument: Any) -> T:
    try:
        return read(argument)
    except InvalidArgument:
        raise
    except _DAMAGE as error:
        raise font_damaged(str(error) or type(error).__name__) from error

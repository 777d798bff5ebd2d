"""Small fonts, built for the tests: squares and triangles with a hole, kerned, as TrueType and as OpenType."""

from __future__ import annotations

import io
from typing import Any

from fontTools.feaLib.builder import addOpenTypeFeaturesFromString
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.t2CharStringPen import T2CharStringPen
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib import newTable
from fontTools.ttLib.tables._k_e_r_n import KernTable_format_0

EM = 1000
CAP_HEIGHT = 700
KERN_A_V = -120
NAMES = {".notdef": 500, "space": 300, "A": 600, "V": 600, "H": 600, "O": 700, "ring": 700}
CODES = {0x20: "space", 0x41: "A", 0x56: "V", 0x48: "H", 0x4F: "O", 0x1F600: "ring"}
SHAPES: dict[str, list[list[tuple[int, int]]]] = {
    ".notdef": [],
    "space": [],
    "A": [[(0, 0), (300, 700), (600, 0)]],
    "V": [[(0, 700), (600, 700), (300, 0)]],
    # Two bars that overlap with a third: one area by the non-zero rule.
    "H": [
        [(0, 0), (0, 700), (150, 700), (150, 0)],
        [(450, 0), (450, 700), (600, 700), (600, 0)],
        [(100, 300), (100, 400), (500, 400), (500, 300)],
    ],
    # An outline with a hole that runs the other way.
    "O": [[(0, 0), (0, 700), (700, 700), (700, 0)], [(200, 200), (500, 200), (500, 500), (200, 500)]],
    # An outline, its hole, and an island in the hole.
    "ring": [
        [(0, 0), (0, 700), (700, 700), (700, 0)],
        [(100, 100), (600, 100), (600, 600), (100, 600)],
        [(300, 300), (300, 400), (400, 400), (400, 300)],
    ],
}


def _draw(pen: Any, name: str) -> None:
    for contour in SHAPES[name]:
        pen.moveTo(contour[0])
        for point in contour[1:]:
            pen.lineTo(point)
        pen.closePath()


def _builder(is_ttf: bool) -> Any:
    builder = FontBuilder(EM, isTTF=is_ttf)
    builder.setupGlyphOrder(list(NAMES))
    builder.setupCharacterMap(CODES)
    builder.setupHorizontalMetrics({name: (advance, 0) for name, advance in NAMES.items()})
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    return builder


def _finished(builder: Any, kerning: str) -> bytes:
    builder.setupOS2()
    builder.setupPost()
    if kerning == "GPOS pairs":
        addOpenTypeFeaturesFromString(builder.font, f"feature kern {{ pos A V {KERN_A_V}; pos V A 50; }} kern;")
    elif kerning == "GPOS classes":
        classes = f"@l=[A O]; @r=[V H]; feature kern {{ pos @l @r {KERN_A_V}; pos A A 10; }} kern;"
        addOpenTypeFeaturesFromString(builder.font, classes)
    elif kerning == "GPOS extension":
        pairs = f"lookup far useExtension {{ pos A V {KERN_A_V}; }} far; feature kern {{ lookup far; }} kern;"
        addOpenTypeFeaturesFromString(builder.font, pairs)
    elif kerning == "kern":
        table, old = newTable("kern"), KernTable_format_0()
        old.coverage, old.kernTable = 1, {("A", "V"): KERN_A_V}
        table.version, table.kernTables = 0, [old]
        builder.font["kern"] = table
    out = io.BytesIO()
    builder.save(out)
    return out.getvalue()


def truetype(kerning: str = "GPOS pairs") -> bytes:
    builder = _builder(is_ttf=True)
    glyphs = {}
    for name in NAMES:
        pen = TTGlyphPen(None)
        _draw(pen, name)
        glyphs[name] = pen.glyph()
    builder.setupGlyf(glyphs)
    return _finished(builder, kerning)


def self_made(parts: dict[str, list[str]]) -> bytes:
    """A TrueType font where glyphs are made of others: `parts` by name."""
    builder = _builder(is_ttf=True)
    glyphs = {}
    for name in NAMES:
        pen = TTGlyphPen(dict.fromkeys(NAMES))
        for part in parts.get(name, []):
            pen.addComponent(part, (1, 0, 0, 1, 10, 0))
        if name not in parts:
            _draw(pen, name)
        glyphs[name] = pen.glyph()
    builder.font["maxp"].recalc = lambda font: None
    builder.setupGlyf(glyphs, calcGlyphBounds=False)
    return _finished(builder, "")


def opentype(programs: dict[str, Any] | None = None, subroutines: list[Any] | None = None) -> bytes:
    """The same outlines as programs; `programs` replaces some, `subroutines` are the font's own."""
    builder = _builder(is_ttf=False)
    drawn = {}
    for name, advance in NAMES.items():
        pen = T2CharStringPen(advance, None)
        _draw(pen, name)
        drawn[name] = pen.getCharString()
    builder.setupCFF("Test", {}, {**drawn, **(programs or {})}, {})
    if subroutines:
        private = builder.font["CFF "].cff.topDictIndex[0].Private
        from fontTools.cffLib import SubrsIndex

        private.Subrs = SubrsIndex(isCFF2=False)
        for program in subroutines:
            private.Subrs.append(program)
    return _finished(builder, "GPOS pairs")

"""What fonts of all kinds give: glyphs of Bézier curves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from kerf_core.errors import InvalidArgument

Curve = tuple[complex, ...]
"""Control points of a Bézier curve of degree 1 to 3, from its start to its end; x + iy, y up."""


@dataclass(frozen=True)
class Contour:
    """Curves that follow each other. A closed one ends where it begins."""

    curves: tuple[Curve, ...]
    closed: bool


@dataclass(frozen=True)
class Glyph:
    """What stands for a character: contours, and how far it is to the next one, in units of the font."""

    contours: tuple[Contour, ...]
    advance: float


class Font(Protocol):
    """A font. Units are its own; `cap_height` and `line_height` are in them."""

    name: str
    cap_height: float
    line_height: float
    filled: bool
    """Contours bound areas (wound as TrueType does); otherwise they are strokes of a pen."""
    pen_width: float
    """How wide a stroke is drawn; 0 = a line without width."""

    def glyph(self, character: str) -> Glyph | None:
        """None = the font does not have the character. Raises InvalidArgument (FONT_DAMAGED, FONT_TOO_LARGE)."""
        ...

    def kerning(self, left: str, right: str) -> float:
        """How much closer (negative) `right` moves to `left`. Raises InvalidArgument (FONT_DAMAGED)."""
        ...


@dataclass(frozen=True)
class FontLimits:
    """What is refused: InvalidArgument FONT_TOO_LARGE."""

    max_bytes: int = 8 << 20
    max_points_per_glyph: int = 4_000
    max_components_per_glyph: int = 64
    max_steps_per_glyph: int = 1_000_000
    """Bytes of the program of a glyph of an OpenType font, each call of a subroutine counted anew."""


def font_damaged(what: str) -> InvalidArgument:
    """The error for a font that cannot be read."""
    return InvalidArgument("FONT_DAMAGED", f"The font cannot be used: {what[:200]}. Send a TTF or OTF file.")


def font_too_large(what: str) -> InvalidArgument:
    """The error for a font over a limit."""
    return InvalidArgument("FONT_TOO_LARGE", f"The font has {what}. Send a simpler one.")

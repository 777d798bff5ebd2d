"""Draws glyphs of installed fonts as pictures for the judge. Fonts serve measuring only, and are never shipped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from kerf_world.kinds import Subject

from .glyphs import Font, Inking
from .normalising import SIZE_PX, Pixels

_PLAIN_PX = 200
_EMOJI_PX = 109
"""The one size that a font of bitmaps has."""
_SHEET_PX = 480
_ROOM_PX = 112
_LEAST_CHANGE = 36
_WHITEST = 0.8
"""What is white in an emoji becomes a light grey on white paper."""
_NO_CHARACTER = "\U0010fffe"

Colour = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class GlyphPicture:
    """A glyph as (128, 128) uint8, 255 = paper, and what it shows."""

    subject: Subject
    glyph: str
    inking: Inking
    picture: Pixels


def glyph_pictures(font: Font, fonts_folder: Path) -> Iterator[GlyphPicture]:
    """Draw all glyphs of the font's table that the font has.

    Raises FileNotFoundError if the font is not installed.
    """
    path = fonts_folder / font.file
    if not path.is_file():
        raise FileNotFoundError(f"{font.name} is not in {fonts_folder}: install the Debian package {font.package}")
    bitmaps = Inking.PLAIN not in font.inkings
    face = ImageFont.truetype(str(path), _EMOJI_PX if bitmaps else _PLAIN_PX)
    missing = _drawn(face, _NO_CHARACTER)
    for subject, glyphs in font.glyphs.items():
        for glyph in glyphs:
            drawn = _drawn(face, glyph)
            if glyph in font.left_out or not (drawn < 255).any() or np.array_equal(drawn, missing):
                continue
            for inking in font.inkings:
                yield GlyphPicture(subject, glyph, inking, _fitted(_inked(face, glyph, inking)))


def _drawn(face: ImageFont.FreeTypeFont, glyph: str, ground: str = "white") -> Colour:
    sheet = Image.new("RGB", (_SHEET_PX, _SHEET_PX), ground)
    middle = (_SHEET_PX // 2, _SHEET_PX // 2)
    ImageDraw.Draw(sheet).text(middle, glyph, font=face, fill="black", anchor="mm", embedded_color=True)
    return np.asarray(sheet, dtype=np.uint8)


def _inked(face: ImageFont.FreeTypeFont, glyph: str, inking: Inking) -> Pixels:
    drawn = _drawn(face, glyph)
    if inking is Inking.PLAIN:
        return np.asarray(cv2.cvtColor(drawn, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
    # A white bird is seen on black ground only.
    on_black = _drawn(face, glyph, "black")
    if inking is Inking.LINES:
        change = np.maximum(_change(drawn), _change(on_black))
        return np.where(change > _LEAST_CHANGE, 0, 255).astype(np.uint8)
    bare = cv2.absdiff(drawn, on_black).max(axis=2).astype(np.float32) / np.float32(255.0)
    grey = cv2.cvtColor(on_black, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return np.asarray(np.round(grey * _WHITEST + 255.0 * bare), dtype=np.uint8)


def _change(drawn: Colour) -> Pixels:
    """How much the colour changes around each pixel, as the largest difference of lightness or hue in CIELAB."""
    smooth = cv2.medianBlur(cv2.cvtColor(drawn, cv2.COLOR_RGB2LAB), 5)
    return np.asarray(cv2.morphologyEx(smooth, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)).max(axis=2), np.uint8)


def _fitted(grey: Pixels) -> Pixels:
    """Centre the ink on a picture, as large as a drawing of the world."""
    rows, columns = np.flatnonzero((grey < 245).any(axis=1)), np.flatnonzero((grey < 245).any(axis=0))
    if not len(rows):
        return np.full((SIZE_PX, SIZE_PX), 255, dtype=np.uint8)
    ink = grey[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = _ROOM_PX / max(ink.shape)
    size = (max(1, round(ink.shape[1] * scale)), max(1, round(ink.shape[0] * scale)))
    small = cv2.resize(ink, size, interpolation=cv2.INTER_AREA if scale < 1.0 else cv2.INTER_LINEAR)
    picture = np.full((SIZE_PX, SIZE_PX), 255, dtype=np.uint8)
    top, left = (SIZE_PX - small.shape[0]) // 2, (SIZE_PX - small.shape[1]) // 2
    picture[top : top + small.shape[0], left : left + small.shape[1]] = small
    return picture

"""Draws a layout in one of the six styles."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from . import paint
from .bridges import bridge_islands, cut_bars, gap_border
from .composition import Layout, compose
from .dialect import TRAINING, Dialect, between
from .drawing import SIZE_PX, Picture
from .facets import paint_facets
from .paint import Sheet
from .scenes import Scene, Style

OVERSAMPLING = 3
_THINNEST_PX = 1.5
"""Nothing is drawn thinner, counted at 128 px."""
_STYLE_HANDS = 2
_LIGHT_SWELL = 0.3

_Field = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Drawn:
    """A picture, (N, N) uint8 with 255 = paper; `layout` is the geometry that it was drawn from."""

    scene: Scene
    dialect: Dialect
    layout: Layout
    picture: Picture


def draw(scene: Scene, dialect: Dialect = TRAINING, size_px: int = SIZE_PX) -> Drawn:
    """Draw a scene. Equal arguments give equal bytes, in any process."""
    layout = compose(scene, dialect)
    sheet = render(layout, scene, dialect, size_px * OVERSAMPLING)
    return Drawn(scene, dialect, layout, shrunk(255 - sheet, size_px))


def shrunk(sheet: Sheet, size_px: int) -> Picture:
    """A sheet averaged down to the size of the picture."""
    return np.asarray(cv2.resize(sheet, (size_px, size_px), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def render(layout: Layout, scene: Scene, dialect: Dialect, sheet_px: int) -> Sheet:
    """Return the ink of a picture, (sheet_px, sheet_px) uint8, 255 = ink."""
    rng = np.random.default_rng([scene.seed, _STYLE_HANDS])
    pixel = sheet_px / SIZE_PX
    line_px = between(rng, dialect.line_px) * pixel
    sheet = paint.blank(sheet_px)
    match scene.style:
        case Style.SILHOUETTE:
            for drawing in layout.drawings:
                paint.paint_solid(sheet, drawing, _THINNEST_PX * pixel)
        case Style.LINE_ART:
            _tones(sheet, layout, line_px)
            sheet = _lines_of(sheet)
        case Style.ENGRAVING:
            _tones(sheet, layout, min(line_px, 2.2 * pixel))
            sheet = _screened(sheet, _hatching(sheet_px, dialect, rng))
        case Style.HALFTONE:
            _tones(sheet, layout, min(line_px, 2.0 * pixel))
            sheet = _screened(sheet, _dots(sheet_px, dialect, rng))
        case Style.STENCIL:
            # What is drawn smaller is held by narrower bridges, or little of it would be left.
            share = 1.0 if len(layout.drawings) == 1 else 0.75
            return _stencil(sheet, layout, max(between(rng, dialect.bridge_px) * share, 2.2) * pixel, rng)
        case Style.MANDALA if scene.faceted:
            paint_facets(sheet, layout, between(rng, dialect.facet_px) * pixel, min(line_px, 2.2 * pixel), rng)
        case Style.MANDALA:
            _centred(sheet, layout, line_px, pixel, rng)
    for line in layout.border:
        paint.draw_line(sheet, line.points, paint.INK, max(line.width * sheet_px / 2, 1.6 * pixel), closed=True)
    return sheet


def _tones(sheet: Sheet, layout: Layout, line_px: float) -> None:
    for drawing in layout.drawings:
        paint.paint_tones(sheet, drawing, line_px)


def _lines_of(sheet: Sheet) -> Sheet:
    return np.where(sheet == paint.INK, np.uint8(paint.INK), np.uint8(paint.PAPER))


def _screened(tones: Sheet, screen: Sheet) -> Sheet:
    """Ink where the tone is darker than the screen; lines are darkest, paper is never darker."""
    ink = cv2.compare(tones, screen, cv2.CMP_GT)
    ink[tones == 0] = 0
    return np.asarray(ink, dtype=np.uint8)


def _stencil(sheet: Sheet, layout: Layout, bridge_px: float, rng: np.random.Generator) -> Sheet:
    grooved = bool(rng.random() < 0.5) and len(layout.drawings) == 1
    for drawing in layout.drawings:
        paint.paint_apart(sheet, drawing, bridge_px * (0.85 if len(layout.drawings) == 1 else 0.7), grooved=grooved)
    cut_bars(sheet, layout.drawings, bridge_px, rng)
    for line in layout.border:
        width_px = max(line.width * sheet.shape[0] / 2, bridge_px * 0.8)
        paint.draw_line(sheet, line.points, paint.INK, width_px, closed=True)
    if layout.border:
        gap_border(sheet, layout.border, bridge_px * 1.4, rng)
    return bridge_islands(sheet, bridge_px, sheet.shape[0] // OVERSAMPLING)


def _centred(sheet: Sheet, layout: Layout, line_px: float, pixel: float, rng: np.random.Generator) -> None:
    thin_px = min(line_px, 2.0 * pixel)
    paint.paint_tones(sheet, layout.ornament, thin_px)
    # The ornament's darkest regions are ink, the others paper within lines.
    sheet[:] = np.where(sheet >= 190, paint.INK, paint.PAPER)
    if rng.random() < 0.5:
        for drawing in layout.drawings:
            paint.paint_solid(sheet, drawing, _THINNEST_PX * pixel)
    else:
        centre = paint.blank(sheet.shape[0])
        _tones(centre, layout, thin_px)
        cv2.bitwise_or(sheet, _lines_of(centre), dst=sheet)


@lru_cache(maxsize=4)
def _axes(sheet_px: int) -> tuple[_Field, _Field]:
    along = (np.arange(sheet_px, dtype=np.float32) + np.float32(0.5)) / np.float32(sheet_px / SIZE_PX)
    return along[None, :], along[:, None]


def _light(sheet_px: int) -> _Field:
    """From -0.5 at the upper left, where the light stands, to 0.5."""
    x, y = _axes(sheet_px)
    return np.asarray((x + y) / np.float32(2 * SIZE_PX) - np.float32(0.5), dtype=np.float32)


def _hatching(sheet_px: int, dialect: Dialect, rng: np.random.Generator) -> Sheet:
    """A screen of parallel lines that swell with the tone and away from the light, as a burin cuts deeper."""
    x, y = _axes(sheet_px)
    slope = np.tan(np.radians(between(rng, dialect.hatch_deg)))
    period = between(rng, dialect.hatch_px)
    phase = 0.0
    if not dialect.in_step:
        slope *= float(rng.choice([-1.0, 1.0]))
        phase = float(rng.random())
    shade = np.float32(_LIGHT_SWELL) * _light(sheet_px)
    screen = _grooves(x, y, slope, period, phase)
    least = np.float32(0.28)
    swollen = np.where(screen < least, 0.0, np.clip(screen - shade, 0.01, 1.0))
    if rng.random() < dialect.crossed_share:
        # The lines that cross appear in dark tones only.
        other = _grooves(x, y, -slope, period, phase)
        swollen = np.minimum(swollen, np.where(other < least, 0.42, 1.0))
    swollen = np.where(screen > 0.78, np.maximum(swollen, 0.97), swollen)
    return np.asarray(swollen * 252.0, dtype=np.uint8)


def _grooves(x: _Field, y: _Field, slope: float, period: float, phase: float) -> _Field:
    wave = (x + y * np.float32(slope)) * np.float32(1.0 / period) + np.float32(phase)
    wave -= np.floor(wave)
    return np.asarray(np.abs(wave - np.float32(0.5)) * np.float32(2.0), dtype=np.float32)


def _dots(sheet_px: int, dialect: Dialect, rng: np.random.Generator) -> Sheet:
    """A screen of round dots that grow with the tone and away from the light."""
    x, y = _axes(sheet_px)
    pitch = between(rng, dialect.dot_px)
    angle = np.radians(between(rng, dialect.screen_deg))
    cos, sin = np.float32(np.cos(angle) / pitch), np.float32(np.sin(angle) / pitch)
    shift = np.zeros(2, dtype=np.float32) if dialect.in_step else rng.random(2).astype(np.float32)
    u, v = x * cos + y * sin + shift[0], y * cos - x * sin + shift[1]
    u -= np.floor(u) + np.float32(0.5)
    v -= np.floor(v) + np.float32(0.5)
    area = (u * u + v * v) * np.float32(np.pi)
    # A dot is never so small that it does not burn, nor so large that it closes with its neighbours.
    swollen = np.where(area < 0.1, 0.0, np.clip(area - np.float32(_LIGHT_SWELL) * _light(sheet_px), 0.01, 1.0))
    swollen = np.where(area > 0.55, np.maximum(swollen, 0.99), swollen)
    return np.asarray(swollen * 252.0, dtype=np.uint8)

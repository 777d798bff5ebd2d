"""Paints drawings onto a sheet that is larger than the picture: as tones within outlines, as solid ink, or cut apart.

A sheet is (N, N) uint8. On a sheet of tones 255 is a line, 0 is paper, and what lies between is how dark a region is.
Outlines are not searched for: a region is painted a little too large in ink and then again in its tone.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby

import cv2
import numpy as np
from numpy.typing import NDArray

from .drawing import Drawing, Part, Role
from .geometry import Points

Sheet = NDArray[np.uint8]

INK = 255
PAPER = 0
_FRACTION_BITS = 4
_DARKEST_TONE = 250


def blank(sheet_px: int) -> Sheet:
    """An empty sheet."""
    return np.zeros((sheet_px, sheet_px), dtype=np.uint8)


def paint_tones(sheet: Sheet, drawing: Drawing, line_px: float) -> None:
    """Outline every region of the drawing and fill it with its tone; `line_px` counts pixels of the sheet."""
    for are_holes, run in groupby(drawing, key=lambda part: part.role is Role.HOLE):
        parts = list(run)
        # A hole has an edge only in what it cuts: where there is paper already, it leaves none.
        outside = sheet == PAPER if are_holes else None
        for part in parts:
            _paint_tone(sheet, part, line_px)
        if outside is not None:
            sheet[outside] = PAPER


def _paint_tone(sheet: Sheet, part: Part, line_px: float) -> None:
    if part.role is Role.PEN:
        _paint(sheet, part, INK, thinnest_px=line_px * 0.85)
        return
    tone = PAPER if part.role is Role.HOLE else max(1, round(part.tone * _DARKEST_TONE))
    thin = tuple(stroke for stroke in part.strokes if stroke.width * sheet.shape[0] / 2 < line_px * 1.3)
    if thin and part.role is Role.BODY:
        # Too thin for two outlines with something between them: a line.
        _paint(sheet, Part(strokes=thin), INK, thinnest_px=line_px)
        part = replace(
            part, strokes=tuple(stroke for stroke in part.strokes if not any(stroke is line for line in thin))
        )
    _paint(sheet, part, INK, grow_px=line_px, thinnest_px=line_px * 0.4)
    _paint(sheet, part, tone)


def paint_solid(sheet: Sheet, drawing: Drawing, thinnest_px: float) -> None:
    """Paint the regions in ink and the holes in paper; lines of the pen do not show."""
    for part in drawing:
        if part.role is not Role.PEN:
            ink = part.role is Role.BODY
            _paint(sheet, part, INK if ink else PAPER, thinnest_px=thinnest_px)


def paint_apart(sheet: Sheet, drawing: Drawing, gap_px: float, *, grooved: bool) -> None:
    """Paint solid, with a gap of paper around each region; `grooved` shows lines of the pen as paper."""
    for part in drawing:
        if part.role is Role.BODY:
            _paint(sheet, part, PAPER, grow_px=gap_px)
            _paint(sheet, part, INK, thinnest_px=gap_px)
        elif part.role is Role.HOLE or grooved:
            _paint(sheet, part, PAPER, thinnest_px=gap_px)


def paint_whole(sheet: Sheet, drawing: Drawing, grow_px: float = 0.0) -> None:
    """Paint all that the drawing covers, its holes too."""
    for part in drawing:
        if part.role is Role.BODY:
            _paint(sheet, part, INK, grow_px=grow_px)


def to_pixels(points: Points, sheet_px: int) -> NDArray[np.int32]:
    """Points of the unit frame as fixed-point pixels of OpenCV."""
    fixed = np.round(((points + 1.0) / 2.0 * sheet_px - 0.5) * (1 << _FRACTION_BITS))
    return fixed.astype(np.int32).reshape(-1, 1, 2)


def draw_line(sheet: Sheet, points: Points, value: int, width_px: float, *, closed: bool = False) -> None:
    """Draw a polyline of the unit frame with a round pen."""
    run = to_pixels(points, sheet.shape[0])
    cv2.polylines(sheet, [run], closed, (value,), max(1, round(width_px)), cv2.LINE_8, _FRACTION_BITS)


def _paint(sheet: Sheet, part: Part, value: int, *, grow_px: float = 0.0, thinnest_px: float = 1.0) -> None:
    sheet_px = sheet.shape[0]
    for outline in part.outlines:
        run = to_pixels(outline, sheet_px)
        # One by one: what overlaps within one call would count as outside.
        cv2.fillPoly(sheet, [run], (value,), cv2.LINE_8, _FRACTION_BITS)
        if grow_px:
            cv2.polylines(sheet, [run], True, (value,), max(1, round(2 * grow_px)), cv2.LINE_8, _FRACTION_BITS)
    for stroke in part.strokes:
        width_px = max(thinnest_px, stroke.width * sheet_px / 2) + 2 * grow_px
        draw_line(sheet, stroke.points, value, width_px, closed=stroke.closed)

"""Control pictures that match a drawn picture pixel by pixel: edges, lines, a scribble, and a height map."""

from __future__ import annotations

from enum import StrEnum

import cv2
import numpy as np
from numpy.typing import NDArray

from . import paint
from .drawing import SIZE_PX, Drawing, Picture
from .rendering import OVERSAMPLING, Drawn, shrunk

_LINE_PX = 1.6
_SCRIBBLE_PX = 3
_SHAKE_PX = 1.7
_SHAKE_CELLS = 9
_FOOT = 0.35
"""How high the edge of a body stands above the ground, of 1."""
_SHAKE_HANDS = 3


class Control(StrEnum):
    """A kind of control picture: (N, N) uint8, white on black."""

    EDGES = "edges"
    LINES = "lines"
    SCRIBBLE = "scribble"
    DEPTH = "depth"


def control_of(drawn: Drawn, control: Control) -> Picture:
    """Return the control picture of a drawn picture, at its size; equal pictures give equal controls."""
    match control:
        case Control.EDGES:
            return edges_of(drawn.picture)
        case Control.LINES:
            return _lines(drawn)
        case Control.SCRIBBLE:
            return _scribble(drawn)
        case Control.DEPTH:
            return _depth(drawn)


def edges_of(picture: Picture) -> Picture:
    """Edges by Canny (1986) after a slight blur, as anybody makes them from a picture of their own."""
    soft = cv2.GaussianBlur(picture, (0, 0), 0.8 * picture.shape[0] / SIZE_PX)
    return np.asarray(cv2.Canny(soft, 80, 160), dtype=np.uint8)


def _lines(drawn: Drawn, line_px: float = _LINE_PX) -> Picture:
    """The outlines of all parts, whatever the style of the picture."""
    size_px = drawn.picture.shape[0]
    sheet_px = size_px * OVERSAMPLING
    pixel = sheet_px / SIZE_PX
    sheet = paint.blank(sheet_px)
    for drawing in (*drawn.layout.drawings, drawn.layout.ornament):
        paint.paint_tones(sheet, drawing, line_px * pixel)
    sheet = np.where(sheet == paint.INK, np.uint8(paint.INK), np.uint8(paint.PAPER))
    for line in drawn.layout.border:
        paint.draw_line(sheet, line.points, paint.INK, line_px * pixel, closed=True)
    return shrunk(sheet, size_px)


def _scribble(drawn: Drawn) -> Picture:
    """The lines as a shaky hand draws them with a felt pen."""
    size_px = drawn.picture.shape[0]
    pixel = size_px / SIZE_PX
    rng = np.random.default_rng([drawn.scene.seed, _SHAKE_HANDS])
    thick = cv2.dilate(_lines(drawn), _disc(round(_SCRIBBLE_PX * pixel)))
    coarse = rng.normal(0.0, _SHAKE_PX * pixel, (2, _SHAKE_CELLS, _SHAKE_CELLS)).astype(np.float32)
    limit = np.float32(2.0 * _SHAKE_PX * pixel)
    shake = [np.clip(cv2.resize(c, (size_px, size_px), interpolation=cv2.INTER_CUBIC), -limit, limit) for c in coarse]
    y, x = np.mgrid[0:size_px, 0:size_px].astype(np.float32)
    moved = cv2.remap(thick, x + shake[0], y + shake[1], cv2.INTER_LINEAR, borderValue=(0.0,))
    return np.asarray(np.where(moved > 100, 255, 0), dtype=np.uint8)


def _depth(drawn: Drawn) -> Picture:
    """A height map: the ground is black, bodies rise from their edges (by the root of the distance) to white."""
    size_px = drawn.picture.shape[0]
    height: NDArray[np.float32] = np.zeros((size_px, size_px), dtype=np.float32)
    for drawing in (*drawn.layout.drawings, drawn.layout.ornament):
        solid = shrunk(solid_sheet([drawing], size_px), size_px) >= 128
        distance = cv2.distanceTransform(solid.astype(np.uint8), cv2.DIST_L2, 5)
        top = max(float(distance.max()), 1.0)
        height = np.maximum(height, np.where(solid, _FOOT + (1.0 - _FOOT) * np.sqrt(distance / top), 0.0))
    sheet = paint.blank(size_px * OVERSAMPLING)
    for line in drawn.layout.border:
        paint.draw_line(sheet, line.points, paint.INK, line.width * sheet.shape[0] / 2, closed=True)
    height = np.maximum(height, shrunk(sheet, size_px).astype(np.float32) / np.float32(255.0) * np.float32(_FOOT))
    return np.asarray(np.round(height * 255.0), dtype=np.uint8)


def solid_sheet(drawings: list[Drawing], size_px: int) -> paint.Sheet:
    """Bodies in ink and their holes in paper, on a sheet for a picture of `size_px`."""
    sheet = paint.blank(size_px * OVERSAMPLING)
    for drawing in drawings:
        paint.paint_solid(sheet, drawing, 1.5 * OVERSAMPLING * size_px / SIZE_PX)
    return sheet


def _disc(size_px: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size_px, size_px)), dtype=np.uint8)

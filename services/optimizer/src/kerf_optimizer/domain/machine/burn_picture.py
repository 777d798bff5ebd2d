"""A 1-bit picture of all that burns, at the machine's own resolution: black = burn, its pitch in the pHYs chunk.

It covers the box of the burning moves. Where there is a raster, its pixels are the picture's. Every pixel that a
burning move passes over is black, one pixel wide.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from kerf_core.errors import InvalidArgument
from kerf_media import encode_png_1bit
from kerf_optimizer.domain.machine.comparison import differs
from kerf_optimizer.domain.machine.work import UM_PER_MM, Work

CHECK = "burn-picture-read-back"
DOTS_AT_ONCE = 1_000_000
"""Dots that the read-back holds in memory at a time."""
_SLACK_MM = 1 / UM_PER_MM
"""Ends of moves are whole micrometres: nearer to a pixel's border than this they lie on it."""
_SUBPIXEL_BITS = 8
_MM_PER_METRE = 1000.0
Segments = NDArray[np.float64]


def machine_pitch_mm(work: Work) -> float:
    """Side of a pixel: the finest raster's own, else the spot; a whole number of pixels per metre, as PNG states it."""
    pitches = [raster.pitch_mm for layer in work.layers for raster in layer.rasters]
    return _MM_PER_METRE / round(_MM_PER_METRE / (min(pitches) if pitches else work.machine.spot_mm))


def draw_burn(work: Work, max_pixels: int) -> bytes:
    """The picture as PNG. Raises InvalidArgument (PLAN_TOO_LARGE) where it would have more pixels than `max_pixels`."""
    columns, rows = size_px(work)
    if columns * rows > max_pixels:
        text = f"the burn picture would have {columns} × {rows} pixels, more than {max_pixels}; leave it out."
        raise InvalidArgument.of_field("outputs", text, reason="PLAN_TOO_LARGE")
    segments = _burnt_px(work)
    level = np.floor(segments[:, 0, 1]) == np.floor(segments[:, 1, 1])
    burn = _level_pixels(segments[level], rows, columns, _SLACK_MM / machine_pitch_mm(work))
    slanted = np.zeros((rows, columns), dtype=np.uint8)
    # A pixel's middle is its whole number to OpenCV, and its corner here; half a pixel more would lie off the picture.
    middles = np.clip(segments[~level] - 0.5, 0.0, (columns - 1, rows - 1))
    ends = np.rint(middles * (1 << _SUBPIXEL_BITS)).astype(np.int32)
    cv2.polylines(slanted, list(ends), False, 1, 1, cv2.LINE_8, _SUBPIXEL_BITS)
    return encode_png_1bit(burn | (slanted > 0), round(_MM_PER_METRE / machine_pitch_mm(work)))


def size_px(work: Work) -> tuple[int, int]:
    """Columns and rows of the picture."""
    left, top, right, bottom = _box_px(work)
    return right - left, bottom - top


def _box_px(work: Work) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the picture in whole pixels from the anchor."""
    pitch_mm, box = machine_pitch_mm(work), work.toolpath.burn_bounds
    anchor_x, anchor_y = _anchor_mm(work)
    left, right = (box.min_x_mm - anchor_x) / pitch_mm, (box.max_x_mm - anchor_x) / pitch_mm
    top, bottom = (anchor_y - box.max_y_mm) / pitch_mm, (anchor_y - box.min_y_mm) / pitch_mm
    slack = _SLACK_MM / pitch_mm
    low_x, low_y = math.floor(left + slack), math.floor(top + slack)
    high_x, high_y = math.ceil(right - slack), math.ceil(bottom - slack)
    return low_x, low_y, max(high_x, low_x + 1), max(high_y, low_y + 1)


def _anchor_mm(work: Work) -> tuple[float, float]:
    """A corner of pixels: the back left one of the first raster, whose pixels stay pixels, else of what burns."""
    for layer in work.layers:
        for raster in layer.rasters:
            return raster.left_mm, raster.front_mm + raster.burn.shape[0] * raster.pitch_mm
    return work.toolpath.burn_bounds.min_x_mm, work.toolpath.burn_bounds.max_y_mm


def _burnt_px(work: Work) -> Segments:
    """Burning moves as straight segments in pixels from the top left corner, (n, 2, 2)."""
    pitch_mm = machine_pitch_mm(work)
    segments_mm, _ = work.toolpath.pieces_mm(np.flatnonzero(work.toolpath.s > 0), pitch_mm / 4)
    left, top, right, bottom = _box_px(work)
    px = (segments_mm - np.array(_anchor_mm(work))) * np.array([1.0, -1.0]) / pitch_mm - (left, top)
    inside: Segments = np.clip(px, 0.0, np.array([right - left, bottom - top]) - 1e-6)
    return inside


def _level_pixels(segments: Segments, rows: int, columns: int, slack_px: float) -> NDArray[np.bool_]:
    """Pixels that segments within one row pass over by more than the slack: steps up and down, summed along the row."""
    row = np.floor(segments[:, 0, 1]).astype(np.int64)
    x = np.sort(segments[:, :, 0], axis=1)
    first = np.floor(x[:, 0] + slack_px).astype(np.int64)
    last = np.maximum(np.ceil(x[:, 1] - slack_px).astype(np.int64), first + 1)
    steps = np.zeros((rows, columns + 1), dtype=np.int32)
    np.add.at(steps, (row, np.minimum(first, columns - 1)), 1)
    np.add.at(steps, (row, np.minimum(last, columns)), -1)
    painted: NDArray[np.bool_] = np.cumsum(steps, axis=1)[:, :-1] > 0
    return painted


def check_burn_picture(data: bytes, work: Work) -> str:
    """Decode the picture and compare it with dots set along all burning moves. Raises Internal."""
    picture = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_GRAYSCALE)
    columns, rows = size_px(work)
    if picture is None or picture.shape != (rows, columns):
        raise differs(CHECK, "the picture has another size")
    black = (picture == 0).astype(np.uint8)
    dotted = _dotted(_burnt_px(work), rows, columns)
    around = np.ones((3, 3), dtype=np.uint8)
    if (dotted & ~(cv2.dilate(black, around) > 0)).any():
        raise differs(CHECK, "a place that burns is white")
    if ((black > 0) & ~(cv2.dilate(dotted.astype(np.uint8), around) > 0)).any():
        raise differs(CHECK, "a place that does not burn is black")
    return f"{columns} × {rows} pixels of {machine_pitch_mm(work):.4f} mm, black where the moves burn, within 1 pixel"


def _dotted(segments: Segments, rows: int, columns: int) -> NDArray[np.bool_]:
    """Pixels under dots that are set along segments at most half a pixel apart."""
    out = np.zeros((rows, columns), dtype=np.bool_)
    count = np.ceil(2 * np.abs(segments[:, 1] - segments[:, 0]).max(axis=1)).astype(np.int64) + 1
    chunk = np.cumsum(count) // DOTS_AT_ONCE
    for part in np.split(np.arange(len(segments)), np.flatnonzero(np.diff(chunk)) + 1):
        which = np.repeat(part, count[part])
        first = np.repeat(np.cumsum(count[part]) - count[part], count[part])
        share = ((np.arange(len(which)) - first) / np.maximum(count[which] - 1, 1))[:, None]
        column, row = (segments[which, 0] * (1 - share) + segments[which, 1] * share).astype(np.int64).T
        out[row, column] = True
    return out

"""Holds a stencil together: ink is cut away, so every piece of paper must hang on the sheet by a bridge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np

from . import paint
from .drawing import SIZE_PX, Drawing
from .paint import Sheet

if TYPE_CHECKING:
    from .composition import BorderLine

_ROUNDS = 6
_LEAST_ISLAND_PX = 6
"""Smaller islands, in pixels of a picture of 128 px, are cut away rather than held."""


def cut_bars(sheet: Sheet, drawings: Sequence[Drawing], bridge_px: float, rng: np.random.Generator) -> None:
    """Cut each drawing with one or two straight bars of paper, which is how stencils look even without islands."""
    turned = bool(rng.random() < 0.5)
    offsets = rng.uniform(-0.22, 0.22, 1 if rng.random() < 0.5 or len(drawings) > 1 else 2)
    if len(offsets) == 2:
        offsets = np.array([-0.36, 0.36]) + offsets * 0.4
    slant = float(rng.uniform(-0.18, 0.18))
    for drawing in drawings:
        runs = [points for part in drawing for points in (*part.outlines, *(stroke.points for stroke in part.strokes))]
        points = np.concatenate(runs)
        low, high = points.min(axis=0) - 0.08, points.max(axis=0) + 0.08
        middle, half = (low + high) / 2, (high - low) / 2
        # Across what is long, so that no stem is split along its length.
        lying = turned if 0.77 < half[0] / half[1] < 1.3 else bool(half[1] > half[0])
        for offset in offsets:
            ends = np.array([[offset - slant, -1.0], [offset + slant, 1.0]])
            paint.draw_line(sheet, middle + (ends[:, ::-1] if lying else ends) * half, paint.PAPER, bridge_px)


def gap_border(sheet: Sheet, border: Sequence[BorderLine], gap_px: float, rng: np.random.Generator) -> None:
    """Cut every line of the border at four places."""
    first = float(rng.choice([0.0, 45.0]))
    low = 0.78 if border[0].round else 0.72
    for turn in np.radians(first + 90.0 * np.arange(4)):
        way = np.array([np.cos(turn), np.sin(turn)])
        # A square's corners are further out.
        far = 1.0 if border[0].round else 1.0 / float(np.abs(way).max())
        paint.draw_line(sheet, np.stack([way * low * far, way * 0.99 * far]), paint.PAPER, gap_px)


def bridge_islands(sheet: Sheet, bridge_px: float, size_px: int = SIZE_PX) -> Sheet:
    """Return the sheet with a bridge from each island to the paper around; what is too small to hold becomes ink.

    An island is judged as the picture shows it: at its size (`size_px`), by pixels that are mostly paper and meet at
    an edge.
    """
    least_px = _LEAST_ISLAND_PX * (size_px / SIZE_PX) ** 2
    scale = sheet.shape[0] / size_px
    for attempt in range(_ROUNDS + 1):
        paper = _paper(sheet, size_px)
        islands, labels, stats = _islands(paper)
        if not islands:
            return sheet
        main = np.isin(labels, [0, *islands], invert=True)
        distance, nearest = cv2.distanceTransformWithLabels(
            (~main).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
        )
        places = np.argwhere(main)
        for island in islands:
            inside = labels == island
            if stats[island, cv2.CC_STAT_AREA] < least_px or attempt == _ROUNDS:
                sheet[_enlarged(inside, sheet.shape[0])] = paint.INK
                continue
            y, x = np.argwhere(inside)[int(np.argmin(distance[inside]))]
            to_y, to_x = places[nearest[y, x] - 1]
            _bridge(sheet, np.array([x, y]), np.array([to_x, to_y]), scale, bridge_px)
    return sheet


def islands_of(picture: Sheet) -> int:
    """How many pieces of paper of a picture (255 = paper) hang on nothing."""
    return len(_islands((picture >= 128).astype(np.uint8))[0])


def _paper(sheet: Sheet, size_px: int) -> Sheet:
    small = cv2.resize(255 - sheet, (size_px, size_px), interpolation=cv2.INTER_AREA)
    return (small >= 128).astype(np.uint8)


def _islands(
    paper: Sheet,
) -> tuple[list[int], np.ndarray[tuple[int, int], np.dtype[np.int32]], np.ndarray[tuple[int, int], np.dtype[np.int32]]]:
    count, labels, stats, _ = cv2.connectedComponentsWithStats(paper, connectivity=4, ltype=cv2.CV_32S)
    edge = set(np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])).tolist())
    islands = [label for label in range(1, count) if label not in edge]
    return islands, labels.astype(np.int32), stats.astype(np.int32)


def _bridge(
    sheet: Sheet,
    start: np.ndarray[tuple[int], np.dtype[np.int64]],
    end: np.ndarray[tuple[int], np.dtype[np.int64]],
    scale: float,
    bridge_px: float,
) -> None:
    """Paint paper from one pixel of the picture to another, a little further at both ends."""
    way = (end - start) / max(float(np.hypot(*(end - start))), 1e-6)
    first, last = ((start - way + 0.5) * scale).round(), ((end + way + 0.5) * scale).round()
    a, b = (int(first[0]), int(first[1])), (int(last[0]), int(last[1]))
    cv2.line(sheet, a, b, (paint.PAPER,), max(1, round(bridge_px)))


def _enlarged(
    mask: np.ndarray[tuple[int, int], np.dtype[np.bool_]], sheet_px: int
) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    big = cv2.resize(mask.astype(np.uint8), (sheet_px, sheet_px), interpolation=cv2.INTER_NEAREST)
    return np.asarray(big > 0)

"""Masks for inpainting: (N, N) uint8, 255 where the picture is to be drawn anew."""

from __future__ import annotations

from enum import StrEnum

import cv2
import numpy as np

from . import paint
from .drawing import SIZE_PX, Picture
from .rendering import OVERSAMPLING, Drawn, shrunk


class MaskKind(StrEnum):
    """What a mask covers."""

    OBJECTS = "objects"
    ONE_OBJECT = "one_object"
    BOXES = "boxes"
    BLOBS = "blobs"


def object_mask(drawn: Drawn, grow_px: float = 3.0, only: int | None = None) -> Picture:
    """Cover the drawings (or the one with the index `only`), holes included, and `grow_px` (of 128) around them."""
    size_px = drawn.picture.shape[0]
    sheet = paint.blank(size_px * OVERSAMPLING)
    drawings = drawn.layout.drawings if only is None else drawn.layout.drawings[only : only + 1]
    for drawing in drawings:
        paint.paint_whole(sheet, drawing, grow_px * size_px / SIZE_PX * OVERSAMPLING)
    return np.asarray(np.where(shrunk(sheet, size_px) >= 128, 255, 0), dtype=np.uint8)


def box_mask(rng: np.random.Generator, size_px: int = SIZE_PX) -> Picture:
    """Cover one to three boxes."""
    mask = np.zeros((size_px, size_px), dtype=np.uint8)
    for _ in range(int(rng.integers(1, 4))):
        wide, high = (int(v) for v in rng.integers(size_px // 6, size_px * 2 // 3, 2))
        left, top = int(rng.integers(0, size_px - wide)), int(rng.integers(0, size_px - high))
        mask[top : top + high, left : left + wide] = 255
    return mask


def blob_mask(rng: np.random.Generator, size_px: int = SIZE_PX) -> Picture:
    """Cover a few smooth blobs and strokes, as a person paints a mask."""
    mask = np.zeros((size_px, size_px), dtype=np.uint8)
    for _ in range(int(rng.integers(1, 4))):
        length = int(rng.integers(2, 6))
        start = rng.uniform(0.15, 0.85, 2) * size_px
        run = start + np.cumsum(rng.normal(0.0, 0.16 * size_px, (length, 2)), axis=0)
        thick = int(rng.integers(size_px // 12, size_px // 4))
        points = np.round(np.clip(run, 0, size_px - 1)).astype(np.int32)
        cv2.polylines(mask, [points], False, (255,), thick)
        cv2.circle(mask, (int(points[0][0]), int(points[0][1])), thick, (255,), -1)
    return mask


def random_mask(drawn: Drawn, rng: np.random.Generator, kind: MaskKind | None = None) -> Picture:
    """Return a mask of a kind, or of any."""
    chosen = kind or list(MaskKind)[int(rng.integers(len(MaskKind)))]
    size_px = drawn.picture.shape[0]
    match chosen:
        case MaskKind.OBJECTS:
            return object_mask(drawn, float(rng.uniform(2.0, 8.0)))
        case MaskKind.ONE_OBJECT:
            return object_mask(drawn, float(rng.uniform(2.0, 6.0)), int(rng.integers(len(drawn.layout.drawings))))
        case MaskKind.BOXES:
            return box_mask(rng, size_px)
        case MaskKind.BLOBS:
            return blob_mask(rng, size_px)

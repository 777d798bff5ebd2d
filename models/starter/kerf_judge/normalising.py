"""Brings pictures to what the judge knows: ink on paper, and the ink's box in the middle at one size."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from .network import INPUT_PX

Pixels = NDArray[np.uint8]

SIZE_PX = 128
BOX_PX = 116
"""The longer side of the ink's box."""
_INK = 110
"""What is darker than paper by this much, over 3 x 3 px, counts as ink: specks do not."""


def normalised(pixels: Pixels) -> Pixels:
    """Return (N, 128, 128) uint8, 255 = paper: each picture cropped to its ink, enlarged evenly, and centred."""
    return np.stack([_cropped(picture) for picture in pixels]) if len(pixels) else pixels


def reduced(pixels: Pixels) -> Pixels:
    """Return normalised pictures at the size that the network reads: (N, 96, 96) uint8."""
    small = [cv2.resize(picture, (INPUT_PX, INPUT_PX), interpolation=cv2.INTER_AREA) for picture in pixels]
    return np.stack(small) if small else np.empty((0, INPUT_PX, INPUT_PX), dtype=np.uint8)


def _cropped(picture: Pixels) -> Pixels:
    box = _ink_box(picture)
    if box is None:
        return picture
    left, top, right, bottom = box
    scale = BOX_PX / max(right - left, bottom - top)
    offset = [SIZE_PX / 2 - scale * (low + high) / 2 for low, high in ((left, right), (top, bottom))]
    # Where pixels shrink they are averaged, where they grow they are blended.
    ways = cv2.INTER_AREA if scale < 1.0 else cv2.INTER_LINEAR
    # A pixel's centre is half a pixel from its corner, in the picture and in the crop.
    moved = np.array([[scale, 0.0, offset[0] + (scale - 1) / 2], [0.0, scale, offset[1] + (scale - 1) / 2]])
    crop = cv2.warpAffine(
        picture, moved, (SIZE_PX, SIZE_PX), flags=ways, borderMode=cv2.BORDER_CONSTANT, borderValue=(255,)
    )
    return np.asarray(crop, dtype=np.uint8)


def _ink_box(picture: Pixels) -> tuple[int, int, int, int] | None:
    """Left, top, right, bottom of the ink (right and bottom exclusive); None where there is none."""
    ink = cv2.blur(255 - picture, (3, 3)) > _INK
    columns, rows = np.flatnonzero(ink.any(axis=0)), np.flatnonzero(ink.any(axis=1))
    if not len(columns):
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1

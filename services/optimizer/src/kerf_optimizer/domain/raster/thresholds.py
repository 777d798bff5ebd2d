"""One level for all pixels, one for each surroundings, or a band of levels: uint8 grey to bool, True = burn."""

from __future__ import annotations

import cv2
import numpy as np

from kerf_optimizer.domain.raster.types import Burn, Gray

_LEVELS = 256
_FLAT_LEVEL = 128


def otsu_threshold(gray: Gray) -> int:
    """The level 1–255 that splits the histogram with the greatest variance between its two sides (Otsu 1979).

    Pixels below it are dark. Where several levels split alike (a picture of two greys), it is the middle one; 128 for a
    picture of one grey.
    """
    counts = np.bincount(gray.ravel(), minlength=_LEVELS).astype(np.int64)
    below = np.cumsum(counts)[:-1]
    sum_below = np.cumsum(counts * np.arange(_LEVELS))[:-1]
    total, total_sum = int(counts.sum()), int((counts * np.arange(_LEVELS)).sum())
    above = total - below
    split = (below > 0) & (above > 0)
    if not split.any():
        return _FLAT_LEVEL
    # Variance between the classes, up to a constant factor: (total·s − below·S)² / (below·above).
    offset = (total * sum_below - below * total_sum).astype(np.float64)
    variance = np.where(split, offset * offset / np.maximum(below.astype(np.float64) * above, 1.0), -1.0)
    best = np.flatnonzero(variance == variance.max())
    return int(best[0] + best[-1]) // 2 + 1


def threshold(gray: Gray, level: int) -> Burn:
    """Burn every pixel darker than `level` (1–255)."""
    return gray < level


def band_threshold(gray: Gray, low: int, high: int) -> Burn:
    """Burn every pixel from grey `low` up to, not including, `high`."""
    return (gray >= low) & (gray < high)


def adaptive_threshold(gray: Gray, window_px: int, offset: int) -> Burn:
    """Burn what is darker than the mean of the `window_px` × `window_px` pixels around it by more than `offset` levels.

    The window is made odd; beyond the border the picture goes on as it ends.
    """
    side = max(3, window_px | 1)
    mean = cv2.blur(gray, (side, side), borderType=cv2.BORDER_REPLICATE)
    return np.asarray(gray < cv2.subtract(mean, np.full_like(mean, offset)), dtype=np.bool_)

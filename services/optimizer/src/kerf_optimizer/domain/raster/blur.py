"""A Gaussian blur of 8-bit pictures whose cost does not grow with its width."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image

from kerf_optimizer.domain.raster.types import Gray

_MAX_SIGMA_PX = 4.0
_MIN_SIGMA_PX = 0.1


def gaussian_blur(gray: Gray, sigma_px: float) -> Gray:
    """`gray` blurred; beyond the border the picture goes on as it ends. Wide blurs are made on a smaller picture."""
    factor = max(1, int(sigma_px / _MAX_SIGMA_PX))
    small = gray if factor == 1 else np.asarray(Image.fromarray(gray).reduce(factor))
    # OpenCV blurs 8-bit pictures in fixed point: the same everywhere.
    sigma_px = max(sigma_px / factor, _MIN_SIGMA_PX)
    blurred = np.asarray(cv2.GaussianBlur(small, (0, 0), sigma_px, borderType=cv2.BORDER_REPLICATE), dtype=np.uint8)
    if factor == 1:
        return blurred
    return np.asarray(Image.fromarray(blurred).resize((gray.shape[1], gray.shape[0]), Image.Resampling.BILINEAR))
